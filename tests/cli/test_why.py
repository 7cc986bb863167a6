"""What is kept of a failure, for whom, and what `why`, `report` and `explain --report` make of it."""
from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrunc.checks import failures
from tests import bundles, runtimes, world
from tests.bundles import MOUNTS, PATH, docker_like
from tests.runtimes import Outcome, Runtime

SECRET = "hunter2"
MISSING = {"destination": "/data", "source": "/no/such", "options": ["bind"]}
POD = {"io.kubernetes.cri.sandbox-name": "web-1", "io.kubernetes.cri.sandbox-namespace": "shop",
       "io.kubernetes.cri.container-name": "front"}


@pytest.fixture(autouse=True)
def switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYRUNC_REPORTS")


@pytest.fixture
def bundle(place: Path) -> Path:
    return bundles.bundle(place / "bundle")


@pytest.fixture
def runtime(private_world: None, place: Path) -> Iterator[Runtime]:
    driven = Runtime(runtimes.find(), place / "state")
    yield driven
    for left in driven.root.glob("[!@]*"):
        driven("delete", "--force", left.name)


def failing(**changes: Any) -> dict[str, Any]:
    return docker_like(**{"mounts": [*MOUNTS, MISSING], "annotations": POD,
                          "process": {"env": [PATH, f"TOKEN={SECRET}"]}, **changes})


def fail(runtime: Runtime, bundle: Path, name: str, *flags: str, **options: Any) -> Outcome:
    bundles.write(bundle, failing())
    done = runtime(*flags, "create", "--bundle", bundle, name, **options)
    assert done.status == 1 and "/no/such: no such file or directory" in done.stderr
    return done


def reports(runtime: Runtime) -> list[Path]:
    return sorted((runtime.root / "@reports").glob("*"))


def test_a_report_has_all_but_values_of_the_environment(runtime: Runtime, bundle: Path, name: str) -> None:
    fail(runtime, bundle, name)
    [path] = reports(runtime)
    for kept, mode in ((path, 0o600), (path.parent, 0o700)):
        assert stat.S_IMODE(kept.stat().st_mode) == mode and kept.stat().st_uid == os.geteuid()
    text = path.read_text()
    report = json.loads(text)
    assert SECRET not in text and report["config"]["process"]["env"] == ["PATH", "TOKEN"]
    assert report["container"] == name and report["command"] == "create" and report["argv"][-1] == name
    assert report["error"]["where"] == "mounts[7].source" and report["error"]["step"] == "binds.source"
    assert report["error"]["message"] in fail(runtime, bundle, name).stderr.replace('\\"', '"')
    assert any(step[0] == report["error"]["id"] for step in report["plan"]["steps"])
    assert [record["outcome"] for record in report["trace"]][-1] != "ok" and len(report["trace"]) > 3
    assert "mounts[7].source" in [finding["where"] for finding in report["findings"]]
    assert report["host"]["kernel"] == os.uname().release and report["caller"]["uid"] == os.geteuid()


def test_why_tells_it_in_ten_lines(runtime: Runtime, bundle: Path, name: str) -> None:
    fail(runtime, bundle, name)
    for asked in ([], [name], ["web-1"], ["front"]):
        lines = runtime.ok("why", *asked).stdout.splitlines()
        assert len(lines) <= 10
        text = "\n".join(lines)
        for said in (f"create of {name} failed", "shop/web-1, container front", "/no/such: no such file or directory",
                     'where   mounts[7].source in config.json = "/no/such"', "binds.source", "Linux "):
            assert said in text, (said, text)
    bundles.write(bundle, failing(hostname=7))
    assert runtime("create", "--bundle", bundle, f"{name}b").status == 1
    assert "where   hostname in config.json = 7\n" in runtime.ok("why").stdout
    nothing = runtime("why", "nonesuch")
    assert nothing.status == 1 and "no failure of" in nothing.stderr
    assert name in runtime.ok("why", "--all").stdout


def test_a_report_is_packed_and_read_elsewhere(runtime: Runtime, bundle: Path, name: str, place: Path) -> None:
    fail(runtime, bundle, name)
    packed = place / "packed.json"
    assert runtime.ok("report", "--output", packed, name).stdout == f"{packed}\n"
    assert stat.S_IMODE(packed.stat().st_mode) == 0o600 and json.loads(packed.read_text())["doctor"]
    assert runtime("report", "--output", packed, name).status == 1, "it writes over nothing"
    for left in reports(runtime):
        left.unlink()
    shown = runtime.ok("explain", "--report", packed).stdout
    failed = [line for line in shown.splitlines() if line.startswith("!")]
    assert len(failed) == 1 and "binds.source" in failed[0] and "mounts[7]" in failed[0]
    packed.write_text("{}")
    assert "is not a report" in runtime("explain", "--report", packed).stderr


