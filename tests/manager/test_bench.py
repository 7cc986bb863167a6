"""The benchmark of the manager runs, and says what it is for."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_a_short_run() -> None:
    done = subprocess.run([sys.executable, "-m", "tests.bench.manager", "--rounds", "2", "--many", "5"],
                          cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    words = [line.split(maxsplit=1)[0] for line in done.stdout.splitlines() if line]
    wanted = {"load", "manager", "manager,", "runc", "crun", "pyrunc", "stats:", "refresh:", "adoption:", "deleted"}
    assert wanted <= set(words), done.stdout
