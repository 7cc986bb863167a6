"""The gallery in docs/errors.md, from what was recorded."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from . import everyday, first, others
from .fault import Fault

PAGE = Path(__file__).parents[2] / "docs/errors.md"
MARK, END = "<!-- gallery: written by tests.gallery.record -->\n", "<!-- end of the gallery -->\n"
PARTS: tuple[tuple[str, tuple[Fault, ...]], ...] = (
    ("The first twenty-four", first.FAULTS), ("Everyday, as root", everyday.FAULTS),
    ("Everyday, as an ordinary user and in a container", others.OF_USERS),
    ("Everyday, with every controller, AppArmor and 9p", others.OF_THE_GUEST))


def marks(fault: Fault, line: str) -> str:
    """C: the cause is said, P: the JSON path, F: what to do; nothing for what is not said."""
    return "".join(letter for letter, there in (("C", fault.has_cause(line)), ("P", fault.has_place(line)),
                                                ("F", fault.has_fix(line))) if there)


def render(recorded: dict[str, Any]) -> str:
    """All faults, each with a line for each runtime and what `check` finds."""
    versions, faults = recorded["versions"], recorded["faults"]
    text = (f"runc {versions['runc']}, crun {versions['crun']} and this version of pyrunc were run with each of these "
            "faults, and `pyrunc check` before.\nA line is what the log says at last; `(silent)` is a success "
            "without a "
            "word. Folders, ids and pids are put in words.\n")
    for title, part in PARTS:
        text += f"\n### {title}\n\n"
        for fault in part:
            if fault.name in faults:
                text += f"**{fault.name}**\n\n" + "".join(
                    f"    {name + ':':<8}{_plain(line)}\n" for name, (_, line) in faults[fault.name].items()) + "\n"
    return text


def _plain(line: str) -> str:
    return json.dumps(line)[1:-1].replace('\\"', '"').replace("\\\\", "\\")


def write(recorded: dict[str, Any]) -> None:
    before, _, rest = PAGE.read_text().partition(MARK)
    PAGE.write_text(before + MARK + render(recorded) + END + rest.partition(END)[2])


def shown() -> str:
    """What the page has."""
    return PAGE.read_text().partition(MARK)[2].partition(END)[0]
