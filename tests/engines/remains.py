"""What of a container is still on the machine when an engine says that it is gone."""
from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from tests.world import CGROUP, below, lines


def of(id: str, folders: Iterable[Path]) -> list[str]:
    """Its folders and files below these folders, its cgroups, mounts, and processes that have its id as an argument."""
    named = re.compile(rf"(?<![0-9a-z]){re.escape(id)}(?![0-9a-z])")     # a short one is part of many a hash
    found = [path for top in (*folders, CGROUP) for path in below(top) if named.search(path.rpartition("/")[2])]
    found += [line for line in lines("/proc/mounts") if f"/{id}/" in line]
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if id.encode() in command.read_bytes().split(b"\0"):
                found.append(command.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found
