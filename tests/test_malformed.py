"""Every malformed config: one line with the JSON path and the reason, and nothing is left behind."""
from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest

from pyrunc.config.check import check
from pyrunc.config.load import load
from pyrunc.errors import ConfigError
from tests import world
from tests.bundles import busybox_root
from tests.malformed import MALFORMED, SOUND, text
from tests.runtimes import Runtime


def refuse(folder: pathlib.Path, data: bytes) -> ConfigError | None:
    (folder / "config.json").write_bytes(data)
    try:
        check(load(str(folder)), start=True)
    except ConfigError as fault:
        return fault
    return None


def test_the_base_of_the_table_is_sound(tmp_path: pathlib.Path) -> None:
    assert refuse(tmp_path, SOUND) is None
    assert len(MALFORMED) >= 150
    assert len({name for name, _, _, _ in MALFORMED}) == len(MALFORMED)


@pytest.mark.parametrize(("config", "where", "what"), [case[1:] for case in MALFORMED], ids=[c[0] for c in MALFORMED])
def test_one_line_with_the_path_and_the_reason(tmp_path: pathlib.Path, config: bytes | dict[str, Any], where: str,
                                               what: str) -> None:
    fault = refuse(tmp_path, text(config))
    assert fault is not None
    assert (fault.where, what) == (where, what) and what in fault.what, str(fault)
    line = str(fault)
    assert "\n" not in line and line.isascii() and len(line) < 700
    assert line.endswith(f": at {where} in config.json" if where else ": in config.json")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("bundle")
    busybox_root(folder / "rootfs")
    return folder


@pytest.mark.parametrize(("config", "where", "what"), [case[1:] for case in MALFORMED], ids=[c[0] for c in MALFORMED])
def test_create_says_it_in_one_line_and_leaves_nothing(runtime: Runtime, name: str, bundle: pathlib.Path,
                                                       config: bytes | dict[str, Any], where: str, what: str) -> None:
    before = world.Snapshot.take(name, runtime.root)
    (bundle / "config.json").write_bytes(text(config))
    outcome = runtime("create", "--bundle", bundle, name)
    assert (outcome.status, outcome.stdout) == (1, "")
    line = outcome.stderr
    assert line.count("\n") == 1 and "Traceback" not in line
    message = json.loads(line.partition(" msg=")[2])
    assert message.startswith("pyrunc create failed: ") and what in message
    assert message.endswith(f": at {where} in config.json" if where else ": in config.json")
    assert before.settle(name, runtime.root) == before
