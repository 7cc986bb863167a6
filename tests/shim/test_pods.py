"""Pods as the CRI plugin makes them: one shim for the sandbox and its containers, also with a user namespace."""
from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import bundles

from .conftest import config_of, reader
from .driver import SECONDS, Shim

Make = Callable[..., Shim]
HOST, SIZE = 100000, 65536
MAPPING = [{"containerID": 0, "hostID": HOST, "size": SIZE}]


def shown(shim: Shim, id: str, script: str) -> list[str]:
    """What a process of exec prints."""
    path = shim.place / id / "shown"
    if path.exists():
        path.unlink()
    os.mkfifo(path)
    thread: threading.Thread
    thread, got = reader(str(path))
    own, shim.id = shim.id, id
    try:
        shim.exec("shown", "sh", "-c", script, stdout=str(path))
        shim.start("shown", id=id)
        assert shim.wait("shown", id=id) == 0
        shim.delete("shown", id=id)
    finally:
        shim.id = own
    thread.join(30)
    return got[0].decode().splitlines()


def test_a_pod_with_a_user_namespace(shim: Make, rootfs: Path, place: Path, name: str) -> None:
    """With hostUsers: false. The container joins the sandbox's user, network, ipc and uts namespaces, as containerd's
    CRI plugin has it from 1.7 on, and both are of the same host's ids.
    """
    new = {"namespaces": bundles.namespaces("user", "pid", "network", "ipc", "uts", "mount", "cgroup"),
           "uidMappings": MAPPING, "gidMappings": MAPPING, "cgroupsPath": f"/{name}"}
    pod = shim(linux=new)
    sandbox = pod.create()
    pod.start()
    spaces = [{"type": kind} for kind in ("pid", "mount", "cgroup")] + [
        {"type": kind, "path": f"/proc/{sandbox}/ns/{link}"}
        for kind, link in (("user", "user"), ("network", "net"), ("ipc", "ipc"), ("uts", "uts"))]
    other = f"{name}-c"
    (place / other / "rootfs").mkdir(parents=True)
    (place / other / "config.json").write_text(json.dumps(config_of(
        rootfs, other, linux={**new, "namespaces": spaces, "cgroupsPath": f"/{other}"})))
    inside = pod.create(id=other)
    pod.start(id=other)

    for kind in ("user", "net", "ipc", "uts"):
        ours, sandboxs, containers = (os.readlink(f"/proc/{pid}/ns/{kind}") for pid in ("self", sandbox, inside))
        assert sandboxs == containers != ours, kind
    assert os.readlink(f"/proc/{sandbox}/ns/pid") != os.readlink(f"/proc/{inside}/ns/pid")
    for id, pid in ((name, sandbox), (other, inside)):
        assert os.stat(f"/proc/{pid}").st_uid == HOST
        assert shown(pod, id, "id -u; tr -s ' ' </proc/self/uid_map; tr -s ' ' </proc/self/gid_map") == [
            "0", *[f" 0 {HOST} {SIZE}"] * 2]
    for id in (other, name):
        pod.kill(id=id)
        assert pod.wait(id=id) == 137
        pod.delete(id=id)
    assert not Path("/run/containerd/pyrunc/tests", name).exists() and not Path(
        "/run/containerd/pyrunc/tests", other).exists()


@pytest.mark.parametrize("uid", [0, 1000])
@pytest.mark.parametrize("of", ["its init", "an exec"])
def test_streams_can_be_opened_again(shim: Make, uid: int, of: str, name: str) -> None:
    """As programs do with /dev/stdout; also in a user namespace, where root of the host is nobody."""
    new = {"namespaces": bundles.namespaces("user", "pid", "network", "ipc", "uts", "mount", "cgroup"),
           "uidMappings": MAPPING, "gidMappings": MAPPING, "cgroupsPath": f"/{name}"}
    script, user = ["sh", "-c", "id -u >/dev/stdout; id -u >/dev/stderr"], {"uid": uid, "gid": uid}
    pod = shim(*(script if of == "its init" else []), linux=new, process={"user": user})
    streams: dict[str, Any] = {word: pod.fifo(word) for word in ("stdout", "stderr")}
    readers = [reader(path) for path in streams.values()]
    pod.create(**(streams if of == "its init" else {}))
    pod.start()
    if of == "an exec":
        pod.exec("e", *script, user=user, **streams)
        pod.start("e")
        assert pod.wait("e") == 0
        pod.delete("e")
        pod.kill()
    assert pod.wait() in (0, 137)
    pod.delete()
    for thread, got in readers:
        thread.join(SECONDS)
        assert got == [b"%d\n" % uid]
