"""The results for people: rows are demands, columns runtimes; a click shows the quotation and what was seen."""
from __future__ import annotations

import json
from html import escape

from ..harness.bundles import config
from ..model import CASES, HOLDS, Case, Result
from . import Report, tries

STYLE = """
body { font: 15px/1.4 sans-serif; margin: 2em; color: #222; background: #fff }
table { border-collapse: collapse; width: 100% }
th, td { border-bottom: 1px solid #ccc; padding: .3em .6em; text-align: left; vertical-align: top }
th { position: sticky; top: 0; background: #fff }
blockquote { margin: .4em 0; padding-left: .8em; border-left: 3px solid #999; color: #444 }
pre { white-space: pre-wrap; overflow-wrap: anywhere; max-height: 20em; overflow: auto; background: #f4f4f4 }
td + td details[open] { width: 32em } summary small { color: #6a6a6a }
.holds { color: #1a6b2c } .deviates { color: #7a5200 }
.fails, .out, .broken { color: #a3151a; font-weight: bold } .not { color: #6a6a6a }
@media (prefers-color-scheme: dark) {
  body, th { background: #161616; color: #ddd } pre { background: #222 } blockquote { color: #bbb }
  .holds { color: #6fce85 } .deviates { color: #e0b050 } .fails, .out, .broken { color: #ff8a8a } .not { color: #999 } }
"""


def text(report: Report) -> str:
    """One file that needs no other."""
    heads = "".join(f"<p><b>{escape(name)}</b>: {escape(what)}</p>" for name, what in report.about.items())
    columns = "".join(f"<th>{escape(name)}</th>" for name in report.columns)
    rows = "".join(_row(name, report) for name in report.cases)
    return (f"<!doctype html><html lang=en><meta charset=utf-8><title>Conformance of OCI runtimes</title>"
            f"<style>{STYLE}</style><h1>Conformance of OCI runtimes</h1>{heads}{_usual()}"
            f"<table><thead><tr><th>demand</th>{columns}</tr></thead><tbody>{rows}</tbody></table></html>\n")


def _usual() -> str:
    return ("<details><summary>config.json of the usual bundle; null in a case takes a property away</summary>"
            f"<pre>{escape(json.dumps(config('1.3.0'), indent=1))}</pre></details>")


def _row(name: str, report: Report) -> str:
    case = CASES.get(name)
    cells = "".join(f"<td>{_cell(column[name])}</td>" if name in column else "<td>-</td>"
                    for column in report.columns.values())
    made = next((column[name].bundles for column in report.columns.values()
                 if name in column and column[name].bundles), [])
    return f"<tr><td>{_demand(name, case, made)}</td>{cells}</tr>"


def _demand(name: str, case: Case | None, bundles: list[str]) -> str:
    """bundles: of the first runtime that was given some: they are the same for all, but for ociVersion."""
    if case is None:
        return escape(name)
    quoted = "".join(f'<blockquote>{escape(row.text)}<br><a href="{escape(row.url)}">{escape(row.chapter)}</a>: '
                     f"{escape(row.name)}</blockquote>" for row in case.rows)
    label = name.partition("[")[2].removesuffix("]")
    which = f" <small>{escape(label)}</small>" if label else ""
    shown = "".join(f"<p>the usual bundle, and</p><pre>{escape(text)}</pre>" for text in bundles)
    return f"<details><summary>{escape(case.asks)}{which}</summary><code>{escape(name)}</code>{quoted}{shown}</details>"


def _cell(result: Result) -> str:
    kind = result.verdict.partition(" ")[0]
    shown = f"<span class={kind}>{escape(result.verdict)}</span>" + (" +" if result.left else "")
    shown += f" <small>{tries(result)}</small>" if tries(result) else ""
    if result.verdict == HOLDS and not result.left:
        return shown
    left = f"<p>left: {escape(', '.join(result.left))}</p>" if result.left else ""
    return (f"<details><summary>{shown}</summary><p>{escape(result.seen)}</p>{left}"
            f"<pre>{escape(result.log)}</pre></details>")
