"""What the shim answers when things happen at once: its workers' part is played here."""
from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from pyrunc.kernel.loop import Loop
from pyrunc.shim.service import Service
from pyrunc.ttrpc import codes
from pyrunc.ttrpc.codes import RpcError
from pyrunc.ttrpc.messages import task as api
from tests.forked import forked


class Call:
    """A call of containerd's: what it was answered."""

    def __init__(self) -> None:
        self.answers: list[Any] = []

    def answer(self, message: Any) -> None:
        self.answers.append(message)

    def fail(self, code: int, message: str) -> None:
        self.answers.append((code, message))


class World:
    """A service, and what is around it."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.asked: list[tuple[dict[str, Any], Callable[[dict[str, Any], list[int]], None]]] = []
        self.emptied = 0
        publisher: Any = self
        self.service: Any = Service(Loop(), publisher, "tests", lambda: None, self.is_empty)
        self.service.nursery = publisher

    def publish(self, event: Any) -> None:
        self.events.append(event)

    def is_empty(self) -> None:
        self.emptied += 1

    def run(self, request: dict[str, Any], fds: list[int], then: Any, again: bool = False) -> None:
        """As the nursery: an operation has been asked for."""
        self.asked.append((request, then))


def in_a_world(act: Callable[[World], None]) -> None:
    """In a process of its own: a service watches for the ends of all its children."""
    forked(lambda: act(World()))


def test_a_shim_that_is_about_to_end_lets_none_come() -> None:
    """What `start` asks begins the time anew in which a container has to come."""
    def act(world: World) -> None:
        asked = api.ConnectRequest(id="web")
        assert world.service.connect(asked, Call()).shim_pid == os.getpid() and world.emptied == 1
        world.service.leaving = True
        with pytest.raises(RpcError) as refused:
            world.service.connect(asked, Call())
        assert refused.value.code == codes.UNAVAILABLE and world.emptied == 1
    in_a_world(act)
