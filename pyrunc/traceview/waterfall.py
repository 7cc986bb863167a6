"""A run drawn in the terminal: a line for each step, its bar where and how long it ran, a lane for each process."""
from __future__ import annotations

from ..log import visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .records import Run, Span

#: Columns of the terminal that a drawing has at least, whatever it is told.
NARROWEST = 60
#: A bar's columns, when the rest leaves more: longer ones help nobody to see more.
LONGEST_BAR = 50
RED, DIM, PLAIN = "\x1b[31m", "\x1b[2m", "\x1b[0m"
#: Blocks of one to eight eighths of a column, from the left.
EIGHTHS = " ▏▎▍▌▋▊▉█"


def waterfall(run: Run, columns: int = 100, colour: bool = False, blocks: bool = True) -> str:
    """The drawing, lines with their newlines.

    columns   the terminal's
    colour    red for a step that failed, dim for waiting
    blocks    whether the terminal shows Unicode's blocks; "#" otherwise
    """
    columns = max(columns, NARROWEST)
    before = 9 + 10 + 2 + 7 + 2                             # the columns before the step's name
    names = min(max((len(span.id) for span in run.spans), default=0), 28, columns - before - 2 - 10 - 2)
    left = before + names + 2                               # ... and before the bar
    bar = min(columns - left - 2, LONGEST_BAR)
    rest = columns - left - bar - 2                         # what is left to say what the step does
    scale = run.duration or 1.0
    lines = [visible(run.title()), "",
             f"{'at ms':>9}{'took us':>10}  {'who':<7}  {'step':<{names}}  {axis(scale, bar)}"]
    for span in run.spans:
        took = "" if span.duration is None else f"{span.duration:.0f}"
        mark = "" if span.ok else " !"
        text = (f"{span.begin / 1000:>9.2f}{took:>10}  {span.lane:<7}  {cut(visible(span.id), names):<{names}}  "
                f"{_bar(span, scale, bar, blocks)}{mark}")
        about = visible(span.what + (f" [{span.where}]" if span.where else ""))
        if rest >= 24 and about:
            text = f"{text:<{left + bar + 2}}{cut(about, rest)}"
        lines.append(_coloured(text.rstrip(), span, colour))
    if run.warnings:
        lines += ["", *(visible(f"warning: {text}") for text in run.warnings)]
    if run.failed is not None:
        lines += ["", visible(run.failed.outcome)]
    return "\n".join(lines) + "\n"


def axis(scale: float, bar: int) -> str:
    """What is above the bars: from 0 to the whole time."""
    whole = f"{scale / 1000:.1f} ms"
    return "0" + whole.rjust(bar - 1)


def cut(text: str, width: int) -> str:
    """At most so many columns of a text; an ellipsis says that there is more."""
    return text if len(text) <= width else text[:width - 1] + "…"


def _bar(span: Span, scale: float, width: int, blocks: bool) -> str:
    begin, end = span.begin / scale * width, min(span.end / scale * width, width)
    first = min(int(begin), width - 1)
    if span.barrier or not blocks:
        return " " * first + ("." if span.barrier else "#") * max(1, round(end) - first)
    if end - begin < 1:                                     # a thin line where it is
        return " " * first + ("▏" if begin - first < 0.5 else "▕")
    eighths = round((end - first) * 8)
    late = begin - first >= 0.5
    return " " * first + ("▐" if late else "█") + "█" * (eighths // 8 - 1) + EIGHTHS[eighths % 8].strip()


def _coloured(text: str, span: Span, colour: bool) -> str:
    if not colour:
        return text
    if not span.ok:
        return f"{RED}{text}{PLAIN}"
    return f"{DIM}{text}{PLAIN}" if span.barrier else text
