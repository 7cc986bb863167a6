"""The engine: runs a plan on a kernel, in two processes, and takes it back when it fails.

The runtime walks the list and does its own steps. At the clone the list is walked twice: the child does the
child's steps and queues those of the last stage. They meet at barriers, by one byte on a socket pair; a closed
socket means that the other one is gone. The journal page says in which step, whoever died and however.
"""
from __future__ import annotations

import errno
import posix
import time

from ..errors import ConfigError, PyruncError, Refused, StepError, strerror
from ..kernel.page import PHASE_CHILD, PHASE_EXEC, PHASE_FAILED, Page, last_words, text_of
from ..kernel.stopping import running
from .facts import Facts
from .observer import warn, watching
from .step import BOTH, CHILD, LAST, PARENT, Barrier, Plan, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn

    from ..kernel.linux import Kernel
    from ..kernel.posix import PosixKernel
    from .observer import Observer


#: What a step of the parent meets when the child has ended: a closed socket, or a pid whose parent has reaped it.
NO_CHILD = BrokenPipeError, ProcessLookupError, FileNotFoundError


class Interrupted(PyruncError):
    """A signal asked the runtime to stop; what it had done is undone. number is the signal's."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"interrupted by signal {number}")


class Engine:
    """One run of one plan. `run` returns when the parent's last step is done, or raises after undoing.

    steps    the plan, in order
    kernel   what acts
    facts    what they find out, new unless it is handed on from another plan

    failed is the index of the step that failed, on either side, -1 for none; error is why.
    """

    def __init__(self, steps: Plan | Sequence[Step], kernel: Kernel, facts: Facts | None = None,
                 observers: Sequence[Observer] = ()) -> None:
        self.plan = steps if isinstance(steps, Plan) else Plan("", steps)
        self.steps = self.plan.steps
        self.observers = observers
        # Sorted while there is one process: afterwards, to look at a step (to count a reference) is to copy its page.
        walk: list[tuple[int, Any, str]] = [(index, step, BOTH if isinstance(step, Barrier) else step.side)
                                            for index, step in enumerate(self.steps)]
        self.parents = [entry for entry in walk if entry[2] in (PARENT, BOTH)]
        self.childs = [entry for entry in walk if entry[2] != PARENT]
        self.first_last = next((index for index, step, side in walk if side == LAST or (side == BOTH and step.in_last)),
                               len(self.steps))
        self.kernel = kernel
        self.facts = facts or Facts()
        self.facts.plan = self.plan
        self.facts.page = Page(len(self.steps))
        self.times: list[tuple[int, int]] = [(0, 0)] * len(self.steps)   # of the parent's steps, ns
        self.failed = -1
        self.error: PyruncError | None = None
        self.warnings: list[str] = []
        self.signal = 0
        self.waiting = False

    # ---- the parent's walk ------------------------------------------------------------------------------
    def run(self) -> None:
        """Do the plan. Raises ConfigError, StepError or Interrupted, with nothing left behind."""
        index = begun = -1                 # begun: the last step that was, for what was not is not undone
        since = 0
        now = time.monotonic_ns
        before, after = watching(self.observers, "before_step"), watching(self.observers, "after_step")
        try:
            for index, step, side in self.parents:
                if self.signal:
                    raise Interrupted(self.signal)
                for tell in before:
                    tell(self, index)
                begun = index
                self.facts.page.parent_step = index
                self.kernel.step = index
                since = now()
                if side == BOTH:
                    self._meet(step)
                else:
                    step.apply(self.kernel, self.facts)
                    if step.forks and self.kernel.cloned:
                        self._child(index)
                self.times[index] = since, now()
                for tell in after:
                    tell(self, index)
        except BaseException as fault:
            if self.kernel.cloned:         # of the child, between the clone and its own walk
                self._child_failed(self.steps[begun], fault)
            ended = now()
            if isinstance(fault, (OSError, PyruncError)):
                self.error = self._explain(index, fault)
                if self.failed == begun and since:
                    self.times[begun] = since, ended       # before anything is explained, looked at or undone
                for tell in watching(self.observers, "failed"):
                    tell(self, self.error)
            self._undo(begun)
            if self.error is None:
                raise
        if self.error is not None:
            self.error.run = self          # for whoever keeps a report of it
            raise self.error

    def on_signal(self, number: int) -> None:
        """SIGTERM or one of its kin has come: stops a wait at once, and anything else between two steps."""
        self.signal = self.kernel.stopped = number
        if self.waiting:
            raise Interrupted(number)

    def _meet(self, barrier: Barrier) -> None:
        sync = self.facts.sync_fd
        if barrier.waits == CHILD:
            try:
                posix.write(sync, b"\n")
            except BrokenPipeError:
                self._lost()
            return
        self.waiting = True
        try:
            if barrier.by_end and not (self.facts.hold and self._held(sync)):
                # Under its filter it may not even be allowed to end: what counts is whether there is another.
                self.kernel.wait_status(self.facts.pidfd)
                told = b"\n" if self.facts.page.child_pid > 0 else b""
            else:
                told = posix.read(sync, 1)
        except ConnectionResetError:
            told = b""
        finally:
            self.waiting = False
        if told and self.facts.hold and self.facts.page.phase == PHASE_FAILED:
            self._lost()
        if not told and not (barrier.parting and self._alive()):
            self._lost()

    def _held(self, sync: int) -> bool:
        """Whether the child has failed before it could end as it should, and waits."""
        import select
        poll = select.poll()
        poll.register(sync, select.POLLIN)
        poll.register(self.facts.pidfd, select.POLLIN)
        return any(fd == sync for fd, _ in poll.poll()) and self.facts.page.phase == PHASE_FAILED

    def _alive(self) -> bool:
        """Whether the child closed its end on purpose: it has executed its program, or come to the barrier and lives.

        Where it is counts, for the descriptors of a process that is killed close before its pidfd tells. A program that
        ends at once is no exception: C writes down PHASE_EXEC before execve, which closes the socket, and until then
        it waits for the runtime at the barrier before (last_tail.c: meet), so that no write to it finds it gone.
        """
        page = self.facts.page
        return page.phase == PHASE_EXEC or (page.phase != PHASE_FAILED and page.child_step >= page.parent_step
                                            and not self.kernel.readable(self.facts.pidfd))

    def _lost(self) -> NoReturn:
        """The child is gone: its last words are in the page, or else how it died tells."""
        from ..kernel.waiting import UNKNOWN
        page, facts = self.facts.page, self.facts
        held = facts.hold and page.phase == PHASE_FAILED         # it waits to be looked at, and does not end
        status = 0 if held else self.kernel.wait_status(facts.pidfd)
        if not (status or held) and page.child_pid > 0 and page.child_pid != facts.pid:
            try:                             # it has cloned another, which is gone, too
                status = self.kernel.wait_status(self.kernel.pidfd_open(page.child_pid))
            except OSError:                                                # that was no pid of ours
                pass
        index = page.child_step
        if not 0 <= index < len(self.steps):
            index = page.parent_step
        step = self.steps[index]
        if page.phase == PHASE_FAILED:
            where, what, hint = last_words(page)
            raise self._step_error(index, page.error, what or step.describe(), hint, where)
        how = "ended" if status == UNKNOWN else f"killed by signal {-status}" if status < 0 \
            else f"exited with status {status}"
        if status in (-9, UNKNOWN) and self.kernel.oom_kills(facts.cgroup_fd):
            from ..errors import OOM_KILLED
            how = OOM_KILLED
        doing = f'at the barrier "{step.label}"' if isinstance(step, Barrier) else f'in the step "{step.describe()}"'
        raise self._step_error(index, 0, f"{how} {doing}")

    def _explain(self, index: int, fault: BaseException) -> PyruncError:
        step = self.steps[index]
        if isinstance(fault, Refused):
            return self._step_error(index, fault.errno, fault.what, hint_of(fault), place_of(step, fault))
        if isinstance(fault, PyruncError):
            if self.failed < 0:
                self.failed = index
            return fault
        assert isinstance(fault, OSError)
        # Of a container that runs already, start and its hooks have no child: pid without pidfd.
        if isinstance(fault, NO_CHILD) and self.facts.pid and self.facts.pidfd >= 0 and (
                self.facts.page.phase == PHASE_FAILED or self.kernel.readable(self.facts.pidfd)):
            try:                             # the step had to do with the child, which knows better
                self._lost()
            except StepError as lost:
                return lost
        if self.signal and isinstance(fault, InterruptedError):      # a program of the step was ended for the signal
            return Interrupted(self.signal)
        return self._step_error(index, fault.errno or 0, failure_text(step, fault), hint_of(fault),
                                place_of(step, fault))

    def _step_error(self, index: int, number: int, what: str, hint: str = "", where: str = "") -> StepError:
        self.failed, step = index, self.steps[index]
        try:
            from .hints import explain
            hint, where = explain(step, number, hint, where, self.plan)
        except Exception:  # a hint must never hide the fault it explains
            hint = ""
        return StepError(what, number, where or step.where, step.name, step.spec, hint, self.plan.ids[index])

    def _undo(self, index: int) -> None:
        """Backwards over the parent's steps that were begun. A failing undo is a warning, never the error."""
        self._free_spare()
        self.kernel.stopped = 0              # programs of the undo run, until another signal comes
        undone = watching(self.observers, "undone")
        for number, step, side in reversed(self.parents):
            if number > index or side == BOTH:
                continue
            try:
                step.undo(self.kernel, self.facts)
            except OSError as fault:
                self.warnings.append(f"undo of {step.name}: {strerror(fault.errno or errno.EIO)}: {fault.filename}")
            except Exception as fault:       # no memory, say: what can be undone without is
                self.warnings.append(f"undo of {step.name}: {str(fault) or type(fault).__name__}")
            for tell in undone:
                tell(self, number)

    def _free_spare(self) -> None:
        while self.facts.spare:
            posix.close(self.facts.spare.pop())

    # ---- the child's walk: Python until the root is switched, then C -------------------------------------
    def _child(self, clone: int) -> NoReturn:
        kernel, facts, page = self.kernel, self.facts, self.facts.page
        step = self.steps[clone]
        try:
            kernel.become_child()
            page.phase = PHASE_CHILD
            if facts.hold:
                page.hold = facts.sync_fd
            self._free_spare()
            if facts.lock_fd >= 0:           # which it would hold for as long as it lives
                posix.close(facts.lock_fd)
            now, times = time.monotonic_ns, page.times
            for index, step, side in self.childs:
                if index < clone:
                    continue
                page.child_step = kernel.step = index
                if side == BOTH:
                    self._child_meets(step, index)
                elif side == LAST:
                    step.apply(kernel, facts)
                else:
                    slot = times[index]
                    slot.start = now()
                    step.apply(kernel, facts)
                    slot.end = now()
            kernel.run_last(page)
        except BaseException as fault:  # nothing may reach the interpreter's own printer (security.md 2.1)
            self._child_failed(step, fault)
        finally:
            kernel.exit(1)
        raise AssertionError

    def _child_failed(self, step: Step, fault: BaseException) -> NoReturn:
        """The end of the child: its words are in the page, and nothing of the runtime's is undone by it."""
        try:
            if isinstance(fault, OSError):
                self._last_words(fault.errno or 0, failure_text(step, fault), place_of(step, fault), hint_of(fault))
            elif isinstance(fault, Refused):
                self._last_words(fault.errno, fault.what, place_of(step, fault), hint_of(fault))
            elif isinstance(fault, ConfigError):
                self._last_words(0, fault.what, fault.where)
            else:
                self._last_words(0, f"{step.describe()}: {type(fault).__name__}: {fault}", step.where)
            if self.facts.hold and self.facts.page.phase == PHASE_FAILED:
                posix.write(self.facts.sync_fd, b"!")
                while posix.read(self.facts.sync_fd, 1):         # until the runtime ends this process
                    pass
        finally:
            self.kernel.exit(1)
        raise AssertionError

    def _child_meets(self, barrier: Barrier, index: int) -> None:
        from ..kernel.last_stage import OP_BARRIER, OP_CLOSE_FD  # a plan with a child has imported it
        kernel, sync = self.kernel, self.facts.sync_fd
        if barrier.by_end:
            return
        if barrier.parting:
            if not barrier.by_exec:
                kernel.last(OP_CLOSE_FD, sync)
        elif index >= self.first_last:
            if barrier.waits == PARENT:     # C tells and waits in one operation; the answer is the next barrier
                kernel.last(OP_BARRIER, sync)
        elif barrier.waits == PARENT:
            posix.write(sync, b"\n")
        elif not posix.read(sync, 1):
            kernel.exit(1)                  # the runtime is gone; so is the container

    def _last_words(self, number: int, what: str, where: str, hint: str = "") -> None:
        page = self.facts.page
        page.error = number
        page.text = text_of(where, what, hint)
        page.phase = PHASE_FAILED


