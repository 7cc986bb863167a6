"""debugpy, as editors use it: what it can stop at, and what it is told where it cannot go on."""
from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrunc.rootfs.mounting import Mount
from pyrunc.steps import cgroup, mounts
from tests import bundles
from tests.bundles import docker_like
from tests.runtimes import Runtime

PATIENCE = 60


class Editor:
    """The editor's end of the Debug Adapter Protocol: a breakpoint at the first line of some functions."""

    def __init__(self, place: Path, *command: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        self.said = place / "said"
        with self.said.open("wb") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-Xfrozen_modules=off", "-m", "debugpy", "--listen", f"127.0.0.1:{port}",
                 "--wait-for-client", "-m", "pyrunc", *command], stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        self.socket = self._connected(port)
        self.file, self.number = self.socket.makefile("rb"), 0

    def _connected(self, port: int) -> socket.socket:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return socket.create_connection(("127.0.0.1", port), PATIENCE)
            except ConnectionRefusedError:
                assert time.monotonic() < deadline and self.process.poll() is None, self.said.read_text()
                time.sleep(0.1)

    def ask(self, command: str, **arguments: Any) -> None:
        self.number += 1
        body = json.dumps({"seq": self.number, "type": "request", "command": command, "arguments": arguments}).encode()
        self.socket.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))

    def messages(self) -> Iterator[dict[str, Any]]:
        while head := self.file.readline():
            if head.lower().startswith(b"content-length:"):
                length = int(head.partition(b":")[2])
                self.file.readline()
                yield json.loads(self.file.read(length))

    def hits(self, *functions: Any) -> list[tuple[str, str]]:
        """(file, function) of each stop, until the program ends; each is left at once."""
        self.ask("initialize", adapterID="test", pathFormat="path", linesStartAt1=True)
        self.ask("attach", justMyCode=False)
        hit, thread = [], 0
        for message in self.messages():
            what = message.get("event") or message.get("command")
            if what == "initialized":
                for function in functions:
                    code = function.__code__
                    line = next(line for _, _, line in code.co_lines() if line and line > code.co_firstlineno)
                    self.ask("setBreakpoints", source={"path": code.co_filename}, breakpoints=[{"line": line}])
                self.ask("configurationDone")
            elif what == "stopped":
                thread = message["body"]["threadId"]
                self.ask("stackTrace", threadId=thread, levels=1)
            elif what == "stackTrace":
                frame = message["body"]["stackFrames"][0]
                hit.append((Path(frame["source"]["path"]).name, frame["name"]))
                self.ask("continue", threadId=thread)
            elif what == "terminated":
                break
        return hit

    def end(self) -> int:
        self.file.close()
        self.socket.close()
        return self.process.wait(PATIENCE)


@pytest.mark.timeout(180)
def test_it_gets_as_far_as_the_clone(runtime: Runtime, place: Path, name: str) -> None:
    """A breakpoint in a step of the runtime is hit. Its threads cannot come along into the clone, and that is told."""
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["true"]}))
    editor = Editor(place, "--root", str(runtime.root), "create", "--bundle", str(bundle), name)
    assert editor.hits(cgroup.Create.apply, mounts.Proc.apply) == [("cgroup.py", "apply")]
    assert editor.end() == 1
    told = editor.said.read_text()
    assert "step namespaces.clone" in told and "this process has other threads, a debugger's perhaps (debugpy)" in told
    assert "use --pdb" in told
    assert runtime.ok("list", "--quiet").stdout == "", "the cgroup and the state are undone, under the debugger, too"


@pytest.mark.timeout(180)
def test_it_debugs_the_plan_of_the_whole_container(place: Path, runtime: Runtime, name: str) -> None:
    """explain makes the plan of init's steps, too, and clones nothing: planners can be debugged to the end."""
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["true"]}))
    editor = Editor(place, "--root", str(runtime.root), "explain", "--no-check", "--bundle", str(bundle), "mounts")
    assert ("mounting.py", "describe") in editor.hits(Mount.describe)
    assert editor.end() == 0 and "mounts.proc" in editor.said.read_text()
