"""The last failures, each kept as one file, so that whoever comes later finds out why: `pyrunc why`, `pyrunc report`.

<root>/@reports/<time in ns>.json; "@" is in no container's id. Nothing here runs unless a command has failed, and after
its error has been told. A report that cannot be written is none: a full disk, a root that is read-only or not the
caller's, and a file named @reports (which switches reports off) are not told of.

    error      class, message, and of a step: step, id, errno, where, hint
    argv       the command line: the options of the engine; caller: who ran the command
    config     without the values of environment variables
    plan       as beside a container's state; trace: the steps that ran
    findings   of `check`, in the bundle as it was then; warnings: what the plans had to say
    host       the facts that planning and the findings depend on
    log        the records that the command has written, with --debug all of them

Arguments, annotations and a hook's output are kept as they stand; docs/troubleshooting.md says so.
"""
from __future__ import annotations

import posix
import time

from .. import __version__
from ..errors import ConfigError, PyruncError, StateError, StepError, UsageError
from ..formats.json_text import dumps
from ..formats.rfc3339 import stamp
from ..kernel.own_files import check_owner
from ..kernel.posix import PosixKernel
from ..paths import absolute

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ..engine.run import Engine

DIRECTORY = "@reports"
SUFFIX = ".json"
#: Of the form of a report; another one is not read.
VERSION = 1
#: How many are kept, and the bytes that one may have; in the environment, for tests and for who wants none: a number.
MOST, LARGEST = 8, 1 << 20
SWITCH = b"PYRUNC_REPORTS"
#: Seconds after one report in which the next is made without `check`: a container that fails in a loop.
SOON = 5.0
#: Bytes of a config.json that `check` looks at within a tenth of a second or two: the caller waits for it.
LARGEST_CHECKED = 1 << 17
#: What is left out first of a report that is too large.
LEAST_FIRST = ("trace", "log", "plan", "findings", "config")
LONGEST_VALUE = 4096
#: Then, of everything in it: the lengths to which strings, lists and objects are cut, and how deep they may go.
SHORTER, DEEPEST = (1024, 128, 16), 4
#: Flags whose value is, or may have, that of an environment variable.
SECRET_FLAGS = ("env", "e")


def keep(root: str, id: str, command: str, fault: BaseException, message: str = "", argv: Sequence[str] = (),
         bundle: str = "", file: str = "config.json", config: Any = None,
         ran: Mapping[str, Any] | None = None, look: bool = True, log: Sequence[str] = (),
         noted: Sequence[str] = ()) -> None:
    """Keep a report of a failure, if it is worth one. Never raises.

    message   the line that was told; argv: the command line, without the program
    file      the config, counted from the bundle; config: instead of it
    ran       of_run(), if a plan was run
    look      the bundle is as it was, for `check` to look at
    log       the records that the command has written
    noted     what it had to say besides, and has written nowhere
    """
    told_anyway = isinstance(fault, UsageError) or (isinstance(fault, StateError) and command != "start")
    wanted = bool(getattr(fault, "number", 0))           # engine.Interrupted
    if told_anyway or wanted or not root or most() <= 0:
        return
    try:
        directory = _directory(root)
        try:
            names = _names(directory)
            report = _report(root, id, command, fault, message, argv, bundle, file, config, ran or {},
                             look and _last(names) >= SOON)
            report["log"] = list(log)
            report["warnings"] = list(dict.fromkeys([*noted, *report.get("warnings", ())]))
            PosixKernel().write_new(f"{time.time_ns():020d}{SUFFIX}", _bounded(report), 0o600, directory)
            for name in [*_names(directory)[:-most()], *_halves(directory)]:
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
    make_root(root, PosixKernel())
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


def oldest_first(name: str, now: int) -> tuple[bool, str]:
    """The key by which files of reports are sorted. One of a time to come is of a clock that has been set back since:
    it is the first that has to go, for otherwise it would stay for ever, and no report beside it."""
    return name[:-len(SUFFIX)] <= f"{now:020d}", name


def _names(directory: int) -> list[str]:
    """The reports, oldest first."""
    now = time.time_ns()
    return sorted((name for name in posix.listdir(directory) if name.endswith(SUFFIX) and not name.startswith(".")),
                  key=lambda name: oldest_first(name, now))


