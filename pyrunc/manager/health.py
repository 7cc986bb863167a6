"""The health of a container: its probes, asked in turn, and what follows from their answers.

Kubernetes' rules: liveness and readiness wait for startup; a probe changes its mind after a threshold of answers in a
row; a failed startup or liveness probe ends the container like `stop`, and its restart policy decides what comes then.
A failed readiness probe only says that it is not ready.
"""
from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from ..errors import PyruncError
from .probes import ask
from .values import Probe

if TYPE_CHECKING:
    from .container import Container
    from .life import Life

#: Docker's words; "none" without probes.
NONE, STARTING, HEALTHY, UNHEALTHY = "none", "starting", "healthy", "unhealthy"


class Health:
    """The probes of one life of a container.

    word    none, starting, healthy or unhealthy
    ready   whether it is to be sent work
    """
    __slots__ = ("_tasks", "life", "probe_seconds", "ready", "word")

    def __init__(self, life: Life) -> None:
        self.life = life
        self.word, self.ready = NONE, False
        self._tasks: list[asyncio.Task[None]] = []
        self.probe_seconds = 0.0

    def begin(self) -> None:
        """It runs now."""
        given = self.life.record.health
        self.end()
        probes = [("liveness", given.liveness), ("readiness", given.readiness)]
        self.ready = given.readiness is None and given.startup is None
        if given.startup is None and given.liveness is None and given.readiness is None:
            return
        self._become(STARTING)
        if given.startup is None:
            self._others(probes)
        else:
            self._tasks = [asyncio.ensure_future(self._startup(given.startup, probes))]

    def end(self) -> None:
        """It has ended: ask no more."""
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        self._tasks = []
        self.word, self.ready = NONE, False

    async def _startup(self, probe: Probe, others: list[tuple[str, Probe | None]]) -> None:
        await asyncio.sleep(probe.initial_delay)
        failed = succeeded = 0
        while True:
            good, why = await self._ask("startup", probe)
            if self._counts():
                succeeded, failed = (succeeded + 1, 0) if good else (0, failed + 1)
            if succeeded >= probe.success_threshold:
                break
            if failed >= probe.failure_threshold:
                self._become(UNHEALTHY, probe="startup", why=why)
                if self.life.record.health.kills:
                    await self._kill("startup", why)
                    return
            await asyncio.sleep(probe.period)
        if all(one is None for _, one in others):
            self._become(HEALTHY)
        self.ready = self.life.record.health.readiness is None
        self._others(others)

    def _others(self, probes: list[tuple[str, Probe | None]]) -> None:
        self._tasks = [asyncio.ensure_future(self._repeat(name, probe)) for name, probe in probes if probe is not None]

    async def _repeat(self, name: str, probe: Probe) -> None:
        begun = time.monotonic()
        await asyncio.sleep(probe.initial_delay)
        failed = succeeded = 0
        early = True                                     # in its start_period, and it has not succeeded
        alone = name == "liveness" or self.life.record.health.liveness is None     # whose word the container's is
        while True:
            early = early and time.monotonic() - begun < probe.start_period
            good, why = await self._ask(name, probe)
            if good:
                early = False
            if self._counts() and not early:
                succeeded, failed = (succeeded + 1, 0) if good else (0, failed + 1)
            if name == "readiness" and succeeded >= probe.success_threshold and not self.ready:
                self.ready = True
                self.life.tell("health", probe=name, ready=True)
            if succeeded >= probe.success_threshold and alone:
                self._become(HEALTHY)
            if failed >= probe.failure_threshold:
                if name == "readiness" and self.ready:
                    self.ready = False
                    self.life.tell("health", probe=name, ready=False, why=why)
                if alone:
                    self._become(UNHEALTHY, probe=name, why=why)
                if name == "liveness" and self.life.record.health.kills:
                    await self._kill(name, why)
                    return
            await asyncio.sleep(probe.start_interval or probe.period if early else probe.period)

    def _counts(self) -> bool:
        """Whether it can answer: one that is paused cannot, and that is no fault of its."""
        return self.life.record.phase != "paused"

    async def _ask(self, name: str, probe: Probe) -> tuple[bool, str]:
        begun = time.monotonic()
        answer = await ask(self.life, probe)
        self.probe_seconds = time.monotonic() - begun
        return answer

    def _become(self, word: str, **details: object) -> None:
        if word != self.word:
            self.word = word
            self.life.tell("health", status=word, **details)

    async def _kill(self, name: str, why: str) -> None:
        """As a stop, but the restart policy applies."""
        self.life.tell("stopping", why=f"the {name} probe failed: {why}")
        with suppress(PyruncError):
            await cast("Container", self.life).bring_down()
