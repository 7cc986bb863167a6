"""--step, --break-on-error, `step`, the switch file and --pdb: go through a plan, and look around at each step."""
from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import bundles, world
from tests.bundles import docker_like
from tests.container.rootless import UID, User
from tests.container.test_stops import Stopping, explained
from tests.runtimes import Outcome, Runtime

NSENTER = re.compile(r"look around: (nsenter .*?|sh), /proc/(\d+)")
STEP = re.compile(r"stopped before step (\d+), ([a-z_.]+(?:#\d+)?)")


@pytest.fixture
def bundle(place: Path) -> Path:
    return bundles.bundle(place / "bundle", docker_like(process={"args": ["sleep", "1000"], "noNewPrivileges": True}))


@pytest.fixture(autouse=True)
def clean(runtime: Runtime) -> Iterator[None]:
    yield
    world.children()


def step(runtime: Runtime, name: str, *words: str) -> Outcome:
    return runtime.ok("step", name, *words)


def until_stopped(runtime: Runtime, name: str) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 60
    while True:
        found = runtime("state", name)
        stopped: list[dict[str, Any]] = json.loads(found.stdout).get("stopped", []) if found.status == 0 else []
        if stopped:
            return stopped
        assert time.monotonic() < deadline, found.stderr
        time.sleep(0.02)


# ---- every step, and nsenter at each --------------------------------------------------------------------------------
def walk(process: subprocess.Popen[bytes], log: Path) -> list[tuple[int, str, bool]]:
    """(number, id, whether there was an init to look into) of every stop; nsenter's line was tried at each."""
    seen: list[tuple[int, str, bool]] = []
    while True:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            process.returncode = os.waitstatus_to_exitcode(status)
            return seen
        line = log.read_text().splitlines()[-1]
        where, into = STEP.search(line), NSENTER.search(line)
        assert where, line
        if into:
            caller = ["setpriv", "--reuid", str(UID), "--regid", str(UID), "--clear-groups"] if "-U" in into[1] else []
            tried = subprocess.run([*caller, *into[1].split(), "-c", "echo in; exit 7"], capture_output=True, text=True,
                                   timeout=30, check=False)
            assert (tried.returncode, tried.stdout) == (7, "in\n"), (line, tried)
        seen.append((int(where[1]), where[2], into is not None))
        os.kill(process.pid, signal.SIGCONT)


def expected(lines: list[str]) -> list[tuple[int, str]]:
    """Every step that the runtime lives to see, by what explain prints."""
    steps = [(int(number), id) for number, side, id, *_ in (line.split() for line in lines)]
    ids = [id for _, id in steps]
    end = ids.index("init.wait_start") if "init.wait_start" in ids else len(ids)
    return [(number, id) for number, id in steps[:end] if not id.startswith("barrier")]


def asked(how: str, lines: list[str]) -> list[str]:
    """The flags that stop before every step of a plan: --step, or --break with the id of each."""
    return ["--step"] if how == "--step" else [word for _, id in expected(lines) for word in ("--break", id)]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", ["--step", "--break"])
@pytest.mark.parametrize("command", ["create", "run", "exec"])
def test_root_looks_around_at_every_step(command: str, how: str, runtime: Runtime, bundle: Path, name: str) -> None:
    if command == "exec":
        runtime.create(name, bundle)
        runtime.ok("start", name)
        words, plan = ["exec", name, "true"], runtime.ok("explain", "exec", name, "true").stdout.partition("\n\n")[2]
        lines = plan.splitlines()
    else:
        bundles.write(bundle, docker_like(process={"args": ["true"], "noNewPrivileges": True}))
        words, lines = [command, "--bundle", str(bundle), name], explained(runtime, bundle, name)
    stepping = Stopping(runtime, *asked(how, lines), *words)
    seen = walk(stepping.process, stepping.log)
    assert stepping.process.returncode == 0, stepping.log.read_text()
    assert [(number, id) for number, id, _ in seen] == expected(lines)
    inits = [id for _, id, init in seen if init]
    cloned = [id for _, id, _ in seen].index("namespaces.clone") + 1
    assert len(inits) == len(seen) - cloned > 20