def _halves(directory: int) -> list[str]:
    """What a process that was killed while it wrote a report has left. Another one may be writing just now."""
    old = time.time() - 60
    return [name for name in posix.listdir(directory) if name.startswith(".")
            and posix.stat(name, dir_fd=directory, follow_symlinks=False).st_mtime < old]


def _last(names: Sequence[str]) -> float:
    """Seconds since the newest report; many, if there is none."""
    newest = names[-1].removesuffix(SUFFIX) if names else ""
    since = (time.time_ns() - int(newest)) / 1e9 if newest.isdigit() else SOON
    return since if since >= 0 else SOON


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
        "version": VERSION, "pyrunc": __version__, "time": stamp(time.time_ns(), 3), "container": id,
        "command": command, "root": root, "bundle": bundle, "argv": without_values(argv),
        "error": error, "caller": _caller(), "config": without_environment(config), **ran, "host": _host()}
    if of_bundle and look and _size(absolute(file, bundle)) <= LARGEST_CHECKED:
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


def without_environment(value: Any) -> Any:
    """The config with the names of environment variables only, and without values that are very long."""
    if isinstance(value, dict):
        return {name: names_only(member) if name[:3].lower() == "env" else without_environment(member)
                for name, member in value.items()}
    if isinstance(value, list):
        return [without_environment(item) for item in value]
    if isinstance(value, str) and len(value) > LONGEST_VALUE:
        return value[:LONGEST_VALUE] + "..."
    return value


def names_only(environment: Any) -> Any:
    """What an environment names, in whatever form it was written down: it may be the form that is the fault."""
    if isinstance(environment, dict):
        return dict.fromkeys(environment, "")
    if isinstance(environment, list):
        return [names_only(item) for item in environment]
    if not isinstance(environment, str):
        return None
    name, equals, _ = environment.partition("=")
    return name if equals else "(without =)"


def _caller() -> dict[str, Any]:
    """Who has run the command: an engine's shim, conmon, a shell."""
    from .host_files import text
    return {"pid": posix.getppid(), "name": text(f"/proc/{posix.getppid()}/comm").strip(), "uid": posix.getuid()}


def _host() -> dict[str, Any]:
    from ..host import probe
    from .host_files import controllers
    host = probe()
    facts: dict[str, Any] = {name: getattr(host, name) for name in (
        "euid", "in_userns", "cgroup_mount", "cgroup_hybrid", "apparmor", "selinux", "resctrl")}
    system = posix.uname()
    return {**facts, "controllers": sorted(controllers(host)), "capabilities": f"{host.capabilities:x}",
            "kernel": system.release, "machine": system.machine, "name": system.nodename}


def _size(path: str) -> int:
    try:
        return posix.stat(path).st_size
    except OSError:
        return 0


def _findings(bundle: str, file: str) -> list[dict[str, str]]:
    from .findings import examine
    return [{"level": finding.level, "where": finding.where, "what": finding.what, "hint": finding.hint}
            for finding in examine(bundle, file)]


def _bounded(report: dict[str, Any]) -> bytes:
    """The text of a report, of at most LARGEST bytes, and JSON in any case: whole parts are left out first, but not by
    what name a container is asked for; of what is still too long, ends."""
    data = _text(report)
    for name in LEAST_FIRST:
        if len(data) > LARGEST and name in report:
            told = f"left out: {len(data)} bytes are more than a report has room for"
            config = report[name] if name == "config" and isinstance(report[name], dict) else None
            report[name] = told if config is None else {"annotations": config.get("annotations"), "": told}
            data = _text(report)
    for length in SHORTER:
        if len(data) > LARGEST:
            data = _text(_shortened(report, length))
    return data


def _text(report: Any) -> bytes:
    return dumps(report, 1).encode(errors="backslashreplace")


def _shortened(value: Any, length: int, deep: int = DEEPEST) -> Any:
    """The same, with at most so many characters in a string and members in a list or an object."""
    if isinstance(value, (dict, list)) and not deep:
        return "..."
    if isinstance(value, dict):
        return {_shortened(name, length): _shortened(value[name], length, deep - 1) for name in list(value)[:length]}
    if isinstance(value, list):
        return [_shortened(item, length, deep - 1) for item in value[:length]]
    return value[:length] + "..." if isinstance(value, str) and len(value) > length else value
