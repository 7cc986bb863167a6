"""Every command on a host that lacks something, or of a caller with little: it works, or one clear line says what it
needs. The same for root and for a user, who has no cgroup here."""
from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests import bundles, runtimes, world
from tests.bundles import Config
from tests.faults.scenarios import UNWANTED

MS_RDONLY, MS_REMOUNT = 1, 32
USER = 1000
CHANGE = '{"unified": {"cgroup.max.descendants": "100"}}'
COMMANDS = ("state ID", "list", "start ID", "exec ID true", "ps ID", "ps --format json ID", "pause ID", "resume ID",
            "update --resources CHANGE ID", "events --stats ID", "kill ID USR2", "kill ID KILL", "delete --force ID",
            "check", "doctor")
NO_CGROUP = "has no cgroup"
#: What a user cannot have anywhere here, and root not where the container has none.
OF_CGROUPS = {"ps ID": NO_CGROUP, "ps --format json ID": NO_CGROUP, "pause ID": NO_CGROUP, "resume ID": "not paused",
              "update --resources CHANGE ID": NO_CGROUP, "events --stats ID": NO_CGROUP}
HIDDEN = "covered by another mount"
ALL = "everything"


@dataclass(frozen=True)
class Host:
    """What is mounted where, and what does not work then: command -> words. made: of a container that is made there."""
    path: str
    kind: str = "tmpfs"
    options: str = ""
    flags: int = 0
    root: dict[str, str] = field(default_factory=dict)
    user: dict[str, str] = field(default_factory=dict)
    made: dict[str, str] = field(default_factory=dict)


PS = {"ps ID": "ps: exit status 1"}           # the program needs /proc/stat and says so
COVERED = {"resume ID": "not paused", **dict.fromkeys((
    "exec ID true", "ps ID", "ps --format json ID", "pause ID", "update --resources CHANGE ID", "events --stats ID",
    "delete --force ID"), HIDDEN)}
HOSTS = {
    "nothing": Host("/mnt"),
    "hidepid=1": Host("/proc", "proc", "hidepid=1"),
    "hidepid=2": Host("/proc", "proc", "hidepid=2"),
    "hidepid=4": Host("/proc", "proc", "hidepid=4"),
    "subset=pid": Host("/proc", "proc", "subset=pid", root=PS),
    "hidepid and subset": Host("/proc", "proc", "subset=pid,hidepid=2", root=PS),
    "proc/sys covered": Host("/proc/sys", made={"user": "masked paths below /proc forbid a new procfs"}),
    "no procfs": Host("/proc", root={ALL: "is procfs mounted on /proc?"}, user={ALL: "is procfs mounted on /proc?"},
                      made={"root": "is procfs mounted on /proc?", "user": "is procfs mounted on /proc?"}),
    "proc read-only": Host("/proc", "proc", "", MS_RDONLY, root={"exec ID true": "read-only file system"},
                           user={"exec ID true": "read-only file system"},
                           made={"root": "oom_score_adj", "user": "oom_score_adj"}),
    "run read-only": Host("/run", flags=MS_RDONLY),
    "dev/shm read-only": Host("/dev/shm", flags=MS_RDONLY),
    "var/tmp read-only": Host("/var/tmp", flags=MS_RDONLY),
    "no cgroups": Host("/sys/fs/cgroup", root=COVERED, made={"root": HIDDEN}),
    "no sys": Host("/sys", root=COVERED, made={"root": HIDDEN}),
    "no dev": Host("/dev", made={"user": "bind the host's /dev/null"}),
    "no etc": Host("/etc"),
}


