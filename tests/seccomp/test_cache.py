"""The cache gives a program back for exactly the profile it was made from, and trusts no file of others."""
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pyrunc.kernel.posix import PosixKernel
from pyrunc.seccomp import cache
from pyrunc.seccomp.cache import Entry

PROFILE: dict[str, Any] = {"defaultAction": "SCMP_ACT_ERRNO",
                           "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}


def entry(root: Path, seccomp: dict[str, Any] = PROFILE) -> Entry:
    return Entry(PosixKernel(), str(root), seccomp)  # type: ignore[arg-type]


def file(root: Path) -> Path:
    return root / cache.DIRECTORY / entry(root).name


def test_what_is_kept_is_found(tmp_path: Path) -> None:
    assert entry(tmp_path).find() is None
    entry(tmp_path).keep(b"program!")
    assert entry(tmp_path).find() == b"program!"
    assert file(tmp_path).stat().st_mode & 0o777 == 0o600
    assert file(tmp_path).parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("change", [
    {"defaultAction": "SCMP_ACT_KILL"}, {"defaultErrnoRet": 38}, {"architectures": ["SCMP_ARCH_X86"]},
    {"syscalls": []}, {"syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": []}]}])
def test_another_profile_is_not_mistaken_for_it(tmp_path: Path, change: dict[str, Any]) -> None:
    entry(tmp_path).keep(b"program!")
    other = entry(tmp_path, {**PROFILE, **change})
    other.name = entry(tmp_path).name        # as if it fell into the same slot
    assert other.find() is None


def test_flags_and_listener_do_not_make_another_program(tmp_path: Path) -> None:
    entry(tmp_path).keep(b"program!")
    assert entry(tmp_path, {**PROFILE, "flags": [], "listenerPath": "/x"}).find() == b"program!"


def test_another_version_of_either_compiles_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry(tmp_path).keep(b"program!")
    monkeypatch.setattr(cache, "LINKER_CACHE", str(tmp_path))
    assert entry(tmp_path).find() is None
    monkeypatch.setattr(cache, "LINKER_CACHE", "/nowhere")
    entry(tmp_path).keep(b"program!")
    monkeypatch.setattr(cache, "__version__", "0")
    assert entry(tmp_path).find() is None


def test_a_file_in_the_making_is_no_hit(tmp_path: Path) -> None:
    entry(tmp_path).keep(b"program!")
    whole = file(tmp_path).read_bytes()
    for length in range(len(whole)):
        file(tmp_path).write_bytes(whole[:length])
        assert entry(tmp_path).find() is None
    file(tmp_path).write_bytes(whole + b"!")
    assert entry(tmp_path).find() is None


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_no_hit(tmp_path: Path, mode: int) -> None:
    entry(tmp_path).keep(b"program!")
    file(tmp_path).chmod(mode)
    assert entry(tmp_path).find() is None


def test_a_file_of_another_user_or_behind_a_link_is_no_hit(tmp_path: Path) -> None:
    entry(tmp_path).keep(b"program!")
    file(tmp_path).rename(tmp_path / "moved")
    file(tmp_path).symlink_to(tmp_path / "moved")
    assert entry(tmp_path).find() is None
    if os.geteuid() == 0:
        file(tmp_path).unlink()
        (tmp_path / "moved").rename(file(tmp_path))
        os.chown(file(tmp_path), 1234, 1234)
        assert entry(tmp_path).find() is None


def test_it_never_holds_more_than_its_slots(tmp_path: Path) -> None:
    for number in range(5 * cache.SLOTS):
        entry(tmp_path, {**PROFILE, "defaultErrnoRet": number}).keep(b"program!")
    assert len(os.listdir(tmp_path / cache.DIRECTORY)) <= cache.SLOTS
    assert entry(tmp_path, {**PROFILE, "defaultErrnoRet": 5 * cache.SLOTS - 1}).find() == b"program!"


def test_nowhere_to_keep_it_is_no_error(tmp_path: Path) -> None:
    entry(tmp_path / "missing").keep(b"program!")
    (tmp_path / cache.DIRECTORY).write_text("no directory")
    entry(tmp_path).keep(b"program!")
    assert entry(tmp_path).find() is None
    entry(tmp_path).keep(bytes(cache.LARGEST))
