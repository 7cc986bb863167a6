"""Into the container: descriptors, programs, environments and terminals of the machine."""
from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

from ...harness import bundles, patience
from ...harness.hostile import SECRET, attempt, capabilities, execute, kept, link, with_python
from ...harness.trial import Trial
from ...model import Fails, NotHere, ask, ask_each

F_GET_SEALS, F_SEAL_WRITE = 1034, 8
IDS = {kind: [{"containerID": 0, "hostID": 0, "size": 65536}] for kind in ("uidMappings", "gidMappings")}
USERS = {"namespaces": bundles.namespaces(*bundles.NAMESPACES, "user"), **IDS}


# ---- CVE-2024-21626: a descriptor that leads out ----------------------------------------------------------------
@ask_each("security", {f"{command}, {how}": ("CVE-2024-21626", command, how) for command in ("create", "exec")
                       for how in ("path", "link")}, seconds=60)
def working_directory_is_a_descriptor(t: Trial, command: str, how: str) -> None:
    """a cwd of /proc/self/fd/N, left open by the runtime or the caller, leads to no folder of the machine"""
    with kept(t) as outside:
        leaked = [os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in ("/", outside, "/sys/fs/cgroup")]
        bundle = t.bundle(process={"args": ["sleep", "600"]})
        made = t.create(bundle).start()
        for number in sorted({*range(3, 13), *leaked}):
            cwd = f"/proc/self/fd/{number}"
            if how == "link":
                link(bundle / "rootfs/cwd", cwd)
                cwd = "/cwd"
            if command == "exec":
                done = execute(t, made, "--cwd", cwd, made.id, "sh", "-c", "ls -a .; cat secret", pass_fds=leaked)
            else:
                other = t.bundle(process={"cwd": cwd, "args": ["sh", "-c", "ls -a .; cat secret"]})
                if how == "link":
                    link(other / "rootfs/cwd", f"/proc/self/fd/{number}")
                done = attempt(t, other, pass_fds=leaked)
            words = done.stdout.split()
            t.true(SECRET.split()[0] not in words and "secret" not in words and "cgroup.procs" not in words,
                   f"descriptor {number} is a folder of the machine: {words[:20]}")
            # The container's own root has neither of these.
            t.true(not {"boot", "lost+found", "opt", "srv"} & set(words), f"descriptor {number}: {words[:20]}")
        for fd in leaked:
            os.close(fd)


@ask_each("security", {command: ("descriptors of the caller", command) for command in ("create", "exec")})
def descriptors_of_the_caller(t: Trial, command: str) -> None:
    """forty folders that the caller has left open are not open in the container"""
    leaked = [os.open(t.decoy(), os.O_RDONLY) for _ in range(40)]
    script = "for fd in /proc/self/fd/*; do readlink $fd; done; true"
    made = t.create(pass_fds=leaked, process={"args": ["sh", "-c", f"{script}; echo end; exec sleep 600"]}).start()
    if command == "exec":
        seen = execute(t, made, made.id, "sh", "-c", script, pass_fds=leaked).stdout
    else:
        t.true(patience.until(lambda: made.output.endswith("end\n"), 20), "the program does not come to its end")
        seen = made.output
    t.true(str(t.decoy()) not in seen.split(), f"open in the container: {seen.split()}")


@ask_each("security", {count: ("a descriptor of the runtime's own", count) for count in ("1", "5")})
def descriptors_that_are_kept_and_not_given(t: Trial, count: str) -> None:
    """--preserve-fds of more than the caller gives hands over nothing of the runtime's own"""
    script = "for fd in 3 4 5 6 7 8; do readlink /proc/1/fd/$fd; done; true"
    done = attempt(t, process={"args": ["sh", "-c", script]}, options=["--preserve-fds", count])
    # A shell has its script and folders at 10 and above only.
    t.equal(done.stdout.split(), [], "descriptors of the program above 2")


# ---- CVE-2016-9962, CVE-2019-5736 ---------------------------------------------------------------------------------
#: What a shell prints of the first process of its container when that shows more than the container has itself.
LOOKS = {
    "descriptors": "for fd in /proc/1/fd/*; do test ${fd##*/} -gt 2 && readlink $fd; done | grep ^/ | grep -v ^/dev/",
    "environment": "tr '\\0' '\\n' </proc/1/environ | grep SECRET",
    "memory": "head -c 1 /proc/1/mem && echo opened",
    "root": "test /proc/1/root/. -ef /. || ls /proc/1/root/",
    "working directory": "test /proc/1/cwd/. -ef /. || ls /proc/1/cwd/"}


@ask_each("security", {what: ("CVE-2016-9962", script) for what, script in LOOKS.items()})
def init_that_waits_for_start(t: Trial, script: str) -> None:
    """an init that waits for start shows nothing of the machine to a process in the container without CAP_SYS_PTRACE"""
    id = t.new_id()
    t.runtime.ok("create", "--bundle", t.bundle(process=capabilities("CAP_KILL")), id,
                 env=environment(SECRET_OF_THE_CALLER="x"))
    done = t.runtime("exec", id, "sh", "-c", f"({script}) 2>/dev/null", seconds=20)
    t.equal(done.stdout.strip(), "", "seen of the init")


