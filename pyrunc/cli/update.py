"""update: change the limits of a container that exists."""
from __future__ import annotations

import posix

from ..config.load import loads, read_all
from ..errors import UsageError, describe, strerror
from ..runtime.update import planned, update
from .flags import Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, cast

    from ..config.types import Resources
    from ..engine.step import Plan
    from .flags import Call
else:
    def cast(kind, value):
        return value

#: flag -> (part of linux.resources, property), by how the value is written
WORDS = {"cpuset-cpus": ("cpu", "cpus"), "cpuset-mems": ("cpu", "mems")}
NUMBERS = {
    "blkio-weight": ("blockIO", "weight"), "cpu-period": ("cpu", "period"), "cpu-quota": ("cpu", "quota"),
    "cpu-burst": ("cpu", "burst"), "cpu-share": ("cpu", "shares"), "cpu-rt-period": ("cpu", "realtimePeriod"),
    "cpu-rt-runtime": ("cpu", "realtimeRuntime"), "cpu-idle": ("cpu", "idle"), "pids-limit": ("pids", "limit"),
}
SIZES = {"memory": ("memory", "limit"), "memory-swap": ("memory", "swap"),
         "memory-reservation": ("memory", "reservation")}
RDT = {"l3-cache-schema": "l3CacheSchema", "mem-bw-schema": "memBwSchema"}
MOST_DIGITS = 20         # as many as 2**64 has
IGNORED = ("kernel-memory", "kernel-memory-tcp")

COMMAND = Command(
    "update", "change the limits of a container",
    (Flag("resources", str, "read the limits from this file, in the form of linux.resources, or with - from standard "
          "input; other flags are then ignored", short="r", value="FILE"),
     Flag("blkio-weight", str, "weight for block devices, 10 to 1000", value="WEIGHT"),
     Flag("cpu-period", str, "length of the period that --cpu-quota counts in, microseconds", value="TIME"),
     Flag("cpu-quota", str, "processor time in each period, microseconds", value="TIME"),
     Flag("cpu-burst", str, "unused quota that may be saved for later, microseconds", value="TIME"),
     Flag("cpu-share", str, "weight of the container's processor time", value="WEIGHT"),
     Flag("cpu-rt-period", str, "real-time period, microseconds (cgroup v1)", value="TIME"),
     Flag("cpu-rt-runtime", str, "real-time quota, microseconds (cgroup v1)", value="TIME"),
     Flag("cpuset-cpus", str, "processors that may be used", value="LIST"),
     Flag("cpuset-mems", str, "memory nodes that may be used", value="LIST"),
     Flag("cpu-idle", str, "1: run only on idle processors; 0: run as others do", value="0|1"),
     Flag("memory", str, "memory limit, bytes or with a unit b, k, m, g; -1 for none", value="SIZE"),
     Flag("memory-reservation", str, "memory that is protected from reclaim, in bytes or with a unit", value="SIZE"),
     Flag("memory-swap", str, "limit of memory and swap together; -1 for none", value="SIZE"),
     Flag("pids-limit", str, "limit of processes and threads; -1 for none", value="N"),
     Flag("l3-cache-schema", str, "Intel RDT: share of the L3 cache", value="SCHEMA"),
     Flag("mem-bw-schema", str, "Intel RDT: share of the memory bandwidth", value="SCHEMA"),
     *(Flag(name, str, "obsolete", hidden=True) for name in IGNORED)))


def run(call: Call) -> int:
    new, document = requested(call)
    update(call.root, call.id, new, call.observers(), shares_of(call), document)
    if any(call.text(name) for name in IGNORED):
        call.log.warning("limits of kernel memory are ignored: cgroup v2 has none")
    return 0


def plan_of(call: Call) -> Plan:
    """For `explain`."""
    new, document = requested(call)
    return planned(call.root, call.id, new, shares_of(call), document, call.planned_for())


def shares_of(call: Call) -> dict[str, str]:
    """What is to change of linux.intelRdt."""
    return {key: call.text(flag) for flag, key in RDT.items() if call.text(flag) and not call.text("resources")}


def requested(call: Call) -> tuple[Resources, str]:
    """The resources asked for, not checked yet, and where they were: a file or the command line."""
    file = call.text("resources")
    if file:
        document = "standard input" if file == "-" else file
        resources = loads(_read(file, document), document)
        if type(resources) is not dict:
            raise UsageError(f"must be an object: in {document}")
        return cast("Resources", resources), document
    found: dict[str, dict[str, Any]] = {}
    for table, convert in ((WORDS, _word), (NUMBERS, _number), (SIZES, size)):
        for flag, (part, name) in table.items():
            if call.text(flag):
                found.setdefault(part, {})[name] = convert(flag, call.text(flag))
    return cast("Resources", found), "the command line"


def _read(file: str, document: str) -> bytes:
    """The file, or standard input for "-"; UsageError when it cannot be read."""
    try:
        fd = 0 if file == "-" else posix.open(file, posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError as fault:
        raise UsageError(f"open {describe(fault)}") from None
    try:
        return read_all(fd)
    except OSError as fault:
        raise UsageError(f"read {document}: {strerror(fault.errno or 0)}") from None
    finally:
        if fd:
            posix.close(fd)


def _word(flag: str, text: str) -> str:
    return text


def _number(flag: str, text: str) -> int:
    digits = text[1:] if text[0] in "+-" else text
    if not (digits.isascii() and digits.isdigit() and len(digits) < 21):
        raise UsageError(f'invalid value for {flag}: "{text}" is not an integer')
    return int(text)


def size(flag: str, text: str) -> int:
    """Bytes of "512", "64k", "1.5GiB" (powers of 1024, as go-units reads them) or "-1". UsageError for others."""
    if text == "-1":
        return -1
    number = text.rstrip("bBiIkKmMgGtTpP ")
    unit = text[len(number):].strip().lower().removesuffix("b").removesuffix("i")
    whole, _, fraction = number.partition(".")
    if (unit not in ("", "k", "m", "g", "t", "p") or not (whole + fraction).isdigit() or not number.isascii()
            or len(whole) > MOST_DIGITS):
        raise UsageError(f'invalid value for {flag}: invalid size: "{text}"')
    return int(float(number) * 1024 ** "bkmgtp".index(unit or "b")) if fraction else \
        int(whole) * 1024 ** "bkmgtp".index(unit or "b")
