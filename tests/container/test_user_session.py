"""Containers of an ordinary user whose own systemd makes their cgroups: --systemd-cgroup, from wherever it comes."""
from __future__ import annotations

import contextlib
import json
import os
import pwd
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import world
from tests.runtimes import Runtime

from .rootless import UID, User

pytestmark = [pytest.mark.guest_systemd, pytest.mark.timeout(400)]

CGROUPS = Path("/sys/fs/cgroup")
MANAGER = f"user.slice/user-{UID}.slice/user@{UID}.service"
RUNTIME_DIR = f"/run/user/{UID}"
SESSION, UNIT, SERVICE = "a session", "a unit of the user", "a service of the system"
LOOP = "trap exit TERM; while :; do sleep 0.1; done"


@pytest.fixture(scope="module")
def session() -> Iterator[Path]:
    """The user's systemd runs; the cgroup of a session, as logind makes it: the user's, but not of that systemd."""
    try:
        account = pwd.getpwuid(UID).pw_name
    except KeyError:
        account = "boxer"
        subprocess.run(["useradd", "--uid", str(UID), "--create-home", account], check=True)
    subprocess.run(["loginctl", "enable-linger", account], check=True)
    login = subprocess.Popen(["systemd-run", "--quiet", "--scope", f"--slice=user-{UID}.slice", "sleep", "1000"])

    def place() -> str:
        return Path(f"/proc/{login.pid}/cgroup").read_text().strip()[3:]
    world.start_user(UID)
    deadline = time.monotonic() + 600
    while not place().startswith("/user.slice"):
        assert time.monotonic() < deadline, f"no session: {place()}"
        time.sleep(0.2)
    yield CGROUPS / place()[1:]
    login.kill()
    login.wait()
    subprocess.run(["loginctl", "disable-linger", account], check=True)
    subprocess.run(["systemctl", "stop", f"user@{UID}.service"], check=True)


class Box:
    """A container of the user in a scope of the user's systemd, called for from one of three places."""

    def __init__(self, runtime: Runtime, place: Path, name: str, kind: str, session: Path) -> None:
        self.user, self.name, self.unit = User(runtime.path, place), name, f"box-{name}.scope"
        self.cgroup = f"{MANAGER}/user.slice/{self.unit}"
        self.user.outside = ("nsenter", "--target", "1", "--mount")     # where /run/user is mounted, too
        self.within = ("systemd-run", "--user", "--quiet", "--pipe", "--wait", "--collect", "--same-dir") \
            if kind == UNIT else ()
        self.caller = session if kind == SESSION else None
        self.driver = ("--cgroup-manager", "systemd") if kind == UNIT else ("--systemd-cgroup",)      # crun's, runc's
        # The session is told of a message bus alone; the others find their systemd's own socket.
        self.user.environment = {"DBUS_SESSION_BUS_ADDRESS": f"unix:path={RUNTIME_DIR}/bus"} if kind == SESSION \
            else {"XDG_RUNTIME_DIR": RUNTIME_DIR}

    def spec(self, script: str = LOOP, **changes: object) -> None:
        """A container with limits, and with its cgroup where it can see it."""
        config = self.user.spec(script, **changes)
        config["linux"].update(cgroupsPath=f"user.slice:box:{self.name}", resources={
            "pids": {"limit": 32}, "memory": {"limit": 64 << 20}})
        (self.user.bundle / "config.json").write_text(json.dumps(config))

    def __call__(self, *argv: str | Path) -> str:
        with (self.user.bundle / "out").open("w+") as out:      # a file: a container that goes on may keep it
            done = self.user.call("--root", self.user.runtime_dir / "state", *self.driver, *argv, output=out,
                                  within=self.within, cgroup=self.caller)
            out.seek(0)
            assert done.returncode == 0, f"{argv}: {done.returncode}\n{out.read()}"
            return out.read()

    def state(self) -> dict[str, object]:
        state: dict[str, object] = json.loads(self("state", self.name))
        return state

    def show(self, *properties: str) -> dict[str, str]:
        whole = (*self.user.outside, "setpriv", "--reuid", str(UID), "--clear-groups", "env",
                 f"XDG_RUNTIME_DIR={RUNTIME_DIR}", "systemctl", "--user", "show", self.unit, "-p", ",".join(properties))
        done = subprocess.run(whole, capture_output=True, text=True, check=True)
        return dict(line.split("=", 1) for line in done.stdout.splitlines())

    def read(self, file: str) -> str:
        return (CGROUPS / self.cgroup / file).read_text().strip()

    def second(self, *flags: str) -> str:
        """The cgroup of a process of exec, as the host sees it."""
        file = self.user.bundle / "second.pid"
        self("exec", "--detach", "--pid-file", file, *flags, self.name, "sleep", "1000")
        return cgroup_of(int(file.read_text()))

    def end(self) -> None:
        """kill and delete, which leave no unit."""
        self("kill", self.name, "KILL")
        deadline = time.monotonic() + 60
        while self.state()["status"] != "stopped":
            world.children()    # reaps exec's processes: while one is a zombie the init of its pid namespace cannot end
            assert time.monotonic() < deadline
            time.sleep(0.1)
        self("delete", self.name)
        assert not (CGROUPS / self.cgroup).exists()
        assert self.show("LoadState") == {"LoadState": "not-found"}


