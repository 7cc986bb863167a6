"""The manager's end of a lasting keeper (keeper/lasting.py), in an asyncio loop."""
from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import socket
import subprocess
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import PyruncError
from ..keeper.channel import Channel
from ..keeper.errors import unpack
from ..kernel.unix_socket import Named
from ..library import program

Message = dict[str, Any]
#: (what wait(2) says, nanoseconds since the epoch); None when the keeper is gone and cannot say it any more
End = tuple[int, int] | None
CLOSED = "the manager is closed"
#: Seconds that a keeper may take to say that it is there.
PATIENCE = 30.0


class Lost(PyruncError):
    """An operation was cut off: nobody knows how far it has come."""


class Late(Lost):
    """It has taken too long, and was ended by force."""


class Answer:
    """What came of an operation: its values, descriptors that are the caller's, and the end of the process it made."""
    __slots__ = ("end", "fds", "records", "value", "warnings")

    def __init__(self, message: Message, fds: list[int], end: asyncio.Future[End] | None) -> None:
        self.value: Message = message.get("answer", {})
        self.fds, self.end = fds, end
        self.records: list[Message] = message.get("records", [])
        self.warnings: list[str] = message.get("warnings", [])


class Connection:
    """Operations of a keeper, and the ends of processes. The keeper is found at its socket, or started.

    directory   of the socket `keeper` and of the folder `exits`
    lost        called when the keeper has ended
    deadline    seconds that an operation may take if its request does not say so; 0: any time
    files       RLIMIT_NOFILE, soft, of the keeper and of what it makes; None: this process's
    """

    def __init__(self, directory: Path, lost: Callable[[], None], deadline: float = 0.0,
                 files: int | None = None) -> None:
        self.directory, self._lost, self.deadline, self.files = directory, lost, deadline, files
        self._channel: Channel | None = None
        self._opening: asyncio.Lock = asyncio.Lock()
        self._waiting: dict[int, asyncio.Future[tuple[Message, list[int], asyncio.Future[End] | None]]] = {}
        self._ends: dict[int, asyncio.Future[End]] = {}
        self._unclaimed: dict[int, End] = {}
        self._unsent: deque[tuple[Message, list[int]]] = deque()
        self._full = False                                 # there was no room for all of it
        self._over = False                                 # another manager may work in the directory
        self._number = random.getrandbits(60)              # an answer to an earlier manager is not taken for one to us
        self._keeper: subprocess.Popen[bytes] | None = None

    async def call(self, operation: str, fds: Sequence[int] = (), **request: Any) -> Answer:
        """Run an operation of keeper/operations.py. Raises what it raised, PyruncError when the keeper ends."""
        await self.open()
        return await self._ask(operation, fds, {"deadline": self.deadline, **request})

    async def _ask(self, operation: str, fds: Sequence[int], request: Message) -> Answer:
        self._number += 1
        number = self._number
        answer: asyncio.Future[tuple[Message, list[int], asyncio.Future[End] | None]]
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._unsent.append(({"number": number, "operation": operation, **request}, [os.dup(fd) for fd in fds]))
        self._flush()
        try:
            message, given, end = await answer
        finally:
            self._waiting.pop(number, None)
        if "lost" in message:
            raise (Late if message.get("late") else Lost)(str(unpack(message["error"])))
        if "error" in message:
            raise unpack(message["error"])
        return Answer(message, given, end)

    async def working(self) -> set[str]:
        """Whom operations are about that are at work, those of an earlier manager included."""
        return set((await self.call("working")).value["working"]) if self.connected else set()

    def expect(self, pid: int) -> asyncio.Future[End]:
        """The end of a process that an earlier manager's operation has made."""
        future = self._ends.get(pid)
        if future is None:
            future = self._ends[pid] = asyncio.get_running_loop().create_future()
            if pid in self._unclaimed:
                self._settle(pid, self._unclaimed.pop(pid))
        return future

    @property
    def connected(self) -> bool:
        """Whether a keeper is there."""
        return self._channel is not None

    # ---- the keeper -------------------------------------------------------------------------------------
    async def open(self, start: bool = True) -> bool:
        """Connect to the keeper; without one, start it. False when there is none and none is to be started."""
        async with self._opening:
            for _ in range(50):
                if self._over:
                    raise Lost(CLOSED)
                if self._channel is not None:
                    return True
                found = self._found()
                if found is not None:
                    self._channel = Channel(found)
                    asyncio.get_running_loop().add_reader(found.fileno(), self._readable)
                    with suppress(Lost):                   # one that was about to end, and has taken nothing from us
                        await self._ask("working", (), {})
                        return True
                    continue
                if not start:
                    return False
                self._start()
                await asyncio.sleep(0)
            raise PyruncError("the keeper does not come up")

    def _found(self) -> socket.socket | None:
        one = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        try:
            with Named(str(self.directory / "keeper")) as name:
                one.connect(name)
        except OSError:
            one.close()
            return None
        return one

    def _start(self) -> None:
        path = self.directory / "keeper"
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            with Named(str(path)) as name:
                listener.bind(name)
            os.chmod(path, 0o600)
            listener.listen(16)
            try:
                if self._keeper is not None:
                    self._keeper.poll()
                self._keeper = subprocess.Popen(
                    [program.find(), "keeper", str(listener.fileno()), str(self.directory / "exits")],
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/",
                    start_new_session=True, env=program.environment(), pass_fds=(listener.fileno(),))
            except OSError as fault:
                raise PyruncError(f"start the keeper: {fault}") from None
        if self.files is not None:                         # nothing has been asked of it yet
            with suppress(ProcessLookupError):
                _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
                resource.prlimit(self._keeper.pid, resource.RLIMIT_NOFILE, (self.files, most))

    def close(self) -> None:
        """Let go of the keeper, which stays as long as it has processes to keep, for good."""
        self._over = True
        self._drop(CLOSED, {})
        if self._keeper is not None:
            with suppress(subprocess.TimeoutExpired):
                self._keeper.wait(0.2)

    # ---- messages ---------------------------------------------------------------------------------------
    def _flush(self) -> None:
        loop, channel = asyncio.get_running_loop(), self._channel
        if channel is None:
            return
        try:
            while self._unsent:
                message, fds = self._unsent[0]
                try:
                    channel.send(message, fds, wait=False)
                except ValueError:                         # a caller's config has an OrderedDict or an IntEnum in it
                    self._unsent[0] = self._plain(message), fds
                    continue
                self._unsent.popleft()
                _close(fds)
        except BlockingIOError:
            loop.add_writer(channel.fileno(), self._flush)
            self._full = True
            return
        except OSError:
            self._gone()
            return
        if self._full:
            loop.remove_writer(channel.fileno())
            self._full = False

    def _plain(self, message: Message) -> Message:
        """A message as the channel takes it. Where that cannot be, its caller is told so, and the keeper is asked for
        what it always answers."""
        try:
            found: Message = json.loads(json.dumps(message))
        except (TypeError, ValueError) as fault:
            answer = self._waiting.get(message["number"])
            if answer is not None and not answer.done():
                answer.set_result(({"error": ["UsageError", f"what was given is no JSON: {fault}"]}, [], None))
            return {"number": message["number"], "operation": "working"}
        return found

    def _readable(self) -> None:
        assert self._channel is not None
        received = self._channel.receive()
        if received is None:
            self._gone()
            return
        message, fds = received
        if "exit" in message:
            self._settle(message["exit"], (message["status"], message["time"]))
            return
        answer = self._waiting.get(message["number"])
        pid = message.get("answer", {}).get("pid", 0)
        self._unclaimed.pop(pid, None)                     # its end comes after this; that was another one's
        if answer is None or answer.done():
            _close(fds)
            return
        answer.set_result((message, fds, self.expect(pid) if pid else None))

    def _settle(self, pid: int, end: End) -> None:
        future = self._ends.pop(pid, None)
        if future is None:
            self._unclaimed[pid] = end
            if len(self._unclaimed) > 1000:                # of operations that nobody waits for any more
                del self._unclaimed[next(iter(self._unclaimed))]
        elif not future.done():
            future.set_result(end)

    def _gone(self) -> None:
        ends = self._ends
        self._drop("the keeper has ended", ends)
        self._lost()

    def _drop(self, why: str, ends: dict[int, asyncio.Future[End]]) -> None:
        channel, self._channel, self._full = self._channel, None, False
        if channel is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(channel.fileno())
        loop.remove_writer(channel.fileno())
        channel.close()
        for _, fds in self._unsent:
            _close(fds)
        self._unsent.clear()
        waiting, self._waiting = self._waiting, {}
        for answer in waiting.values():
            if not answer.done():
                answer.set_result(({"error": ["PyruncError", why], "lost": True}, [], None))
        self._ends = {}
        for future in ends.values():
            if not future.done():
                future.set_result(None)


def _close(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)
