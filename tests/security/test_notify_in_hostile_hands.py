"""The socket and the folder of sd_notify(3) in the hands of the container: floods, a manager that does not listen, and
what a container that may mount puts into the folder."""
from __future__ import annotations

import os
import select
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrunc.kernel import remove
from pyrunc.log import Log
from pyrunc.runtime.sd_notify import AT_ONCE, LONGEST, Proxy
from tests import bundles, runtimes
from tests.container.rootless import User
from tests.runtimes import Runtime


@pytest.fixture
def manager(place: Path) -> Iterator[socket.socket]:
    """A service manager that has its socket, and listens when it likes."""
    found = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    found.bind(str(place / "manager"))
    found.setblocking(False)
    yield found
    found.close()


@pytest.fixture
def proxy(place: Path, manager: socket.socket) -> Iterator[Proxy]:
    (place / "notify").mkdir()
    found = Proxy(str(place / "manager"), str(place / "notify"), Log())
    found.listen()
    yield found
    found.close()


@pytest.fixture
def container(place: Path, proxy: Proxy) -> Iterator[socket.socket]:
    found = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    found.connect(str(place / "notify/notify.sock"))
    found.setblocking(False)
    yield found
    found.close()


def heard(manager: socket.socket) -> list[bytes]:
    found = []
    while select.select([manager], [], [], 0)[0]:
        found.append(manager.recv(1 << 17))
    return found


def test_one_message_becomes_one(proxy: Proxy, container: socket.socket, manager: socket.socket) -> None:
    container.send(b"\n".join(b"STATUS=%d" % number for number in range(4000)))
    container.send(b"STATUS=" + b"x" * 60000)
    container.send(b"RELOADING=1\nMONOTONIC_USEC=7\nMAINPID=1\nSTATUS=" + b"y" * (LONGEST - 7))
    started = time.monotonic()
    proxy.forward(7)
    assert time.monotonic() - started < 5
    said = heard(manager)
    assert said[0] == b"STATUS=3999\n" and len(said) == 2
    assert said[1].split(b"\n")[:2] == [b"RELOADING=1", b"MONOTONIC_USEC=7"] and len(said[1]) < 4096


def test_a_manager_that_does_not_listen_stops_nobody(proxy: Proxy, container: socket.socket, manager: socket.socket
                                                     ) -> None:
    sent = 0
    for _ in range(20):                  # until both queues are full
        try:
            while True:
                container.send(b"STATUS=%d" % sent)
                sent += 1
        except BlockingIOError:
            proxy.forward(7)
    assert len(proxy.unsaid) == 1
    [(fd, events)] = proxy.wanted().items()
    assert events == select.POLLOUT and not select.select([], [fd], [], 0)[1]
    said = heard(manager)
    while proxy.unsaid or select.select([*proxy.wanted()], [], [], 0)[0]:
        proxy.forward(7)
        said += heard(manager)
    assert said == [b"STATUS=%d\n" % number for number in range(sent)]      # nothing is lost, nothing is too much


