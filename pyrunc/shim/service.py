"""containerd's Task service, versions 2 and 3: each call, and in which order containerd hears of what happens."""
from __future__ import annotations

import posix
from _signal import SIGKILL

from ..errors import PyruncError, describe
from ..state.container import Container
from ..ttrpc import codes
from ..ttrpc.codes import RpcError
from ..ttrpc.messages import events as ev
from ..ttrpc.messages import task as api
from ..ttrpc.messages.options import ProcessDetails
from ..ttrpc.messages.well_known import Empty
from .checkpoints import asked
from .events import stamp
from .requests import json_of, options_of, packed, write
from .task import Process, Task
from .tasks import FAILED, Tasks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..formats.protobuf import Message as Protobuf
    from ..keeper.channel import Message
    from ..kernel.loop import Loop
    from ..ttrpc.server import Call, Handler
    from .events import Publisher

#: Where containers' state is, unless the runtime's options say otherwise.
ROOT = "/run/containerd/pyrunc"


class Service(Tasks):
    """One shim's tasks. shutdown is called when containerd has no more use for it, emptied when none is left."""

    def __init__(self, loop: Loop, publisher: Publisher, namespace: str, shutdown: Callable[[], None],
                 emptied: Callable[[], None]) -> None:
        super().__init__(loop, publisher, namespace)
        self.shutdown, self.emptied = shutdown, emptied
        self.leaving = False                            # no container will come any more

    def handlers(self) -> Mapping[str, Handler]:
        """method -> what serves it"""
        return {"State": self.state, "Create": self.create, "Start": self.start, "Delete": self.delete,
                "Pids": self.pids, "Pause": self.pause, "Resume": self.resume, "Checkpoint": self.checkpoint,
                "Kill": self.kill, "Exec": self.exec, "ResizePty": self.resize_pty, "CloseIO": self.close_io,
                "Update": self.update, "Wait": self.wait, "Stats": self.stats, "Connect": self.connect,
                "Shutdown": self.shut_down}

    # ---- making and ending ------------------------------------------------------------------------------
    def create(self, request: api.CreateTaskRequest, call: Call) -> None:
        """Make a container, whose init waits for Start."""
        if request.id in self.tasks or request.id in self.creating:
            raise RpcError(codes.ALREADY_EXISTS, f"task {request.id}: already exists")
        options = options_of(request.options)
        root = f"{options.root or ROOT}/{self.namespace}"
        init = Process("", request.stdin, request.stdout, request.stderr, request.terminal)
        task = Task(request.id, request.bundle, root, init)
        init.spec = {
            "config": None, "bundle": request.bundle, "checkpoint": request.checkpoint, "work": options.criu_work_path,
            "systemd_cgroup": options.systemd_cgroup,
            "options": {"no_pivot": options.no_pivot_root, "no_new_keyring": options.no_new_keyring}}
        self.creating.add(request.id)
        self._run("mount" if request.checkpoint else "create", task, init, call,
                  lambda answer, fds: self._created(task, request, answer, fds, call),
                  lambda: self.creating.discard(request.id), **init.spec, rootfs=[
                      (mount.type, mount.source, mount.target, list(mount.options)) for mount in request.rootfs])

    def _created(self, task: Task, request: api.CreateTaskRequest, answer: Message, fds: list[int], call: Call) -> None:
        self.creating.discard(task.id)
        self.tasks[task.id] = task
        try:
            if not request.checkpoint:
                self._made(task, answer, fds)
            write(task.bundle, "pyrunc-root", task.root)
        except (OSError, PyruncError) as fault:         # a full disk; nobody else's task suffers from it
            self._unmake(task, call, fault)
            return
        call.answer(api.CreateTaskResponse(pid=task.init.pid))
        self.publisher.publish(ev.TaskCreate(
            container_id=task.id, bundle=task.bundle, rootfs=request.rootfs, checkpoint=request.checkpoint,
            pid=task.init.pid, io=ev.TaskIO(stdin=request.stdin, stdout=request.stdout, stderr=request.stderr,
                                            terminal=request.terminal)))

    def _unmake(self, task: Task, call: Call, fault: OSError | PyruncError) -> None:
        """What was made cannot be kept: it is removed, and Create has failed."""
        self.owners.pop(task.init.pid, None)            # nobody has heard of it, so nobody is told of its end

        def done(answer: Message, fds: list[int]) -> None:
            del self.tasks[task.id]
            self.emptied()
            self.oom.remove(task.id)
            task.init.release()
            told = describe(fault) if isinstance(fault, OSError) else str(fault)
            call.fail(codes.UNKNOWN, f"{FAILED['create']}keep what was made: {told}")
        self._run("delete", task, task.init, call, done, force=True, bundle=task.bundle, made=bool(task.init.pid))

    def _made(self, task: Task, answer: Message, fds: list[int]) -> None:
        """The container is there: by Create, or by the Start of one that comes from a checkpoint."""
        self._take(task, task.init, answer, fds)
        task.mappings = answer["mappings"]
        record = Container.load(task.root, task.id)
        task.shares = not record.state["pid_namespace"]
        write(task.bundle, "init.pid", str(task.init.pid))
        self.oom.add(task.id, record.state["cgroup"])

    def start(self, request: api.StartRequest, call: Call) -> None:
        """Let the init run its program, or make the process of an exec."""
        task, process = self._find(request.id, request.exec_id)
        if process.started or process.starting:
            raise RpcError(codes.FAILED_PRECONDITION, "cannot start a process that has been started")
        if process.exited or (request.exec_id and task.init.exited):
            raise RpcError(codes.FAILED_PRECONDITION, f"container {task.id} init process is not running")
        process.starting, process.failed = True, False
        if process is task.init and process.spec["checkpoint"]:
            def restored(answer: Message, fds: list[int]) -> None:
                self._made(task, answer, fds)
                self._started(task, process, call)
            self._run("restore", task, process, call, restored, **process.spec)
            return
        if not request.exec_id:
            self._run("start", task, process, call, lambda answer, fds: self._started(task, process, call))
            return
        self._run("exec", task, process, call, lambda answer, fds: self._executed(task, process, answer, fds, call),
                  given=process.spec, mappings=task.mappings)

    def _executed(self, task: Task, process: Process, answer: Message, fds: list[int], call: Call) -> None:
        self._take(task, process, answer, fds)
        self._started(task, process, call)

    def _started(self, task: Task, process: Process, call: Call) -> None:
        process.starting, process.started = False, True
        call.answer(api.StartResponse(pid=process.pid))
        if process.id:
            self.publisher.publish(ev.TaskExecStarted(container_id=task.id, exec_id=process.id, pid=process.pid))
        else:
            self.publisher.publish(ev.TaskStart(container_id=task.id, pid=process.pid))
        self._early(task, process)
        self._early(task, task.init)                    # whose end waits for that of this one, too

    def exec(self, request: api.ExecProcessRequest, call: Call) -> Protobuf:
        """Add a process; Start makes it."""
        task = self._task(request.id)
        if request.exec_id in task.execs or not request.exec_id:
            raise RpcError(codes.ALREADY_EXISTS, f"id {request.exec_id}: already exists")
        process = Process(request.exec_id, request.stdin, request.stdout, request.stderr, request.terminal)
        process.spec = json_of(request.spec)
        process.spec["terminal"] = request.terminal
        task.execs[request.exec_id] = process
        self.publisher.publish(ev.TaskExecAdded(container_id=task.id, exec_id=process.id))
        return Empty()

    def delete(self, request: api.DeleteRequest, call: Call) -> Protobuf | None:
        """Forget an exec, or remove a container that has stopped or never started."""
        task, process = self._find(request.id, request.exec_id)
        if process.starting or task.deleting or (process.started and not process.exited):
            raise RpcError(codes.FAILED_PRECONDITION, f"cannot delete a running process {process.pid}")
        if request.exec_id:
            del task.execs[process.id]
            self._never_ends(process)
            process.release()
            return self._deleted(process)
        task.deleting = True

        def done(answer: Message, fds: list[int]) -> None:
            del self.tasks[task.id]
            self.emptied()
            self.oom.remove(task.id)
            self._killed(task)
            self.publisher.publish(ev.TaskDelete(container_id=task.id, pid=process.pid, exit_status=process.exit_status,
                                                 exited_at=stamp(process.exited_at)))
            for one in task.processes():
                self.owners.pop(one.pid, None)
                self._never_ends(one)
                one.release()
            call.answer(self._deleted(process))

        def failed() -> None:
            task.deleting = False
        self._run("delete", task, process, call, done, failed, force=True, bundle=task.bundle, made=bool(process.pid))
        return None

    @staticmethod
    def _deleted(process: Process) -> api.DeleteResponse:
        return api.DeleteResponse(pid=process.pid, exit_status=process.exit_status,
                                  exited_at=stamp(process.exited_at) if process.exited else None)

    # ---- looking ----------------------------------------------------------------------------------------
    def state(self, request: api.StateRequest, call: Call) -> Protobuf:
        """What a process is doing."""
        task, process = self._find(request.id, request.exec_id)
        status = process.state()
        if task.paused and status == api.Status.RUNNING and not process.id:
            status = api.Status.PAUSED
        return api.StateResponse(
            id=process.id or task.id, bundle=task.bundle, pid=process.pid, status=status, stdin=process.stdin,
            stdout=process.stdout, stderr=process.stderr, terminal=process.terminal, exit_status=process.exit_status,
            exited_at=stamp(process.exited_at) if process.exited else None, exec_id=process.id)

    def wait(self, request: api.WaitRequest, call: Call) -> Protobuf | None:
        """Answer when the process has ended."""
        _, process = self._find(request.id, request.exec_id)
        if process.exited or process.failed:
            return self._waited(process)
        process.waits.append(call)
        call.on_cancel = lambda: process.waits.remove(call) if call in process.waits else None
        return None

    def pids(self, request: api.PidsRequest, call: Call) -> Protobuf:
        """Every process of the container, and its init also when that has ended.

        A containerd that starts again takes a shim without a process for one that was forgotten, and removes it with
        the exit status (1.7 and later, runtime/v2/shim_load.go).
        """
        task = self._task(request.id)
        details = {one.pid: one.id for one in task.execs.values()}
        with self._record(task).cgroup() as cgroup:
            pids = cgroup.procs() or [task.init.pid]
        return api.PidsResponse(processes=[
            api.ProcessInfo(pid=pid, info=packed(ProcessDetails(exec_id=details[pid])) if pid in details else None)
            for pid in pids])

    def stats(self, request: api.StatsRequest, call: Call) -> Protobuf:
        """What the container uses."""
        from ..kernel.posix import PosixKernel
        from .stats import metrics
        task = self._task(request.id)
        with self._record(task).cgroup() as cgroup:
            if not cgroup.exists():
                raise RpcError(codes.NOT_FOUND, "cgroup does not exist")
            pid = 0 if task.init.exited else task.init.pid
            return api.StatsResponse(stats=packed(metrics(PosixKernel(), cgroup.fd, pid)))

    def connect(self, request: api.ConnectRequest, call: Call) -> Protobuf:
        """Who we are. `start` asks that before a container comes: for that one the time begins anew."""
        if self.leaving:
            raise RpcError(codes.UNAVAILABLE, "the shim ends")
        if not self.tasks:
            self.emptied()
        task = self.tasks.get(request.id)
        return api.ConnectResponse(shim_pid=posix.getpid(), task_pid=task.init.pid if task else 0)

    # ---- acting on what runs ----------------------------------------------------------------------------
    def kill(self, request: api.KillRequest, call: Call) -> Protobuf | None:
        """Signal one process, or all of the container."""
        task, process = self._find(request.id, request.exec_id)
        if not process.pid:
            raise RpcError(codes.FAILED_PRECONDITION, "process not created")
        if not process.id and (request.all or (task.shares and request.signal == SIGKILL)):
            self._run("kill", task, process, call, lambda answer, fds: call.answer(Empty()), signal=request.signal,
                      all=request.all)
            return None
        self._signal(process, request.signal)
        return Empty()

    def pause(self, request: api.PauseRequest, call: Call) -> None:
        """Stop all processes where they are."""
        task = self._task(request.id)

        def done(answer: Message, fds: list[int]) -> None:
            task.paused = True
            self.publisher.publish(ev.TaskPaused(container_id=task.id))
            call.answer(Empty())
        self._run("pause", task, task.init, call, done)

    def resume(self, request: api.ResumeRequest, call: Call) -> None:
        """Let them go on."""
        task = self._task(request.id)

        def done(answer: Message, fds: list[int]) -> None:
            task.paused = False
            self.publisher.publish(ev.TaskResumed(container_id=task.id))
            call.answer(Empty())
        self._run("resume", task, task.init, call, done)

    def update(self, request: api.UpdateTaskRequest, call: Call) -> None:
        """Change the limits."""
        task = self._task(request.id)
        self._run("update", task, task.init, call, lambda answer, fds: call.answer(Empty()),
                  resources=json_of(request.resources))

    def checkpoint(self, request: api.CheckpointTaskRequest, call: Call) -> None:
        """Write the container to image files; it goes on, or ends as containerd asks."""
        task = self._task(request.id)
        try:
            choices = asked(request)
        except ValueError as fault:
            raise RpcError(codes.INVALID_ARGUMENT, f"the options of a checkpoint: {fault}") from None

        def done(answer: Message, fds: list[int]) -> None:
            self.publisher.publish(ev.TaskCheckpointed(container_id=task.id, checkpoint=choices["image_path"]))
            call.answer(Empty())
        self._run("checkpoint", task, task.init, call, done, bundle=task.bundle, choices=choices)

    def resize_pty(self, request: api.ResizePtyRequest, call: Call) -> Protobuf:
        """Give a terminal another size."""
        _, process = self._find(request.id, request.exec_id)
        if process.console is not None:
            process.console.resize(request.height, request.width)
        return Empty()

    def close_io(self, request: api.CloseIORequest, call: Call) -> Protobuf:
        """No client will write to the process any more."""
        _, process = self._find(request.id, request.exec_id)
        if request.stdin:
            process.close_input()
        return Empty()

    def shut_down(self, request: api.ShutdownRequest, call: Call) -> Protobuf:
        """End, unless a container is left."""
        if not self.tasks and not self.creating:
            self.shutdown()
        return Empty()
