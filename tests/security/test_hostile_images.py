"""Root file systems that lie in wait: nothing on the host is read, made, changed or bound because of them.

Each is one the container's author chose; the config is an engine's.
"""
from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import bundles, world
from tests.bundles import MOUNTS, PROC, docker_like
from tests.console import Console
from tests.runtimes import Runtime

NO_DEV = [mount for mount in MOUNTS if not mount["destination"].startswith("/dev")]


@pytest.fixture
def outside(place: Path) -> Iterator[Path]:
    """A folder of the host with something in it, which is the same afterwards; so are the host's mounts."""
    folder = place / "outside"
    folder.mkdir()
    (folder / "ptmx").write_text("the host's\n")
    (folder / "null").write_text("the host's\n")
    (folder / "secret").write_text("the host's\n")
    mounts, before = world.text("/proc/self/mountinfo"), look(folder)
    yield folder
    assert look(folder) == before
    assert world.text("/proc/self/mountinfo") == mounts


def look(folder: Path) -> list[tuple[object, ...]]:
    """Names, owners, modes and contents."""
    return sorted((path.name, path.lstat().st_uid, path.lstat().st_mode, path.is_file() and path.read_text())
                  for path in (folder, *folder.rglob("*")))


def replace(path: Path, target: Path | str) -> None:
    """A link in place of a file or an empty directory."""
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)
    path.symlink_to(target)


# CVE-2019-19921, CVE-2023-27561, CVE-2025-54867: what everybody believes procfs and sysfs to be is somewhere else.
@pytest.mark.parametrize("name_of", ["proc", "sys"])
@pytest.mark.parametrize("target", ["OUTSIDE", "tmp", "../../../../../tmp"])
def test_proc_and_sys_are_links(name_of: str, target: str, outside: Path, runtime: Runtime, place: Path,
                                name: str) -> None:
    bundle = bundles.bundle(place / "bundle", docker_like())
    replace(bundle / "rootfs" / name_of, target.replace("OUTSIDE", str(outside)))
    outcome = runtime.run(name, bundle)
    assert outcome.status == 1 and "must be mounted on ordinary directory" in outcome.stderr


# CVE-2019-16884, CVE-2025-52881: a volume over /proc, or over a file in it that the runtime or a label relies on.
@pytest.mark.parametrize("destination", ["/proc", "/proc/self/attr/exec", "/proc/sys", "/proc/self", "/link/self/attr",
                                         "/proc/../proc/sys/kernel"])
def test_volumes_over_proc(destination: str, outside: Path, runtime: Runtime, place: Path, name: str) -> None:
    bundle = bundles.bundle(place / "bundle", docker_like(mounts=[
        *MOUNTS, {"destination": destination, "source": str(outside), "options": ["rbind", "rw"]}]))
    (bundle / "rootfs/link").symlink_to("/proc")
    outcome = runtime.run(name, bundle)
    assert outcome.status == 1
    assert "cannot be mounted because it is" in outcome.stderr


# The same by a volume that brings a procfs of its own, but not its top: the type of the file system is not enough.
def test_a_part_of_procfs_over_proc(outside: Path, runtime: Runtime, place: Path, name: str) -> None:
    bundle = bundles.bundle(place / "bundle", docker_like(mounts=[
        {"destination": "/proc", "source": "/proc/self", "options": ["rbind"]}, *MOUNTS[1:]]))
    outcome = runtime.run(name, bundle)
    assert outcome.status == 1 and "not of type proc" in outcome.stderr


# CVE-2026-41579, CVE-2026-47766: ptmx was unlinked and links were made on the host.
def test_dev_is_a_link(outside: Path, runtime: Runtime, place: Path, name: str) -> None:
    bundle = bundles.bundle(place / "bundle", docker_like(mounts=NO_DEV))
    replace(bundle / "rootfs/dev", outside)
    runtime.run(name, bundle)


