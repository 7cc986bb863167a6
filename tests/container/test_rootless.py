"""Rootless: an ordinary user's containers, by the command line, and what is said where privilege is missing."""
from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import bundles, runtimes, world
from tests.container.rootless import UID, User

SHOW = "id -u; id -g; cat /proc/self/uid_map /proc/self/setgroups | tr -s ' '; grep Groups: /proc/self/status"
IDENTITY = [{"containerID": 0, "hostID": 0, "size": 1}]


@pytest.fixture
def user(request: pytest.FixtureRequest, private_world: None, place: Path) -> User:
    return User(runtimes.find(request.config.getoption("runtime")), place)


@pytest.fixture
def ranges(tmp_path: Path) -> Iterator[None]:
    """subuid(5) and subgid(5) for the user, and a name, which newuidmap asks for, on this mount namespace only."""
    own, users = f"{UID}:100000:65536\n", f"root:x:0:0::/:/bin/sh\nboxer:x:{UID}:{UID}::/:/bin/sh\n"
    with world.covered(tmp_path, {"/etc/subuid": own, "/etc/subgid": own, "/etc/passwd": users}):
        yield


def shown(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines()]


# config-linux.md#user-namespace-mappings: "hostID … is the starting uid/gid on the host to be mapped to containerID"
def test_one_id_mapped_without_helpers(user: User) -> None:
    user.spec(SHOW)
    assert shown(user.ok("run", "one")) == ["0", "0", f"0 {UID} 1", "deny", "Groups:"]
    assert user.ok("list", "--quiet") == ""
    assert (user.runtime_dir / "pyrunc").stat().st_mode & 0o7777 == 0o1700, "sticky: no cleaner removes it"


def test_a_group_more_than_setgroups_allows(user: User) -> None:
    user.spec(SHOW, process={"user": {"additionalGids": [0]}})
    assert "setgroups is denied: at process.user.additionalGids" in user.refused("run", "one")


@pytest.mark.guest
def test_ranges_of_ids_by_newuidmap(user: User, ranges: None) -> None:
    maps = [{"containerID": 0, "hostID": UID, "size": 1}, {"containerID": 1, "hostID": 100000, "size": 65536}]
    user.spec(SHOW, process={"user": {"uid": 3, "gid": 4, "additionalGids": [7]}},
              linux={"uidMappings": maps, "gidMappings": maps})
    assert shown(user.ok("run", "many")) == [
        "3", "4", f"0 {UID} 1", "1 100000 65536", "allow", "Groups:\t7"]


@pytest.mark.guest
def test_ranges_that_are_not_the_users(user: User) -> None:
    maps = [{"containerID": 0, "hostID": UID, "size": 1}, {"containerID": 1, "hostID": 300000, "size": 9}]
    user.spec("true", linux={"uidMappings": maps, "gidMappings": maps})
    text = user.refused("run", "many")
    assert "newuidmap" in text and "hint: the ranges must lie in /etc/subuid" in text, text
    assert user.ok("list", "--quiet") == ""


def test_a_whole_life(user: User) -> None:
    user.spec("sleep 1000")
    user.detached("create", "c")
    assert json.loads(user.ok("state", "c"))["status"] == "created"
    user.ok("start", "c")
    assert [(entry["id"], entry["status"]) for entry in json.loads(user.ok("list", "--format", "json"))] == [
        ("c", "running")]
    assert shown(user.ok("exec", "c", "sh", "-c", SHOW)) == ["0", "0", f"0 {UID} 1", "deny", "Groups:"]
    assert "invalid argument" in user.refused("exec", "--user", "5", "c", "id"), "uid 5 is not mapped"
    assert "that is not stopped" in user.refused("delete", "c")
    user.ok("kill", "c", "KILL")
    deadline = time.monotonic() + 60
    while json.loads(user.ok("state", "c"))["status"] != "stopped":
        assert time.monotonic() < deadline
    user.ok("delete", "c")
    assert list((user.runtime_dir / "pyrunc").iterdir()) == []


def test_root_execs_into_a_users_container(user: User) -> None:
    user.spec("sleep 1000", process={"rlimits": []})
    user.detached("run", "--detach", "c")
    try:
        def exec(root: Path) -> subprocess.CompletedProcess[str]:
            return subprocess.run([user.program, "--root", root, "exec", "c", "sh", "-c", SHOW], capture_output=True,
                                  text=True, timeout=60, check=False)
        done = exec(user.runtime_dir / "pyrunc")        # the user says what root would execute, and in what
        assert done.returncode == 255 and f"can be written by others: owner {UID}" in done.stderr
        done = exec(user.taken_over("c"))
        assert shown(done.stdout)[:4] == ["0", "0", f"0 {UID} 1", "deny"], done.stderr
    finally:
        user.ok("delete", "--force", "c")


