"""User namespaces that have no id 0, as of `podman run --uidmap 999:0 --user 999`: crun runs them, runc does not."""
from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from tests import bundles, runtimes
from tests.bundles import docker_like
from tests.runtimes import Runtime

from .rootless import UID, User

SHOW = "id -u; id -g; touch /tmp/made; stat -c '%u %g' /tmp/made /dev/fifo; cat /proc/self/uid_map; sleep 1000"
FIFO = {"type": "p", "path": "/dev/fifo", "fileMode": 0o600}
#: uid mapping, gid mapping, process.user: each (first inside, first outside, how many)
MAPPINGS = {
    "one id": ((999, 0, 1), (999, 0, 1), (999, 999)),
    "a range": ((5, 100000, 100), (6, 200000, 100), (7, 8)),
    "no group 0": ((0, 100000, 100), (6, 200000, 100), (7, 8)),
    "no user 0": ((5, 100000, 100), (0, 200000, 100), (7, 0)),
    "root's group": ((5, 100000, 100), (0, 200000, 100), (7, 8)),
}


def mapping(first: int, outside: int, size: int) -> list[dict[str, int]]:
    return [{"containerID": first, "hostID": outside, "size": size}]


def read(bundle: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((bundle / "config.json").read_text())
    return config


def give(path: Path, uid: int, gid: int) -> None:
    for folder, folders, files in os.walk(path):
        for name in (".", *folders, *files):
            os.chown(os.path.join(folder, name), uid, gid, follow_symlinks=False)


@pytest.fixture(params=MAPPINGS.values(), ids=list(MAPPINGS))
def mapped(request: pytest.FixtureRequest, place: Path) -> tuple[Path, tuple[int, int]]:
    uids, gids, user = request.param
    # As engines have it: gid 5 of devpts is left out where there is none.
    mounts = [{**mount, "options": [option for option in mount["options"] if option != "gid=5"]}
              for mount in bundles.MOUNTS if mount["type"] != "cgroup"]
    bundle = bundles.bundle(place / "bundle", docker_like(
        process={"args": ["sh", "-c", SHOW], "user": {"uid": user[0], "gid": user[1], "additionalGids": []}},
        mounts=mounts, linux={"namespaces": bundles.namespaces("pid", "network", "ipc", "uts", "mount", "user"),
                              "uidMappings": mapping(*uids), "gidMappings": mapping(*gids), "devices": [FIFO]}))
    give(bundle / "rootfs", uids[1], gids[1])
    return bundle, user


@pytest.mark.spec("config-linux.md#user-namespace-mappings", "uidMappings", "gidMappings")
def test_the_container_is_set_up_by_the_ids_that_there_are(runtime: Runtime, mapped: tuple[Path, tuple[int, int]],
                                                           name: str) -> None:
    bundle, (uid, gid) = mapped
    runtime.ok("create", "--bundle", bundle, name)
    fifo = os.stat(f"/proc/{runtime.state(name)['pid']}/root/dev/fifo")
    assert stat.S_ISFIFO(fifo.st_mode) and stat.S_IMODE(fifo.st_mode) == 0o600
    runtime.ok("start", name)
    out = runtime.ok("exec", name, "sh", "-c", SHOW.rpartition(";")[0]).stdout.split()
    assert out[:4] == [str(uid), str(gid), str(uid), str(gid)]
    assert [int(id) for id in out[4:6]] in ([uid, gid], [0, gid], [uid, 0])
    assert "65534" not in out
    runtime.ok("exec", "--user", f"{uid}:{gid}", name, "true")
    runtime.ok("kill", name, "KILL")
    runtime.wait_for(name, "stopped")
    runtime.ok("delete", name)


def test_crun_runs_it_too(runtime: Runtime, mapped: tuple[Path, tuple[int, int]], name: str, place: Path) -> None:
    bundle, (uid, gid) = mapped
    crun = Runtime(runtimes.find("crun"), place / "crun")
    printed = []
    for driven in (runtime, crun):
        init = driven.create(name, bundle)
        driven.ok("start", name)
        while init.outcome.stdout.count("\n") < 5:
            assert not init.outcome.stderr, init.outcome.stderr
        driven.ok("kill", name, "KILL")
        init.wait()
        driven.ok("delete", name)
        printed.append(init.outcome.stdout.splitlines())
    ours, theirs = printed
    assert ours[:3] == theirs[:3] == [str(uid), str(gid), f"{uid} {gid}"]


def test_whoever_the_process_is_must_be_mapped(runtime: Runtime, mapped: tuple[Path, tuple[int, int]],
                                               name: str) -> None:
    bundle, (uid, gid) = mapped
    config = read(bundle)
    config["process"]["user"] = {"uid": uid + 1000, "gid": gid}
    bundles.write(bundle, config)
    refused = runtime("create", "--bundle", bundle, name)
    assert refused.status == 1
    assert (f"cannot set uid to unmapped user in user namespace: {uid + 1000} is not in linux.uidMappings: "
            "at process.user.uid") in refused.stderr


@pytest.mark.parametrize("repeated", [True, False], ids=["with its mappings", "without mappings"])
def test_joined_by_path_as_in_a_pod(repeated: bool, runtime: Runtime, mapped: tuple[Path, tuple[int, int]], name: str,
                                    place: Path) -> None:
    """A path tells nothing of the mappings, and config.json need not repeat them."""
    bundle, (uid, gid) = mapped
    first = runtime.create(name, bundle)
    config = read(bundle)
    for space in config["linux"]["namespaces"]:
        if space["type"] in ("user", "network", "ipc", "uts"):
            space["path"] = f"/proc/{first.pid}/ns/{space['type'].replace('network', 'net')}"
    config["root"]["path"] = str(bundle / "rootfs")
    uids, gids = (config["linux"][kind] if repeated else config["linux"].pop(kind)
                  for kind in ("uidMappings", "gidMappings"))
    owner = [str(0 if ids[0]["containerID"] == 0 else own) for ids, own in ((uids, uid), (gids, gid))]
    config["process"]["args"] = ["sh", "-c", "id -u; id -g; stat -c '%u %g' /dev/fifo; exec sleep 1000"]
    second = runtime.create(f"{name}-second", bundles.bundle(place / "second", config))
    runtime.ok("start", f"{name}-second")
    assert runtime.ok("exec", f"{name}-second", "sh", "-c", "id -u; id -g").stdout.split() == [str(uid), str(gid)]
    deadline = time.monotonic() + 60
    while second.outcome.stdout.count("\n") < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    runtime.ok("delete", "--force", f"{name}-second")
    second.wait()
    assert second.outcome.stdout.split() == [str(uid), str(gid), *owner]
    runtime.ok("delete", "--force", name)
    first.wait()


def test_rootless_with_the_users_own_id_only(runtime: Runtime, place: Path) -> None:
    user = User(runtime.path, place)
    own = [{"containerID": UID, "hostID": UID, "size": 1}]
    user.spec("id -u; id -g; touch /tmp/x", process={"user": {"uid": UID, "gid": UID}},
              linux={"uidMappings": own, "gidMappings": own})
    assert user.ok("run", "own").split() == [str(UID), str(UID)]
