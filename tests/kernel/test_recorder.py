"""The Recorder stands in for the Kernel: same methods, same signatures, no native module."""
from __future__ import annotations

import ast
import errno
import pathlib
import stat
import subprocess
import sys

import pytest

from pyrunc.kernel.recorder import Recorder
from pyrunc.kernel.recording import FILE, PID

PACKAGE = pathlib.Path(__file__).parents[2] / "pyrunc"


def signatures(file: str, name: str) -> dict[str, str]:
    """{public method: its arguments and result as source} of a class, without importing it."""
    tree = ast.parse((PACKAGE / file).read_text())
    found = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    return {f.name: f"{[a.arg + ': ' + ast.unparse(a.annotation) for a in f.args.args[1:] if a.annotation]} "
                    f"{len(f.args.defaults)} -> {ast.unparse(f.returns) if f.returns else None}"
            for f in found.body if isinstance(f, ast.FunctionDef) and not f.name.startswith("_")}


def test_same_methods_and_signatures_as_the_kernel() -> None:
    real = {**signatures("kernel/posix.py", "PosixKernel"), **signatures("kernel/mounts.py", "Mounts"),
            **signatures("kernel/linux.py", "Kernel")}
    double = {**signatures("kernel/recorder.py", "StepByStep"), **signatures("kernel/recorder.py", "Recorder")}
    assert double == real


def test_needs_no_native_module() -> None:
    code = "import sys; import pyrunc.kernel.recorder; print([m for m in sys.modules if 'native' in m or 'cffi' in m])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    assert run.stdout.strip() == "[]"


def test_calls_are_remembered_in_order_with_defaults() -> None:
    kernel = Recorder()
    fd = kernel.open("/proc", 0)
    kernel.mount_setattr(fd, clear=1, recursive=True)
    kernel.step = 7
    kernel.last(3, 1, data=b"x")
    assert kernel.calls == [("open", "/proc", 0, 0, -100), ("mount_setattr", fd, 0, 1, 0, True, -1),
                            ("last", 3, 1, 0, 0, b"x")]
    assert kernel.queue == [(3, 7, 1, 0, 0, b"x")]


def test_descriptors_are_fresh_and_forgotten_when_closed() -> None:
    kernel = Recorder()
    first, second = kernel.open("a", 0), kernel.fsopen("tmpfs")
    assert (first, second) == (100, 101)
    kernel.close(first)
    assert kernel.fds == {101: "fsopen tmpfs"}
    assert kernel.clone3(0, -1, 9) == (PID, 102)


def test_answers_come_from_the_tables() -> None:
    kernel = Recorder(modes={"/etc/hosts": FILE, "/none": None}, files={"/proc/x": "1"}, errors={"mkdir": [0, 17]})
    assert stat.S_ISREG(kernel.stat_path("/etc/hosts").st_mode)
    assert stat.S_ISREG(kernel.stat(kernel.open("/etc/hosts", 0)).st_mode)
    assert stat.S_ISDIR(kernel.stat_path("/anything").st_mode)
    null = kernel.stat_path("/dev/null")
    assert stat.S_ISCHR(null.st_mode) and null.st_rdev == 0x103
    assert kernel.read_file("/proc/x") == "1"
    assert kernel.fs_type(kernel.open("/proc/sys", 0)) == 0x9FA0
    for missing in (lambda: kernel.stat_path("/none"), lambda: kernel.open("/none", 0), lambda: kernel.read_file("/y")):
        with pytest.raises(FileNotFoundError):
            missing()
    kernel.mkdir("a", 0o755)
    with pytest.raises(OSError, match="File exists") as caught:
        kernel.mkdir("b", 0o755)
    assert caught.value.errno == errno.EEXIST and kernel.calls[-1] == ("mkdir", "b", 0o755, -100)
    kernel.mkdir("c", 0o755)
