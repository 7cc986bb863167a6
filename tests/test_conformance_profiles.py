"""The profiles of conformance/ beside the specification: what they have, and that they notice what is wrong."""
from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conformance import report
from conformance.harness import leftovers, patience
from conformance.harness.exchanging import Exchanging
from conformance.harness.hostile import terminals
from conformance.harness.runtime import Program
from conformance.harness.tracer import Traced, changes, killed_at, spread
from conformance.harness.trial import Trial
from conformance.model import Result, chosen
from conformance.report import html
from tests import runtimes

CHECKOUT = Path(__file__).resolve().parents[1]
SECURITY = CHECKOUT / "docs/security.md"
NAME = re.compile(r"CVE-\d+-\d+|GHSA-\w+-\w+-\w+")


def run(profile: str, runtime: str | Path, select: str, out: Path) -> dict[str, dict[str, str]]:
    """The results of the cases of a profile by their names."""
    subprocess.run([sys.executable, "-m", "conformance", "--runtime", f"it={runtime}", "--profile", profile, "--select",
                    select, "--json", out, "--throw-away"], cwd=CHECKOUT, capture_output=True, timeout=500, check=False)
    return {entry["case"]: entry for entry in json.loads(out.read_text())["results"]["it"]}


def test_each_published_hole_is_tried() -> None:
    """Each that docs/security.md names, but for those that no runtime can shut."""
    probes = chosen([], ["security", "race", "rootless"])
    assert len(chosen([], ["security"])) >= 75
    told = SECURITY.read_text()
    elsewhere = told.partition("### Holes that a runtime cannot shut")[2].partition("###")[0]
    named = set(NAME.findall(told)) - set(NAME.findall(elsewhere))
    missing = named - set(NAME.findall(" ".join(case.demand for case in probes)))
    assert len(named) > 50 and not missing


@pytest.mark.parametrize("script", ["mkdir {0}; rmdir {0}", "echo a >{0}; rm {0}", "(mkdir {0}); rmdir {0}"])
def test_the_tracer_kills_at_a_change(script: str, tmp_path: Path) -> None:
    words = ["/bin/busybox", "sh", "-c", script.format(tmp_path / "made")]
    names: list[str] = []
    assert Traced(words, lambda count, name: names.append(name)).run() == 0
    assert len(names) == changes(words) >= 2
    for point, name in enumerate(names, 1):
        assert killed_at(words, point, children=False) == name
    assert killed_at(words, len(names) + 1, children=False) == ""


@pytest.mark.parametrize("count", [1, 2, 7, 64, 120])
def test_points_are_spread(count: int) -> None:
    """Each comes once; and of the first eighth of them, none is far from where it would be if they lay evenly."""
    found = spread(count)
    assert sorted(found) == list(range(1, count + 1))
    first = sorted(found[:max(1, count // 8)])
    gaps = [after - before for before, after in zip([0, *first], [*first, count + 1], strict=True)]
    assert max(gaps) <= 4 * count / len(first)


@pytest.mark.parametrize(("factor", "made"), [(1, 5), (10, 8)])
def test_tries_end_with_their_time(factor: int, made: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many at least, more as long as there is time, as --timeout stretches it; and they are counted."""
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(patience, "_factor", float(factor))
    trial = Trial(Program("it", tmp_path), tmp_path, "id")
    for number in trial.tries(range(20, 40), seconds=15, least=5):
        assert number == 19 + trial.tried[0]
        clock[0] += 20
    assert trial.tried == (made, 20)


def test_how_many_tries_were_made_is_told() -> None:
    name = "race.links.dev_that_is_exchanged"
    chosen([], ["race"])
    for tries, told in (((12, 25), True), ((25, 25), False)):
        found = report.Report({}, {"it": {name: Result(name, "holds", tries=tries)}})
        text = report.text(found)
        assert ("it: 12 of 25 tries, in the time that there was" in text) is told
        assert ("<small>12 of 25 tries</small>" in html.text(found)) is told
        assert report.from_json(report.as_json(found)).columns["it"][name].tries == tries


@pytest.mark.guest
def test_a_runtime_that_deletes_nothing_is_noticed(tmp_path: Path) -> None:
    leaky = tmp_path / "leaky"
    leaky.write_text(f'#!/bin/sh\nfor word; do [ "$word" = --force ] && exit 0; done\nexec {runtimes.find()} "$@"\n')
    leaky.chmod(0o755)
    found = run("crash", leaky, "crash.killed.start[alone]", tmp_path / "json")
    entry = found["crash.killed.start[alone]"]
    assert entry["verdict"] == "fails" and "points of start leave something after delete --force" in entry["seen"]


def test_names_are_exchanged(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    seen = set()
    with Exchanging(tmp_path / "one", tmp_path / "other"):
        for _ in range(100_000):
            seen.add((tmp_path / "one" / "one").exists())
            if len(seen) == 2:
                break
    assert seen == {True, False}


BROKEN = {
    "security.users.inheritable_capabilities": """
        sed -i 's/"bounding"/"inheritable": ["CAP_CHOWN"], "bounding"/' $bundle/config.json""",
    "security.inside.environment_of_the_caller[create]": """
        sed -i 's/"env": \\[/"env": ["SECRET_OF_THE_CALLER=x",/' $bundle/config.json""",
    "security.links.mask_is_another_file[/only/inside]": """
        sed -i 's/"maskedPaths"/"nothing"/' $bundle/config.json""",
    "race.links.null_that_is_exchanged": """
        sed -i 's/"maskedPaths"/"nothing"/' $bundle/config.json""",
}


@pytest.mark.guest
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_runtime_is_noticed(name: str, tmp_path: Path) -> None:
    """The probes hold of this runtime, and not of one that changes config.json for the worse."""
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\nbundle=; before=\nfor word; do [ \"$before\" = --bundle ] && bundle=$word; "
                      f"before=$word; done\nif [ -n \"$bundle\" ]; then {BROKEN[name].strip()}; fi\n"
                      f"exec {runtimes.find()} \"$@\"\n")
    broken.chmod(0o755)
    profile = name.partition(".")[0]
    assert run(profile, runtimes.find(), name, tmp_path / "sound")[name]["verdict"] == "holds"
    assert run(profile, broken, name, tmp_path / "broken.json")[name]["verdict"] == "fails"


def test_who_connects_for_a_terminal_and_sends_none_is_not_waited_for(tmp_path: Path) -> None:
    """As a runtime whose init has inherited the connection."""
    silent = socket.socket(socket.AF_UNIX)
    with silent, terminals(Trial(Program("it", tmp_path), tmp_path, "id")) as path:
        silent.connect(path)
    with pytest.raises(ConnectionRefusedError), socket.socket(socket.AF_UNIX) as late:
        late.connect(path)


@pytest.mark.parametrize("gone", [FileNotFoundError, ProcessLookupError])
def test_a_thread_that_ends_has_no_children(gone: type[OSError], monkeypatch: pytest.MonkeyPatch) -> None:
    def vanish(path: Path) -> str:
        raise gone(path)
    monkeypatch.setattr(Path, "read_text", vanish)
    assert leftovers.children() == set()
