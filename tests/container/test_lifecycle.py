"""A container's life by the command line: create, start, state, kill, delete, run; what each leaves and says."""
from __future__ import annotations

import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import bundles, world
from tests.bundles import docker_like
from tests.runtimes import Runtime, reap
from tests.world import Snapshot


@pytest.fixture
def waiting(place: Path) -> Path:
    """A bundle whose process leaves a mark and then waits."""
    args = ["sh", "-c", "echo up >/mark; exec sleep 1000"]
    return bundles.bundle(place / "waiting", docker_like(process={"args": args}))


@pytest.fixture
def shell(place: Path) -> Path:
    """A bundle folder to write() configs into: see script()."""
    return bundles.bundle(place / "shell")


def script(bundle: Path, text: str, **changes: object) -> Path:
    return bundles.write(bundle, bundles.merge(docker_like(process={"args": ["sh", "-c", text]}), changes))


def wait_for_file(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.01)


# runtime.md#lifecycle: "The runtime environment MUST be created according to the configuration in config.json. …
# While the resources requested in the config.json MUST be created, the user-specified program MUST NOT be run at
# this time."
@pytest.mark.spec("runtime.md#lifecycle", "create makes what config.json asks for", "create does not run the program",
                  "start runs the program", "delete undoes what create made")
@pytest.mark.spec("runtime.md#state", "id", "status", "pid", "bundle", "ociVersion")
@pytest.mark.spec("runtime.md#create", "create makes a container", "args wait for start")
@pytest.mark.spec("runtime.md#start", "start runs the configured program")
@pytest.mark.spec("runtime.md#kill", "only a created or running container gets a signal")
@pytest.mark.spec("runtime.md#delete", "delete deletes what create made")
@pytest.mark.spec("runtime.md#query-state", "state of no container is an error", "state says the container's state")
def test_from_created_to_deleted(runtime: Runtime, waiting: Path, name: str) -> None:
    before = Snapshot.take(name, runtime.root)
    init = runtime.create(name, waiting)
    state = runtime.state(name)
    assert (state["id"], state["status"], state["pid"]) == (name, "created", init.pid)
    assert state["bundle"] == str(waiting) and state["ociVersion"].startswith("1.")
    time.sleep(0.1)
    assert not (waiting / "rootfs/mark").exists(), "the process ran before start"

    runtime.ok("start", name)
    assert runtime.status(name) == "running"
    wait_for_file(waiting / "rootfs/mark")
    # runtime.md#kill: "Attempting to send a signal to a container that is neither created nor running MUST have no
    # effect on the container and MUST generate an error."
    runtime.ok("kill", name, "KILL")
    assert init.wait() == 137
    runtime.wait_for(name, "stopped")
    assert "container not running" in refused(runtime, "kill", name, "KILL")
    assert runtime.status(name) == "stopped"

    runtime.ok("delete", name)
    assert before.settle(name, runtime.root) == before
    # runtime.md#state: "This operation MUST generate an error if it is not provided the ID of a container."
    assert "does not exist" in refused(runtime, "state", name)


def refused(runtime: Runtime, *args: str | Path) -> str:
    """The error of a command that must fail with exit status 1."""
    outcome = runtime(*args)
    assert outcome.status == 1, f"{args}: {outcome.status}\n{outcome.stdout}{outcome.stderr}"
    return outcome.stderr


# runtime.md#create: "This operation MUST generate an error if it is not provided a path to the bundle and the
# container ID to associate with the container. If the ID provided is not unique across all containers within the
# scope of the runtime, or is not valid in any other way, the implementation MUST generate an error"
@pytest.mark.spec("runtime.md#create", "an id that is taken or invalid is an error")
@pytest.mark.spec("runtime.md#state", "an id is unique")
def test_ids_are_unique_and_valid(runtime: Runtime, waiting: Path, name: str) -> None:
    runtime.create(name, waiting)
    assert "container with given ID already exists" in refused(runtime, "create", "--bundle", waiting, name)
    assert runtime.status(name) == "created"
    for bad in ("a/b", "..", ".", "a b", "a\nb"):
        assert "invalid container ID format" in refused(runtime, "create", "--bundle", waiting, bad)


# runtime.md#start: "Attempting to start a container that is not created MUST have no effect on the container and MUST
# generate an error."
@pytest.mark.spec("runtime.md#start", "only a created container starts")
def test_start_only_what_is_created(runtime: Runtime, waiting: Path, name: str) -> None:
    assert "does not exist" in refused(runtime, "start", name)
    init = runtime.create(name, waiting)
    runtime.ok("start", name)
    assert "cannot start an already running container" in refused(runtime, "start", name)
    assert runtime.status(name) == "running"
    runtime.ok("kill", name, "9")
    init.wait()
    assert "cannot start a container that has stopped" in refused(runtime, "start", name)


