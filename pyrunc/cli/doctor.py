"""doctor: what this host offers to containers, what each missing thing costs, and how to get it."""
from __future__ import annotations

from ..formats.json_text import dumps
from .flags import Command, Flag
from .pager import page

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..checks.doctor.advice import Finding
    from ..checks.doctor.survey import Facts
    from .flags import Call

WIDTH = 100
COMMAND = Command(
    "doctor", "show what this host lacks for containers, and what does not work without it",
    (Flag("format", str, "text or json", short="f", value="FORMAT", default="text", choices=("text", "json")),),
    arguments=" ", least=0, most=0)


def run(call: Call) -> int:
    """Print the findings; 0 when containers can be run here at all, 1 when not."""
    from ..checks.doctor.advice import able, examine
    from ..checks.doctor.survey import look
    facts = look()
    found = examine(facts)
    page(as_json(found, facts) if call.text("format") == "json" else as_text(found))
    return int(not able(found))


def as_text(found: Sequence[Finding]) -> str:
    """What is missing, what breaks most first, each with its cost; a remedy once for all that it helps; then what is
    there, and the sum."""
    from ..checks.doctor.advice import able
    return "".join(f"{line}\n" for line in _lines(found)) + (
        "containers can be run here\n" if able(found) else "containers cannot be run here: see what is NEEDED\n")


def _lines(found: Sequence[Finding]) -> Iterator[str]:
    from ..checks.doctor.advice import RANKS, rank, usual
    for number, title in enumerate(RANKS):
        missing = [finding for finding in found if finding.state != "yes" and rank(finding) == number]
        if missing:
            yield f"{title}:"
        for remedy in dict.fromkeys(finding.remedy for finding in sorted(missing, key=usual)):
            together = [finding for finding in missing if finding.remedy == remedy]
            for finding in together:
                state = "NEEDED" if finding.needed and finding.state == "no" else finding.state
                yield f"  {state:<7} {finding.name}" + (f": {finding.detail}" if finding.detail else "")
                yield f"{'':10}costs {finding.costs}"
            yield f"{'':10}get {'it' if len(together) == 1 else f'these {len(together)}'} by: {remedy}"
    yield "there is:"
    there = [finding for finding in found if finding.state == "yes"]
    for area in dict.fromkeys(finding.area for finding in there):
        names = [finding.name + (f" ({finding.detail})" if finding.detail else "")
                 for finding in there if finding.area == area]
        yield from _wrapped(f"  {area:<11}", names)
    counts = [len({finding.remedy for finding in found if finding.state == "no" and rank(finding) == number})
              for number in range(2)]
    for count, what in zip(counts, ("what is NEEDED", "what engines ask for")):
        if count:
            yield f"{what} takes {count} change{'s' if count > 1 else ''} to this host"


def _wrapped(head: str, names: Sequence[str]) -> Iterator[str]:
    """The names, with commas, in lines of at most WIDTH characters that begin below the first name."""
    line = head
    for number, name in enumerate(names):
        name += "," if number + 1 < len(names) else ""
        if len(line) + 1 + len(name) > WIDTH and line.strip():
            yield line
            line = " " * len(head)
        line += f" {name}"
    yield line


def as_json(found: Sequence[Finding], facts: Facts) -> str:
    """able; the findings: area, name, state ("yes", "no", "unknown"), detail, costs, remedy, needed, rank (0: no
    container runs without it, 1: engines ask for it in every container, 2: some containers do); and the facts that they
    were made from, for `explain --host`."""
    from ..checks.doctor.advice import able, rank
    from ..planview.view import plain
    findings = [{"area": finding.area, "name": finding.name, "state": finding.state, "detail": finding.detail,
                 "costs": finding.costs, "remedy": finding.remedy, "needed": finding.needed, "rank": rank(finding)}
                for finding in found]
    return dumps({"able": able(found), "findings": findings, "facts": plain(facts)}, 2) + "\n"
