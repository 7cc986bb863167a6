"""Scenarios that are the same for Podman as root and as an ordinary user: both modules have them by import."""
from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from .podman import Podman
from .waiting import EAT

__all__ = [
    "test_a_failing_create_tells_why",
    "test_exec",
    "test_exec_in_a_terminal",
    "test_out_of_memory_is_seen",
    "test_output_exit_code_and_nothing_left",
    "test_warnings_are_logged_and_mislead_nobody",
]


@pytest.mark.every_time
def test_output_exit_code_and_nothing_left(podman: Podman) -> None:
    """The container tells its id: Podman 5 removes the --cidfile of a container with it."""
    own_id = "grep ' /etc/hostname ' /proc/self/mountinfo | grep -o '[0-9a-f]\\{64\\}' | head -n 1"
    done = podman.run(args=["sh", "-c", f"{own_id}; echo out; echo err >&2; exit 7"])
    id, *out = done.lines
    assert (done.status, out, done.stderr) == (7, ["out"], "err\n") and len(id) == 64, done
    podman.nothing_left(id)


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


#: In front of a runtime: adds a capability that there is not, and with a file `break` a program that there is not.
WARNED = r"""#!/bin/sh
for word; do
    case $previous in
    --bundle | -b) file=$word/config.json ;;
    --process | -p) file=$word ;;
    esac
    previous=$word
done
test -z "$file" || sed -i 's/"CAP_CHOWN"/"CAP_FUTURE","CAP_CHOWN"/g' "$file"
test ! -e {folder}/break || sed -i 's/"args":\["sh"/"args":["nonesuch"/' "$file"
exec {binary} "$@"
"""


@pytest.mark.every_time
def test_warnings_are_logged_and_mislead_nobody(podman: Podman) -> None:
    """Podman decodes the log as one JSON value when a command has failed; if it is none, it takes what conmon read."""
    folder = podman.store.place / f"{podman.name}-warned"
    folder.mkdir()
    script = folder / podman.runtime                  # by its name Podman knows that it can write JSON
    script.write_text(WARNED.format(folder=folder, binary=podman.binary))
    for path, mode in ((folder, 0o755), (script, 0o755)):
        path.chmod(mode)
    podman.runtime = str(script)
    done = podman.run(args=["sh", "-c", "echo out; echo err >&2; exit 7"])
    assert (done.status, done.stdout, done.stderr) == (7, "out\n", "err\n"), done
    done = podman.run(args=["nonesuch"])
    assert done.status == 127 and "executable file not found in $PATH" in done.stderr, done
    assert "FUTURE" not in done.stderr and done.stderr.count("\n") == 1, done
    podman.detached(script="sleep 1000")
    log = Path(podman.inspect()["ConmonPidFile"]).with_name("oci-log")       # for a user it is elsewhere
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert {record["level"] for record in records} == {"warning"}, records
    assert any("CAP_FUTURE" in record["msg"] for record in records), records     # runc under systemd has more to say
    failed = podman("exec", podman.name, "nonesuch")
    assert failed.status == 127 and "executable file not found in $PATH" in failed.stderr, failed
    assert podman("exec", podman.name, "sh", "-c", "echo err >&2; exit 5").stderr == "err\n"
    # Its log stays: the next failure is a second value in it.
    podman.ok("stop", "--time", "0", podman.name)
    (folder / "break").touch()
    failed = podman("start", podman.name)
    assert failed.status in (125, 127) and "executable file not found in $PATH" in failed.stderr, failed
    assert "FUTURE" not in failed.stderr, failed
    (folder / "break").unlink()


@pytest.mark.every_time
def test_exec(podman: Podman, sleeper: str) -> None:
    done = podman("exec", "--user", "1000:2000", "--workdir", "/tmp", "--env", "C=d", sleeper,
                  "sh", "-c", "echo $A $C $PWD; id -u; id -g; "
                  "until ls /here 2>/dev/null; do sleep 0.1; done; echo err >&2; exit 5")
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
    """Podman 4.3 does not find what conmon 2.1.6 writes, since that writes it where podman was called.

    conmon waits for the first change of memory.events and gives up when no number is in it then. That change may be
    that the limit was met, a moment before a process is killed for it: we stop conmon for this moment. Nor must the
    runtime itself meet the limit before that: with 16 MiB, runc, which copies itself, may.
    """
    go, seen = podman.store.work / "go", podman.store.work / "oom"
    for file in (go, seen):
        file.unlink(missing_ok=True)
    script = (f"until test -e /work/go; do sleep 0.1; done; {EAT}; echo $?; "
              f"until test -e /work/oom; do sleep 0.1; done; exec {EAT}")
    podman.detached("--memory", "48m", "--volume", f"{seen.parent}:/work", script=script)
    state = podman.state()
    group = Path("/sys/fs/cgroup" + Path(f"/proc/{state['Pid']}/cgroup").read_text().strip().removeprefix("0::"))
    os.kill(state["ConmonPid"], signal.SIGSTOP)
    go.touch()
    podman.until(lambda: "\noom_kill 1\n" in (group / "memory.events").read_text(), "it has memory enough")
    os.kill(state["ConmonPid"], signal.SIGCONT)
    assert podman.wait() == 137 and sorted(podman.logs()) == ["137", "Killed"] and seen.exists()
