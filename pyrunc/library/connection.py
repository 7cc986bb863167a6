"""The library's end of a keeper: calls from any thread, and the ends of the processes that were made."""
from __future__ import annotations

import os
import select
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ..errors import PyruncError
from ..keeper.channel import Channel
from . import program

T = TypeVar("T")
#: (what wait(2) says of its end, nanoseconds since the epoch)
Exit = tuple[int, int]
#: In place of an end: the keeper that would have told is gone.
LOST: Exit = (-1, -1)


class Connection:
    """A keeper, started with the first call. Threads may share it: whoever waits reads for all that wait."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._sending = threading.Lock()
        self._reading = False                     # some thread waits for the keeper
        self._channel: Channel | None = None
        self._keeper: subprocess.Popen[bytes] | None = None
        self._answers: dict[int, tuple[dict[str, Any], list[int]]] = {}
        self._waiting: set[int] = set()
        self._exits: dict[int, Exit] = {}
        self._number = 0
        self.generation = 0                       # how many keepers there have been

    def call(self, operation: str, fds: Sequence[int] = (), **request: Any) -> tuple[dict[str, Any], list[int]]:
        """Run an operation: what came of it (keeper/keeper.py), and the descriptors that came with it."""
        with self._changed:
            channel = self._started()
            self._number += 1
            number = self._number
            self._waiting.add(number)
        try:
            with self._sending:
                channel.send({"number": number, "operation": operation, **request}, fds)
        except OSError:
            with self._changed:
                self._lose(channel)
        answered = self._until(lambda: self._answers.pop(number, None), None)
        assert answered is not None
        message, given = answered
        with self._changed:
            self._waiting.discard(number)
        return message, given

    def exit_of(self, pid: int, generation: int, timeout: float | None) -> Exit | None:
        """How a process that an operation of that generation's keeper has made ended.

        None when it has not within `timeout` seconds (None: any time), and when that keeper ended before it.
        """
        end = self._until(lambda: self._exits.get(pid) or (LOST if generation != self.generation else None), timeout)
        return None if end is LOST else end

    def forget(self, pid: int) -> None:
        """Its end is of no interest any more."""
        with self._changed:
            self._exits.pop(pid, None)

    def close(self) -> None:
        """End the keeper. Containers go on; again is no error."""
        with self._changed:
            channel, keeper = self._channel, self._keeper
            self._keeper = None
        if channel is not None:
            channel.socket.shutdown(socket.SHUT_RDWR)
            with self._changed:
                self._lose(channel)
        if keeper is not None:
            keeper.wait()

    # ---- the keeper -------------------------------------------------------------------------------------
    def _started(self) -> Channel:
        """Called with the lock held."""
        if self._channel is None:
            mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with its:
                try:
                    self._keeper = subprocess.Popen(
                        [program.find(), "keeper", str(its.fileno())], stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
                        env=program.environment(), cwd="/", pass_fds=(its.fileno(),))
                except OSError as fault:
                    mine.close()
                    raise PyruncError(f"start the keeper: {fault}") from None
            self._channel = Channel(mine)
            self.generation += 1
        return self._channel

    def _lose(self, channel: Channel) -> None:
        """The keeper is gone: every call that waits fails. Called with the lock held."""
        if self._channel is not channel:
            return
        self._channel = None
        self.generation += 1
        for number in self._waiting:
            self._answers.setdefault(number, ({"error": ["PyruncError", "the keeper has ended"]}, []))
        if not self._reading:
            channel.close()
        self._changed.notify_all()

    # ---- waiting ----------------------------------------------------------------------------------------
    def _until(self, found: Callable[[], T | None], timeout: float | None) -> T | None:
        """What `found` finds, asked with the lock held; None when time is over or nothing more can come."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while True:
                value = found()
                if value is not None or self._channel is None:
                    return value
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return None
                if self._reading:
                    self._changed.wait(left)
                else:
                    self._read(self._channel, left)

    def _read(self, channel: Channel, seconds: float | None) -> None:
        """Wait for one message, for all threads. Called with the lock held, which is free meanwhile."""
        self._reading = True
        self._changed.release()
        received: tuple[dict[str, Any], list[int]] | None = None
        ready = False
        try:
            poll = select.poll()
            poll.register(channel.fileno(), select.POLLIN)
            ready = bool(poll.poll(None if seconds is None else seconds * 1000))
            if ready:
                received = channel.receive()
        finally:
            self._changed.acquire()
            self._reading = False
            if received is not None:
                self._take(*received)
            elif ready:
                self._lose(channel)
            if self._channel is not channel:
                channel.close()
            self._changed.notify_all()

    def _take(self, message: dict[str, Any], fds: list[int]) -> None:
        if "exit" in message:
            self._exits[message["exit"]] = message["status"], message["time"]
        elif message["number"] in self._waiting:
            self._answers[message["number"]] = message, fds
        else:
            for fd in fds:
                os.close(fd)