# CVE-2026-88264, CVE-2025-52565: a console made, or another file taken for the terminal.
@pytest.mark.parametrize("console", ["OUTSIDE/new", "/proc/self/mem", "pts/ptmx", "../tmp/file"])
def test_the_console_is_a_link(console: str, outside: Path, runtime: Runtime, place: Path, name: str) -> None:
    mounts = [PROC, {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance"]}]
    bundle = bundles.bundle(place / "bundle", docker_like(mounts=mounts, process={"terminal": True}))
    replace(bundle / "rootfs/dev/console", console.replace("OUTSIDE", str(outside)))
    with Console(place / "tty.sock") as listener:
        outcome = runtime("create", "--bundle", bundle, "--console-socket", listener.path, name)
    assert outcome.status == 1 and "step terminal.console" in outcome.stderr
    assert not (bundle / "rootfs/tmp/file").exists()


# CVE-2025-52565: what is called ptmx is no multiplexer of a devpts.
@pytest.mark.parametrize("ptmx", ["OUTSIDE/ptmx", "/dev/ptmx", "/proc/version"])
def test_the_multiplexer_is_a_link(ptmx: str, outside: Path, runtime: Runtime, place: Path, name: str) -> None:
    bundle = bundles.bundle(place / "bundle", docker_like(mounts=[PROC], process={"terminal": True}))
    (bundle / "rootfs/dev/pts").mkdir()
    replace(bundle / "rootfs/dev/pts/ptmx", ptmx.replace("OUTSIDE", str(outside)))
    with Console(place / "tty.sock") as listener:
        outcome = runtime("create", "--bundle", bundle, "--console-socket", listener.path, name)
    assert outcome.status == 1 and "is not that of a devpts" in outcome.stderr


# CVE-2026-88265: the "null device" was opened for the standard streams, written, and given to the container's user.
# CVE-2025-31133, CVE-2025-62161: it was bound over masked paths, and so were files of procfs, writable.
@pytest.mark.parametrize("bound", [False, True])
def test_the_null_device_is_another_file(bound: bool, outside: Path, runtime: Runtime, place: Path, name: str) -> None:
    bundle = bundles.bundle(place / "bundle", docker_like(
        mounts=NO_DEV, process={"user": {"uid": 1234, "gid": 1234}, "args": ["cat", "/masked"]},
        linux={"maskedPaths": ["/masked"]}))
    (bundle / "rootfs/masked").write_text("masked\n")
    null = bundle / "rootfs/dev/null"
    if bound:
        null.touch()
        world.mount(str(outside / "null"), null, flags=world.MS_BIND)
    else:
        null.symlink_to(outside / "null")
    try:
        outcome = runtime.run(name, bundle)
    finally:
        if bound:
            world.unmount(null)
    assert outcome.status == 1 and "/dev/null is not c 1:3" in outcome.stderr


@pytest.mark.parametrize("target", ["/proc/version", "/proc/sysrq-trigger", "OUTSIDE/null", "zero"])
def test_the_null_device_of_a_dev_that_is_left_alone(target: str, outside: Path, runtime: Runtime, place: Path,
                                                     name: str) -> None:
    """/dev is a volume, so no device is made there; masks are there all the same, and are the real thing."""
    (place / "dev").mkdir()
    os.mknod(place / "dev/zero", 0o020666, os.makedev(1, 5))
    (place / "dev/null").symlink_to(target.replace("OUTSIDE", str(outside)))
    bundle = bundles.bundle(place / "bundle", docker_like(
        mounts=[*NO_DEV, {"destination": "/dev", "source": str(place / "dev"), "options": ["rbind"]}],
        process={"args": ["sh", "-c", "wc -c </masked; stat -c %t:%T /masked"]}, linux={"maskedPaths": ["/masked"]}))
    (bundle / "rootfs/masked").write_text("masked\n")
    outcome = runtime.run(name, bundle)
    assert (outcome.status, outcome.stdout) == (0, "0\n1:3\n")


# CVE-2019-18837, CVE-2024-45310, CVE-2025-24965: places that the runtime makes, made on the host instead.
@pytest.mark.parametrize(("link", "config"), [
    ("data", {"mounts": [*MOUNTS, {"destination": "/data/sub/dir", "type": "tmpfs", "source": "tmpfs"}]}),
    ("data", {"mounts": [*MOUNTS, {"destination": "/data/file", "source": "/etc/hostname", "options": ["bind"]}]}),
    ("data", {"mounts": [*MOUNTS, {"destination": "/data", "type": "tmpfs", "source": "t", "options": ["tmpcopyup"]}]}),
    ("data", {"process": {"cwd": "/data/new"}}),
    ("data", {"linux": {"devices": [{"path": "/data/node", "type": "c", "major": 1, "minor": 3}]}}),
    ("data", {"linux": {"readonlyPaths": ["/data"], "maskedPaths": ["/data/secret"]}}),
    ("dev/mqueue", {"mounts": [*NO_DEV, *(m for m in MOUNTS if m["destination"] == "/dev/mqueue")]}),
    ("sys/fs/cgroup", {"mounts": [m for m in MOUNTS if m["destination"] != "/sys"]}),
    ("run", {}),
])
@pytest.mark.parametrize("up", [False, True], ids=["absolute", "relative"])
def test_links_in_the_way(up: bool, link: str, config: dict[str, Any], outside: Path, runtime: Runtime, place: Path,
                          name: str) -> None:
    config = docker_like(**bundles.merge(config, {"process": {"args": ["sh", "-c", "ls -R /tmp/*/outside; true"]}}))
    bundle = bundles.bundle(place / "bundle", config)
    path = bundle / "rootfs" / link
    path.parent.mkdir(parents=True, exist_ok=True)
    replace(path, f"../../../../../../../..{outside}" if up else outside)
    outcome = runtime.run(name, bundle, env={"PATH": os.environ["PATH"], "NOTIFY_SOCKET": str(place / "none")})
    assert "the host's" not in outcome.stdout and "secret" not in outcome.stdout


# CVE-2024-21626: a descriptor that somebody has left open leads out, be it the runtime or the caller.
@pytest.mark.parametrize("by_link", [False, True])
@pytest.mark.parametrize("command", ["create", "exec"])
def test_the_working_directory_is_a_descriptor(command: str, by_link: bool, outside: Path, runtime: Runtime,
                                               place: Path, name: str) -> None:
    config = docker_like(process={"args": ["sleep", "1000"]})
    bundle = bundles.bundle(place / "bundle", config)
    leaked = [os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in ("/", outside, "/sys/fs/cgroup")] * 4
    if command == "exec":
        runtime.create(name, bundle)
        runtime.ok("start", name)
    for number in (*range(3, 16), *leaked):
        cwd = f"/proc/self/fd/{number}"
        if by_link:
            replace(bundle / "rootfs/cwd", cwd)
            cwd = "/cwd"
        if command == "exec":
            outcome = runtime("exec", "--cwd", cwd, name, "ls", "-a", ".", pass_fds=leaked)
        else:
            config["process"].update(cwd=cwd, args=["ls", "-a", "."])
            outcome = runtime.run(name, bundles.write(bundle, config), pass_fds=leaked)
        assert outcome.status != 0 and "secret" not in outcome.stdout, (cwd, outcome.stdout)
        assert "in config.json failed" in outcome.stderr or "possible container breakout" in outcome.stderr \
            or "working directory" in outcome.stderr, outcome.stderr
    for number in set(leaked):
        os.close(number)


# CVE-2016-3697, and what else may be in the place of a file that the runtime reads.
@pytest.mark.parametrize("passwd", ["fifo", "directory", "host", "device", "huge"])
def test_the_passwd_file(passwd: str, outside: Path, runtime: Runtime, place: Path, name: str) -> None:
    bundle = bundles.bundle(place / "bundle", docker_like(
        process={"args": ["cat", "/proc/self/environ"], "user": {"uid": 7, "gid": 7}}))
    path = bundle / "rootfs/etc/passwd"
    path.unlink()
    (outside / "passwd").write_text("user:x:7:7::/host:/bin/sh\n")
    match passwd:
        case "fifo":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
        case "host":
            path.symlink_to(outside / "passwd")
        case "device":
            os.mknod(path, 0o020666, os.makedev(1, 5))
        case "huge":
            subprocess.run(["truncate", "-s", "1T", path], check=True)
    outcome = runtime.run(name, bundle, timeout=60)
    assert outcome.status == 0 and outcome.stdout.endswith("\0HOME=/\0")
    (outside / "passwd").unlink()


# CVE-2016-3697, CVE-2026-30892, CVE-2026-46680: a name that is a number, or a number that is no id, and who that is.
@pytest.mark.parametrize(("user", "who"), [
    ("1000", "1000 0"), ("1000:2", "1000 2"), ("0:5", "0 5"), *((wrong, "") for wrong in (
        "root", "evil", "", ":5", "1:", "0x1", " 1", "1_000", "\u0661", "+1", "-1", "4294967295", "4294967296"))])
def test_users_of_exec_are_numbers(user: str, who: str, runtime: Runtime, place: Path, name: str) -> None:
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["sleep", "1000"]}))
    (bundle / "rootfs/etc/passwd").write_text("1000:x:0:0::/:/bin/sh\nevil:x:0:0::/:/bin/sh\n")
    runtime.create(name, bundle)
    runtime.ok("start", name)
    outcome = runtime("exec", "--user", user, name, "sh", "-c", "echo $(id -u) $(id -g)")
    assert outcome.stdout.strip() == who
    assert (outcome.status == 0) == bool(who)
