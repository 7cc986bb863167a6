"""Programs of the host that help: ps, criu, newuidmap. They are looked for where the host installs programs.

Not by the caller's PATH: who calls as root, by sudo or from a service, may have directories of other users in it, and
an engine hands on what it was started with (CVE-2026-84042).
"""
from __future__ import annotations

import posix

#: Also the PATH of the programs that are run themselves.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def find(name: str) -> str:
    """The path of a program of the host, "" for none."""
    for directory in PATH.split(":"):
        path = f"{directory}/{name}"
        try:
            if posix.stat(path).st_mode & 0o170000 == 0o100000 and posix.access(path, posix.X_OK):
                return path
        except OSError:
            continue
    return ""