def test_root_of_a_user_namespace_without_setgroups(user: User) -> None:
    """As rootless Podman calls a runtime: uid 0 in a namespace of one id, without one for the container."""
    config = user.spec(SHOW)
    config["linux"]["namespaces"] = bundles.namespaces("pid", "ipc", "uts", "mount")
    for name in ("uidMappings", "gidMappings"):
        del config["linux"][name]
    bundles.write(user.bundle, config)
    inside = ("unshare", "-Ur", "-m")
    assert shown(user.ok("run", "c", within=inside))[:4] == ["0", "0", f"0 {UID} 1", "deny"]
    config["linux"]["namespaces"] += bundles.namespaces("user")
    config["linux"].update(uidMappings=IDENTITY, gidMappings=IDENTITY)
    bundles.write(user.bundle, config)
    assert shown(user.ok("run", "c", within=inside))[:4] == ["0", "0", "0 0 1", "deny"]
    assert user.ok("list", "--quiet") == ""


# crun.1: run.oci.keep_original_groups
def test_the_callers_groups_stay_where_they_are_wanted(user: User) -> None:
    user.spec("grep Groups: /proc/self/status", annotations={"run.oci.keep_original_groups": "1"})
    kept = user.ok("run", "c", groups=(UID, 7)).split()
    assert sorted(kept) == ["0", "65534", "Groups:"], "the own group, and one that is not mapped"


def test_limits_without_delegation_are_one_clear_error(user: User) -> None:
    user.spec("true", linux={"resources": {"pids": {"limit": 9}}})
    text = user.refused("run", "c")
    assert "which is not delegated to this user: permission denied" in text, text
    assert user.ok("list", "--quiet") == ""


@pytest.mark.guest
def test_limits_with_delegation(user: User, name: str) -> None:
    """A cgroup that root has given to the user, with the user's shell in it, as a session of systemd has."""
    top = Path("/sys/fs/cgroup", name)
    session = top / "session"
    session.mkdir(parents=True)
    (top.parent / "cgroup.subtree_control").write_text("+memory +pids")
    for file in ("", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"):
        os.chown(top / file, UID, UID)
    os.chown(session, UID, UID)
    os.chown(session / "cgroup.procs", UID, UID)
    limits = {"pids": {"limit": 9}, "memory": {"limit": 64 << 20}}
    user.spec("sleep 1000", linux={"cgroupsPath": f"/{name}/c", "resources": limits})

    try:
        user.detached("run", "--detach", "c", cgroup=session)
        assert (top / "c/pids.max").read_text() == "9\n" and (top / "c/memory.max").read_text() == f"{64 << 20}\n"
        told = user.ok("exec", "c", "cat", "/proc/self/cgroup", cgroup=session)
        assert told.strip() in ("0::/", f"0::/{name}/c"), told
        assert len(json.loads(user.ok("ps", "--format", "json", "c"))) == 1
        # From elsewhere the user may not put a process there: an error rather than a process without limits.
        assert "permission denied" in user.refused("exec", "c", "true")
        user.ok("pause", "c")
        user.ok("resume", "c")
    finally:
        user.ok("delete", "--force", "c")
        left = [path.name for path in top.iterdir() if path.is_dir()]
        session.rmdir()
        top.rmdir()
    assert left == ["session"]


@pytest.mark.parametrize("id_map", [False, True])
def test_a_bind_mount_of_what_is_mounted_before(id_map: bool, user: User) -> None:
    """The init takes all sources itself, in their order; ids of a mount an ordinary user may not map."""
    source = user.bundle.parent / "A"
    source.mkdir()
    (source / "mark").write_text("of A\n")
    (source / "link").symlink_to("mark")
    user.give(user.bundle.parent)
    last = {"destination": "/final", "source": "rootfs/mnt/mark", "options": ["bind", *(["idmap"] if id_map else [])]}
    user.spec("cat /final; readlink /copy", mounts=[
        {"destination": "/mnt", "source": str(source), "options": ["rbind"]}, last,
        {"destination": "/copy", "source": "rootfs/mnt/link", "options": ["bind", "copy-symlink"]}])
    if id_map:
        assert "id-mapped mounts need privilege" in user.refused("run", "c")
    else:
        assert shown(user.ok("run", "c")) == ["of A", "mark"]


def test_a_warning_of_what_the_init_leaves_out(user: User) -> None:
    config = user.spec("true")
    user.spec("echo out", mounts=[*config["mounts"], {"destination": "/mnt", "source": "/tmp",
                                                     "options": ["rbind", "mode=755"]}])
    log = user.runtime_dir / "log"
    assert user.ok("--log", log, "run", "c") == "out\n"
    (line,) = [line for line in log.read_text().splitlines() if "its own mode" in line]
    assert "level=warning" in line


def test_the_state_root_of_root_is_named_as_such(user: User) -> None:
    """Without XDG_RUNTIME_DIR, as under su, cron and CI."""
    inner = 'mount -t tmpfs -o mode=700 tmpfs /run/pyrunc; exec "$@"'
    Path("/run/pyrunc").mkdir(mode=0o700, exist_ok=True)
    user.outside = ("unshare", "-m", "sh", "-c", inner, "sh", "env", "-u", "XDG_RUNTIME_DIR")
    for words in (["list"], ["state", "c"], ["delete", "c"]):
        told = user.refused(*words)
        assert "state root /run/pyrunc belongs to root: set XDG_RUNTIME_DIR, or give --root" in told
