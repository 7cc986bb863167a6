"""The tasks of one shim: who they are, the worker that acts on them, and when which end is told."""
from __future__ import annotations

import posix
import time
from _signal import SIGKILL, pidfd_send_signal

from ..errors import PyruncError, describe
from ..keeper.errors import unpack
from ..keeper.nursery import Nursery
from ..state.container import Container
from ..ttrpc import codes
from ..ttrpc.codes import RpcError
from ..ttrpc.messages import events as ev
from ..ttrpc.messages import task as api
from .events import stamp, tell
from .oom import Watch
from .operations import OPERATIONS
from .requests import code_of
from .task import Process, Task

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any as Anything

    from ..keeper.channel import Message
    from ..kernel.loop import Loop
    from ..ttrpc.server import Call
    from .events import Publisher

PROCESS_GONE = "process already finished"
#: As containerd has the exit status of a process that never ran (UnknownExitStatus).
UNKNOWN = 255
#: Operations of a container with a checkpoint. CRIU leaves a child of the worker behind, which has to end then.
ALONE = ("mount", "restore", "checkpoint")
#: Operations that make a process.
MAKING = ("create", "restore", "exec")
#: operation -> what containerd's own shim puts before the runtime's error, and engines look for.
FAILED = {"create": "OCI runtime create failed: ", "start": "OCI runtime start failed: ",
          "exec": "OCI runtime exec failed: exec failed: "}


class Tasks:
    """What the calls of Service act on."""

    def __init__(self, loop: Loop, publisher: Publisher, namespace: str) -> None:
        self.loop, self.publisher, self.namespace = loop, publisher, namespace
        self.tasks: dict[str, Task] = {}
        self.creating: set[str] = set()
        self.owners: dict[int, tuple[Task, Process]] = {}          # pid -> whose it is
        self.nursery = Nursery(loop, OPERATIONS, self._ended)
        self.oom = Watch(loop, lambda id: publisher.publish(ev.TaskOOM(container_id=id)))

    def _task(self, id: str) -> Task:
        if id not in self.tasks:
            raise RpcError(codes.NOT_FOUND, "container not created: not found")
        return self.tasks[id]

    def _find(self, id: str, exec_id: str) -> tuple[Task, Process]:
        task = self._task(id)
        if not exec_id:
            return task, task.init
        if exec_id not in task.execs:
            raise RpcError(codes.NOT_FOUND, f"process does not exist {exec_id}: not found")
        return task, task.execs[exec_id]

    def _run(self, operation: str, task: Task, process: Process, call: Call,
             then: Callable[[Message, list[int]], None], failed: Callable[[], None] | None = None,
             **request: Anything) -> None:
        """Run an operation in a worker; a failure is the call's answer."""
        def ended(message: Message, fds: list[int]) -> None:
            for text in message.get("warnings", ()):
                tell(f"warning: {task.id}: {text}\n")
            if "error" not in message:
                try:
                    then(message["answer"], fds)
                    return
                except (OSError, PyruncError) as fault:     # no room, no descriptor: nobody else's task suffers from it
                    if operation in MAKING:
                        self._kill(process)
                    told = describe(fault) if isinstance(fault, OSError) else str(fault)
                    refused = PyruncError(f"keep what was made: {told}")
            else:
                refused = unpack(message["error"])
            process.starting = False
            if failed is not None:
                failed()
            call.fail(code_of(refused), FAILED.get(operation, "") + str(refused))
            if process is not task.init and not process.pid:
                self._never_ends(process)
            self._early(task, process)
            self._early(task, task.init)                # which may have waited for what became of this one
        self.nursery.run({"operation": operation, "root": task.root, "id": task.id, "namespace": self.namespace,
                          "stdin": process.stdin, "stdout": process.stdout, "stderr": process.stderr,
                          "terminal": process.terminal, **request}, [], ended,
                         again=operation not in ALONE and not (operation == "exec" and task.shares))

    def _take(self, task: Task, process: Process, answer: Message, fds: list[int]) -> None:
        """Note what a worker has made."""
        from .copier import Terminal
        process.pid = answer["pid"]
        process.pidfd, *rest = fds
        self.owners[process.pid] = task, process
        console = rest.pop(0) if process.terminal else -1
        process.kept = dict(zip(answer["kept"], rest))
        if console >= 0:
            process.kept["console"] = console               # until the terminal has them all
            process.console, process.kept = Terminal(self.loop, console, dict(zip(answer["kept"], rest))), {}
        if process.input_over:
            process.close_input()

    # ---- ends -------------------------------------------------------------------------------------------
    def _ended(self, pid: int, status: int, time: int) -> None:
        """A process of ours has ended. The init's end is told last of its container's."""
        owner = self.owners.pop(pid, None)
        if owner is None:
            return
        task, process = owner
        process.early = status, time
        self._early(task, process)

    def _early(self, task: Task, process: Process) -> None:
        """Tell of an end that is known, if its time has come."""
        if process.early is None or process.exited or process.starting:
            return
        if process is task.init:
            running = task.running_execs()
            if running:
                for one in running:
                    self._kill(one)
                return                                  # comes again with the last of them
            if task.shares:
                task.kill_all()
        process.status, process.exited_at = process.early
        process.end_errors(self.loop)
        self.publisher.publish(ev.TaskExit(
            container_id=task.id, id=process.id or task.id, pid=process.pid, exit_status=process.exit_status,
            exited_at=stamp(process.exited_at)))
        for call in process.waits:
            call.answer(self._waited(process))
        process.waits.clear()
        if process is not task.init:
            self._early(task, task.init)

    def _killed(self, task: Task) -> None:
        """It has been deleted, so all of it has been killed, also what has not been reaped yet."""
        now = time.time_ns()
        for one in reversed(task.processes()):
            if one.pid:
                one.early = one.early or (SIGKILL, now)
                self._early(task, one)

    def _never_ends(self, process: Process) -> None:
        """There is nothing to wait for: containerd's own shim lets go of whoever does, too."""
        process.failed = True
        for call in process.waits:
            call.answer(self._waited(process))
        process.waits.clear()

    @staticmethod
    def _waited(process: Process) -> api.WaitResponse:
        if not process.exited:
            return api.WaitResponse(exit_status=UNKNOWN)
        return api.WaitResponse(exit_status=process.exit_status, exited_at=stamp(process.exited_at))

    def _record(self, task: Task) -> Container:
        """A container's state. RpcError when it cannot be read, or is not there yet or any more."""
        try:
            return Container.load(task.root, task.id)
        except PyruncError as fault:
            raise RpcError(code_of(fault), str(fault)) from None

    def _kill(self, process: Process) -> None:
        """SIGKILL; one that has ended, or was not made, is no error."""
        if process.pidfd >= 0:
            try:
                self._signal(process, SIGKILL)
            except RpcError:
                pass

    @staticmethod
    def _signal(process: Process, number: int) -> None:
        if process.exited or process.pidfd < 0:
            raise RpcError(codes.NOT_FOUND, f"{PROCESS_GONE}: not found")
        try:
            pidfd_send_signal(process.pidfd, number)
        except ProcessLookupError:
            raise RpcError(codes.NOT_FOUND, f"{PROCESS_GONE}: not found") from None
        except OSError as fault:
            raise RpcError(codes.INVALID_ARGUMENT, f"signal {number}: {posix.strerror(fault.errno or 0)}") from None
