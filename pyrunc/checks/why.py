"""Reports of failures: finding the one that is meant, and telling it in ten lines."""
from __future__ import annotations

import json
import os
import re
import stat
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from glob import glob
from typing import Any

from ..config.where import quoted
from ..errors import StateError
from ..log import visible
from ..state.store import default_root
from .failures import DIRECTORY, LARGEST, SUFFIX
from .faultless import steps

#: Where engines have their runtimes keep containers: containerd and CRI, Docker, CRI-O, Podman (the default root), and
#: what an ordinary user's Podman has.
OF_ENGINES = ("/run/pyrunc", "/run/containerd/runc/*", "/run/containerd/pyrunc/*", "/run/docker/runtime-*/*",
              "/var/run/docker/runtime-*/*", "/run/runc", "/run/crio/*", "/run/user/*/pyrunc", "/run/user/*/runc")
#: Annotations by which a pod or its container is known: CRI plugin, CRI-O, Podman.
NAMES = ("io.kubernetes.cri.sandbox-name", "io.kubernetes.cri.container-name", "io.kubernetes.pod.name",
         "io.kubernetes.container.name", "io.kubernetes.cri.sandbox-id", "io.podman.annotations.name")
NAMESPACES = ("io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace")
LONGEST = 150
CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids")


class Report:
    """One report: data as it was written, path of its file."""

    def __init__(self, path: str, data: dict[str, Any]) -> None:
        self.path, self.data = path, data

    def names(self) -> list[str]:
        """By what it may be asked for: id, and the names that annotations give."""
        annotations = (self.data.get("config") or {}).get("annotations") or {}
        return [self.data.get("container", ""), *(annotations[name] for name in NAMES if name in annotations)]


def roots(root: str) -> list[str]:
    """State roots to look below: the one that was named, or the default one and those of engines."""
    found = [root] if root else [default_root(), *(path for pattern in OF_ENGINES for path in sorted(glob(pattern)))]
    return list(dict.fromkeys(map(os.path.realpath, found)))


def load(path: str) -> Report:
    """Read a report. StateError for what is none; OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, errors="replace") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise StateError(f"{path} is not a report")
        text = file.read(4 * LARGEST)
    try:
        data = json.loads(text)
    except ValueError:
        data = None
    if not isinstance(data, dict) or not isinstance(data.get("error"), dict) or not isinstance(data.get("host"), dict):
        raise StateError(f"{path} is not a report")
    return Report(path, data)


def kept(root: str = "") -> Iterator[Report]:
    """All reports below the state roots, newest first. Those of others cannot be read, and are left out."""
    paths = [path for top in roots(root) for path in glob(f"{glob_safe(top)}/{DIRECTORY}/*{SUFFIX}")]
    for path in sorted(paths, key=os.path.basename, reverse=True):
        try:
            yield load(path)
        except (OSError, StateError):
            continue


def glob_safe(path: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", path)


def find(asked: str, root: str = "") -> Report:
    """The newest report, of the container whose id (or its beginning), pod or name was asked for; "": of any.

    StateError when there is none.
    """
    for report in kept(root):
        if not asked or any(asked == name for name in report.names()) \
                or (len(asked) > 3 and report.data.get("container", "").startswith(asked)):
            return report
    where = ", ".join(top for top in roots(root) if os.path.isdir(top)) or root or default_root()
    raise StateError(f"no failure {f'of {quoted(asked)} ' if asked else ''}is kept in {where}")


def told(report: Report) -> str:
    """At most ten lines: what failed, where in the config, what the host lacks, what to do."""
    data, error = report.data, report.data["error"]
    lines = [f"{data.get('command')} of {data.get('container') or 'a container'} failed {_ago(data.get('time', ''))}"
             f"{_by(data)}", *_pod(data)]
    message = error.get("message", "")
    hint = error.get("hint", "")
    lines.append(f"error   {_cut(message.partition('; hint: ')[0], 3 * LONGEST)}")
    if where := error.get("where", ""):
        lines.append(f"where   {where} {error.get('document') or 'in config.json'}"
                     + _value(data.get("config"), where))
    if error.get("id"):
        lines.append(f"step    {_step(data, error)}")
    advice = hint or next((finding["hint"] for finding in _findings(data) if finding["where"].startswith(where)
                           and finding.get("hint") and where), "")
    if advice:
        lines.append(f"to do   {advice}")
    others = [finding for finding in _findings(data) if not where or not finding["where"].startswith(where)]
    for finding in sorted(others, key=lambda finding: finding["level"] != "error")[:2]:
        told_of = f"{finding['where'] or 'config.json'}: {finding['what']}"
        lines.append(f"check   {finding['level']}: {_cut(told_of, LONGEST)}")
    lines.append(f"host    {_host(data['host'])}")
    lines.append(f"more    pyrunc report {data.get('container') or ''} | pyrunc explain --report {report.path}")
    return "".join(f"{visible(line)}\n" for line in lines[:10])


def _ago(text: str) -> str:
    try:
        then = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return "once"
    seconds = int(max(0, time.time() - then.timestamp()))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit} ago ({then.astimezone(UTC):%F %T} UTC)"
    return f"{seconds} s ago ({then.astimezone(UTC):%F %T} UTC)"


def _by(data: dict[str, Any]) -> str:
    caller = data.get("caller") or {}
    return f", called by {caller['name']}" if caller.get("name") else ""


def _pod(data: dict[str, Any]) -> list[str]:
    annotations = (data.get("config") or {}).get("annotations") or {}
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


def _step(data: dict[str, Any], error: dict[str, Any]) -> str:
    plan = data.get("plan")
    listed = plan.get("steps", []) if isinstance(plan, dict) else []
    number = next((index for index, step in enumerate(listed) if step[0] == error["id"]), None)
    place = f"{number} of {len(listed)}: " if number is not None else ""
    return f"{place}{error['id']}" + (f" ({error['spec']})" if error.get("spec") else "") + "; what was done is undone"


def _findings(data: dict[str, Any]) -> list[dict[str, str]]:
    found = data.get("findings")
    return found if isinstance(found, list) else []


def _host(host: dict[str, Any]) -> str:
    """The kernel, and what is missing here that containers can ask for."""
    there = host.get("controllers") or []
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
    plan, trace = report.data.get("plan"), report.data.get("trace")
    if not isinstance(plan, dict):
        return told(report) + "\nno plan was made: the failure was before that\n"
    ran = {record["id"]: record for record in trace} if isinstance(trace, list) else {}
    rows = []
    for index, (id, side, _, where, what) in enumerate(plan["steps"]):
        record = ran.get(id, {})
        mark = "!" if report.data["error"].get("id") == id else " "
        took = f"{record['duration'] / 1000:.2f}" if record.get("duration") else "-" if not record else ""
        rows.append((mark, str(index), side, id, took, where, what))
    return told(report) + "\n" + "".join(f"{visible(line)}\n" for line in _lines(rows))


def _lines(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows)]
    for mark, number, side, id, took, where, what in rows:
        yield (f"{mark}{number:>{widths[1]}}  {side:<{widths[2]}}  {id:<{widths[3]}}  {took:>{widths[4]}}  "
               f"{where:<{min(widths[5], 40)}}  {what}")
