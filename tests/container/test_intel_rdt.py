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
from pyrunc import runtime
from pyrunc.config.load import load
from pyrunc.host import probe
from pyrunc.options import Options
from tests.resctrl import Resctrl
bundle, root, id, resctrl = sys.argv[1:]
host = probe()
host.resctrl = resctrl
runtime.create(load(bundle, "config.json"), Options(id=id, root=root, bundle=bundle), host, kernel=Resctrl())
"""


def create(runtime: Runtime, bundle: Path, name: str, resctrl: Path, rdt: dict[str, Any]) -> int:
    bundles.bundle(bundle, docker_like(process={"args": ["sleep", "1000"]}, linux={"intelRdt": rdt}))
    subprocess.run([sys.executable, "-c", CREATE, bundle, runtime.root, name, resctrl], cwd=bundle, check=True,
                   stdin=subprocess.DEVNULL, env={"PYTHONPATH": str(Path(__file__).parents[2])})
    pid: int = runtime.state(name)["pid"]
    return pid


@pytest.mark.spec(CHAPTER, "intelRdt")
@pytest.mark.spec(CHAPTER, "the process's id is written to tasks")
@pytest.mark.spec(CHAPTER, "its own group goes with the container")
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


# "If no mounted resctrl pseudo-filesystem is available in the runtime mount namespace, the runtime MUST generate an
# error."
@pytest.mark.spec(CHAPTER, "an error where resctrl is not mounted")
def test_without_resctrl(runtime: Runtime, place: Path, name: str) -> None:
    outcome = runtime("create", "--bundle", bundles.bundle(place / "bundle", docker_like(linux={"intelRdt": {}})), name)
    assert outcome.status == 1 and "Intel RDT is not enabled" in outcome.stderr
    assert not (runtime.root / name).exists()
