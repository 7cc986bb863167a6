"""What engines count on beside the specification: options, exit codes, words and formats, command by command."""
from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from typing import Any

from ..harness import bundles, patience
from ..harness.hostile import terminals
from ..harness.runtime import reap
from ..harness.trial import Trial
from ..model import Fails, ask, ask_each
from .config_linux_md import cgroup_of

LONG = {"process": {"args": ["sleep", "600"]}}


def shell(script: str) -> dict[str, Any]:
    return {"process": {"args": ["sh", "-c", script]}}


def parsed(words: str, what: str) -> Any:
    try:
        return json.loads(words)
    except ValueError as error:
        raise Fails(f"{what} prints no JSON: {words[:300]!r}") from error


# ---- run and exec -----------------------------------------------------------------------------------------------
@ask_each("engines", {"nothing": ("exit codes of run", "true", 0), "a code": ("exit codes of run", "exit 42", 42),
                      "a signal": ("exit codes of run", "kill -TERM $$", 143)})
def exit_code_of_run(t: Trial, script: str, code: int) -> None:
    """run ends with the program's exit code, or 128 and the number of its signal; the container is gone then"""
    id = t.new_id()
    # A first process is deaf to signals that it has no handler for: the shell is not the first.
    bundle = t.bundle(**shell(f"sh -c '{script}'; exit $?"))
    t.equal(t.runtime("run", "--bundle", bundle, id, seconds=20).status, code, "exit status of run")
    t.error("state", id)


@ask("engines", "run --detach, --pid-file: a container that goes on")
def run_in_the_background(t: Trial) -> None:
    """run --detach comes back when the program runs, and its pid is in the file"""
    id, file = t.new_id(), t.place / "pid"
    t.runtime.ok("run", "--detach", "--bundle", t.bundle(**LONG), "--pid-file", file, id, seconds=20)
    state = t.runtime.state(id)
    t.equal((state["status"], str(state["pid"])), ("running", file.read_text()), "status and pid")


@ask_each("engines", {"nothing": ("exit codes of exec", "true", 0), "a code": ("exit codes of exec", "exit 42", 42),
                      "a signal": ("exit codes of exec", "kill -KILL $$", 137)})
def exit_code_of_exec(t: Trial, script: str, code: int) -> None:
    """exec ends with the program's exit code, or 128 and the number of its signal"""
    made = t.running()
    t.equal(t.runtime("exec", made.id, "sh", "-c", script, seconds=20).status, code, "exit status of exec")


@ask_each("engines", {"create": ("the words for a program that is not there", False),
                      "exec": ("the words for a program that is not there", True)})
def words_for_no_program(t: Trial, by_exec: bool) -> None:
    """A name that is not in PATH is told as “executable file not found in $PATH”: Docker makes exit code 127 of it"""
    words = ["exec", t.running().id, "no-such-program"] if by_exec else \
        ["create", "--bundle", str(t.bundle(process={"args": ["no-such-program"]})), t.new_id()]
    said = t.error(*words).stderr
    t.true(re.search(r"executable file (`\S+` )?not found in \$PATH", said), f"{words[0]} says {said.strip()[-300:]!r}")


@ask_each("engines", {"create": ("the words for a file that is no program", False),
                      "exec": ("the words for a file that is no program", True)})
def words_for_no_permission(t: Trial, by_exec: bool) -> None:
    """A file that may not be run is told as “permission denied”: Docker makes exit code 126 of it"""
    words = ["exec", t.running().id, "/etc/passwd"] if by_exec else \
        ["create", "--bundle", str(t.bundle(process={"args": ["/etc/passwd"]})), t.new_id()]
    outcome = t.runtime(*words)
    if outcome.status == 0 and not by_exec:
        outcome = t.runtime("start", words[-1])
    t.true(outcome.status and "permission denied" in outcome.stderr.lower(),
           f"{words[0]}: exit status {outcome.status}: {outcome.stderr.strip()[-300:]!r}")


@ask("engines", "exec --process, --detach and --pid-file, as containerd calls it")
def exec_by_a_file(t: Trial) -> None:
    """exec takes a process from a file, comes back when it runs, and its pid is in the file"""
    made, file, pid = t.running(), t.place / "process.json", t.place / "exec-pid"
    file.write_text(json.dumps({"args": ["sh", "-c", "echo $NAME >/made; exit 3"], "cwd": "/tmp",
                                "user": {"uid": 0, "gid": 0}, "env": [bundles.PATH, "NAME=value"]}))
    t.runtime.ok("exec", "--process", file, "--detach", "--pid-file", pid, made.id, seconds=20)
    t.equal(reap(int(pid.read_text())), 3, "exit code of the process")
    t.equal((t.place / "bundle-1/rootfs/made").read_text(), "value\n", "what it has written")


