"""doctor: what this host offers to containers, what each missing thing costs, and how to get it."""
from __future__ import annotations

from ..formats.json_text import dumps
from .flags import Command, Flag
from .output import emit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..checks.doctor.advice import Finding
    from ..checks.doctor.survey import Facts
    from .flags import Call

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
    emit(as_json(found, facts) if call.text("format") == "json" else as_text(found))
    return int(not able(found))


def as_text(found: Sequence[Finding]) -> str:
    """A line for each finding, area by area; below what is missing, its cost and its remedy; and the sum."""
    from ..checks.doctor.advice import able
    return "".join(f"{line}\n" for line in _lines(found)) + (
        "containers can be run here\n" if able(found) else "containers cannot be run here: see what is NEEDED\n")


def _lines(found: Sequence[Finding]) -> Iterator[str]:
    area = ""
    for finding in found:
        if finding.area != area:
            area = finding.area
            yield f"{area}:"
        state = "NEEDED" if finding.needed and finding.state == "no" else finding.state
        yield f"  {state:<7} {finding.name}" + (f": {finding.detail}" if finding.detail else "")
        if finding.costs:
            yield f"{'':10}costs {finding.costs}"
            yield f"{'':10}get it by: {finding.remedy}"


def as_json(found: Sequence[Finding], facts: Facts) -> str:
    """able; the findings: area, name, state ("yes", "no", "unknown"), detail, costs, remedy, needed; and the facts that
    they were made from, for `explain --host`."""
    from ..checks.doctor.advice import able
    from ..planview.view import plain
    findings = [{"area": finding.area, "name": finding.name, "state": finding.state, "detail": finding.detail,
                 "costs": finding.costs, "remedy": finding.remedy, "needed": finding.needed} for finding in found]
    return dumps({"able": able(found), "findings": findings, "facts": plain(facts)}, 2) + "\n"
