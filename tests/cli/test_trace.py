"""trace: of a container that really ran, in each format; and what it refuses."""
from __future__ import annotations

import json
import os
import subprocess
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from pyrunc.cli import main as cli
from tests import browser, bundles
from tests.bundles import docker_like
from tests.container import strace
from tests.runtimes import Runtime
from tests.traceview.samples import create, failed, write


@pytest.fixture
def traced(runtime: Runtime, place: Path, name: str) -> Path:
    """The trace of a `run`."""
    trace = place / "trace"
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["true"]}))
    argv = runtime.argv("run", "--bundle", bundle, name)
    subprocess.run([argv[0], "--trace", str(trace), *argv[1:]], check=True)
    return trace


def shown(runtime: Runtime, *words: str, **environment: str) -> str:
    done = subprocess.run([runtime.argv("x")[0], "--root", str(runtime.root), "trace", *words], check=True,
                          capture_output=True, env={**os.environ, **environment})
    assert not done.stderr
    return done.stdout.decode()


def test_runs_in_a_trace_say_whose_they_are(runtime: Runtime, traced: Path, name: str) -> None:
    records = [json.loads(line) for line in traced.read_text().splitlines()]
    plans = list(dict.fromkeys((record["plan"], record["command"]) for record in records))
    assert [command for _, command in plans] == ["create", "start", "delete"]
    assert {record["container"] for record in records} == {name}
    assert all(record["version"] and (record["spec"] or record["step"].startswith(("barrier", "start.", "delete.")))
               for record in records if "." in record["step"])
    text = shown(runtime, "show", "--all", str(traced))
    for command in ("create", "start", "delete"):
        assert f"{command} {name} (pyrunc " in text


def test_the_waterfall_of_a_run(runtime: Runtime, traced: Path) -> None:
    text = shown(runtime, "show", "--all", str(traced), COLUMNS="120", LC_ALL="C")
    steps = [line.split()[3] for line in text.splitlines() if line.startswith("  ") and "runtime" in line]
    assert "state.reserve" in steps and "start.release" in steps and "delete.forget" in steps
    assert "mounts.proc" in text and text.isascii()
    assert max(map(len, text.splitlines())) <= 120
    assert "█" in shown(runtime, "show", "--all", str(traced), COLUMNS="120", LC_ALL="C.UTF-8")


def test_every_step_of_the_trace_is_in_the_other_formats(runtime: Runtime, traced: Path) -> None:
    steps = [json.loads(line)["step"] for line in traced.read_text().splitlines()]
    events = json.loads(shown(runtime, "show", "--all", "--format", "chrome", str(traced)))["traceEvents"]
    assert sorted(event["name"].partition("#")[0] for event in events if event["ph"] == "X") == sorted(steps)
    page = shown(runtime, "show", "--all", "--format", "html", str(traced))
    assert page.count("<li ") == len(steps)


def test_a_trace_differs_from_itself_by_nothing(runtime: Runtime, traced: Path) -> None:
    lines = shown(runtime, "diff", str(traced), str(traced)).splitlines()
    assert "+0.00 ms" in lines[0] and all(line.split()[2] == "+0" for line in lines[3:])


def test_a_containers_runs_are_found_by_its_id(runtime: Runtime) -> None:
    write(runtime.root / "@trace.jsonl", create("a", "p1"), create("b", "p2"), create("a", "p3"))
    assert shown(runtime, "show", "--all", "a").count("create a") == 2
    assert shown(runtime, "show", "b").count("create b") == 1
    (runtime.root / "@trace.jsonl").unlink()


