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

C, L = "config.md", "config-linux.md"
#: What the specification calls an error -> the cases that are it.
HOLDS: dict[tuple[str, str], tuple[str, ...]] = {
    (f"{C}#specification-version", "ociVersion is a semantic version"): (
        "version is a word", "version of two numbers", "version 2"),
    (f"{C}#linux-mount-options", "without mappings and user namespace idmap is an error"): ("idmap of nothing",),
    (f"{C}#posix-platform-mounts", "mappings of a mount come in pairs"): ("half an idmap",),
    (f"{C}#process", "cwd is absolute"): ("relative cwd", "empty cwd"),
    (f"{C}#process", "args has an entry"): ("no args", "empty args"),
    (f"{C}#posix-process", "an unknown rlimit is an error"): ("unknown rlimit",),
    (f"{C}#posix-process", "a type that stands twice is an error"): ("rlimit twice",),
    (f"{C}#posix-platform-hooks", "the path of a hook is absolute"): ("relative hook",),
    (f"{C}#posix-platform-hooks", "a timeout is greater than zero"): ("timeout of 0",),
    (f"{C}#annotations", "keys are strings and not empty"): ("annotation without a name",),
    (f"{C}#annotations", "values are strings"): ("annotation is a number",),
    (f"{C}#valid-values", "invalid and unsupported values are errors"): (
        "unknown policy", "I/O class", "propagation", "unknown domain", "unknown action", "unknown type of device"),
    (f"{L}#namespaces", "path is absolute"): ("relative namespace",),
    (f"{L}#namespaces", "a type that stands twice is an error"): ("namespace twice",),
    (f"{L}#cpu", "quota is not smaller than burst"): ("burst above quota",),
    (f"{L}#cpu", "burst is not larger than a positive quota"): ("burst above quota",),
    (f"{L}#block-io", "an entry has one of the weights"): ("device without weight",),
    (f"{L}#rdma", "an entry has one of the limits"): ("RDMA of nothing",),
    (f"{L}#intelrdt", "memBwSchema begins with MB:"): ("bandwidth of a cache",),
    (f"{L}#intelrdt", "schemata are single lines"): ("schema of two lines",),
    (f"{L}#seccomp", "defaultErrnoRet without use is an error"): ("default errno of ALLOW",),
    (f"{L}#seccomp", "errnoRet without use is an error"): ("errno of ALLOW",),
    (f"{L}#seccomp", "listenerMetadata needs listenerPath"): ("metadata without listener",),
    (f"{L}#seccomp", "names has an entry"): ("rule without names",),
    (f"{L}#masked-paths", "masked paths are absolute"): ("relative masked path",),
    (f"{L}#readonly-paths", "read-only paths are absolute"): ("relative read-only path",),
}
MARKED = [pytest.param(*case[1:], id=case[0], marks=[pytest.mark.spec(*row) for row, cases in HOLDS.items()
                                                     if case[0] in cases]) for case in MALFORMED]


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
    names = {name for name, _, _, _ in MALFORMED}
    assert len(names) == len(MALFORMED) and names.issuperset(set().union(*HOLDS.values()))


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


@pytest.mark.parametrize(("config", "where", "what"), MARKED)
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
