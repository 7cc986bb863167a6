"""Running cases: each in a process of its own, with a time limit, and nothing left behind by it."""
from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

from .harness import isolation, leftovers, patience, shield
from .harness.runtime import LOG_LIMIT, Program
from .harness.trial import Trial
from .model import BROKEN, HOLDS, OUT_OF_TIME, Case, Ended, Result

_numbers = iter(range(1 << 30))


def judge(case: Case, trial: Trial) -> tuple[str, str]:
    """Call the case: its verdict, and what was seen or is missing."""
    try:
        case.function(trial)
    except Ended as ended:
        return ended.verdict, str(ended)
    except subprocess.TimeoutExpired as over:
        return OUT_OF_TIME, f"{over.cmd} goes on after {over.timeout:.0f} s"
    except Exception:
        return BROKEN, traceback.format_exc()[-3000:]
    return HOLDS, ""


def _ignore_none() -> None:
    """Have runtimes ignore no signal, as they would below nohup. What Python ignores itself, it does not hand on."""
    for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def _inside(case: Case, program: Program, place: Path, id: str, limit: float) -> Result:
    """The case, and the removal of what it made, in the process of its own that this is called in."""
    patience.stretch(limit)
    _ignore_none()
    rootless = case.profile == "rootless"
    if not os.geteuid():
        isolation.enter()
        shield.protect(place)
        if rootless:
            isolation.become(place)
    isolation.adopt()
    trial = Trial(program, place, id, rootless)
    verdict, seen = judge(case, trial)
    log = "".join(trial.runtime.log)[-LOG_LIMIT:]
    # A case may leave containers: they are deleted, as an engine would do. What is there after that, the runtime leaks.
    # The last one goes first: it may be in a namespace of another. What has ended is reaped, its runtime waits for it.
    for container in reversed(trial.ids):
        if (trial.runtime.root / container).exists():
            leftovers.children()
            trial.runtime("delete", "--force", container)
    for place_of_ours in (*reversed(trial.cgroups), *trial.resctrl):
        leftovers.drop(place_of_ours)
    left = [] if trial.leaves else leftovers.look(id, trial.runtime.root)
    leftovers.clear(id, orphans=True)
    return Result(case.name, verdict, seen[:4000], left=left, log=log, bundles=trial.runtime.bundles,
                  tries=trial.tried)


def run_one(case: Case, program: Program, limit: float = 60) -> Result:
    """One case against one runtime; after `limit` seconds, or as many times as long as the case is longer than others,
    it is ended, and is out of time."""
    usual, limit = limit, limit * case.seconds / patience.USUAL
    began = time.monotonic()
    id = f"conf{os.getpid()}x{next(_numbers)}"
    place = Path(tempfile.mkdtemp(prefix="conformance-"))
    place.chmod(0o755)
    written = place / "result.json"
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setsid()
            written.with_suffix(".new").write_text(json.dumps(_inside(case, program, place, id, usual).as_dict()))
            written.with_suffix(".new").rename(written)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    try:
        over, doing = _wait(child, limit)
        if written.exists():
            result = Result.of(json.loads(written.read_text()))
        elif over:
            result = Result(case.name, OUT_OF_TIME, f"not at its end after {limit:.0f} s: {doing}")
        else:
            result = Result(case.name, BROKEN, "the process of the case ended without a result")
    finally:
        leftovers.clear(id, orphans=False)
        shield.remove(place)
    result.seconds = round(time.monotonic() - began, 2)
    return result


def _wait(child: int, limit: float) -> tuple[bool, str]:
    """Wait for the process of a case. Whether the time was over, and what went on; all of it is killed then."""
    deadline = time.monotonic() + limit
    pidfd = os.pidfd_open(child)
    try:
        over = True                                     # so it is when the waiting is interrupted
        over = not select.select([pidfd], [], [], max(0.0, deadline - time.monotonic()))[0]
        return over, patience.doing(child) if over else ""
    finally:
        if over:
            _kill_group(child)
        os.waitpid(child, 0)
        os.close(pidfd)


def _kill_group(child: int) -> None:
    """The process of a case and what it has started; it may not have made its group yet."""
    for kill in (os.kill, os.killpg):
        try:
            kill(child, signal.SIGKILL)
        except ProcessLookupError:
            continue


def run(cases: Sequence[Case], program: Program, limit: float = 60) -> Iterator[Result]:
    """Each case in turn."""
    for case in cases:
        yield run_one(case, program, limit)
