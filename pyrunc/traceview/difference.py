"""Where the time went between two traces: step by step, the slower ones first."""
from __future__ import annotations

from .waterfall import cut

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .records import Run


def medians(runs: Sequence[Run]) -> dict[str, float]:
    """{step's id: its median time in microseconds}, in the order of the first run that has it."""
    times: dict[str, list[float]] = {}
    for run in runs:
        for span in run.spans:
            times.setdefault(span.id, []).append(span.duration or 0.0)
    return {id: sorted(taken)[len(taken) // 2] for id, taken in times.items()}


def whole(runs: Sequence[Run]) -> float:
    """The median of the runs' whole time, microseconds."""
    return sorted(run.duration for run in runs)[len(runs) // 2]


def comparable(first: Sequence[Run], second: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """The runs of the command that both traces have; of the first such in the second trace, if there are several."""
    commands = {run.command for run in first}
    command = next((run.command for run in second if run.command in commands), None)
    if command is None:
        return list(first), list(second)
    return [run for run in first if run.command == command], [run for run in second if run.command == command]


def difference(first: Sequence[Run], second: Sequence[Run], columns: int = 100) -> str:
    """A table: microseconds in the first and in the second, and the difference; steps of only one are there, too."""
    first, second = comparable(first, second)
    before, after = medians(first), medians(second)
    rows = [(id, before.get(id), after.get(id)) for id in dict.fromkeys([*before, *after])]
    rows.sort(key=lambda row: -abs((row[2] or 0.0) - (row[1] or 0.0)))
    a, b = whole(first), whole(second)
    command = (first[0].command or "runs") + (f", medians of {len(first)} and {len(second)} runs"
                                              if len(first) + len(second) > 2 else "")
    lines = [f"{command}: {a / 1000:.2f} ms and {b / 1000:.2f} ms, {_signed((b - a) / 1000, 2)} ms", "",
             f"{'A us':>9} {'B us':>9} {'B-A us':>9}  step"]
    for id, one, other in rows:
        note = "" if one is not None and other is not None else "   only in B" if one is None else "   only in A"
        lines.append(f"{_number(one):>9} {_number(other):>9} {_signed((other or 0.0) - (one or 0.0), 0):>9}  "
                     + cut(id + note, max(columns - 31, 20)))
    return "\n".join(lines) + "\n"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}"