def test_start_and_exec_have_reports_too(runtime: Runtime, bundle: Path, name: str) -> None:
    (bundle / "rootfs/bin/run").write_text("#!/nosuch\n")
    (bundle / "rootfs/bin/run").chmod(0o755)
    bundles.write(bundle, docker_like(process={"args": ["run"]}))
    runtime.create(name, bundle)
    assert runtime("start", name).status == 1
    assert 'its interpreter "/nosuch"' in runtime.ok("why").stdout
    runtime.ok("delete", "--force", name)
    bundles.write(bundle, docker_like(process={"args": ["sleep", "100"]}))
    runtime.ok("run", "--detach", "--bundle", bundle, f"{name}b")
    assert runtime("exec", "--env", f"TOKEN={SECRET}", f"-e=T={SECRET}", f"{name}b", "nosuch").status == 255
    assert SECRET not in reports(runtime)[-1].read_text()
    assert "process.args[0] on the command line" in runtime.ok("why").stdout


def test_their_number_and_size_are_bounded(runtime: Runtime, bundle: Path, name: str) -> None:
    for number in range(failures.MOST + 3):
        fail(runtime, bundle, f"{name}-{number}")
    assert len(reports(runtime)) == failures.MOST
    assert f"{name}-{number}" in runtime.ok("why").stdout
    assert len(failures._bounded({"trace": ["x" * failures.LARGEST], "error": {}})) < 1000


def test_success_and_misuse_leave_none(runtime: Runtime, bundle: Path, name: str) -> None:
    runtime.ok("run", "--bundle", bundle, name)
    assert runtime("create", "--bundle", "/nonexistent", name).status == 1
    assert runtime("start", name).status == 1 or not (runtime.root / "@reports").exists()
    assert runtime("create", "--nosuch").status == 1 and runtime("state", name).status == 1
    assert not [path for path in reports(runtime) if "create" in path.read_text().partition('"root"')[0]]


def same(runtime: Runtime, bundle: Path, name: str) -> None:
    """The error is what it is without reports."""
    lines = [fail(runtime, bundle, name, env={**os.environ, **more}).stderr.partition(" msg=")[2]
             for more in ({}, {"PYRUNC_REPORTS": "0"})]
    assert lines[0] == lines[1] and lines[0].count("\n") == 1


def test_a_link_leads_nowhere(runtime: Runtime, bundle: Path, name: str, place: Path) -> None:
    (place / "elsewhere").mkdir()
    (runtime.root / "@reports").symlink_to(place / "elsewhere")
    same(runtime, bundle, name)
    assert list((place / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("mode", [0o777, 0o720])
def test_a_folder_of_others_is_not_written_to(runtime: Runtime, bundle: Path, name: str, mode: int) -> None:
    (runtime.root / "@reports").mkdir()
    (runtime.root / "@reports").chmod(mode)
    same(runtime, bundle, name)
    assert reports(runtime) == []


def test_a_file_of_that_name_switches_them_off(runtime: Runtime, bundle: Path, name: str) -> None:
    (runtime.root / "@reports").write_text("")
    same(runtime, bundle, name)
    assert runtime.ok("list", "--quiet").stdout == ""


@pytest.mark.parametrize("how", ["size=16k", "ro"])
def test_without_room_the_error_is_the_same(runtime: Runtime, bundle: Path, name: str, how: str) -> None:
    bundles.write(bundle, {**failing(), "ociVersion": "latest"})
    told = runtime("create", "--bundle", bundle, name).stderr.partition(" msg=")[2]
    world.mount("tmpfs", runtime.root, "tmpfs", data="mode=700" if how == "ro" else f"mode=700,{how}")
    try:
        if how == "ro":
            world.mount("none", runtime.root, flags=world.MS_BIND | 32 | 1)
        else:
            (runtime.root / "x").write_bytes(bytes(12 << 10))
        done = runtime("create", "--bundle", bundle, name)
        assert (done.status, done.stderr.partition(" msg=")[2]) == (1, told)
        assert [path.name for path in reports(runtime)] == []
    finally:
        world.unmount(runtime.root)
