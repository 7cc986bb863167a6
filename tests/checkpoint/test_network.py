"""Checkpoints and networks, in the guest: namespaces, open connections, and memory that goes to another machine."""
from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests import bundles
from tests.runtimes import Runtime, reap

from .test_containers import COUNTING, Counter, checkpoint, counter

pytestmark = [pytest.mark.guest, pytest.mark.timeout(300)]


def test_a_network_namespace_of_its_own_or_of_the_engine(runtime: Runtime, place: Path, name: str) -> None:
    one = counter(runtime, place, name)
    checkpoint(one)
    one.restore()
    assert "LOOPBACK,UP" in runtime.ok("exec", name, "ip", "link").stdout
    one.finish(0)
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        spaces = bundles.namespaces("pid", "ipc", "uts", "mount", "cgroup")
        joined = {"type": "network", "path": f"/run/netns/{name}"}
        two = counter(runtime, place / "two", name, {"linux": {"namespaces": [*spaces, joined]}})
        last = checkpoint(two)
        two.restore()
        assert two.next() == last + 1
        assert os.stat(f"/proc/{two.pid}/ns/net").st_ino == os.stat(f"/run/netns/{name}").st_ino
        two.finish(0)
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


def test_tcp_connections(runtime: Runtime, place: Path, name: str) -> None:
    """An open connection is refused unless the caller takes it upon itself."""
    listener = socket.create_server(("127.0.0.1", 0))
    spaces = bundles.namespaces("pid", "ipc", "uts", "mount", "cgroup")     # the host's network
    one = counter(runtime, place, name, {
        "process": {"args": ["sh", "-c", f"busybox nc 127.0.0.1 {listener.getsockname()[1]} & {COUNTING}"]},
        "linux": {"namespaces": spaces}})
    with listener, listener.accept()[0]:
        outcome = runtime("checkpoint", "--image-path", one.images, name)
        assert outcome.status == 1 and "criu failed: Error (" in outcome.stderr
        assert "--tcp-established" in outcome.stderr
        assert runtime.status(name) == "running"
        runtime.ok("checkpoint", "--leave-running", "--tcp-established", "--image-path", one.images, name)
    runtime.ok("kill", name, "KILL")
    assert reap(one.pid) == 128 + signal.SIGKILL
    runtime.ok("delete", name)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_tcp_connection_goes_on(runtime: Runtime, place: Path, name: str) -> None:
    """What the other side sends while there is nobody, and afterwards, arrives."""
    listener = socket.create_server(("127.0.0.1", 0))
    connect = f"sleep 1000 | busybox nc 127.0.0.1 {listener.getsockname()[1]} >/tmp/received &"
    one = counter(runtime, place, name, {"process": {"args": ["sh", "-c", f"{connect} {COUNTING}"]},
                                         "linux": {"namespaces": bundles.namespaces("pid", "ipc", "uts", "mount")}})
    received = one.bundle / "rootfs/tmp/received"
    with listener, listener.accept()[0] as peer:
        last = checkpoint(one, "--tcp-established")
        peer.sendall(b"meanwhile\n")
        one.restore("--tcp-established")
        assert one.next() == last + 1
        peer.sendall(b"afterwards\n")
        deadline = time.monotonic() + 150
        while received.read_text() != "meanwhile\nafterwards\n":
            assert time.monotonic() < deadline, received.read_text()
            time.sleep(0.1)
    one.finish(0)


def test_memory_goes_to_a_page_server(runtime: Runtime, place: Path, name: str) -> None:
    one, port, pages = counter(runtime, place, name), free_port(), place / "pages"
    pages.mkdir()
    server = subprocess.Popen(["criu", "page-server", "--images-dir", pages, "--port", str(port)])
    wait_for_port(port)
    last = checkpoint(one, "--page-server", f"127.0.0.1:{port}")
    assert server.wait(150) == 0
    assert not list(one.images.glob("pages-*.img"))
    served = list(pages.glob("page*.img"))
    assert max(image.stat().st_size for image in served) > 4096, list(pages.iterdir())
    for image in served:
        shutil.copy(image, one.images)
    one.restore()
    assert one.next() == last + 1
    one.finish(0)


def wait_for_port(port: int) -> None:
    """Until somebody listens there, without connecting: a page server serves one connection."""
    wanted = f"0100007F:{port:04X}", f"00000000:{port:04X}"
    deadline = time.monotonic() + 150
    while not any(line.split()[1] in wanted and line.split()[3] == "0A"
                  for line in Path("/proc/net/tcp").read_text().splitlines()[1:]):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_lazy_pages(runtime: Runtime, place: Path, name: str) -> None:
    """The container runs again before its memory is there; the checkpoint ends when all of it has been fetched."""
    one, port = counter(runtime, place, name), free_port()
    ready, tell = os.pipe()
    dumping = runtime.popen("checkpoint", "--lazy-pages", "--page-server", f"127.0.0.1:{port}", "--status-fd",
                            str(tell), "--image-path", one.images, name, pass_fds=[tell])
    os.close(tell)
    assert os.read(ready, 1) == b"\0"
    os.close(ready)
    daemon = subprocess.Popen(["criu", "lazy-pages", "--page-server", "--address", "127.0.0.1", "--port", str(port),
                               "--images-dir", one.images, "--work-dir", one.images])
    deadline = time.monotonic() + 150
    while not (one.images / "lazy-pages.socket").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    again = Counter(runtime, one.bundle, f"{name}-again")
    again.restore("--lazy-pages")
    first = again.next()
    assert dumping.wait(60) == 0 and daemon.wait(60) == 0
    assert reap(one.pid) == 137 and first == one.last() + 1
    assert "container does not exist" in runtime("state", name).stderr
    again.finish(0)
