"""`start`: the init that waits at the fifo is let go, and execs the configured program."""
from __future__ import annotations

import errno
import posix

from ..engine.run import Interrupted
from ..engine.step import Step
from ..errors import PyruncError, StateError, StepError
from ..kernel.page import PHASE_EXEC, PHASE_FAILED, TEXT, TEXT_SIZE, Page, last_words, read
from ..kernel.stopping import STOPPING
from ..state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..engine.facts import Facts
    from ..kernel.linux import Kernel
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
        return "write to the fifo, and wait until the init has executed the configured program"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        # A signal that the engine noted in here would not end the wait: they are kept for that.
        mask = kernel.hold_signals(STOPPING)
        try:
            self._release(kernel)
        finally:
            kernel.set_signals(mask)
        facts.pid = self.container.pid           # for hooks; and the program runs

    def _release(self, kernel: Kernel) -> None:
        fifo, fd, interrupted = self.container.path(store.FIFO), -1, 0
        try:
            fd = kernel.open(fifo, posix.O_WRONLY | posix.O_NONBLOCK)
            kernel.write(fd, b"0")
            interrupted = kernel.wait_unread(fd, STOPPING)
        except OSError as fault:
            if fault.errno not in (errno.ENXIO, errno.EPIPE):     # fifo(7): the init ended before open, before write
                raise
        finally:
            if fd >= 0:
                kernel.close(fd)
        fd = kernel.open_own(self.container.root, self.container.id, store.JOURNAL)
        try:
            page = read(kernel.read(fd, TEXT + TEXT_SIZE))
        finally:
            kernel.close(fd)
        if page.phase != PHASE_EXEC:
            if interrupted:
                raise Interrupted(interrupted)
            try:                         # who is told finds the container stopped, and can delete it
                self.container.ends(kernel)
            except OSError:              # no descriptor to wait with
                pass
            raise ended(self.container, page)
        if interrupted:           # too late for us: the program runs. A caller that keeps signals for it gets this one
            kernel.raise_signal(interrupted)
        kernel.unlink(fifo)


class Unlock(Step):
    """Hooks may take long, and call pyrunc themselves."""
    name = "start.unlock"
    spec = "runtime.md#start"

    def describe(self) -> str:
        return "release the container's lock"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.close(facts.lock_fd)
        facts.lock_fd = -1


def ended(container: Container, page: Page) -> StepError | StateError:
    """The error of an init that ended between the fifo and execve(2)."""
    from ..engine.hints import hint_for, of_filter
    if page.phase != PHASE_FAILED:
        told = "the container's init was killed before it could exec the configured program"
        refused = of_filter(_filter(container), 0)
        return StateError(f"{told}: at {refused[1]} in config.json; hint: {refused[0]}" if refused else told)
    from ..state.planned import read_step
    where, what, hint = last_words(page)
    id, spec, place = read_step(container, page.child_step)
    name = id.partition("#")[0]
    if name == "process.exec" and not hint and (refused := of_filter(_filter(container), page.error)):
        hint, where = refused
    return StepError(what, page.error, where or place, name, spec, hint or hint_for(name, page.error), id)


def _filter(container: Container) -> Any:
    """linux.seccomp of the container, None when it has none, or it cannot be read any more."""
    try:
        config: Any = store.read_config(container.root, container.id)
        return config.get("linux", {}).get("seccomp")
    except (OSError, PyruncError):
        return None


def release(container: Container) -> Iterator[Step]:
    """PARENT; facts.lock_fd is the container's lock. It is held until the program runs: of two starts one wins."""
    yield Release(container=container)
    if container.state["hooks"].get("poststart"):
        yield Unlock()
