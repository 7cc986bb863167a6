"""conformance/: it stands alone, its cases run against this runtime, notice broken ones, and are told in every form."""
from __future__ import annotations

import ast
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import pytest

from conformance import report
from conformance.harness import bundles
from conformance.harness.runtime import program
from conformance.harness.trial import Trial
from conformance.model import NotHere, Result, load
from conformance.mutants.table import MUTANTS
from conformance.report import coverage
from conformance.rows import rows
from tests import runtimes

CHECKOUT = Path(__file__).resolve().parents[1]
SUITE = CHECKOUT / "conformance"
ALLOWED = {"conformance", "jsonschema", "pytest", "_pytest"}


def run(*words: str | Path, module: str = "conformance", seconds: float = 100) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", module, *words], check=False, capture_output=True, text=True,
                          timeout=seconds, cwd=CHECKOUT)


@pytest.fixture
def pyrunc() -> str:
    return runtimes.find()


def imported(source: str) -> set[str]:
    """First parts of the names of modules that a file imports; relative imports are of the suite itself."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(str(node.module).partition(".")[0])
    return found


def test_the_suite_imports_nothing_of_ours() -> None:
    files = list(SUITE.rglob("*.py"))
    assert len(files) > 20
    strange = {(str(path.relative_to(SUITE)), name) for path in files for name in imported(path.read_text())
               if name not in ALLOWED and name not in sys.stdlib_module_names}
    assert not strange
    assert imported("import pyrunc.kernel\nfrom tests import world\nfrom . import x") == {"pyrunc", "tests"}


def test_every_package_and_requirement_is_in_its_distribution() -> None:
    project = tomllib.loads((SUITE / "pyproject.toml").read_text())
    packages = {".".join(path.parent.relative_to(CHECKOUT).parts) for path in SUITE.rglob("__init__.py")}
    assert set(project["tool"]["setuptools"]["packages"]) == packages
    assert {word.partition(">")[0] for word in project["project"]["dependencies"]} == {"jsonschema", "pytest"}


def test_the_wheel_runs_without_the_checkout(pyrunc: str, tmp_path: Path) -> None:
    """Installed into a folder of its own, the suite runs from elsewhere."""
    source = shutil.copytree(SUITE, tmp_path / "conformance", ignore=shutil.ignore_patterns("__pycache__", "build"))
    there = tmp_path / "there"
    pip = sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"
    subprocess.run([*pip, "--target", there, source], check=True, capture_output=True, timeout=200)
    shutil.rmtree(source)
    words = sys.executable, "-m", "conformance", "--runtime", f"it={pyrunc}", "--select", "config_md.hostname"
    done = subprocess.run(words, capture_output=True, text=True, timeout=100, cwd=tmp_path, check=False,
                          env={**os.environ, "PYTHONPATH": str(there), "PYTHONSAFEPATH": "1"})
    assert done.returncode == 0 and "= holds           1" in done.stdout, done.stdout + done.stderr


def test_every_mutant_has_a_case_and_a_name_of_its_own() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 100
    assert {mutant.kills for mutant in MUTANTS} <= load().keys()


def test_the_document_has_the_numbers() -> None:
    document = " ".join((CHECKOUT / "docs/conformance.md").read_text().split())
    for kind, (some, all_) in coverage.counts().items():
        assert f"{kind}: {some} of {all_}" in document, "docs/conformance.md: the state of the cases"


def test_each_demand_with_must_has_a_case_and_a_mutant_or_a_reason() -> None:
    """The sum: with both, and those that the suite gives a reason for, are all that there are."""
    must = {row.key for row in rows().values() if row.must}
    both = must & coverage.held().keys() & coverage.broken().keys()
    excused = coverage.open_demands()
    assert both | excused.keys() == must and not both & excused.keys() and len(must) >= 187
    assert not excused and "no case" not in coverage.text() and "no mutant" not in coverage.text()
    # Not one mutant for two of them.
    mutants = coverage.own()
    assert must <= mutants.keys() and len(set(mutants.values())) == len(mutants)
    # Of the table of mount options and of what is REQUIRED each word is a demand, too.
    assert all(row.key in coverage.broken() for row in coverage.options()) and len(coverage.options()) == 37
    assert all(coverage.required().values()) and len(coverage.required()) >= 17


def test_what_is_special_about_a_bundle() -> None:
    base = {"a": 1, "b": {"c": [1], "d": 2}, "e": 3}
    found = {"a": 1, "b": {"c": [2], "d": 2, "f": None}, "g": {"h": 1}}
    assert bundles.changes(base, found) == {"b": {"c": [2], "f": None}, "e": None, "g": {"h": 1}}
    assert bundles.merge(base, bundles.changes(base, {"b": {"c": [2]}})) == {"b": {"c": [2]}}
    assert bundles.told("{") == "{" and json.loads(bundles.told('{"hostname": "x"}'))["hostname"] == "x"


def test_cgroups_by_systemd(tmp_path: Path) -> None:
    """The flag comes before each command, a path of folders is not asked for, and without systemd nothing is run."""
    fake = tmp_path / "fake"
    fake.write_text("#!/bin/sh\nexit 0\n")
    fake.chmod(0o755)
    runtime = program(f"it={fake}", systemd=True)
    trial = Trial(runtime, tmp_path, "id")
    assert trial.runtime.argv("state", "id")[1:] == ["--root", f"{tmp_path}/state", "--systemd-cgroup", "state", "id"]
    trial.needs_cgroups()
    with pytest.raises(NotHere, match="--systemd-cgroup"):
        trial.needs_cgroups(files=True)
    if not Path("/run/systemd/system").is_dir():
        done = run("--runtime", fake, "--systemd-cgroup", "--select", "cgroups_path")
        assert done.returncode == 2 and "systemd does not run here" in done.stderr


def test_tables_are_compared(tmp_path: Path) -> None:
    """A verdict, something left and a case that is missing make a difference; seconds and words do not."""
    def written(name: str, *results: Result) -> Path:
        found = report.Report({}, {"it": {result.case: result for result in results}})
        (tmp_path / name).write_text(report.as_json(found))
        return tmp_path / name
    first = written("first", Result("a", "holds", seconds=1), Result("b", "fails", "so"), Result("c", "holds"))
    same = written("same", Result("a", "holds", seconds=2), Result("b", "fails", "other"), Result("c", "holds"))
    other = written("other", Result("a", "fails"), Result("b", "fails", left=["file /x"]))
    done = run("compare", first, same)
    assert (done.returncode, done.stdout) == (0, "2 runs, 3 cases in the first: the same table\n")
    done = run("compare", first, same, other)
    assert done.returncode == 1 and done.stdout.splitlines() == [
        f"{other}: it: a: holds, fails", f"{other}: it: b: fails, fails+", f"{other}: it: c: holds, not run",
        "3 runs, 3 cases in the first: 3 differ"]
    (tmp_path / "none").write_text("[]")
    assert run("compare", first, tmp_path / "none").returncode == 2


def processes(*words: str) -> list[int]:
    """Those with this command line."""
    wanted = "".join(f"{word}\0" for word in words).encode()
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += [int(file.parent.name)] if file.read_bytes() == wanted else []
        except OSError:
            continue
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_was_found_before_a_signal_is_told(number: int, tmp_path: Path) -> None:
    """Under a program that is no runtime the first case fails at once, and the second one waits for it."""
    fake, seconds = tmp_path / "fake", f"600.{os.getpid()}{number}"
    fake.write_text('#!/bin/sh\nfor word; do grep -qs umask "$word/config.json" && exec sleep '
                    f'{seconds}; done; exit 1\n')
    fake.chmod(0o755)
    # env: a shell's background job ignores SIGINT
    words: list[str | Path] = ["env", "--default-signal", sys.executable, "-m", "conformance", "--runtime", fake,
                               "--select", "config_md.user", "--select", "config_md.umask", "--json", tmp_path / "json"]
    with subprocess.Popen(words, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not processes("sleep", seconds):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.02)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    told = json.loads((tmp_path / "json").read_text())
    assert [entry["verdict"] for entry in told["results"]["fake"]] == ["fails"]
    assert "interrupted: at case 2 of 2 under fake" in out
    assert not processes("sleep", seconds)


def test_a_command_that_goes_on_is_told_with_what_it_does(tmp_path: Path) -> None:
    """Twice as long as usual with twice the usual limit, and the child that it waits for is told."""
    fake = tmp_path / "fake"
    fake.write_text("#!/bin/sh\nsleep 5\n")
    fake.chmod(0o755)
    out = tmp_path / "out"
    script = ("from pathlib import Path; from conformance.harness import patience, runtime; import sys\n"
              "patience.stretch(30); patience.stretch(120)\n"
              "try:\n    runtime.Runtime(runtime.Program('it', Path(sys.argv[1])), Path(sys.argv[2]))('state', 'x', "
              "seconds=0.5)\n"
              "except runtime.OutOfTime as failed:\n    print(failed)\n")
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", script, fake, out], cwd=CHECKOUT, capture_output=True, text=True,
                          timeout=60, check=False)
    assert time.monotonic() - began >= 1 and "state goes on after 1 s: " in done.stdout, done.stderr
    assert " fake: S, " in done.stdout and " sleep: S, hrtimer_nanosleep, system call " in done.stdout


SLICE = ("runtime_md.state_is_what", "runtime_md.start_of_a_stopped", "config_md.user", "config_md_mounts.order_of",
         "config_md_hooks.order_of_kinds", "config_linux_md.default_devices[null]", "features_md.versions")


def test_a_slice_holds_and_is_told_in_every_form(pyrunc: str, tmp_path: Path) -> None:
    forms = [word for form in ("text", "json", "junit", "html") for word in (f"--{form}", tmp_path / form)]
    select = [word for name in SLICE for word in ("--select", name)]
    done = run("--runtime", f"mine={pyrunc}", *select, *forms)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "text").read_text() == done.stdout
    told = json.loads((tmp_path / "json").read_text())
    assert {result["verdict"] for result in told["results"]["mine"]} == {"holds"}
    assert not any(result["left"] for result in told["results"]["mine"]) and len(told["cases"]) == len(SLICE)
    assert "MUST adhere to the JSON Schema" in json.dumps(told["cases"])
    assert len(list(ElementTree.parse(tmp_path / "junit").iter("testcase"))) == len(SLICE)
    page = (tmp_path / "html").read_text()
    assert "MUST mount entries in the listed order" in page and "<span class=holds>" in page
    assert "<small>null</small></summary>" in page, "which of several cases of one demand"
    assert "&quot;additionalGids&quot;: [" in page, "what is special about the bundle of config_md.user"


def test_what_deviates_is_told_and_is_no_failure(pyrunc: str, tmp_path: Path) -> None:
    """And a runtime that does not even do what engines need fails."""
    name = "runtime_md.delete_of_a_created_container"
    words = "--select", name, "--json", tmp_path / "json", "--junit", tmp_path / "junit"
    done = run("--runtime", f"it={pyrunc}", *words)
    assert done.returncode == 0 and "= deviates" in done.stdout, done.stdout + done.stderr
    entry, = json.loads((tmp_path / "json").read_text())["results"]["it"]
    assert entry["verdict"] == "deviates" and "containerd" in entry["seen"] and not entry["left"]
    assert [child.tag for child in next(ElementTree.parse(tmp_path / "junit").iter("testcase"))] == ["system-out"]
    deaf = tmp_path / "deaf"
    deaf.write_text(f'#!/bin/sh\nfor word; do [ "$word" = delete ] && exec true; done\nexec {pyrunc} "$@"\n')
    deaf.chmod(0o755)
    assert run("--runtime", f"it={deaf}", *words).returncode == 1
    entry, = json.loads((tmp_path / "json").read_text())["results"]["it"]
    assert entry["verdict"] == "fails" and entry["seen"].startswith("state after delete: exit status 0")


def test_a_runtime_that_does_nothing_fails(tmp_path: Path) -> None:
    fake = tmp_path / "fake"
    fake.write_text("#!/bin/sh\nexit 0\n")
    fake.chmod(0o755)
    done = run("--runtime", fake, "--select", "runtime_md.start_without_an_id", "--select", "features_md.versions",
               "--select", "config_md.hostname", "--json", tmp_path / "json", "--junit", tmp_path / "junit")
    assert done.returncode == 1, done.stderr
    found = {entry["case"]: entry for entry in json.loads((tmp_path / "json").read_text())["results"]["fake"]}
    assert {name: entry["verdict"] for name, entry in found.items()} == {
        "runtime_md.start_without_an_id": "fails", "features_md.versions": "not offered", "config_md.hostname": "fails"}
    seen = found["runtime_md.start_without_an_id"]["seen"]
    assert seen == "start: exit status 0; start no-such-container: exit status 0"
    assert f"$ {fake}" in found["config_md.hostname"]["log"]
    assert '"hostname": "a-name-of-its-own"' in "".join(found["config_md.hostname"]["bundles"])
    kinds = {case.get("name"): [child.tag for child in case] for case in
             ElementTree.parse(tmp_path / "junit").iter("testcase")}
    assert kinds == {"runtime_md.start_without_an_id": ["failure"], "config_md.hostname": ["failure"],
                     "features_md.versions": ["skipped"]}


def test_failures_can_be_sent_to_authors(tmp_path: Path) -> None:
    """Chapter and words, what is expected, the bundle, what was seen, and the commands; of one runtime or of all."""
    fake = tmp_path / "fake"
    fake.write_text("#!/bin/sh\nexit 0\n")
    fake.chmod(0o755)
    run("--runtime", f"one={fake}", "--runtime", f"two={fake}", "--select", "config_md.hostname", "--select",
        "features_md.versions", "--json", tmp_path / "json")
    done = run("failures", tmp_path / "json")
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("#")] == [
        "# one: 1 of 2 cases fail", "## config_md.hostname: fails", "# two: 1 of 2 cases fail",
        "## config_md.hostname: fails"]
    told = done.stdout.partition("# two")[0]
    assert "blob/v1.3.0/config.md#hostname)" in told and '     "hostname": "a-name-of-its-own"' in told
    assert "- Expected: The host name" in told and "- Seen: create wrote no pid" in told and f"    $ {fake}" in told
    assert "# one" not in run("failures", tmp_path / "json", "--runtime", "two").stdout
    (tmp_path / "none").write_text("[]")
    assert run("failures", tmp_path / "none").returncode == 2


def test_runtimes_ignore_no_signal_that_the_caller_ignores(tmp_path: Path) -> None:
    """As nohup does: a runtime may hand it on to its containers."""
    fake = tmp_path / "fake"
    fake.write_text("#!/bin/sh\ngrep SigIgn /proc/$$/status >&2\nexit 1\n")
    fake.chmod(0o755)
    subprocess.run(["sh", "-c", "trap '' HUP USR1; exec \"$@\"", "sh", sys.executable, "-m", "conformance", "--runtime",
                    f"it={fake}", "--select", "config_md.hostname", "--json", tmp_path / "json"],
                   cwd=CHECKOUT, capture_output=True, check=False, timeout=100)
    [result] = json.loads((tmp_path / "json").read_text())["results"]["it"]
    ignored = {int(mask, 16) for mask in re.findall(r"SigIgn:\s*(\w+)", result["log"])}
    of_libc = 1 << 31 | 1 << 32                                  # 32 and 33, which no Python program can set
    assert ignored and not any(mask & ~of_libc for mask in ignored), result["log"]


def test_a_runtime_that_hangs_is_out_of_time(tmp_path: Path) -> None:
    """It is told as such, with what goes on, and is no success."""
    fake = tmp_path / "fake"
    fake.write_text("#!/bin/sh\ncase $* in *start*) exec sleep 1000;; esac\n")
    fake.chmod(0o755)
    done = run("--runtime", fake, "--select", "start_without_an_id", "--timeout", "1", "--json", tmp_path / "json",
               "--junit", tmp_path / "junit")
    sums = [line.split() for line in done.stdout.splitlines() if line.startswith("= ")]
    assert done.returncode == 1 and ["=", "out", "of", "time", "1"] in sums
    entry, = json.loads((tmp_path / "json").read_text())["results"]["fake"]
    assert entry["verdict"] == "out of time" and entry["seen"].startswith("not at its end after 1 s: ")
    assert " sleep: S, hrtimer_nanosleep, system call " in entry["seen"]
    assert [child.tag for child in ElementTree.parse(tmp_path / "junit").iter("testcase").__next__()] == ["failure"]


def test_what_a_runtime_leaves_is_told_and_removed(pyrunc: str, tmp_path: Path) -> None:
    leaky = tmp_path / "leaky"
    leaky.write_text(f'#!/bin/sh\nfor word; do [ "$word" = delete ] && exit 0; done\nexec {pyrunc} "$@"\n')
    leaky.chmod(0o755)
    done = run("--runtime", leaky, "--select", "runtime_md.start_of_a_running", "--json", tmp_path / "json")
    entry, = json.loads((tmp_path / "json").read_text())["results"]["leaky"]
    assert entry["verdict"] == "holds" and [word for word in entry["left"] if word.startswith("process ")], done.stdout
    left, = {word.rpartition("/")[2] for word in entry["left"] if word.startswith("file ")}
    assert not any(left in path.read_text() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists())


def test_what_a_runtime_leaves_elsewhere_is_told_and_removed(tmp_path: Path) -> None:
    """In /run, in a folder of it, and in shared memory; by the case's process or, when it is killed, without it."""
    made: list[Path] = []
    for words in (["--select", "config_md.hostname"], ["--select", "config_md.hostname", "--timeout", "2"]):
        leaky = tmp_path / f"leaky{len(words)}"
        name = f"leak-{os.getpid()}-{len(words)}"
        hang = "exec sleep 100" if "--timeout" in words else ":"
        leaky.write_text('#!/bin/sh\nfor id; do :; done\ncase $* in *create*) mkdir -p /run/runc; for folder in /run '
                         f'/run/runc /dev/shm; do touch $folder/{name}-$id; done; {hang};; esac\nexit 1\n')
        leaky.chmod(0o755)
        done = run("--runtime", leaky, *words, "--json", tmp_path / "json")
        entry, = json.loads((tmp_path / "json").read_text())["results"][leaky.name]
        assert done.returncode == 1
        if "--timeout" not in words:
            assert sorted(word.partition(name)[0] for word in entry["left"]) == [
                "file /dev/shm/", "file /run/", "file /run/runc/"], done.stdout
        made += [path for folder in ("/run", "/run/runc", "/dev/shm") for path in Path(folder).glob(f"{name}*")]
    assert made == []