@pytest.mark.parametrize(("words", "said"), [
    (["show", "/none"], "/none: no such file or directory"),
    (["show", "nobody"], "no such file or directory"),
    (["diff", "/none"], "trace diff: use trace show TRACE [TRACE], or trace diff TRACE TRACE"),
    (["draw", "/none"], "trace draw: use trace show TRACE [TRACE], or trace diff TRACE TRACE"),
])
def test_what_it_refuses(tmp_path: Path, capfd: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert cli.main(["--root", str(tmp_path), "trace", *words]) == 1
    assert said in capfd.readouterr().err


def test_a_command_that_the_trace_has_not_is_an_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trace = write(tmp_path / "t", create())
    assert cli.main(["trace", "show", "--command", "exec", trace]) == 1
    assert "the trace has no run of exec" in capfd.readouterr().err


def test_a_trace_that_was_cut_is_shown_with_a_warning(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trace = Path(write(tmp_path / "t", create()))
    trace.write_bytes(trace.read_bytes()[40:-40])
    assert cli.main(["trace", "show", str(trace)]) == 0
    shown, warned = capfd.readouterr()
    assert "4 steps" in shown and "line 1: not a record" in warned and "left out, and 1 more" in warned


def test_a_step_that_fails_has_its_own_time(runtime: Runtime, place: Path, name: str) -> None:
    """Not that of its explanation, of a stop, or of the undoing, which come after it."""
    missing = {"destination": "/data", "source": "/no/such", "options": ["bind"]}
    bundle = bundles.bundle(place / "bundle", docker_like(mounts=[*bundles.MOUNTS, missing]))
    argv = runtime.argv("--trace", place / "trace", "create", "--bundle", bundle, name)
    assert subprocess.run(argv, capture_output=True).returncode == 1
    records = [json.loads(line) for line in (place / "trace").read_text().splitlines()]
    *_, before, failed = records
    assert failed["step"] == "binds.source" and "/no/such" in failed["outcome"] and failed["duration"] > 0
    ended = datetime.fromisoformat(before["time"]) + timedelta(microseconds=before["duration"])
    assert abs(datetime.fromisoformat(failed["time"]) - ended) < timedelta(milliseconds=20)


def test_what_looking_on_takes_in_system_calls(runtime: Runtime, place: Path, name: str) -> None:
    """A bound that no load changes (tests/bench/trace.py has the times): without a trace one look for each switch file,
    and none for reports; with it a few calls for the whole run, not some for each step."""
    bundle = bundles.bundle(place / "bundle")

    def create(*flags: str) -> list[str]:
        argv = runtime.argv("create", "--bundle", bundle, name)
        called = [call.text for call in strace.traced([argv[0], *flags, *argv[1:]])]
        runtime.ok("delete", "--force", name)
        return called
    create()                                               # whatever is made only once
    off, named = create(), create("--trace", str(place / "t"))
    (runtime.root / "@trace").touch()
    switched = create()
    (runtime.root / "@trace").unlink()
    looked = [text for text in off if "/@" in text and "/@seccomp" not in text]
    assert ["/@trace" in text or "/@break" in text for text in looked] == [True, True]
    assert all("ENOENT" in text for text in looked), looked
    assert len(named) - len(off) <= 8 and len(switched) - len(off) <= 16
    assert len((place / "t").read_text().splitlines()) > 60


# ---- in a browser -------------------------------------------------------------------------------------------------
def test_the_page_in_a_browser(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The bars stand where their steps ran: each lane's colour is seen, and that of the step that failed."""
    trace = write(tmp_path / "t", create("a", "p1"), failed())
    assert cli.main(["trace", "show", "--all", "--format", "html", trace]) == 0
    page = tmp_path / "page.html"
    page.write_text(capfd.readouterr().out)
    rows = browser.screenshot(page, 1400, 420)
    runtime, init, fault, last = (0x3b, 0x76, 0xc4), (0x3f, 0x9c, 0x57), (0xc8, 0x30, 0x3a), (0xb5, 0x76, 0x2a)
    below = rows[100:]                                     # without the key at the top, which has all colours
    begins = {colour: min((row.index(colour) for row in below if colour in row), default=-1)
              for colour in (runtime, init, fault, last)}
    assert -1 not in begins.values(), begins
    assert begins[runtime] < begins[init] < begins[last] < begins[fault]      # the second trace is right of the first
    light, dark = rows[-1][-1], browser.screenshot(page, 1400, 420, dark=True)[-1][-1]
    assert min(light) > 200 and max(dark) < 60
