"""What `explain` tells of: the plans of one command for one user on one host, and what `check` says of the bundle."""
from __future__ import annotations

from ..formats.json_text import dumps
from ..log import visible
from . import selection
from .table import BOLD, painted, placed, table, told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..checks.findings import Finding
    from ..engine.step import Plan
    from .view import View


class Subject:
    """One command, explained.

    title     the command, and the container
    bundle    its path, "" for a command that has none
    plans     in the order in which the command runs them
    found     by `check`
    doubt     what may have been meant instead, "" for nothing
    """

    def __init__(self, title: str, view: View, bundle: str, root: str, plans: Sequence[Plan],
                 found: Sequence[Finding] = (), doubt: str = "") -> None:
        self.doubt = doubt
        self.title, self.view, self.bundle, self.root, self.plans, self.found = title, view, bundle, root, plans, found

    def records(self) -> list[dict[str, Any]]:
        """The steps of all plans."""
        return [record for plan in self.plans for record in plan.records()]

    def own(self) -> dict[str, str]:
        """Paths that say nothing about what is done: for a comparison."""
        return {path: word for path, word in ((self.bundle, "BUNDLE"), (self.root, "ROOT")) if path}

    def head(self, words: Sequence[str] = ()) -> str:
        """One line: what, of which bundle, how many steps; and for whom it holds, and on which host."""
        every = self.records()
        count = f"{len(every)} steps" if len(every) != 1 else "1 step"
        if words:
            count = f"{len(selection.chosen(every, words))} of {count}"
        levels = [finding.level for finding in self.seen(words)]
        wrong = [f"{number} {level}{'s' if number > 1 else ''}" for level in ("error", "warning")
                 if (number := levels.count(level))]
        return ": ".join((self.title, ", ".join([count, *([f"{' and '.join(wrong)} (see !)"] if wrong else [])]))) + (
            f"\nfor {visible(self.view.whom())}, on {visible(self.view.where())}"
            + (f", by {visible(self.view.file)}" if self.view.file else "") + f", state in {visible(self.root)}\n"
            + (f"bundle {visible(self.bundle)}\n" if self.bundle else "") + (f"{self.doubt}\n" if self.doubt else ""))

    def seen(self, words: Sequence[str]) -> list[Finding]:
        """What text() has to tell: all that was found, or what belongs to the chosen steps or to none."""
        found: list[Finding] = []
        left = list(self.found)
        for plan in self.plans:
            records = list(plan.records())
            notes, left = placed(records, left)
            for record in selection.chosen(records, words):
                found += notes.get(record["index"], ())
        return found + left

    def text(self, words: Sequence[str] = (), columns: int = 0, colour: bool = False) -> str:
        """The head, and a table for each plan."""
        first, _, rest = self.head(words).partition("\n")
        parts = [painted(first, BOLD, colour) + "\n" + rest]
        several, left = len(self.plans) > 1, list(self.found)
        for plan in self.plans:
            records = list(plan.records())
            notes, left = placed(records, left)
            shown = selection.chosen(records, words)
            if not shown:
                continue
            head = painted(f"{plan.command}:", BOLD, colour) + "\n" if several else ""
            parts.append(f"\n{head}" + table(shown, columns, colour, notes))
        if left:
            parts.append("\n" + "".join(f"{line}\n" for finding in left for line in told(finding, columns, colour, 0)))
        return "".join(parts)

    def lines(self, words: Sequence[str] = ()) -> str:
        """A line a step for grep(1) and diff(1), tabs between the columns: no number, which would shift, no padding."""
        return "".join(f"{record['side']}\t{record['id']}\t{visible(record['where'])}\t{visible(record['what'])}\n"
                       for record in selection.chosen(self.records(), words))

    def json(self, words: Sequence[str] = ()) -> str:
        """command, bundle, for; steps: an object for each with index, id, side, step, spec, where, what and the command
        whose plan it is of; findings, as `check` has them."""
        steps = [{**record, "command": plan.command} for plan in self.plans
                 for record in selection.chosen(list(plan.records()), words)]
        return dumps({"command": self.title, "bundle": self.bundle, "root": self.root, "for": self.view.record(),
                      "steps": steps, "findings": [vars(finding) for finding in self.found]}, 2) + "\n"
