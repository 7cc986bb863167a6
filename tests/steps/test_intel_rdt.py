"""resctrl, which needs hardware that no guest has: on the Recorder, and on a folder that behaves like it as far as
files can. With a container around it: tests/container/test_intel_rdt.py."""
from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from pyrunc.cgroups import resctrl
from pyrunc.engine.step import Step
from pyrunc.errors import ConfigError
from pyrunc.host import Host
from pyrunc.kernel.recorder import Recorder
from pyrunc.kernel.recording import PID
from pyrunc.request import Request
from pyrunc.steps import intel_rdt
from tests.resctrl import ROOT_SCHEMATA, Resctrl, fill

from .planned import applied, config, facts, plan, story

CHAPTER = "config-linux.md#intelrdt"
HOST = Host(resctrl="/resctrl")


def wanted(**rdt: Any) -> dict[str, Any]:
    return config(linux={"intelRdt": rdt})


def steps(host: Host = HOST, **rdt: Any) -> list[Step]:
    return plan(intel_rdt.group, wanted(**rdt), host=host)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder like a mounted resctrl with one prepared group, "gold"."""
    fill(tmp_path)
    (tmp_path / "gold").mkdir()
    fill(tmp_path / "gold", "    L3:0=0f;1=7ff\n    MB:0= 20;1=100\n")
    return tmp_path


def done(root: Path, **rdt: Any) -> list[Step]:
    found = steps(Host(resctrl=str(root)), **rdt)
    for step in found:
        step.apply(Resctrl(), facts())
    return found


# config-linux.md#intelrdt: "If intelRdt is not set, the runtime MUST NOT manipulate any resctrl pseudo-filesystems."
@pytest.mark.spec(CHAPTER, "nothing is done where it is not set")
def test_without_it_nothing_is_done() -> None:
    assert plan(intel_rdt.group, config(), host=HOST) == plan(intel_rdt.join, config(), host=HOST) == []
    assert list(intel_rdt.enter({"pid": 1})) == []


# "If no mounted resctrl pseudo-filesystem is available in the runtime mount namespace, the runtime MUST generate an
# error."
@pytest.mark.spec(CHAPTER, "an error where resctrl is not mounted")
def test_resctrl_has_to_be_mounted() -> None:
    with pytest.raises(ConfigError, match=r"Intel RDT is not enabled: resctrl is not mounted: at linux\.intelRdt"):
        steps(Host())


# "If closID is not set, runtimes MUST use the container ID from start and create the <container-id> directory." "If
# both l3CacheSchema and memBwSchema are set … The runtimes MUST write l3CacheSchema first and memBwSchema last."
# "schemata field must be written last"
@pytest.mark.spec(CHAPTER, "l3CacheSchema")
@pytest.mark.spec(CHAPTER, "memBwSchema")
@pytest.mark.spec(CHAPTER, "schemata")
@pytest.mark.spec(CHAPTER, "enableMonitoring")
@pytest.mark.spec(CHAPTER, "without closID the group has the container's id")
@pytest.mark.spec(CHAPTER, "l3CacheSchema is written before memBwSchema")
@pytest.mark.spec(CHAPTER, "either of them is written")
@pytest.mark.spec(CHAPTER, "schemata are written last")
def test_a_group_of_its_own() -> None:
    whole: dict[str, Any] = {"memBwSchema": "MB:0=20", "l3CacheSchema": "L3:0=f", "schemata": ["L2:0=1", "L2:1=1"],
             "enableMonitoring": True}
    found = steps(**whole)
    assert story(found) == [
        ("intel_rdt.group", "linux.intelRdt", "make resctrl group /resctrl/c1"),
        ("intel_rdt.schemata", "linux.intelRdt", "set the schemata of /resctrl/c1: L3:0=f, MB:0=20, L2:0=1, L2:1=1"),
        ("intel_rdt.monitor", "linux.intelRdt.enableMonitoring", "make resctrl group /resctrl/c1/mon_groups/c1")]
    made, written, monitored = (applied(step) for step in found)
    assert made[0] == ("mkdir", "/resctrl/c1", 0o1755, -100) and made[2][0] == "setxattr"
    assert written == [("write_file", "/resctrl/c1/schemata", "L3:0=f\nMB:0=20\nL2:0=1\nL2:1=1\n", -100)]
    assert monitored[0] == ("mkdir", "/resctrl/c1/mon_groups/c1", 0o1755, -100)
    for single, text in (({"l3CacheSchema": "L3:0=f"}, "L3:0=f\n"), ({"memBwSchema": "MB:0=9"}, "MB:0=9\n"),
                         ({"schemata": ["L2:0=1"]}, "L2:0=1\n")):
        assert applied(steps(**single)[-1])[0][2] == text


# "… the runtime MUST write the container process ID to the tasks file in a proper sub-directory in a mounted resctrl
# pseudo-filesystem."
@pytest.mark.spec(CHAPTER, "the process's id is written to tasks")
@pytest.mark.spec(CHAPTER, "enableMonitoring")
def test_the_process_joins_both_groups() -> None:
    joined = plan(intel_rdt.join, wanted(closID="gold", enableMonitoring=True), host=HOST)
    assert [applied(step) for step in joined] == [
        [("write_file", "/resctrl/gold/tasks", str(PID), -100)],
        [("write_file", "/resctrl/gold/mon_groups/c1/tasks", str(PID), -100)]]


# "As a special case, value / means that the container MUST be assigned to the default CLOS (the root of the resctrl
# filesystem)."
@pytest.mark.spec(CHAPTER, "closID / is the default class")
def test_the_default_class() -> None:
    assert [step.describe() for step in steps(closID="/")] == ["find resctrl group /resctrl"]
    [joined] = plan(intel_rdt.join, wanted(closID="/"), host=HOST)
    assert applied(joined) == [("write_file", "/resctrl/tasks", str(PID), -100)]


# "If none of l3CacheSchema, memBwSchema or schemata is set, runtimes MUST NOT write to schemata files in any resctrl
# pseudo-filesystems." "If closID is set, and none of [them] are set, runtime MUST check if corresponding
# pre-configured directory closID is present … and generate an error if directory does not exist."
@pytest.mark.spec(CHAPTER, "closID")
@pytest.mark.spec(CHAPTER, "schemata is not written where nothing is set")
@pytest.mark.spec(CHAPTER, "closID alone names a prepared group")
def test_a_prepared_group(root: Path) -> None:
    before = (root / "gold/schemata").read_text()
    assert [step.name for step in done(root, closID="gold")] == ["intel_rdt.find"]
    assert (root / "gold/schemata").read_text() == before
    with pytest.raises(FileNotFoundError) as caught:
        done(root, closID="silver")
    [find] = steps(Host(resctrl=str(root)), closID="silver")
    assert find.failure(caught.value).startswith("clos dir not accessible (must be pre-created when schemata")
    assert not (root / "silver").exists()


# "If closID is set, l3CacheSchema and/or memBwSchema and/or schemata is set: if closID directory in a mounted resctrl
# pseudo-filesystem doesn't exist, the runtimes MUST create it."
@pytest.mark.spec(CHAPTER, "a missing closID directory is made")
def test_a_shared_group_is_made(root: Path) -> None:
    done(root, closID="silver", l3CacheSchema="L3:0=3", schemata=["MB:1=50"])
    assert (root / "silver/schemata").read_text().startswith("L3:0=3\nMB:1=50\n")
    assert not os.listxattr(root / "silver"), "it belongs to no container"


# "… exists, runtimes MUST compare l3CacheSchema and/or memBwSchema value with schemata file, and generate an error if
# doesn't match."
@pytest.mark.spec(CHAPTER, "an existing closID directory is compared")
@pytest.mark.parametrize(("rdt", "where"), [
    ({"l3CacheSchema": "L3:0=f"}, ""), ({"l3CacheSchema": "L3:1=7ff;0=00f", "memBwSchema": "MB:0=20"}, ""),
    ({"memBwSchema": "MB:0=11;1=95"}, ""),                      # rounded up to tens, as the kernel does
    ({"l3CacheSchema": "L3:0=1f"}, "l3CacheSchema"), ({"l3CacheSchema": "L3:2=f"}, "l3CacheSchema"),
    ({"l3CacheSchema": "L3:0=f", "memBwSchema": "MB:0=21"}, "memBwSchema"),
    ({"l3CacheSchema": "L3CODE:0=f"}, "l3CacheSchema")])
def test_a_shared_group_says_the_same(rdt: dict[str, Any], where: str, root: Path) -> None:
    (root / "info/MB").mkdir(parents=True)
    (root / "info/MB/bandwidth_gran").write_text("10\n")
    if not where:
        done(root, closID="gold", **rdt)
        return
    before = (root / "gold/schemata").read_text()
    with pytest.raises(ConfigError, match="exists with something other than") as caught:
        done(root, closID="gold", **rdt)
    assert caught.value.where == f"linux.intelRdt.{where}"
    assert (root / "gold/schemata").read_text() == before


@pytest.mark.spec(CHAPTER, "l3CacheSchema")
def test_a_line_that_is_none() -> None:
    with pytest.raises(ConfigError, match="is not a line of schemata"):
        steps(closID="gold", l3CacheSchema="L3:0=zz")


# "If closID is not set and the runtime has created the sub-directory, the runtime MUST remove the sub-directory when
# the container is deleted." "If closID is set or the runtime has not created the sub-directory, the runtime MUST NOT
# remove the sub-directory when the container is deleted." "The runtime MUST delete the MON group after the container
# is deleted."
@pytest.mark.spec(CHAPTER, "its own group goes with the container")
@pytest.mark.spec(CHAPTER, "a group that closID names stays")
@pytest.mark.spec(CHAPTER, "enableMonitoring makes a MON group, which goes with the container")
@pytest.mark.parametrize(("rdt", "gone"), [({}, ["c1"]), ({"enableMonitoring": True}, ["c1"]),
                                           ({"closID": "gold"}, []),
                                           ({"closID": "gold", "enableMonitoring": True}, ["gold/mon_groups/c1"])])
def test_what_delete_removes(rdt: dict[str, Any], gone: list[str], root: Path) -> None:
    from pyrunc.options import Options
    host, options = Host(resctrl=str(root)), Options(id="c1", nonce="n")
    before = {path for path in root.rglob("*") if path.is_dir()}
    for step in intel_rdt.group(Request(wanted(**rdt), options, host)):           # type: ignore[arg-type]
        step.apply(Resctrl(), facts())
    made = {str(path.relative_to(root)) for path in {p for p in root.rglob("*") if p.is_dir()} - before}
    assert set(gone) <= made
    container = {"resctrl": resctrl.groups(wanted(**rdt), options, host), "mark": "c1:n"}  # type: ignore[arg-type]
    for _ in range(2):                                                   # a delete may be repeated
        for step in intel_rdt.delete(container):
            step.apply(Resctrl(), facts())
    assert {path for path in root.rglob("*") if path.is_dir()} == before


@pytest.mark.spec(CHAPTER, "a group that closID names stays")
def test_a_group_of_another_is_not_taken_for_its_own(root: Path) -> None:
    (root / "c1").mkdir()
    [make], known = steps(Host(resctrl=str(root))), facts()
    with pytest.raises(FileExistsError):
        make.apply(Resctrl(), known)
    make.undo(Resctrl(), known)
    container = {"resctrl": {"root": str(root), "group": f"{root}/c1", "own": True, "monitor": ""}, "mark": "c1:n"}
    for step in intel_rdt.delete(container):
        step.apply(Resctrl(), facts())
    assert (root / "c1").is_dir()


def test_a_failed_create_takes_its_groups_back(root: Path) -> None:
    for rdt in ({"enableMonitoring": True}, {"closID": "silver", "l3CacheSchema": "L3:0=3"}):
        found, known = steps(Host(resctrl=str(root)), **rdt), facts()
        for step in found:
            step.apply(Resctrl(), known)
        for step in reversed(found):
            step.undo(Resctrl(), known)
        assert sorted(path.name for path in root.iterdir() if path.is_dir()) == ["gold", "mon_groups"]
    found, known = steps(Host(resctrl=str(root)), closID="silver", l3CacheSchema="L3:0=3"), facts()
    found[0].apply(Resctrl(), known)
    (root / "silver/tasks").write_text("77\n")                           # somebody has come in
    found[0].undo(Resctrl(), known)
    assert (root / "silver").is_dir()


# "If creation of the MON group fails (e.g. the maximum number of MON groups is reached) the runtime MUST return an
# error."
@pytest.mark.spec(CHAPTER, "an error where the MON group cannot be made")
def test_what_resctrl_says_is_in_the_error() -> None:
    monitor = steps(enableMonitoring=True)[-1]
    kernel = Recorder(errors={"mkdir": [errno.ENOSPC]}, files={"/resctrl/info/last_cmd_status": "Out of RMIDs\n"})
    with pytest.raises(OSError) as caught:
        monitor.apply(kernel, facts())
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, "Out of RMIDs")


def test_update_is_undone_by_what_was_there(root: Path) -> None:
    container = {"resctrl": {"root": str(root), "group": f"{root}/gold", "own": False, "monitor": ""}}
    before = (root / "gold/schemata").read_text()
    [change] = intel_rdt.update(container, {"l3CacheSchema": "L3:0=1"})
    known = facts()
    change.apply(Resctrl(), known)
    assert (root / "gold/schemata").read_text().startswith("L3:0=1\n")
    change.undo(Resctrl(), known)
    assert (root / "gold/schemata").read_text() == before != ROOT_SCHEMATA