def execute(plan: Plan, kernel: PosixKernel, observers: Sequence[Observer] = (), facts: Facts | None = None) -> Facts:
    """Run any plan: signals that ask the runtime to stop undo it, where there is a handler that hands them on
    (kernel/stopping.py), and observers are told however it ends.

    kernel   a Kernel; a PosixKernel is enough for a plan that neither clones nor mounts
    facts    new unless they are handed on from another plan
    """
    for observer in observers:
        plan = observer.planned(plan)
    engine = Engine(plan, kernel, facts, observers)  # type: ignore[arg-type]
    running.append(engine.on_signal)
    try:
        for begin in watching(observers, "before_plan"):
            begin(engine)
        engine.run()
    finally:
        running.pop()
        warn(observers, engine.warnings + engine.facts.warnings)
        warn(observers, engine.facts.notes, "note")
        for end in watching(observers, "after_plan"):
            end(engine)
    return engine.facts


def failure_text(step: Step, fault: OSError) -> str:
    """What a failed step was doing: its description, and what the call adds (a path, an option)."""
    what = step.failure(fault)
    detail = fault.filename
    if isinstance(detail, str) and detail and detail not in what:
        what += f" ({detail})"
    return what


def hint_of(fault: BaseException) -> str:
    """The clause that the fault itself has (errors.advise), or ""."""
    hint: str = getattr(fault, "hint", "")
    return hint


def place_of(step: Step, fault: BaseException) -> str:
    """The JSON path of what failed: the step's, or the more exact one that the fault has (errors.at)."""
    where: str = getattr(fault, "where", step.where)
    return where
