"""The last failures, each kept as one file, so that whoever comes later finds out why: `pyrunc why`, `pyrunc report`.

<root>/@reports/<time in ns>.json; "@" is in no container's id. Nothing here runs unless a command has failed, and after
its error has been told. A report that cannot be written is none: a full disk, a root that is read-only or not the
caller's, and a file named @reports (which switches reports off) are not told of.

    error      class, message, and of a step: step, id, errno, where, hint
    config     without the values of environment variables
    plan       as beside a container's state; trace: the steps that ran
    findings   of `check`, in the bundle as it was then; warnings: what the plans had to say
    host       the facts that planning and the findings depend on; caller: who ran the command
"""
from __future__ import annotations

import posix
import time

from .. import __version__
from ..errors import ConfigError, PyruncError, StateError, StepError, UsageError
from ..formats.json_text import dumps
from ..formats.rfc3339 import stamp
from ..kernel.own_files import check_owner
from ..kernel.posix import Files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ..engine.run import Engine

DIRECTORY = "@reports"
SUFFIX = ".json"
#: How many are kept, and the bytes that one may have; in the environment, for tests and for who wants none: a number.
MOST, LARGEST = 8, 1 << 20
SWITCH = b"PYRUNC_REPORTS"
#: Seconds after one report in which the next is made without `check`: a container that fails in a loop.
SOON = 5.0
#: What is left out first of a report that is too large.
LEAST_FIRST = ("trace", "plan", "findings", "config")
LONGEST_VALUE = 4096
#: Flags whose value is, or may have, that of an environment variable.
SECRET_FLAGS = ("env", "e")


def keep(root: str, id: str, command: str, fault: BaseException, message: str = "", argv: Sequence[str] = (),
         bundle: str = "", file: str = "config.json", config: Any = None,
         ran: Mapping[str, Any] | None = None, look: bool = True) -> None:
    """Keep a report of a failure, if it is worth one. Never raises.

    message   the line that was told; argv: the command line, without the program
    file      the config, counted from the bundle; config: instead of it
    ran       of_run(), if a plan was run
    look      the bundle is as it was, for `check` to look at
    """
    told_anyway = isinstance(fault, UsageError) or (isinstance(fault, StateError) and command != "start")
    if told_anyway or not root or most() <= 0:
        return
    try:
        directory = _directory(root)
        try:
            names = _names(directory)
            report = _report(root, id, command, fault, message, argv, bundle, file, config, ran or {},
                             look and _last(names) >= SOON)
            Files().write_new(f"{time.time_ns():020d}{SUFFIX}", _bounded(report), 0o600, directory)
            for name in _names(directory)[:-most()]:
                posix.unlink(name, dir_fd=directory)
        finally:
            posix.close(directory)
    except Exception:                    # also of no memory: the error has been told, and that is what counts
        return


def most() -> int:
    """How many reports are kept."""
    text = posix.environ.get(SWITCH, b"")
    return int(text) if text.isdigit() and len(text) < 4 else MOST


def of_run(run: Engine) -> dict[str, Any]:
    """What of a plan's run goes into a report; as long as its page is mapped."""
    from ..engine.trace import records
    return {"plan": run.plan.saved(), "trace": list(records(run)),
            "warnings": [*run.warnings, *run.facts.warnings, *run.facts.notes]}


def _directory(root: str) -> int:
    """A descriptor of <root>/@reports, made if missing; StateError or OSError when it is not the caller's alone."""
    from ..state.store import make_root
    make_root(root, Files())
    above = posix.open(root, posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)
    try:
        try:
            posix.mkdir(DIRECTORY, 0o700, dir_fd=above)
        except FileExistsError:
            pass
        fd = posix.open(DIRECTORY, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC,
                        dir_fd=above)
    finally:
        posix.close(above)
    try:
        check_owner(f"{root}/{DIRECTORY}", posix.fstat(fd))
    except PyruncError:
        posix.close(fd)
        raise
    return fd


def _names(directory: int) -> list[str]:
    """The reports, oldest first."""
    return sorted(name for name in posix.listdir(directory) if name.endswith(SUFFIX) and not name.startswith("."))


def _last(names: Sequence[str]) -> float:
    """Seconds since the newest report."""
    newest = names[-1].removesuffix(SUFFIX) if names else ""
    return (time.time_ns() - int(newest)) / 1e9 if newest.isdigit() else SOON


