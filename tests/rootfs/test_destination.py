"""Places inside a hostile root: links of every kind, races, and never anything outside."""
from __future__ import annotations

import ctypes
import errno
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrunc.kernel.linux import Kernel
from pyrunc.rootfs import destination

from ..steps.rootfs import tree

RENAME_EXCHANGE = 2
#: (what is in the root: directories, and links as "name -> target"; the path asked for; the path it means)
LAYOUTS: dict[str, tuple[list[str], str, str]] = {
    "nothing there": ([], "/a/b/c", "a/b/c"),
    "a part there": (["a"], "/a/b", "a/b"),
    "absolute link": (["real", "a -> /real"], "/a/b", "real/b"),
    "absolute link to the outside": (["a -> {out}"], "/a/b", "{out}/b"),
    "relative link": (["d/e", "d/l -> ../d/e"], "/d/l/x", "d/e/x"),
    "link up and out": (["a -> ../../../../..{out}"], "/a/b", "{out}/b"),
    "chain of links": (["a -> b", "b -> /c", "c -> d/../e"], "/a/x", "e/x"),
    "dangling link": (["a -> /not/there"], "/a", "not/there"),
    "dangling relative link": (["d", "d/a -> x/y"], "/d/a/z", "d/x/y/z"),
    "dangling link to the outside": (["a -> {out}/new"], "/a", "{out}/new"),
    "link to the root": (["a -> /"], "/a/b", "b"),
    "link with . and //": (["a -> .//./b//"], "/a/c", "b/c"),
}


def lay_out(root: Path, outside: Path, entries: list[str]) -> None:
    for entry in entries:
        name, _, target = entry.partition(" -> ")
        if target:
            (root / name).symlink_to(target.format(out=outside))
        else:
            (root / name).mkdir(parents=True)


@pytest.fixture
def scene(tmp_path: Path) -> tuple[Path, Path]:
    """(the root, a directory outside of it with something in it)"""
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "keep").write_text("host")
    return root, outside


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """What a test has opened, and what it was given by the code, is closed when it ends."""
    before = set(os.listdir("/proc/self/fd"))
    yield
    for number in set(os.listdir("/proc/self/fd")) - before:
        try:
            os.close(int(number))
        except OSError:             # of the listing itself
            pass


def opened(root: Path) -> int:
    return os.open(root, os.O_PATH | os.O_DIRECTORY)


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("as_directory", [True, False], ids=["directory", "file"])
def test_what_is_missing_is_made_inside_the_root(scene: tuple[Path, Path], name: str, as_directory: bool) -> None:
    root, outside = scene
    entries, path, meant = LAYOUTS[name]
    lay_out(root, outside, entries)
    before = tree(outside)
    fd, existed = destination.place(Kernel(), opened(root), path, as_directory)
    expected = root / meant.format(out=str(outside).lstrip("/"))
    assert not existed
    assert os.readlink(f"/proc/self/fd/{fd}") == str(expected)
    assert expected.is_dir() if as_directory else (expected.is_file() and expected.read_bytes() == b"")
    assert stat.S_IMODE(expected.stat().st_mode) == (0o755 if as_directory else 0o644)
    assert tree(outside) == before
    again, existed = destination.place(Kernel(), opened(root), path, as_directory)
    assert existed and os.path.samestat(os.fstat(fd), os.fstat(again))


