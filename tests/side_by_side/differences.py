"""Where pyrunc is meant to differ from Debian's runc, line by line, aspect by aspect, and why.

Debian 12 has runc 1.1.5, Debian 13 1.1.15, testing 1.3.6.
"""
from __future__ import annotations

Version = tuple[int, ...]
Differences = dict[str, dict[str, str]]

_NO_HELP = {"stdout": "a value that no such container could have is told without a page of help in front of it"}
_PRESSURE = {"stdout": "runc came to tell pressure (PSI), and no longer the fields of cgroup v1 as zeros, after 1.1"}
_BOTH_ERRORS = "of two faults pyrunc tells the one that is there without looking for the container"

DIFFERENCES: Differences = {
    "absent: --version": {"stdout": "a line of its own, and Python in place of Go; engines read the first line"},
    "absent: nonsense": {"exit": "runc 1.1 says 3; later ones, and all other errors, 1"},
    "absent: --root / list": dict.fromkeys(("exit", "error", "stdout"), "runc refuses / since 1.2"),
    "absent: kill ID NONSENSE": {"error": _BOTH_ERRORS},
    "absent: restore --bundle BUNDLE/true --image-path FOLDER/missing ID": {
        "left": "runc makes the folder in which it then finds no images"},
    "absent: features": {"stdout": "runc 1.1 knows less than the features document of the specification 1.3"},
    "absent: run --preserve-fds 5 --bundle BUNDLE/true ID": {
        "error": "the descriptor itself is asked, not its name in /proc"},
    "absent: run --bundle BUNDLE/folder ID": {"error": "which of execve's refusals it is; engines know both as 126"},
    "absent: run --bundle BUNDLE/bad_oom_score ID": {"error": "runc tells how its helper ended, after the cause"},
    "absent: run --bundle BUNDLE/rlimit_twice ID": dict.fromkeys(
        ("exit", "error"), "config.md#posix-process: a duplicated type MUST be an error"),
    "absent: run --bundle BUNDLE/poststop_fails ID": {
        "error": "runtime.md#lifecycle: a failed poststop hook is a warning"},
    "created: events --stats ID": _PRESSURE,
    "running: events --stats ID": _PRESSURE,
    "paused: events --stats ID": _PRESSURE,
    "stopped: ps --format json ID": {"stdout": "no processes are an empty list, not null"},
    "running: kill ID SIGRTMIN+1": dict.fromkeys(("exit", "error"), "real-time signals by name are an addition"),
    "running: kill ID 99": {"error": "no such signal is told before the kernel is asked"},
    "running: kill ID -1": {"error": "no such signal is told before the kernel is asked"},
    "running: exec ID /etc": {"error": "which of execve's refusals it is; engines know both as 126"},
    "running: exec --user nobody ID true": {"error": "a wrong flag is told as one"},
    "running: exec --user 1000:x ID true": {"error": "a wrong flag is told as one"},
    "running: exec -g x ID true": {"exit": "every failure of exec is 255, a wrong number too", **_NO_HELP},
    "running: exec --process FOLDER/missing ID": {"error": "told as a missing specification file, like config.json"},
    "running: exec --preserve-fds 9 ID true": {"error": "the descriptor itself is asked, not its name in /proc"},
    "running: events --interval nonsense ID": _NO_HELP,
    "running: update --pids-limit nonsense ID": {"error": "told as the value that it is wrong for", **_NO_HELP},
}

#: The first of those versions that answers as pyrunc does.
ALIKE_SINCE: dict[str, Version] = {
    "absent: --root / list": (1, 3, 6),
    "absent: run --bundle BUNDLE/folder ID": (1, 1, 15),
    "absent: run --bundle BUNDLE/poststop_fails ID": (1, 3, 6),
    "running: exec ID /etc": (1, 1, 15),
}
#: What is different from one of those versions on.
DIFFERENT_SINCE: dict[str, tuple[Version, dict[str, str]]] = {
    "absent: run --bundle BUNDLE/start_container_fails ID": (
        (1, 3, 6), {"exit": "a container that did not start is 1 in every case, as it was in runc 1.1"}),
}


def from_runc(version: Version) -> Differences:
    """The differences from this version of runc."""
    known = {line: aspects for line, aspects in DIFFERENCES.items()
             if line not in ALIKE_SINCE or version < ALIKE_SINCE[line]}
    return known | {line: aspects for line, (since, aspects) in DIFFERENT_SINCE.items() if version >= since}
