"""Options of file systems, for what is said of a misspelt one. Loaded when there is one, and by `check`."""
from __future__ import annotations

#: What file systems of containers take beside the options of mount(8): Documentation/filesystems/ of the kernel.
FILE_SYSTEM_OPTIONS = {
    "tmpfs": ("size", "nr_blocks", "nr_inodes", "mode", "uid", "gid", "mpol", "huge", "inode32", "inode64", "noswap",
              "usrquota", "grpquota", "context"),
    "devpts": ("newinstance", "ptmxmode", "mode", "uid", "gid", "max", "context"),
    "proc": ("hidepid", "gid", "subset"),
    "sysfs": (),
    "mqueue": (),
    "cgroup2": ("nsdelegate", "favordynmods", "memory_localevents", "memory_recursiveprot", "memory_hugetlb_accounting",
                "pids_localevents"),
    "overlay": ("lowerdir", "upperdir", "workdir", "redirect_dir", "index", "nfs_export", "xino", "metacopy",
                "volatile", "userxattr", "uuid", "context"),
}
