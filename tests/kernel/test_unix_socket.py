"""Unix sockets whose path is longer than an address holds: reached all the same, or one clear line."""
from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from pyrunc.errors import UsageError
from pyrunc.kernel.posix import PosixKernel
from pyrunc.kernel.unix_socket import LONGEST, Named, must_fit


@pytest.fixture(params=["d" * 120, "ü" * 50])                   # the latter has fewer letters than an address has bytes
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    made = tmp_path / str(request.param) / str(request.param)
    made.mkdir(parents=True)
    return made


def test_the_longest_path_that_the_kernel_takes(tmp_path: Path) -> None:
    fits = f"{tmp_path}/{'s' * (LONGEST - len(str(tmp_path)) - 1)}"
    must_fit(fits, "the socket")
    with socket.socket(socket.AF_UNIX) as one, Named(fits) as name:
        assert name == fits
        one.bind(name)
    with pytest.raises(UsageError) as told:
        must_fit(f"{fits}s", "the socket")
    assert str(told.value) == f"the socket {fits}s: the path of a unix socket has at most 107 bytes, this one has 108"


def test_bytes_count_and_not_letters() -> None:
    with pytest.raises(UsageError, match="this one has 121"):
        must_fit("/" + "ü" * 60, "the socket")


def test_a_path_of_any_length(folder: Path) -> None:
    before = os.listdir("/proc/self/fd")
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as other:
        with Named(str(folder / "socket")) as name:
            one.bind(name)
            one.listen(1)
        assert (folder / "socket").is_socket()
        with Named(str(folder / "socket")) as name:
            other.connect(name)
    assert os.listdir("/proc/self/fd") == before
    with pytest.raises(FileNotFoundError), Named(str(folder / "missing/socket")):
        pass


def test_a_console_s_socket_of_any_length(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        with Named(str(folder / "socket")) as name:
            one.bind(name)
        one.listen(1)
        os.close(PosixKernel().connect(str(folder / "socket")))
    with pytest.raises(OSError) as failed:                      # whoever can bind such a name has another way to it
        PosixKernel().connect(f"{folder}/{'n' * 120}")
    assert failed.value.errno == errno.ENAMETOOLONG and failed.value.filename == f"{folder}/{'n' * 120}"