@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", ["--step", "--break"])
@pytest.mark.parametrize("command", ["create", "run", "exec"])
def test_a_user_looks_around_at_every_step(command: str, how: str, runtime: Runtime, place: Path, name: str) -> None:
    user = User(runtime.path, place)
    user.spec("sleep 1000" if command == "exec" else "true")
    if command == "exec":
        user.detached("run", "--detach", name)
        words = ["exec", name, "true"]
        lines = user.ok("explain", *words).partition("\n\n")[2].splitlines()
    else:
        words = [command, name]
        lines = user.ok("explain", "--no-check", command, name).partition("\n\n")[2].splitlines()
        if command == "run":
            lines = lines[1:lines.index("")]                 # of create's plan: those of start and delete follow
    log = place / "said"
    with log.open("wb") as said:
        environment = {"PATH": os.environ["PATH"], "HOME": "/", "XDG_RUNTIME_DIR": str(user.runtime_dir)}
        process = subprocess.Popen(
            ["setpriv", "--reuid", str(UID), "--regid", str(UID), "--clear-groups", user.program, *asked(how, lines),
             *words],
            cwd=user.bundle, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said)
    try:
        seen = walk(process, log)
        assert process.returncode == 0, log.read_text()
        assert [(number, id) for number, id, _ in seen] == expected(lines)
        assert sum(init for _, _, init in seen) > 20
    finally:
        user.call("delete", "--force", name)


# ---- from another terminal -------------------------------------------------------------------------------------------
def test_step_by_step_from_elsewhere(runtime: Runtime, bundle: Path, name: str) -> None:
    create = Stopping(runtime, "--break", "mounts.proc", "--break", "state.save", "create", "--bundle", bundle, name)
    create.stop()
    stopped, = until_stopped(runtime, name)
    assert (stopped["command"], stopped["step"], stopped["where"]) == ("create", "mounts.proc", "mounts[0]")
    assert stopped["runtime"] == create.process.pid and Path(f"/proc/{stopped['init']}").exists()
    assert "mounts.proc" in step(runtime, name).stdout and "nsenter" in step(runtime, name).stdout
    assert "mounts.tmpfs#1" in step(runtime, name, "next").stdout
    assert json.loads(runtime.ok("state", name).stdout)["stopped"][0]["step"] == "mounts.tmpfs#1"
    assert "mounts.devpts" in step(runtime, name, "next").stdout
    inside = subprocess.run(runtime.argv("step", name, "shell"), input="readlink /proc/self/ns/net\n",
                            capture_output=True, text=True, check=True)
    assert inside.stdout.strip() == os.readlink(f"/proc/{stopped['init']}/ns/net")
    assert "state.save" in step(runtime, name, "continue").stdout
    assert "create" in step(runtime, name, "continue").stdout
    assert create.end() == 0 and runtime.status(name) == "created"
    assert "stopped" not in json.loads(runtime.ok("state", name).stdout)
    refused = runtime("step", name, "next")
    assert refused.status == 1 and f"no command of container {name} has stopped" in refused.stderr


def test_what_comes_late_is_waited_for(runtime: Runtime, bundle: Path, name: str) -> None:
    """A stop is a second away: who asks to go on is told of it, not that the command goes on."""
    bundles.write(bundle, docker_like(process={"args": ["sleep", "1000"]}, hooks={
        "createContainer": [{"path": "/bin/sleep", "args": ["sleep", "1.5"]}]}))
    create = Stopping(runtime, "--break", "mounts.proc", "--break", "state.save", "create", "--bundle", bundle, name)
    create.stop()
    assert "state.save" in step(runtime, name, "continue").stdout
    assert "goes on" not in step(runtime, name, "next").stdout
    step(runtime, name, "continue")
    assert create.end() == 0
    runtime.ok("delete", "--force", name)
    create = Stopping(runtime, "--break", "hooks", "create", "--bundle", bundle, name)
    create.stop()
    assert "stopped before step" in step(runtime, name, "next").stdout
    assert "has ended" in step(runtime, name, "abort").stdout
    assert create.end() == 128 + signal.SIGTERM