def _report(root: str, id: str, command: str, fault: BaseException, message: str, argv: Sequence[str], bundle: str,
            file: str, config: Any, ran: Mapping[str, Any], look: bool) -> dict[str, Any]:
    error: dict[str, Any] = {"class": type(fault).__name__, "message": message or str(fault)}
    for name in ("what", "errno", "where", "document", "step", "id", "spec", "hint"):
        if isinstance(fault, (StepError, ConfigError)) and getattr(fault, name, None):
            error[name] = getattr(fault, name)
    if isinstance(fault, ConfigError) and fault.document:
        error["document"] = f"in {fault.document}"
    of_bundle = bool(bundle) and config is None
    if config is None:
        config = _config(root, id, bundle, file)
    report: dict[str, Any] = {
        "version": 1, "pyrunc": __version__, "time": stamp(time.time_ns(), 3), "container": id, "command": command,
        "root": root, "bundle": bundle, "argv": without_values(argv), "error": error, "caller": _caller(),
        "config": without_environment(config), **ran, "host": _host()}
    if of_bundle and look:
        report["findings"] = _findings(bundle, file)
    return report


def _config(root: str, id: str, bundle: str, file: str) -> Any:
    """The config of the bundle, or of the container that is there; None when it cannot be read."""
    try:
        if bundle:
            from ..config.load import load
            return load(bundle, file)
        from ..state.store import read_config
        return read_config(root, id)
    except (OSError, PyruncError):
        return None


def without_values(argv: Sequence[str]) -> list[str]:
    """A command line without the values of --env."""
    words, before = list[str](), ""
    for word in argv:
        name, equals, value = word.lstrip("-").partition("=")
        if before in SECRET_FLAGS:
            word = word.partition("=")[0]
        elif word.startswith("-") and name in SECRET_FLAGS and equals:
            word = word[:-len(value)] + value.partition("=")[0] if value else word
        before = word.lstrip("-") if word.startswith("-") else ""
        words.append(word)
    return words


def without_environment(value: Any, key: str = "") -> Any:
    """The config with the names of environment variables only, and without values that are very long."""
    if isinstance(value, dict):
        return {name: without_environment(member, name) for name, member in value.items()}
    if isinstance(value, list):
        if key == "env":
            return [item.partition("=")[0] if isinstance(item, str) else None for item in value]
        return [without_environment(item) for item in value]
    if isinstance(value, str) and len(value) > LONGEST_VALUE:
        return value[:LONGEST_VALUE] + "..."
    return value


def _caller() -> dict[str, Any]:
    """Who has run the command: an engine's shim, conmon, a shell."""
    try:
        with open(f"/proc/{posix.getppid()}/comm") as file:
            return {"pid": posix.getppid(), "name": file.read().strip(), "uid": posix.getuid()}
    except OSError:
        return {"pid": posix.getppid(), "uid": posix.getuid()}


def _host() -> dict[str, Any]:
    from ..host import probe
    host = probe()
    facts: dict[str, Any] = {name: getattr(host, name) for name in (
        "euid", "in_userns", "cgroup_mount", "cgroup_hybrid", "apparmor", "selinux", "resctrl")}
    system = posix.uname()
    try:
        with open(f"{host.cgroup_mount}/cgroup.controllers") as file:
            facts["controllers"] = file.read().split()
    except OSError:
        facts["controllers"] = []
    return {**facts, "capabilities": f"{host.capabilities:x}", "kernel": system.release, "machine": system.machine,
            "name": system.nodename}


def _findings(bundle: str, file: str) -> list[dict[str, str]]:
    from .findings import examine
    return [{"level": finding.level, "where": finding.where, "what": finding.what, "hint": finding.hint}
            for finding in examine(bundle, file)]


def _bounded(report: dict[str, Any]) -> bytes:
    """The text of a report, of at most LARGEST bytes."""
    data = dumps(report, 1).encode(errors="backslashreplace")
    for name in LEAST_FIRST:
        if len(data) <= LARGEST:
            break
        report[name] = f"left out: {len(data)} bytes are more than a report has room for"
        data = dumps(report, 1).encode(errors="backslashreplace")
    return data[:LARGEST]
