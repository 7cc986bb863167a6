"""A container as an object: what `pyrunc` does with an id on its command line."""
from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Unpack

from ..errors import StateError
from ..state.container import Container as Record
from .checkpoints import OfCheckpoint, chosen
from .process import NOTHING, Process, Stdio, Stream, Streams, number_of, three

if TYPE_CHECKING:
    from .runtime import Runtime


#: Seconds in which a process that was killed is reaped, by any machine.
ENDING = 10.0


class Container:
    """A container under a runtime's state root, made by this program or by another.

    Used with `with`, it is deleted at the end, killed if need be.
    id    its name under the root
    init  its first process, when this object has created it, else None
    """

    def __init__(self, runtime: Runtime, id: str, init: Process | None = None) -> None:
        self._runtime, self.id, self.init = runtime, id, init

    def start(self) -> None:
        """Let it run its program (runtime.md#start).

        Raises StateError unless it is `created`, StepError when its program cannot be executed or a hook fails.
        """
        self._call("start")

    def exec(self, process: Mapping[str, Any] | Sequence[str], stdin: Stream = NOTHING, stdout: Stream = NOTHING,
             stderr: Stream = NOTHING, stdio: Stdio = NOTHING) -> Process:
        """Run one more process in it (docs/process.md; the program may be one of its own files, as execvp(3) finds it).

        process  as `process` of config.json, or the arguments alone; what is left out is the container's
        stdin, stdout, stderr  a descriptor or file, PIPE, or None for /dev/null; with a terminal none of them counts
        stdio  all three, or one stream for each of them: exec(["ps"], stdio=PIPE)
        Raises StateError when it does not run, ConfigError, StepError when the process cannot be made.
        """
        given = dict(process) if isinstance(process, Mapping) else {"args": list(process)}
        streams = Streams(*three(stdio, stdin, stdout, stderr))
        try:
            answer, fds = self._runtime.call("exec", streams.theirs, id=self.id, process=given)
        except BaseException:
            streams.close()
            raise
        finally:
            streams.given()
        return self._runtime.made(answer, fds, streams)

    def kill(self, signal: int | str = "TERM", all: bool = False) -> None:
        """Send a signal to its init, or to all its processes (runtime.md#kill).

        signal  a number or a name of signal(7), "TERM" or "SIGTERM"
        Raises ValueError for what is no signal, StateError unless it is created, running or paused.
        """
        self._call("kill", signal=number_of(signal), all=all)

    def pause(self) -> None:
        """Stop all its processes where they are, by the cgroup's freezer (cgroup-v2.rst, cgroup.freeze).

        Raises StateError unless it is created or running, StepError when they have not stopped within 10 seconds.
        """
        self._call("pause")

    def resume(self) -> None:
        """Let them go on. Raises StateError unless it is paused, StepError."""
        self._call("resume")

    def update(self, resources: Mapping[str, Any]) -> None:
        """Change its limits; what is left out stays as it is.

        resources  as `linux.resources` of config.json (config-linux.md#control-groups): in bytes and microseconds
        Raises ConfigError, StateError unless it is created, running or paused, and StepError; then the old limits hold.
        """
        self._call("update", resources=dict(resources))

    def delete(self, force: bool = False) -> None:
        """Remove it (runtime.md#delete).

        force  kill it first; that it is gone is no error then
        Raises StateError while it runs, StepError; it can be tried again.
        """
        self._call("delete", force=force)
        self._gone()

    def checkpoint(self, image_path: str, **choices: Unpack[OfCheckpoint]) -> None:
        """Have CRIU write its processes to images, from which Runtime.restore makes it again (docs/checkpoint.md).

        It is deleted afterwards, except with leave_running=True or pre_dump=True.
        image_path  the images' directory, absolute; it is made if need be
        choices     of OfCheckpoint in library/checkpoints.py, by the names of the command line's flags
        Raises UsageError, StateError unless it runs or is paused, StepError when CRIU fails, PyruncError without CRIU.
        """
        self._call("checkpoint", choices=chosen(image_path, choices, OfCheckpoint))
        if not (choices.get("leave_running") or choices.get("pre_dump")):
            self._gone()

    def _gone(self) -> None:
        """It was deleted."""
        if self.init is not None:
            with suppress(StateError, TimeoutError):           # what it ended with can still be asked for
                self.init.wait(ENDING)
            self.init.close()

    def state(self) -> dict[str, Any]:
        """The state as runtime.md#state has it, with `rootfs` and `created` (a time by RFC 3339). StateError when it is
        gone."""
        return self._record().described()

    @property
    def status(self) -> str:
        """creating, created, running, paused or stopped. StateError when it is gone."""
        return self._record().status()

    @property
    def pid(self) -> int:
        """Its init's, as the host sees it; 0 when that has ended."""
        record = self._record()
        return 0 if record.status() == "stopped" else record.pid

    def processes(self) -> list[int]:
        """The pids of all its processes, as the host sees them. StateError where they are not known: no cgroup."""
        from ..runtime.ps import processes
        return processes(self._runtime.root, self.id)

    def stats(self) -> dict[str, Any]:
        """What it uses, as `pyrunc events --stats` shows it: times in ns, sizes in bytes.

        StateError unless it runs and has a cgroup.
        """
        from ..runtime.events import usage
        return usage(self._runtime.root, self.id)

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait until its init has ended: the exit status, or minus the signal; None when this object did not create it.

        timeout  seconds; TimeoutError after them.
        """
        if self.init is not None:
            return self.init.wait(timeout)
        import os

        from ..kernel.pidfd import wait_end
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            pidfd = self._record().pidfd()
        except StateError:
            return None
        try:
            while not wait_end(pidfd, 3600.0 if deadline is None else max(0.0, deadline - time.monotonic())):
                if deadline is not None and time.monotonic() >= deadline:
                    raise TimeoutError(f"container {self.id} has not ended within {timeout} s")
        finally:
            os.close(pidfd)
        return None

    def __enter__(self) -> Container:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.delete(force=True)

    def __repr__(self) -> str:
        return f"<Container {self.id}>"

    def _record(self) -> Record:
        return Record.load(self._runtime.root, self.id)

    def _call(self, operation: str, **request: Any) -> None:
        self._runtime.call(operation, id=self.id, **request)
