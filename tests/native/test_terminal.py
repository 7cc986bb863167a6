"""Pseudo-terminals."""
from __future__ import annotations

import errno
import fcntl
import os
import termios

import pytest

from pyrunc._native import ffi, lib
from pyrunc.kernel.linux import Kernel

from ..forked import forked

KERNEL = Kernel()


def test_pseudo_terminal() -> None:
    def act() -> None:
        master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
        slave = KERNEL.pty_peer(master)
        assert os.isatty(slave)
        assert fcntl.fcntl(slave, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
        KERNEL.pty_size(slave, 31, 97)
        rows, columns = ffi.new("unsigned short *"), ffi.new("unsigned short *")
        assert lib.pr_pty_get_size(master, rows, columns) == 0
        assert (rows[0], columns[0]) == (31, 97)
        os.setsid()
        with pytest.raises(OSError):
            os.open("/dev/tty", os.O_RDWR)
        assert lib.pr_setsid_ctty(slave) == 0
        os.close(os.open("/dev/tty", os.O_RDWR))
    forked(act)


def test_raw_and_back() -> None:
    master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
    slave = KERNEL.pty_peer(master)
    before = termios.tcgetattr(slave)
    saved = ffi.new("unsigned char[128]")
    size = lib.pr_tty_raw(slave, saved, 128)
    assert size > 0
    raw = termios.tcgetattr(slave)
    assert not raw[3] & (termios.ICANON | termios.ECHO | termios.ISIG)
    assert raw[1] & (termios.OPOST | termios.ONLCR) == before[1] & (termios.OPOST | termios.ONLCR)
    assert lib.pr_tty_restore(slave, saved, size) == 0
    assert termios.tcgetattr(slave) == before
    assert before[1] & termios.ONLCR
    assert lib.pr_tty_no_onlcr(slave) == 0
    assert not termios.tcgetattr(slave)[1] & termios.ONLCR
    assert (lib.pr_tty_raw(slave, saved, 4), ffi.errno) == (-1, errno.ENOSPC)
    assert (lib.pr_tty_restore(slave, saved, 4), ffi.errno) == (-1, errno.EINVAL)
    os.close(slave)
    os.close(master)


def test_terminal_functions_on_a_pipe() -> None:
    reading, writing = os.pipe()
    saved = ffi.new("unsigned char[128]")
    for result in (lib.pr_pty_peer(reading), lib.pr_pty_size(reading, 1, 1), lib.pr_tty_raw(reading, saved, 128),
                   lib.pr_setsid_ctty(reading), lib.pr_tty_no_onlcr(reading)):
        assert (result, ffi.errno) == (-1, errno.ENOTTY)
    os.close(reading)
    os.close(writing)
