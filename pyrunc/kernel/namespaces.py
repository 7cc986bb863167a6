"""The kinds of namespaces (namespaces(7))."""
from __future__ import annotations

#: type in config.json -> (CLONE_NEW* of <linux/sched.h>, file in /proc/PID/ns)
NAMESPACES = {
    "ipc": (0x08000000, "ipc"),
    "uts": (0x04000000, "uts"),
    "network": (0x40000000, "net"),
    "pid": (0x20000000, "pid"),
    "cgroup": (0x02000000, "cgroup"),
    "time": (0x00000080, "time"),
    "mount": (0x00020000, "mnt"),
    "user": (0x10000000, "user"),
}
