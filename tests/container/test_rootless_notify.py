"""A seccomp agent for a container that an ordinary user has started: the runtime may not look into the init then."""
from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import subprocess
from pathlib import Path

import pytest

from tests import bundles
from tests.bundles import minimal, namespaces
from tests.runtimes import Runtime, for_anyone

USER = 1000
RECEIVE, SEND = 0xC0502100, 0xC0182101           # SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_SEND


def answer(listener: int, errno: int) -> None:
    """One notification, answered with an error (seccomp_unotify(2))."""
    request = bytearray(80)                      # struct seccomp_notif
    fcntl.ioctl(listener, RECEIVE, request)
    fcntl.ioctl(listener, SEND, struct.pack("=QqiI", *struct.unpack_from("=Q", request), 0, -errno, 0))


# config-linux.md#seccomp: "The runtime MUST send exactly one container process state per connection. The connection
# MUST NOT be reused and it MUST be closed after sending a seccomp state."
@pytest.mark.parametrize("nnp", [True, False])
def test_agent_answers(nnp: bool, runtime: Runtime, place: Path) -> None:
    mapping = [{"containerID": 0, "hostID": USER, "size": 1}]
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": str(place / "listener"),
               "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]}
    bundle = bundles.bundle(place / "bundle", minimal(
        process={"args": ["mkdir", "/made"], "noNewPrivileges": nnp},
        linux={"namespaces": namespaces("user", "pid", "mount"), "uidMappings": mapping, "gidMappings": mapping,
               "seccomp": profile}))
    subprocess.run(["chown", "-R", f"{USER}:{USER}", bundle], check=True)
    state = place / "user"
    state.mkdir()
    os.chown(state, USER, USER)
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(place / "listener"))
        os.chmod(place / "listener", 0o777)
        agent.listen(1)
        agent.settimeout(20)
        command = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups",
                   for_anyone(runtime.path), "--root", str(state / "root"), "run", "--bundle", str(bundle), "rootless"]
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        connection, _ = agent.accept()
        data, fds, _, _ = socket.recv_fds(connection, 65536, 1)
        told = json.loads(data)
        assert told["fds"] == ["seccompFd"]
        assert (told["state"]["id"], told["state"]["status"]) == ("rootless", "creating")
        assert os.path.exists(f"/proc/{told['pid']}")
        assert connection.recv(1) == b"", "the connection is closed after one message"
        answer(fds[0], 28)
        os.close(fds[0])
        out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (1, "") and "No space left on device" in err
