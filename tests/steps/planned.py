"""Plan a subject and apply it to a Recorder: what it says beside what it does."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pyrunc.engine.facts import Facts
from pyrunc.engine.step import Barrier, Step
from pyrunc.host import Host
from pyrunc.kernel.recorder import Recorder
from pyrunc.kernel.recording import PID
from pyrunc.options import Options
from pyrunc.request import Request

Planner = Callable[..., Iterator[Step]]


def config(**parts: Any) -> dict[str, Any]:
    """A config.json with these parts; process gets what it needs, unless it is None."""
    process = parts.pop("process", {})
    whole: dict[str, Any] = {"ociVersion": "1.3.0", "root": {"path": "rootfs"}, **parts}
    if process is not None:
        whole["process"] = {"cwd": "/", "args": ["true"], **process}
    return whole


def plan(planner: Planner, wanted: dict[str, Any], *, host: Host | None = None, **options: Any) -> list[Step]:
    given = Options(**{"id": "c1", "bundle": "/bundle", "root": "/state", **options})
    return list(planner(Request(wanted, given, host or Host())))  # type: ignore[arg-type]


def facts() -> Facts:
    """As they are when the child is at work."""
    found = Facts()
    found.pid, found.pidfd, found.root_fd, found.proc_fd, found.fifo_fd, found.sync_fd = PID, 10, 11, 12, 13, 14
    return found


def applied(step: Step, kernel: Recorder | None = None, known: Facts | None = None) -> list[tuple[Any, ...]]:
    """The calls of one step, without those that only close."""
    recorder = kernel or Recorder()
    step.apply(recorder, known or facts())
    return [call for call in recorder.calls if call[0] != "close"]


def story(steps: list[Step]) -> list[tuple[str, str, str]]:
    """(name, JSON path, description) of each; a barrier is its label."""
    return [(step.name, "", step.label) if isinstance(step, Barrier) else (step.name, step.where, step.describe())
            for step in steps]


def done(planner: Planner, wanted: dict[str, Any], **more: Any) -> list[tuple[Any, ...]]:
    """All calls of a subject's steps, in order."""
    return [call for step in plan(planner, wanted, **more) if not isinstance(step, Barrier) for call in applied(step)]
