"""runciter: the manager as a service, HTTP/1.1 and JSON on a Unix socket (docs/runciter.md). Needs pyrunc[manager]."""