def test_the_log_of_a_case_is_bounded(tmp_path: Path) -> None:
    """However much a runtime prints: its beginning is told, and its end."""
    loud = tmp_path / "loud"
    loud.write_text("#!/bin/sh\ncase $* in *create*) echo begins >&2; head -c 90000000 /dev/zero | tr '\\0' x >&2; "
                    "echo ends >&2;; esac\nexit 1\n")
    loud.chmod(0o755)
    done = run("--runtime", loud, "--select", "config_md.hostname", "--json", tmp_path / "json")
    entry, = json.loads((tmp_path / "json").read_text())["results"]["loud"]
    assert done.returncode == 1 and len(entry["log"]) <= 40_000 and len(entry["seen"]) <= 4000
    assert entry["seen"].endswith("ends") and (tmp_path / "json").stat().st_size < 200_000


def test_mutants_are_killed_and_told(pyrunc: str) -> None:
    done = run("mutants", "--runtime", pyrunc, "--select", "the option ro is left out", "--select", "kill does nothing")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "2 killed, 0 lives, 0 out of time, 0 not tried"


def test_under_pytest(pyrunc: str) -> None:
    done = run("-p", "conformance.plugin", "-p", "no:cacheprovider", "--oci-runtime", f"mine={pyrunc}", "--oci-select",
               "config_md.hostname", "-v", module="pytest")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "config_md.py::hostname<mine> PASSED" in done.stdout and "1 passed" in done.stdout
