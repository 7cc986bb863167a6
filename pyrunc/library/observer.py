"""Whoever watches what a Runtime does."""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..errors import PyruncError


class Observer:
    """Override what you want to know. Called in the thread that asked for the operation, when it has ended.

    container   its id
    record      a step that ran, as the trace has it (docs/tracing.md): id, time, duration, side, where, outcome ...
    """

    def after_step(self, container: str, record: Mapping[str, Any]) -> None:
        """A step ran, on either side; record["outcome"] is "ok" unless it failed."""

    def warning(self, container: str, text: str) -> None:
        """Something went wrong without ending the operation."""

    def failed(self, container: str, error: PyruncError) -> None:
        """The operation failed, and what it had done is undone."""

    def after_plan(self, container: str, records: Sequence[Mapping[str, Any]]) -> None:
        """All steps of an operation, however it ended, in the order in which they began."""


def tell(observer: Observer, container: str, records: Sequence[Mapping[str, Any]], warnings: Iterable[str],
         error: PyruncError | None) -> None:
    """Tell one observer what came of an operation."""
    for record in records:
        observer.after_step(container, record)
    for text in warnings:
        observer.warning(container, text)
    if error is not None:
        observer.failed(container, error)
    observer.after_plan(container, records)
