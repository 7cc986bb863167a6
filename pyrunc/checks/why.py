"""A report of a failure told in ten lines, and with its plan."""
from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from ..host import user_name
from ..log import visible
from .faultless import steps
from .kept import NAMES, Report

NAMESPACES = ("io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace")
LONGEST = 150
CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids")


def told(report: Report) -> str:
    """At most ten lines: what failed, where in the config, what the host lacks, what to do."""
    error = report.error
    called = f", called by {report.caller}" if report.caller else ""
    if report.owner != os.geteuid():
        called += f"; as {user_name(report.owner)} (uid {report.owner}) has written it"
    lines = [f"{report.command or 'a command'} of {report.container or 'a container'} failed {_ago(report.time)}"
             f"{called}", *_pod(report)]
    hint, where = error.get("hint", ""), error.get("where", "")
    lines.append(f"error   {_cut(error.get('message', '').partition('; hint: ')[0], 3 * LONGEST)}")
    if where:
        document = error.get("document") or "in config.json"
        value = _value(report.config, where) if document == "in config.json" else ""
        lines.append(f"where   {where} {document}{value}")
    if error.get("id"):
        lines.append(f"step    {_step(report)}")
    there = [finding for finding in report.findings if where and _within(finding.get("where", ""), where)]
    advice = hint or next((finding["hint"] for finding in there if finding.get("hint")), "")
    if advice:
        lines.append(f"to do   {_cut(advice, 3 * LONGEST)}")
    others = [finding for finding in report.findings if finding not in there]
    for finding in sorted(others, key=lambda finding: finding.get("level") != "error")[:2]:
        told_of = f"{finding.get('where') or 'config.json'}: {finding.get('what')}"
        lines.append(f"check   {finding.get('level')}: {_cut(told_of, LONGEST)}")
    lines.append(f"host    {_host(report.host)}")
    lines.append(f"more    pyrunc report {report.container} | pyrunc explain --report {report.path}")
    return "".join(f"{visible(line)}\n" for line in lines[:10])


def _within(place: str, above: str) -> bool:
    return place.startswith(above) and place[len(above):len(above) + 1] in ("", ".", "[")


def _ago(text: str) -> str:
    try:
        then = datetime.fromisoformat(text.replace("Z", "+00:00"))
        seconds = int(max(0, time.time() - then.timestamp()))
    except (ValueError, OverflowError):
        return "once"
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit} ago ({then.astimezone(UTC):%F %T} UTC)"
    return f"{seconds} s ago ({then.astimezone(UTC):%F %T} UTC)"


def _pod(report: Report) -> list[str]:
    annotations = report.annotations
    pod = annotations.get(NAMES[0]) or annotations.get("io.kubernetes.pod.name")
    if not pod:
        return []
    space = next((annotations[name] for name in NAMESPACES if name in annotations), "")
    container = annotations.get(NAMES[1]) or annotations.get("io.kubernetes.container.name")
    return [f"pod     {space + '/' if space else ''}{pod}" + (f", container {container}" if container else "")]


def _value(config: Any, where: str) -> str:
    """What stands there, short."""
    node = config
    try:
        for key in steps(where):
            node = node[key]
    except (LookupError, TypeError):
        return ""
    return f" = {_cut(json.dumps(node), LONGEST)}"


def _step(report: Report) -> str:
    id, spec = report.error["id"], report.error.get("spec")
    number = next((index for index, step in enumerate(report.steps) if step[0] == id), None)
    place = f"{number} of {len(report.steps)}: " if number is not None else ""
    undone = "; what was done is undone" if report.command in ("create", "run", "restore") else ""
    return f"{place}{id}" + (f" ({spec})" if spec else "") + undone


def _host(host: dict[str, Any]) -> str:
    """The kernel, and what is missing here that containers can ask for."""
    there = host.get("controllers")
    there = there if isinstance(there, list) else []
    lacks = [f"controller {name}" for name in CONTROLLERS if name not in there]
    if len(lacks) == len(CONTROLLERS):
        lacks = ["every cgroup v2 controller"]
    lacks += [name for name, key in (("AppArmor", "apparmor"), ("SELinux", "selinux")) if not host.get(key)]
    return f"{host.get('name')}, Linux {host.get('kernel')}" + (", rootless" if host.get("euid") else "") + (
        f"; lacks {', '.join(lacks)} (pyrunc doctor)" if lacks else "")


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length - 3]}..."


def table(report: Report) -> str:
    """What explain says of a report: the ten lines, then the plan as it was, with the time of each step that ran."""
    if not report.steps:
        return f"{told(report)}\n{visible(report.without)}\n"
    failed = report.error.get("id")
    rows = []
    for index, (id, side, _, where, what) in enumerate(report.steps):
        duration = report.trace.get(id)
        took = f"{duration / 1000:.2f}" if isinstance(duration, (int, float)) else "" if id in report.trace else "-"
        rows.append(("!" if failed == id else " ", str(index), side, id, took, where, what))
    return told(report) + "\n" + "".join(f"{visible(line)}\n" for line in _lines(rows))


def _lines(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows)]
    for mark, number, side, id, took, where, what in rows:
        yield (f"{mark}{number:>{widths[1]}}  {side:<{widths[2]}}  {id:<{widths[3]}}  {took:>{widths[4]}}  "
               f"{where:<{min(widths[5], 40)}}  {what}")