def test_abort_undoes_everything(runtime: Runtime, bundle: Path, name: str) -> None:
    before = world.Snapshot.take(name, runtime.root)
    create = Stopping(runtime, "--break", "root.switch", "create", "--bundle", bundle, name)
    create.stop()
    assert "has ended" in step(runtime, name, "abort").stdout
    assert create.end() == 128 + signal.SIGTERM
    assert before.settle(name, runtime.root) == before


def test_several_commands_of_a_container(runtime: Runtime, bundle: Path, name: str) -> None:
    runtime.create(name, bundle)
    runtime.ok("start", name)
    one, two = (Stopping(runtime, "--break", "process.exec", "exec", name, "true") for _ in range(2))
    for process in (one, two):
        os.waitpid(process.process.pid, os.WUNTRACED)
    assert len(until_stopped(runtime, name)) == 2
    refused = runtime("step", name, "continue")
    assert refused.status == 1 and f"--pid {min(one.process.pid, two.process.pid)}" in refused.stderr
    for process in (one, two):
        runtime.ok("step", "--pid", str(process.process.pid), name, "continue")
        assert process.end() == 0


def test_what_is_no_order(runtime: Runtime, name: str) -> None:
    assert "use next, continue, abort or shell" in runtime("step", name, "jump").stderr
    assert runtime("step", "..", "next").status == 1


# ---- after a failure -------------------------------------------------------------------------------------------------
FAULTS: list[tuple[str, dict[str, Any], bool]] = [
    ("root.check", {"root": {"path": "none"}}, False),
    ("mounts.tmpfs", {"mounts": [{"destination": "/x", "type": "tmpfs", "source": "tmpfs", "options": ["sise=1"]}]},
     True),
    ("process.find_executable", {"process": {"args": ["nonesuch"]}}, True),
    ("process.cwd", {"process": {"args": ["true"], "cwd": "/etc/passwd"}}, True),
]


@pytest.mark.parametrize(("where", "change", "init"), FAULTS, ids=[fault[0] for fault in FAULTS])
def test_it_stands_where_it_has_failed(where: str, change: dict[str, Any], init: bool, runtime: Runtime, bundle: Path,
                                       name: str) -> None:
    """With the init as the fault has found it: whichever process it was."""
    bundles.write(bundle, docker_like(**change))
    before = world.Snapshot.take(name, runtime.root)
    plain = runtime("create", "--bundle", bundle, name)
    create = Stopping(runtime, "--break-on-error", "create", "--bundle", bundle, name)
    _, status = os.waitpid(create.process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), create.log.read_text()
    said = create.log.read_text()
    stopped, = until_stopped(runtime, name)
    assert stopped["step"].startswith(where.partition(".")[0]) and "and nothing is undone yet: " in said
    assert stopped["error"] in plain.stderr.replace('\\"', '"')
    assert bool(stopped["init"]) is init
    if init:
        line = NSENTER.search(said)
        assert line
        tried = subprocess.run([*line[1].split(), "-c", "echo in"], capture_output=True, text=True, check=False)
        assert tried.stdout == "in\n", tried
    create.go_on()
    assert create.end() == plain.status == 1
    assert create.log.read_text().splitlines()[-1].partition("level=")[2] == plain.stderr.strip().partition("level=")[2]
    assert before.settle(name, runtime.root) == before


def test_an_exec_that_fails_stands(runtime: Runtime, bundle: Path, name: str) -> None:
    runtime.create(name, bundle)
    runtime.ok("start", name)
    exec = Stopping(runtime, "--break-on-error", "exec", name, "nonesuch")
    _, status = os.waitpid(exec.process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), exec.log.read_text()
    assert until_stopped(runtime, name)[0]["step"] == "process.find_executable"
    exec.go_on()
    assert exec.end() == 255 and runtime.status(name) == "running"


def test_without_a_fault_nothing_stops(runtime: Runtime, bundle: Path, name: str) -> None:
    runtime.ok("--break-on-error", "create", "--bundle", bundle, name)
    runtime.ok("start", name)
    assert runtime.ok("--break-on-error", "exec", name, "echo", "hi").stdout == "hi\n"


