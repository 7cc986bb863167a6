"""exec: one more process in a container."""
from __future__ import annotations

from ..config.check import check_process
from ..config.load import load
from ..errors import StepError, UsageError
from ..paths import absolute
from ..runtime import exec as operation
from .bundle import check_descriptors, listen_fds
from .flags import Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..config.types import Config, Process
    from ..engine.step import Plan
    from ..options import Options
    from ..state.container import Container
    from .flags import Call

COMMAND = Command(
    "exec", "run another process in a container",
    (Flag("process", str, "read the process from this file: JSON in the form of config.json's `process`",
          short="p", value="FILE"),
     Flag("detach", bool, "return as soon as the process runs", short="d"),
     Flag("tty", bool, "give the process a terminal", short="t"),
     Flag("console-socket", str, "send the master end of the terminal to this unix socket", value="SOCKET"),
     Flag("pidfd-socket", str, "send a pidfd of the process to this unix socket", value="SOCKET"),
     Flag("pid-file", str, "write the pid of the process to this file", value="FILE"),
     Flag("cwd", str, "working directory in the container", value="DIR"),
     Flag("env", list, "add an environment variable", short="e", value="NAME=VALUE"),
     Flag("user", str, "user and group id", short="u", value="UID[:GID]"),
     Flag("additional-gids", list, "add a supplementary group", short="g", value="GID"),
     Flag("cap", list, "add a capability", short="c", value="CAP"),
     Flag("no-new-privs", bool, "set no_new_privs"),
     Flag("apparmor", str, "AppArmor profile", value="PROFILE"),
     Flag("process-label", str, "SELinux label", value="LABEL"),
     Flag("preserve-fds", int, "pass N descriptors to the process, after 0, 1, 2 and those of LISTEN_FDS", value="N"),
     Flag("cgroup", list, "run in this cgroup below the container's; names of controllers before it have no effect",
          value="[CONTROLLERS:]PATH"),
     Flag("ignore-paused", bool, "allow a paused container: the process runs once the container is resumed")),
    arguments="<container-id> [command [arguments]]", least=1, most=-1, stop=1, prefix="exec failed: ", failure=255,
    shares=True)

ID_LIMIT = 2**32 - 2             # 2^32-1 means "leave as it is" to the kernel (setresuid(2))


def run(call: Call) -> int:
    """The exit status is the process's, or 128 and the number of the signal that killed it; 0 when detached."""
    asked = prepare(call)
    options = asked[-1]
    if not options.detach:
        from .foreground import hold_signals
        hold_signals()
    try:
        facts = operation.exec(*asked, call.observers(stops=True))
    except StepError as fault:
        raise placed(call, fault) from None
    if options.detach:
        return 0
    from .foreground import stay
    try:
        return stay(facts, call.log)
    except BaseException:             # nobody would learn how it ends: an exec that fails leaves nothing running
        operation.end(facts)
        raise


def placed(call: Call, fault: StepError) -> StepError:
    """The error, with its place where the caller has written it: arguments and flags are in no config.json."""
    if call.given("process"):
        return fault.of(f"in {call.text('process')}") if fault.where.startswith("process.") else fault
    from_flags = (("process.args", True), ("process.cwd", bool(call.text("cwd"))), ("process.user", call.given("user")))
    if any(given and fault.where.startswith(where) for where, given in from_flags):
        return fault.of("on the command line")
    return fault


def plan_of(call: Call) -> Plan:
    """For `explain`."""
    container, config, process, options = prepare(call)
    if options.detach and not options.console_socket and process.get("terminal"):
        options.console_socket = "SOCKET"
    return operation.planned(container, config, process, options, call.planned_for())


