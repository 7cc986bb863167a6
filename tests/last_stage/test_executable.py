"""Finding the executable, and telling why it cannot be executed."""
from __future__ import annotations

import errno
import os
import shutil
import struct
import time
from pathlib import Path

import pytest

from pyrunc._native import lib
from pyrunc.kernel.last_stage import OP_CHDIR, OP_SETUID, pack_strings
from pyrunc.kernel.linux import Kernel

from ..world import let_in
from .stage import Op, Stage, execute, op, run


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """Files of every kind that may stand where an executable should be."""
    files = {
        "plain": ("#!/bin/sh\n", 0o644), "good": ("#!/bin/sh\necho good \"$0\"\n", 0o755), "empty": ("", 0o755),
        "text": ("just text\n", 0o755), "no-interpreter": ("#! /nowhere/perl -w\n", 0o755),
        "dos": ("#!/bin/sh\r\n", 0o755), "endless": ("#!/bin/sh" + "x" * 300, 0o755),
    }
    for name, (content, mode) in files.items():
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(mode)
    (tmp_path / "directory").mkdir()
    (tmp_path / "dangling").symlink_to("/nowhere")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "fifo", 0o755)
    return tmp_path


# What engines and users match (moby's exit codes 126 and 127, for example) is runc's wording.
@pytest.mark.parametrize(("name", "text", "number"), [
    ("missing", 'exec: "missing": executable file not found in $PATH', 0),
    ("", 'exec: "": executable file not found in $PATH', 0),
    ('quo"te\n', r'exec: "quo\"te\n": executable file not found in $PATH', 0),
    ("plain", 'exec: "plain": executable file not found in $PATH', 0),
    ("directory", 'exec: "directory": executable file not found in $PATH', 0),
    ("{}/missing", 'exec: "{0}/missing": stat {0}/missing', errno.ENOENT),
    ("{}/dangling", 'exec: "{0}/dangling": stat {0}/dangling', errno.ENOENT),
    ("{}/loop", 'exec: "{0}/loop": stat {0}/loop', errno.ELOOP),
    ("{}/plain/x", 'exec: "{0}/plain/x": stat {0}/plain/x', errno.ENOTDIR),
    ("{}/plain", 'exec: "{0}/plain"', errno.EACCES),
    ("{}/directory", 'exec: "{0}/directory"', errno.EISDIR),
])
def test_executable_that_cannot_be_found(programs: Path, name: str, text: str, number: int) -> None:
    name = name.format(programs)
    told = run(execute(name, env=[f"PATH=/nowhere:{programs}"]))
    assert told.failure == (text.format(programs), number)
    assert told.page.child_step == 0


@pytest.mark.parametrize(("path", "found"), [
    ("PATH={0}", True), ("PATH=/nowhere:{0}", True), ("PATH={0}/directory:{0}/plain:/nowhere:{0}", True),
    ("PATH=", False), ("OTHER={0}", False), ("PATH=" + "x" * 5000 + ":{0}", True),
])
def test_look_up_in_path(programs: Path, path: str, found: bool) -> None:
    told = run(execute("good", env=[path.format(programs)]))
    if found:
        assert told.out == f"good {programs}/good\n"
    else:
        assert told.failure == ('exec: "good": executable file not found in $PATH', 0)


@pytest.mark.parametrize("path", ["", ".", "bin/..", "/nowhere:"])
def test_executable_relative_to_the_current_directory_is_refused(programs: Path, path: str) -> None:
    (programs / "bin").mkdir()
    told = run([op(OP_CHDIR, data=pack_strings([str(programs)])), *execute("good", env=[f"PATH={path}:/bin"])])
    assert told.failure == ('exec: "good": cannot run executable found relative to current directory', 0)


def test_argument_with_a_slash_is_relative_to_the_cwd(programs: Path) -> None:
    told = run([op(OP_CHDIR, data=pack_strings([str(programs)])), *execute("./good")])
    assert told.out == "good ./good\n"


def test_look_up_as_the_user(programs: Path) -> None:
    """With the container's ids: what root could execute does not count."""
    (programs / "good").chmod(0o700)
    let_in(programs)
    told = run([op(OP_SETUID, 1000), *execute(f"{programs}/good")])
    assert told.failure == (f'exec: "{programs}/good"', errno.EACCES)


@pytest.mark.parametrize(("name", "number", "hint"), [
    ("empty", errno.ENOEXEC, "the file is empty"),
    ("text", errno.ENOEXEC, "neither a program nor a script that begins with #!"),
    ("no-interpreter", errno.ENOENT, 'its interpreter "/nowhere/perl" is not in the container'),
    ("dos", errno.ENOENT, "its first line ends with a carriage return (DOS line ends)"),
    ("endless", errno.ENOEXEC, ""),
    ("loader", errno.ENOENT, 'its dynamic loader "/nowhere/ld.so" is not in the container'),
    ("foreign", errno.ENOEXEC, "it is built for another processor (ELF machine 22)"),
    ("short", errno.ENOEXEC, "neither a program nor a script that begins with #!"),
])
def test_executable_that_cannot_be_executed(programs: Path, name: str, number: int, hint: str) -> None:
    (programs / "loader").write_bytes(elf(os.uname().machine, b"/nowhere/ld.so\0"))
    (programs / "foreign").write_bytes(elf("s390x", b"/lib/ld64.so.1\0"))
    (programs / "short").write_bytes(b"\x7fELF")
    for made in ("loader", "foreign", "short"):
        (programs / made).chmod(0o755)
    told = run(execute(f"{programs}/{name}"))
    assert told.failure == (f"exec {programs}/{name}", number)
    assert told.hint == hint


def elf(machine: str, interpreter: bytes) -> bytes:
    """An ELF file with one program header, for a loader."""
    number = {"x86_64": 62, "aarch64": 183, "s390x": 22}[machine]
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, number, 1, 0x400000, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    program = struct.pack("<IIQQQQQQ", 3, 4, 120, 0, 0, len(interpreter), len(interpreter), 1)
    return header + program + interpreter


def test_executable_on_a_noexec_mount(programs: Path) -> None:
    def act() -> list[Op]:
        tree = Kernel().open_tree(str(programs), lib.OPEN_TREE_CLONE)
        Kernel().mount_setattr(tree, lib.MOUNT_ATTR_NOEXEC)
        Kernel().move_mount(tree, os.open(programs, os.O_PATH))
        return execute(f"{programs}/good")
    told = run(act, lib.CLONE_NEWNS)
    assert told.failure == (f'exec: "{programs}/good"', errno.EACCES)
    assert told.hint == "it is on a mount with the option noexec"


def test_what_is_there_but_may_not_be_executed_is_hinted_at(programs: Path) -> None:
    told = run(execute("plain", env=[f"PATH={programs}"]))
    assert told.hint == f"{programs}/plain exists, but may not be executed"


def test_fifo_in_place_of_an_executable_does_not_block(programs: Path) -> None:
    told = run(execute(f"{programs}/fifo"))
    assert told.failure == (f"exec {programs}/fifo", errno.EACCES)


def test_text_file_busy_is_tried_again(programs: Path) -> None:
    shutil.copy("/bin/true", programs / "busy")
    for _ in range(50):                              # it is tried for some 20 ms only, which may go by before we close
        writer = os.open(programs / "busy", os.O_WRONLY)
        stage = Stage(execute(f"{programs}/busy"))
        while stage.page.phase not in (lib.PHASE_EXEC, lib.PHASE_FAILED):
            time.sleep(0.0005)
        os.close(writer)
        if stage.told().status == 0:
            return
    pytest.fail("never tried again")
