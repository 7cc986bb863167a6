"""containerd 1.6 with `ctr run --runc-binary`: what a user does with a container, under runc and under pyrunc."""
from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .containerd import Containerd
from .image import NAME

pytestmark = pytest.mark.guest_engines


@pytest.fixture(scope="module")
def containerd(private_world: None) -> Iterator[Containerd]:
    place = Path(tempfile.mkdtemp(prefix="containerd-", dir="/tmp"))
    place.chmod(0o711)                  # a user namespace's root must get to its files
    daemon = Containerd(place)
    yield daemon
    daemon.stop()


class Ctr:
    """The daemon and the runtime of one test, and an id of its own."""

    def __init__(self, daemon: Containerd, binary: str, id: str) -> None:
        self.daemon, self.binary, self.id = daemon, binary, id

    def command(self, *flags: str, args: tuple[str, ...] = ()) -> tuple[str, ...]:
        return ("run", "--runc-binary", self.binary, *flags, NAME, self.id, *args)

    def wait(self, done: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + 30
        while not done():
            assert time.monotonic() < deadline, f"{what}: {self.daemon.left(self.id)}\n{self.daemon.last_words()}"
            time.sleep(0.1)

    def detached(self, *args: str, flags: tuple[str, ...] = ()) -> None:
        self.daemon.ok(*self.command("--detach", *flags, args=args))

    def nothing_left(self) -> None:
        self.wait(lambda: not self.daemon.left(self.id), "something stays behind")


@pytest.fixture
def ctr(containerd: Containerd, binary: str, name: str) -> Iterator[Ctr]:
    driver = Ctr(containerd, binary, name)
    yield driver
    containerd.ctr("task", "delete", "--force", name)
    containerd.ctr("container", "delete", name)


@pytest.mark.every_time
def test_output_and_exit_code(ctr: Ctr) -> None:
    done = ctr.daemon.ctr(*ctr.command("--rm", args=("sh", "-c", "echo out; echo err >&2; exit 7")))
    assert (done.status, done.stdout, done.stderr.strip()) == (7, "out\n", "err"), done.stderr + ctr.daemon.last_words()
    ctr.nothing_left()


def test_options_arrive(ctr: Ctr) -> None:
    script = "echo $A $PWD; touch /x 2>/dev/null || echo read-only; cat /mnt/hosts"
    done = ctr.daemon.ctr(*ctr.command(
        "--rm", "--env", "A=b", "--cwd", "/tmp", "--read-only",
        "--mount", "type=bind,src=/etc/hostname,dst=/mnt/hosts,options=rbind:ro", args=("sh", "-c", script)))
    assert done.stdout.splitlines() == ["b /tmp", "read-only", Path("/etc/hostname").read_text().strip()], done.stderr


@pytest.mark.every_time
def test_kill_and_delete(ctr: Ctr) -> None:
    ctr.detached("sleep", "1000")
    assert ctr.daemon.task_status(ctr.id) == "RUNNING"
    refused = ctr.daemon.ctr("task", "delete", ctr.id)
    assert refused.status != 0 and ctr.daemon.task_status(ctr.id) == "RUNNING"
    ctr.daemon.ok("task", "kill", "--signal", "SIGKILL", ctr.id)
    ctr.wait(lambda: ctr.daemon.task_status(ctr.id) == "STOPPED", "it goes on")
    gone = ctr.daemon.ctr("task", "kill", ctr.id)
    assert gone.status != 0 and "not found" in gone.stderr
    ctr.daemon.ok("task", "delete", ctr.id)
    ctr.daemon.ok("container", "delete", ctr.id)
    ctr.nothing_left()


def test_processes_and_metrics(ctr: Ctr) -> None:
    ctr.detached("sh", "-c", "sleep 1000 & wait", flags=("--memory-limit", "33554432"))
    ctr.wait(lambda: len(ctr.daemon.ok("task", "ps", ctr.id).splitlines()) == 3, "not two processes")
    metrics = json.loads(ctr.daemon.ok("task", "metrics", "--format", "json", ctr.id))
    assert int(metrics["memory"]["usage_limit"]) == 33554432 and int(metrics["pids"]["current"]) == 2


@pytest.mark.every_time
def test_exec(ctr: Ctr) -> None:
    ctr.detached("sh", "-c", "touch /here; sleep 1000")
    done = ctr.daemon.ctr("task", "exec", "--exec-id", "e1", ctr.id, "sh", "-c", "ls /here; echo err >&2; exit 5")
    assert (done.status, done.stdout, done.stderr.strip()) == (5, "/here\n", "err"), done.stderr
    done = ctr.daemon.ctr("task", "exec", "--exec-id", "e2", "--cwd", "/tmp", "--user", "1000", ctr.id,
                          "sh", "-c", "pwd; id -u")
    assert done.stdout.splitlines() == ["/tmp", "1000"], done.stderr
    failed = ctr.daemon.ctr("task", "exec", "--exec-id", "e3", ctr.id, "nonesuch")
    assert failed.status != 0 and "executable file not found in $PATH" in failed.stderr


def test_pause_and_resume(ctr: Ctr) -> None:
    ctr.detached("sleep", "1000")
    ctr.daemon.ok("task", "pause", ctr.id)
    assert ctr.daemon.task_status(ctr.id) == "PAUSED"
    ctr.daemon.ok("task", "resume", ctr.id)
    assert ctr.daemon.task_status(ctr.id) == "RUNNING"


def test_seccomp_and_host_network(ctr: Ctr) -> None:
    host = Path("/proc/self/ns/net").readlink().name
    script = "readlink /proc/self/ns/net; grep Seccomp: /proc/self/status; grep NoNewPrivs /proc/self/status"
    done = ctr.daemon.ctr(*ctr.command("--rm", "--net-host", "--seccomp", args=("sh", "-c", script)))
    assert done.stdout.splitlines() == [host, "Seccomp:\t2", "NoNewPrivs:\t1"], done.stderr


def test_user_namespace(ctr: Ctr) -> None:
    flags = ("--rm", "--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536")
    done = ctr.daemon.ctr(*ctr.command(*flags, args=("sh", "-c", "tr -s ' ' </proc/self/uid_map; id -u")))
    assert done.stdout.splitlines() == [" 0 100000 65536", "0"], done.stderr


@pytest.mark.every_time
def test_out_of_memory_is_seen(ctr: Ctr) -> None:
    args = ("dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1")
    done = ctr.daemon.ctr(*ctr.command("--rm", "--memory-limit", "16777216", args=args))
    assert done.status == 137, done.stderr


@pytest.mark.every_time
@pytest.mark.parametrize(("args", "said"), [
    (("nonesuch",), "executable file not found in $PATH"), (("/nonesuch",), "no such file or directory"),
    (("/etc/passwd",), "permission denied")])
def test_a_failing_create_tells_why(args: tuple[str, ...], said: str, ctr: Ctr) -> None:
    done = ctr.daemon.ctr(*ctr.command("--rm", args=args))
    assert done.status == 1 and "OCI runtime create failed" in done.stderr and said in done.stderr
    ctr.nothing_left()
