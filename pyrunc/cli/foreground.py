"""Staying with a container: its signals, its terminal, its orphans, and its exit status.

Without a terminal the container has descriptors 0, 1 and 2 of this process themselves, so there is nothing to copy.
With one, this process holds the master end and copies between it and the caller's terminal, which is raw meanwhile.
Signals come through a descriptor (signalfd(2)), so that one loop with poll(2) sees everything in turn.
"""
from __future__ import annotations

import _signal
import posix
import select

from .._native import lib
from ..errors import describe
from ..kernel.native import fail
from ..kernel.pidfd import wait_end
from ..kernel.stopping import STOPPING, hand_on

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..engine.facts import Facts
    from ..log import Log
    from ..runtime.sd_notify import Proxy
    from .console import Console

SIGINFO = 128             # sizeof(struct signalfd_siginfo); the signal's number is its first 32 bits
early: list[int] = []     # signals that came before they were blocked
TRACED = 5                # ms to the next look at an init that has ended and is traced
UNKNOWN = 255             # the exit status of an init that another process has reaped
OWN = (_signal.SIGCHLD, _signal.SIGURG)     # not for the container: our children's, and what nobody sends on purpose


def hold_signals() -> None:
    """Keep signals for the container from now on; the ones that stop a plan still do while one is run."""
    _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals().difference(STOPPING))
    for number in STOPPING:
        _signal.signal(number, _remember)


def hold_all() -> None:
    """The same for all signals, the ones included that have come between two plans: they wait for stay()."""
    if lib.pr_signals_block() < 0:
        raise fail("hold the signals")
    while early:
        posix.kill(posix.getpid(), early.pop(0))


def _remember(number: int, _frame: object) -> None:
    if not hand_on(number):
        early.append(number)


def stay(facts: Facts, log: Log, notify: Proxy | None = None) -> int:
    """Forward signals and copy the terminal until the container's init has ended; its exit status, 128+n for signal n.

    Takes over facts.pidfd and facts.console_fd.
    """
    log.settle()
    hold_all()
    signals = lib.pr_signalfd()
    if signals < 0:
        raise fail("signalfd")
    console: Console | None = None
    try:
        if facts.console_fd >= 0:
            from .console import Console
            console = Console(facts.console_fd)
        poll = select.poll()
        poll.register(facts.pidfd, select.POLLIN)
        poll.register(signals, select.POLLIN)
        while (status := reap(facts)) is None:
            wanted = console.wanted() if console is not None else {}
            if notify is not None:
                wanted |= notify.wanted()
            for fd, events in wanted.items():
                poll.register(fd, events)
            ready = dict(poll.poll())
            for fd in wanted:
                poll.unregister(fd)
            if signals in ready:
                forward(signals, facts.pidfd, console, log)
            if console is not None:
                console.copy(ready)
            if notify is not None:
                notify.forward(facts.pid)
        if console is not None:
            console.drain()
        return status
    finally:
        if console is not None:
            console.close()
            if console.lost is not None:
                log.warning(f"write what the container prints to the standard output: {describe(console.lost)}")


def forward(signals: int, pidfd: int, console: Console | None, log: Log) -> None:
    """Hand every signal that has arrived on to the init.

    Not SIGWINCH, which is no message to a program but news of a terminal's size: it changes the size of the container's
    terminal, whose kernel tells the program. A program that has none may mean something else by the signal (Apache's
    httpd stops), and here only the caller's window was resized.
    """
    while True:
        try:
            number = int.from_bytes(posix.read(signals, SIGINFO)[:4], "little")
        except BlockingIOError:
            return
        if number == _signal.SIGWINCH:
            if console is not None:
                console.resize()
        elif number not in OWN:
            log.debug(f"forwarding signal {number}")
            try:
                _signal.pidfd_send_signal(pidfd, number)
            except OSError:           # it has ended: the loop will see
                pass


def reap(facts: Facts) -> int | None:
    """Collect every child that has ended; the exit status of the init once it is among them."""
    ended, found = wait_end(facts.pidfd, 0), None
    while True:
        try:
            child, status = posix.waitpid(-1, posix.WNOHANG)
        except ChildProcessError:
            child = 0
        if not child:
            break
        if child == facts.pid:
            found = exit_status(status)
    if not ended or found is not None:
        return found
    try:
        posix.waitid(posix.P_PID, facts.pid, posix.WEXITED | posix.WNOHANG | posix.WNOWAIT)
    except ChildProcessError:
        return UNKNOWN
    select.poll().poll(TRACED)       # it is there still: who traces it is told first (ptrace(2)), and then we are
    return None


def exit_status(status: int) -> int:
    """A wait status (wait(2)) as shells show it."""
    return 128 + posix.WTERMSIG(status) if posix.WIFSIGNALED(status) else posix.WEXITSTATUS(status)
