"""The compiled module: complete, bound at load time, its descriptors closed on exec."""
from __future__ import annotations

import fcntl
import os
import re
import struct
import subprocess
import sys
import sysconfig
from pathlib import Path

from pyrunc._native import ffi, lib
from pyrunc.kernel import last_stage

NATIVE = Path("pyrunc/_native")


def test_every_declaration_is_there() -> None:
    declared = re.findall(r"\b(pr_\w+)\(", (NATIVE / "native.h").read_text())
    assert len(declared) > 50
    for name in declared:
        assert callable(getattr(lib, name))


def test_stub_is_what_native_h_says() -> None:
    from pyrunc._native.stub import stub
    assert (NATIVE / "_native.pyi").read_text() == stub(), "run: python -m pyrunc._native.stub"


def test_sources_compile_without_a_warning() -> None:
    from pyrunc._native.build import COMPILE, SOURCES
    include = sysconfig.get_path("include")
    subprocess.run(["gcc", *COMPILE, "-Werror", "-fsyntax-only", f"-I{include}", *[NATIVE / name for name in SOURCES]],
                   check=True)


def test_operations_of_last_py_are_those_of_native_h() -> None:
    numbers = {name for name in dir(lib) if name.startswith("OP_")}
    assert {name for name in dir(last_stage) if name.startswith("OP_")} == numbers
    for name in numbers:
        assert getattr(last_stage, name) == getattr(lib, name), name


def test_descriptors_are_close_on_exec() -> None:
    root = os.open("/", os.O_PATH)
    made = [
        lib.pr_openat2(root, b"etc", os.O_PATH, 0, 0), lib.pr_pidfd_open(os.getpid(), 0), lib.pr_signalfd(),
        lib.pr_open_tree(lib.AT_FDCWD, b"/", 0), lib.pr_fsopen(b"tmpfs"),
    ]
    pair = ffi.new("int[2]")
    assert lib.pr_socketpair(pair) == 0
    for fd in [*made, *pair]:
        assert fd >= 0
        assert fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
        os.close(fd)
    os.close(root)

def test_module_is_bound_at_load_time() -> None:
    """Nothing may be looked up in a library once the root is the container's."""
    from pyrunc._native import _native
    image = Path(str(_native.__file__)).read_bytes()
    assert image[:4] == b"\x7fELF"
    assert sys.byteorder == "little"
    offset, size, count = struct.unpack_from("=Q", image, 32)[0], *struct.unpack_from("=HH", image, 54)
    segments = [struct.unpack_from("=II6Q", image, offset + i * size) for i in range(count)]
    dynamic = next(s for s in segments if s[0] == 2)
    entries = dict(struct.iter_unpack("=QQ", image[dynamic[2]:dynamic[2] + dynamic[5]]))
    assert entries.get(0x6ffffffb, 0) & 1 or entries.get(30, 0) & 8        # DF_1_NOW, DF_BIND_NOW
    assert any(s[0] == 0x6474e552 for s in segments)                       # PT_GNU_RELRO
