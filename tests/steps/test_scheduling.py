"""Scheduler, I/O priority and CPU affinity. From inside a container: tests/container/test_properties.py."""
from __future__ import annotations

import errno
import os
import struct
from contextlib import nullcontext
from typing import Any

import pytest

from pyrunc.engine.facts import Facts
from pyrunc.kernel.last_stage import OP_IOPRIO, OP_SCHEDULER
from pyrunc.kernel.linux import Kernel
from pyrunc.kernel.recorder import Recorder
from pyrunc.kernel.recording import PID
from pyrunc.steps import scheduling
from tests.forked import forked

from .planned import config, done, facts, plan, story


def attr(policy: int, flags: int = 0, nice: int = 0, priority: int = 0, runtime: int = 0, deadline: int = 0,
         period: int = 0) -> bytes:
    """struct sched_attr (sched_setattr(2))"""
    return struct.pack("=IIQiIQQQII", 56, policy, flags, nice, priority, runtime, deadline, period, 0, 0)


# config.md#linux-process: "policy (string, REQUIRED) represents the scheduling policy." "nice … If not set, the runtime
# must use the value 0." and so for priority, runtime, deadline and period.
@pytest.mark.parametrize("wanted, text, data", [
    ({"policy": "SCHED_OTHER", "nice": -5}, "SCHED_OTHER: nice -5", attr(0, nice=-5)),
    ({"policy": "SCHED_FIFO", "priority": 10, "flags": ["SCHED_FLAG_RESET_ON_FORK"]},
     "SCHED_FIFO | SCHED_FLAG_RESET_ON_FORK: priority 10", attr(1, flags=1, priority=10)),
    ({"policy": "SCHED_IDLE"}, "SCHED_IDLE", attr(5)),
    ({"policy": "SCHED_DEADLINE", "runtime": 10_000_000, "deadline": 20_000_000, "period": 2**33},
     "SCHED_DEADLINE: runtime 10000000, deadline 20000000, period 8589934592",
     attr(6, runtime=10_000_000, deadline=20_000_000, period=2**33)),
    ({"policy": "SCHED_RR", "priority": 1, "flags": ["SCHED_FLAG_UTIL_CLAMP_MIN", "SCHED_FLAG_KEEP_PARAMS"]},
     "SCHED_RR | SCHED_FLAG_UTIL_CLAMP_MIN | SCHED_FLAG_KEEP_PARAMS: priority 1", attr(2, flags=0x30, priority=1)),
])
def test_scheduler(wanted: dict[str, Any], text: str, data: bytes) -> None:
    whole = config(process={"scheduler": wanted})
    assert story(plan(scheduling.all, whole)) == [
        ("scheduling.scheduler", "process.scheduler", f"set scheduling policy {text}")]
    assert done(scheduling.all, whole) == [("last", OP_SCHEDULER, 0, 0, 0, data)]


# config.md#linux-process: "class (string, REQUIRED) specifies the I/O scheduling class. … priority (int, REQUIRED) …
# ranging from 0 (highest) to 7 (lowest)."
@pytest.mark.parametrize("kind, number", [("RT", 1), ("BE", 2), ("IDLE", 3)])
def test_io_priority(kind: str, number: int) -> None:
    whole = config(process={"ioPriority": {"class": f"IOPRIO_CLASS_{kind}", "priority": 4}})
    assert story(plan(scheduling.all, whole)) == [
        ("scheduling.io_priority", "process.ioPriority", f"set I/O priority IOPRIO_CLASS_{kind} 4")]
    assert done(scheduling.all, whole) == [("last", OP_IOPRIO, number << 13 | 4, 0, 0, b"")]


def test_without_them_nothing_is_touched() -> None:
    assert plan(scheduling.all, config()) == plan(scheduling.all, config(process=None)) == []


def test_the_init_may_run_on_any_cpu() -> None:
    """An engine may have bound itself to some; the cgroup's cpuset still holds."""
    assert done(scheduling.any_cpu, config()) == [("sched_setaffinity", PID, b"\xff" * 1024)]


def test_an_affinity_that_nobody_asked_for_is_no_reason_to_fail() -> None:
    known = facts()
    for cpus, error in (({}, None), ({"final": "0"}, PermissionError)):
        [step] = plan(scheduling.final_affinity, config(process={"execCPUAffinity": cpus}))
        with pytest.raises(error) if error else nullcontext():
            step.apply(Recorder(errors={"sched_setaffinity": [errno.EPERM]}), known)
    assert known.warnings == ["let the process run on any CPU of its cgroup: operation not permitted"]


# config.md#linux-process: "initial (string, OPTIONAL) is a list of CPUs a runtime parent process to be run on
# initially, before the transition to container's cgroup." "final (string, OPTIONAL) is a list of CPUs the process will
# be run on after the transition to container's cgroup. … If omitted or empty, runtime SHOULD NOT change process' CPU
# affinity after the process is moved to container's cgroup"
@pytest.mark.spec("config.md#linux-process", "execCPUAffinity.initial", "execCPUAffinity.final")
@pytest.mark.parametrize("affinity, before, after", [
    ({"initial": "0-1,64", "final": "7"}, [(0, b"\x03" + bytes(7) + b"\x01" + bytes(7))], [(PID, b"\x80" + bytes(7))]),
    ({"initial": "3"}, [(0, b"\x08" + bytes(7))], []),
    ({"final": "1"}, [], [(PID, b"\x02" + bytes(7))]),
    ({}, [], [(PID, b"\xff" * 1024)]),
])
def test_exec_cpu_affinity(affinity: dict[str, str], before: list[Any], after: list[Any]) -> None:
    whole = config(process={"execCPUAffinity": affinity} if affinity else {})
    assert done(scheduling.initial_affinity, whole) == [("sched_setaffinity", *call) for call in before]
    assert done(scheduling.final_affinity, whole) == [("sched_setaffinity", *call) for call in after]


@pytest.mark.spec("config.md#linux-process", "execCPUAffinity.initial")
def test_affinity_in_the_kernel() -> None:
    def act() -> tuple[set[int], set[int]]:
        known, kernel, every = Facts(), Kernel(), os.sched_getaffinity(0)
        known.pid, last = os.getpid(), str(max(every))
        for planner in (scheduling.initial_affinity, scheduling.final_affinity):
            [step] = plan(planner, config(process={"execCPUAffinity": {"initial": last, "final": last}}))
            step.apply(kernel, known)
        bound = os.sched_getaffinity(0)
        assert bound == {max(every)}
        [step] = plan(scheduling.any_cpu, config())
        step.apply(kernel, known)
        return every, os.sched_getaffinity(0)
    before, after = forked(act)
    assert before <= after
