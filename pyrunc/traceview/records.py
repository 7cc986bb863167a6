"""A trace read back: the runs in a file, each with the spans of its steps (docs/tracing.md has the keys)."""
from __future__ import annotations

import posix

from ..config.load import loads, read_all
from ..errors import UsageError, strerror

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

#: Who acts: the runtime, the container's init in Python, or the init in C. In this order they are drawn.
LANES = ("runtime", "init", "C")
_LANE_OF = {"parent": "runtime", "child": "init", "last": "C", "barrier": "runtime"}
#: A trace that engines append to grows; more than this is not read into memory. Bytes.
LARGEST = 256 << 20


class Span:
    """One step that ran.

    begin      microseconds since the run's first step began
    duration   microseconds; None for a step that its process did not survive, or whose end is not known
    lane       one of LANES
    ok         False when the step failed
    """
    __slots__ = ("begin", "duration", "id", "lane", "ok", "outcome", "pid", "spec", "step", "what", "where")

    def __init__(self, record: dict[str, Any], begin: float, id: str) -> None:
        duration = record.get("duration")
        self.begin = begin
        self.duration = float(duration) if isinstance(duration, (int, float)) and duration >= 0 else None
        self.id = id
        self.step = str(record["step"])
        self.lane = _LANE_OF.get(str(record.get("zone") or record.get("side")), "runtime")
        pid = record.get("pid")
        self.pid = pid if isinstance(pid, int) else 0
        self.where, self.what = str(record.get("where") or ""), str(record.get("what") or "")
        self.spec, self.outcome = str(record.get("spec") or ""), str(record.get("outcome") or "")
        self.ok = self.outcome in ("ok", "unfinished")

    @property
    def end(self) -> float:
        """When it ended, or began if that is not known."""
        return self.begin + (self.duration or 0.0)

    @property
    def barrier(self) -> bool:
        """Whether this is the time that one process waited for the other."""
        return self.step == "barrier"


class Run:
    """One run of one plan: what a command, or a part of it, did.

    container, command, plan, version   as the trace says, "" where it is of a pyrunc that did not say
    time                                when it began, RFC 3339
    warnings                            what it had to say besides
    """

    def __init__(self, records: Sequence[dict[str, Any]]) -> None:
        first = records[0]
        self.time = str(first["time"])
        self.container, self.command = str(first.get("container") or ""), str(first.get("command") or "")
        self.plan, self.version = str(first.get("plan") or ""), str(first.get("version") or "")
        self.warnings = [text for record in records if isinstance(record.get("warnings"), list)
                         for text in record["warnings"] if isinstance(text, str)]
        zero = microseconds(self.time)
        counts: dict[str, int] = {}
        self.spans: list[Span] = []
        for record in records:
            name = str(record["step"])
            counts[name] = counts.get(name, 0) + 1
            id = str(record.get("id") or (name if counts[name] == 1 else f"{name}#{counts[name]}"))
            self.spans.append(Span(record, microseconds(str(record["time"])) - zero, id))
        self.spans.sort(key=lambda span: span.begin)

    @property
    def duration(self) -> float:
        """Microseconds from the first step's begin to the last one's end."""
        return max(span.end for span in self.spans)

    @property
    def failed(self) -> Span | None:
        """The step that failed, if one did."""
        return next((span for span in self.spans if not span.ok), None)

    def title(self) -> str:
        """One line that says which run this is."""
        what = " ".join(part for part in (self.command or "run", self.container) if part)
        made = ", ".join(part for part in (f"pyrunc {self.version}" if self.version else "", self.time) if part)
        end = f", failed in {self.failed.id}" if self.failed else ""
        return f"{what} ({made}): {self.took()}{end}"

    def took(self) -> str:
        """How many steps, and how long they took together."""
        count = len(self.spans)
        return f"{count} step{'s' if count != 1 else ''} in {self.duration / 1000:.2f} ms"


def microseconds(time: str) -> float:
    """RFC 3339 with six digits, as the trace has it, in microseconds since 1970. ValueError for another form."""
    import datetime
    stamp = datetime.datetime.fromisoformat(time)
    if stamp.tzinfo is None:
        raise ValueError(f"{time} has no time zone")
    since = stamp - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return since.days * 86_400e6 + since.seconds * 1e6 + since.microseconds


def read(path: str, odd: list[str] | None = None) -> list[Run]:
    """The runs in a trace file, in its order. UsageError that names the file, and a line that is no record if all are.

    odd   gets the others: a trace that was cut, or whose disk was full for a moment, still has its other lines
    """
    try:
        data = _content(path)
    except OSError as fault:
        raise UsageError(f"{path}: {strerror(fault.errno or 0)}") from None
    records, faults = [], []
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            try:
                records.append(_record(line, f"{path}: line {number}"))
            except UsageError as fault:
                faults.append(fault)
    if not records:
        raise faults[0] if faults else UsageError(f"{path}: it holds no trace")
    if odd is not None:
        odd += [str(fault) for fault in faults]
    return [Run(group) for group in _groups(records)]


def of_container(runs: Sequence[Run], id: str) -> list[Run]:
    """The runs that concern one container."""
    return [run for run in runs if run.container == id]


def _content(path: str) -> bytes:
    fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        data = read_all(fd, LARGEST, path)
    finally:
        posix.close(fd)
    if len(data) > LARGEST:
        raise UsageError(f"{path}: more than {LARGEST >> 20} MiB; take a part of it, by lines")
    return data


def _record(line: bytes, place: str) -> dict[str, Any]:
    from ..errors import ConfigError
    try:
        record = loads(line, place)
        if not isinstance(record, dict) or not isinstance(record.get("step"), str):
            raise ValueError("it names no step")
        microseconds(str(record.get("time")))
    except (ConfigError, ValueError) as fault:
        raise UsageError(f"{place}: not a record of a trace: {fault}") from None
    return record


def _groups(records: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Records of one plan, which are written together."""
    group: list[dict[str, Any]] = []
    for record in records:
        if group and not _same(group, record):
            yield group
            group = []
        group.append(record)
    yield group


def _same(group: Sequence[dict[str, Any]], record: dict[str, Any]) -> bool:
    """Whether a record goes on with a group. A trace without plan ids tells by the runtime's process, and by time."""
    last = group[-1]
    if "plan" in record or "plan" in last:
        return bool(record.get("plan") == last.get("plan"))
    ours = {one.get("pid") for one in group if one.get("side") in ("parent", "barrier")}
    return str(record["time"]) >= str(last["time"]) and (
        record.get("side") not in ("parent", "barrier") or not ours or record.get("pid") in ours)
