"""The plan of create for each named bundle, as `explain` prints it: tests/golden/*.txt (written anew by --update).

A change of a plan shows in these files as a diff that can be read; nothing here acts, needs root or looks at the host.
"""
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from pyrunc import plan
from pyrunc.cli.explain import as_text
from pyrunc.config.check import check
from pyrunc.host import Host
from pyrunc.options import Options
from tests.named_bundles import BUNDLES

if TYPE_CHECKING:
    from pyrunc.config.types import Config
    from pyrunc.engine.step import Plan

GOLDEN = Path(__file__).parent / "golden"


def planned(which: str) -> Plan:
    """The plan of create for a named bundle."""
    config = cast("Config", BUNDLES[which])
    check(config)
    host = Host(euid=1000, egid=1000) if which == "rootless" else Host()
    terminal = config.get("process", {}).get("terminal")
    options = Options(id="ID", bundle="/bundle", root="/run/pyrunc", nonce="NONCE",
                      console_socket="/run/console.sock" if terminal else "")
    return plan.create(config, options, host)


@pytest.mark.parametrize("which", BUNDLES)
def test_the_plan_is_the_golden_one(which: str, request: pytest.FixtureRequest) -> None:
    path = GOLDEN / f"{which}.txt"
    text = as_text(planned(which))
    if request.config.getoption("update"):
        path.write_text(text)
    assert path.exists(), f"no {path.name}: run with --update and read what it writes"
    assert text == path.read_text()


def test_every_golden_file_has_a_bundle() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(BUNDLES)
