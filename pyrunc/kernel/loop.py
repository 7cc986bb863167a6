"""One poll(2) loop for all that a keeper or a shim waits for: descriptors and points in time. No threads."""
from __future__ import annotations

import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

READ, WRITE = select.POLLIN, select.POLLOUT
#: Seconds that poll(2) is asked to wait at most: it takes an int of milliseconds, and a caller may name any limit.
LONGEST = 3600.0


class Timer:
    """A call that waits for its time; cancel() is the way to forget it."""
    __slots__ = ("at", "call")

    def __init__(self, at: float, call: Callable[[], None]) -> None:
        self.at, self.call = at, call

    def cancel(self) -> None:
        """Not to be called any more; again is no error."""
        self.call = _nothing


def _nothing() -> None:
    pass


class Loop:
    """Calls back when a descriptor is ready or a time has come, until stop()."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._watched: dict[int, Callable[[int], None]] = {}
        self._timers: list[Timer] = []
        self._running = False

    def watch(self, fd: int, events: int, call: Callable[[int], None]) -> None:
        """Call call(events of poll(2)) whenever fd is ready; a second watch of fd takes the place of the first."""
        self._watched[fd] = call
        self._poll.register(fd, events)

    def forget(self, fd: int) -> None:
        """Watch fd no more. Before it is closed; a descriptor that was not watched is no error."""
        if self._watched.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def later(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Call call() in so many seconds, by the monotonic clock."""
        timer = Timer(time.monotonic() + seconds, call)
        self._timers.append(timer)
        return timer

    def run(self) -> None:
        """Until stop(), or until there is nothing to wait for."""
        self._running = True
        while self._running and (self._watched or self._timers):
            self.once()

    def stop(self) -> None:
        """run() returns after the present call."""
        self._running = False

    def once(self, longest: float | None = None) -> None:
        """Wait for the next thing, at most `longest` seconds, and do it."""
        self._timers = [timer for timer in self._timers if timer.call is not _nothing]
        ends = [timer.at - time.monotonic() for timer in self._timers]
        if longest is not None:
            ends.append(longest)
        # rounded up to a millisecond, so as not to wake before the time
        for fd, events in self._poll.poll(max(0, int(min(*ends, LONGEST) * 1000) + 1) if ends else None):
            call = self._watched.get(fd)
            if call is not None:             # another call of this round has forgotten it
                call(events)
        now = time.monotonic()
        due = [timer for timer in self._timers if timer.at <= now]
        self._timers = [timer for timer in self._timers if timer.at > now]
        for timer in sorted(due, key=lambda timer: timer.at):
            timer.call()
