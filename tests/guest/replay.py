"""pytest: run the tests marked `guest` and its kin (MARKS) inside one boot of the guest each, and replay the reports.

Outside, the marked tests are moved to the end and a guest is started at once, so that it works while the native
tests run; when these are done, two guests work at once. Each test's reports (setup, call, teardown; with captured
output) are read as the guest writes them and handed to pytest as if the test had run here. A guest that dies fails
every test it still owed, with its last words.
Inside, the same tests run with `--here`.
"""
from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import runtimes

from . import machine

#: In the order in which they begin: what takes longest first, so that not one alone is left at the end.
MARKS = {"guest": "runs as root in the QEMU guest: pure cgroup v2, every capability, AppArmor",
         "guest_systemd": "runs as root in the QEMU guest with systemd as PID 1",
         "guest_engines": "runs as root in a QEMU guest like that of `guest`, where the engines' daemons stay up",
         "guest_selinux": "runs as root in the QEMU guest with SELinux, without a policy, in place of AppArmor"}


#: What decides which tests there are (tests/manager/conftest.py).
ASKED = ("PYRUNC_HANDLERS",)


def mark_of(item: pytest.Item) -> str | None:
    """The guest an item asks for, one of MARKS, by its nearest mark; None for this machine."""
    return next((mark.name for mark in item.iter_markers() if mark.name in MARKS), None)


class Writer:
    """Inside the guest: one JSON line per report, written when it is made."""

    def __init__(self, config: pytest.Config, path: str) -> None:
        self.config = config
        self.file = open(path, "a", encoding="utf-8")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self.config.hook.pytest_report_to_serializable(config=self.config, report=report)
        self.file.write(json.dumps(data, default=str) + "\n")
        self.file.flush()


class Batch:
    """The tests of one guest: its machine, and the reports it has written so far by node id."""

    def __init__(self, config: pytest.Config, mark: str, items: list[pytest.Item], timeout: float) -> None:
        self.config, self.mark, self.timeout = config, mark, timeout
        self.nodeids = [item.nodeid for item in items]
        self.guest: machine.Guest | None = None
        self.result: machine.Result | None = None
        self.failure = ""
        self.took = 0.0                              # seconds from the start of the boot to the last report
        self._offset = 0
        self._reports: dict[str, list[pytest.TestReport]] = {}

    def start(self) -> None:
        argv = [sys.executable, "-m", "pytest", "--here", "--reports=/job/reports", "-p", "no:cacheprovider", "-q",
                "-p", "no:hypothesispytest",        # hypothesis works without; importing it takes 2 s there
                "-o", "timeout=600",                # the processor is emulated
                f"--rootdir={self.config.rootpath}", *_passed_on(self.config), *self.nodeids]
        try:
            self.guest = machine.Guest(argv, systemd=self.mark == "guest_systemd", cwd=self.config.rootpath,
                                       security="selinux" if self.mark == "guest_selinux" else "apparmor",
                                       **_copy_for_anyone())
        except OSError as error:
            self.failure = (f"the guest cannot be started: {error} (apt-get install qemu-system-x86 "
                            f"linux-image-amd64 busybox-static)")

    @property
    def ended(self) -> bool:
        return bool(self.failure) or self.result is not None

    def poll(self) -> None:
        """Take in what the guest has written; notice its end."""
        if self.guest is None or self.ended:
            return
        status = None
        try:
            status = self.guest.poll()
            if status is None and time.monotonic() - self.guest.began > self.timeout:
                raise machine.GuestError(f"stopped after {self.timeout:.0f} s:\n{self.guest.output()[-3000:]}")
        except machine.GuestError as error:
            self.failure = str(error)
        self._read()
        if status is not None:
            self.result = self.guest.result(status)
        if status is not None or self.failure:
            self.guest.close()

    def _read(self) -> None:
        assert self.guest is not None
        try:
            with (self.guest.share / "reports").open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return
        whole = data[:data.rfind(b"\n") + 1]
        self._offset += len(whole)
        if whole:
            self.took = time.monotonic() - self.guest.began
        for line in whole.splitlines():
            report = self.config.hook.pytest_report_from_serializable(config=self.config, data=json.loads(line))
            self._reports.setdefault(report.nodeid, []).append(report)

    def reports(self, item: pytest.Item) -> Iterator[pytest.TestReport]:
        """The item's reports, waiting for the guest to write them; a failed one in place of those it never wrote."""
        while True:
            found = self._reports.pop(item.nodeid, [])
            yield from found
            if any(report.when == "teardown" for report in found):
                return
            if self.ended and not self._reports.get(item.nodeid):
                why = self.failure
                if self.result is not None:
                    why = f"the guest's pytest ended ({self.result.status}) without it:\n{self.result.output[-3000:]}"
                yield pytest.TestReport(item.nodeid, item.location, {item.name: 1}, "failed", why, "call")
                return
            self.poll()
            if not self._reports.get(item.nodeid) and not self.ended:
                time.sleep(0.05)


