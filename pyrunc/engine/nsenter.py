"""What a user types to look around in the init between two steps of its set-up."""
from __future__ import annotations

import posix

from ..kernel.namespaces import NAMESPACES

#: The inode of the first user namespace (PROC_USER_INIT_INO): who is in it and is root may enter all there is.
FIRST = "user:[4026531837]"
#: The flags of nsenter(1), by the names in /proc/PID/ns.
FLAGS = {"user": "-U", "mnt": "-m", "uts": "-u", "ipc": "-i", "net": "-n", "pid": "-p", "cgroup": "-C", "time": "-T"}


def command(pid: int) -> str:
    """nsenter's command line for this process."""
    return " ".join(words(pid))


def words(pid: int) -> list[str]:
    """The same in words: all namespaces, and without privilege only those that are not ours; and a shell.

    The shell is not the caller's $SHELL, which an image may lack. What is shared, its owner alone may enter, and a
    user namespace of one id has no groups to set. Where all is shared, any shell is there already: nsenter of
    util-linux 2.41 refuses to enter nothing.
    """
    if posix.geteuid() == 0 and _namespace("self", "user") == FIRST:
        return ["nsenter", "-a", "-t", str(pid), "sh"]
    found = ["nsenter"]
    if posix.geteuid() != 0:
        found.append("--preserve-credentials")
    for _, file in NAMESPACES.values():
        there = _namespace(str(pid), file)
        if there and there != _namespace("self", file):
            found.append(FLAGS[file])
    if not found[1:] or found[1:] == ["--preserve-credentials"]:
        return ["sh"]
    return [*found, "-t", str(pid), "sh"]


def _namespace(process: str, file: str) -> str:
    try:
        return posix.readlink(f"/proc/{process}/ns/{file}")
    except OSError:
        return ""
