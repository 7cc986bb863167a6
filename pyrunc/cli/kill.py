"""kill: send a signal to a container's init, or to everything in it."""
from __future__ import annotations

import _signal
import posix

from ..errors import NOT_RUNNING, StateError, UsageError
from ..state.container import Container
from .flags import Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .flags import Call

COMMAND = Command(
    "kill", "send a signal to a container's init (default: SIGTERM)",
    (Flag("all", bool, "to every process of the container", short="a"),
     Flag("regex", bool, "the id is a regular expression: every container whose id it matches", short="r")),
    arguments="<container-id> [signal]", most=2, stop=1)


def run(call: Call) -> int:
    """No lock is taken: a signal must get through whatever other commands are doing."""
    number = signal_number(call.arguments[1] if len(call.arguments) > 1 and call.arguments[1] else "SIGTERM")
    if call.on("regex"):
        from .matching import ids
        for id in ids(call.root, call.id):
            try:
                kill(Container.load(call.root, id), number, call.on("all"))
            except StateError:       # it ended meanwhile, or does not run
                continue
        return 0
    kill(Container.load(call.root, call.id), number, call.on("all"))
    return 0


def kill(container: Container, number: int, all: bool) -> None:
    """Signal the init, or every process of the container's cgroup.

    SIGKILL reaches all of them anyway when the init has a pid namespace of its own; when it has not, the cgroup
    says who belongs to the container, whether the init still lives or not.
    """
    everything = all or (number == _signal.SIGKILL and not container.state["pid_namespace"])
    if everything and container.made and container.state["cgroup"]:
        signal_cgroup(container, number)
    else:
        try:
            container.signal(number)
        except StateError:
            if not all:
                raise


def signal_cgroup(container: Container, number: int) -> None:
    """Signal every process below the container's cgroup; StateError when there is none."""
    cgroup = container.cgroup()
    pids = cgroup.procs()
    if not pids:
        raise StateError(NOT_RUNNING)
    if number == _signal.SIGKILL:
        cgroup.kill()
        return
    for pid in pids:
        try:
            fd = posix.pidfd_open(pid)
        except OSError:
            continue
        try:
            if pid in cgroup.procs():     # the pidfd is of the process that was listed, not of a later one
                _signal.pidfd_send_signal(fd, number)
        except ProcessLookupError:
            pass
        finally:
            posix.close(fd)


def signal_number(name: str) -> int:
    """ "9", "KILL", "sigkill", "SIGRTMIN+3", "RTMAX-1" -> the number. UsageError for what is no signal."""
    if name.isascii() and name.isdigit():
        number = int(name)
    else:
        word = name.upper().removeprefix("SIG")
        base, sign, offset = word.partition("+") if "+" in word else word.partition("-")
        number = getattr(_signal, f"SIG{base}", 0) if base.isascii() and base.isalnum() else 0
        if sign:
            valid = base in ("RTMIN", "RTMAX") and offset.isascii() and offset.isdigit()
            number = number + int(sign + offset) if valid else 0
            if not _signal.SIGRTMIN <= number <= _signal.SIGRTMAX:
                number = 0
    if not 0 <= number < _signal.NSIG or (number == 0 and name != "0"):
        raise UsageError(f'unknown signal "{name}"')
    return number