def prepare(call: Call) -> tuple[Container, Config, Process, Options]:
    """What is asked for, and of which container. No effects. Raises UsageError, StateError, ConfigError."""
    container, config = operation.found(call.root, call.id, call.on("ignore-paused"),
                                        " (use --ignore-paused to override)")
    if "break-annotation" in call.settings:
        from .stopping import narrow as narrow_stops
        narrow_stops(call, container.state["annotations"])
    process = process_of(call, config)
    path = {name: absolute(call.text(name)) if call.text(name) else ""
            for name in ("console-socket", "pidfd-socket", "pid-file")}
    options = operation.options_of(
        container, detach=call.on("detach"), console_socket=path["console-socket"], pidfd_socket=path["pidfd-socket"],
        pid_file=path["pid-file"], preserve_fds=call.number("preserve-fds"), listen_fds=listen_fds(),
        cgroup=cgroup_of(call.list("cgroup")), inspected=bool(call.stops))
    check_descriptors(options)
    return container, config, process, options


def process_of(call: Call, saved: Config) -> Process:
    """The process to run: of the file that --process names, or the container's own with what the flags change."""
    process: Any
    if call.given("process"):
        file = absolute(call.text("process"))
        process = load("", file)
        check_process(process, call.text("process"))
        given: Process = operation.completed(process, saved.get("process") or {})
        return changed(call, given) if call.arguments[1:] else given
    args = call.arguments[1:]
    if not args:
        raise UsageError("exec args cannot be empty")
    process = saved.get("process")
    if process is None:
        raise UsageError("config.json of the container has no process whose settings exec could take: use --process")
    return changed(call, process)


def changed(call: Call, base: Any) -> Process:
    """A copy of the process with the arguments and every flag applied."""
    process: Any = {**base, "args": call.arguments[1:] or base["args"], "terminal": call.on("tty")}
    for flag, name in (("cwd", "cwd"), ("apparmor", "apparmorProfile"), ("process-label", "selinuxLabel")):
        if call.text(flag):          # an empty one is none: it takes no label away
            process[name] = call.text(flag)
    if call.given("no-new-privs"):
        process["noNewPrivileges"] = call.on("no-new-privs")
    process["env"] = [*(base.get("env") or ()), *call.list("env")]
    user = dict(base.get("user") or {"uid": 0, "gid": 0})
    if call.given("user"):
        uid, colon, gid = call.text("user").partition(":")
        user["uid"] = id_of(uid, "user", "bad uid: ")
        user["gid"] = id_of(gid, "user", "bad gid: ") if colon else user["gid"]
    if call.given("additional-gids"):
        user["additionalGids"] = [*(user.get("additionalGids") or ()),
                                  *(id_of(gid, "additional-gids") for gid in call.list("additional-gids"))]
    process["user"] = user
    if call.given("cap"):
        process["capabilities"] = with_capabilities(base.get("capabilities") or {}, call.list("cap"))
    done: Process = process
    check_process(done, "the process")
    return done


def with_capabilities(sets: dict[str, list[str]], added: list[str]) -> dict[str, list[str]]:
    """Added to what the process may have; to the ambient set only where there is an inheritable one, which is never
    added to (CVE-2022-29162)."""
    kinds = ["bounding", "effective", "permitted"]
    if sets.get("inheritable"):
        kinds.append("ambient")
    return {**sets, **{kind: [*(sets.get(kind) or ()), *added] for kind in kinds}}


def id_of(text: str, flag: str, words: str = "") -> int:
    """A user or group id in decimal digits; nothing else, above all no name (CVE-2016-3697, CVE-2026-30892).

    words   of runc, in front of the error
    """
    if not (text.isascii() and text.isdigit() and len(text) < 11 and int(text) <= ID_LIMIT):
        raise UsageError(f'{words}invalid value "{text}" for flag -{flag}: an id is a number')
    return int(text)


def cgroup_of(values: list[str]) -> str:
    """The one path of --cgroup. In cgroup v2 there is one hierarchy, so naming controllers changes nothing."""
    paths = {value.rpartition(":")[2] for value in values}
    if len(paths) > 1:
        raise UsageError("--cgroup names several paths, and cgroup v2 has one hierarchy")
    path = paths.pop() if paths else ""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise UsageError(f"bad sub cgroup path: --cgroup {path} leads out of the container's cgroup")
    return "/".join(parts)
