"""Docker 20.10 (Debian's docker.io): a container's life, from `docker run` to `docker rm`, under runc and pyrunc."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from .docker import IMAGE, Docker
from .waiting import EAT, notice, out_of_memory

pytestmark = [pytest.mark.guest_engines, pytest.mark.timeout(900)]      # it is the client that is timed


def test_streams_exit_code_and_events(docker: Docker, place: Path) -> None:
    since = time.time()
    done = docker.run("--rm", "-i", "--cidfile", str(place / "id"), IMAGE, "sh", "-c", "cat; echo err >&2; exit 7",
                      stdin="in\n")
    assert (done.status, done.stdout, done.stderr) == (7, "in\n", "err\n")
    assert docker.events(since) == ["create", "attach", "start", "die 7", "destroy"]
    docker.daemon.nothing_left((place / "id").read_text())


def test_detached_logs_and_wait(docker: Docker) -> None:
    id = docker.start(IMAGE, "sh", "-c", "echo out; echo err >&2; sleep 1; exit 3")
    assert docker.ok("wait", docker.name) == "3\n"
    logs = docker.cli("logs", docker.name)
    assert (logs.stdout, logs.stderr) == ("out\n", "err\n")
    kept = [json.loads(line) for line in Path(docker.inspect()["LogPath"]).read_text().splitlines()]
    assert sorted((entry["stream"], entry["log"]) for entry in kept) == [("stderr", "err\n"), ("stdout", "out\n")]
    state = docker.state()
    assert [state[key] for key in ("Status", "ExitCode", "OOMKilled", "Error", "Pid")] == ["exited", 3, False, "", 0]
    docker.ok("rm", docker.name)
    docker.daemon.nothing_left(id)


def test_create_start_again_and_rename(docker: Docker) -> None:
    docker.ok(*docker.words("create", IMAGE, "sh", "-c", "echo x >>/runs; wc -l </runs"))
    assert docker.state()["Status"] == "created"
    assert docker.ok("start", "--attach", docker.name) == "1\n"
    docker.ok("rename", docker.name, f"{docker.name}-new")
    assert docker.ok("start", "--attach", f"{docker.name}-new") == "2\n"


def test_signals(docker: Docker) -> None:
    script = "trap 'echo one' HUP; trap 'echo two; exit 9' USR1; echo ready; while :; do sleep 1000 & wait; done"
    docker.start("--stop-signal", "USR1", IMAGE, "sh", "-c", script)
    docker.wait_log("ready")
    docker.ok("kill", "--signal", "HUP", docker.name)
    docker.wait_log("one")
    assert docker.state()["Running"]
    docker.ok("stop", "--time", "100", docker.name)
    assert docker.state()["ExitCode"] == 9 and docker.logs() == "ready\none\ntwo\n"


def test_stop_kills_what_does_not_end(docker: Docker) -> None:
    """The first process of a pid namespace takes no SIGTERM that it does not ask for."""
    id = docker.start(IMAGE, "sleep", "1000")
    before = time.monotonic()
    docker.ok("stop", "--time", "1", docker.name)
    assert docker.state()["ExitCode"] == 137 and time.monotonic() - before > 1
    refused = docker.cli("kill", docker.name)
    assert refused.status == 1 and "is not running" in refused.stderr
    docker.ok("rm", docker.name)
    docker.daemon.nothing_left(id)


def test_removed_by_force(docker: Docker) -> None:
    id = docker.start(IMAGE, "sh", "-c", "sleep 1000 & sleep 1000")
    refused = docker.cli("rm", docker.name)
    assert refused.status == 1, refused
    assert "cannot remove a running container" in refused.stderr or (       # Docker 20.10; and later ones
        "cannot remove container" in refused.stderr and "container is running" in refused.stderr), refused
    assert docker.state()["Running"]
    docker.ok("rm", "--force", docker.name)
    docker.daemon.nothing_left(id)


def test_terminal_with_resize_and_detach(docker: Docker) -> None:
    words = docker.words("run", "-it", IMAGE, "sh")
    with docker.daemon.terminal(*words, rows=40, columns=100) as terminal:
        terminal.ask("tty; stty size", "/dev/pts/0\r\n40 100\r\n")
        terminal.resize(50, 120)
        terminal.ask("stty size", "50 120\r\n")
        terminal.write("\x10\x11")                      # Ctrl-P Ctrl-Q
        assert terminal.wait() == 0
    assert docker.state()["Running"]
    with docker.daemon.terminal("attach", docker.name, rows=20, columns=60) as terminal:
        terminal.ask("stty size", "20 60\r\n")
        terminal.write("exit 4\n")
        assert terminal.wait() == 4


def test_attach(docker: Docker) -> None:
    docker.start("-i", IMAGE, "sh", "-c", "until read -t 1 line; do echo ready; done; echo got $line; exit 6")
    with docker.daemon.terminal("attach", docker.name, rows=24, columns=80) as terminal:
        terminal.read("ready")
        terminal.write("hello\n")
        terminal.read("got hello")
        assert terminal.wait() == 6
    *before, last = docker.logs().splitlines()
    assert set(before) == {"ready"} and last == "got hello"


def test_restart_on_failure_is_counted(docker: Docker) -> None:
    docker.start("--restart", "on-failure:1", IMAGE, "sh", "-c", "echo once; exit 5")
    docker.wait(lambda: docker.inspect()["RestartCount"] == 1, "not once again")
    assert docker.wait_for("exited")["ExitCode"] == 5 and docker.logs() == "once\n" * 2


def test_restart_always_and_restart(docker: Docker) -> None:
    docker.start("--restart", "always", IMAGE, "sleep", "1000")
    first = docker.state()["Pid"]
    os.kill(first, signal.SIGKILL)
    docker.wait(lambda: docker.inspect()["RestartCount"] == 1 and docker.state()["Running"], "it stays away")
    second = docker.state()["Pid"]
    docker.ok("restart", "--time", "0", docker.name)
    assert docker.state()["Running"] and len({0, first, second, docker.state()["Pid"]}) == 4
    docker.ok("stop", "--time", "0", docker.name)
    assert docker.state()["Status"] == "exited"


@pytest.mark.parametrize(("words", "status", "kept", "said"), [
    pytest.param((IMAGE, "nonesuch"), 127, 127, "executable file not found in $PATH", marks=pytest.mark.every_time),
    ((IMAGE, "/nonesuch"), 127, 127, "no such file or directory"),
    ((IMAGE, "/etc/passwd"), 126, 126, "permission denied"),
    (("-v", "/usr:/etc/passwd", IMAGE, "true"), 125, 127, "Are you trying to mount a directory onto a file"),
], ids=["not in PATH", "no such file", "not executable", "folder on a file"])
def test_a_failing_create_tells_why(words: tuple[str, ...], status: int, kept: int, said: str, docker: Docker) -> None:
    """status: of the client; kept: by the daemon."""
    done = docker.run(*words)
    assert done.status == status and "failed to create shim task: OCI runtime create failed" in done.stderr, done.stderr
    assert said in done.stderr and done.stdout == ""
    state = docker.state()
    assert state["Status"] == "created" and state["ExitCode"] == kept and said in state["Error"]
    docker.daemon.nothing_left(docker.inspect()["Id"])


@pytest.mark.parametrize("last", [f"exec {EAT}", f"{EAT}; exit $?"], ids=["first process", "another process"])
def test_out_of_memory_is_reported(last: str, docker: Docker) -> None:
    since = time.time()
    docker.start("-m", "16m", IMAGE, "sh", "-c", out_of_memory(last))
    docker.wait(lambda: "oom" in docker.events(since), "it has memory enough")
    notice(docker.state()["Pid"])
    state = docker.wait_for("exited")
    assert state["OOMKilled"] is True and state["ExitCode"] == 137


def test_user_without_capabilities(docker: Docker) -> None:
    script = ("id -u; id -g; grep -E '^(Groups|CapBnd|CapEff)' /proc/self/status; echo $HOME; touch /tmp/x; "
              "stat -c %u:%g /tmp/x; touch /x")
    flags = ("-u", "user", "--group-add", "5", "--group-add", "1234", "--cap-drop", "ALL", "--cap-add", "NET_ADMIN")
    assert docker.script(script, *flags) == [
        "1000", "1000", "Groups:\t5 1000 1234 ", "CapEff:\t0000000000000000", "CapBnd:\t0000000000001000", "/home/user",
        "1000:1000", "touch: /x: Permission denied"]


def test_apparmor_profile(docker: Docker) -> None:
    profile = f"pyrunc-{docker.name}"
    rules = "file, capability, network, signal, ptrace, mount, umount, unix, deny /etc/passwd r,"
    subprocess.run(["apparmor_parser", "-Kr"], input=f"profile {profile} flags=(attach_disconnected) {{ {rules} }}",
                   text=True, check=True)
    said = docker.script("cat /proc/1/attr/current; cat /etc/passwd", "--security-opt", f"apparmor={profile}")
    assert said == [f"{profile} (enforce)", "cat: can't open '/etc/passwd': Permission denied"]
    missing = docker.run("--security-opt", "apparmor=nonesuch", IMAGE, "true")
    assert missing.status not in (0, 125) and "OCI runtime create failed" in missing.stderr


def test_healthcheck(docker: Docker) -> None:
    docker.start("--health-cmd", "test -e /tmp/well", "--health-interval", "1s", "--health-retries", "1", IMAGE,
                 "sh", "-c", "touch /tmp/well; sleep 1000")

    def becomes(status: str) -> None:
        docker.wait(lambda: docker.state()["Health"]["Status"] == status, f"never {status}")

    becomes("healthy")
    docker.exec(docker.name, "rm", "/tmp/well")
    becomes("unhealthy")
    assert docker.state()["Health"]["Log"][-1]["ExitCode"] == 1 and docker.state()["Running"]
    docker.exec(docker.name, "touch", "/tmp/well")
    becomes("healthy")


def test_checkpoint_and_start_from_it(docker: Docker) -> None:
    script = "i=0; while :; do i=$((i + 1)); echo $i >/count; sleep 0.2; done"
    id = docker.start(IMAGE, "sh", "-c", script)
    docker.exec(docker.name, "sh", "-c", "until test $(cat /count) -ge 5; do sleep 0.1; done")
    docker.ok("checkpoint", "create", docker.name, "first")
    assert docker.state()["Status"] == "exited"
    docker.daemon.nothing_left(id)
    assert docker.ok("checkpoint", "ls", docker.name).split() == ["CHECKPOINT", "NAME", "first"]
    docker.ok("start", "--checkpoint", "first", docker.name)
    again, = docker.exec(docker.name, "sh", "-c",
                         "a=$(cat /count); until test $(cat /count) -gt $a; do sleep 0.1; done; echo $a")
    assert int(again) >= 5


def test_containers_outlive_the_daemon(docker: Docker) -> None:
    """live-restore: the daemon is killed, and takes up its containers when it is back."""
    docker.start(IMAGE, "sh", "-c", "trap 'exit 8' HUP; while :; do sleep 1000 & wait; done")
    pid = docker.state()["Pid"]
    docker.daemon.crash()
    assert Path("/proc", str(pid)).exists()
    docker.daemon.start()
    assert docker.state()["Pid"] == pid and docker.exec(docker.name, "echo", "here") == ["here"]
    os.kill(pid, signal.SIGHUP)
    assert docker.wait_for("exited")["ExitCode"] == 8


def test_build_under_the_default_runtime(docker: Docker, place: Path) -> None:
    """RUN knows no --runtime: its containers are made by the default one, which a daemon takes in while it runs."""
    docker.daemon.reload(**{"default-runtime": docker.runtime})
    assert docker.daemon.api("GET", "/info")["DefaultRuntime"] == docker.runtime
    (place / "Dockerfile").write_text(f"FROM {IMAGE}\nENV A=b\nWORKDIR /made\nCOPY Dockerfile here\n"
                                      "RUN echo $A $PWD >said; ls >>said\nUSER 1000\nRUN id -u >/tmp/id\n"
                                      "CMD [\"cat\", \"/made/said\", \"/tmp/id\"]\n")
    before = {container["Id"] for container in docker.daemon.api("GET", "/containers/json?all=1")}
    tag = f"pyrunc/{docker.name}"
    docker.ok("build", "--no-cache", "--rm=false", "--network", "none", "-t", tag, str(place))
    made = [container["Id"] for container in docker.daemon.api("GET", "/containers/json?all=1")
            if container["Id"] not in before]
    ran = [found for found in map(docker.daemon.inspect, made) if found["State"]["StartedAt"] > "0002"]
    assert [found["HostConfig"]["Runtime"] for found in ran] == [docker.runtime] * 2
    for id in made:
        docker.daemon.remove(id)
    assert docker.ok("run", "--rm", tag).splitlines() == ["b /made", "here", "said", "1000"]
    (place / "Dockerfile").write_text(f"FROM {IMAGE}\nRUN exit 3\n")
    failed = docker.cli("build", "--network", "none", str(place))
    assert failed.status == 3 and "The command '/bin/sh -c exit 3' returned a non-zero code: 3" in failed.stderr
