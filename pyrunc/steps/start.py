"""`start`: the init that waits at the fifo is let go, and execs the configured program."""
from __future__ import annotations

import _signal
import posix

from ..engine import Interrupted
from ..errors import StateError, StepError
from ..page import PHASE_EXEC, PHASE_FAILED, TEXT, TEXT_SIZE, Page, last_words, read
from ..state.store import open_file
from ..step import Step
from ..stopping import STOPPING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from ..facts import Facts
    from ..kernel import Kernel
    from ..state.container import Container

class Release(Step):
    """One byte through the fifo; then execve(2) closes the init's end, or its death does.

    The write end reports POLLERR once nobody has the fifo open for reading (poll(2)). The journal tells which of the
    two it was.
    """
    name = "start.release"
    spec = "runtime.md#start"
    container: Container

    def describe(self) -> str:
        return "write to the fifo and wait until the init has become the configured program"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        # A signal that the engine noted in here would not end the wait: they are kept for that.
        mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, STOPPING)
        try:
            self._release(kernel)
        finally:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)

    def _release(self, kernel: Kernel) -> None:
        fifo = self.container.path("exec.fifo")
        fd = kernel.open(fifo, posix.O_WRONLY | posix.O_NONBLOCK)
        try:
            kernel.write(fd, b"0")
            interrupted = wait_error(fd)
        finally:
            kernel.close(fd)
        fd = open_file(self.container.root, self.container.id, "journal")
        try:
            page = read(posix.pread(fd, TEXT + TEXT_SIZE, 0))
        finally:
            kernel.close(fd)
        if page.phase != PHASE_EXEC:
            raise interrupted or ended(self.container, page)
        if interrupted:           # too late for us: the program runs. A caller that keeps signals for it gets this one
            posix.kill(posix.getpid(), interrupted.number)
        kernel.unlink(fifo)


def wait_error(fd: int) -> Interrupted | None:
    """Wait until poll(2) reports POLLERR, or until a signal asks the command to stop: then that.

    A startContainer hook may take for ever, so this wait can be interrupted, also by signals that are blocked
    around it.
    """
    import select
    poll = select.poll()
    poll.register(fd, 0)
    handlers = [(number, _signal.signal(number, _interrupt)) for number in STOPPING]
    mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, ())
    try:
        try:
            _signal.pthread_sigmask(_signal.SIG_UNBLOCK, STOPPING)     # one that waited is raised here
            poll.poll()
        finally:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
    except Interrupted as interrupted:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
        return interrupted
    finally:
        for number, handler in handlers:
            _signal.signal(number, handler if handler is not None else _signal.SIG_DFL)
    return None


def _interrupt(number: int, _frame: object) -> NoReturn:
    raise Interrupted(number)


def ended(container: Container, page: Page) -> StepError | StateError:
    """The error of an init that ended between the fifo and execve(2)."""
    if page.phase != PHASE_FAILED:
        return StateError("the container's init was killed before it could exec the configured program")
    from ..hints import hint_for
    where, what, hint = last_words(page)
    id, spec, place = step_of(container, page.child_step)
    name = id.partition("#")[0]
    return StepError(what, page.error, where or place, name, spec, hint or hint_for(name, page.error), id)


def step_of(container: Container, index: int) -> tuple[str, str, str]:
    """(id, spec, JSON path) of a step of create. Where there was no room to write the plan down, it is made again."""
    from ..state.planned import read_step
    try:
        return read_step(container, index)
    except FileNotFoundError:
        from .. import plan
        from ..host import probe
        from ..state.intact import options_of
        from ..state.store import read_config
        made = plan.create(read_config(container.root, container.id), options_of(container.state), probe())
        if not 0 <= index < len(made.steps):
            raise StateError(f"{container.path('journal')} is damaged: create has no step {index}") from None
        return made.ids[index], made.steps[index].spec, made.steps[index].where