# ---- under an engine -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("switch", "annotations", "where"), [
    ("root.switch", {}, "root.switch"), ("mounts.proc, nonesuch\n", {}, "mounts.proc"), ("nonesuch", {}, ""),
    ("", {}, ""), ("annotation=org.break", {}, ""), ("annotation=org.break", {"org.break": "state.save"}, "state.save"),
    ("root.switch annotation=org.break", {"org.break": "true"}, "root.switch"),
    ("root.switch annotation=org.break", {"org.break": "false"}, ""),
    ("root.switch annotation=org.break", {}, ""), ("annotation=org.break", {"org.break": "true"}, "state.reserve")])
def test_the_switch_file(switch: str, annotations: dict[str, str], where: str, runtime: Runtime, bundle: Path,
                         name: str) -> None:
    bundles.write(bundle, docker_like(process={"args": ["true"]}, annotations=annotations))
    (runtime.root / "@break").write_text(switch)
    try:
        create = Stopping(runtime, "create", "--bundle", bundle, name)
        _, status = os.waitpid(create.process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status) is bool(where), create.log.read_text()
        if where:
            assert f", {where}" in create.log.read_text()
            if where == "state.reserve":
                create.process.kill()
                create.process.wait()
                return
            assert "goes on" in (told := step(runtime, name, "continue").stdout) or "has ended" in told
            assert create.end() == 0
        else:
            create.process.returncode = os.waitstatus_to_exitcode(status)
            assert create.process.returncode == 0
        runtime.ok("delete", "--force", name)
    finally:
        (runtime.root / "@break").unlink()


def test_the_switch_stops_a_failure(runtime: Runtime, bundle: Path, name: str) -> None:
    (runtime.root / "@break").write_text("error\n")
    bundles.write(bundle, docker_like(process={"args": ["nonesuch"]}))
    create = Stopping(runtime, "create", "--bundle", bundle, name)
    assert os.WIFSTOPPED(os.waitpid(create.process.pid, os.WUNTRACED)[1])
    assert "has ended" in step(runtime, name, "abort").stdout
    assert create.end() == 1
    (runtime.root / "@break").unlink()


# ---- a prompt --------------------------------------------------------------------------------------------------------
class Terminal:
    """A command that has a terminal of its own, as from a shell."""

    def __init__(self, *argv: str) -> None:
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.execv(argv[0], argv)
        self.said, self.raw = "", b""

    def until(self, text: str) -> str:
        deadline = time.monotonic() + 60
        while text not in self.said:
            assert time.monotonic() < deadline, self.said
            if select.select([self.master], [], [], 1)[0]:
                try:
                    self.raw += os.read(self.master, 65536)
                    self.said = self.raw.decode(errors="replace")       # (a letter may come in two parts)
                except OSError:
                    break
        assert text in self.said, self.said
        before, _, self.said = self.said.partition(text)
        self.raw = self.said.encode()
        return before

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def end(self) -> int:
        _, status = os.waitpid(self.pid, 0)
        os.close(self.master)
        return os.waitstatus_to_exitcode(status)


def test_the_prompt_on_the_own_terminal(runtime: Runtime, bundle: Path, name: str) -> None:
    create = Terminal(*runtime.argv("--break", "mounts.proc", "create", "--bundle", bundle, name))
    create.until("before step")
    create.until("abort, z (to the shell that called)> ")
    create.type("next\n")
    assert "mounts.tmpfs#1" in create.until("called)> ")
    create.type("\n")                                                       # as next
    assert "mounts.devpts" in create.until("called)> ")
    create.type("what\n")
    assert "stopped" not in create.until("called)> ")
    create.type("shell\n")
    time.sleep(0.5)
    create.type("echo $((6 * 7)); exit\n")
    create.until("42")
    create.until("called)> ")
    assert "mounts.tmpfs#2" in step(runtime, name, "next").stdout           # another terminal may answer, too
    create.until("called)> ")
    create.type("c\n")
    assert create.end() == 0 and runtime.status(name) == "created"