@ask("security", "CVE-2019-5736, youki's #343: the runtime cannot be overwritten from inside")
def program_of_the_runtime(t: Trial) -> None:
    """An init that waits for start runs a sealed copy, or what is on a file system that is read-only"""
    exe = f"/proc/{t.create().pid}/exe"
    name, fd = os.readlink(exe), os.open(exe, os.O_RDONLY)
    try:
        if "memfd:" in name:
            t.true(fcntl.fcntl(fd, F_GET_SEALS) & F_SEAL_WRITE, f"{name} is not sealed against writing")
        else:
            same = os.path.exists(name) and os.path.samestat(os.fstat(fd), os.stat(name))
            t.true(not same or os.fstatvfs(fd).f_flag & os.ST_RDONLY,
                   f"the init runs {name} itself, and root in the container could write it")
    finally:
        os.close(fd)


def digests(t: Trial) -> dict[str, str]:
    """Of the runtime's program, and of the interpreter that its first line names."""
    files = {os.path.realpath(t.program.path)}
    with open(t.program.path, "rb") as file:
        first = file.readline(200)
    if first.startswith(b"#!"):
        files.add(os.path.realpath(os.fsdecode(first[2:].split()[0])))
    return {name: hashlib.sha256(Path(name).read_bytes()).hexdigest() for name in files}


@ask_each("security", {"args": ("CVE-2019-5736", False), "script": ("CVE-2019-5736", True)})
def program_is_written(t: Trial, script: bool) -> None:
    """a program that is /proc/self/exe runs nothing of the machine, and writes nothing of it"""
    before = digests(t)
    bundle = t.bundle(process={"args": ["/evil" if script else "/proc/self/exe"], **capabilities(
        "CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE")})
    (bundle / "rootfs/evil").write_text("#!/proc/self/exe\n")
    (bundle / "rootfs/evil").chmod(0o755)
    watcher = t.create(process={"args": ["sh", "-c", """
        while :; do for exe in /proc/[0-9]*/exe; do
            case $(readlink $exe) in */busybox|'') ;; *) (: >> $exe) 2>/dev/null && echo "opened $exe";; esac
        done; done"""], **capabilities("CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE")}).start()
    for _ in range(5):
        execute(t, watcher, watcher.id, "/proc/self/exe", "--version")
    id = t.new_id()
    if t.runtime("create", "--bundle", bundle, id).status == 0:
        t.runtime("start", id)
    t.runtime("kill", watcher.id, "KILL")
    t.true("opened" not in watcher.output, f"a program of the machine is opened for writing: {watcher.output[:200]!r}")
    t.equal(digests(t), before, "digest of the runtime's program")


#: Looks at every other process until there is /tmp/stop, and prints what of them led out of the container.
WATCHER = """
import json, os, stat
own = {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in ("mnt", "pid")}
root = os.stat("/").st_dev, os.stat("/").st_ino
outside, seen = set(), set()
open("/tmp/ready", "w").close()
while not os.path.exists("/tmp/stop"):
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) == os.getpid():
            continue
        seen.add(pid)
        for kind in ("root", "cwd"):
            try:
                found = os.stat(f"/proc/{pid}/{kind}/")
                if (found.st_dev, found.st_ino) != root:
                    outside.add(kind)
            except OSError:
                pass
        try:
            names = os.listdir(f"/proc/{pid}/fd")
        except OSError:
            continue
        for fd in names:
            try:
                name, mode = os.readlink(f"/proc/{pid}/fd/{fd}"), os.stat(f"/proc/{pid}/fd/{fd}").st_mode
            except OSError:
                continue
            if stat.S_ISDIR(mode) or own.get(name.partition(":")[0], name) != name:
                outside.add(name)
print(json.dumps([len(seen), sorted(outside)]))
"""


@ask_each("security", {"ids of the machine": ("CVE-2016-9962, CVE-2015-1334, CVE-2016-8649, CVE-2016-8659", {}),
                       "user namespace": ("CVE-2016-9962", {"linux": USERS})}, seconds=120)
def exec_is_watched(t: Trial, changes: bundles.Config) -> None:
    """a process with CAP_SYS_PTRACE that watches exec coming in finds no folder or namespace of the machine"""
    bundle = with_python(t, WATCHER, **bundles.merge(changes, {"process": capabilities("CAP_SYS_PTRACE")}))
    made = t.create(bundle).start()
    t.true(patience.until((bundle / "rootfs/tmp/ready").exists, 30),
           f"the watcher does not begin: {made.outcome.stderr[-300:]}")
    for _ in t.tries(range(30), 30):
        t.runtime.ok("exec", made.id, "true")
        del t.runtime.log[-1]
    (bundle / "rootfs/tmp/stop").touch()
    t.equal(made.wait(), 0, "exit code of the watcher")
    seen, outside = json.loads(made.output)
    t.equal(outside, [], "seen of processes of exec")
    if not seen:
        raise NotHere("the watcher was on no processor while a process of exec was there")


# ---- environments -------------------------------------------------------------------------------------------------
def environment(**more: str) -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", bundles.PATH[5:]), **more}