def test_a_flood_is_dealt_with_in_parts(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless:
        def recv(self, *_: object) -> bytes:
            return b"X=y"

        def close(self) -> None:
            """It has none."""
    assert proxy.socket is not None
    proxy.socket.close()
    proxy.socket = Endless()             # type: ignore[assignment]
    proxy.forward(7)                     # returns
    assert AT_ONCE < 1000


def test_a_manager_that_is_gone_is_told_of_once(proxy: Proxy, container: socket.socket, manager: socket.socket,
                                                capfd: pytest.CaptureFixture[str]) -> None:
    manager.close()
    for _ in range(5):
        container.send(b"STATUS=x")
        proxy.forward(7)
    assert capfd.readouterr().err.count("NOTIFY_SOCKET") <= 1


def test_the_sockets_mode_is_not_changed_by_name(place: Path, proxy: Proxy) -> None:
    """chmod(2) of it would follow a link that the container puts in its place."""
    assert stat.S_IMODE((place / "notify/notify.sock").lstat().st_mode) == 0o777
    import inspect
    assert "chmod" not in inspect.getsource(Proxy)


# SIGTERM came to nobody while one datagram of 5,000 lines was passed on to a manager that takes its time.
def test_run_hears_a_signal_meanwhile(runtime: Runtime, place: Path, name: str, manager: socket.socket) -> None:
    script = ("import os, socket, time; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
              "s.connect(os.environ['NOTIFY_SOCKET']); print('here', flush=True)\n"
              "while True: s.send(b'STATUS=x\\n' * 5000)")
    bundles.host_root(place / "rootfs")
    (place / "rootfs/run/notify").mkdir(parents=True)
    bundles.write(place, bundles.docker_like(process={"args": ["/usr/bin/python3", "-I", "-S", "-c", script]},
                                             mounts=bundles.host_mounts(), root={"readonly": True}))
    running = runtime.popen("run", "--bundle", place, name, stdout=subprocess.PIPE,
                            env={**os.environ, "NOTIFY_SOCKET": str(place / "manager")})
    assert running.stdout is not None and running.stdout.readline() == b"here\n"
    time.sleep(0.5)
    running.send_signal(signal.SIGUSR1)              # PID 1 of Python has no handler for SIGTERM
    runtime.ok("kill", name, "KILL")
    assert running.wait(20) == 137
    running.stdout.close()


FILL = ("mount -o remount,rw,bind /run/notify && cd /run/notify && mkdir -p a/b/c .hidden && touch a/file a/b/file && "
        "ln -s /etc a/link && mkfifo a/fifo; for i in $(seq 300); do mkdir d && cd d || break; done; "
        "touch end; chmod 000 /run/notify/a/b; ls /run/notify >/filled; exec sleep 600")


CAPABILITIES = [*bundles.CAPABILITIES, "CAP_SYS_ADMIN"]
MAY_MOUNT = {"bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES}


def fill(runtime: Runtime, place: Path, name: str) -> Path:
    bundles.busybox_root(place / "rootfs")
    (place / "rootfs/bin/mkfifo").symlink_to("busybox")
    bundles.write(place, bundles.docker_like(process={"args": ["sh", "-c", FILL], "capabilities": MAY_MOUNT}))
    runtime.create(name, place, env={**os.environ, "NOTIFY_SOCKET": str(place / "manager")})
    runtime.ok("start", name)
    return runtime.root / name / "notify"


# `delete --force` exited 1 for ever after a mkdir in it.
@pytest.mark.parametrize("flags", [["--force"], []])
def test_what_a_container_puts_into_the_folder_goes(flags: list[str], runtime: Runtime, place: Path, name: str) -> None:
    folder = fill(runtime, place, name)
    deadline = time.monotonic() + 60
    while not (place / "rootfs/filled").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert (folder / "a/fifo").is_fifo() and (folder / "d/d/d").is_dir()
    if not flags:
        runtime.ok("kill", name, "KILL")
        runtime.wait_for(name, "stopped")
    runtime.ok("delete", *flags, name)
    assert not (runtime.root / name).exists()
    assert Path("/etc/passwd").exists()


def test_a_user_gets_rid_of_it_too(request: pytest.FixtureRequest, private_world: None, place: Path, name: str) -> None:
    user = User(runtimes.find(request.config.getoption("runtime")), place)
    os.symlink("busybox", user.bundle / "rootfs/bin/mkfifo")
    user.spec(FILL, process={"capabilities": MAY_MOUNT})
    user.environment["NOTIFY_SOCKET"] = str(place / "nobody")
    user.detached("create", name)
    user.environment.clear()                         # start would wait until it is ready
    user.ok("start", name)
    deadline = time.monotonic() + 60
    while not (user.bundle / "rootfs/filled").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert (user.runtime_dir / "pyrunc" / name / "notify/a/fifo").exists()
    user.ok("delete", "--force", name)
    assert not (user.runtime_dir / "pyrunc" / name).exists()


def test_a_tree_of_any_depth_is_removed(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    (tmp_path / "kept").write_text("kept")
    here = os.open(top, os.O_RDONLY)
    for _ in range(3000):                            # longer than PATH_MAX, deeper than Python recurses
        os.mkdir("d", dir_fd=here)
        os.symlink(tmp_path / "kept", "link", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    remove.tree(str(top))
    assert not top.exists() and (tmp_path / "kept").read_text() == "kept"
    remove.tree(str(top))                            # gone is fine
