"""Changes that go on to their end when who has asked for them is gone."""
from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from ..errors import StateError

P = ParamSpec("P")
T = TypeVar("T")
Of = TypeVar("Of")


def whole(change: Callable[Concatenate[Of, P], Coroutine[Any, Any, T]]) -> Callable[
        Concatenate[Of, P], Coroutine[Any, Any, T]]:
    """A change that goes on to its end when its caller is cancelled: the runtime does so, too, and what it has done is
    to be told and kept."""
    @wraps(change)
    async def call(self: Of, /, *args: P.args, **kwargs: P.kwargs) -> T:
        changing = asyncio.ensure_future(change(self, *args, **kwargs))
        try:
            return await asyncio.shield(changing)
        except asyncio.CancelledError:
            if changing.cancelled():                 # a stop; the next manager goes on with it
                raise StateError("the manager is closed") from None
            changing.add_done_callback(unheard)
            raise
    return call


def unheard(changing: asyncio.Future[Any]) -> None:
    """What came of a change that nobody waits for any more."""
    if not changing.cancelled():
        changing.exception()
