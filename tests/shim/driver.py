"""containerd's part: starts the shim, calls it over ttrpc, and takes its events."""
from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from pyrunc.formats.protobuf import Message
from pyrunc.ttrpc.client import ask
from pyrunc.ttrpc.messages import events as ev
from pyrunc.ttrpc.messages import task as api
from pyrunc.ttrpc.messages.forward import EVENTS, EVENTS_SERVICE, ForwardRequest
from pyrunc.ttrpc.messages.well_known import Any as AnyMessage
from pyrunc.ttrpc.messages.well_known import Empty
from pyrunc.ttrpc.server import Call, Server
from tests import runtimes
from tests.bundles import Config

PROCESS = "types.containerd.io/opencontainers/runtime-spec/1/Process"
RESOURCES = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources"
SECONDS = 30.0


class Events:
    """containerd's socket for events. lose: so many calls fail before one is taken."""

    def __init__(self, path: Path) -> None:
        from pyrunc.kernel.loop import READ, Loop
        self.path = path
        self.taken: list[tuple[str, Message]] = []
        self.lose = 0
        self.loop = Loop()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(16)
        self.server = Server(self.loop, self.listener)
        self.server.register(EVENTS_SERVICE, EVENTS, {"Forward": self.forward})
        self.ending = os.pipe()
        self.loop.watch(self.ending[0], READ, lambda _: self.loop.stop())
        self.thread = threading.Thread(target=self.loop.run)
        self.thread.start()

    def forward(self, request: ForwardRequest, _call: Call) -> Empty:
        if self.lose:
            self.lose -= 1
            raise RuntimeError("not now")
        envelope = request.envelope
        assert envelope is not None and envelope.event is not None and envelope.namespace == "tests"
        kind: type[Message] = getattr(ev, envelope.event.type_url.rpartition(".")[2])
        self.taken.append((envelope.topic, kind.decode(envelope.event.value)))
        return Empty()

    def topics(self) -> list[str]:
        return [topic.removeprefix("/tasks/") for topic, _ in self.taken]

    def wait(self, topic: str, count: int = 1) -> Message:
        """The last event of a topic, once so many have come."""
        end = time.monotonic() + SECONDS
        while self.topics().count(topic) < count:
            assert time.monotonic() < end, self.topics()
            time.sleep(0.01)
        return [event for name, event in self.taken if name == f"/tasks/{topic}"][-1]

    def close(self) -> None:
        os.write(self.ending[1], b"x")
        self.thread.join(SECONDS)
        self.server.close()
        self.listener.close()
        for fd in self.ending:
            os.close(fd)


class Shim:
    """A shim of one container or pod. Calls are methods of the Task service by name."""

    def __init__(self, place: Path, events: Events, id: str, config: Config, **environment: str) -> None:
        self.place, self.events, self.id = place, events, id
        self.environment = environment
        self.bundle = place / id
        self.bundle.mkdir()
        (self.bundle / "rootfs").mkdir()
        (self.bundle / "config.json").write_text(json.dumps(config))
        os.mkfifo(self.bundle / "log")
        self.address = self.command("start").decode()

    @staticmethod
    def program() -> str:
        return str(Path(runtimes.find()).with_name("containerd-shim-pyrunc-v2"))

    def command(self, action: str, *flags: str, stdin: bytes = b"") -> bytes:
        """What containerd would read of a command."""
        done = subprocess.run(
            [self.program(), "-namespace", "tests", "-address", str(self.place / "containerd"), "-id", self.id, *flags,
             action], cwd=self.bundle, input=stdin, capture_output=True, timeout=SECONDS, check=False,
            env={"PATH": os.environ["PATH"], "TTRPC_ADDRESS": str(self.events.path), **self.environment})
        assert done.returncode == 0, done.stderr
        return done.stdout

    def call(self, method: str, request: Message, service: str = api.TASK_SERVICE) -> Any:
        return ask(self.address, service, method, request, api.TASK[method][1], SECONDS)

    def create(self, stdin: str = "", stdout: str = "", stderr: str = "", terminal: bool = False, id: str = "",
               **more: Any) -> int:
        request = api.CreateTaskRequest(id=id or self.id, bundle=str(self.place / (id or self.id)), stdin=stdin,
                                        stdout=stdout, stderr=stderr, terminal=terminal, **more)
        pid: int = self.call("Create", request).pid
        return pid

    def start(self, exec_id: str = "", id: str = "") -> int:
        pid: int = self.call("Start", api.StartRequest(id=id or self.id, exec_id=exec_id)).pid
        return pid

    def exec(self, exec_id: str, *args: str, stdin: str = "", stdout: str = "", stderr: str = "",
             terminal: bool = False, **process: Any) -> None:
        spec = {"args": list(args), "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}, **process}
        self.call("Exec", api.ExecProcessRequest(
            id=self.id, exec_id=exec_id, stdin=stdin, stdout=stdout, stderr=stderr, terminal=terminal,
            spec=AnyMessage(type_url=PROCESS, value=json.dumps(spec).encode())))

    def kill(self, signal: int = 9, exec_id: str = "", all: bool = False, id: str = "") -> None:
        self.call("Kill", api.KillRequest(id=id or self.id, exec_id=exec_id, signal=signal, all=all))

    def wait(self, exec_id: str = "", id: str = "") -> int:
        status: int = self.call("Wait", api.WaitRequest(id=id or self.id, exec_id=exec_id)).exit_status
        return status

    def delete(self, exec_id: str = "", id: str = "") -> Any:
        return self.call("Delete", api.DeleteRequest(id=id or self.id, exec_id=exec_id))

    def state(self, exec_id: str = "", id: str = "") -> Any:
        return self.call("State", api.StateRequest(id=id or self.id, exec_id=exec_id))

    @property
    def pid(self) -> int:
        """The shim's."""
        pid: int = self.call("Connect", api.ConnectRequest(id=self.id)).shim_pid
        return pid

    def shutdown(self) -> None:
        self.call("Shutdown", api.ShutdownRequest(id=self.id))

    def gone(self, pid: int, seconds: float = SECONDS) -> None:
        """Wait until the shim, process pid, has ended."""
        end = time.monotonic() + seconds
        try:
            while "zombie" not in Path(f"/proc/{pid}/status").read_text():
                assert time.monotonic() < end
                time.sleep(0.01)
        except (FileNotFoundError, ProcessLookupError):
            pass

    def fifo(self, name: str) -> str:
        """A new FIFO in the bundle."""
        os.mkfifo(self.bundle / name)
        return str(self.bundle / name)
