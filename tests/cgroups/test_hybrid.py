"""A limit is set or refused in clear words, never dropped: on whatever host this runs, hybrid ones above all."""
from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from pyrunc.engine.run import Engine
from pyrunc.errors import StepError
from pyrunc.host import Host
from pyrunc.kernel.linux import Kernel
from pyrunc.options import Options
from pyrunc.request import Request
from pyrunc.steps import cgroup

from .. import world
from .hierarchy import Tree
from .test_steps import config

WANTED: dict[str, dict[str, Any]] = {
    "memory": {"memory": {"limit": 1 << 24}}, "pids": {"pids": {"limit": 9}}, "cpu": {"cpu": {"shares": 512}},
    "cpuset": {"cpu": {"cpus": "0"}}, "io": {"blockIO": {"weight": 100}},
    "hugetlb": {"hugepageLimits": [{"pageSize": "2MB", "limit": 0}]}, "nosuch": {"unified": {"nosuch.max": "1"}}}


@pytest.mark.parametrize("controller", list(WANTED))
def test_set_or_refused(tree: Tree, tmp_path: Path, controller: str) -> None:
    unified = tmp_path / "unified"
    unified.mkdir()
    world.mount("cgroup2", unified, "cgroup2")
    try:
        data = config(WANTED[controller], cgroups_path=f"/{tree.top.name}/c")
        options, host = Options(id="c1", nonce="n"), Host(cgroup_mount=str(unified))
        steps = [*cgroup.create(Request(data, options, host)), *cgroup.limits(Request(data, options, host))]
        engine = Engine(steps, Kernel())
        if controller in world.controllers():
            engine.run()
            setting = next(step.setting for step in steps if isinstance(step, cgroup.Limit))
            there = (tree.top / "c" / setting.file).exists()
            file, value = (setting.file, setting.value) if there else setting.otherwise or ("", "")
            assert tree.read(f"c/{file}").split()[-1] == value
            os.close(engine.facts.cgroup_fd)
        else:
            with pytest.raises(StepError) as caught:
                engine.run()
            words = str(caught.value)
            named = f'controller "?{controller}"? (is )?not available in the cgroup v2 hierarchy at {unified}'
            assert re.search(named, words), words
            in_v1 = {name for line in Path("/proc/self/cgroup").read_text().splitlines()
                     for name in line.split(":")[1].replace("blkio", "io").split(",")}
            assert (": it is mounted as cgroup v1: at linux.resources." in words) == (controller in in_v1)
            assert not tree.top.exists()
    finally:
        world.unmount(unified)


def test_the_device_filter_works_without_any_controller(tree: Tree) -> None:
    data = config({}, cgroups_path=f"/{tree.top.name}/c")
    want = Request(data, Options(id="c1", nonce="n"), Host())
    engine = Engine([*cgroup.create(want), *cgroup.limits(want)], Kernel())
    engine.run()
    assert len(Kernel().bpf_query(engine.facts.cgroup_fd)) == 1
    os.close(engine.facts.cgroup_fd)
