"""Ids that are names of something else: of the runtime's own files, of the kernel's, of nothing in particular."""
from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import bundles
from tests.bundles import minimal
from tests.runtimes import Runtime

IDS = ["trace", "trace.jsonl", "break", "seccomp", "state.json", "intent.json", "config.json", "lock", "journal",
       "exec.fifo", "notify", "poststop", ".", "-", "--", "-f", ".trace", "...", "+", "_", "0", "a" * 255]


@pytest.mark.parametrize("switch", [False, True], ids=["", "traced"])
@pytest.mark.parametrize("id", [id for id in IDS if id != "."])
def test_a_container_may_have_it(id: str, switch: bool, runtime: Runtime, place: Path, name: str) -> None:
    """One named `trace` made the whole state root unusable: the switch of the trace had that name."""
    bundle = bundles.bundle(place / "bundle", minimal(linux={"cgroupsPath": f"/{name}"}))
    if switch:
        (runtime.root / "@trace").touch()
    runtime.ok("create", "--bundle", bundle, "--", id)
    assert [found["id"] for found in json.loads(runtime.ok("list", "--format", "json").stdout)] == [id]
    assert json.loads(runtime.ok("state", "--", id).stdout)["status"] == "created"
    runtime.ok("start", "--", id)
    runtime.ok("delete", "--force", "--", id)
    runtime.ok("create", "--bundle", bundle, "--", id)
    runtime.ok("delete", "--", id)
    left = sorted(path.name for path in runtime.root.iterdir())
    assert left == (["@trace", "@trace.jsonl"] if switch else [])
    for path in left:
        (runtime.root / path).unlink()


@pytest.mark.parametrize("id", ["@trace", "@trace.jsonl", "@seccomp", ".", "..", "", "a/b", "a" * 256])
def test_none_may_have_it(id: str, runtime: Runtime, place: Path) -> None:
    """`@` begins the names of what the runtime keeps beside its containers."""
    bundle = bundles.bundle(place / "bundle", minimal())
    (runtime.root / "@trace").touch()
    for words in (["create", "--bundle", bundle], ["state"], ["delete", "--force"], ["kill"], ["start"]):
        outcome = runtime(*words, "--", id)
        assert outcome.status == 1 and "container" in outcome.stderr and "id" in outcome.stderr.lower()
    (runtime.root / "@trace").unlink()
