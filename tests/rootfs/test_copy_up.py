"""tmpcopyup: the tmpfs begins with what it covers, and what it covers stays as it was."""
from __future__ import annotations

import os
import resource
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ..steps.rootfs import config, inside, tree

MODE = stat.S_IMODE


@pytest.fixture
def image(tmp_path: Path) -> Path:
    top = tmp_path / "rootfs/var"
    (top / "d/e").mkdir(parents=True)
    (top / "d/e/file").write_text("content" * 1000)
    (top / "d/e/file").chmod(0o4711)
    os.chown(top / "d/e/file", 5, 6)
    (top / "d/e/file").chmod(0o4711)
    os.setxattr(top / "d/e/file", "trusted.test", b"value")
    os.utime(top / "d/e/file", ns=(10**18, 2 * 10**18))
    (top / "d").chmod(0o2750)
    (top / "link").symlink_to("/etc/passwd")
    os.lchown(top / "link", 8, 9)
    os.mkfifo(top / "fifo", 0o640)
    os.mknod(top / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    (top / "empty").touch()
    os.chown(top, 3, 4)
    top.chmod(0o1751)
    return top


def listing(top: Path) -> dict[str, Any]:
    found = {}
    for path in [top, *top.rglob("*")]:
        state = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_text() if path.is_file() else ""
        found[str(path.relative_to(top))] = (f"{state.st_mode:o}", state.st_uid, state.st_gid, state.st_rdev, content)
    return found


def test_the_content_with_its_modes_owners_and_attributes(tmp_path: Path, image: Path) -> None:
    # config.md#linux-mount-options: "tmpcopyup MAY copy up the contents to a tmpfs"
    before, names = listing(image), tree(image)

    def look() -> Any:
        file = Path("/var/d/e/file")
        Path("/var/new").touch()
        return listing(Path("/var")), os.getxattr(file, "trusted.test"), file.stat().st_mtime_ns
    wanted = config(tmp_path, [{"destination": "/var", "type": "tmpfs", "options": ["tmpcopyup", "size=1m"]}])
    copied, attribute, modified = inside(wanted, tmp_path, look)
    new = copied.pop("new")
    assert copied == before and attribute == b"value" and modified == 2 * 10**18
    assert new[4] == "" and tree(image) == names          # what is covered does not change


def test_read_only_it_is_filled_first(tmp_path: Path, image: Path) -> None:
    wanted = config(tmp_path, [{"destination": "/var", "type": "tmpfs", "options": ["tmpcopyup", "ro", "mode=700"]}])

    def look() -> Any:
        with pytest.raises(OSError):
            Path("/var/new").touch()
        return MODE(os.stat("/var").st_mode), sorted(os.listdir("/var"))
    assert inside(wanted, tmp_path, look) == (0o700, ["d", "empty", "fifo", "link", "null"])


def test_links_lead_the_copy_nowhere(tmp_path: Path) -> None:
    host = tmp_path / "host"
    host.mkdir()
    (host / "secret").write_text("secret")
    wanted = config(tmp_path, [{"destination": "/var", "type": "tmpfs", "options": ["tmpcopyup"]}])
    (tmp_path / "rootfs/var").symlink_to(host)
    assert inside(wanted, tmp_path, lambda: os.listdir("/var")) == []
    (tmp_path / "rootfs/var").unlink()
    (tmp_path / "rootfs/var").mkdir()
    (tmp_path / "rootfs/var/link").symlink_to(host)
    assert inside(wanted, tmp_path, lambda: os.path.islink("/var/link") and not os.path.exists("/var/link/secret"))


def test_nothing_to_copy(tmp_path: Path) -> None:
    wanted = config(tmp_path, [{"destination": "/new/place", "type": "tmpfs", "options": ["tmpcopyup"]}])
    assert inside(wanted, tmp_path, lambda: (os.listdir("/new/place"), f"{MODE(os.stat('/new/place').st_mode):o}")) \
        == ([], "1777")


def test_a_tree_of_any_depth_takes_few_descriptors(tmp_path: Path) -> None:
    """An image can be deeper than the interpreter's stack and than the number of files that may be open."""
    wanted = config(tmp_path, [{"destination": "/var", "type": "tmpfs", "options": ["tmpcopyup"]}])
    deep = "var" + "/d" * 1500
    subprocess.run(["mkdir", "-p", tmp_path / "rootfs" / deep], check=True)
    (tmp_path / "rootfs" / deep / "file").write_text("content")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        assert inside(wanted, tmp_path, lambda: Path("/", deep, "file").read_text()) == "content"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        subprocess.run(["rm", "-rf", tmp_path / "rootfs/var"], check=True)
