"""What is written while the init sets itself up, and when there is no room for it."""
from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from pyrunc.engine.facts import Facts
from pyrunc.engine.step import Plan
from pyrunc.kernel.linux import Kernel
from pyrunc.state import store
from pyrunc.steps.state import Intent, Journal, Prepare, Save

CONFIG: Any = {"ociVersion": "1.3.0", "root": {"path": "rootfs"}}


class Full(Kernel):
    """Has no room for this file, so often."""

    def __init__(self, name: str, times: int) -> None:
        super().__init__()
        self.name, self.times = name, times

    def write_new(self, name: str, data: bytes, mode: int, dirfd: int) -> None:
        if name == self.name and self.times:
            self.times -= 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
        super().write_new(name, data, mode, dirfd)


def facts_of(directory: Path) -> Facts:
    """As they are once there is an init."""
    facts = Facts()
    facts.state_fd, facts.pid, facts.start_time = os.open(directory, os.O_RDONLY | os.O_DIRECTORY), 42, 7
    facts.plan = Plan("create", iter([]))
    facts.keep(Intent, {"id": "c", "creator": {"boot_id": "boot"}, "boot_id": "boot"})
    (directory / store.PLAN).write_text("{}")
    facts.keep(Journal, True)
    return facts


def test_it_is_created_by_a_rename_and_not_before(tmp_path: Path) -> None:
    kernel, facts = Kernel(), facts_of(tmp_path)
    Prepare(config=CONFIG).apply(kernel, facts)
    assert sorted(os.listdir(tmp_path)) == ["config.json", "plan.json", "state.next"]
    Save(config=CONFIG).apply(kernel, facts)
    assert sorted(os.listdir(tmp_path)) == ["config.json", "plan.json", "state.json"]
    assert json.loads((tmp_path / "state.json").read_text())["pid"] == 42
    assert json.loads((tmp_path / "config.json").read_text()) == CONFIG
    os.close(facts.state_fd)


@pytest.mark.parametrize(("full", "times", "plan"), [
    ("config.json", 1, True), ("state.next", 1, True), ("config.json", 2, False)])
def test_without_room_all_of_it_is_left_to_the_last(full: str, times: int, plan: bool, tmp_path: Path) -> None:
    """The plan, which takes most and tells why a create has died, is given up when nothing else helps, and not while
    the init still sets itself up."""
    kernel, facts = Full(full, times), facts_of(tmp_path)
    Prepare(config=CONFIG).apply(kernel, facts)
    assert (tmp_path / "plan.json").exists() and not (tmp_path / "state.json").exists()
    Save(config=CONFIG).apply(kernel, facts)
    assert (tmp_path / "plan.json").exists() == plan and (tmp_path / "config.json").exists()
    assert ("late_steps" in json.loads((tmp_path / "state.json").read_text())) != plan
    os.close(facts.state_fd)