class Caller:
    """Root or a user with one container. Calls return (status, what was said)."""

    def __init__(self, who: str, program: str, place: Path, id: str) -> None:
        self.rootless, self.program, self.place, self.id = who == "user", program, place, id
        self.null = os.open("/dev/null", os.O_RDWR)
        bundles.busybox_root(place / "rootfs")
        (place / "config.json").write_text(json.dumps(self.config()))
        (place / "change.json").write_text(CHANGE)
        (place / "state").mkdir(mode=0o700)
        if self.rootless:
            subprocess.run(["chown", "-R", f"{USER}:{USER}", place], check=True)

    def config(self) -> Config:
        config: Config = bundles.docker_like(process={"args": ["sleep", "1000"], "rlimits": []})
        if self.rootless:
            one = [{"containerID": 0, "hostID": USER, "size": 1}]
            config["linux"].update(namespaces=bundles.namespaces("user", "pid", "ipc", "uts", "mount"),
                                   uidMappings=one, gidMappings=one, resources={})
            config["process"]["user"].pop("additionalGids")
            config["mounts"] = [{**mount, "options": [o for o in mount["options"] if o != "gid=5"]}
                                for mount in config["mounts"] if not mount["destination"].startswith("/sys")]
        return config

    def __call__(self, command: str, *within: str) -> tuple[int, str]:
        words = [{"ID": self.id, "CHANGE": str(self.place / "change.json")}.get(word, word)
                 for word in command.split()]
        become = ["setpriv", "--reuid", str(USER), "--regid", str(USER), "--clear-groups"] if self.rootless else []
        with (self.place / "said").open("w+") as said:
            done = subprocess.run([*become, *within, self.program, "--root", str(self.place / "state"), *words],
                                  stdin=self.null, stdout=said, stderr=said, cwd=self.place, timeout=60, check=False)
            said.seek(0)
            return done.returncode, said.read()


@pytest.fixture(params=["root", "user"])
def caller(request: pytest.FixtureRequest, private_world: None, place: Path, name: str) -> Iterator[Caller]:
    program = runtimes.find(request.config.getoption("runtime"))
    made = Caller(request.param, runtimes.for_anyone(program), place, name)
    yield made
    made("delete --force ID")
    os.close(made.null)


#: Where a container that was made before is one that is made there.
SAME = {"nothing", "run read-only", "dev/shm read-only", "var/tmp read-only", "no etc"}


@pytest.mark.parametrize(("unusual", "early"), [
    pytest.param(host, early, id=f"{name}{', made before' if early else ''}")
    for name, host in HOSTS.items() for early in ((False,) if name in SAME else (False, True))])
def test_every_command(caller: Caller, unusual: Host, early: bool) -> None:
    wrong = {**(OF_CGROUPS if caller.rootless else {}), **(unusual.user if caller.rootless else unusual.root)}
    if early:
        assert caller("create ID") == (0, "")
    world.mount("none", Path(unusual.path), unusual.kind, 0, unusual.options)
    try:
        if unusual.flags:
            world.mount("none", Path(unusual.path), "", MS_REMOUNT | unusual.flags)
        refused = "" if early else unusual.made.get("user" if caller.rootless else "root", "")
        if not early:
            expect("create ID", caller("create ID"), refused)
        for command in () if refused else COMMANDS:
            expect(command, caller(command), wrong.get(ALL) or wrong.get(command, ""))
    finally:
        world.unmount(Path(unusual.path))
    assert caller("delete --force ID") == (0, "")
    assert not (caller.place / "state" / caller.id).exists()
    assert world.processes_of(caller.id) == [] and not (world.CGROUP / caller.id).exists()


@pytest.mark.parametrize("within", [
    *(f"prlimit --{limit}:{limit.partition('=')[2]}" for limit in (
        "nofile=5", "nofile=8", "nofile=12", "fsize=4096", "nproc=0", "as=18500000", "as=40000000", "data=3000000",
        "data=7000000", "stack=16384", "cpu=1")),
    *(f'sh -c "exec \\"$@\\" {closed}" sh' for closed in ("<&-", ">&-", "<&- >&-"))])
def test_every_command_of_a_caller_with_little(within: str, caller: Caller) -> None:
    """It does what it is for, or says in one line what it needs. The container is no worse for it."""
    assert caller("create ID") == (0, "")
    for command in COMMANDS:
        status, said = caller(command, *shlex.split(within))
        assert status in (0, 1, 255), f"{command}: {status} {said}"
        assert not status or (said.count("\n") == 1 and not UNWANTED.search(said)) or \
            command == "doctor", f"{command}: {status} {said}"
    assert caller("delete --force ID") == (0, "")
    assert world.processes_of(caller.id) == [] and not (world.CGROUP / caller.id).exists()


def expect(command: str, done: tuple[int, str], words: str) -> None:
    status, said = done
    if not words:
        assert status == 0, f"{command}: {status} {said}"
        return
    assert status and words in said, f"{command}: {status} {said}, not {words}"
    assert (said.count("\n") == 1 or command == "ps ID") and not UNWANTED.search(said), f"{command}: {said}"
