"""make bench: how long the commands of a container's life take under pyrunc, runc and crun, side by side.

    python -m tests.bench [--lifecycles 50] [--runtime PATH ...] [--json bench.json]

One process, a private mount namespace with cgroup v2, the runtimes taking turns, so that whatever else the machine
does falls on all of them alike: trust the ratios.
"""
