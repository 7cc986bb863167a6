"""Warnings are logged, in every form and place that a log may have, and no engine is misled by one."""
from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests import bundles
from tests.bundles import CAPABILITIES, MOUNTS, docker_like
from tests.runtimes import Runtime

UNKNOWN = {"process": {"capabilities": {"bounding": ["CAP_FUTURE", *CAPABILITIES], "effective": CAPABILITIES,
                                        "permitted": CAPABILITIES}}}
BAD_HOOK = {"path": "/bin/sh", "args": ["sh", "-c", "echo why >&2; exit 3"]}
#: (change of the configuration, what is said): one of each kind of warning that a plan has.
KINDS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown capability": (UNKNOWN, "CAP_FUTURE is unknown to this kernel: at process.capabilities.bounding[0]"),
    "ungrantable capability": ({"process": {"capabilities": {"ambient": ["CAP_CHOWN"]}}},
                               "cannot be granted: "),
    "option of a bind mount": ({"mounts": [*MOUNTS, {"destination": "/mnt", "source": "/tmp",
                                                     "options": ["bind", "mode=755"]}]},
                               "a bind mount cannot have its own mode: at mounts[7].options[1] in config.json"),
}
POSTSTOP = ({"hooks": {"poststop": [BAD_HOOK]}}, "error running poststop hook #0: /bin/sh: exit status 3")


@pytest.fixture
def bundle(place: Path) -> Path:
    return bundles.bundle(place / "bundle")


def configure(bundle: Path, *changes: dict[str, Any], args: tuple[str, ...] = ("true",)) -> Path:
    config = docker_like(process={"args": list(args)})
    for change in changes:
        config = bundles.merge(config, change)
    return bundles.write(bundle, config)


