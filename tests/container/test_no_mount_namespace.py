"""A container that shares the runtime's mount namespace: its mounts are the host's, so the runtime has to clear up."""
from __future__ import annotations

from pathlib import Path

import pytest

from tests import bundles, world
from tests.bundles import PROC, minimal, namespaces
from tests.runtimes import Runtime

MOUNTINFO = Path("/proc/self/mountinfo")
SHARING = minimal(linux={"namespaces": namespaces("pid")}, mounts=[PROC, {"destination": "/t", "type": "tmpfs"}],
                  process={"args": ["sleep", "1000"]})


@pytest.mark.spec("config-linux.md#namespaces", "mount", "a type that is not listed is inherited")
def test_its_mounts_are_there_while_it_is(runtime: Runtime, place: Path, name: str) -> None:
    # config-linux.md#namespaces: "If a namespace type is not specified in the namespaces array, the container MUST
    # inherit the runtime namespace of that type."
    bundle = bundles.bundle(place / "bundle", SHARING)
    before = world.lines(MOUNTINFO)
    init = runtime.create(name, bundle)
    runtime.ok("start", name)
    new = [line.split(" ")[4] for line in world.lines(MOUNTINFO) if line not in before]
    assert new == [f"{bundle}/rootfs", f"{bundle}/rootfs/proc", f"{bundle}/rootfs/t"]
    runtime.ok("kill", name, "KILL")
    init.wait()
    runtime.ok("delete", name)
    assert world.lines(MOUNTINFO) == before


@pytest.mark.parametrize("change", [{"process": {"args": ["nonsense"]}}, {"mounts": [PROC, {"destination": "/x",
                                                                                             "type": "bogus"}]}])
def test_a_create_that_fails_leaves_no_mount(runtime: Runtime, place: Path, name: str, change: bundles.Config) -> None:
    bundle = bundles.bundle(place / "bundle", bundles.merge(SHARING, change))
    before = world.lines(MOUNTINFO)
    assert runtime("create", "--bundle", bundle, name).status != 0
    assert world.lines(MOUNTINFO) == before
