"""What hangs for longer than it may is killed, replaced and undone."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pyrunc
from pyrunc.manager import Manager
from pyrunc.manager.connection import Late
from tests.bundles import Config
from tests.manager.conftest import config_of, kinds, running, until
from tests.manager.test_killed import left

#: One that stays and one of its own hang, each with a child; a third is faster than it needs to be.
HANGS = """
import os, signal, time
from pyrunc.keeper.nursery import Nursery
from pyrunc.kernel.loop import Loop
def hang(request, fds, told):
    pid = os.fork()
    if pid == 0:
        time.sleep(1000)
    open(request["note"], "w").write(str(pid))
    os.waitpid(pid, 0)
def quick(request, fds, told):
    return {"by": os.getpid()}, []
loop, answers = Loop(), []
nursery = Nursery(loop, {"hang": hang, "quick": quick}, lambda *end: None)
def run(again, **request):
    nursery.run(request, [], lambda message, fds: answers.append(message), again)
def wait(number):
    end = time.monotonic() + 30
    while len(answers) < number:
        assert time.monotonic() < end, answers
        loop.once(0.1)
def gone(pid):
    end = time.monotonic() + 30
    while os.path.exists(f"/proc/{pid}") and ") Z" not in open(f"/proc/{pid}/stat").read():
        assert time.monotonic() < end
        time.sleep(0.01)
for number, again in enumerate((True, False)):
    answers.clear()
    began = time.monotonic()
    run(again, operation="hang", deadline=0.5, note=os.environ["NOTE"])
    hung = list(nursery.workers)[-1]
    wait(1)
    assert time.monotonic() - began >= 0.5
    assert answers == [{"error": ["PyruncError", "it took longer than 0.5 s, and was ended"], "lost": True,
                        "late": True}], answers
    assert hung not in nursery.workers and not os.path.exists(f"/proc/{hung}")
    if not again:
        gone(int(open(os.environ["NOTE"]).read()))               # what a program waits for goes with it
    else:
        os.kill(int(open(os.environ["NOTE"]).read()), signal.SIGKILL)
    run(again, operation="quick", deadline=1000.0)   # by another one
    wait(2)
    assert answers[1]["answer"]["by"] != hung
assert not [one for one in loop._timers if one.at > time.monotonic() + 100 and one.call.__name__ != "_nothing"]
"""


def test_a_worker_that_hangs_is_killed_and_replaced(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=120, check=False,
                          env={**os.environ, "NOTE": str(tmp_path / "note")}, cwd=Path(__file__).parents[2])
    assert (done.returncode, done.stderr) == (0, "")


def hooked(rootfs: Path, place: Path, kind: str) -> Config:
    """A container with a hook that notes its pid and hangs."""
    script = f"echo $$ >>{place}/hooks || exit 1; exec sleep 1000"
    return config_of(rootfs, hooks={kind: [{"path": "/bin/sh", "args": ["sh", "-c", script]}]})


def hooks(place: Path) -> list[int]:
    """The pids of the hooks that ran: none where even that took too long."""
    return [int(word) for word in (place / "hooks").read_text().split()] if (place / "hooks").exists() else []


def limit(m: Manager, monkeypatch: pytest.MonkeyPatch, *operations: str) -> None:
    """These may take three seconds. What undoes them may take as long as this machine needs."""
    call = m.connection.call

    async def limited(operation: str, *args: Any, **request: Any) -> Any:
        if {operation, *request.get("argv", ())} & {*operations}:
            request["deadline"] = 3.0
        return await call(operation, *args, **request)
    monkeypatch.setattr(m.connection, "call", limited)


def ended(pid: int) -> bool:
    try:
        return ") Z" in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


async def test_a_create_is_undone(m: Manager, by: str, rootfs: Path, place: Path, name: str,
                                  monkeypatch: pytest.MonkeyPatch) -> None:
    await running(m, f"{name}-other", rootfs, handler=by)
    limit(m, monkeypatch, "create")
    with pytest.raises(Late, match="it took longer than 3 s, and was ended"):
        await m.create(name, hooked(rootfs, place, "createRuntime"), handler=by)
    assert [one.id for one in m.containers()] == [f"{name}-other"]
    root = m.root if by == "pyrunc" else f"{m.directory.path}/handlers/{by}"
    # (crun keeps a directory of its own there.)
    assert [one for one in os.listdir(root) if one[0] != "."] == [f"{name}-other"]
    assert os.listdir(m.directory.path / "containers") == [f"{name}-other"]
    await until(lambda: all(map(ended, hooks(place))))
    monkeypatch.undo()
    await running(m, name, rootfs, handler=by)           # by another worker, and its name is free
    await m.get(name).delete(force=True)
    assert m.get(f"{name}-other").status == "running"


async def test_a_start_ends_its_container(m: Manager, by: str, rootfs: Path, place: Path, name: str,
                                          monkeypatch: pytest.MonkeyPatch) -> None:
    """As a poststart hook that fails does. runc has these hooks in its create, which is undone."""
    limit(m, monkeypatch, "create", "start")
    with pytest.raises(Late, match="took longer"):
        container = await m.create(name, hooked(rootfs, place, "poststart"), handler=by, restart="always")
        await container.start()
    await until(lambda: all(map(ended, hooks(place))))
    if m.containers():
        assert (await container.wait(30)).signal == 9
        assert await kinds(m) == ["created", "failed", "exited"] and container.status == "stopped"
        await container.delete()
    assert left(m) == []


async def test_a_delete_is_not_tried_again(m: Manager, rootfs: Path, place: Path, name: str,
                                           monkeypatch: pytest.MonkeyPatch) -> None:
    container = await m.create(name, hooked(rootfs, place, "poststop"))
    limit(m, monkeypatch, "delete")
    with pytest.raises(Late, match="took longer"):
        await container.delete(force=True)
    monkeypatch.undo()
    assert len(hooks(place)) <= 1 and m.get(name) is container
    await until(lambda: all(map(ended, hooks(place))) and not container.alive)
    (place / "hooks").unlink(missing_ok=True)
    (place / "hooks").mkdir()                            # so the hook fails now: that is a warning
    await container.delete(force=True)
    assert left(m) == []


@pytest.mark.parametrize("wrong", [-1, float("nan"), float("inf")])
def test_what_is_no_deadline(wrong: Any, tmp_path: Path) -> None:
    with pytest.raises(pyrunc.UsageError, match="is no time"):
        Manager(str(tmp_path), tmp_path, deadline=wrong)