def _copy_for_anyone() -> dict[str, Any]:
    """What tells the guest of the runtime that ordinary users can run: building one there takes many minutes. And what
    was asked for by the environment."""
    path = runtimes.find()
    copy = runtimes.for_anyone(path)
    env = {name: os.environ[name] for name in ASKED if name in os.environ}
    return {"env": env} if copy == path else {"env": {**env, runtimes.FOR_ANYONE: copy},
                                              "keep": [Path(copy).parent.parent]}


def _passed_on(config: pytest.Config) -> list[str]:
    """Options of this run that the inner pytest needs too."""
    passed = [f"--{name}={value}" for name in ("runtime", "engines-from") if (value := config.getoption(f"--{name}"))]
    passed += [f"--{name}" for name in ("engines", "faults", "every-call") if config.getoption(f"--{name}")]
    passed.append(f"--share={config.getoption('share')}")
    if config.getoption("maxfail"):
        passed.append(f"--maxfail={config.getoption('maxfail')}")
    return passed


class Replay:
    """Outside: the plugin that starts the guests and replays what they report."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.batches: dict[str, Batch] = {}
        self.room = 1       # how many guests may run at once; an emulated one keeps little more than one processor busy

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: list(MARKS).index(mark) if (mark := mark_of(item)) else -1)
        for item in items:
            if mark_of(item):
                item.add_marker(pytest.mark.timeout(0))    # the clock that counts is the one inside

    def pytest_runtestloop(self, session: pytest.Session) -> None:
        if self.config.option.collectonly:
            return
        for mark in MARKS:
            if items := [item for item in session.items if mark_of(item) == mark]:
                self.batches[mark] = Batch(self.config, mark, items, self.config.getoption("guest_timeout"))
        self._advance()

    def _advance(self) -> None:
        """Start the next guest when there is room for it, and take in what those that run have written."""
        running = 0
        for batch in self.batches.values():
            if batch.guest is None and not batch.ended:
                batch.start()
            batch.poll()
            running += not batch.ended
            if running == self.room:
                return

    def pytest_runtest_logfinish(self) -> None:
        self._advance()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        mark = mark_of(item)
        if mark is None:
            return None
        self.room = 2       # the tests of this machine are done
        while self.batches[mark].guest is None and not self.batches[mark].ended:
            self._advance()
            time.sleep(0.05)
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for report in self.batches[mark].reports(item):
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        for mark, batch in self.batches.items():
            if batch.guest is not None:
                terminalreporter.write_line(
                    f"{mark}: {len(batch.nodeids)} tests in one boot: up after {batch.guest.booted:.1f} s "
                    f"({batch.guest.accelerator}), last report after {batch.took:.1f} s")

    def pytest_unconfigure(self) -> None:
        for batch in self.batches.values():
            if batch.guest is not None:
                batch.guest.close()


def add_options(parser: pytest.Parser) -> None:
    group = parser.getgroup("guest")
    group.addoption("--here", action="store_true", help="run guest tests on this machine, which must be like the guest")
    group.addoption("--reports", metavar="FILE", help="also write each report as a JSON line")
    group.addoption("--guest-timeout", type=float, default=7200, metavar="SECONDS", help="for each boot (7200)")


def configure(config: pytest.Config) -> None:
    for name, meaning in MARKS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")
    if path := config.getoption("reports"):
        config.pluginmanager.register(Writer(config, path), "guest-writer")
    if not config.getoption("here"):
        config.pluginmanager.register(Replay(config), "guest-replay")
