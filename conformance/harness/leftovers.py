"""What a case leaves on the machine, and its removal."""
from __future__ import annotations

import os
import re
import signal
import time
from contextlib import suppress
from pathlib import Path

from . import patience, shield
from .isolation import CGROUP, resctrl

#: Folders that are written in beside the one of a case, with those in /run.
WRITTEN = ("/run", "/dev/shm", "/dev/mqueue", "/sys/fs/bpf")


def named(id: str) -> re.Pattern[str]:
    """The id, and what begins with it; not the id of another case: c7-1 is not c7-12."""
    return re.compile(rf"(?<!\w){re.escape(id)}(?!\d)")


def processes(id: str) -> list[int]:
    """Processes in a cgroup that is named by the id, zombies excepted."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if named(id).search((entry / "cgroup").read_text(errors="replace")) \
                        and "\nState:\tZ" not in (entry / "status").read_text():
                    found.append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


def cgroups(id: str) -> list[str]:
    """Cgroups that are named by the id, the deepest first."""
    found = [os.path.join(folder, name) for folder, folders, _ in os.walk(CGROUP) for name in folders]
    return sorted((path for path in found if named(id).search(path.removeprefix(str(CGROUP)))), reverse=True)


def groups(id: str) -> list[str]:
    """Groups of resctrl that are named by the id, those for monitoring first."""
    top = resctrl()
    found = [] if top is None else [*top.glob("*/mon_groups/*"), *top.glob("mon_groups/*"), *top.iterdir()]
    return [str(path) for path in found if path.is_dir() and named(id).search(path.name)]


def elsewhere(id: str) -> list[str]:
    """What is named by the id where a case may write beside its own folder."""
    found = []
    for folder in (*WRITTEN, *(entry.path for entry in os.scandir("/run") if entry.is_dir(follow_symlinks=False))):
        try:
            found += [os.path.join(folder, name) for name in os.listdir(folder) if named(id).search(name)]
        except OSError:
            continue
    return found


def children() -> set[int]:
    """Children of this process, orphans included; zombies are reaped first."""
    pids: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):       # a thread that has ended meanwhile
            pids.update(int(pid) for pid in (task / "children").read_text().split())
    for pid in list(pids):
        try:
            if os.waitpid(pid, os.WNOHANG)[0]:
                pids.discard(pid)
        except ChildProcessError:
            pids.discard(pid)
    return pids


def look(id: str, root: Path, seconds: float = 5) -> list[str]:
    """What is left of the containers of a case, one line each. Waits a while: processes take time to end."""
    deadline = patience.deadline(seconds)
    while True:
        left = [f"process {pid}" for pid in sorted({*processes(id), *children()})]
        left += [f"cgroup {path}" for path in cgroups(id)]
        left += [f"resctrl group {path}" for path in groups(id)]
        left += [f"file {path}" for path in elsewhere(id)]
        left += [f"file {path}" for path in sorted(root.iterdir()) if named(id).search(path.name)] \
            if root.exists() else []
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.02)


def drop(group: Path) -> None:
    """Remove a cgroup, if it is there and empty, or a group of resctrl."""
    try:
        group.rmdir()
    except OSError:
        return


def forget(id: str, root: Path) -> None:
    """Remove the runtime's files about a container."""
    for path in root.iterdir() if root.exists() else ():
        if named(id).search(path.name):
            shield.remove(path)


def clear(id: str, orphans: bool, seconds: float = 5) -> None:
    """Kill the processes and remove the cgroups of a case, whatever its runtime thinks of them.

    orphans: every child of this process, too. That is for the process of a case only.
    """
    deadline = patience.deadline(seconds)
    while True:
        for pid in {*processes(id), *(children() if orphans else ())}:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        for path in (*cgroups(id), *groups(id)):
            try:
                os.rmdir(path)
            except OSError:
                continue
        for path in elsewhere(id):
            shield.remove(Path(path))
        if time.monotonic() > deadline or not (processes(id) or cgroups(id) or groups(id) or elsewhere(id)
                                               or (orphans and children())):
            return
        time.sleep(0.02)
