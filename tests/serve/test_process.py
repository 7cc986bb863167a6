"""The service as a process: it ends when asked, is killed, is started by systemd's socket, and containers go on."""
from __future__ import annotations

import asyncio
import os
import resource
import runpy
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import pyrunc
from tests.forked import forked
from tests.manager.conftest import config_of, end_keeper, rootfs

__all__ = ["rootfs"]


@pytest.fixture
def places(private_world: None, place: Path) -> Iterator[list[str]]:
    """Arguments of `serve`."""
    yield ["--root", str(place / "state"), "--directory", str(place / "manager")]
    end_keeper(place / "manager")


@asynccontextmanager
async def serving(path: Path, words: list[str], prefix: tuple[str, ...] = (), **options: Any) -> Any:
    """A service that answers, and a client of it."""
    from pyrunc.serve.client import Client
    log = path.parent.parent / "log"
    with open(log, "ab") as file:
        process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "pyrunc.serve", "--socket", str(path), "serve", *words],
            stdin=subprocess.DEVNULL, stdout=file, stderr=file, **options)
    try:
        async with Client(str(path)) as client:
            async with asyncio.timeout(30):
                while True:
                    try:
                        await client.call("GET", "/v1/info")
                        break
                    except OSError:
                        assert process.poll() is None, log.read_text()
                        await asyncio.sleep(0.02)
            yield process, client
    finally:
        process.kill()
        process.wait()


def test_killed_and_started_again(places: list[str], place: Path, rootfs: Path, name: str) -> None:
    async def scenario() -> None:
        path = place / "http/socket"
        script = "while ! test -e /go; do sleep 0.05; done; exit 17"
        async with serving(path, places) as (process, client):
            await client.create(name, config=config_of(rootfs, "sh", "-c", script), start=True, labels={"a": "b"})
            process.send_signal(signal.SIGKILL)
            process.wait()
        (rootfs / "go").touch()
        async with serving(path, places) as (process, client):
            assert (await client.act(name, "wait"))["status"] == 17
            assert (await client.inspect(name))["labels"] == {"a": "b"}
            kinds = [event["kind"] async for event in client.events(since=0, follow=0)]
            assert kinds == ["created", "started", "exited"]
            await client.delete(name)
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        log = (place / "log").read_text()
        assert "POST /v1/containers: 201" in log and f"uid={os.geteuid()}" in log and "Traceback" not in log
    asyncio.run(scenario())


def test_containers_have_the_limits_of_who_has_started_it(places: list[str], place: Path, rootfs: Path,
                                                          name: str) -> None:
    """The service itself has many descriptors. A container whose config says nothing has as many as by the command
    line: programs that close all that they may have, or use select(2), are slow or wrong with more."""
    async def scenario() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (500, 4000))
        async with serving(place / "http/socket", places) as (process, client):
            assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE) == (4000, 4000)
            await client.create(name, config=config_of(rootfs, process={"rlimits": []}), start=True)
            asked = ["sh", "-c", "ulimit -Sn; ulimit -Hn"]
            assert (await client.act(name, "exec", args=asked))["stdout"] == "500\n4000\n"
            init = (await client.inspect(name))["pid"]
            assert resource.prlimit(init, resource.RLIMIT_NOFILE) == (500, 4000)
            await client.delete(name, force=True)
    forked(lambda: asyncio.run(scenario()))


def test_a_socket_at_which_another_service_listens(places: list[str], place: Path) -> None:
    """One with a directory of its own: it does not take the socket away."""
    async def scenario() -> None:
        path = place / "http/socket"
        async with serving(path, places) as (first, client):
            words = ["--root", str(place / "other"), "--directory", str(place / "others")]
            second = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "pyrunc.serve", "--socket", str(path), "serve", *words, stderr=subprocess.PIPE)
            try:
                _, said = await asyncio.wait_for(second.communicate(), 60)
            finally:
                if second.returncode is None:
                    second.kill()
            assert second.returncode == 1
            assert said.decode() == f"runciter: another service listens at {path}\n"
            assert await client.containers() == [] and first.poll() is None
            first.kill()
            first.wait()
            async with serving(path, words) as (third, other):            # nobody listens at what that has left
                assert await other.containers() == [] and third.poll() is None
    asyncio.run(scenario())


