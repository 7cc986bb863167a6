"""Operations that wait for a worker that stays: in a process of its own each would copy every page that it touches.

They wait as long as the workers get on with what they have. Once no worker has answered for a while, as when all of
them wait for hooks, whoever has waited as long goes on without them.
"""
from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..kernel.loop import Loop, Timer
    from .channel import Message
    from .nursery import Then

    #: A request, its descriptors, and who gets its answer.
    Waiting = tuple[Message, list[int], Then]


class Turns:
    """First come, first served.

    patience  seconds without an answer after which an operation has waited long enough; 0: none waits
    ask       gives an operation to a worker, and says whether there was one
    alone     runs an operation without those workers
    """

    def __init__(self, loop: Loop, patience: float, ask: Callable[[Waiting], bool],
                 alone: Callable[[Waiting], None]) -> None:
        self._loop, self.patience, self._ask, self._alone = loop, patience, ask, alone
        self._waiting: list[tuple[float, Waiting]] = []
        self._timer: Timer | None = None
        self._answered = 0.0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def wait(self, one: Waiting) -> None:
        """It waits from now on."""
        self._waiting.append((time.monotonic(), one))
        if self._timer is None:
            self._timer = self._loop.later(self.patience, self._late)

    def answered(self) -> None:
        """A worker has answered, or is gone."""
        self._answered = time.monotonic()
        self._go_on()

    def _go_on(self) -> None:
        while self._waiting and self._ask(self._waiting[0][1]):
            del self._waiting[0]

    def _late(self) -> None:
        self._timer = None
        self._go_on()                        # a worker that is at it for long makes room for another
        now = time.monotonic()
        if now - self._answered >= self.patience:
            late = [one for since, one in self._waiting if now - since >= self.patience]
            del self._waiting[:len(late)]
            for one in late:
                self._alone(one)
        if self._waiting:
            since = max(self._answered, self._waiting[0][0])
            self._timer = self._loop.later(since + self.patience - now, self._late)
