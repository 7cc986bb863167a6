"""update: what its flags and files mean."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pyrunc.cli.flags import Call, parse
from pyrunc.cli.update import COMMAND, requested, size
from pyrunc.config.check import check_resources
from pyrunc.errors import ConfigError, UsageError
from pyrunc.log import Log


def asked(*words: str) -> tuple[Any, str]:
    values: dict[str, Any] = {}
    arguments = parse(COMMAND.flags, [*words, "c"], values)
    return requested(Call(COMMAND, values, arguments, {}, "/root", Log(), ""))


@pytest.mark.parametrize(("words", "resources"), [
    ([], {}),
    (["--memory", "64m"], {"memory": {"limit": 64 << 20}}),
    (["--memory=-1", "--memory-swap", "-1"], {"memory": {"limit": -1, "swap": -1}}),
    (["--memory-reservation", "1G"], {"memory": {"reservation": 1 << 30}}),
    (["--cpu-quota", "-1", "--cpu-period", "50000", "--cpu-burst=10"],
     {"cpu": {"quota": -1, "period": 50000, "burst": 10}}),
    (["--cpu-share", "512", "--cpu-idle", "1", "--cpuset-cpus", "0-1", "--cpuset-mems", "0"],
     {"cpu": {"shares": 512, "idle": 1, "cpus": "0-1", "mems": "0"}}),
    (["--pids-limit", "0"], {"pids": {"limit": 0}}),
    (["--pids-limit=-1"], {"pids": {"limit": -1}}),
    (["--blkio-weight", "100"], {"blockIO": {"weight": 100}}),
])
def test_flags(words: list[str], resources: dict[str, Any]) -> None:
    found, document = asked(*words)
    check_resources(found, document)
    assert found == resources


def test_a_file_counts_alone(tmp_path: Path) -> None:
    file = tmp_path / "resources.json"
    file.write_text('{"memory": {"limit": 5000000, "swap": null}, "cpu": null, "unknown": 1}')
    found, document = asked("--resources", str(file), "--pids-limit", "7")
    check_resources(found, document)
    assert (found["memory"], found.get("pids"), document) == ({"limit": 5000000}, None, str(file))


@pytest.mark.parametrize("words", [["--resources=-"], ["--resources", "-"], ["-r", "-"]])
def test_standard_input_is_read_to_the_end(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    """containerd and CRI-O send it so, in pieces."""
    import os
    reader, writer = os.pipe()
    stdin = os.dup(0)
    os.dup2(reader, 0)
    try:
        if not (child := os.fork()):
            for piece in (b'{"pids": {"li', b'mit": 3}}'):
                os.write(writer, piece)
                os.sched_yield()
            os._exit(0)
        os.close(writer)
        assert asked(*words) == ({"pids": {"limit": 3}}, "standard input")
        os.waitpid(child, 0)
    finally:
        os.dup2(stdin, 0)
        os.close(stdin)
        os.close(reader)


@pytest.mark.parametrize(("words", "error"), [
    (["--memory", "lots"], 'invalid value for memory: invalid size: "lots"'),
    (["--cpu-quota", "1_0"], 'invalid value for cpu-quota: "1_0" is not an integer'),
    (["--pids-limit", "x"], 'invalid value for pids-limit: "x" is not an integer'),
    *[(["--memory", text], f'invalid value for memory: invalid size: "{text}"')
      for text in ("9" * 400 + ".5", "9" * 5000, "9" * 5000 + ".9k", "9" * 21)],
    (["--cpu-quota", "9" * 5000], f'invalid value for cpu-quota: "{"9" * 5000}" is not an integer'),
    (["--resources", "/nonexistent"], "open /nonexistent: no such file or directory"),
])
def test_errors(words: list[str], error: str) -> None:
    with pytest.raises(UsageError) as failed:
        asked(*words)
    assert str(failed.value) == error


def test_a_file_that_is_not_one(tmp_path: Path) -> None:
    file = tmp_path / "r"
    for text, words in (("[]", "must be an object"), ("{", "line 1"), ('{"memory": {"limit": "1"}}', "memory.limit")):
        file.write_text(text)
        with pytest.raises((ConfigError, UsageError), match=words):
            check_resources(*asked("--resources", str(file)))


@pytest.mark.parametrize(("text", "number"), [
    ("0", 0), ("512", 512), ("512b", 512), ("1k", 1024), ("1K", 1024), ("1kb", 1024), ("1KiB", 1024), ("2m", 2 << 20),
    ("1.5g", 3 << 29), ("1t", 1 << 40), ("1 m", 1 << 20), ("-1", -1), ("9007199254740993", 9007199254740993),
])
def test_sizes(text: str, number: int) -> None:
    assert size("memory", text) == number


@pytest.mark.parametrize("text", ["m", "-2", "1x", "1mm", "0x1", "1e3", "1_0", "1..5", ".", "\u0661", "+1", " 1"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(UsageError, match="invalid size"):
        size("memory", text)
