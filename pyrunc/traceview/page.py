"""A trace as one page that needs nothing else: no script, no font, no address. Two traces stand side by side."""
from __future__ import annotations

from .records import LANES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .records import Run, Span

#: Where the chapters of the specification are.
SPECIFICATION = "https://github.com/opencontainers/runtime-spec/blob/main/"
STYLE = """
:root { color-scheme: light dark; --line: #8884; --runtime: #3b76c4; --init: #3f9c57; --C: #b5762a; --fault: #c8303a; }
body { font: 14px/1.45 system-ui, sans-serif; margin: 1.5rem; }
h1 { font-size: 1.15rem; margin: 0 0 .2rem; }
p { margin: 0 0 .8rem; opacity: .8; }
main { display: flex; gap: 2rem; align-items: flex-start; flex-wrap: wrap; }
section { flex: 1 1 30rem; min-width: 0; }
ol { list-style: none; margin: 0; padding: 0; border-top: 1px solid var(--line); }
li { position: relative; display: grid; grid-template-columns: 4.5rem 12.5rem 1fr; gap: .6rem; align-items: center;
     border-bottom: 1px solid var(--line); font: 12px/1.7 ui-monospace, monospace; }
li:hover { background: #8882; }
.took { text-align: right; }
.name { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.track { position: relative; height: 1rem; }
.bar { position: absolute; top: .15rem; bottom: .15rem; min-width: 2px; border-radius: 2px; }
.runtime .bar { background: var(--runtime); } .init .bar { background: var(--init); } .C .bar { background: var(--C); }
.barrier .bar { opacity: .25; } .failed .bar { background: var(--fault); } .failed .name { color: var(--fault); }
.more { display: none; position: absolute; left: 5rem; top: 100%; z-index: 1; max-width: 46rem; padding: .5rem .7rem;
        border: 1px solid var(--line); border-radius: 4px; background: Canvas; color: CanvasText; white-space: pre-wrap;
        overflow-wrap: anywhere; box-shadow: 0 2px 8px #0003; }
li:hover .more, li:focus-within .more { display: block; }
.key span { display: inline-block; margin-right: 1.2rem; } .key i { display: inline-block; width: .8rem; height: .8rem;
        border-radius: 2px; margin-right: .35rem; vertical-align: -.1rem; }
.fault { color: var(--fault); }
.fault, .warning { font-family: ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
"""


def page(runs: Sequence[Run]) -> str:
    """The whole document. Bars of all runs have one scale, so that two can be compared by eye."""
    scale = max(run.duration for run in runs) or 1.0
    key = "".join(f'<span><i style="background:var(--{lane})"></i>{lane}</span>' for lane in LANES)
    sections = "".join(_section(run, scale) for run in runs)
    return ("<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
            f"<title>{escape(runs[0].title())}</title>\n<style>{STYLE}</style>\n"
            f"<p class=\"key\">{key}<span>pale: waits for the other process</span></p>\n"
            f"<main>{sections}</main>\n</html>\n")


def _section(run: Run, scale: float) -> str:
    title = " ".join(part for part in (run.command or "run", run.container) if part)
    about = ", ".join(part for part in (run.took(), run.time, f"pyrunc {run.version}" if run.version else "") if part)
    fault = f'<p class="fault">{escape(run.failed.outcome)}</p>' if run.failed else ""
    fault += "".join(f'<p class="warning">warning: {escape(text)}</p>' for text in run.warnings)
    return (f"<section><h1>{escape(title)}</h1><p>{escape(about)}</p>{fault}<ol>"
            + "".join(_row(span, scale) for span in run.spans) + "</ol></section>\n")


def _row(span: Span, scale: float) -> str:
    classes = " ".join([span.lane, *(["barrier"] if span.barrier else []), *([] if span.ok else ["failed"])])
    left, width = span.begin / scale * 100, (span.duration or 0.0) / scale * 100
    took = "" if span.duration is None else f"{span.duration:.0f} µs"
    more = "".join(f"{line}\n" for line in _details(span)).rstrip()
    return (f'<li class="{classes}" tabindex="0"><span class="took">{took}</span>'
            f'<span class="name">{escape(span.id)}</span>'
            f'<span class="track"><span class="bar" style="left:{left:.3f}%;width:{width:.3f}%"></span></span>'
            f'<div class="more">{more}</div></li>')


def _details(span: Span) -> Iterator[str]:
    """Lines of HTML for what is shown at a step when one points at it."""
    yield f"<b>{escape(span.id)}</b>"
    if span.what:
        yield escape(span.what)
    if span.where:
        yield f"config.json: {escape(span.where)}"
    yield f"{span.lane}, process {span.pid}, {span.begin / 1000:.3f} ms after the first step: {escape(span.outcome)}"
    if span.spec:
        chapter = escape(span.spec)
        yield f'<a href="{SPECIFICATION}{chapter}" rel="noreferrer">{chapter}</a>'


def escape(text: str) -> str:
    """Text as HTML shows it, also inside an attribute; a control character as its number, as in the terminal."""
    import html

    from ..log import visible
    return html.escape(visible(text))
