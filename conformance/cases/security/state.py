"""What the runtime keeps: who reads and writes it, links in it, names that are paths, pids of others."""
from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

from ...harness import bundles, isolation, patience
from ...harness.hostile import attempt, kill
from ...harness.trial import Trial
from ...model import Fails, NotHere, ask, ask_each

CLONE_NEWPID = 0x20000000


@ask_each("security", {what: ("containerd's CVE-2021-41103, CVE-2024-25621", what) for what in ("read", "written")})
def state_that_others_reach(t: Trial, what: str) -> None:
    """another user reads and writes nothing of a container's state"""
    t.running()
    reached = []
    for path in (t.runtime.root, *t.runtime.root.rglob("*")):
        # As the user would: every folder on the way has to let him through.
        ways = [path, *(above for above in path.parents if above.is_relative_to(t.runtime.root))]
        through = all(stat.S_IMODE(above.lstat().st_mode) & 0o001 for above in ways[1:])
        mode = 0 if path.is_symlink() else stat.S_IMODE(path.lstat().st_mode)
        if through and mode & (0o002 if what == "written" else 0o004) and not stat.S_ISSOCK(path.lstat().st_mode):
            reached.append(f"{path} {mode:o}")
    t.equal(reached, [], f"can be {what} by another user")


#: OUTSIDE is a folder of the case. No path of the machine may stand here: crun 1.8.1 removes what such an id leads to.
PATHS = {"beside": "../outside", "climbing": "a/../../outside", "absolute": "OUTSIDE", "above": "..", "itself": ".",
         "two lines": "a\nb", "two words": "a b", "long": "x" * 5000}


@ask_each("security", {name: ("ids that are paths", id) for name, id in PATHS.items()})
def id_that_is_a_path(t: Trial, id: str) -> None:
    """an id that is a path, or has a line's end, is refused by every command, and makes and removes nothing"""
    t.runtime.root = t.place / "above/state"
    outside = t.runtime.root.with_name("outside")
    outside.mkdir(parents=True)
    (outside / "kept").touch()
    t.runtime.root.mkdir(mode=0o700)
    id = id.replace("OUTSIDE", str(outside))
    done = t.runtime("create", "--bundle", t.bundle(), id)
    t.runtime("delete", "--force", id)
    t.true((outside / "kept").exists(), f"delete --force of {id[:40]!r} removes a folder beside the state root")
    t.true(done.status, f"create takes the id {id[:40]!r}")
    t.equal([path.name for path in outside.iterdir()], ["kept"], "in a folder beside the state root")


@ask_each("security", {kind: ("runc 1.5.3, bwrap's CVE-2026-87766", kind) for kind in ("folder", "file")})
def link_in_the_state_root(t: Trial, kind: str) -> None:
    """a link in place of a container's state leads kill and delete nowhere"""
    made, t.leaves = t.running(), True
    other = t.place / "elsewhere"
    (t.runtime.root / made.id).rename(other)
    if kind == "folder":
        (t.runtime.root / made.id).symlink_to(other)
    else:
        (t.runtime.root / made.id).mkdir(mode=0o700)
        for path in other.iterdir():
            (t.runtime.root / made.id / path.name).symlink_to(path)
    names = sorted(path.name for path in other.iterdir())
    t.runtime("kill", made.id, "USR1")
    t.runtime("delete", "--force", made.id)
    t.equal(sorted(path.name for path in other.iterdir()), names, "where the link leads")
    if (t.runtime.root / made.id).is_symlink():
        (t.runtime.root / made.id).unlink()


@ask_each("security", {"group": ("state that others have written", 0o770, 0), "others": (
    "state that others have written", 0o707, 0), "owner": ("state that others have written", 0o700, 12345)})