def cgroup_of(pid: object) -> str:
    return Path(f"/proc/{pid}/cgroup").read_text().strip().removeprefix("0::/")


@pytest.mark.spec("features-linux.md#cgroup", "systemdUser")
@pytest.mark.parametrize("kind", [SERVICE, SESSION, UNIT])
def test_a_whole_life(kind: str, runtime: Runtime, place: Path, name: str, session: Path) -> None:
    box = Box(runtime, place, name, kind, session)
    box.spec()
    box("run", "--detach", name)
    state = box.state()
    assert state["status"] == "running" and cgroup_of(state["pid"]) == box.cgroup
    assert box.show("ActiveState", "Slice", "Delegate", "TasksMax", "MemoryMax") == {
        "ActiveState": "active", "Slice": "user.slice", "Delegate": "yes", "TasksMax": "32",
        "MemoryMax": str(64 << 20)}
    assert (box.read("pids.max"), box.read("memory.max")) == ("32", str(64 << 20))
    assert box("exec", name, "cat", "/proc/self/cgroup") == "0::/\n"
    assert box.second() == box.cgroup
    assert len(json.loads(box("ps", "--format", "json", name))) >= 2
    box("update", "--pids-limit", "33", "--memory", "48m", name)
    assert box.show("TasksMax", "MemoryMax") == {"TasksMax": "33", "MemoryMax": str(48 << 20)}
    assert (box.read("pids.max"), box.read("memory.max")) == ("33", str(48 << 20))
    box("pause", name)
    assert box.state()["status"] == "paused" and box.read("cgroup.freeze") == "1"
    box("resume", name)
    box.end()
    assert not list((box.user.runtime_dir / "state").glob("t*"))


# crun.1, run.oci.systemd.subgroup; cgroups(7), "No internal processes".
@pytest.mark.parametrize("kind", [SESSION, UNIT])
def test_exec_follows_into_the_subgroup(kind: str, runtime: Runtime, place: Path, name: str, session: Path) -> None:
    box = Box(runtime, place, name, kind, session)
    box.spec(annotations={"run.oci.systemd.subgroup": "inner"})
    box("run", "--detach", name)
    assert cgroup_of(box.state()["pid"]) == f"{box.cgroup}/inner"
    assert box.second() == f"{box.cgroup}/inner"
    # What a systemd in the container does with its cgroup, which no process can be put into from then on.
    inner = CGROUPS / box.cgroup / "inner"
    deep = inner / "init.scope"
    deep.mkdir()
    for path in (deep, deep / "cgroup.procs"):
        os.chown(path, UID, UID)
    while pids := (inner / "cgroup.procs").read_text().split():
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):       # the loop's sleep comes and goes
                (deep / "cgroup.procs").write_text(pid)
    for above in (inner.parent, inner):
        (above / "cgroup.subtree_control").write_text("+pids")
    assert box.second() == f"{box.cgroup}/inner/init.scope"
    box.end()
