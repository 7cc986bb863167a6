"""Notices of the kernel about cgroups: memory.events of all, in one descriptor of the loop.

asyncio waits for input only; this file notifies by POLLPRI. So they are in an epoll(7) of their own, which is readable
when one of them has something to say.
"""
from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Callable


class Notices:
    """Calls back when a watched file notifies."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._calls: dict[int, Callable[[], None]] = {}
        asyncio.get_running_loop().add_reader(self._poll.fileno(), self._ready)

    def watch(self, path: str, call: Callable[[], None]) -> int:
        """A number for forget(); -1 without such a file."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return -1
        try:
            os.pread(fd, 1, 0)                       # changes count from here on
            self._poll.register(fd, select.EPOLLPRI | select.EPOLLET)
        except OSError:
            os.close(fd)
            return -1
        self._calls[fd] = call
        return fd

    def forget(self, number: int) -> None:
        """Watch it no more; -1 is no error."""
        if self._calls.pop(number, None) is not None:
            os.close(number)                         # which takes it out of the epoll, too

    def close(self) -> None:
        """Watch nothing."""
        asyncio.get_running_loop().remove_reader(self._poll.fileno())
        for number in list(self._calls):
            self.forget(number)
        self._poll.close()

    def _ready(self) -> None:
        for fd, _ in self._poll.poll(0):
            call = self._calls.get(fd)
            if call is not None:
                call()
