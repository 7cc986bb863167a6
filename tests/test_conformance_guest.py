"""conformance/ where this machine has not got what cases need: cgroups by systemd, and groups of resctrl."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests import runtimes
from tests.guest import resctrl

CHECKOUT = Path(__file__).resolve().parents[1]
#: Of what `--systemd-cgroup` changes: who makes the cgroup, its limits in every controller, and what is refused.
BY_SYSTEMD = ("namespace_that_is_new[[]cgroup", "cgroups_path", "config_linux_md.limit", "limit_below_the_use",
              "md_resources.shares", "md_resources.no_process_more", "device_rules[[]denied")


def results(out: Path, *words: str) -> dict[str, dict[str, str]]:
    """The cases by their names, of this runtime; in a guest without KVM nothing is fast."""
    subprocess.run([sys.executable, "-m", "conformance", "--runtime", f"it={runtimes.find()}", "--timeout", "240",
                    "--json", out, *words], cwd=CHECKOUT, check=False)
    return {entry["case"]: entry for entry in json.loads(out.read_text())["results"]["it"]}


@pytest.mark.guest_systemd
@pytest.mark.timeout(900)
def test_cases_hold_with_cgroups_by_systemd(tmp_path: Path) -> None:
    found = results(tmp_path / "json", "--systemd-cgroup",
                    *(word for name in BY_SYSTEMD for word in ("--select", f"*{name}*")))
    wrong = {name: entry["seen"] for name, entry in found.items() if entry["verdict"] not in ("holds", "not here")}
    assert not wrong and not [entry["left"] for entry in found.values() if entry["left"]]
    assert Counter(entry["verdict"] for entry in found.values())["holds"] >= 12


@pytest.mark.guest
@pytest.mark.timeout(900)
def test_cases_of_resctrl_hold_and_notice(tmp_path: Path) -> None:
    """With groups of resctrl, all hold; and of the runtimes that are broken there, each is noticed."""
    if not os.path.ismount(resctrl.PLACE):
        subprocess.run(["insmod", resctrl.module()], check=True)
        subprocess.run(["mount", "-t", "resctrl", "resctrl", resctrl.PLACE], check=True)
    try:
        found = results(tmp_path / "json", "--select", "config_linux_md_resctrl")
        assert {name: entry["seen"] for name, entry in found.items() if entry["verdict"] != "holds"} == {}
        assert len(found) >= 19
        words = ("--runtime", runtimes.find(), "--timeout", "240", "--select", "config_linux_md_resctrl.class_alone")
        done = subprocess.run([sys.executable, "-m", "conformance", "mutants", *words], cwd=CHECKOUT, check=False,
                              capture_output=True, text=True)
        assert done.stdout.splitlines()[-1].startswith("2 killed, 0 lives, 0 out of time, 0 not tried"), done.stdout
    finally:
        subprocess.run(["umount", resctrl.PLACE], check=True)
        subprocess.run(["rmmod", "resctrl"], check=True)