def root_that_others_can_write(t: Trial, mode: int, owner: int) -> None:
    """hooks of a state that another user could have written are not run at delete"""
    ran = t.place / "ran"
    made = t.ended(hooks={"poststop": [t.hook(f"touch {ran}")]})
    t.runtime.root.chmod(mode)
    os.chown(t.runtime.root, owner, -1)
    t.runtime("delete", "--force", made.id)
    happened = ran.exists()
    os.chown(t.runtime.root, 0, -1)
    t.runtime.root.chmod(0o700)
    t.true(not happened, "a hook of it was run")


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda text: b"", "half": lambda text: text[:len(text) // 2], "null": lambda text: b"null",
    "zeros": lambda text: bytes(100), "list": lambda text: b"[]"}


@ask_each("security", {name: ("state that is damaged", damage) for name, damage in DAMAGES.items()})
def state_that_is_damaged(t: Trial, change: Callable[[bytes], bytes]) -> None:
    """commands on a container whose state is damaged end with a word, not with a crash, and harm no other process"""
    made, t.leaves = t.running(), True
    for path in (t.runtime.root / made.id).rglob("*"):
        if path.is_file() and path.stat().st_size:
            path.write_bytes(change(path.read_bytes()))
    for words in (["state", made.id], ["kill", made.id, "USR1"], ["list"], ["exec", made.id, "true"],
                  ["delete", "--force", made.id]):
        done = t.runtime(*words, seconds=20)
        for word in ("Traceback (most recent", "goroutine 1", "panicked at", "Segmentation fault"):
            t.true(word not in done.stderr, f"{words[0]} crashes: {done.stderr[:200]!r}")
        t.true(done.status >= 0, f"{words[0]} ends by signal {-done.status}")


@ask_each("security", {command: ("another process gets the pid", command) for command in ("kill", "delete --force")})
def pid_of_another_process(t: Trial, command: str) -> None:
    """a process that has got the pid of a container that has ended is not killed for it"""
    if not os.path.exists("/proc/sys/kernel/ns_last_pid"):
        raise NotHere("the kernel has no ns_last_pid")
    read, write = os.pipe()
    outer = os.fork()
    if outer == 0:
        # The first process of a pid namespace of its own, whose numbers can be set without harm to the machine.
        isolation.call("unshare", CLONE_NEWPID | isolation.CLONE_NEWNS)
        inner = os.fork()
        if inner == 0:
            os.write(write, _said(t, command).encode()[:3000])
        else:
            os.waitpid(inner, 0)
        os._exit(0)
    os.close(write)
    os.waitpid(outer, 0)
    with os.fdopen(read, "rb") as file:
        said = file.read().decode()
    if said != "holds":
        raise (Fails if said.startswith(("kill", "delete")) else ValueError)(said)


def _said(t: Trial, command: str) -> str:
    try:
        isolation.mount("proc", Path("/proc"), "proc")
        isolation.adopt()
        return _recycled(t, command) or "holds"
    except Fails as failed:
        return f"kill or delete: {failed}"
    except Exception as error:
        return repr(error)


def _recycled(t: Trial, command: str) -> str:
    """Inside a pid namespace: end a container, let another process have its pid, call the command. What is wrong."""
    made = t.running()
    os.kill(made.pid, signal.SIGKILL)
    made.wait()
    for _ in range(200):
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(made.pid - 1))
        other = subprocess.Popen(["sleep", "600"])
        if other.pid == made.pid:
            break
        kill(other)
    else:
        return "the pid was not to be had"
    words = ["kill", made.id, "KILL"] if command == "kill" else ["delete", "--force", made.id]
    t.runtime(*words, seconds=20)
    try:
        other.wait(patience.stretched(1))
    except subprocess.TimeoutExpired:
        kill(other)
        t.runtime("delete", "--force", made.id)
        return ""
    return f"{command} of a container that has ended kills a process that has got its pid"


