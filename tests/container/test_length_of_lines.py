"""An error or a warning is one line of less than 1 KiB, whatever is long in the config, in a hook's words, or on the
command line. What is cut is the middle, so the cause and the place are still at its end."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests import bundles
from tests.bundles import MOUNTS, docker_like
from tests.runtimes import Runtime

MOST = 1024
LONG = "x" * 3000
DEEP = "/" + "/".join(["y" * 200] * 10)


def mounted(**mount: Any) -> dict[str, Any]:
    return {"mounts": [*MOUNTS, {"destination": "/d", **mount}]}


def hooked(kind: str, script: str) -> dict[str, Any]:
    return {"hooks": {kind: [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}}


#: What is too long: the change, and what has to be in the line in spite of it.
CONFIGS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "name of the program": ({"process": {"args": [LONG]}},
                            ("executable file not found in $PATH: at process.args[0]", "process.find_executable")),
    "path of the program": ({"process": {"args": [DEEP]}}, ("no such file or directory: at process.args[0]",)),
    "letters of two bytes": ({"process": {"args": ["é" * 3000]}}, ("executable file not found in $PATH: at ",)),
    "control characters": ({"process": {"args": ["\x01" * 3000]}}, ("executable file not found in $PATH: at ",)),
    "quotes": ({"process": {"args": ['"' * 3000]}}, ("executable file not found in $PATH: at ",)),
    "cwd": ({"process": {"cwd": f"/{LONG}"}}, ("file name too long: at process.cwd",)),
    "source": (mounted(source=DEEP, options=["bind"]), ("no such file or directory: at mounts[7].source",)),
    "destination": ({"mounts": [*MOUNTS, {"destination": f"/{LONG}", "source": "/tmp", "options": ["bind"]}]},
                    ("file name too long: at mounts[7].destination",)),
    "type": (mounted(source="x", type=LONG), ("; hint: the kernel knows no such file system",)),
    "option": (mounted(source="tmpfs", type="tmpfs", options=[LONG]), ("invalid argument: at mounts[7].options[0]",)),
    "sysctl": ({"linux": {"sysctl": {f"net.ipv4.{LONG}": "1"}}}, ("no such file or directory: at linux.sysctl[",)),
    "value of a sysctl": ({"linux": {"sysctl": {"net.ipv4.ip_forward": LONG}}}, (": at linux.sysctl[",)),
    "masked path": ({"linux": {"maskedPaths": [f"/{LONG}"]}}, ("file name too long: at linux.maskedPaths[0]",)),
    "device": ({"linux": {"devices": [{"path": f"/dev/{LONG}", "type": "c", "major": 1, "minor": 3}]}},
               ("file name too long: at linux.devices[0]",)),
    "hook's path": ({"hooks": {"prestart": [{"path": DEEP}]}}, ("no such file or directory: at hooks.prestart[0]",)),
    "words of a hook": (hooked("createRuntime", "head -c 100000 /dev/zero | tr '\\0' z; echo the end; exit 3"),
                        ("exit status 3", "the end", ": at hooks.createRuntime[0]")),
    "words of a hook of the container": (hooked("createContainer", "head -c 9999 /dev/zero | tr '\\0' z; exit 3"),
                                         ("exit status 3", ": at hooks.createContainer[0]")),
}


@pytest.mark.parametrize("what", CONFIGS)
@pytest.mark.parametrize("form", ["text", "json"])
def test_of_a_config(what: str, form: str, runtime: Runtime, place: Path, name: str) -> None:
    change, words = CONFIGS[what]
    bundle = bundles.bundle(place / "bundle", docker_like(**change))
    log = place / "log"
    done = runtime("--log", log, "--log-format", form, "create", "--bundle", bundle, name)
    assert done.status == 1
    record, = log.read_text().splitlines()
    message, = done.stderr.splitlines()
    assert len(record.encode()) < MOST and len(message.encode()) < MOST
    for told in ((json.loads(record)["msg"] if form == "json" else message), message):
        assert all(word in told for word in words), told


@pytest.mark.parametrize("change", [
    {"process": {"capabilities": {"bounding": [f"CAP_{LONG}"]}}}, mounted(source="/tmp", options=["bind", LONG])])
def test_of_a_warning(change: dict[str, Any], runtime: Runtime, place: Path, name: str) -> None:
    bundle = bundles.bundle(place / "bundle", docker_like(**change))
    told, = runtime.ok("create", "--bundle", bundle, name).stderr.splitlines()
    assert "level=warning" in told and len(told.encode()) < MOST and "[1] in config.json" in told.replace("[0]", "[1]")
    runtime.ok("delete", "--force", name)


@pytest.mark.parametrize("words", [
    ["exec", "ID", LONG], ["create", "--bundle", f"/{LONG}", "ID"], ["update", "--memory", LONG, "ID"], [LONG],
    ["kill", "ID", LONG], ["create", f"--{LONG}"], ["explain", LONG], ["state", LONG], ["trace", "show", f"/{LONG}"]],
    ids=lambda words: "-".join(words)[:12])
def test_of_the_command_line(words: list[str], runtime: Runtime, place: Path, name: str) -> None:
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["sleep", "1000"]}))
    runtime.create(name, bundle)
    done = runtime(*(name if word == "ID" else word for word in words))
    assert done.status
    assert all(len(line.encode()) < MOST for line in done.stderr.splitlines()), done.stderr
    runtime.ok("delete", "--force", name)