# runtime.md#delete: "Attempting to delete a container that is not stopped MUST have no effect on the container and
# MUST generate an error." (Engines count on runc's exception: a created container is deleted.)
@pytest.mark.spec("runtime.md#delete", "only a stopped container is deleted")
def test_delete(runtime: Runtime, waiting: Path, name: str) -> None:
    assert "does not exist" in refused(runtime, "delete", name)
    runtime.ok("delete", "--force", name)
    before = Snapshot.take(name, runtime.root)
    init = runtime.create(name, waiting)
    runtime.ok("delete", name)
    assert init.wait() == 137
    assert before.settle(name, runtime.root) == before

    init = runtime.create(name, waiting)
    runtime.ok("start", name)
    assert "is not stopped" in refused(runtime, "delete", name)
    assert runtime.status(name) == "running"
    runtime.ok("delete", "--force", name)
    assert init.wait() == 137
    assert before.settle(name, runtime.root) == before


@pytest.mark.spec("runtime.md#kill", "the signal arrives")
def test_kill_by_name_and_number(runtime: Runtime, shell: Path, name: str) -> None:
    text = "for s in HUP USR1 USR2 TERM; do trap \"echo $s >>/got\" $s; done; touch /ready; "
    init = runtime.create(name, script(shell, text + "while :; do sleep 0.05; done"))
    runtime.ok("start", name)
    wait_for_file(shell / "rootfs/ready")
    got = shell / "rootfs/got"
    for count, (sent, meant) in enumerate((("SIGHUP", "HUP"), ("usr1", "USR1"), ("12", "USR2"), ("", "TERM")), 1):
        runtime.ok("kill", name, *([sent] if sent else []))
        deadline = time.monotonic() + 60
        while not got.exists() or len(lines := got.read_text().split()) < count:
            assert time.monotonic() < deadline, f"{sent} did not arrive"
            time.sleep(0.01)
        assert lines[-1] == meant
    assert "unknown signal" in refused(runtime, "kill", name, "NONSENSE")
    runtime.ok("kill", name, "KILL")
    assert init.wait() == 137


@pytest.mark.parametrize("code", [0, 1, 7, 127, 255])
def test_run_hands_on_the_exit_code(code: int, runtime: Runtime, shell: Path, name: str) -> None:
    before = Snapshot.take(name, runtime.root)
    outcome = runtime.run(name, script(shell, f"echo out; echo err >&2; exit {code}"))
    assert (outcome.status, outcome.stdout, outcome.stderr) == (code, "out\n", "err\n")
    assert before.settle(name, runtime.root) == before


def test_run_hands_on_signals_and_death_by_one(runtime: Runtime, shell: Path, name: str) -> None:
    script(shell, "trap 'exit 33' TERM; touch /ready; while :; do sleep 0.05; done")
    running = runtime.popen("run", "--bundle", shell, name)
    wait_for_file(shell / "rootfs/ready")
    running.send_signal(signal.SIGTERM)
    assert running.wait(60) == 33
    (shell / "rootfs/ready").unlink()

    running = runtime.popen("run", "--bundle", shell, name)
    wait_for_file(shell / "rootfs/ready")
    runtime.ok("kill", name, "KILL")
    assert running.wait(60) == 137


def test_run_detached(runtime: Runtime, waiting: Path, name: str) -> None:
    pid_file = waiting / "pid"
    runtime.ok("run", "--detach", "--pid-file", pid_file, "--bundle", waiting, name)
    pid = int(pid_file.read_text())
    assert pid_file.read_text() == str(pid), "the pid file is the number alone"
    assert runtime.state(name)["pid"] == pid and runtime.status(name) == "running"
    runtime.ok("kill", name, "KILL")
    assert reap(pid) == 137
    runtime.ok("delete", name)


def test_standard_input_and_descriptors(runtime: Runtime, shell: Path, name: str) -> None:
    source = shell / "input"
    source.write_text("typed\n")
    with source.open("rb") as file:
        assert runtime.run(name, script(shell, "cat"), stdin=file).stdout == "typed\n"
    # Descriptor 3 is the caller's business: it comes through only when asked for.
    for flags, expected in ((["--preserve-fds", "1"], "0 1 2 3 typed"), ([], "0 1 2")):
        text = "cd /proc/self/fd; for f in 0 1 2 3 4 5 6; do [ -e $f ] && printf '%s ' $f; done; [ -e 3 ] && cat <&3"
        argv = runtime.argv("run", *flags, "--bundle", script(shell, text), name)
        done = subprocess.run(["sh", "-c", 'exec 3<"$0" 5<"$0"; exec "$@"', source, *argv], capture_output=True,
                              text=True, stdin=subprocess.DEVNULL, timeout=30, check=False)
        assert done.stdout.strip() == expected, done.stderr


