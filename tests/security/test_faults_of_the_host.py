"""What cannot be found out is an error: no fault of the host makes a container weaker than it was asked for."""
from __future__ import annotations

import errno
import json
import os
import posix
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyrunc import host
from pyrunc.cgroups import v2
from pyrunc.kernel.posix import PosixKernel
from pyrunc.steps import kill
from tests import bundles, world
from tests.runtimes import Runtime

FAULTS = [errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EIO]
#: All that a weaker container would show: capabilities, a device that no rule allows, the cgroup, labels, the filter.
SHOW = ("grep -E '^(Cap|Seccomp:|NoNewPrivs)' /proc/self/status; cat /proc/self/cgroup; "
        "rm -f /tmp/k; busybox mknod /tmp/k c 1 11 && cat </tmp/k; id; ls /proc/self/fd | wc -l")


def config() -> bundles.Config:
    return bundles.docker_like(process={"args": ["sh", "-c", SHOW]},
                               linux={"namespaces": bundles.namespaces("pid", "network", "ipc", "uts", "mount")})


def injected(call: str, path: str, argv: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command in whose processes the first such call for this path fails."""
    strace = ["strace", "-f", "-o", "/dev/null", "-P", path, f"--inject={call}:error=ENOMEM:when=1"]
    done = subprocess.run([*strace, *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=110,
                          check=False)
    done.stderr = re.sub(r"strace: Requested path .*\n", "", done.stderr)
    return done


# One failing open of /proc/self/uid_map: no device filter; of .../cgroup: at the top; of .../status: no capabilities.
def test_a_file_of_the_kernel_that_cannot_be_read(runtime: Runtime, place: Path, name: str) -> None:
    bundles.busybox_root(place / "rootfs")
    (place / "config.json").write_text(json.dumps(config()))
    argv = runtime.argv("run", "--bundle", place, name)
    record = place / "record"
    whole = subprocess.run(["strace", "-o", record, "-e", "trace=openat", *argv], stdin=subprocess.DEVNULL,
                           capture_output=True, text=True, timeout=110, check=True)
    assert "CapEff:\t00000000a80425fb" in whole.stdout and "can't open /tmp/k" in whole.stderr
    assert name in whole.stdout, "the cgroup"
    opened = sorted(set(re.findall(r'"(/(?:proc/[a-z]|sys/)[^"]*)"', record.read_text())))
    facts = {"/proc/self/uid_map", "/proc/self/status", "/proc/self/cgroup", "/proc/self/mounts"}
    assert facts <= set(opened)
    for path in opened:
        done = injected("openat", path, argv)
        if done.returncode == 0:
            assert (done.stdout, done.stderr) == (whole.stdout, whole.stderr), path
            assert path not in facts
        else:
            assert done.stdout == "" and done.stderr.count("\n") == 1, f"{path}: {done}"
            # The launcher, before there is a log, says it in words of its own.
            assert ("level=error" in done.stderr and "cannot allocate memory" in done.stderr) or (
                path == "/proc/self/exe" and done.stderr.startswith("pyrunc: cannot")), done.stderr
        assert world.processes_of(name) == []


def failing(number: int) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> Any:
        raise OSError(number, os.strerror(number), "injected")
    return fail


@pytest.mark.parametrize("number", FAULTS)
@pytest.mark.parametrize("path", ["status", "mounts", "cgroup", "uid_map", "setgroups", "parameters/enabled"])
def test_every_fact_of_the_host(monkeypatch: pytest.MonkeyPatch, path: str, number: int) -> None:
    real = posix.open

    def opened(name: str, *args: Any, **more: Any) -> int:
        if name.endswith(path):
            raise OSError(number, os.strerror(number), name)
        return real(name, *args, **more)

    monkeypatch.setattr(posix, "open", opened)
    if path == "setgroups":              # it is read in a user namespace only
        with pytest.raises(OSError, match=path):
            host.allows_setgroups("self")
    else:
        with pytest.raises(OSError, match=path):
            host.probe()


@pytest.mark.parametrize("number", FAULTS)
def test_a_fact_that_cannot_be_read_to_its_end(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(posix, "read", failing(number))
    with pytest.raises(OSError, match="/proc/self/status"):
        host.probe()


class Kernel(PosixKernel):
    """A kernel on which single calls fail."""

    def __init__(self, number: int, *calls: str) -> None:
        for call in calls:
            setattr(self, call, failing(number))

    def removexattr(self, fd: int, name: str) -> None:
        """As on a cgroup."""


class Members(v2.Cgroup):
    """A cgroup with one process."""

    def __init__(self, kernel: PosixKernel) -> None:
        self.kernel, self.path, self.fd = kernel, "/sys/fs/cgroup/there", 3

    def procs(self) -> list[int]:
        return [os.getpid()]

    def freeze(self) -> None:
        """It is."""

    def thaw(self) -> None:
        """It is."""

    def close(self) -> None:
        """The descriptor is another one's."""


class Owner:
    """The container that has it."""

    def cgroup(self, kernel: PosixKernel) -> v2.Cgroup:
        return Members(kernel)


@pytest.mark.parametrize("number", FAULTS)
def test_no_process_of_a_cgroup_is_passed_over(number: int) -> None:
    with pytest.raises(OSError, match="injected"):
        Members(Kernel(number, "pidfd_open"))._kill_each()
    with pytest.raises(OSError, match="injected"):
        v2._leader(Kernel(number, "read_file"), 1)
    with pytest.raises(OSError, match="injected"):
        kill.signal_cgroup(Kernel(number, "pidfd_open"), Owner(), 0)  # type: ignore[arg-type]


@pytest.mark.parametrize("number", FAULTS)
def test_no_mark_of_another_container_is_left(number: int) -> None:
    with pytest.raises(OSError, match="injected"):
        v2.remove_mark(Kernel(number, "removexattr"), 3, v2.MARKS[0])