@ask("engines", "exec --cwd, --env and --user")
def options_of_exec(t: Trial) -> None:
    """exec takes a working directory, variables and a user by options"""
    words = ["exec", "--cwd", "/usr", "--env", "NAME=value", "--user", "7:8", t.running().id, "sh", "-c",
             "pwd; echo $NAME; id -u; id -g"]
    t.equal(t.runtime.ok(*words, seconds=20).stdout.split(), ["/usr", "value", "7", "8"], "what exec prints")


# ---- terminals and files ----------------------------------------------------------------------------------------
@ask("engines", "--console-socket: create")
def terminal_of_create(t: Trial) -> None:
    """A container with a terminal has it, and the master's end goes through --console-socket"""
    bundle = t.bundle(process={"terminal": True, "args": ["sh", "-c", "tty >/told; exec sleep 600"]})
    told = bundle / "rootfs/told"
    with terminals(t) as path:
        id = t.new_id()
        t.runtime.ok("create", "--bundle", bundle, "--console-socket", path, id, seconds=20)
        t.runtime.ok("start", id)
        appears(t, lambda: told.exists() and told.read_text().strip())
    t.true(told.read_text().startswith("/dev/"), f"tty says {told.read_text()!r}")


@ask("engines", "--console-socket: exec --tty")
def terminal_of_exec(t: Trial) -> None:
    """exec --tty --detach has a terminal, and the master's end goes through --console-socket"""
    made, pid = t.running(), t.place / "exec-pid"
    with terminals(t) as path:
        t.runtime.ok("exec", "--tty", "--detach", "--pid-file", pid, "--console-socket", path, made.id, "sh", "-c",
                     "tty >/told", seconds=20)
        reap(int(pid.read_text()))
    told = (t.place / "bundle-1/rootfs/told").read_text()
    t.true(told.startswith("/dev/"), f"tty says {told!r}")


@ask_each("engines", {"a terminal without a socket": ("--console-socket and terminal go together", True),
                      "a socket without a terminal": ("--console-socket and terminal go together", False)})
def socket_and_terminal(t: Trial, terminal: bool) -> None:
    """create in the background with a terminal wants a socket, and a socket wants a terminal"""
    bundle = t.bundle(process={"terminal": terminal})
    with terminals(t) as path:
        t.error("create", "--bundle", bundle, *([] if terminal else ["--console-socket", path]), t.new_id())


def appears(t: Trial, there: Callable[[], object], seconds: float = 10) -> None:
    t.true(patience.until(there, seconds), f"not there after {patience.stretched(seconds):.0f} s")


@ask("engines", "--pid-file: digits and nothing else")
def pid_file(t: Trial) -> None:
    """The pid file of create has the pid in digits without a line's end, and it is that of state"""
    made, file = t.create(), t.place / "pid"
    t.equal(file.read_text(), str(t.runtime.state(made.id)["pid"]), "what is in the pid file")


# ---- formats ----------------------------------------------------------------------------------------------------
@ask("engines", "state has more than the specification says")
def properties_of_state(t: Trial) -> None:
    """state has rootfs, an absolute path, and created, a time by RFC 3339"""
    state = t.runtime.state(t.create().id)
    t.equal(state["rootfs"], str(t.place / "bundle-1/rootfs"), "rootfs")
    t.true(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", str(state["created"])),
           f"created is {state['created']!r}")


@ask("engines", "list: a table, and ids with --quiet")
def list_as_text(t: Trial) -> None:
    """list has a line of heads, ID, PID, STATUS and BUNDLE first, then a line for each container; --quiet has ids"""
    made = t.create()
    head, *lines = t.runtime.ok("list").stdout.splitlines() or [""]
    t.equal([word.upper() for word in head.split()[:4]], ["ID", "PID", "STATUS", "BUNDLE"], "heads of the table")
    t.equal([line.split()[:3] for line in lines], [[made.id, str(made.pid), "created"]], "lines of the table")
    t.equal(t.runtime.ok("list", "--quiet").stdout.split(), [made.id], "what list --quiet prints")


@ask("engines", "list --format json of no containers")
def list_of_nothing(t: Trial) -> None:
    """list --format json without a container is an empty list or null"""
    t.true(not parsed(t.runtime.ok("list", "--format", "json").stdout or "null", "list"), "a container is listed")


@ask("engines", "ps --format json: the pids of a container")
def pids_of_a_container(t: Trial) -> None:
    """ps --format json is a list of the container's processes by their numbers on the machine"""
    made = t.running()
    t.equal(parsed(t.runtime.ok("ps", "--format", "json", made.id).stdout, "ps"), [made.pid], "what ps prints")


