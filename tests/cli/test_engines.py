"""What engines do with our output, by their own patterns: the text of an error is an interface (docs/errors.md).

Each matcher is the engine's own, translated from Go or C; the place in its sources stands above it.
"""
from __future__ import annotations

import datetime
import json
import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from pyrunc.cli import main as cli
from pyrunc.errors import NOT_FOUND_IN_PATH, StepError
from pyrunc.state.container import Container

from ..state.made import World


def call(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = cli.main([*words])
    out, err = capfd.readouterr()
    return status, out, err


# ---- go-runc: Version, List, State, Ps ------------------------------------------------------------------------------
def go_runc_version(output: str) -> dict[str, str]:
    """runc.go parseVersion: nothing is read unless the first line says runc."""
    lines = output.strip().split("\n")
    found = {}
    if lines[0].startswith("runc version "):
        found["Runc"] = lines[0][13:]
        for line in lines[1:]:
            for prefix, field in (("commit: ", "Commit"), ("spec: ", "Spec")):
                if line.startswith(prefix):
                    found[field] = line[len(prefix):]
    return found


# moby: daemon/info_unix.go parseRuntimeVersion
def moby_version(output: str) -> tuple[str, str, str]:
    runtime = version = commit = ""
    for line in output.strip().split("\n"):
        if "version" in line:
            parts = line.split("version")
            runtime, version = parts[0].strip(), parts[-1].strip()
        elif line.startswith("commit:"):
            commit = line.split(":")[1].strip()
    return runtime, version, commit


def test_version(capfd: pytest.CaptureFixture[str]) -> None:
    from pyrunc import __version__
    for flag in ("--version", "-v", "-version"):
        status, out, err = call(capfd, flag)
        assert (status, err) == (0, "")          # CRI-O reads both streams together
        assert go_runc_version(out) == {"Runc": f"{__version__}+pyrunc", "Commit": moby_version(out)[2],
                                        "Spec": "1.3.0"}
        assert moby_version(out)[:2] == ("pyrunc", __version__) and moby_version(out)[2]


@pytest.mark.spec("features.md#hooks", "hooks")
@pytest.mark.spec("features.md#platform-specific-features", "linux")
@pytest.mark.spec("features.md#annotations", "annotations", "annotations are a map of strings")
@pytest.mark.spec("features.md#specification-version", "no property of a later version is there")
@pytest.mark.spec("features.md#specification-version", "ociVersionMin", "ociVersionMax")
@pytest.mark.spec("features-linux.md#mountextensions", "mountExtensions", "idmap", "idmap.enabled",
                  "id-mapped mounts are announced")
def test_features(capfd: pytest.CaptureFixture[str]) -> None:
    from pyrunc.config.schema import Schemas
    status, out, err = call(capfd, "features")
    assert (status, err) == (0, "")
    features = json.loads(out)
    Schemas().validator("features.json").validate(features)
    assert (features["ociVersionMin"], features["ociVersionMax"]) == ("1.0.0", "1.3.0")
    assert features["linux"]["mountExtensions"]["idmap"]["enabled"] is True      # containerd: pods with user namespaces
    assert "rro" in features["mountOptions"]                                     # containerd, moby: recursive read-only
    assert features["mountOptions"] == sorted(features["mountOptions"])


def test_ps_and_list_and_state(made: World, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    made.running("c")
    cgroup = SimpleNamespace(exists=lambda: True, procs=lambda: [7, 8])
    monkeypatch.setattr(Container, "cgroup", lambda self: nullcontext(cgroup))
    root = ["--root", str(made.root)]
    _, out, _ = call(capfd, *root, "ps", "--format", "json", "c")
    assert all(type(pid) is int for pid in json.loads(out)) and out.count("\n") == 1
    for words in (["list", "--format", "json"], ["state", "c"]):
        _, out, _ = call(capfd, *root, *words)
        [container] = json.loads(out) if words[0] == "list" else [json.loads(out)]
        assert {"id", "pid", "status", "bundle", "rootfs", "created"} <= set(container)
        # time.Time: fromisoformat of 3.11 takes what RFC 3339 allows, but for the ninth digit
        datetime.datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", container["created"]))


# ---- containerd: cmd/containerd-shim-runc-v2/process/utils.go -------------------------------------------------------
def containerd_last_error(log: Path) -> str:
    """getLastRuntimeError: the message of the last record of level error."""
    found = ""
    for line in log.read_text().splitlines():
        record = json.loads(line)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", record["time"])
        if record["level"] == "error":
            found = record["msg"]
    return found


def containerd_kill_error(text: str) -> str:
    """checkKillError."""
    if ("os: process already finished" in text or "container not running" in text
            or "no such process" in text.lower()):
        return "process already finished"
    if "does not exist" in text:
        return "no such container"
    return "unknown error after kill"


def test_containerd_kill(made: World, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    made.stopped("stopped")
    for id, meaning in (("stopped", "process already finished"), ("none", "no such container")):
        log = tmp_path / f"{id}.json"
        status, _, err = call(capfd, "--root", str(made.root), "--log", str(log), "--log-format", "json", "kill", id,
                              "9")
        assert status == 1
        assert containerd_kill_error(err) == containerd_kill_error(containerd_last_error(log)) == meaning


def test_containerd_delete(made: World, capfd: pytest.CaptureFixture[str]) -> None:
    """process/init.go: "does not exist" is success."""
    status, _, err = call(capfd, "--root", str(made.root), "delete", "none")
    assert status == 1 and "does not exist" in err


def test_containerd_restores_with_one_dash(capfd: pytest.CaptureFixture[str]) -> None:
    """go-runc sends `-no-subreaper`."""
    _, _, err = call(capfd, "run", "-no-subreaper", "--bundle", "/nonexistent", "c")
    assert "not defined" not in err and "no such file or directory" in err


# ---- moby: daemon/errors.go setExitCodeFromError --------------------------------------------------------------------
def moby_exit_code(text: str) -> int:
    text = text.lower()
    if any(words in text for words in ("executable file not found", "no such file or directory",
                                       "system cannot find the file specified", "failed to run runc create/exec call")):
        return 127
    if "not a directory" in text:
        return 127
    if "permission denied" in text or "is a directory" in text:
        return 126
    return 128


# ---- podman: libpod/oci_util.go getOCIRuntimeError; the dot does not match a newline ---------------------------------
def podman_exit_code(text: str) -> int:
    if re.search(r"(?i).*permission denied.*|.*operation not permitted.*", text):
        return 126
    if re.search(r"(?i).*executable file not found in.*|.*no such file or directory.*|.*open executable.*", text):
        return 127
    return 125


@pytest.mark.parametrize(("what", "errno", "moby", "podman"), [
    (f'exec: "nonsense": {NOT_FOUND_IN_PATH}', 0, 127, 127),
    ('exec: "/nonsense": stat /nonsense', 2, 127, 127),
    ('exec: "/etc/passwd"', 13, 126, 126),
    ('exec: "/etc"', 21, 126, 125),
    ("mount bind /file -> /etc", 20, 127, 125),
    ("mount proc on /proc", 1, 128, 126),
    ("set memory.max", 16, 128, 125),
])
def test_exit_codes(what: str, errno: int, moby: int, podman: int) -> None:
    line = str(StepError(what, errno, "process.args", "process.find_executable", "config.md#process", "look again"))
    assert "\n" not in line
    assert (moby_exit_code(line), podman_exit_code(line)) == (moby, podman)


def test_no_hint_changes_an_exit_code() -> None:
    """A hint that merely contains "permission denied" would re-classify its error."""
    from pyrunc.engine.hints import HINTS
    for _, _, text in HINTS:
        assert (moby_exit_code(text), podman_exit_code(text)) == (128, 125), text


# ---- podman: the log is one JSON object, or else "readObjectStart: expect { or n" ------------------------------------
@pytest.mark.parametrize("words", [["create", "--bundle", "/", "c"], ["create"], ["create", "--nope"],
                                   ["start", "none"], ["exec", "none", "ls"], ["nonsense"]])
def test_podman_s_log_is_one_object(capfd: pytest.CaptureFixture[str], tmp_path: Path, words: list[str]) -> None:
    log = tmp_path / "oci-log"
    status, _, err = call(capfd, "--root", str(tmp_path), "--log-format=json", "--log", str(log), *words)
    assert status == (255 if words[0] == "exec" else 1)
    assert json.loads(log.read_text())["level"] == "error"
    assert len(err) < 8192           # conmon reads once, so much


def test_podman_probes_for_a_flag(capfd: pytest.CaptureFixture[str]) -> None:
    """pkg/checkpoint/crutils: `restore --lsm-mount-context` must say that it needs an argument."""
    _, _, err = call(capfd, "create", "--bundle")
    assert "flag needs an argument" in err


# ---- CRI-O: internal/oci/runtime_oci.go, on what was printed to stderr -----------------------------------------------
def crio_gone(text: str) -> bool:
    return any(words in text for words in ("no such process", "container not running", "invalid process"))


def test_crio_stop(made: World, capfd: pytest.CaptureFixture[str]) -> None:
    made.stopped("c")
    for name in ("15", "SIGTERM", "KILL", "RTMIN+3"):
        assert crio_gone(call(capfd, "--root", str(made.root), "kill", "c", name)[2])


# ---- buildah: run_linux.go polls state and accepts these ------------------------------------------------------------
def test_buildah_polls(made: World, capfd: pytest.CaptureFixture[str]) -> None:
    made.intent("creating", creator=made.sleeper())
    made.created("created")
    made.running("running")
    made.stopped("stopped")
    for id in ("creating", "created", "running", "stopped"):
        assert json.loads(call(capfd, "--root", str(made.root), "state", id)[1])["status"] == id


# ---- podman and conmon: hardly any environment ----------------------------------------------------------------------
def test_an_empty_environment(made: World) -> None:
    made.stopped("c")
    done = subprocess.run([sys.executable, "-m", "pyrunc", "--root", str(made.root), "delete", "--force", "c"], env={},
                          capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
