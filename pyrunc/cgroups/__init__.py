"""The container's cgroup: where it is, what is written into it, and how it ends. cgroup v2 only (cgroups(7))."""
