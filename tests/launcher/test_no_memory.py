"""A library that cannot be mapped for want of memory: a clear line, wherever it is."""
from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import bundles, runtimes
from tests.seccomp_profile import small


def test_a_library_that_cannot_be_loaded(private_world: None, place: Path, name: str) -> None:
    """It was `internal error: ImportError`. strace makes each mapping of a library fail in turn. Only the filter of
    system calls needs some: libseccomp, and what binds it."""
    bundles.bundle(place / "bundle", bundles.minimal(linux={"seccomp": small()}))
    command = [runtimes.find(), "--root", str(place / "state"), "run", "--bundle", str(place / "bundle"), name]
    subprocess.run(["strace", "-o", place / "calls", "-y", "-e", "trace=mmap", *command], capture_output=True,
                   check=True)
    shutil.rmtree(place / "state")              # with the filter that is kept there
    calls = (place / "calls").read_text().splitlines()
    library = re.compile(r"<[^>]*(?:[.]cpython[^>]*|[.]abi3)[.]so>")
    libraries = [number for number, call in enumerate(calls, 1) if library.search(call)]
    assert libraries
    for number in libraries:
        done = subprocess.run(["strace", "-o", "/dev/null", "-e", "trace=mmap", "-e",
                               f"inject=mmap:error=ENOMEM:when={number}", *command], capture_output=True, text=True,
                              check=False)
        assert done.returncode in (1, 255)
        assert done.stderr.count("\n") == 1 and "load a library: " in done.stderr and "internal" not in done.stderr
        assert re.search(r"cannot allocate memory|failed to map segment|cannot map", done.stderr)


def test_no_memory_for_an_object(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    from pyrunc.cli import main as cli
    from pyrunc.cli import version

    def fail() -> int:
        raise MemoryError
    monkeypatch.setattr(version, "print_version", fail)
    assert cli.main(["--version"]) == 1
    assert "cannot allocate memory" in capfd.readouterr().err
