"""Reading a trace back: runs, their spans, and files that are no trace."""
from __future__ import annotations

import json
from pathlib import Path

import pytest

from pyrunc.errors import UsageError
from pyrunc.traceview import records
from tests.traceview.samples import create, failed, record, write


def test_a_run_has_what_its_records_say(tmp_path: Path) -> None:
    run, = records.read(write(tmp_path / "t", create()))
    assert (run.container, run.command, run.plan, run.version) == ("c1", "create", "p1", "1.2.3")
    assert [span.id for span in run.spans] == [
        "state.reserve", "mounts.proc", "barrier", "mounts.tmpfs", "mounts.tmpfs#2", "root.switch"]
    assert [span.lane for span in run.spans] == ["runtime", "init", "runtime", "init", "init", "C"]
    assert [span.begin for span in run.spans] == [0, 150, 160, 300, 400, 900]
    assert run.duration == 1000 and run.failed is None
    assert run.title() == "create c1 (pyrunc 1.2.3, 2026-01-02T03:04:05.000000Z): 6 steps in 1.00 ms"


def test_runs_in_one_file_are_told_apart_by_their_plan(tmp_path: Path) -> None:
    runs = records.read(write(tmp_path / "t", create("a", "p1"), create("b", "p2"), create("a", "p3")))
    assert [(run.container, len(run.spans)) for run in runs] == [("a", 6), ("b", 6), ("a", 6)]
    assert [run.plan for run in records.of_container(runs, "a")] == ["p1", "p3"]


def test_a_run_that_failed_names_its_step(tmp_path: Path) -> None:
    run, = records.read(write(tmp_path / "t", failed()))
    assert run.failed is not None and run.failed.id == "mounts.tmpfs#2"
    assert run.title().endswith("failed in mounts.tmpfs#2")


def test_traces_without_plans_are_told_apart_by_the_runtimes_process(tmp_path: Path) -> None:
    def run(pid: int, at: float) -> list[dict[str, object]]:
        return [record("state.reserve", at, 1.0, pid=pid),
                record("mounts.proc", at + 5, 1.0, side="child", pid=pid + 1)]
    runs = records.read(write(tmp_path / "t", run(10, 0), run(20, 100), run(30, 50)))
    assert [len(one.spans) for one in runs] == [2, 2, 2]


def test_a_step_that_its_process_did_not_survive_has_no_end(tmp_path: Path) -> None:
    run, = records.read(write(tmp_path / "t", [record("process.execute", 0, None, outcome="unfinished")]))
    assert run.spans[0].duration is None and run.spans[0].end == 0 and run.spans[0].ok
    assert run.took() == "1 step in 0.00 ms"


@pytest.mark.parametrize(("content", "said"), [
    (b"", "it holds no trace"),
    (b"\n\n", "it holds no trace"),
    (b"not json\n", "line 1: not a record"),
    (b"[1]\n", "line 1: not a record"),
    (b'{"step": "a.b"}\n', "line 1: not a record"),
    (b'{"step": 7, "time": "2026-01-02T03:04:05.000000Z"}\n', "line 1: not a record"),
    (b'{"step": "a.b", "time": "yesterday"}\n', "line 1: not a record"),
    (b'{"step": "a.b", "time": "2026-01-02T03:04:05"}\n', "line 1: not a record"),
    (b"\xff\xfe\n", "line 1: not a record"),
])
def test_what_is_no_trace_is_refused_with_its_place(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "t"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=said) as refused:
        records.read(str(path))
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("at", [0, 3, 6])
def test_a_line_that_was_cut_leaves_the_others(tmp_path: Path, at: int) -> None:
    lines = [json.dumps(one) for one in create()]
    path = tmp_path / "t"
    path.write_text("\n".join([*lines[:at], lines[at - 1][:-at - 9], *lines[at:]]))
    odd: list[str] = []
    run, = records.read(str(path), odd)
    assert len(run.spans) == 6 and len(odd) == 1 and odd[0].startswith(f"{path}: line {at + 1}: not a record")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"/none: no such file or directory$"):
        records.read(str(tmp_path / "none"))


@pytest.mark.parametrize("value", ["long", [], {}, True, -1, 1e300])
def test_odd_values_are_borne(tmp_path: Path, value: object) -> None:
    for key in ("where", "what", "outcome", "spec", "id", "pid", "duration", "zone", "container", "plan"):
        run, = records.read(write(tmp_path / "t", [{**record("a.b", 0, 1.0), key: value}]))
        assert run.spans[0].step == "a.b" and run.duration >= 0 and run.title()
