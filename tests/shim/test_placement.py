"""Where a shim runs by what containerd gives to `start`: options on standard input, SCHED_CORE."""
from __future__ import annotations

import ctypes
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from pyrunc.shim.placement import GET, PR_SCHED_CORE, THREAD
from pyrunc.ttrpc.messages.options import Options
from pyrunc.ttrpc.messages.well_known import Any as AnyMessage
from tests import world

from .driver import SECONDS, Shim

Make = Callable[..., Shim]


def options(**given: object) -> bytes:
    value = Options(**given).encode()                       # type: ignore[arg-type]
    return AnyMessage(type_url=Options.TYPE, value=value).encode()


def other(one: Shim, stdin: bytes, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """`start` of another shim beside one."""
    flags = "-namespace", "tests", "-address", str(one.place / "containerd"), "-id", f"{one.id}-other", "start"
    return subprocess.run([one.program(), *flags], cwd=one.bundle, input=stdin, capture_output=True, timeout=SECONDS,
                          check=False, env={"PATH": os.environ["PATH"], **environment})


def test_the_options_may_name_a_cgroup(shim: Make, name: str) -> None:
    one = shim()
    first = one.address
    (world.CGROUP / name).mkdir()
    try:
        done = other(one, options(shim_cgroup=f"/{name}"))
        assert done.stdout.startswith(b"unix:///"), done.stderr          # older than 2.3: an address as text
        one.address = done.stdout.decode()
        pid = one.pid
        assert Path(f"/proc/{pid}/cgroup").read_text().splitlines()[-1] == f"0::/{name}"
        os.kill(pid, 9)
        one.gone(pid)
        end = time.monotonic() + SECONDS
        while "populated 1" in (world.CGROUP / name / "cgroup.events").read_text():      # its worker ends after it
            assert time.monotonic() < end
            time.sleep(0.001)
    finally:
        one.address = first
        (world.CGROUP / name).rmdir()


def test_a_cgroup_that_is_not_there(shim: Make) -> None:
    done = other(shim(), options(shim_cgroup="/none"))
    assert done.returncode != 0 and b"the shim's cgroup /none: no such file or directory" in done.stderr


def test_options_of_another_kind(shim: Make) -> None:
    one = shim()
    done = other(one, AnyMessage(type_url="runtimeoptions.v1.Options", value=b"\n\x01x").encode())
    assert done.stdout.startswith(b"unix:///"), done.stderr
    first, one.address = one.address, done.stdout.decode()
    os.kill(one.pid, 9)
    one.address = first


def cookie(pid: int) -> int:
    """OSError where there is no core scheduling."""
    found, libc = ctypes.c_uint64(), ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SCHED_CORE, GET, pid, THREAD, ctypes.byref(found)) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return found.value


def test_core_scheduling_is_set_up_or_start_fails(shim: Make) -> None:
    one = shim()
    done = other(one, b"", SCHED_CORE="true")
    try:
        cookie(os.getpid())
    except OSError as fault:
        assert done.returncode != 0 and f"core scheduling: {fault.strerror}".lower() in done.stderr.decode().lower()
        return
    first, one.address = one.address, done.stdout.decode()
    pid = one.pid
    assert cookie(pid) not in (0, cookie(os.getpid()))
    os.kill(pid, 9)
    one.address = first


def test_the_kernel_ends_a_shim_before_containerd(shim: Make) -> None:
    own = int(Path("/proc/self/oom_score_adj").read_text())
    assert int(Path(f"/proc/{shim().pid}/oom_score_adj").read_text()) == min(own + 1, 1000)
