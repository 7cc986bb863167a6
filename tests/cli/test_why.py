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
from pyrunc.cli import main as cli
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
    assert "process.args[0] on the command line\n" in runtime.ok("why").stdout      # and no value of the config's


def test_their_number_and_size_are_bounded(runtime: Runtime, bundle: Path, name: str) -> None:
    for number in range(failures.MOST + 3):
        fail(runtime, bundle, f"{name}-{number}")
    assert len(reports(runtime)) == failures.MOST
    assert f"{name}-{number}" in runtime.ok("why").stdout
    assert len(failures._bounded({"trace": ["x" * failures.LARGEST], "error": {}})) < 1000


LONG = failures.LARGEST


@pytest.mark.parametrize("report", [
    {"argv": ["x" * LONG]}, {"argv": ["x"] * (LONG // 3)}, {"warnings": ["\x01" * 99] * (LONG // 99)},
    {"error": {"message": "\udcff" * LONG}}, {"host": {"controllers": ["cpu"] * (LONG // 4)}}, {"bundle": "/" * LONG},
    {"config": {"annotations": {"a" * 99 + str(i): "b" * 99 for i in range(LONG // 99)}}},
    {"config": {"annotations": {str(i): [["y" * 99] * 99] * 99 for i in range(3)}}},
    {"caller": {"name": "\U0001f600" * (LONG // 2)}, "argv": ["z" * LONG]},
], ids=lambda report: "-".join(report))
def test_whatever_is_too_long_a_report_is_whole(report: dict[str, Any], runtime: Runtime, name: str) -> None:
    """The one part that the others cannot make room for is cut in itself: it is JSON, and `why` reads it."""
    usual = {"version": 1, "time": "2026-01-02T03:04:05Z", "container": name, "command": "create", "argv": [],
             "error": {"class": "StepError", "message": "m"}, "host": {}, "trace": [], "plan": {}, "config": None}
    data = failures._bounded({**usual, **report})
    assert len(data) <= failures.LARGEST
    assert json.loads(data)["container"] == name and json.loads(data)["error"]["message"]
    (runtime.root / "@reports").mkdir(parents=True)
    (runtime.root / "@reports/01.json").write_bytes(data)
    for words in (["why"], ["why", name], ["why", "--all"], ["explain", "--report", runtime.root / "@reports/01.json"]):
        assert name in runtime.ok(*words).stdout
    assert runtime("why", "other").status == 1


def test_a_config_that_is_left_out_leaves_the_names(runtime: Runtime, bundle: Path, name: str) -> None:
    """By which a report is asked for."""
    bundles.write(bundle, failing(hooks={"poststop": [{"path": "/bin/true", "args": ["x" * 4000] * 400}]}))
    assert runtime("create", "--bundle", bundle, name).status == 1
    assert reports(runtime)[0].stat().st_size <= failures.LARGEST
    for asked in (name, "web-1", "front"):
        assert "shop/web-1, container front" in runtime.ok("why", asked).stdout


@pytest.mark.parametrize("part", ["version", "time", "container", "command", "error", "host", "plan", "trace", "config",
                                  "findings", "caller", "argv", "log", "warnings"])
@pytest.mark.parametrize("value", [None, 7, "left out", [], [7], [[1, 2]], {}, {"steps": [{"id": 3}], "id": [1]}, True],
                         ids=str)
def test_a_report_with_anything_in_it_is_told(runtime: Runtime, name: str, part: str, value: Any,
                                              tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """One that is not as it should be hides no other: each part is what it can be taken for."""
    step = ["mounts.proc", "child", "config.md#mounts", "mounts[0]", "mount proc on /proc"]
    report = {"version": 1, "time": "2026-01-02T03:04:05Z", "container": name, "command": "create", "argv": [],
              "error": {"class": "StepError", "message": "m", "id": "mounts.proc", "where": "mounts[0]"},
              "host": {"controllers": ["cpu"]}, "config": {"mounts": [], "annotations": POD}, "caller": {"name": "sh"},
              "trace": [{"id": "mounts.proc", "duration": 1.0}], "plan": {"steps": [step]},
              "findings": [{"level": "error", "where": "mounts[0]", "what": "w", "hint": "h"}]}
    folder = tmp_path / "@reports"
    folder.mkdir()
    (folder / "02.json").write_text(json.dumps({**report, part: value}))
    (folder / "01.json").write_text(json.dumps(report))
    for words in (["why"], ["why", name], ["why", "--all"], ["report", "--no-doctor", "-o", "-"]):
        assert cli.main(["--root", str(tmp_path), *words]) == 0, words
    assert cli.main(["explain", "--report", str(folder / "02.json")]) in (0, 1)
    out, err = capfd.readouterr()
    assert name in out and "internal error" not in out + err


def test_a_report_of_another_version_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "r.json").write_text(json.dumps({"version": 2, "pyrunc": "9.1", "error": {}, "host": {}}))
    assert cli.main(["explain", "--report", str(tmp_path / "r.json")]) == 1
    assert "is a report of pyrunc 9.1, which writes them in another way" in capfd.readouterr().err


@pytest.mark.parametrize("env", [
    [PATH, f"TOKEN {SECRET}"], {"TOKEN": SECRET}, f"TOKEN={SECRET}", [{"name": "TOKEN", "value": SECRET}], [[SECRET]],
], ids=["without =", "object", "string", "Kubernetes' form", "nested"])
@pytest.mark.parametrize("key", ["env", "Env", "environment"])
def test_values_of_an_environment_in_a_wrong_form_are_not_kept(runtime: Runtime, bundle: Path, name: str, env: Any,
                                                               key: str) -> None:
    config = failing()
    del config["process"]["env"]
    (bundle / "config.json").write_text(json.dumps({**config, "process": {**config["process"], key: env}}))
    assert runtime("create", "--bundle", bundle, name).status == 1
    [path] = reports(runtime)
    assert SECRET not in path.read_text()
    text = json.dumps({**config, "process": {**config["process"], key: [f"TOKEN={SECRET}"]}})
    (bundle / "config.json").write_text(text[:text.index(SECRET) + len(SECRET)])
    assert "a string has no end" in runtime("create", "--bundle", bundle, name).stderr
    assert SECRET not in reports(runtime)[-1].read_text()


def test_a_report_has_the_log_and_the_engines_options(runtime: Runtime, bundle: Path, name: str, place: Path) -> None:
    flags = ("--log", place / "log", "--log-format", "json", "--systemd-cgroup", "--debug")
    bundles.write(bundle, failing(linux={"cgroupsPath": f"system.slice:pyrunc:{name}"}))
    runtime(*flags, "create", "--bundle", bundle, name)
    report = json.loads(reports(runtime)[-1].read_text())
    assert report["log"] == (place / "log").read_text().splitlines(keepends=True)
    assert report["argv"][2:9] == [str(flag) for flag in flags] + ["create"]


def test_a_failure_outside_of_the_plan_is_kept_as_well(runtime: Runtime, bundle: Path, name: str, place: Path) -> None:
    bundles.write(bundle, docker_like(process={"terminal": True}))
    done = runtime("create", "--bundle", bundle, "--console-socket", place / "nobody", name)
    assert done.status == 1 and f"create of {name} failed" in runtime.ok("why", name).stdout


def test_a_clock_that_was_set_back_keeps_new_reports(runtime: Runtime, bundle: Path, name: str) -> None:
    fail(runtime, bundle, f"{name}-old")
    [path] = reports(runtime)
    for year in range(failures.MOST):
        path.with_name(f"0{4 + year}000000000000000000.json").write_bytes(path.read_bytes())
    path.unlink()
    fail(runtime, bundle, f"{name}-new")
    assert len(reports(runtime)) == failures.MOST and f"create of {name}-new failed" in runtime.ok("why").stdout
    assert "findings" in json.loads(reports(runtime)[0].read_text())


def test_another_user_cannot_speak_for_roots_containers(runtime: Runtime, bundle: Path, name: str) -> None:
    """What stands in a report that root reads may be any user's: root's own comes first, and the other's says whose."""
    fail(runtime, bundle, name)
    [path] = reports(runtime)
    forged = path.with_name(f"{int(path.stem) + 1:020}.json")
    forged.write_text(path.read_text().replace("no such file or directory", "run this as root"))
    os.chown(forged, 12345, 12345)
    said = runtime.ok("why", name).stdout
    assert "run this as root" not in said and "has written it" not in said
    path.unlink()
    assert "called by python" in (said := runtime.ok("why", name).stdout) and "run this as root" in said
    assert "; as 12345 (uid 12345) has written it" in said.splitlines()[0]


def test_what_a_killed_writer_has_left_goes(runtime: Runtime, bundle: Path, name: str) -> None:
    fail(runtime, bundle, name)
    halves = [runtime.root / "@reports" / part for part in (".01.json", ".02.json")]
    for half in halves:
        half.write_text("{")
    os.utime(halves[0], (1, 1))
    fail(runtime, bundle, name)
    assert not halves[0].exists() and halves[1].exists(), "another process may be writing that one"


def test_of_a_very_large_config_the_error_does_not_wait_for_check(runtime: Runtime, bundle: Path, name: str) -> None:
    many = [{"destination": f"/tmp/{number}", "type": "tmpfs", "source": "tmpfs"} for number in range(2500)]
    bundles.write(bundle, failing(mounts=[*MOUNTS, *many, MISSING]))
    assert runtime("create", "--bundle", bundle, name).status == 1
    report = json.loads(reports(runtime)[0].read_text())
    assert "findings" not in report and len(report["plan"]["steps"]) > 2500
    assert "create of" in runtime.ok("why").stdout


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
