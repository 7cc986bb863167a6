"""The cgroup as a unit of systemd."""
