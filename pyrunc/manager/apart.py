"""What may block the loop, or must not be done in the loop's own thread, in a thread that lives as long as that."""
from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def apart(name: str, call: Callable[[], T], unwanted: Callable[[T], None] = lambda _: None) -> T:
    """What call() gives or raises. Nobody waits for the thread at the end of the program: it may hang for ever.

    unwanted   gets what comes after the caller has been cancelled
    """
    loop = asyncio.get_running_loop()
    made: asyncio.Future[T] = loop.create_future()

    def settle(value: T) -> None:
        if made.done():
            unwanted(value)
        else:
            made.set_result(value)

    def fail(fault: Exception) -> None:
        if not made.done():
            made.set_exception(fault)

    def run() -> None:
        try:
            value = call()
        except Exception as fault:
            with suppress(RuntimeError):                 # the loop has ended
                loop.call_soon_threadsafe(fail, fault)
        else:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, value)
    threading.Thread(target=run, name=name, daemon=True).start()
    return await made
