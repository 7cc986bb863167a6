"""The results for CI: one testsuite for each runtime, one testcase for each case."""
from __future__ import annotations

from xml.etree import ElementTree

from ..model import BROKEN, DEVIATES
from . import OPEN, Report


def text(report: Report) -> str:
    """A case that fails or is out of time is a failure, a broken one an error; what is not here or not offered is
    skipped, with its reason. One that deviates passes, and has the reason as its output."""
    top = ElementTree.Element("testsuites")
    for runtime, column in report.columns.items():
        suite = ElementTree.SubElement(top, "testsuite", name=runtime, tests=str(len(column)))
        for result in column.values():
            entry = ElementTree.SubElement(suite, "testcase", classname=runtime, name=result.case,
                                           time=str(result.seconds))
            if result.failed:
                kind = "error" if result.verdict == BROKEN else "failure"
                told = ElementTree.SubElement(entry, kind, message=_printable(result.seen)[:300])
                told.text = _printable(f"{result.seen}\n\n{result.log}")
            elif result.verdict == DEVIATES:
                told = ElementTree.SubElement(entry, "system-out")
                told.text = _printable(f"{result.verdict}: {result.seen}")
            elif result.verdict in OPEN:
                ElementTree.SubElement(entry, "skipped", message=_printable(f"{result.verdict}: {result.seen}"))
    ElementTree.indent(top)
    return ElementTree.tostring(top, encoding="unicode", xml_declaration=True) + "\n"


def _printable(words: str) -> str:
    """XML has no place for most control characters."""
    return "".join(char if char.isprintable() or char in "\n\t" else "�" for char in words)
