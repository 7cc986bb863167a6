"""Device filters of cgroup v2."""
from __future__ import annotations

import os
import signal
import struct
from pathlib import Path

import pytest

from pyrunc._native import lib
from pyrunc.kernel.linux import Kernel

from ..forked import forked
from .process import wait

KERNEL = Kernel()


ALLOW = struct.pack("=BBhi", 0xb7, 0, 0, 1) + struct.pack("=BBhi", 0x95, 0, 0, 0)     # r0 = 1; exit
DENY = struct.pack("=BBhi", 0xb7, 0, 0, 0) + struct.pack("=BBhi", 0x95, 0, 0, 0)


def test_device_filter_is_loaded_attached_replaced_and_enforced() -> None:
    def act() -> None:
        mount = Path("/tmp")
        assert lib.pr_mount(b"cgroup2", bytes(mount), b"cgroup2", 0, b"") == 0
        cgroup = mount / f"pyrunc-devices-{os.getpid()}"
        cgroup.mkdir()
        try:
            fd = os.open(cgroup, os.O_RDONLY)
            assert KERNEL.bpf_query(fd) == []
            allow, deny = KERNEL.bpf_load_device(ALLOW), KERNEL.bpf_load_device(DENY)
            KERNEL.bpf_attach(fd, allow)
            first = KERNEL.bpf_query(fd)
            KERNEL.bpf_attach(fd, deny, allow)
            assert len(first) == len(KERNEL.bpf_query(fd)) == 1
            assert KERNEL.bpf_query(fd) != first
            opened = []
            for filtered in (True, False):
                pid, _ = KERNEL.clone3(0, fd, signal.SIGKILL)
                if pid == 0:
                    try:
                        os.close(os.open("/dev/null", os.O_RDONLY))
                    except PermissionError:
                        os._exit(1)
                    os._exit(0)
                opened.append(wait(pid))
                if filtered:
                    attached = KERNEL.bpf_by_id(KERNEL.bpf_query(fd)[0])
                    KERNEL.bpf_detach(fd, attached)
            assert opened == [1, 0]
            assert KERNEL.bpf_query(fd) == []
        finally:
            cgroup.rmdir()
    forked(act, lib.CLONE_NEWNS)


def test_verifier_has_its_say() -> None:
    with pytest.raises(OSError) as refused:
        KERNEL.bpf_load_device(struct.pack("=BBhi", 0x95, 0, 0, 0))       # exit without a result
    assert "R0" in str(refused.value.filename)
