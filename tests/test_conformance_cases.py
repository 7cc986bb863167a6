"""conformance/: it stands alone, its cases run against this runtime, notice broken ones, and are told in every form."""
from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import pytest

from conformance.model import load
from conformance.mutants.table import MUTANTS
from conformance.report import coverage
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


def test_every_mutant_has_a_case_and_a_name_of_its_own() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 100
    assert {mutant.kills for mutant in MUTANTS} <= load().keys()


def test_the_document_has_the_numbers() -> None:
    document = " ".join((CHECKOUT / "docs/conformance.md").read_text().split())
    for kind, (some, all_) in coverage.counts().items():
        assert f"{kind}: {some} of {all_}" in document, "docs/conformance.md: the state of the cases"


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
    kinds = {case.get("name"): [child.tag for child in case] for case in
             ElementTree.parse(tmp_path / "junit").iter("testcase")}
    assert kinds == {"runtime_md.start_without_an_id": ["failure"], "config_md.hostname": ["failure"],
                     "features_md.versions": ["skipped"]}


def test_a_runtime_that_hangs_fails_in_time(tmp_path: Path) -> None:
    fake = tmp_path / "fake"
    fake.write_text("#!/bin/sh\ncase $* in *start*) exec sleep 1000;; esac\n")
    fake.chmod(0o755)
    done = run("--runtime", fake, "--select", "start_without_an_id", "--timeout", "1", "--json", tmp_path / "json")
    assert done.returncode == 1
    entry, = json.loads((tmp_path / "json").read_text())["results"]["fake"]
    assert (entry["verdict"], entry["seen"]) == ("fails", "not at its end after 1 s")


def test_what_a_runtime_leaves_is_told_and_removed(pyrunc: str, tmp_path: Path) -> None:
    leaky = tmp_path / "leaky"
    leaky.write_text(f'#!/bin/sh\nfor word; do [ "$word" = delete ] && exit 0; done\nexec {pyrunc} "$@"\n')
    leaky.chmod(0o755)
    done = run("--runtime", leaky, "--select", "runtime_md.start_of_a_running", "--json", tmp_path / "json")
    entry, = json.loads((tmp_path / "json").read_text())["results"]["leaky"]
    assert entry["verdict"] == "holds" and [word for word in entry["left"] if word.startswith("process ")], done.stdout
    left, = {word.rpartition("/")[2] for word in entry["left"] if word.startswith("file ")}
    assert not any(left in path.read_text() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists())


def test_mutants_are_killed_and_told(pyrunc: str) -> None:
    done = run("mutants", "--runtime", pyrunc, "--select", "the option ro is left out", "--select", "kill does nothing")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "2 killed, 0 lives, 0 not tried"


def test_under_pytest(pyrunc: str) -> None:
    done = run("-p", "conformance.plugin", "-p", "no:cacheprovider", "--oci-runtime", f"mine={pyrunc}", "--oci-select",
               "config_md.hostname", "-v", module="pytest")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "config_md.py::hostname<mine> PASSED" in done.stdout and "1 passed" in done.stdout
