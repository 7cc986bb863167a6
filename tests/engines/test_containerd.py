"""containerd 1.6 with `ctr run`: what a user does with a container, under runc, pyrunc, and the shim of pyrunc."""
from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import bundles

from .containerd import Done
from .ctr import Ctr, binary, cni, containerd, ctr

__all__ = ["binary", "cni", "containerd", "ctr"]
pytestmark = [pytest.mark.guest_engines, pytest.mark.timeout(900)]


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
    done = ctr.daemon.ctr("task", "exec", "--exec-id", "e1", ctr.id, "sh", "-c",
                          "until ls /here 2>/dev/null; do sleep 0.1; done; echo err >&2; exit 5")
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


@pytest.mark.every_time
def test_out_of_memory_is_seen(ctr: Ctr) -> None:
    args = ("dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1")
    done = ctr.daemon.ctr(*ctr.command("--rm", "--memory-limit", "16777216", args=args))
    assert done.status == 137, done.stderr


@pytest.mark.parametrize(("args", "said"), [
    pytest.param(("nonesuch",), "executable file not found in $PATH", marks=pytest.mark.every_time),
    (("/nonesuch",), "no such file or directory"),
    (("/etc/passwd",), "permission denied")], ids=["nothing in PATH", "no such file", "no program"])
def test_a_failing_create_tells_why(args: tuple[str, ...], said: str, ctr: Ctr) -> None:
    done = ctr.daemon.ctr(*ctr.command("--rm", args=args))
    assert done.status == 1 and "OCI runtime create failed" in done.stderr and said in done.stderr
    ctr.nothing_left()


@pytest.mark.every_time
def test_warnings_are_logged_and_mislead_nobody(ctr: Ctr) -> None:
    """The shim reads the log when a command fails, and tells the last error in it."""
    root, config = bundles.busybox_root(ctr.daemon.place / f"{ctr.id}-root"), ctr.daemon.place / f"{ctr.id}.json"

    def run(args: list[str], *flags: str) -> Done:
        config.write_text(json.dumps(bundles.docker_like(
            root={"path": str(root)}, process={"args": args, "capabilities": {
                "bounding": ["CAP_FUTURE", "CAP_CHOWN"], "effective": ["CAP_CHOWN"], "permitted": ["CAP_CHOWN"]}},
            linux={"cgroupsPath": f"/{ctr.id}"})))
        return ctr.daemon.ctr("run", *flags, *ctr.runtime, "--config", str(config), ctr.id)
    done = run(["sh", "-c", "echo out; echo err >&2; exit 7"], "--rm")
    assert (done.status, done.stdout, done.stderr.strip()) == (7, "out\n", "err"), done.stderr
    done = run(["nonesuch"], "--rm")
    assert done.status == 1 and "executable file not found in $PATH" in done.stderr and "FUTURE" not in done.stderr
    assert run(["sh", "-c", "exec sleep 1000"], "--detach").status == 0
    if ctr.shim:                                            # it writes into containerd's own log
        ctr.wait(lambda: f"warning: {ctr.id}: CAP_FUTURE is unknown" in ctr.daemon.log.read_text(), "no warning")
    else:
        (log,) = ctr.daemon.place.glob(f"state/*/default/{ctr.id}/log.json")
        assert [json.loads(line)["level"] for line in log.read_text().splitlines()] == ["warning"], log.read_text()
    failed = ctr.daemon.ctr("task", "exec", "--exec-id", "e", ctr.id, "nonesuch")
    assert failed.status == 1 and "executable file not found in $PATH" in failed.stderr, failed.stderr