@ask("security", "a hook outlives the runtime that was killed")
def hook_outlives_its_runtime(t: Trial) -> None:
    """a hook ends with the runtime that is killed while it runs, or before anything else goes on"""
    hook = t.hook(f"touch {t.place}/began; exec sleep 600.{os.getpid()}")
    process = subprocess.Popen(t.runtime.argv("create", "--bundle", t.bundle(hooks={"createRuntime": [hook]}),
                                              t.new_id()), stdin=subprocess.DEVNULL)
    began = patience.until((t.place / "began").exists, 10)
    kill(process)
    t.true(began, "the hook does not begin")
    t.runtime("delete", "--force", t.id, seconds=20)
    words = f"600.{os.getpid()}"
    t.true(patience.until(lambda: not any(_has(path, words) for path in Path("/proc").glob("[0-9]*/cmdline")), 2),
           "the hook goes on after `delete --force`")


def _has(path: Path, word: str) -> bool:
    try:
        return word in path.read_text(errors="replace").split("\0")
    except OSError:
        return False


@ask("security", "the mark of its cgroup is removed by the container: delete leaves cgroup and processes")
def marks_of_a_cgroup_are_removed(t: Trial) -> None:
    """a container that takes the runtime's marks off its cgroup is deleted with all its processes"""
    t.needs_cgroups(files=True)
    place = isolation.CGROUP / t.id
    made = t.create(process={"args": ["sh", "-c", "sleep 600 & exec sleep 600"]}, linux={
        "namespaces": bundles.namespaces("mount"), "cgroupsPath": f"/{t.id}"}).start()
    for name in os.listxattr(place):
        os.removexattr(place, name)
    place.chmod(0o755)
    t.runtime.ok("delete", "--force", made.id)
    t.true(not place.exists(), "the cgroup is there after delete --force")


@ask("security", "LD_PRELOAD, PYTHON*, files in the working directory")
def caller_whose_folder_lies_in_wait(t: Trial) -> None:
    """files with the names of modules and programs in the working directory decide nothing"""
    folder = t.place / "folder"
    folder.mkdir()
    for name in ("json.py", "os.py", "sitecustomize.py", "usercustomize.py", "encodings.py", "runc", "crun", "sh"):
        (folder / name).write_text(f"#!/bin/sh\nopen({str(t.place / 'ran')!r}, 'w')\n")
        (folder / name).chmod(0o755)
    environment = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(folder), "PYTHONHOME": "",
                   "PYTHONSTARTUP": str(folder / "os.py")}
    id = t.new_id()
    t.runtime.ok("create", "--bundle", t.bundle(), id, cwd=folder, env=environment)
    t.runtime.ok("start", id, cwd=folder, env=environment)
    t.true(not (t.place / "ran").exists(), "a file of the working directory was run")


@ask("security", "docker's CVE-2019-14271: no code of the image is loaded on the machine")
def libraries_of_the_image(t: Trial) -> None:
    """an image with modules and libraries at the usual places runs none of them in the runtime's processes"""
    bundle = t.bundle()
    root = bundle / "rootfs"
    evil = f"import os\nos.mkdir('/evil{os.getpid()}')\n"
    for place in ("usr/lib/python3", "usr/lib/python3.11", "usr/lib/python3.13", "usr/lib/python3/dist-packages"):
        (root / place).mkdir(parents=True, exist_ok=True)
        for name in ("traceback.py", "sitecustomize.py", "encodings.py", "warnings.py", "linecache.py"):
            (root / place / name).write_text(evil)
    (root / "etc/ld.so.preload").write_text("/evil.so\n")
    (root / "etc/nsswitch.conf").write_text("passwd: evil\n")
    for args in (["true"], ["/no/such/program"], ["/etc/passwd"]):
        config = json.loads((bundle / "config.json").read_text())
        config["process"]["args"] = args
        config["process"]["cwd"] = "/" if args == ["true"] else "/nowhere/at/all"
        attempt(t, bundles.write(bundle, config))
    t.true(not (root / f"evil{os.getpid()}").exists(), "code of the image was run")
