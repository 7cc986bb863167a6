"""exec: one more process in a container."""
from __future__ import annotations

import posix

from .. import plan
from ..config.check import check_process
from ..config.load import load
from ..engine.run import execute
from ..errors import NOT_RUNNING, StateError, StepError, UsageError
from ..host import probe
from ..kernel.linux import Kernel
from ..kernel.pidfd import wait_end
from ..options import Options
from ..paths import absolute
from ..state import store
from ..state.container import PAUSED, STOPPED, Container
from .bundle import check_descriptors, listen_fds
from .flags import Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..config.types import Config, Process
    from ..engine.step import Plan
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

#: The steps that need what goes with the container: its namespaces, cgroup, unit, resctrl group.
OF_CONTAINER = ("join.", "namespaces.", "scope.", "intel_rdt.")
#: What a process file may leave out, and then is the container's. Not the terminal: that is the caller's matter.
LABELS = ("apparmorProfile", "selinuxLabel")
INHERITED = (*LABELS, "capabilities", "env", "execCPUAffinity", "ioPriority", "noNewPrivileges", "oomScoreAdj",
             "rlimits", "scheduler")
ENDING = 2.0                     # seconds from letting go of the namespaces to the end of a process, at most
ID_LIMIT = 2**32 - 2             # 2^32-1 means "leave as it is" to the kernel (setresuid(2))


def run(call: Call) -> int:
    """The exit status is the process's, or 128 and the number of the signal that killed it; 0 when detached."""
    container, config, options = prepare(call)
    if not options.detach:
        from .foreground import hold_signals
        hold_signals()
    steps = plan.exec(config, options, probe(), container.state)
    kernel = Kernel()
    try:
        facts = execute(steps, kernel, call.observers(stops=True))
    except StepError as fault:
        killed = fault.what.startswith("killed by signal 9")        # as all processes of a container are that ends
        named = fault.step == "join.cgroup" and options.cgroup and container.cgroup().exists()   # --cgroup is at fault
        if not ((killed or fault.step.startswith(OF_CONTAINER)) and not named and ends(container)):
            raise
        # What it then misses says nothing; engines take "no such file" for a missing program.
        raise StateError(f"cannot exec in a stopped container: {NOT_RUNNING}: it ended during exec") from None
    if options.detach:
        return 0
    from .foreground import stay
    try:
        return stay(facts, call.log)
    except BaseException:             # nobody would learn how it ends: an exec that fails leaves nothing running
        kernel.kill_and_reap(facts.pid, facts.pidfd)
        raise


def plan_of(call: Call) -> Plan:
    """For `explain`."""
    container, config, options = prepare(call)
    if options.detach and not options.console_socket and config["process"].get("terminal"):
        options.console_socket = "SOCKET"
    return plan.exec(config, options, call.planned_for(), container.state)


def prepare(call: Call) -> tuple[Container, Config, Options]:
    """What is asked for, and of which container. No effects. Raises UsageError, StateError, ConfigError."""
    container = Container.load(call.root, call.id)
    status = container.status()
    if status == STOPPED or not container.pid:
        raise StateError(f"cannot exec in a stopped container: {NOT_RUNNING}")
    if status == PAUSED and not call.on("ignore-paused"):
        raise StateError("cannot exec in a paused container (use --ignore-paused to override)")
    saved = store.read_config(call.root, call.id)
    config: Any = {**saved, "process": process_of(call, saved)}
    options = options_of(call, container)
    check_descriptors(options)
    return container, config, options


def ends(container: Container) -> bool:
    """Whether the init has ended, or is about to: a process that exits lets go of its namespaces a little earlier."""
    try:
        fd = container.pidfd()
    except StateError:
        return True
    try:
        return wait_end(fd, ENDING)
    finally:
        posix.close(fd)


def options_of(call: Call, container: Container) -> Options:
    """The flags as the planner takes them."""
    path = {name: absolute(call.text(name)) if call.text(name) else ""
            for name in ("console-socket", "pidfd-socket", "pid-file")}
    return Options(
        id=call.id, root=call.root, bundle=container.state["bundle"], joins=True, init_pid=container.pid,
        no_new_keyring=container.state["options"].get("no_new_keyring", False), detach=call.on("detach"),
        console_socket=path["console-socket"], pidfd_socket=path["pidfd-socket"], pid_file=path["pid-file"],
        preserve_fds=call.number("preserve-fds"), listen_fds=listen_fds(), cgroup=cgroup_of(call.list("cgroup")),
        inspected=bool(call.stops))


def process_of(call: Call, saved: Config) -> Process:
    """The process to run: of the file that --process names, or the container's own with what the flags change."""
    process: Any
    if call.given("process"):
        file = absolute(call.text("process"))
        process = load("", file)
        check_process(process, call.text("process"))
        given: Process = completed(process, saved.get("process") or {})
        return changed(call, given) if call.arguments[1:] else given
    args = call.arguments[1:]
    if not args:
        raise UsageError("exec args cannot be empty")
    process = saved.get("process")
    if process is None:
        raise UsageError("config.json of the container has no process whose settings exec could take: use --process")
    return changed(call, process)


def completed(process: Any, containers: Any) -> Process:
    """The process, with what it leaves out from the container's: who says nothing does not ask for all of the host.

    docs/process.md has the table. An empty label is none; an empty list or object is what it says. Groups belong to a
    user: who names one gets those that are named with it (Go's JSON leaves out an empty list).
    """
    done: Any = {name: value for name, value in containers.items() if name in INHERITED}
    done.update((name, value) for name, value in process.items() if value or name not in LABELS)
    user = dict(containers.get("user") or {})
    if "user" in process:
        user.pop("additionalGids", None)
        user.update(process["user"])
    if user:
        done["user"] = user
    return done  # type: ignore[no-any-return]


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


