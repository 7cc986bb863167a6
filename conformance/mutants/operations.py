"""Mutants of the operations, each for one demand where a case holds several; and of cgroupsPath and cpu.burst."""
from __future__ import annotations

import os
from collections.abc import Callable

from .changes import Change, force, of, put
from .wrapper import Mutant

RUNTIME, LINUX = "runtime_md", "config_linux_md"
#: The operations that are given an id, and the case that calls each without one and with one that no container has.
WITHOUT = {"create": "create_without_its_arguments", "state": "state_without_a_container",
           "start": "start_without_an_id", "kill": "kill_without_an_id", "delete": "delete_without_an_id"}
NO_ID = "no-such-container"


def helps(command: str, when: Callable[[list[str]], bool]) -> Callable[[str, list[str]], list[str]]:
    """The command prints its help instead, and ends with 0."""
    return lambda given, words: ["--help"] if given == command and when(words) else words


def lacks(command: str) -> Callable[[str, list[str]], list[str]]:
    """The command cannot be used at all."""
    return lambda given, words: ["--no-such-option", *words] if given == command else words


def stays(folder: str) -> Callable[[str, list[str], list[str]], object]:
    """After delete there is this folder again: {root} is the state root, {id} the container's id, {case} the case's."""
    def after(command: str, real: list[str], words: list[str]) -> None:
        if command == "delete":
            root = real[real.index("--root") + 1]
            os.makedirs(folder.format(root=root, id=words[-1], case=words[-1].partition("-")[0]), exist_ok=True)
    return after


def path_of_a_cgroup(change: Callable[[str], str]) -> Change:
    return of("linux.cgroupsPath", change)


MUTANTS = [
    *(Mutant(f"{command} cannot be used", f"{RUNTIME}.all_operations", words=lacks(command))
      for command in WITHOUT),
    *(Mutant(f"{command} without an id is no error", f"{RUNTIME}.{case}", words=helps(
        command, lambda words: not words or "/bundle-" in words[-1])) for command, case in WITHOUT.items()),
    *(Mutant(f"{command} of an unknown id is no error", f"{RUNTIME}.{case}", words=helps(
        command, lambda words: NO_ID in words)) for command, case in WITHOUT.items() if command != "create"),
    Mutant("create makes nothing", f"{RUNTIME}.create_prepares_and_start_runs", skips=("create",)),
    Mutant("create leaves namespaces out", f"{RUNTIME}.create_prepares_and_start_runs", config=of(
        "linux.namespaces", lambda found: [entry for entry in found if entry["type"] != "network"])),
    Mutant("start runs a program of its own", f"{RUNTIME}.create_prepares_and_start_runs",
           config=force("process.args", ["true"])),
    Mutant("a missing process is one that ends", f"{RUNTIME}.start_without_a_process", config=lambda config:
           config.setdefault("process", {"args": ["true"], "cwd": "/", "env": ["PATH=/bin"]})),
    # ---- delete
    Mutant("delete leaves what create kept in the state root", f"{RUNTIME}.delete_takes_everything_away",
           after=stays("{root}/{id}")),
    Mutant("delete leaves the cgroup", f"{LINUX}.cgroups_path", after=stays("/sys/fs/cgroup/{case}-above/box")),
    Mutant("delete of a created container does nothing", f"{RUNTIME}.delete_of_a_created_container",
           skips=("delete",)),
    Mutant("delete of a created container leaves something", f"{RUNTIME}.delete_of_a_created_container",
           after=stays("{root}/{id}")),
    Mutant("delete of a created container is an error for engines", "engines.delete_of_a_created_container",
           words=lacks("delete")),
    # ---- cgroups
    Mutant("an absolute cgroupsPath counts from elsewhere", f"{LINUX}.cgroups_path", config=path_of_a_cgroup(
        lambda path: path.replace("-above/", "-above/elsewhere/") if path[0] == "/" else path)),
    Mutant("the same cgroupsPath is another place each time", f"{LINUX}.cgroups_path_that_is_relative",
           config=path_of_a_cgroup(lambda path: path if path[0] == "/" else f"{path.partition('-')[0]}-{os.getpid()}/"
                                   f"{path}")),
    Mutant("a relative cgroupsPath is passed over", f"{LINUX}.cgroups_path_that_is_relative", config=path_of_a_cgroup(
        lambda path: path if path[0] == "/" else f"/{path.partition('-')[0]}-other")),
    Mutant("a quota below the burst grows", f"{LINUX}.burst_above_quota",
           config=put("linux.resources.cpu.quota", 20000)),
    Mutant("a burst above the quota is cut", f"{LINUX}.burst_above_quota",
           config=put("linux.resources.cpu.burst", 10000)),
]
