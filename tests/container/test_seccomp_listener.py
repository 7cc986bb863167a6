"""The agent's end of linux.seccomp.listenerPath: what it is sent, on which socket, and what happens without it."""
from __future__ import annotations

import array
import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from tests import bundles
from tests.bundles import docker_like
from tests.runtimes import Runtime
from tests.world import Snapshot

SECCOMP, STATE = "config-linux.md#seccomp", "config-linux.md#the-container-process-state"


def config(path: Path, **more: Any) -> bundles.Config:
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": str(path),
               "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}], **more}
    return docker_like(process={"args": ["sleep", "1000"]}, linux={"seccomp": profile}, annotations={"my": "own"})


# config-linux.md#seccomp: "This socket MUST use AF_UNIX domain and SOCK_STREAM type. The runtime MUST send exactly one
# container process state per connection. The connection MUST NOT be reused and it MUST be closed after sending a
# seccomp state." config-linux.md#the-container-process-state: "… as regular payload serialized in JSON and file
# descriptors MUST be sent using SCM_RIGHTS. … If more than one sendmsg(2) is used, the file descriptors MUST be sent
# only in the first call."
@pytest.mark.spec(SECCOMP, "listenerPath is a unix stream socket",
                  "one state for each connection, which is closed then")
@pytest.mark.spec(STATE, "the state is JSON, descriptors come by SCM_RIGHTS", "descriptors come with the first message",
                  "ociVersion", "fds", "pid", "state")
def test_one_state_for_each_process(runtime: Runtime, place: Path, name: str) -> None:
    from pyrunc.config.schema import Schemas
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(place / "agent"))
    listener.listen(4)
    listener.settimeout(20)

    def told() -> dict[str, Any]:
        connection, _ = listener.accept()
        connection.settimeout(20)
        data, ancillary, _, _ = connection.recvmsg(1 << 16, socket.CMSG_SPACE(16))
        fds = [fd for _, _, rights in ancillary for fd in array.array("i", rights)]
        assert [os.readlink(f"/proc/self/fd/{fd}") for fd in fds] == ["anon_inode:seccomp notify"]
        for fd in fds:
            os.close(fd)
        while more := connection.recvmsg(1 << 16, socket.CMSG_SPACE(16)):
            assert not more[1], "descriptors after the first message"
            if not more[0]:
                break                        # closed by the runtime
            data += more[0]
        found: dict[str, Any] = json.loads(data)         # one, and nothing after it
        assert found["ociVersion"] and found["fds"] == ["seccompFd"] and "metadata" not in found
        Schemas().validator("state.json").validate(found["state"])
        assert (found["state"]["id"], found["state"]["annotations"]) == (name, {"my": "own"})
        return found
    init = runtime.create(name, bundles.bundle(place / "bundle", config(place / "agent")))
    state = told()
    assert state["pid"] == init.pid and state["state"]["status"] in ("creating", "created")
    runtime.ok("start", name)
    runtime.ok("exec", name, "true")
    state = told()
    assert state["pid"] != init.pid and state["state"]["pid"] == init.pid and state["state"]["status"] == "running"
    listener.close()


# "If sending to this socket fails, the runtime MUST generate an error."
@pytest.mark.spec(SECCOMP, "listenerPath is a unix stream socket", "a listener that does not answer is an error")
@pytest.mark.spec("runtime.md#errors", "an error leaves everything as it was")
@pytest.mark.parametrize(("kind", "said"), [("none", "no such file or directory"), ("deaf", "connection refused"),
                                            ("datagrams", "protocol wrong type for socket"),
                                            ("file", "connection refused")])
def test_nobody_there(kind: str, said: str, runtime: Runtime, place: Path, name: str) -> None:
    path = place / "agent"
    before = Snapshot.take(name, runtime.root)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM if kind == "datagrams" else socket.SOCK_STREAM)
    if kind == "file":
        path.touch()
    elif kind != "none":
        listener.bind(str(path))
    outcome = runtime("create", "--bundle", bundles.bundle(place / "bundle", config(path)), name)
    assert outcome.status == 1 and said in outcome.stderr, outcome.stderr
    kept = runtime.root / "@seccomp"                # the compiled filter, for the next time; its name is a hash
    before.files += [str(kept), *map(str, kept.iterdir())]
    assert len(before.files) == 2
    assert before.settle(name, runtime.root) == before
    listener.close()


# "If the SCMP_ACT_NOTIFY action is not used this value is ignored."
@pytest.mark.spec(SECCOMP, "listenerPath")
def test_nobody_needed(runtime: Runtime, place: Path, name: str) -> None:
    bundle = bundles.bundle(place / "bundle", config(place / "nowhere", syscalls=[]))
    assert runtime.create(name, bundle).pid