def records(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def podman(log: Path) -> str:
    """libpod's readConmonPipeData(), after a failure: the message of the file as one JSON value, "" for none."""
    try:
        message: str = json.loads(log.read_text())["msg"]
    except ValueError:
        return ""
    return message


def containerd(log: Path) -> str:
    """The shim's getLastRuntimeError(): the message of the last error; the times must be RFC 3339."""
    message = ""
    for record in records(log):
        datetime.fromisoformat(record["time"])
        if record["level"] == "error":
            message = record["msg"]
    return message


def lives(runtime: Runtime, bundle: Path, name: str, command: str, *flags: str | Path) -> None:
    """A container's whole life by one command or the other, each with the same flags in front."""
    if command == "run":
        runtime.ok(*flags, "run", "--bundle", bundle, name)
        return
    if command == "run --detach":
        runtime.ok(*flags, "run", "--detach", "--bundle", bundle, name)
        runtime.wait_for(name, "stopped")
    else:
        init = runtime.create(name, bundle) if not flags else None
        if flags:
            runtime.ok(*flags, "create", "--bundle", bundle, name)
        runtime.ok(*flags, "start", name)
        init.wait() if init else runtime.wait_for(name, "stopped")
    runtime.ok(*flags, "delete", name)


COMMANDS = ("run", "run --detach", "create")


@pytest.mark.spec("config.md#linux-process", "capabilities that cannot be granted are a warning")
@pytest.mark.spec("runtime.md#warnings", "a warning changes nothing")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_log_of_json_has_one_record_for_each(command: str, kind: str, runtime: Runtime, bundle: Path,
                                               name: str) -> None:
    change, said = KINDS[kind]
    configure(bundle, change)
    log = bundle / "log"
    lives(runtime, bundle, name, command, "--log", log, "--log-format", "json")
    assert [record["level"] for record in records(log)] == ["warning"] and said in records(log)[0]["msg"]
    assert containerd(log) == ""


@pytest.mark.spec("runtime.md#lifecycle", "poststop hooks run, and one that fails is a warning")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_failing_poststop_hook(command: str, runtime: Runtime, bundle: Path, name: str) -> None:
    change, said = POSTSTOP
    configure(bundle, change)
    log = bundle / "log"
    lives(runtime, bundle, name, command, "--log", log, "--log-format", "json")
    assert [record["level"] for record in records(log)] == ["warning"] and said in records(log)[0]["msg"]


@pytest.mark.parametrize(("path", "said"), [("/no/such", "no such file or directory"), ("/etc", "permission denied")])
@pytest.mark.parametrize("command", ["create", "run"])
def test_a_poststop_hook_that_cannot_be_run(command: str, path: str, said: str, runtime: Runtime, bundle: Path,
                                            name: str) -> None:
    """After a life, and after a create that failed: it has the words that a hook that fails has."""
    for fails in (False, True):
        configure(bundle, {"hooks": {"poststop": [{"path": path}],
                                     **({"createRuntime": [BAD_HOOK]} if fails else {})}})
        log = bundle / f"log-{fails}"
        if fails:
            assert runtime("--log", log, "--log-format", "json", command, "--bundle", bundle, name).status == 1
        else:
            lives(runtime, bundle, name, command, "--log", log, "--log-format", "json")
        (record,) = records(log)
        warned = record["warnings"] if fails else [record["msg"]]
        assert warned == [f"error running poststop hook #0: {path}: {said}"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_log_of_text(command: str, runtime: Runtime, bundle: Path, name: str) -> None:
    configure(bundle, *(change for change, _ in KINDS.values()))
    log = bundle / "log"
    lives(runtime, bundle, name, command, "--log", log)
    lines = log.read_text().splitlines()
    assert len(lines) == len(KINDS) and all(" level=warning msg=" in line for line in lines)


def test_none_is_lost_wherever_standard_error_goes(runtime: Runtime, bundle: Path, name: str,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    """The trace and the report of a failure have all of them, also those that go to no log of an engine."""
    monkeypatch.delenv("PYRUNC_REPORTS")
    rule = {"names": ["nosuchcall"], "action": "SCMP_ACT_ERRNO"}
    odd = {"rootfsPropogation": "slave", "linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}}}
    wanted = ["rootfsPropogation", "nosuchcall", *(said for _, said in KINDS.values())]
    for args in ("true", "nonesuch"):
        configure(bundle, odd, *(change for change, _ in KINDS.values()), args=(args,))
        outcome = runtime("--trace", bundle / args, "create", "--bundle", bundle, name)
        assert outcome.status == (args == "nonesuch") and "rootfsPropogation" not in outcome.stderr
        runtime("delete", "--force", name)
        last = json.loads((bundle / args).read_text().splitlines()[-1])
        assert len(last["warnings"]) == len(wanted)
        for said in wanted:
            assert any(said in text for text in last["warnings"]), said
        assert runtime.ok("trace", "show", bundle / args).stdout.count("warning: ") == len(wanted)
    report = json.loads(next((runtime.root / "@reports").iterdir()).read_text())
    assert sorted(report["warnings"]) == sorted(last["warnings"])


def test_standard_error_has_them_where_there_is_no_log(runtime: Runtime, bundle: Path, name: str) -> None:
    """As runc. With one, it is the container's alone: what is printed there at create goes to the container's log."""
    configure(bundle, UNKNOWN, args=("sh", "-c", "echo out; echo err >&2"))
    outcome = runtime.ok("run", "--bundle", bundle, name)
    own, warning = sorted(outcome.stderr.splitlines())
    assert "level=warning" in warning and "CAP_FUTURE" in warning and (outcome.stdout, own) == ("out\n", "err")
    outcome = runtime.ok("--log", bundle / "log", "run", "--bundle", bundle, name)
    assert (outcome.stdout, outcome.stderr) == ("out\n", "err\n")


def test_a_person_at_a_terminal(runtime: Runtime, bundle: Path, name: str) -> None:
    configure(bundle, UNKNOWN)
    master, slave = os.openpty()
    subprocess.run(runtime.argv("run", "--bundle", bundle, name), stdin=slave, stdout=slave, stderr=slave, check=True)
    os.close(slave)
    assert os.read(master, 4096).startswith(b"pyrunc: warning: CAP_FUTURE is unknown")
    os.close(master)


def test_a_long_run_logs_them_when_its_program_runs(runtime: Runtime, bundle: Path, name: str) -> None:
    configure(bundle, UNKNOWN, args=("sh", "-c", "echo ready; while :; do sleep 0.1; done"))
    log = bundle / "log"
    running = runtime.popen("--log", log, "run", "--bundle", bundle, name, stdout=subprocess.PIPE)
    assert running.stdout is not None and running.stdout.readline() == b"ready\n"
    runtime.wait_for(name, "running")
    for _ in range(200):
        if "CAP_FUTURE" in log.read_text():
            break
        subprocess.run(["sleep", "0.05"], check=True)
    assert log.read_text().count("level=warning") == 1
    runtime.ok("kill", name, "KILL")
    running.stdout.close()
    assert running.wait(60) == 137


def test_exec_says_what_it_cannot_grant(runtime: Runtime, bundle: Path, name: str) -> None:
    configure(bundle, args=("sh", "-c", "while :; do sleep 0.1; done"))
    runtime.ok("run", "--detach", "--bundle", bundle, name)
    log = bundle / "log"
    flags = ("--log", log, "--log-format", "json")
    for detach in ((), ("--detach",)):
        outcome = runtime.ok(*flags, "exec", *detach, "--cap", "CAP_FUTURE", name, "sh", "-c", "echo err >&2")
        assert "CAP_FUTURE" not in outcome.stderr
    assert [record["level"] for record in records(log)] == ["warning"] * len(records(log)) and len(records(log)) >= 2
    assert all("CAP_FUTURE is unknown to this kernel" in record["msg"] for record in records(log))
    log.unlink()
    failed = runtime(*flags, "exec", "--cap", "CAP_FUTURE", name, "nonesuch")
    assert failed.status == 255 and "executable file not found in $PATH" in podman(log) == containerd(log)
    assert records(log)[0]["warnings"] != [] and failed.stderr.strip() == podman(log)


# ---- when it fails --------------------------------------------------------------------------------------------------

def no_program(config: dict[str, Any]) -> str:
    config["process"]["args"] = ["nonesuch"]
    return "executable file not found in $PATH"


def no_source(config: dict[str, Any]) -> str:
    config["mounts"].append({"destination": "/x", "source": "/nowhere", "options": ["bind"]})
    return "no such file or directory"


def no_config(config: dict[str, Any]) -> str:
    config["process"]["cwd"] = "relative"
    return "at process.cwd in config.json"


def bad_hook(config: dict[str, Any]) -> str:
    config["hooks"] = {"createRuntime": [BAD_HOOK], "poststop": [BAD_HOOK]}
    return "error running createRuntime hook #0"


@pytest.mark.parametrize("fails", [no_program, no_source, no_config, bad_hook])
@pytest.mark.parametrize("command", ["create", "run"])
def test_a_failure_is_one_record_that_has_the_warnings(command: str, fails: Callable[[dict[str, Any]], str],
                                                       runtime: Runtime, bundle: Path, name: str) -> None:
    configure(bundle, *(change for change, _ in KINDS.values()))
    config = json.loads((bundle / "config.json").read_text())
    said = fails(config)
    bundles.write(bundle, config)
    log = bundle / "log"
    outcome = runtime("--log", log, "--log-format", "json", command, "--bundle", bundle, name)
    assert outcome.status == 1 and said in podman(log) == containerd(log)
    (record,) = records(log)
    assert outcome.stderr == f"{record['msg']}\n"
    warned = "".join(record.get("warnings", []))
    assert ("error running poststop hook #0" in warned) == (fails is bad_hook)
    if fails is not no_config:                               # nothing was planned yet
        assert "cannot be granted" not in record["msg"] and "its own mode" in warned


def test_a_failure_in_a_log_of_text_has_the_error_last(runtime: Runtime, bundle: Path, name: str) -> None:
    configure(bundle, *(change for change, _ in KINDS.values()), args=("nonesuch",))
    log = bundle / "log"
    assert runtime("--log", log, "create", "--bundle", bundle, name).status == 1
    *warnings, error = log.read_text().splitlines()
    assert warnings and all(" level=warning msg=" in line for line in warnings) and " level=error msg=" in error


def test_a_failure_without_a_log_is_one_line(runtime: Runtime, bundle: Path, name: str) -> None:
    """conmon hands on all that is on standard error, and Podman takes the first line that says "not permitted"."""
    configure(bundle, *(change for change, _ in KINDS.values()), args=("nonesuch",))
    outcome = runtime("create", "--bundle", bundle, name)
    assert outcome.status == 1 and outcome.stderr.count("\n") == 1 and "level=error" in outcome.stderr
    outcome = runtime("--log-format", "json", "create", "--bundle", bundle, name)
    assert json.loads(outcome.stderr)["warnings"]


def test_a_failure_after_a_success_in_the_same_file(runtime: Runtime, bundle: Path, name: str) -> None:
    """Podman keeps its file while the container exists. Then it finds no JSON value, and takes standard error."""
    configure(bundle, UNKNOWN)
    log = bundle / "log"
    flags = ("--log", log, "--log-format", "json")
    runtime.ok(*flags, "run", "--bundle", bundle, name)
    config = json.loads((bundle / "config.json").read_text())
    said = no_program(config)
    bundles.write(bundle, config)
    outcome = runtime(*flags, "create", "--bundle", bundle, name)
    assert outcome.status == 1 and podman(log) == "" and said in containerd(log)
    assert outcome.stderr == f"{containerd(log)}\n"
