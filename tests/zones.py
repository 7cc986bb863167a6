"""python -m tests.zones: docs/zones.svg, the plan of a container like Docker's: its two processes, zones and barriers.

The steps are those that `pyrunc explain` prints for the bundle of tests/bundles.py; a test holds the picture in step.
"""
from __future__ import annotations

from collections.abc import Iterator
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

from pyrunc import plan
from pyrunc.engine.step import Barrier, Step
from pyrunc.host import Host
from pyrunc.options import Options
from tests.bundles import docker_like

PICTURE = Path(__file__).parents[1] / "docs/zones.svg"
LANES = {"parent": (20, "parent: Python, the host's rights", "#dbe9f6"),
         "child": (380, "child: Python, the host's files", "#e3f1dc"),
         "last": (740, "last: C alone, the container's root", "#f8e6d2")}
#: Of a lane, a line of steps and the picture; and what a letter of a step's name takes, in any usual font.
WIDE, LINE, WIDTH, LETTER = 340, 17, 1100, 6.8
CLONE = "namespaces.clone"
STYLE = ("text{font:13px sans-serif;fill:#1b1f24}.h{font-weight:bold}.s{font:11px monospace}.b{font-size:12px;"
         "fill:#6e3b00}")


def parts() -> Iterator[tuple[str, list[str]]]:
    """(side, or the label of a barrier; steps as lines) in the order of the plan."""
    config: Any = docker_like()
    steps = plan.create(config, Options(id="box", bundle="/bundle", nonce="n"), Host()).steps

    def kind(step: Step) -> str:
        return f"={step.label}" if isinstance(step, Barrier) else step.side
    for side, group in groupby(steps, kind):
        names = [step.name for step in group]
        counted = [(name, len(list(same))) for name, same in groupby(names)]
        yield side, [f"{name} ×{count}" if count > 1 else name for name, count in counted]


def picture() -> str:
    """The SVG."""
    shapes, y = [], 74
    for side, lines in parts():
        if side.startswith("="):
            shapes.append(f'<line x1="10" y1="{y + 9}" x2="{WIDTH - 10}" y2="{y + 9}" stroke="#b5651d" '
                          f'stroke-dasharray="6 4"/><text class="b" x="{WIDTH - 16}" y="{y + 4}" text-anchor="end">'
                          f"barrier: {escape(side[1:])}</text>")
            y += 26
            continue
        x, _, fill = LANES[side]
        columns = 2 if len(lines) > 8 else 1
        high, room = -(-len(lines) // columns), (WIDE - 8) // columns
        shapes.append(f'<rect x="{x}" y="{y}" width="{WIDE}" height="{high * LINE + 10}" rx="5" fill="{fill}" '
                      'stroke="#8895a3"/>')
        for number, line in enumerate(lines):
            column, row = divmod(number, high)
            assert len(line) * LETTER < room, f"{line} is wider than its column"
            shapes.append(f'<text class="s" x="{x + 8 + column * room}" y="{y + 16 + row * LINE}">'
                          f"{escape(line)}</text>")
        y += high * LINE + 18
    middle = LANES["child"][0]
    heads = "".join(f'<text class="h" x="{x}" y="62">{escape(title)}</text>' for x, title, _ in LANES.values())
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 14}" width="{WIDTH}" role="img" '
            'aria-labelledby="title about"><title id="title">Two processes, three zones, and the barriers between '
            'them</title><desc id="about">The plan of create, from top to bottom. The runtime does the steps on the '
            "left. From the clone on the container's init does those in the middle, in Python, and those on the right, "
            "in C. At a dashed line one of them waits for the other.</desc>"
            f'<style>{STYLE}</style><rect width="100%" height="100%" fill="#fff"/>'
            '<text class="h" x="20" y="26">the runtime, which ends after create</text>'
            f'<text class="h" x="{middle}" y="26">the container\'s init, born by {CLONE}</text>{heads}'
            f"{''.join(shapes)}</svg>\n")


if __name__ == "__main__":
    PICTURE.write_text(picture())
