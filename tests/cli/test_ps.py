"""ps: an error where there is nothing to list, and the host's ps(1) whatever the caller's environment says."""
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pyrunc.cli.main import main

from ..state.made import World


@pytest.mark.parametrize("format", ["json", "table"])
@pytest.mark.parametrize(("state", "error"), [
    ({}, "container c has no cgroup, so its processes are not known"),
    ({"cgroup": "/sys/fs/cgroup/no-such"}, "container c has no cgroup, so its processes are not known"),   # spared it
    ({"cgroup": "/sys/fs/cgroup/no-such", "cgroup_inode": 7, "cgroup_made": True},
     "container not running: cgroup /sys/fs/cgroup/no-such is gone")])
@pytest.mark.usefixtures("private_world")
def test_no_list_is_no_empty_list(state: dict[str, Any], error: str, format: str, made: World,
                                  capfd: pytest.CaptureFixture[str]) -> None:
    """It was the heading alone, or [], and status 0."""
    made.stopped("c", **state)
    assert main(["--root", str(made.root), "ps", "--format", format, "c"]) == 1
    told = capfd.readouterr()
    assert told.out == "" and error in told.err


def test_where_the_host_has_no_ps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyrunc import programs
    from pyrunc.cli.ps import _ps
    from pyrunc.errors import UsageError
    monkeypatch.setattr(programs, "PATH", str(tmp_path))
    with pytest.raises(UsageError, match=r'exec: "ps": executable file not found in \$PATH: looked for in '):
        _ps([])


def test_variables_that_change_what_ps_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyrunc.cli.ps import _ps
    monkeypatch.setenv("PS_FORMAT", "comm")
    assert "PID" in _ps(["-e"]).splitlines()[0].split()
    assert os.environ["PS_FORMAT"] == "comm"