def test_systemd_opens_the_socket_and_is_told(places: list[str], place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        path = place / "activated"
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            listener.bind(str(path))
            listener.listen(8)
            told.bind(str(place / "notify"))
            script = ("import os, sys; os.dup2(int(sys.argv[1]), 3);"
                      "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1');"
                      "os.execv(sys.argv[2], sys.argv[2:])")
            prefix = (sys.executable, "-c", script, str(listener.fileno()))
            (place / "log-folder").mkdir()
            environment = {**os.environ, "NOTIFY_SOCKET": str(place / "notify")}
            async with serving(place / "log-folder/../activated", places, prefix, env=environment,
                               pass_fds=(listener.fileno(),)) as (process, client):
                assert (await client.call("GET", "/v1/info"))["containers"] == 0
                assert told.recv(100) == b"READY=1"
                process.send_signal(signal.SIGTERM)
                assert process.wait(20) == 0 and told.recv(100) == b"STOPPING=1"
    asyncio.run(scenario())


def test_another_takes_its_place(places: list[str], place: Path, rootfs: Path, name: str) -> None:
    """No container is lost, no event is lost or doubled, and no caller is turned away meanwhile."""
    async def scenario() -> None:
        path = place / "http/socket"
        seen: list[tuple[int, str]] = []

        async def follow(client: Any) -> None:
            async for event in client.events(since=0):
                seen.append((event["number"], event["kind"]))

        async def ask() -> int:
            count = 0
            while True:
                async with Client(str(path)) as one:         # a connection of its own each time
                    assert {found["id"] for found in await one.containers()} <= {f"{name}-a", f"{name}-b", f"{name}-c"}
                count += 1
                await asyncio.sleep(0.02)
        from pyrunc.serve.client import Client
        async with serving(path, places) as (first, client):
            for letter in "ab":
                await client.create(f"{name}-{letter}", config=config_of(rootfs, "sh", "-c", "sleep 1; exit 5"),
                                    start=True)
            async with Client(str(path)) as other:
                following, asking = asyncio.ensure_future(follow(other)), asyncio.ensure_future(ask())
                await asyncio.sleep(0.3)
                async with serving(path, [*places, "--replace"]) as (second, _):
                    assert await asyncio.to_thread(first.wait, 20) == 0
                    assert [(await client.act(f"{name}-{letter}", "wait"))["status"] for letter in "ab"] == [5, 5]
                    await client.create(f"{name}-c", config=config_of(rootfs), start=True)
                    for letter in "abc":
                        await client.delete(f"{name}-{letter}", force=True)
                    async with asyncio.timeout(20):
                        while [kind for _, kind in seen].count("deleted") < 3:
                            await asyncio.sleep(0.02)
                    assert not asking.done(), asking
                    for task in (following, asking):
                        task.cancel()
                    await asyncio.gather(following, asking, return_exceptions=True)
                    assert [number for number, _ in seen] == list(range(1, len(seen) + 1))
                    assert sorted(kind for _, kind in seen) == sorted(3 * ["created", "started", "exited", "deleted"])
                    second.send_signal(signal.SIGTERM)
                    assert second.wait(20) == 0
        assert "Traceback" not in (place / "log").read_text()
    asyncio.run(scenario())


def test_nobody_to_replace_is_no_error(places: list[str], place: Path) -> None:
    async def scenario() -> None:
        async with serving(place / "http/socket", [*places, "--replace"]) as (_, client):
            assert await client.containers() == []
    asyncio.run(scenario())


def test_the_installed_command_needs_nothing_of_the_caller(place: Path) -> None:
    """What `make install` puts beside pyrunc: no environment, no directory, no virtual environment."""
    tree = Path(pyrunc.__file__).parent.parent
    script = runpy.run_path(str(tree / "pyrunc/_native/install.py"))["script"](tree)
    (place / "runciter").write_text(script)
    (place / "runciter").chmod(0o755)
    for words, status, said in (["--help"], 0, "control many containers"), (["nonsense"], 2, "invalid choice"):
        done = subprocess.run([place / "runciter", *words], cwd="/", env={}, capture_output=True, text=True)
        assert done.returncode == status and said in done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_the_units_are_what_systemd_takes(tmp_path: Path) -> None:
    for unit in (Path(__file__).parents[2] / "contrib/systemd").iterdir():
        text = unit.read_text().replace("/usr/local/bin/runciter", "/bin/true")       # which is not installed here
        (tmp_path / unit.name).write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", *map(str, tmp_path.iterdir())], capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == 0 and "runciter" not in done.stderr, done.stderr
