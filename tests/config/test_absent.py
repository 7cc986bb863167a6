"""Required members that are absent: numbers count as 0 and booleans as false, as in runc and crun; `check` tells."""
from __future__ import annotations

import json
from pathlib import Path as File
from typing import Any

import pytest

from pyrunc.checks.findings import examine
from pyrunc.config.check import check, check_process, check_resources
from pyrunc.config.where import at
from pyrunc.errors import ConfigError
from tests import bundles
from tests.config.sample import EVERYTHING, Path, paths, without
from tests.test_schemas import SCHEMAS

#: Without parts that stand in it twice: what is taken out of one is there in the other.
WHOLE: Any = json.loads(json.dumps(EVERYTHING))
#: There are no 0 ids in a mapping: the kernel refuses it.
NEEDED = {"size"}


def required() -> list[Path]:
    """Every number and boolean of the sample that the specification requires."""
    found = []
    for path in paths(WHOLE):
        along = SCHEMAS.along("config.json", path)
        if len(along) < len(path) + 1 or not path or isinstance(path[-1], int):
            continue
        outer, inner = along[-2], along[-1]
        needed = [*outer.get("required", ()), *outer.get("then", {}).get("required", ())]
        if path[-1] in needed and inner.get("type") in ("integer", "boolean"):
            found.append(path)
    return found


def where(path: Path) -> str:
    text = ""
    for key in path:
        text = at(text, key)
    return text


def value(config: Any, path: Path) -> Any:
    for key in path:
        config = config[key]
    return config


REQUIRED = [path for path in required() if path[-1] not in NEEDED]


def test_all_are_tried() -> None:
    names = {path[-1] for path in required()}
    assert names == {"uid", "gid", "height", "width", "soft", "hard", "priority", "containerID", "hostID", "size",
                     "major", "minor", "allow", "rate", "limit", "index", "value"}


@pytest.mark.parametrize("absent", ["left out", "null"])
@pytest.mark.parametrize("path", REQUIRED, ids=where)
def test_it_is_zero(path: Path, absent: str) -> None:
    config: Any = without(WHOLE, path)
    if absent == "null":
        value(config, path[:-1])[path[-1]] = None
    try:
        check(config)
    except ConfigError as fault:                     # what a 0 there leads to, in a rule between properties
        assert "missing" not in fault.what
    if path[1] == "devices" and len(path) == 4:      # numbers of a device: a fifo has none, so none are put in
        return
    zero = value(config, path)
    assert zero == 0 and type(zero) is type(value(WHOLE, path))


@pytest.mark.parametrize("path", [path for path in required() if path[-1] in NEEDED], ids=where)
def test_what_cannot_be_zero_is_missing(path: Path) -> None:
    with pytest.raises(ConfigError, match="a required property is missing") as caught:
        check(without(WHOLE, path))    # type: ignore[arg-type]
    assert caught.value.where == where(path)


def test_parts_alone_are_completed_too() -> None:
    """What exec and update read."""
    process: Any = {"args": ["id"], "cwd": "/", "user": {}, "rlimits": [{"type": "RLIMIT_CORE"}]}
    check_process(process)
    assert process["user"] == {"uid": 0, "gid": 0}
    assert process["rlimits"] == [{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]
    resources: Any = {"devices": [{"access": "rwm"}], "hugepageLimits": [{"pageSize": "2MB"}]}
    check_resources(resources)
    assert resources == {"devices": [{"access": "rwm", "allow": False}],
                         "hugepageLimits": [{"pageSize": "2MB", "limit": 0}]}


# ---- check ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("changes", "at_place", "what"), [
    ({"process": {"user": {"uid": None}}}, "process.user.uid", "a required property is missing: it counts as 0"),
    ({"process": {"rlimits": [{"type": "RLIMIT_CORE", "soft": 0}]}}, "process.rlimits[0].hard", "it counts as 0"),
    ({"linux": {"devices": [{"type": "c", "path": "/dev/x", "minor": 3}]}}, "linux.devices[0].major", "counts as 0"),
    ({"linux": {"resources": {"devices": [{"access": "rwm"}]}}}, "linux.resources.devices[0].allow", "counts as false"),
    ({"linux": {"resources": {"devices": [{"allow": False, "access": "rwa"}]}}}, "linux.resources.devices[0].access",
     "'rwa' does not match"),
])
def test_check_warns(tmp_path: File, changes: dict[str, Any], at_place: str, what: str) -> None:
    bundle = bundles.bundle(tmp_path / "bundle", bundles.minimal(**changes))
    found = {finding.where: finding for finding in examine(str(bundle))}
    assert found[at_place].level == "warning" and what in found[at_place].what
    assert [finding for finding in found.values() if finding.level == "error"] == []
