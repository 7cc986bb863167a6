"""Where a runtime is tried: a private mount namespace with pure cgroup v2, and what is left there afterwards."""
from __future__ import annotations

import ctypes
import os
import re
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pyrunc.kernel.linux import Kernel
from pyrunc.kernel.posix import lines as lines_of

CGROUP = Path("/sys/fs/cgroup")
CLONE_NEWNS, MS_NOSUID, MS_BIND, MS_REC, MS_PRIVATE, PR_SET_CHILD_SUBREAPER = 0x20000, 2, 0x1000, 0x4000, 1 << 18, 36
OPEN_TREE_CLONE, AT_RECURSIVE = 1, 0x8000


def _call(name: str, *args: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*args) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)


def enter() -> None:
    """Give this process a mount namespace of its own in which cgroup v2 is all there is, and its orphans to it.

    The machine's own cgroup mounts stay as they are. In the guest they are right already.
    """
    assert os.geteuid() == 0, "container tests need root: run them with sudo, or deselect them by -m"
    _call("unshare", CLONE_NEWNS)
    _call("mount", b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    if not (CGROUP / "cgroup.controllers").exists():
        _call("mount", b"cgroup2", str(CGROUP).encode(), b"cgroup2", 0, None)
        own_null()
    one_procfs()
    _call("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def one_procfs() -> None:
    """Only that on /proc. With another, as a chroot has it, a user may mount a new one though /proc is covered
    (mount_namespaces(7))."""
    for line in lines("/proc/self/mountinfo"):
        mounted, _, kind = line.partition(" - ")
        point = mounted.split(" ")[4].encode().decode("unicode_escape")
        if kind.startswith("proc ") and point != "/proc":
            unmount(Path(point))


def own_null() -> None:
    """A null device of this namespace's own: crun gives the one that its standard input is to the container's user, and
    that must not be the machine's. (The guest is thrown away.)"""
    folder, null = Path(tempfile.mkdtemp()), Path("/dev/null")
    mount("tmpfs", folder, "tmpfs", MS_NOSUID)
    os.mknod(folder / "null", stat.S_IFCHR, null.stat().st_rdev)
    (folder / "null").chmod(0o666)
    mount(str(folder / "null"), null, flags=MS_BIND)
    unmount(folder)
    folder.rmdir()
    global _null_is_ours
    _null_is_ours = True


def renew_null() -> None:
    """Our own null device is root's again, whoever a runtime has given it to: containers may have it by a bind."""
    if _null_is_ours:
        os.chown("/dev/null", 0, 0)
        os.chmod("/dev/null", 0o666)


_null_is_ours = False


def mount(source: str, target: Path, kind: str = "", flags: int = 0, data: str = "") -> None:
    _call("mount", source.encode(), os.fsencode(target), kind.encode(), flags, data.encode())


@contextmanager
def covered(folder: Path, texts: Mapping[str, str]) -> Iterator[None]:
    """Files of the machine, made if missing, hold these texts for this process's mount namespace; folder keeps them."""
    for number, (path, text) in enumerate(texts.items()):
        (folder / f"over-{number}").write_text(text)
        Path(path).touch()
        mount(str(folder / f"over-{number}"), Path(path), flags=MS_BIND)
    try:
        yield
    finally:
        for path in texts:
            unmount(Path(path))


def bring(folder: Path) -> None:
    """Mount what pid 1 sees at this folder there in this process's mount namespace as well, as of now."""
    kernel = Kernel()
    there = os.open("/proc/1/ns/mnt", os.O_RDONLY)
    mount, at = kernel.open_tree_in(there, str(folder), OPEN_TREE_CLONE | AT_RECURSIVE), os.open(folder, os.O_PATH)
    kernel.move_mount(mount, at)
    for fd in (there, mount, at):
        os.close(fd)


def text(path: str | Path) -> str:
    """What a file of the kernel's says. In names of mounts, programs and cgroups every byte may come."""
    return Path(path).read_bytes().decode(errors="surrogateescape")


def lines(path: str | Path) -> list[str]:
    """Its lines; what else ends one for str.splitlines() (U+0085, U+2028) is part of a name."""
    return lines_of(text(path))


def unmount(target: Path) -> None:
    _call("umount2", os.fsencode(target), 2)        # MNT_DETACH


def kernel() -> tuple[int, ...]:
    """The major and minor number of the kernel that runs here."""
    return tuple(map(int, os.uname().release.split(".")[:2]))


def controllers() -> set[str]:
    """What containers can be limited by here: the whole list in the guest, nearly nothing on a hybrid host."""
    return set((CGROUP / "cgroup.controllers").read_text().split())


def named(prefix: str) -> re.Pattern[str]:
    """What begins with an id, or with what a test adds to it; not an id of another test: t7-1 is not t7-12."""
    return re.compile(rf"(?<!\w){re.escape(prefix)}(?!\d)")


def processes_of(prefix: str) -> list[int]:
    """Processes in a cgroup whose path has the prefix, zombies excepted."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if any(line.startswith("0::") and named(prefix).search(line)
                       for line in lines(entry / "cgroup")) and "\nState:\tZ" not in text(entry / "status"):
                    found.append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


def gone(prefix: str, seconds: float = 60) -> None:
    """Wait until none of processes_of() is left, reaping orphans: one that ends leaves its cgroup a little earlier."""
    deadline = time.monotonic() + seconds
    while found := processes_of(prefix):
        children()
        assert time.monotonic() < deadline, found
        time.sleep(0.01)


def start_user(uid: int) -> None:
    """Have systemd start the user's manager and bus. A busy one answers systemctl late, or says that it timed out."""
    deadline = time.monotonic() + 600
    while not Path(f"/proc/1/root/run/user/{uid}/bus").exists():
        done = subprocess.run(["systemctl", "start", f"user@{uid}"], capture_output=True, text=True, check=False)
        assert time.monotonic() < deadline, f"the user's bus does not come up: {done.stderr}"
        time.sleep(0.2)


def rdma_device() -> str:
    """The name of an RDMA device made of software. It stays, so it is for the guest only.

    Linux 6.1 trips over its own list when such a device goes after cgroups have had limits on it
    (rdmacg_unregister_device), and holds a lock then that every other one waits for.
    """
    if not Path("/sys/class/infiniband/rxe0").exists():
        subprocess.run(["modprobe", "-a", "dummy", "rdma_rxe"], check=True)
        subprocess.run("ip link add rd0 type dummy && ip link set rd0 up && rdma link add rxe0 type rxe netdev rd0",
                       shell=True, check=True)
    return "rxe0"


def children() -> set[int]:
    """Children of this process, orphans it inherited included; zombies of those are reaped first."""
    pids: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        try:
            pids.update(int(pid) for pid in (task / "children").read_text().split())
        except FileNotFoundError:           # a thread that has ended; its children are another thread's now
            continue
    for pid in list(pids):
        try:
            if os.waitpid(pid, os.WNOHANG)[0]:
                pids.discard(pid)
        except ChildProcessError:
            pids.discard(pid)
    return pids


def let_in(folder: Path) -> None:
    """Any user may search this temporary folder, and those of ours above it."""
    for one in (folder, *folder.parents):
        if one in (Path("/tmp"), Path(tempfile.gettempdir())):
            return
        one.chmod(one.stat().st_mode | 0o055)


def modes() -> dict[str, tuple[int, int, int]]:
    """Mode and owners of folders that every program uses, and that no test has a mount of its own on."""
    found = {path: os.stat(path) for path in ("/", "/tmp", "/var/tmp", "/etc", "/usr")}
    return {path: (one.st_mode, one.st_uid, one.st_gid) for path, one in found.items()}


def below(top: Path) -> list[str]:
    """Every path below a folder, sorted. What disappears meanwhile is left out (os.walk, unlike glob, bears that)."""
    return sorted(os.path.join(folder, name) for folder, folders, names in os.walk(top) for name in folders + names)


@dataclass
class Snapshot:
    """What a container can leave behind: mounts, cgroups and processes by the ids' prefix, files of the state root."""
    mounts: list[str]
    cgroups: list[str]
    processes: list[int]
    children: set[int]
    files: list[str]

    @classmethod
    def take(cls, prefix: str, root: Path) -> Snapshot:
        return cls(
            # Below /run systemd mounts and unmounts as it likes: credentials, users' folders.
            mounts=sorted(line.split(" - ")[0].split(" ", 3)[3] for line in
                          lines("/proc/self/mountinfo") if " /run/" not in line),
            cgroups=[path for path in below(CGROUP) if named(prefix).search(os.path.basename(path))],
            processes=processes_of(prefix), children=children(),
            files=[path for path in below(root) if "/@reports" not in path])

    def settle(self, prefix: str, root: Path, seconds: float = 60) -> Snapshot:
        """A later snapshot: as soon as it equals this one, or the last when the time is over (exits take a while).

        Children that have ended since count as being there still: only new ones were left behind.
        """
        deadline = time.monotonic() + seconds
        while True:
            now = Snapshot.take(prefix, root)
            now.children |= self.children
            if now == self or time.monotonic() > deadline:
                return now
            time.sleep(0.02)
