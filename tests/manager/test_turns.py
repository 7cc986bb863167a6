"""Operations wait for workers that stay, as long as these get on with their work."""
from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pyrunc.keeper.turns import Turns
from pyrunc.kernel.loop import Loop

if TYPE_CHECKING:
    from pyrunc.keeper.turns import Waiting

PATIENCE = 0.05


class Workers:
    """As many as are `free`; what they and processes of their own were given, and when."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.turns = Turns(self.loop, PATIENCE, self._ask, self._alone)
        self.free = 0
        self.given: list[Any] = []
        self.alone: list[tuple[Any, float]] = []

    def _ask(self, one: Waiting) -> bool:
        if not self.free:
            return False
        self.free -= 1
        self.given.append(one[0]["operation"])
        return True

    def _alone(self, one: Waiting) -> None:
        self.alone.append((one[0]["operation"], time.monotonic()))

    def wait(self, *words: str) -> float:
        """These operations come now."""
        for word in words:
            self.turns.wait(({"operation": word}, [], lambda message, fds: None))
        return time.monotonic()

    def pass_time(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.loop.once(end - time.monotonic())


def test_first_come_first_served() -> None:
    workers = Workers()
    workers.wait("a", "b", "c")
    workers.free = 2
    workers.turns.answered()
    assert workers.given == ["a", "b"] and workers.turns
    workers.free = 1
    workers.turns.answered()
    assert workers.given == ["a", "b", "c"] and not workers.turns
    workers.pass_time(3 * PATIENCE)
    assert workers.alone == []


def test_they_wait_while_others_are_served() -> None:
    workers = Workers()
    workers.wait(*map(str, range(20)))
    for _ in range(20):
        workers.pass_time(PATIENCE / 5)
        workers.free = 1
        workers.turns.answered()
        if workers.alone:                            # this process had no processor for so long
            return
    assert workers.given == [str(number) for number in range(20)]


def test_nobody_waits_for_what_hangs() -> None:
    workers = Workers()
    begun = workers.wait("a", "b")
    workers.pass_time(PATIENCE / 2)
    late = workers.wait("c")
    while len(workers.alone) < 3:
        workers.pass_time(PATIENCE / 5)
    assert [word for word, _ in workers.alone] == ["a", "b", "c"] and not workers.turns
    assert workers.alone[0][1] - begun >= PATIENCE and workers.alone[2][1] - late >= PATIENCE


def test_room_for_another_worker_is_seen() -> None:
    """One that is at its operation for long no longer counts: no answer tells of that."""
    workers = Workers()
    workers.wait("a", "b")
    workers.free = 1
    while workers.turns:
        workers.pass_time(PATIENCE / 5)
    assert workers.given == ["a"] and [word for word, _ in workers.alone] == ["b"]
