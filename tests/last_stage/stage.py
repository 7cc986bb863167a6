"""Running a last stage in a forked child, as Kernel does, up to a real execve."""
from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pyrunc._native import ffi, lib
from pyrunc.config.environment import Environment
from pyrunc.engine.facts import Facts
from pyrunc.kernel.last_stage import (
    OP_AMBIENT,
    OP_BOUNDING,
    OP_CAPSET,
    OP_CLOSE_FROM,
    OP_EXEC,
    OP_KEEP_CAPS,
    OP_NO_PDEATHSIG,
    OP_PIVOT_ROOT,
    OP_SETGID,
    OP_SETGROUPS,
    OP_SETUID,
    OP_VERIFY,
    pack_exec,
    pack_groups,
    pack_verify,
)
from pyrunc.kernel.linux import Kernel
from pyrunc.kernel.recorder import Recorder
from pyrunc.options import Options
from pyrunc.steps.process import FindExecutable

from ..forked import os_unshare

if TYPE_CHECKING:
    from pyrunc._native._native import CData

BUSYBOX = shutil.which("busybox") or ""
#: What root has here: not all, in an outer container.
OWN_CAPABILITIES = int(re.findall(r"CapPrm:\s*(\w+)", Path("/proc/self/status").read_text())[0], 16)
CAP_KILL, CAP_NET_RAW, CAP_SYS_ADMIN = 1 << 5, 1 << 13, 1 << 21
PAGE_STEPS = 64          # as many as the page has times for
Op = tuple[int, int, int, int, bytes]


def op(code: int, a: int = 0, b: int = 0, c: int = 0, data: bytes = b"") -> Op:
    return code, a, b, c, data


def look_up(program: str, env: Sequence[str]) -> Op:
    """What the step of every plan queues."""
    kernel = Recorder()
    path = Environment({"process": {"env": list(env)}}, Options()).path  # type: ignore[typeddict-item]
    FindExecutable(program=program, path=path).apply(kernel, Facts())
    [(code, _, a, b, c, data)] = kernel.queue
    return code, a, b, c, data


def execute(*args: str, env: Sequence[str] = ("PATH=/bin:/usr/bin",)) -> list[Op]:
    """Look up and execute args, as the end of every plan does."""
    return [look_up(args[0], env), op(OP_NO_PDEATHSIG), op(OP_CLOSE_FROM, 3),
            op(OP_EXEC, data=pack_exec(args, env))]


def shell(script: str) -> list[Op]:
    return execute("/bin/sh", "-c", script)


@dataclass
class Told:
    """How a last stage went: the exit status (minus a signal), the page, and what was printed."""
    status: int
    page: CData
    out: str

    @property
    def text(self) -> str:
        return str(ffi.string(self.page.text).decode())

    @property
    def hint(self) -> str:
        whole = bytes(ffi.buffer(self.page.text))
        return whole.split(b"\0")[1].decode()

    @property
    def failure(self) -> tuple[str, int]:
        assert self.page.phase == lib.PHASE_FAILED, f"it did not fail: {self.out}"
        assert self.status == 1
        return self.text, self.page.error


class Stage:
    """A last stage in a forked child; `told` waits for its end."""

    def __init__(self, ops: Sequence[Op] | Callable[[], Sequence[Op]], namespaces: int = 0) -> None:
        self.page = lib.pr_page_map(-1, PAGE_STEPS)
        self.out, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self._become(ops, namespaces, writing)
            except BaseException as fault:
                os.write(2, repr(fault).encode())
            finally:
                os._exit(99)
        os.close(writing)

    def _become(self, ops: Sequence[Op] | Callable[[], Sequence[Op]], namespaces: int, writing: int) -> None:
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        if namespaces:
            os_unshare(namespaces)
        kernel = Kernel()
        for kernel.step, operation in enumerate(ops if isinstance(ops, Sequence) else ops()):
            kernel.last(*operation)
        kernel.run_last(self.page)

    def wait_for(self, phase: int) -> None:
        deadline = time.monotonic() + 60
        while self.page.phase != phase:
            assert time.monotonic() < deadline, f"phase {self.page.phase}, not {phase}"
            time.sleep(0.001)

    def told(self) -> Told:
        with os.fdopen(self.out) as pipe:
            out = pipe.read()
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return Told(status, self.page, out)


def run(ops: Sequence[Op] | Callable[[], Sequence[Op]], namespaces: int = 0) -> Told:
    return Stage(ops, namespaces).told()


def make_root(path: Path) -> int:
    """A root file system with busybox on a tmpfs, and a procfs if possible; in the current mount namespace."""
    assert lib.pr_mount(b"rootfs", bytes(path), b"tmpfs", 0, b"") == 0
    for name in ("bin", "proc", "tmp", "dev"):
        (path / name).mkdir()
    shutil.copy(BUSYBOX, path / "bin/busybox")
    for name in ("sh", "cat", "ls", "stat", "grep", "readlink", "id", "echo", "pwd", "env", "touch", "mount"):
        (path / "bin" / name).symlink_to("busybox")
    assert lib.pr_mount(b"proc", bytes(path / "proc"), b"proc", 0, b"") == 0
    return os.open(path, os.O_PATH | os.O_DIRECTORY)


def in_root(path: Path, *ops: Op) -> Callable[[], Sequence[Op]]:
    return lambda: [op(OP_PIVOT_ROOT, make_root(path)), *ops]


def become(uid: int, gid: int, groups: list[int], capabilities: int, ambient: int = 0) -> list[Op]:
    """As the plan does it (design: bounding, keepcaps, groups, gid, uid, capset, ambient, verify)."""
    return [op(OP_BOUNDING, capabilities), op(OP_KEEP_CAPS, 1), op(OP_SETGROUPS, data=pack_groups(groups)),
            op(OP_SETGID, gid), op(OP_SETUID, uid), op(OP_KEEP_CAPS, 0),
            op(OP_CAPSET, capabilities, capabilities, ambient), op(OP_AMBIENT, ambient),
            op(OP_VERIFY, data=pack_verify(uid, gid, groups, capabilities, capabilities, ambient, bounding=capabilities,
                                           ambient=ambient))]
