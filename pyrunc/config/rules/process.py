"""config.md#process and config.md#linux-process."""
from __future__ import annotations

from ...errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..types import Config, Process, Scheduler

#: Rows and columns of struct winsize are 16 bits.
LARGEST_TERMINAL = 0xFFFF
#: NGROUPS_MAX of <linux/limits.h>.
MOST_GROUPS = 65536
REALTIME = ("SCHED_FIFO", "SCHED_RR")


def rules(config: Config) -> Iterator[ConfigError]:
    process = config.get("process")
    if process is None:
        return
    if process.get("terminal"):
        console = process.get("consoleSize", {"height": 0, "width": 0})
        for key, size in (("height", console["height"]), ("width", console["width"])):
            if size > LARGEST_TERMINAL:
                yield ConfigError(f"{size} is more than {LARGEST_TERMINAL}", f"process.consoleSize.{key}")
    for index, entry in enumerate(process.get("env", ())):
        name, equals, _ = entry.partition("=")       # the value may be a secret: it is in no message
        if not equals:
            yield ConfigError("invalid environment variable: missing '='", f"process.env[{index}]")
        elif not name:
            yield ConfigError("invalid environment variable: name cannot be empty", f"process.env[{index}]")
    groups = process.get("user", {}).get("additionalGids", ())
    if len(groups) > MOST_GROUPS:
        yield ConfigError(f"{len(groups)} groups; a process can have at most {MOST_GROUPS}",
                          "process.user.additionalGids")
    yield from _rlimits(process)
    if scheduler := process.get("scheduler"):
        yield from _scheduler(scheduler)
    yield from _affinity(process)


def _rlimits(process: Process) -> Iterator[ConfigError]:
    """Each limit once, and soft within hard, as setrlimit(2) demands."""
    seen = set()
    for index, limit in enumerate(process.get("rlimits", ())):
        if limit["type"] in seen:
            yield ConfigError(f"{limit['type']} is listed twice", f"process.rlimits[{index}].type")
        seen.add(limit["type"])
        if limit["soft"] > limit["hard"]:
            yield ConfigError(f"the soft limit {limit['soft']} is above the hard limit {limit['hard']}",
                              f"process.rlimits[{index}].soft")


def _scheduler(scheduler: Scheduler) -> Iterator[ConfigError]:
    """What sched(7) demands of each policy."""
    where, policy = "process.scheduler", scheduler["policy"]
    nice, priority = scheduler.get("nice", 0), scheduler.get("priority", 0)
    if not -20 <= nice <= 19:
        yield ConfigError(f"invalid scheduler.nice: {nice} when scheduler.policy is {policy}", f"{where}.nice")
    if priority and policy not in REALTIME:
        yield ConfigError("scheduler.priority can only be specified for SchedFIFO or SchedRR policy",
                          f"{where}.priority")
    if policy in REALTIME and not 1 <= priority <= 99:
        yield ConfigError(f"{policy} needs a priority from 1 to 99, not {priority}", f"{where}.priority")
    runtime, deadline = scheduler.get("runtime", 0), scheduler.get("deadline", 0)
    period = scheduler.get("period", 0)
    if policy != "SCHED_DEADLINE":
        if runtime or deadline or period:
            key = "runtime" if runtime else "deadline" if deadline else "period"
            yield ConfigError("scheduler runtime/deadline/period can only be specified for SchedDeadline policy",
                              f"{where}.{key}")
    elif not 0 < runtime <= deadline <= (period or deadline):
        yield ConfigError("invalid argument: SCHED_DEADLINE needs 0 < runtime <= deadline <= period", where)


def _affinity(process: Process) -> Iterator[ConfigError]:
    affinity = process.get("execCPUAffinity")
    if not affinity:
        return
    from ..numbers import parse_numbers
    for key, text in (("initial", affinity.get("initial", "")), ("final", affinity.get("final", ""))):
        try:
            parse_numbers(text)
        except ValueError as fault:
            yield ConfigError(str(fault), f"process.execCPUAffinity.{key}")
