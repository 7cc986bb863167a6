"""Scenarios that are the same for Podman as root and as an ordinary user: both modules have them by import."""
from __future__ import annotations

import pytest

from .podman import Podman
from .waiting import EAT

__all__ = ["test_a_failing_create_tells_why", "test_exec", "test_exec_in_a_terminal", "test_out_of_memory_is_seen",
           "test_output_exit_code_and_nothing_left"]


@pytest.mark.every_time
def test_output_exit_code_and_nothing_left(podman: Podman) -> None:
    done = podman.run("--cidfile", str(podman.store.work / podman.name),
                      args=["sh", "-c", "echo out; echo err >&2; exit 7"])
    assert (done.status, done.stdout, done.stderr) == (7, "out\n", "err\n"), done
    podman.nothing_left((podman.store.work / podman.name).read_text())


@pytest.mark.parametrize(("args", "status", "said"), [
    pytest.param(("nonesuch",), 127, "executable file not found in $PATH", id="not found",
                 marks=pytest.mark.every_time),
    pytest.param(("/nonesuch",), 127, "no such file or directory", id="no such file"),
    pytest.param(("/etc/passwd",), 126, "permission denied", id="not executable")])
def test_a_failing_create_tells_why(args: tuple[str, ...], status: int, said: str, podman: Podman) -> None:
    done = podman.run(args=args)
    assert done.status == status and said in done.stderr and done.stderr.count("\n") == 1, done
    assert "OCI permission denied" in done.stderr or "OCI runtime attempted to invoke a command that was not found" in \
        done.stderr, done


@pytest.mark.every_time
def test_exec(podman: Podman, sleeper: str) -> None:
    done = podman("exec", "--user", "1000:2000", "--workdir", "/tmp", "--env", "C=d", sleeper,
                  "sh", "-c", "echo $A $C $PWD; id -u; id -g; ls /here; echo err >&2; exit 5")
    assert (done.status, done.lines, done.stderr) == (5, ["b d /tmp", "1000", "2000", "/here"], "err\n"), done
    failed = podman("exec", sleeper, "nonesuch")
    assert failed.status == 127 and "executable file not found in $PATH" in failed.stderr, failed
    failed = podman("exec", sleeper, "/etc/passwd")
    assert failed.status == 126 and "permission denied" in failed.stderr, failed


def test_exec_in_a_terminal(podman: Podman, sleeper: str) -> None:
    with podman.terminal("exec", "-it", sleeper, "sh") as terminal:
        terminal.ask("tty; stty size", "30 100", 120)
        terminal.write("exit 6\n")
        assert terminal.wait() == 6


@pytest.mark.every_time
def test_out_of_memory_is_seen(podman: Podman) -> None:
    """Podman 4.3 does not find what conmon 2.1.6 writes, since that writes it where podman was called. And conmon looks
    when the kernel says that memory.events has changed, which may be before the number is in it."""
    seen = podman.store.work / "oom"
    seen.unlink(missing_ok=True)
    script = f"{EAT}; echo $?; for i in $(seq 60); do test -e /work/oom && exec {EAT}; sleep 0.2; {EAT}; done"
    done = podman.run("--memory", "16m", "--volume", f"{seen.parent}:/work", args=["sh", "-c", script])
    assert (done.status, done.lines) == (137, ["137"]) and seen.exists(), done
