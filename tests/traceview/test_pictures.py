"""The waterfall, the file for Perfetto, the page and the comparison, of traces that are known."""
from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pyrunc.traceview.chrome import chrome
from pyrunc.traceview.difference import difference
from pyrunc.traceview.otel import otel
from pyrunc.traceview.page import page
from pyrunc.traceview.records import Run, read
from pyrunc.traceview.waterfall import waterfall
from tests.traceview.samples import create, failed, record, write


def run_of(tmp_path: Path, *runs: list[dict[str, object]]) -> list[Run]:
    return read(write(tmp_path / "t", *runs))


# ---- the waterfall ------------------------------------------------------------------------------------------------
def test_a_bar_stands_where_its_step_ran(tmp_path: Path) -> None:
    run, = run_of(tmp_path, create())
    lines = waterfall(run, 100, blocks=False).splitlines()
    left = lines[2].index("0", lines[2].index("step"))
    width = len(lines[2]) - left
    bars = {line.split()[3]: line[left:] for line in lines[3:]}
    assert bars["state.reserve"] == "#" * round(width / 10)
    assert bars["root.switch"] == " " * int(width * 0.9) + "#" * (width - int(width * 0.9))
    assert set(bars["barrier"].strip()) == {"."} and len(bars["barrier"].strip()) >= width * 0.7
    assert lines[2].endswith("1.0 ms")


@pytest.mark.parametrize("columns", [1, 40, 60, 80, 100, 132, 200, 400])
@pytest.mark.parametrize("blocks", [True, False])
def test_no_line_is_wider_than_the_terminal(tmp_path: Path, columns: int, blocks: bool) -> None:
    run, = run_of(tmp_path, [*create(), record("a." + "long" * 20, 950, 1.0, what="text " * 100, plan="p1")])
    lines = waterfall(run, columns, blocks=blocks).splitlines()[2:]
    assert max(map(len, lines)) <= max(columns, 60)


def test_what_a_step_does_is_said_where_there_is_room(tmp_path: Path) -> None:
    run, = run_of(tmp_path, create())
    assert "do mounts.proc [mounts[0]]" in waterfall(run, 160)
    assert "do mounts.proc" not in waterfall(run, 80)


def test_a_step_that_failed_is_marked_and_its_error_shown(tmp_path: Path) -> None:
    run, = run_of(tmp_path, failed())
    text = waterfall(run, 100)
    marked, = (line for line in text.splitlines() if line.endswith(" !"))
    assert marked.split()[3] == "mounts.tmpfs#2"
    assert text.endswith("no space left on device: at mounts[2] in config.json: step mounts.tmpfs\n")
    red = [line for line in waterfall(run, 100, colour=True).splitlines() if line.startswith("\x1b[31m")]
    assert len(red) == 1 and "mounts.tmpfs#2" in red[0]


