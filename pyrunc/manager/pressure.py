"""Triggers on the pressure of cgroups (psi.rst), which are told to the loop by a thread.

A trigger forgets that it has fired as soon as anybody has polled it, and an epoll in another one polls it twice. So
these are waited for by epoll_wait(2) itself, which asyncio does for input and output only.
"""
from __future__ import annotations

import asyncio
import os
import select
import threading
from collections.abc import Callable

#: Microseconds of the windows that are tried: without CAP_SYS_RESOURCE the kernel takes multiples of two seconds only.
WINDOWS = (1_000_000, 2_000_000)


class Triggers:
    """Calls back, in the loop, when one fires. The thread is there from the first one on."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._poll: select.epoll | None = None
        self._calls: dict[int, Callable[[], None]] = {}
        self._thread: threading.Thread | None = None
        self._end = -1

    def watch(self, cgroup: str, kind: str, share: float, call: Callable[[], None]) -> int:
        """A number for forget(); -1 where the kernel has none. share: of a second in which some task has waited for
        cpu, memory or io."""
        try:
            fd = os.open(f"{cgroup}/{kind}.pressure", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return -1
        for window in WINDOWS:
            try:
                os.write(fd, b"some %d %d\0" % (round(share * window), window))
                break
            except OSError:                              # EINVAL: not this window; EOPNOTSUPP: PSI is off
                continue
        else:
            os.close(fd)
            return -1
        self._calls[fd] = call
        self._polling().register(fd, select.EPOLLPRI | select.EPOLLET)
        return fd

    def forget(self, number: int) -> None:
        """Watch it no more; -1 is no error."""
        if self._calls.pop(number, None) is not None:
            os.close(number)

    def close(self) -> None:
        """Watch nothing."""
        for number in list(self._calls):
            self.forget(number)
        if self._thread is not None:
            os.eventfd_write(self._end, 1)
            self._thread.join()
            self._thread = None
            os.close(self._end)

    def _polling(self) -> select.epoll:
        if self._poll is None:
            self._poll = select.epoll()
            self._end = os.eventfd(0, os.EFD_CLOEXEC)
            self._poll.register(self._end, select.EPOLLIN)
            self._thread = threading.Thread(target=self._wait, args=(self._poll,), name="pressure", daemon=True)
            self._thread.start()
        return self._poll

    def _wait(self, poll: select.epoll) -> None:
        while True:
            fired = [fd for fd, _ in poll.poll()]
            if self._end in fired:
                poll.close()
                return
            self._loop.call_soon_threadsafe(self._fired, fired)

    def _fired(self, fds: list[int]) -> None:
        for fd in fds:
            call = self._calls.get(fd)
            if call is not None:
                call()
