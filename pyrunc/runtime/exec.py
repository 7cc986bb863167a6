"""One more process in a container: for the command line, the library and the shim."""
from __future__ import annotations

from .. import plan
from ..engine.run import execute
from ..errors import NOT_RUNNING, StateError, StepError
from ..host import probe
from ..kernel.linux import Kernel
from ..options import Options
from ..state import store
from ..state.container import PAUSED, STOPPED, Container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..config.types import Config, Process
    from ..engine.facts import Facts
    from ..engine.observer import Observer
    from ..engine.step import Plan
    from ..host import Host

#: The steps that need what goes with the container: its namespaces, cgroup, unit, resctrl group.
OF_CONTAINER = ("join.", "namespaces.", "scope.", "intel_rdt.")
#: What a process may leave out, and then is the container's. Not the terminal: that is the caller's matter.
LABELS = ("apparmorProfile", "selinuxLabel")
INHERITED = (*LABELS, "capabilities", "env", "execCPUAffinity", "ioPriority", "noNewPrivileges", "oomScoreAdj",
             "rlimits", "scheduler")


def found(root: str, id: str, paused: bool = False, hint: str = "") -> tuple[Container, Config]:
    """The container and the config that it was created from. No effects.

    paused   one that is paused will do: the process runs once it is resumed
    hint     for the error, how to have that
    Raises StateError unless it can take one more process.
    """
    container = Container.load(root, id)
    ready(container, paused, hint)
    return container, store.read_config(root, id)


def ready(container: Container, paused: bool = False, hint: str = "") -> None:
    """Raise StateError unless it can take one more process now; paused, hint: as found() has them."""
    status = container.status()
    if status == STOPPED or not container.pid:
        raise StateError(f"cannot exec in a stopped container: {NOT_RUNNING}")
    if status == PAUSED and not paused:
        raise StateError(f"cannot exec in a paused container{hint}")


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


def options_of(container: Container, **given: Any) -> Options:
    """The options of an exec: what the container says, and what the caller gives of its own."""
    return Options(id=container.id, root=container.root, bundle=container.state["bundle"], joins=True,
                   init_pid=container.pid, no_new_keyring=container.state["options"].get("no_new_keyring", False),
                   **given)


def planned(container: Container, config: Config, process: Process, options: Options, host: Host | None = None) -> Plan:
    """The plan. config: the container's own; process: checked (config/check.py); host: not this one, here and now.

    Raises ConfigError; no effects.
    """
    return plan.exec({**config, "process": process}, options, host or probe(), container.state)


def exec(container: Container, config: Config, process: Process, options: Options,
         observers: Sequence[Observer] = ()) -> Facts:
    """Run one more process in a container, as planned() has it; what it returns and raises is run()'s, and ConfigError.
    """
    return run(container, planned(container, config, process, options), observers, options.cgroup)


def run(container: Container, plan: Plan, observers: Sequence[Observer] = (), cgroup: str = "") -> Facts:
    """Run a plan of planned(). No lock is taken: any number may be made at a time.

    cgroup   the caller's own choice, Options.cgroup
    facts.pid and facts.pidfd are the new process's, which is a child of the caller. Raises StateError, StepError or
    engine.Interrupted, with everything undone.
    """
    try:
        return execute(plan, Kernel(), observers)
    except StepError as fault:
        killed = fault.what.startswith("killed by signal 9")        # as all processes of a container are that ends
        named = fault.step == "join.cgroup" and cgroup and container.cgroup().exists()   # --cgroup is at fault
        if not ((killed or fault.step.startswith(OF_CONTAINER)) and not named and container.ends(Kernel())):
            raise
        # What it then misses says nothing; engines take "no such file" for a missing program.
        raise StateError(f"cannot exec in a stopped container: {NOT_RUNNING}: it ended during exec") from None


def end(facts: Facts) -> None:
    """Kill what exec() has made, and reap it."""
    Kernel().kill_and_reap(facts.pid, facts.pidfd)
