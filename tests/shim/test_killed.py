"""SIGKILL of the shim, and of containerd, at random points: nothing is left, and no end is lost."""
from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pyrunc.formats.protobuf import Message
from pyrunc.ttrpc.codes import RpcError
from pyrunc.ttrpc.messages import events as ev
from pyrunc.ttrpc.messages import task as api
from pyrunc.ttrpc.messages.types import Mount
from tests import world

from .driver import SECONDS, Events, Shim

Make = Callable[..., Shim]


def life(shim: Shim, rootfs: Path, told: list[str]) -> None:
    """What containerd would ask, until the shim is gone. told: what it was answered."""
    with suppress(RpcError, OSError):
        shim.create(rootfs=[Mount(type="bind", source=str(rootfs), options=["rbind", "rw"])])
        told.append("created")
        shim.start()
        for number in range(3):
            shim.exec(f"e{number}", "sh", "-c", f"sleep 0.01; exit {number}")
            shim.start(f"e{number}")
            assert shim.wait(f"e{number}") == number
            shim.delete(f"e{number}")
            told.append(f"exec {number}")
        shim.kill()
        assert shim.wait() == 137
        told.append("exited")
        shim.delete()
        told.append("deleted")


def cleaned(shim: Shim) -> api.DeleteResponse:
    """`delete`, while this process reaps, as containerd does, what the dead shim has left."""
    flags = "-namespace", "tests", "-address", str(shim.place / "containerd"), "-id", shim.id
    command = subprocess.Popen([shim.program(), *flags, "-bundle", str(shim.bundle), "delete"], cwd=shim.bundle,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    end = time.monotonic() + SECONDS
    while True:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is None:
            assert time.monotonic() < end, "delete hangs"
            time.sleep(0.005)
        elif ended.si_pid == command.pid:
            break
        else:
            os.waitpid(ended.si_pid, 0)
    out, err = command.communicate()
    assert command.returncode == 0, err
    return api.DeleteResponse.decode(out)


def test_a_shim_that_is_killed_anywhere(shim: Make, rootfs: Path, name: str, points: int) -> None:
    dice = random.Random(name)
    for number in range(points):
        id = f"{name}-{number}"
        one = shim(id=id)
        config = json.loads((one.bundle / "config.json").read_text())
        (one.bundle / "config.json").write_text(json.dumps({**config, "root": {"path": "rootfs"}}))
        pid, told = one.pid, list[str]()
        thread = threading.Thread(target=life, args=(one, rootfs, told))
        thread.start()
        time.sleep(dice.uniform(0, 0.25))
        os.kill(pid, signal.SIGKILL)
        one.gone(pid)
        thread.join(SECONDS)
        answer = cleaned(one)
        where = f"point {number}, after {told}"
        assert answer.exit_status == 137, where
        end = time.monotonic() + SECONDS
        while found := left(str(one.bundle), pid):       # a worker ends when it has its turn on the CPU
            assert time.monotonic() < end, f"{where}: {found}"
            time.sleep(0.01)
        assert not Path("/run/containerd/pyrunc/tests", id).exists(), where
        assert not (world.CGROUP / id).exists(), where
        assert str(one.bundle) not in world.text("/proc/self/mountinfo"), where


def left(bundle: str, shim: int) -> list[str]:
    """Processes that live and have to do with the bundle or the dead shim's session."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if fields[0] != "Z" and (fields[3] == str(shim) or os.readlink(folder / "cwd") == bundle):
                found.append(f"{folder.name} {(folder / 'comm').read_text()}")
    return found


def test_a_containerd_that_is_killed_anywhere(shim: Make, events: Events, place: Path, name: str, points: int) -> None:
    """Whoever listens for events goes, and comes again at the same place: each end is told, once it has come again."""
    dice = random.Random(name)
    one = shim("true")
    taken: list[Message] = []
    listening = events
    for number in range(points):
        def run(number: int = number) -> None:
            one.create()
            one.start()
            assert one.wait() == 0
            assert one.delete().exit_status == 0
        thread = threading.Thread(target=run)
        thread.start()
        time.sleep(dice.uniform(0, 0.08))
        listening.close()
        listening.path.unlink()
        taken += [event for _, event in listening.taken]
        thread.join(SECONDS)
        listening = Events(place / "events")
    end = time.monotonic() + SECONDS
    try:
        while sum(isinstance(event, ev.TaskDelete) for event in [*taken, *(e for _, e in listening.taken)]) < points:
            assert time.monotonic() < end
            time.sleep(0.05)
        taken += [event for _, event in listening.taken]
    finally:
        listening.close()
        events.close = lambda: None                         # type: ignore[method-assign]  # the fixture's was closed
    # one that was taken just when containerd went may come twice; in order they are all the same
    kinds = [type(event).__name__ for event in taken]
    once = [kind for number, kind in enumerate(kinds) if not number or taken[number] != taken[number - 1]]
    assert once == ["TaskCreate", "TaskStart", "TaskExit", "TaskDelete"] * points
