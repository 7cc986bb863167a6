"""Frames that nobody in his senses sends, to a shim with a container: it says nothing of it, and serves on."""
from __future__ import annotations

import os
import random
import re
import socket
from collections.abc import Callable
from pathlib import Path

from pyrunc.ttrpc import frames
from pyrunc.ttrpc.messages import task as api
from pyrunc.ttrpc.messages.transport import Request
from tests.ttrpc.test_hostile import drain
from tests.ttrpc.test_hostile import hostile as any_frame

from .driver import Shim

Make = Callable[..., Shim]
FRAMES, ON_ONE_CONNECTION = 100_000, 1000
#: Whose handler may answer anything to anybody. Create and Start of what is not there are refused before they fork.
METHODS = [name for name in api.TASK if name != "Shutdown"]


def test_a_hundred_thousand_frames_to_a_shim(shim: Make) -> None:
    one = shim("sleep", "1000")
    one.create()
    one.start()
    log = os.open(one.bundle / "log", os.O_RDONLY | os.O_NONBLOCK)
    dice, pid = random.Random(5), one.pid
    sent, before = 0, (0, 0)
    while sent < FRAMES:
        sent += attack(one.address.removeprefix("unix://"), dice)
        if not before[0] and sent > FRAMES // 2:     # it has touched by then most of the pages that it shared
            before = size(pid)
    assert size(pid)[0] < before[0] + 1536 and size(pid)[1] <= before[1] + 2, (before, size(pid))
    try:
        said = os.read(log, 1 << 20)
    except BlockingIOError:
        said = b""
    assert b"Traceback" not in said and b"Error" not in said, said[-2000:]
    os.close(log)
    one.exec("after", "sh", "-c", "exit 3")
    one.start("after")
    assert one.wait("after") == 3


def attack(path: str, dice: random.Random) -> int:
    """One connection's frames, until the shim has had enough: how many."""
    number = 0
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(path)
        try:
            for number in range(ON_ONE_CONNECTION):
                client.sendall(any_frame(dice) if dice.random() < 0.2 else call(dice, 2 * number + 1))
                if number % 50 == 0:
                    drain(client)
        except (BrokenPipeError, ConnectionResetError):
            pass
    return number + 1


def call(dice: random.Random, stream: int) -> bytes:
    """A call of a task that is not there, or of none, with some bytes of it changed."""
    method = dice.choice(METHODS)
    request = bytearray(api.TASK[method][0](**({"id": "none"} if dice.random() < 0.5 else {})).encode()
                        + dice.randbytes(dice.randrange(40)))
    for _ in range(dice.randrange(3)):
        if request:
            request[dice.randrange(len(request))] = dice.randrange(256)
    return frames.pack(stream, frames.REQUEST, Request(
        service=dice.choice(["containerd.task.v2.Task", "containerd.task.v3.Task"]), method=method,
        payload=bytes(request), timeout_nano=dice.choice([0, 1, 1 << 40])).encode())


def size(pid: int) -> tuple[int, int]:
    """KiB, and descriptors."""
    resident = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert resident
    return int(resident[1]), len(os.listdir(f"/proc/{pid}/fd"))
