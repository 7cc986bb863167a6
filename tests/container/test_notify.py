"""systemd's two protocols through the runtime: sd_notify(3) from the container, sd_listen_fds(3) into it."""
from __future__ import annotations

import array
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import bundles
from tests.bundles import docker_like
from tests.runtimes import Runtime

#: Python in the container: words are sent one by one, then it waits to be killed.
TELL = """
import os, socket, sys, time
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
for word in sys.argv[1:]:
    manager.sendto(word.encode(), os.environ["NOTIFY_SOCKET"])
time.sleep(1000)
"""


class Manager:
    """The service manager's end: what it was told, and barriers answered."""

    def __init__(self, path: str) -> None:
        self.address = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + path[1:] if path.startswith("@") else path)
        self.socket.settimeout(20)

    def hear(self) -> str:
        message, ancillary, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(4))
        for _, _, data in ancillary:
            os.close(array.array("i", data)[0])
        return message.decode().rstrip("\n")


@pytest.fixture
def bundle(place: Path) -> Path:
    return bundles.bundle(place / "bundle", host_usr=True)


def telling(bundle: Path, *words: str, **changes: Any) -> Path:
    args = ["/usr/bin/python3", "-I", "-S", "-c", TELL, *words]
    config = docker_like(process={"args": args}, mounts=bundles.host_mounts(), root={"readonly": True})
    (bundle / "rootfs/run/notify").mkdir(parents=True, exist_ok=True)      # the root is not its root user's
    return bundles.write(bundle, bundles.merge(config, changes))


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, place: Path, name: str) -> Iterator[Manager]:
    found = Manager(str(place / "manager") if request.param == "path" else f"@{name}")
    yield found
    found.socket.close()


def env(manager: Manager) -> dict[str, str]:
    return {**os.environ, "NOTIFY_SOCKET": manager.address}


def test_start_returns_when_the_container_is_ready(manager: Manager, runtime: Runtime, bundle: Path, name: str) -> None:
    telling(bundle, "STATUS=coming\nMAINPID=1", "X=y\nREADY=1\nFDSTORE=1")
    init = runtime.create(name, bundle, env=env(manager))
    starting = runtime.popen("start", name, env=env(manager))
    said = [manager.hear() for _ in range(3)]
    # What it says about other processes and descriptors is not said again.
    if runtime.name == "pyrunc":
        assert said[:2] == ["STATUS=coming", "READY=1"]
    assert said[2] == f"MAINPID={init.pid}"
    time.sleep(0.1)
    assert starting.poll() is None, "start does not wait for the barrier"
    assert manager.hear() == "BARRIER=1"
    assert starting.wait(60) == 0 and runtime.status(name) == "running"


def test_start_returns_when_a_container_ends_that_never_was_ready(runtime: Runtime, place: Path, bundle: Path,
                                                                  name: str) -> None:
    manager = Manager(str(place / "manager"))
    shell = bundles.write(bundles.bundle(place / "shell"), docker_like(process={"args": ["sleep", "0.3"]}))
    assert runtime("run", "--detach", "--bundle", shell, name, env=env(manager)).status == 0
    runtime.wait_for(name, "stopped")
    manager.socket.close()


def test_foreground_passes_on_to_the_end(runtime: Runtime, place: Path, bundle: Path, name: str) -> None:
    manager = Manager(str(place / "manager"))
    telling(bundle, "READY=1", "WATCHDOG=1", "STATUS=well")
    running = runtime.popen("run", "--bundle", bundle, name, env=env(manager))
    said = [manager.hear() for _ in range(4)]
    assert said == ["READY=1", f"MAINPID={runtime.state(name)['pid']}", "WATCHDOG=1", "STATUS=well"]
    runtime.ok("kill", name, "KILL")
    assert running.wait(60) == 137
    manager.socket.close()


def test_in_a_user_namespace_and_under_a_strict_umask(runtime: Runtime, place: Path, bundle: Path, name: str) -> None:
    manager = Manager(str(place / "manager"))
    mapping = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    telling(bundle, "READY=1", linux={
        "namespaces": bundles.namespaces("user", "pid", "network", "ipc", "uts", "mount", "cgroup"),
        "uidMappings": mapping, "gidMappings": mapping}, process={"user": {"uid": 1000, "gid": 1000}})
    starting = subprocess.Popen(["sh", "-c", 'umask 077; exec "$@"', "sh",
                                 *runtime.argv("run", "--detach", "--bundle", bundle, name)], env=env(manager))
    assert [manager.hear() for _ in range(3)] == ["READY=1", f"MAINPID={runtime.state(name)['pid']}", "BARRIER=1"]
    assert starting.wait(60) == 0
    manager.socket.close()


# runtime-linux.md#file-descriptors: "The runtime MAY pass additional file descriptors to the application to support
# features such as socket activation."
@pytest.mark.spec("runtime-linux.md#file-descriptors", "descriptors for socket activation are passed on")
@pytest.mark.parametrize("preserved", [0, 1])
def test_listen_fds(preserved: int, runtime: Runtime, place: Path, name: str) -> None:
    script = ("echo $LISTEN_FDS $LISTEN_PID; "
              "for f in /proc/self/fd/*; do readlink $f | grep -E '^(socket|/.*/kept$)'; done; true")
    bundle = bundles.bundle(place / "shell", docker_like(process={"args": ["sh", "-c", script]}))
    first, second = socket.socketpair()
    kept = place / "kept"
    kept.touch()
    # sd_listen_fds(3): the descriptors are 3 and up, LISTEN_PID is who they are for. Those of --preserve-fds follow.
    launch = 'exec 3<&"$1" 4<&"$2" 5<"$3"; shift 3; export LISTEN_FDS=2 LISTEN_PID=$$; exec "$@"'
    argv = runtime.argv("run", "--preserve-fds", str(preserved), "--bundle", bundle, name)
    done = subprocess.run(["bash", "-c", launch, "bash", str(first.fileno()), str(second.fileno()), kept, *argv],
                          pass_fds=(first.fileno(), second.fileno()), capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "2 1"
    assert [line.partition(":")[0] for line in lines[1:]] == ["socket"] * 2 + [str(kept)] * preserved
    first.close()
    second.close()


# "By default, only the stdin, stdout and stderr file descriptors are kept open for the application by the runtime."
@pytest.mark.spec("runtime-linux.md#file-descriptors", "only the standard streams are kept open")
def test_sockets_for_another_process_are_not_passed_on(runtime: Runtime, place: Path, name: str) -> None:
    script = "echo ${LISTEN_FDS-none}; ls /proc/self/fd"
    bundle = bundles.bundle(place / "shell", docker_like(process={"args": ["sh", "-c", script]}))
    reader, writer = os.pipe()
    argv = runtime.argv("run", "--bundle", bundle, name)
    done = subprocess.run(["sh", "-c", 'LISTEN_FDS=1 LISTEN_PID=1 exec "$@"', "sh", *argv], pass_fds=(reader, writer),
                          capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.split() == ["none", "0", "1", "2", "3"]              # 3: the folder that ls reads
    for fd in (reader, writer):
        os.close(fd)


