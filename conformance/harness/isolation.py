"""Where a case runs: a process with a private mount namespace in which cgroup v2 is all there is."""
from __future__ import annotations

import ctypes
import os
import stat
import tempfile
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
CLONE_NEWNS, MS_NOATIME, MS_BIND, MS_REC, MS_PRIVATE, MS_SHARED = 0x20000, 0x400, 0x1000, 0x4000, 1 << 18, 1 << 20
SUBORDINATE = 1_000_000_000     # where no other program has its ids
OF_ANOTHER = "of-another-user"  # a folder of a case, and a file in it that its user may not read
PR_SET_CHILD_SUBREAPER, PR_SET_DUMPABLE = 36, 4


def call(name: str, *args: object) -> int:
    """A function of the C library by name. OSError when it answers less than 0."""
    libc = ctypes.CDLL(None, use_errno=True)
    answer: int = getattr(libc, name)(*args)
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
    return answer


def adopt() -> None:
    """Make this process the parent of its orphans: the inits of containers are waited for here."""
    call("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def enter() -> None:
    """Give this process a mount namespace of its own with pure cgroup v2. The machine's mounts stay as they are."""
    call("unshare", CLONE_NEWNS)
    mount("none", Path("/"), flags=MS_REC | MS_PRIVATE)
    if not (CGROUP / "cgroup.controllers").exists():
        mount("cgroup2", CGROUP, "cgroup2", data=options_of_cgroups(Path("/proc/self/mountinfo").read_text()))
    own_null()


def resctrl() -> Path | None:
    """Where resctrl is mounted; None where it is not."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if line.partition(" - ")[2].split()[:1] == ["resctrl"]:
            return Path(line.split()[4])
    return None


def options_of_cgroups(mountinfo: str) -> str:
    """Those of the machine's cgroup2: they hold for all of its mounts, and another one without them would take them
    away (cgroup-v2.rst of the kernel, nsdelegate)."""
    kinds = [line.partition(" - ")[2].split() for line in mountinfo.splitlines()]
    found = next((words[2] for words in kinds if words[:1] == ["cgroup2"]), "")
    return ",".join(word for word in found.split(",") if word not in ("", "ro", "rw"))


def ordinary_user() -> int:
    """The user of the rootless profile: the caller, who called sudo, else 1000."""
    return os.geteuid() or int(os.environ.get("SUDO_UID") or 0) or 1000


def become(place: Path) -> None:
    """Give the folder of a case to the ordinary user, and be that user from now on."""
    user = ordinary_user()
    for name in ("subuid", "subgid"):
        if (file := Path("/etc", name)).exists() and f"{user}:" not in file.read_text():
            own = place / name                  # this namespace's own: the machine's file stays as it is
            own.write_text(f"{file.read_text()}{user}:{SUBORDINATE}:65536\n")
            mount(str(own), file, flags=MS_BIND)
    os.chown(place, user, user)
    other = place / OF_ANOTHER
    other.mkdir(mode=0o755)
    (other / "file").touch(mode=0o600)
    (other / "file").write_text("of another user\n")
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    # Without this the files of this process in /proc stay root's, the maps of namespaces among them.
    call("prctl", PR_SET_DUMPABLE, 1, 0, 0, 0)


def own_null() -> None:
    """A null device of this namespace's own: crun gives the one that its standard input is to the container's user, and
    that must not be the machine's."""
    folder, null = Path(tempfile.mkdtemp(prefix="conformance-null-")), Path("/dev/null")
    mount("tmpfs", folder, "tmpfs")
    os.mknod(folder / "null", stat.S_IFCHR, null.stat().st_rdev)
    (folder / "null").chmod(0o666)
    mount(str(folder / "null"), null, flags=MS_BIND)
    unmount(folder)
    folder.rmdir()


def mount(source: str, target: Path, kind: str = "", flags: int = 0, data: str = "") -> None:
    call("mount", source.encode(), os.fsencode(target), kind.encode(), flags, data.encode())


def unmount(target: Path) -> None:
    call("umount2", os.fsencode(target), 2)         # MNT_DETACH


def controllers() -> set[str]:
    """The controllers that containers can be limited by here: nearly none on a hybrid host."""
    return set((CGROUP / "cgroup.controllers").read_text().split())
