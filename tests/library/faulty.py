"""A program `pyrunc` in which one step fails: the keeper of a library that is tested (test_faults.py).

    <folder>/fault     JSON: [command, id of a step, "before" or "after" it has acted, errno]; missing: nothing fails
    <folder>/<command>.ids   the ids of the steps of the last plan of that command, but for barriers
"""
from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from pyrunc.cli.main import main
from pyrunc.engine import run
from pyrunc.engine.facts import Facts
from pyrunc.engine.step import Barrier, Step
from pyrunc.state import container as state_container

TREE = Path(__file__).parent.parent.parent

SCRIPT = """#!{python}
import sys
sys.path[:0] = [{tree!r}]
from tests.library import faulty
sys.exit(faulty.serve({folder!r}, sys.argv[1:]))
"""


def program(folder: Path) -> Path:
    """A program that looks for what is to fail in this folder."""
    path = folder / "pyrunc"
    path.write_text(SCRIPT.format(python=sys.executable, tree=str(TREE), folder=str(folder)))
    path.chmod(0o755)
    return path


class Failing:
    """Stands for a step in the engine's walks; all but apply() is the step's own."""

    def __init__(self, step: Step, when: str, number: int) -> None:
        self.step, self.when, self.number = step, when, number

    def __getattr__(self, name: str) -> Any:
        return getattr(self.step, name)

    def apply(self, kernel: Any, facts: Facts) -> None:
        if self.when == "after":
            self.step.apply(kernel, facts)
        raise OSError(self.number, os.strerror(self.number), "injected")


def serve(folder: str, argv: list[str]) -> int:
    """The command line, with an engine that fails where it is told to."""
    class Engine(run.Engine):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            command, ids = self.plan.command, self.plan.ids
            names = [id for id, step in zip(ids, self.steps) if not isinstance(step, Barrier)]
            Path(folder, f"{command}.ids").write_text(json.dumps(names))
            try:
                asked, id, when, number = json.loads(Path(folder, "fault").read_text())
            except FileNotFoundError:
                return
            if asked == command:
                for walk in (self.parents, self.childs):
                    walk[:] = [(index, Failing(step, when, number) if ids[index] == id else step, side)
                               for index, step, side in walk]

    state_container.ENDING = 0.05           # how long an exec waits to see whether it failed because the container ends
    run.Engine = Engine  # type: ignore[misc]
    return main(argv)
