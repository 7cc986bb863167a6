"""The cases under pytest: `pytest -p conformance.plugin --oci-runtime [NAME=]PATH [--oci-runtime ...] [-k ...]`.

Without further arguments all cases are collected, and nothing else. What is not here or not offered is skipped; what
deviates passes, and its reason is in the report's sections.
"""
from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .harness import shield
from .harness.runtime import Program, program
from .model import DEVIATES, NOT_HERE, NOT_OFFERED, PROFILES, Case, Result, chosen
from .run import run_one

CASES = Path(__file__).parent / "cases"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance", "conformance of OCI runtimes")
    group.addoption("--oci-runtime", action="append", default=[], metavar="[NAME=]PATH", help="repeatable")
    group.addoption("--oci-select", action="append", default=[], metavar="PATTERN",
                    help="repeatable: cases by name or chapter")
    group.addoption("--oci-throw-away", action="store_true", help="this machine may be lost: for "
                    f"{', '.join(shield.HARMFUL)}")
    group.addoption("--oci-profile", action="append", default=[], choices=PROFILES, help="repeatable (spec)")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--oci-runtime") and (refused := shield.refusal(
            config.getoption("--oci-profile"), config.getoption("--oci-throw-away"))):
        raise pytest.UsageError(refused.replace("--profile", "--oci-profile").replace("--throw", "--oci-throw"))
    if config.getoption("--oci-runtime") and config.args_source is not pytest.Config.ArgsSource.ARGS:
        config.args = [str(CASES)]


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if CASES in file_path.parents and file_path.name != "__init__.py" and parent.config.getoption("--oci-runtime"):
        file: CaseFile = CaseFile.from_parent(parent, path=file_path)
        return file
    return None


class CaseFile(pytest.File):
    """The cases of one file, for each runtime."""

    def collect(self) -> Iterator[CaseItem]:
        programs = [program(given) for given in self.config.getoption("--oci-runtime")]
        inside = ".".join(self.path.relative_to(CASES).with_suffix("").parts)
        for case in chosen(self.config.getoption("--oci-select"), self.config.getoption("--oci-profile") or ["spec"]):
            if case.name.startswith(f"{inside}."):
                for runtime in programs:
                    name = f"{case.name.removeprefix(f'{inside}.')}<{runtime.name}>"
                    item: CaseItem = CaseItem.from_parent(self, name=name, case=case, program=runtime)
                    yield item


class Failed(Exception):
    """A case that fails or is broken; holds its result."""


class CaseItem(pytest.Item):
    """One case under one runtime."""

    def __init__(self, *, case: Case, program: Program, **fields: object) -> None:
        super().__init__(**fields)          # type: ignore[arg-type]
        self.case, self.program = case, program

    def runtest(self) -> None:
        if os.geteuid() and self.case.profile != "rootless":
            pytest.skip("the cases need root")
        result = run_one(self.case, self.program)
        if result.verdict in (NOT_HERE, NOT_OFFERED):
            pytest.skip(f"{result.verdict}: {result.seen}")
        if result.verdict == DEVIATES:
            self.add_report_section("call", result.verdict, result.seen)
        if result.failed:
            raise Failed(result)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None) -> str:
        """What was demanded, what was seen, and what the runtime printed."""
        if not isinstance(excinfo.value, Failed):
            return str(super().repr_failure(excinfo))
        result: Result = excinfo.value.args[0]
        quoted = "".join(f"  {row.chapter}: {row.text}\n" for row in self.case.rows)
        return f"{self.case.asks}\n{quoted}{result.verdict}: {result.seen}\n\n{result.log}"

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, f"{self.case.name} <{self.program.name}>"
