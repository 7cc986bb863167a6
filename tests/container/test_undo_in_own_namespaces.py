"""What a failed create takes back, and its poststop hooks, run in the runtime's own namespaces."""
from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import bundles, world
from tests.bundles import docker_like, namespaces
from tests.runtimes import Runtime


@pytest.fixture
def pod() -> Iterator[int]:
    """A process with network, ipc and uts namespaces of its own, for containers to join."""
    with subprocess.Popen(["unshare", "--net", "--ipc", "--uts", "sh", "-c", "echo; exec sleep 1000"],
                          stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.kill()


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_a_return_that_fails(failing: int, pod: int, runtime: Runtime, place: Path, name: str) -> None:
    """The runtime enters three namespaces for the clone; one way back fails once, and the undo tries it again."""
    told = place / "told"
    joined = [{"type": kind, "path": f"/proc/{pod}/ns/{file}"}
              for kind, file in (("network", "net"), ("ipc", "ipc"), ("uts", "uts"))]
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"cd /proc/self/ns; readlink net ipc uts >{told}"]}
    bundle = bundles.bundle(place / "bundle", docker_like(
        hostname=None, hooks={"poststop": [hook]},
        linux={"namespaces": [*namespaces("pid", "mount"), *joined]}))
    before = world.Snapshot.take(name, runtime.root)
    done = subprocess.run(
        ["strace", "-o", "/dev/null", "--trace=setns", f"--inject=setns:error=EPERM:when={3 + failing}",
         *runtime.argv("create", "--bundle", bundle, name)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, timeout=110, check=False)
    assert done.returncode == 1 and "namespaces.return" in done.stderr
    assert told.read_text().split() == [os.readlink(f"/proc/self/ns/{kind}") for kind in ("net", "ipc", "uts")]
    assert before.settle(name, runtime.root) == before