def test_nothing_in_a_trace_steers_the_terminal(tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07\r\n\u202e"
    run, = run_of(tmp_path, [record("a.b", 0, 1.0, what=evil, where=evil, outcome=evil, container=evil)])
    assert not set(waterfall(run, 200)) & set("\x1b\x07\r\u202e")


def test_warnings_are_in_every_picture(tmp_path: Path) -> None:
    *before, last = create()
    run, = run_of(tmp_path, [*before, {**last, "warnings": ["a <b>", 7, "c\x1b"]}])
    assert run.warnings == ["a <b>", "c\x1b"]
    assert waterfall(run, 100).endswith("\n\nwarning: a <b>\nwarning: c\\x1b\n")
    assert "warning: a &lt;b&gt;" in page([run]) and "\x1b" not in page([run])
    instant = [event["name"] for event in json.loads(chrome([run]))["traceEvents"] if event["ph"] == "i"]
    assert instant == ["warning: a <b>", "warning: c\x1b"]
    spans = [json.loads(line) for line in otel([run]).splitlines()]
    assert [event["attributes"]["message"] for event in spans[-1]["events"]] == run.warnings


# ---- Perfetto -----------------------------------------------------------------------------------------------------
def test_chrome_has_an_event_for_each_step_on_its_lane(tmp_path: Path) -> None:
    runs = run_of(tmp_path, create("a", "p1"), failed())
    document = json.loads(chrome(runs))
    events = [event for event in document["traceEvents"] if event["ph"] == "X"]
    names = {(event["pid"], event["tid"]): event["args"]["name"] for event in document["traceEvents"]
             if event["name"] == "thread_name"}
    assert len(events) == 11
    for event, span in zip(events, [span for run in runs for span in run.spans]):
        assert event["name"] == span.id and event["dur"] == span.duration
        assert names[event["pid"], event["tid"]] == span.lane
    assert events[1]["args"] == {"what": "do mounts.proc", "where": "mounts[0]", "spec": "config.md#mounts",
                                 "outcome": "ok", "pid": 11}
    assert events[1]["ts"] - events[0]["ts"] == 150
    assert [event["name"] for event in events if event.get("cname")] == ["mounts.tmpfs#2"]


# ---- the page -----------------------------------------------------------------------------------------------------
class Outline(HTMLParser):
    """What is in a page: texts, links, and that every element is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.elements: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        if tag not in ("meta", "html"):
            self.open.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_endtag(self, tag: str) -> None:
        if tag != "html":
            assert self.open.pop() == tag


def outline(text: str) -> Outline:
    parser = Outline()
    parser.feed(text)
    parser.close()
    assert not parser.open
    return parser


def test_the_page_has_every_step_and_needs_nothing_else(tmp_path: Path) -> None:
    runs = run_of(tmp_path, create("a", "p1"), failed())
    text = page(runs)
    found = outline(text)
    assert found.elements.count("section") == 2 and found.elements.count("li") == 11
    assert found.links == ["https://github.com/opencontainers/runtime-spec/blob/main/config.md#mounts"] * 2
    assert "script" not in found.elements and "url(" not in text and "@import" not in text
    assert "default-src 'none'" in text
    assert text.count('class="init failed"') == 1


def test_bars_of_both_traces_have_one_scale(tmp_path: Path) -> None:
    slow = create("b", "p2", slow=1000.0)
    text = page(run_of(tmp_path, create("a", "p1"), slow))
    lefts = [float(number) for number in re.findall(r"left:([0-9.]+)%", text)]
    assert lefts[5] == pytest.approx(45.0) and lefts[11] == pytest.approx(95.0)


def test_nothing_in_a_trace_becomes_markup(tmp_path: Path) -> None:
    evil = "</li><script>alert(1)</script><img src=x onerror='x'>\"&\x1b"
    text = page(run_of(tmp_path, [record("a.b", 0, 1.0, what=evil, where=evil, outcome=evil, container=evil, spec=evil,
                                         id=evil, version=evil, command=evil)]))
    found = outline(text)
    assert not {"script", "img"} & set(found.elements) and "\x1b" not in text
    assert all(link.startswith("https://github.com/") for link in found.links)


# ---- two traces ---------------------------------------------------------------------------------------------------
def test_the_difference_says_where_the_time_went(tmp_path: Path) -> None:
    first = run_of(tmp_path, create("a", "p1"))
    extra = record("extra.step", 999, 7.0, command="create", plan="p2")
    second = run_of(tmp_path, [*create("b", "p2", slow=500.0), extra])
    lines = difference(first, second).splitlines()
    assert lines[0] == "create: 1.00 ms and 1.50 ms, +0.50 ms"
    assert ["50", "550", "+500", "mounts.proc"] in (lines[3].split(), lines[4].split())
    assert any(line.split() == ["-", "7", "+7", "extra.step", "only", "in", "B"] for line in lines)


def test_several_runs_are_compared_by_their_medians(tmp_path: Path) -> None:
    first = run_of(tmp_path, *(create("a", f"p{slow}", float(slow)) for slow in (0, 100, 9000)))
    second = run_of(tmp_path, create("b", "q1"))
    text = difference(first, second)
    assert text.startswith("create, medians of 3 and 1 runs: 1.10 ms and 1.00 ms, -0.10 ms")