def test_preserved_descriptors_must_exist(runtime: Runtime, shell: Path, name: str) -> None:
    assert "preserved" in refused(runtime, "run", "--preserve-fds", "40", "--bundle", shell, name)


@pytest.mark.spec("config.md#process", "args")
@pytest.mark.spec("runtime.md#errors", "an error leaves everything as it was")
@pytest.mark.parametrize(("args", "said"), [
    (["nonesuch"], "executable file not found in $PATH"),
    (["/nonesuch"], "no such file or directory"),
    (["/etc/passwd"], "permission denied"),
    (["/etc"], "is a directory"),
])
def test_what_cannot_be_executed(args: list[str], said: str, runtime: Runtime, shell: Path, name: str) -> None:
    before = Snapshot.take(name, runtime.root)
    bundles.write(shell, docker_like(process={"args": args}))
    error = refused(runtime, "create", "--bundle", shell, name)
    # runc calls a directory "permission denied", too; moby takes either for exit status 126.
    assert said in error or (said, runtime.name) == ("is a directory", "runc")
    assert before.settle(name, runtime.root) == before
    assert "does not exist" in refused(runtime, "state", name)


@pytest.mark.spec("runtime.md#lifecycle", "what cannot be made is an error")
@pytest.mark.spec("runtime.md#create", "what cannot be applied is an error")
@pytest.mark.spec("runtime.md#errors", "an error leaves everything as it was")
@pytest.mark.spec("config.md#root", "a directory is at root.path")
@pytest.mark.parametrize(("changes", "said"), [
    ({"root": {"path": "nowhere"}}, "no such file or directory"),
    ({"mounts": [bundles.PROC, {"destination": "/mnt", "type": "nosuchfs", "source": "x"}]}, "no such device"),
    ({"mounts": [bundles.PROC, {"destination": "/mnt", "type": "bind", "source": "/not/there", "options": ["bind"]}]},
     "no such file or directory"),
    ({"linux": {"namespaces": [*bundles.namespaces("pid", "mount", "uts"), {"type": "network", "path": "/not/there"}]}},
     "no such file or directory"),
    ({"hooks": {"createRuntime": [{"path": "/bin/false"}]}}, "hook"),
])
def test_a_failed_create_leaves_nothing(changes: dict[str, object], said: str, runtime: Runtime, shell: Path,
                                        name: str) -> None:
    before = Snapshot.take(name, runtime.root)
    bundles.write(shell, bundles.merge(docker_like(), changes))
    assert said in refused(runtime, "create", "--bundle", shell, name)
    assert before.settle(name, runtime.root) == before


@pytest.mark.spec("runtime.md#state", "an id is unique")
def test_one_of_many_creates_wins(runtime: Runtime, waiting: Path, name: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda _: runtime("create", "--bundle", waiting, name), range(8)))
    assert sorted(outcome.status for outcome in outcomes) == [0] + [1] * 7
    assert all("already exists" in outcome.stderr for outcome in outcomes if outcome.status)
    assert runtime.status(name) == "created"
    runtime.ok("delete", "--force", name)


def test_a_process_that_ends_before_anyone_looks(runtime: Runtime, shell: Path, name: str) -> None:
    init = runtime.create(name, script(shell, "exit 5"))
    runtime.ok("start", name)
    assert init.wait() == 5
    assert runtime.state(name)["status"] == "stopped"


@pytest.mark.spec("runtime-linux.md#file-descriptors", "only the standard streams are kept open")
@pytest.mark.spec("config.md#process", "env")
def test_nothing_of_the_host_is_held_open(runtime: Runtime, shell: Path, name: str) -> None:
    init = runtime.create(name, bundles.write(shell, docker_like(process={"args": ["sleep", "1000"]})))
    runtime.ok("start", name)
    deadline = time.monotonic() + 60
    while not os.readlink(f"/proc/{init.pid}/exe").endswith("/bin/busybox"):
        assert time.monotonic() < deadline, "the process was not executed"
        time.sleep(0.01)
    held = {entry: os.readlink(f"/proc/{init.pid}/fd/{entry}") for entry in os.listdir(f"/proc/{init.pid}/fd")}
    assert set(held) == {"0", "1", "2"}, held
    assert init.pid in world.processes_of(name)
    environ = Path(f"/proc/{init.pid}/environ").read_bytes().split(b"\0")
    assert environ == [bundles.PATH.encode(), b"TERM=xterm", b"HOME=/root", b""]
