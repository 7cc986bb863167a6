"""A step has an identity: trace, errors, start, --break and explain mean the same one.

Four faults came from names and numbers without one. On 83317ca, where they were found, all of this failed but for the
first of the three steps with one name: of the others none had run yet.
"""
from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path

import pytest

from tests import bundles
from tests.bundles import PROC, docker_like, minimal
from tests.container.test_stops import Stopping
from tests.runtimes import Runtime


def binding(*sources: Path) -> list[dict[str, object]]:
    """Bind mounts of these sources, each with a destination of its own."""
    return [{"destination": f"/mnt/{number}", "type": "bind", "source": str(source), "options": ["bind"]}
            for number, source in enumerate(sources)]


def unexecutable(place: Path) -> tuple[Path, Path]:
    """A bundle, and its program, which can be looked up."""
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["/bin/gone"]}))
    program = bundle / "rootfs/bin/gone"
    program.write_bytes((bundle / "rootfs/bin/busybox").read_bytes())
    program.chmod(0o755)
    return bundle, program


def says_that_it_is_gone(runtime: Runtime, name: str, *through: str) -> None:
    """`start` names the step that failed, execve, and its place. through: the program that start is run by."""
    started = subprocess.run([*through, *runtime.argv("start", name)], stdin=subprocess.DEVNULL, capture_output=True,
                             text=True, check=False)
    assert started.returncode == 1 and "internal error" not in started.stderr
    assert "/bin/gone" in started.stderr and "no such file or directory: at process.args" in started.stderr
    assert ": step process.exec (config.md#process)" in started.stderr


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_of_three_steps_with_one_name_one_failed(wrong: int, runtime: Runtime, place: Path, name: str) -> None:
    sources = [place if number != wrong else place / "missing" for number in range(3)]
    bundle = bundles.bundle(place / "bundle")
    bundles.write(bundle, minimal(mounts=[PROC, *binding(*sources)]))
    trace = place / "trace"
    refused = runtime("--trace", trace, "create", "--bundle", bundle, name)
    assert refused.status == 1 and f"mounts[{wrong + 1}]" in refused.stderr
    failed = [record for record in map(json.loads, trace.read_text().splitlines()) if record["outcome"] != "ok"]
    assert [record["where"].partition(".")[0] for record in failed] == [f"mounts[{wrong + 1}]"]


def test_start_after_a_create_that_stopped(runtime: Runtime, place: Path, name: str) -> None:
    """The plan that ran had stops in it, so its numbers are others."""
    bundle, program = unexecutable(place)
    create = Stopping(runtime, "--break", "root.switch", "--break", "state.save", "create", "--bundle", bundle, name)
    for _ in range(2):
        create.stop()
        create.go_on()
    assert create.end() == 0
    program.unlink()
    says_that_it_is_gone(runtime, name)


def test_start_by_who_sees_another_host(runtime: Runtime, place: Path, name: str) -> None:
    """Who starts a container may be root of a user namespace, for whom create would have other steps."""
    bundle, program = unexecutable(place)
    bundles.write(bundle, minimal(process={"args": ["/bin/gone"]}, mounts=[PROC, *binding(place, place)]))
    runtime.ok("create", "--bundle", bundle, name)
    program.unlink()
    says_that_it_is_gone(runtime, name, "unshare", "--user", "--map-root-user")


@pytest.mark.parametrize("flags", [(), ("--pid-file", "pid"), ("--pid-file", "pid", "--pidfd-socket", "none")])
def test_explain_has_the_numbers_of_create(flags: tuple[str, ...], runtime: Runtime, place: Path, name: str) -> None:
    """A notify socket, a pid file and a pidfd socket have steps, too."""
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["true"]}))
    given = [flag if flag.startswith("--") else str(place / flag) for flag in flags]
    environment = {**os.environ, "NOTIFY_SOCKET": str(place / "notify")}
    told = json.loads(runtime.ok("explain", *(["create"] if flags else []), *given, "--format", "json", "--bundle",
                                 bundle, name, env=environment).stdout)
    steps = told if isinstance(told, list) else told["steps"]
    [explained] = [step["index"] for step in steps if step["step"] == "root.switch"]
    create = Stopping(runtime, "--break", "root.switch", "create", *given, "--bundle", bundle, name, env=environment)
    stopped = create.stop()
    assert (int(stopped[1]), stopped[2]) == (explained, "root.switch")
    create.process.terminate()
    create.go_on()
    create.end()


def test_explain_trace_and_journal_have_one_id(runtime: Runtime, place: Path, name: str) -> None:
    """The journal's numbers count in plan.json, which is kept beside it."""
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["true"]}))
    environment, trace = {**os.environ, "NOTIFY_SOCKET": str(place / "notify")}, place / "trace"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(place / "pidfd"))
        listener.listen()
        flags: list[str | Path] = ["--pid-file", place / "pid", "--pidfd-socket", place / "pidfd", "--bundle", bundle]
        told = json.loads(runtime.ok("explain", "create", "--format", "json", *flags, name, env=environment).stdout)
        runtime.ok("--trace", trace, "create", *flags, name, env=environment)
    explained = [(step["id"], step["side"], step["where"]) for step in told["steps"]]
    kept = json.loads((runtime.root / name / "plan.json").read_text())
    assert [(id, side, where) for id, side, _, where, _ in kept["steps"]] == explained
    traced = [(step["id"], step["zone"], step["where"]) for step in map(json.loads, trace.read_text().splitlines())]
    assert set(traced) <= set(explained) and len(traced) == len(set(traced)) > 0.8 * len(explained)
    assert {"pidfd.send", "state.pid_file", "sd_notify.folder"} <= {id for id, _, _ in traced}
