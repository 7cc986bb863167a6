"""python -m tests.gallery.record: run every fault with runc, crun and pyrunc, and with `pyrunc check`; write it down.

tests/gallery/recorded.json is what they said, docs/errors.md shows it. The faults of the guest are run in the guest.
"""
from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests import runtimes, world

from . import everyday, first, others, page, run
from .fault import Fault

RECORDED = Path(__file__).parent / "recorded.json"
NATIVE: tuple[Fault, ...] = (*first.FAULTS, *everyday.FAULTS, *others.OF_USERS)
ALL: tuple[Fault, ...] = (*NATIVE, *others.OF_THE_GUEST)
EVERYDAY: tuple[Fault, ...] = ALL[len(first.FAULTS):]
BEGIN = "--- recorded ---\n"


def record(faults: Iterable[Fault]) -> dict[str, Any]:
    """{name of the fault: {runtime or "check": [status, line]}}, run here and now."""
    found = {}
    for fault in faults:
        place = Path(tempfile.mkdtemp(prefix="pyrunc-gallery-", dir="/tmp"))
        place.chmod(0o755)
        try:
            found[fault.name] = {name: line.as_json() for name, line in run.lines(fault, place).items()}
        finally:
            shutil.rmtree(place)
    return found


def versions() -> dict[str, str]:
    """The first line that each runtime says of itself."""
    found = {}
    for name in run.RUNTIMES:
        said = subprocess.run([runtimes.find(name), "--version"], capture_output=True, text=True, check=True).stdout
        found[name] = said.splitlines()[0].partition("version ")[2].partition("+")[0]
    return found


def in_the_guest() -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-m", "tests.guest", "--quiet", "--", sys.executable, "-m", __spec__.name,
                           "guest"], capture_output=True, text=True, check=False)
    assert BEGIN in done.stdout, done.stdout[-2000:] + done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.partition(BEGIN)[2])
    return found


def main(parts: list[str]) -> None:
    """Parts that are not named stay as they were recorded: "native", "guest" (there: print them), "from-guest"."""
    if parts == ["guest"]:
        sys.stdout.write(BEGIN + json.dumps(record(others.OF_THE_GUEST)))
        return
    kept = json.loads(RECORDED.read_text())["faults"] if RECORDED.exists() else {}
    guest = in_the_guest() if not parts or "from-guest" in parts else {}
    world.enter()
    native = record(NATIVE) if not parts or "native" in parts else {}
    faults = {**kept, **native, **guest}
    RECORDED.write_text(json.dumps({"versions": versions(), "faults": {
        fault.name: faults[fault.name] for fault in ALL if fault.name in faults}}, indent=1) + "\n")
    page.write(json.loads(RECORDED.read_text()))


if __name__ == "__main__":
    main(sys.argv[1:])
