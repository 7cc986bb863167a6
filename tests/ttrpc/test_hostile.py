"""Frames that nobody in his senses sends: the server goes on serving, and keeps nothing of them."""
from __future__ import annotations

import os
import random
import resource
import socket
from pathlib import Path

from pyrunc.ttrpc import frames
from pyrunc.ttrpc.messages.task import StateRequest
from pyrunc.ttrpc.messages.transport import Request
from tests.ttrpc.served import Raw, served

FRAMES = 100_000
ON_ONE_CONNECTION = 500


def test_a_hundred_thousand_hostile_frames(tmp_path: Path) -> None:
    chance = random.Random(20)
    with served(tmp_path) as running:
        sent = 0
        peaks: list[int] = []
        while sent < FRAMES:
            sent += attack(running.path, chance)
            if sent * 4 // FRAMES > len(peaks):
                peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
                descriptors = len(os.listdir("/proc/self/fd"))
        with Raw(running.path) as client:
            client.send(1, "State", StateRequest(id="a"))
            assert client.code() == (1, 0)
        assert peaks[-1] - peaks[0] < 16 << 10, peaks              # KiB
        assert len(os.listdir("/proc/self/fd")) <= descriptors + 2


def attack(path: Path, chance: random.Random) -> int:
    """One connection's frames, sent until the server has had enough; how many."""
    sent = 0
    with Raw(path) as client:
        client.socket.settimeout(5)
        try:
            while sent < ON_ONE_CONNECTION:
                client.socket.sendall(hostile(chance))
                sent += 1
                if sent % 50 == 0:
                    drain(client.socket)
            if chance.random() < 0.5:
                client.socket.sendall(os.urandom(chance.randrange(1, 40)))
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            pass
    return max(sent, 1)


def drain(connection: socket.socket) -> None:
    """Read what has come, without waiting, so that not every connection ends for what it leaves unread."""
    held = connection.gettimeout()
    connection.settimeout(0)
    try:
        while connection.recv(1 << 16):
            pass
    except BlockingIOError:
        pass
    finally:
        connection.settimeout(held)


def hostile(chance: random.Random) -> bytes:
    """A frame: any header, any data, or a good request with some bytes changed; rarely one that ends the connection."""
    kind = chance.random()
    if kind < 0.3:
        return frames.pack(chance.randrange(1 << 32), chance.randrange(256), chance.randbytes(chance.randrange(64)),
                           chance.randrange(256))
    if kind < 0.98:
        good = bytearray(Request(service="containerd.task.v2.Task",
                                 method=chance.choice(["State", "Wait", "Kill", "Connect", "Create", ""]),
                                 payload=StateRequest(id="x" * chance.randrange(9)).encode(),
                                 timeout_nano=chance.choice([0, -1, 1, 1 << 62])).encode())
        for _ in range(chance.randrange(3)):
            good[chance.randrange(len(good))] = chance.randrange(256)
        return frames.pack(chance.randrange(1 << 31) * 2 + 1, frames.REQUEST, bytes(good))
    if kind < 0.999:
        return frames.HEADER.pack(chance.randrange(1 << 16), 1, 1, 0) + chance.randbytes(chance.randrange(1 << 10))
    return chance.randbytes(chance.randrange(1, 64))