@ask("engines", "--log without a format: text with level and msg")
def log_as_text(t: Trial) -> None:
    """The last record of a log of text is a line with level=error and the words in msg"""
    log = t.place / "log"
    t.error("--log", log, "create", "--bundle", t.bundle(process={"args": ["/no/such"]}), t.new_id())
    lines = log.read_text().splitlines() if log.exists() else []
    t.true(lines and "/no/such" in lines[-1] and ("level=error" in lines[-1] or "msg=" not in lines[-1]),
           f"the log is {lines!r}")


@ask("engines", "--version: the specification")
def version(t: Trial) -> None:
    """--version has the name and a line `spec:` with a version"""
    said = t.runtime.ok("--version").stdout
    t.true(re.search(r"^spec: \d+\.\d+\.\d+", said, re.M), f"--version prints {said[:300]!r}")


# ---- kill, delete, pause ----------------------------------------------------------------------------------------
@ask_each("engines", {word: ("names and numbers of signals", word) for word in ("KILL", "SIGKILL", "9")})
def name_of_a_signal(t: Trial, word: str) -> None:
    """kill takes a signal by its name, with SIG and without, and by its number"""
    made = t.running()
    t.runtime.ok("kill", made.id, word)
    t.equal(made.wait(), 137, "exit code of the program")


@ask("engines", "the words for a container that has ended")
def words_for_what_has_ended(t: Trial) -> None:
    """kill of a stopped container says “not running”, “no such process” or the like, which engines look for"""
    said = t.error("kill", t.ended().id, "TERM").stderr.lower()
    words = ("not running", "no such process", "already finished", "could not be killed because it was `stopped`")
    t.true(any(word in said for word in words), f"kill says {said.strip()[-300:]!r}")


@ask("engines", "the words for an id that is taken")
def words_for_a_taken_id(t: Trial) -> None:
    """create with an id that is taken says that it exists already"""
    made = t.create()
    said = t.error("create", "--bundle", t.bundle(), made.id).stderr.lower()
    t.true(("exist" in said and made.id in said) or "already exists" in said, f"create says {said.strip()[-300:]!r}")


@ask("engines", "pause and resume")
def pause_and_resume(t: Trial) -> None:
    """A paused container is so in state, does nothing, and goes on after resume"""
    t.needs_cgroups()
    made = t.running(**shell("while :; do echo x >>/said; sleep 0.01; done"))
    file = t.place / "bundle-1/rootfs/said"
    appears(t, file.exists)
    t.runtime.ok("pause", made.id)
    t.equal(t.runtime.state(made.id)["status"], "paused", "status")
    size = file.stat().st_size
    time.sleep(0.2)
    t.equal(file.stat().st_size, size, "size of what the program writes, while it is paused")
    t.runtime.ok("resume", made.id)
    appears(t, lambda: file.stat().st_size > size)
    t.equal(t.runtime.state(made.id)["status"], "running", "status")


@ask("engines", "update --resources -: limits from standard input")
def update_of_limits(t: Trial) -> None:
    """update takes resources as JSON by standard input, and they count"""
    t.needs_controller("pids")
    made = t.running(linux={"resources": {"pids": {"limit": 50}}})
    read, write = os.pipe()
    os.write(write, json.dumps({"pids": {"limit": 60}}).encode())
    os.close(write)
    t.runtime.ok("update", "--resources", "-", made.id, stdin=read)
    os.close(read)
    t.equal((cgroup_of(made.pid) / "pids.max").read_text().strip(), "60", "pids.max")


@ask_each("engines", {option: ("options of create", option) for option in ("--no-pivot", "--no-new-keyring",
                                                                          "--preserve-fds=0")})
def option_of_create(t: Trial, option: str) -> None:
    """create takes the option, and the container runs"""
    id, file = t.new_id(), t.place / "pid"
    t.runtime.ok("create", "--bundle", t.bundle(), "--pid-file", file, option, id)
    t.runtime.ok("start", id)
    t.equal(reap(int(file.read_text())), 0, "exit code of the program")


@ask("engines", "--preserve-fds: descriptors of the engine")
def descriptors_that_are_kept(t: Trial) -> None:
    """With --preserve-fds 1 descriptor 3 of the caller is descriptor 3 of the program"""
    file = t.place / "given"
    file.write_text("by a descriptor\n")
    fd, kept = os.open(file, os.O_RDONLY), os.dup(0)
    if fd != 3:
        try:
            kept = os.dup2(os.dup(3), kept)         # what this process has there comes back
        except OSError:
            pass                                    # it has nothing there
        os.dup2(fd, 3)
    id, pid = t.new_id(), t.place / "pid"
    bundle = t.bundle(**shell("cat <&3"))
    made = t.runtime.ok("create", "--bundle", bundle, "--pid-file", pid, "--preserve-fds", "1", id, pass_fds=[3])
    if fd != 3:
        os.dup2(kept, 3)
    t.runtime.ok("start", id)
    t.equal(reap(int(pid.read_text())), 0, "exit code of the program")
    t.equal(made.stdout, "by a descriptor\n", "what the program reads")