@pytest.mark.parametrize("how", ["abort", "SIGTERM"])
def test_the_end_at_the_prompt(how: str, runtime: Runtime, bundle: Path, name: str) -> None:
    before = world.Snapshot.take(name, runtime.root)
    create = Terminal(*runtime.argv("--step", "create", "--bundle", bundle, name))
    create.until("called)> ")
    for _ in range(9):
        create.type("n\n")
        create.until("called)> ")
    create.type("a\n") if how == "abort" else os.kill(create.pid, signal.SIGTERM)
    assert create.end() == 143
    assert before.settle(name, runtime.root) == before


# ---- debuggers -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("word", ["mounts.proc", "mounts[0]", "state.save"])
def test_pdb_in_the_process_of_the_step(word: str, runtime: Runtime, bundle: Path, name: str) -> None:
    """With sources, and a breakpoint that hits, in the init as well."""
    bundles.write(bundle, docker_like(process={"args": ["true"]}))
    file = "state" if word == "state.save" else "mounts"
    typed = "import os\np 'pid', os.getpid()\nw\nn\nb pyrunc/steps/paths.py:1\nc\n"
    done = subprocess.run(runtime.argv("--pdb", word, "run", "--bundle", bundle, name), input=typed, text=True,
                          capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done
    assert f"/pyrunc/steps/{file}.py(" in done.stdout and "apply()\n-> " in done.stdout
    assert ("('pid', 1)" in done.stdout) is (file == "mounts")


def test_a_breakpoint_of_pdb_hits_in_the_init(runtime: Runtime, bundle: Path, name: str) -> None:
    from pyrunc.steps import devices
    bundles.write(bundle, docker_like(process={"args": ["true"]}))
    line = devices.Device.apply.__code__.co_firstlineno + 1
    typed = f"b pyrunc/steps/devices.py:{line}\nc\np self.name, self.side\nclear 2\nc\n"
    done = subprocess.run(runtime.argv("--pdb", "mounts.proc", "run", "--bundle", bundle, name), input=typed,
                          text=True, capture_output=True, timeout=60, check=False)
    assert "('devices.node', 'child')" in done.stdout, done
    assert done.returncode == 0


def test_quitting_pdb_undoes_everything(runtime: Runtime, bundle: Path, name: str) -> None:
    before = world.Snapshot.take(name, runtime.root)
    for word in ("mounts.proc", "state.save"):
        done = subprocess.run(runtime.argv("--pdb", word, "create", "--bundle", bundle, name), input="q\n", text=True,
                              capture_output=True, timeout=60, check=False)
        assert done.returncode in (1, 143) and "interrupted by signal 15" in done.stderr, done
        assert before.settle(name, runtime.root) == before


@pytest.mark.parametrize(("word", "why"), [("root.switch", "is done in C: use gdb"),
                                           ("nonesuch", "has no step nonesuch")])
def test_where_pdb_cannot_be(word: str, why: str, runtime: Runtime, bundle: Path, name: str) -> None:
    refused = runtime("--pdb", word, "create", "--bundle", bundle, name)
    assert refused.status == 1 and why in refused.stderr


def test_a_process_with_threads_is_told_why(runtime: Runtime, bundle: Path, name: str) -> None:
    """As under debugpy: its threads would be lost in the clone, with what they hold."""
    script = ("import sys, threading, time; threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
              "from pyrunc.cli.main import main\nsys.exit(main(sys.argv[1:]))")
    import sys
    done = subprocess.run([sys.executable, "-c", script, "--root", str(runtime.root), "create", "--bundle", str(bundle),
                           name], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "this process has other threads, a debugger's perhaps" in done.stderr
    assert "--pdb" in done.stderr


def test_a_trace_has_only_the_stops_that_stopped(runtime: Runtime, bundle: Path, name: str, place: Path) -> None:
    create = Stopping(runtime, "--trace", place / "t", "--break", "root.switch", "create", "--bundle", bundle, name)
    create.stop()
    create.go_on()
    assert create.end() == 0
    ids = [json.loads(line)["id"] for line in (place / "t").read_text().splitlines()]
    assert [id for id in ids if id.startswith("stop.here")] == ["stop.here:root.switch"]
