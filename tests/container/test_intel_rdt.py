"""A container in a resctrl group, with a folder in place of resctrl: create, exec, update and delete as they are."""
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import bundles, world
from tests.bundles import docker_like
from tests.resctrl import fill
from tests.runtimes import Runtime

CHAPTER = "config-linux.md#intelrdt"
#: create by the library, told that resctrl is mounted: BUNDLE ROOT ID RESCTRL.
CREATE = """
import sys
from pyrunc.config.load import load
from pyrunc.engine.run import execute
from pyrunc.host import probe
from pyrunc.options import Options
from pyrunc.runtime.create import planned
from tests.resctrl import Resctrl
bundle, root, id, resctrl = sys.argv[1:]
host = probe()
host.resctrl = resctrl
execute(planned(load(bundle, "config.json"), Options(id=id, root=root, bundle=bundle), host), Resctrl())
"""


def create(runtime: Runtime, bundle: Path, name: str, resctrl: Path, rdt: dict[str, Any] | None) -> int:
    bundles.bundle(bundle, docker_like(process={"args": ["sleep", "1000"]}, linux={"intelRdt": rdt}))
    subprocess.run([sys.executable, "-c", CREATE, bundle, runtime.root, name, resctrl], cwd=bundle, check=True,
                   stdin=subprocess.DEVNULL, env={"PYTHONPATH": str(Path(__file__).parents[2])})
    pid: int = runtime.state(name)["pid"]
    return pid


# "If closID is not set, runtimes MUST use the container ID from start and create the <container-id> directory."; "if
# closID directory … doesn't exist, the runtimes MUST create it"; "If closID is set or the runtime has not created the
# sub-directory, the runtime MUST NOT remove the sub-directory when the container is deleted."; "The runtime MUST delete
# the MON group after the container is deleted."
@pytest.mark.spec(CHAPTER, "intelRdt", "closID", "l3CacheSchema", "memBwSchema", "schemata", "enableMonitoring")
@pytest.mark.spec(CHAPTER, "the process's id is written to tasks", "either of them is written",
                  "its own group goes with the container", "a group that closID names stays",
                  "without closID the group has the container's id", "a missing closID directory is made",
                  "enableMonitoring makes a MON group, which goes with the container")
def test_a_life_in_a_group(runtime: Runtime, place: Path, name: str) -> None:
    resctrl = place / "resctrl"
    resctrl.mkdir()
    world.mount("tmpfs", resctrl, "tmpfs")              # which takes the mark, trusted.pyrunc, wherever /tmp is
    try:
        fill(resctrl)
        own, shared = f"{name}-own", f"{name}-shared"
        pid = create(runtime, place / "own", own, resctrl, {"schemata": ["L3:0=f"]})
        assert (resctrl / own / "tasks").read_text() == str(pid)
        assert (resctrl / own / "schemata").read_text().startswith("L3:0=f\n")
        runtime.ok("start", own)
        said = runtime.ok("exec", own, "sh", "-c", "grep ^NSpid: /proc/self/status; echo $$").stdout
        assert (resctrl / own / "tasks").read_text() != str(pid) and said
        runtime.ok("update", "--mem-bw-schema", "MB:0=70", own)
        assert (resctrl / own / "schemata").read_text().startswith("MB:0=70\n")
        saved = json.loads((runtime.root / own / "config.json").read_text())["linux"]["intelRdt"]
        assert saved == {"schemata": ["L3:0=f"], "memBwSchema": "MB:0=70"}

        pid = create(runtime, place / "shared", shared, resctrl,
                     {"closID": "gold", "l3CacheSchema": "L3:0=3", "enableMonitoring": True})
        monitor = resctrl / "gold/mon_groups" / shared
        assert (monitor / "tasks").read_text() == (resctrl / "gold/tasks").read_text() == str(pid)
        for file in (monitor / "tasks", *(resctrl / own).glob("[ts]*")):
            file.unlink()                                # rmdir(2) takes them along in resctrl only
        (resctrl / own / "mon_groups").rmdir()
        for id in (own, shared):
            runtime.ok("delete", "--force", id)
        assert not (resctrl / own).exists() and not monitor.exists() and (resctrl / "gold/tasks").exists()
    finally:
        world.unmount(resctrl)


# "value / means that the container MUST be assigned to the default CLOS"; "If closID is set, and none of l3CacheSchema,
# memBwSchema or schemata are set, runtime MUST check if corresponding pre-configured directory closID is present …";
# "… exists, runtimes MUST compare l3CacheSchema and/or memBwSchema value with schemata file, and generate an error if
# doesn't match"; "MUST NOT write to schemata files"; "MUST write l3CacheSchema first … memBwSchema last", "the value of
# schemata field must be written last"
@pytest.mark.spec(CHAPTER, "closID / is the default class", "closID alone names a prepared group",
                  "schemata is not written where nothing is set", "an existing closID directory is compared",
                  "l3CacheSchema is written before memBwSchema", "schemata are written last",
                  "nothing is done where it is not set")
def test_groups_that_are_there(runtime: Runtime, place: Path, name: str) -> None:
    resctrl = place / "resctrl"
    resctrl.mkdir()
    world.mount("tmpfs", resctrl, "tmpfs")
    try:
        fill(resctrl)
        (resctrl / "gold").mkdir()
        fill(resctrl / "gold", gold := "    L3:0=0f;1=7ff\n    MB:0= 20;1=100\n")
        for number, (closid, group) in enumerate((("/", resctrl), ("gold", resctrl / "gold"))):
            before = (group / "schemata").read_text()
            pid = create(runtime, place / f"{number}", f"{name}-{number}", resctrl, {"closID": closid})
            assert (group / "tasks").read_text() == str(pid) and (group / "schemata").read_text() == before
        for number, rdt in enumerate(({"closID": "silver"}, {"closID": "gold", "l3CacheSchema": "L3:0=3"},
                                      {"closID": "gold", "memBwSchema": "MB:0=90"})):
            with pytest.raises(subprocess.CalledProcessError):
                create(runtime, place / f"bad-{number}", f"{name}-bad", resctrl, rdt)
            assert not (runtime.root / f"{name}-bad").exists() and not (resctrl / "silver").exists()
            assert (resctrl / "gold/schemata").read_text() == gold
        create(runtime, place / "3", f"{name}-3", resctrl, {
            "closID": "silver", "memBwSchema": "MB:0=50", "schemata": ["L2:0=1", "L2:1=1"], "l3CacheSchema": "L3:0=1"})
        written = (resctrl / "silver/schemata").read_text()
        assert written.startswith("L3:0=1\nMB:0=50\nL2:0=1\nL2:1=1\n")
        before_tree = world.below(resctrl)
        create(runtime, place / "4", f"{name}-4", resctrl, None)
        assert world.below(resctrl) == before_tree and (resctrl / "silver/schemata").read_text() == written
    finally:
        world.unmount(resctrl)


# "If no mounted resctrl pseudo-filesystem is available in the runtime mount namespace, the runtime MUST generate an
# error."
@pytest.mark.spec(CHAPTER, "an error where resctrl is not mounted")
def test_without_resctrl(runtime: Runtime, place: Path, name: str) -> None:
    outcome = runtime("create", "--bundle", bundles.bundle(place / "bundle", docker_like(linux={"intelRdt": {}})), name)
    assert outcome.status == 1 and "Intel RDT is not enabled" in outcome.stderr
    assert not (runtime.root / name).exists()