def test_no_descriptor_is_left_but_the_one_asked_for(scene: tuple[Path, Path]) -> None:
    root, _ = scene
    (root / "a").symlink_to("/x/../y/z")
    root_fd, before = opened(root), set(os.listdir("/proc/self/fd"))
    fd, _ = destination.place(Kernel(), root_fd, "/a/b/../c", True)
    os.close(fd)
    with pytest.raises(OSError):
        (root / "loop").symlink_to("loop")
        destination.place(Kernel(), root_fd, "/loop/x", True)
    assert set(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("links", ["loop", "loop/x", "first", "first/x"])
def test_loops_end(scene: tuple[Path, Path], links: str) -> None:
    root, _ = scene
    (root / "loop").symlink_to("loop")
    (root / "first").symlink_to("second")
    (root / "second").symlink_to("/first")
    with pytest.raises(OSError) as caught:
        destination.place(Kernel(), opened(root), links, True)
    assert caught.value.errno == errno.ELOOP


def test_a_chain_that_makes_itself_longer_ends(scene: tuple[Path, Path]) -> None:
    root, _ = scene
    (root / "a").symlink_to("a/b")
    with pytest.raises(OSError) as caught:
        destination.place(Kernel(), opened(root), "/a", True)
    assert caught.value.errno == errno.ELOOP


def test_a_file_where_a_directory_has_to_be(scene: tuple[Path, Path]) -> None:
    root, _ = scene
    (root / "file").write_text("x")
    for path in ("/file", "/file/below"):
        with pytest.raises(NotADirectoryError):
            destination.directory(Kernel(), opened(root), path)
    (root / "dangling").symlink_to("file/below")
    with pytest.raises(NotADirectoryError):
        destination.directory(Kernel(), opened(root), "/dangling")


def test_without_links_none_is_followed_nor_made_through(scene: tuple[Path, Path]) -> None:
    root, outside = scene
    (root / "real").mkdir()
    (root / "proc").symlink_to("real")
    (root / "sys").symlink_to(outside)
    (root / "dangling").symlink_to("/new")
    for path in ("/proc", "/sys", "/dangling", "/proc/x", "/dangling/x"):
        with pytest.raises(OSError) as caught:
            destination.directory(Kernel(), opened(root), path, links=False)
        assert caught.value.errno == errno.ELOOP
    assert not (root / "new").exists() and tree(outside) == ["keep 100644"]


def test_magic_links_are_not_followed(scene: tuple[Path, Path]) -> None:
    # CVE-2024-21626: a descriptor of the host, by its name in /proc
    leaked = os.open("/", os.O_PATH)
    with pytest.raises(OSError) as caught:
        destination.find(Kernel(), os.open("/proc", os.O_PATH), f"/self/fd/{leaked}/etc")
    assert caught.value.errno == errno.ELOOP


def test_the_root_is_told_from_another_mount_of_it(scene: tuple[Path, Path]) -> None:
    root, _ = scene
    (root / "d").mkdir()
    (root / "up").symlink_to("d/../..")
    kernel, root_fd = Kernel(), opened(root)
    for path in ("/", "/up", "/d/../..", "."):
        assert destination.is_root(kernel, root_fd, destination.find(kernel, root_fd, path))
    assert not destination.is_root(kernel, root_fd, destination.find(kernel, root_fd, "/d"))
    clone = kernel.open_tree("", 1 | 0x1000, root_fd)
    assert not destination.is_root(kernel, root_fd, clone)


def test_parent_and_name(scene: tuple[Path, Path]) -> None:
    root, _ = scene
    fd, name = destination.parent(Kernel(), opened(root), "/dev/net/tun")
    assert (os.readlink(f"/proc/self/fd/{fd}"), name) == (f"{root}/dev/net", "tun")
    fd, name = destination.parent(Kernel(), opened(root), "/top")
    assert (os.readlink(f"/proc/self/fd/{fd}"), name) == (str(root), "top")


def test_a_directory_that_is_exchanged_with_a_link_never_leads_out(scene: tuple[Path, Path]) -> None:
    # CVE-2021-30465, CVE-2024-45310: another container flips a component while this one is being made.
    root, outside = scene
    (root / "flip").mkdir()
    (root / "link").symlink_to(outside)
    rename = ctypes.CDLL(None, use_errno=True).renameat2
    flipper = os.fork()
    if flipper == 0:
        one, other = os.fsencode(root / "flip"), os.fsencode(root / "link")
        while True:
            rename(-100, one, -100, other, RENAME_EXCHANGE)
    try:
        kernel, root_fd = Kernel(), opened(root)
        tried, end, made = 0, time.monotonic() + 2, 0
        while time.monotonic() < end:
            tried += 1
            try:
                fd, _ = destination.place(kernel, root_fd, f"/flip/d{tried % 50}/e", tried % 2 == 0)
            except OSError as fault:
                assert fault.errno in (errno.ENOENT, errno.EAGAIN, errno.ENOTDIR, errno.ELOOP), fault
                continue
            made += 1
            assert os.readlink(f"/proc/self/fd/{fd}").startswith(f"{root}/")
            os.close(fd)
    finally:
        os.kill(flipper, 9)
        os.waitpid(flipper, 0)
    assert made > tried / 2, f"{made} of {tried}"
    assert tree(outside) == ["keep 100644"]