@ask_each("security", {command: ("secrets of the caller", command) for command in ("create", "exec")})
def environment_of_the_caller(t: Trial, command: str) -> None:
    """the caller's environment is not the program's"""
    env = environment(SECRET_OF_THE_CALLER="x", LD_AUDIT_NOT="x")
    if command == "exec":
        made = t.running()
        said = execute(t, made, made.id, "env", env=env).stdout
    else:
        said = attempt(t, process={"args": ["env"]}, env=env).stdout
    t.true(said and "SECRET_OF_THE_CALLER" not in said, f"the program's environment: {said!r}")


@ask_each("security", {kind: ("nvidia's CVE-2025-23266, CVE-2024-0132, CVE-2024-0133", kind)
                       for kind in ("createRuntime", "createContainer", "poststart")})
def environment_of_hooks(t: Trial, kind: str) -> None:
    """a hook without env has not the container's environment"""
    out = t.place / "env"
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"cat >/dev/null; env >{out} || /bin/env >{out}"]}
    attempt(t, process={"env": [bundles.PATH, "LD_PRELOAD=/evil.so"], "args": ["true"]}, hooks={kind: [hook]})
    t.true(out.exists(), f"the {kind} hook has not run")
    t.true("LD_PRELOAD" not in out.read_text(), f"environment of a hook: {out.read_text()!r}")


@ask("security", "CVE-2026-84042: helpers are not looked up by the container's PATH, nor hooks")
def programs_by_the_path_of_the_container(t: Trial) -> None:
    """programs of the image by the names of helpers are not run on the machine"""
    evil = t.place / "evil"
    evil.mkdir()
    names = ("newuidmap", "newgidmap", "criu", "ps", "ip", "mount", "systemctl", "passt", "tar")
    for name in names:
        (evil / name).write_text(f"#!/bin/sh\ntouch {t.place}/ran\nexit 1\n")
        (evil / name).chmod(0o755)
    made = t.running(process={"env": [f"PATH={evil}:/bin"]}, linux={
        "namespaces": bundles.namespaces(*bundles.NAMESPACES, "user"), **IDS})
    t.runtime("ps", made.id, seconds=20)
    t.runtime("checkpoint", "--image-path", t.place / "images", made.id, seconds=20)
    t.true(not (t.place / "ran").exists(), "a program that only the container's PATH has was run on the machine")


# ---- terminals, cgroups -------------------------------------------------------------------------------------------
TYPING = """
import fcntl, os, termios
def attempt(fd):
    try:
        for letter in b"touch /typed\\n":
            fcntl.ioctl(fd, termios.TIOCSTI, bytes([letter]))
        print("typed")
    except OSError as fault:
        print(fault.errno)
attempt(0)
try:
    attempt(os.open("/dev/tty", os.O_RDWR))
except OSError as fault:
    print(fault.errno)
"""
AT_A_TERMINAL = "import os, sys, fcntl, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); " \
                "os.execv(sys.argv[1], sys.argv[1:])"


@ask_each("security", {command: ("CVE-2016-10124, CVE-2017-5226", command) for command in ("run", "exec")})
def terminal_of_the_caller(t: Trial, command: str) -> None:
    """a program cannot type on the terminal of whoever called (TIOCSTI)"""
    bundle = with_python(t, TYPING, process=capabilities("CAP_KILL"))
    words: list[str | Path] = ["run", "--bundle", bundle, t.new_id()]
    if command == "exec":
        config = json.loads((bundle / "config.json").read_text())
        typing = config["process"]["args"]
        config["process"]["args"] = ["sleep", "600"]
        bundles.write(bundle, config)
        made = t.create(bundle).start()
        words = ["exec", made.id, *typing]
    ours, its = pty.openpty()
    try:
        done = subprocess.run([sys.executable, "-c", AT_A_TERMINAL, *t.runtime.argv(*words)], stdin=its,
                              timeout=patience.stretched(30),
                              capture_output=True, text=True, check=False, env=environment())
    finally:
        os.close(its)
        os.close(ours)
    if len(done.stdout.splitlines()) != 2:
        raise Fails(f"{command} does not run: {(done.stderr or done.stdout)[-300:]}")
    t.true("typed" not in done.stdout, "it has typed on the caller's terminal")


@ask_each("security", {path: ("crun before 1.29, exec --cgroup", path)
                       for path in ("..", "../SIBLING", "/../SIBLING", "a/../../SIBLING", "../IDx")})
def cgroup_of_exec(t: Trial, path: str) -> None:
    """exec --cgroup leads to no cgroup beside the container's"""
    t.needs_cgroups(files=True)
    t.cgroup(f"{t.id}-above")
    for name in ("sibling", "boxx"):
        t.cgroup(f"{t.id}-above/{name}")
    made = t.running(linux={"cgroupsPath": f"/{t.id}-above/box"})
    path = path.replace("SIBLING", "sibling").replace("IDx", "boxx")
    done = execute(t, made, "--cgroup", path, made.id, "cat", "/proc/self/cgroup")
    t.true(done.status, f"exec --cgroup {path} runs in {done.stdout!r}")
