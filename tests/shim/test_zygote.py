"""The zygote: shims are forked from it, whoever may not ask is refused, and nothing depends on it."""
from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyrunc._native import lib
from pyrunc.shim.zygote import FOLDER, LOOK
from tests.forked import forked

from .driver import SECONDS, Events, Shim

Make = Callable[..., Shim]
PR_CAPBSET_DROP = 24                                                  # prctl(2)


def zygotes() -> set[int]:
    """Those whose socket is named after this mount namespace."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            same = os.readlink(folder / "ns/mnt") == os.readlink("/proc/self/ns/mnt")
            if same and (folder / "comm").read_text() == "pyrunc-zygote\n" and (folder / "cmdline").read_bytes():
                found.add(int(folder.name))
        except OSError:
            continue
    return found


def sockets() -> list[Path]:
    return list(Path(FOLDER).glob(f"{os.stat('/proc/self/ns/mnt').st_ino}-*[!k]"))


def until(true: Callable[[], object], seconds: float = SECONDS) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def zygote(private_world: None, place: Path, shim: Make) -> Iterator[int]:
    """A containerd that is there, a shim that was alone, and what that has left behind."""
    with socket.socket(socket.AF_UNIX) as containerd:
        containerd.bind(str(place / "containerd"))
        before = zygotes()
        for path in sockets():
            path.unlink()
        first = shim(id="first")
        until(lambda: len(zygotes() - before) == 1 and sockets())
        yield (zygotes() - before).pop()
        assert first.pid
    for pid in zygotes() - before:
        os.kill(pid, signal.SIGKILL)


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def stack(pid: int) -> str:
    """Where the process's stack begins (proc(5): startstack), at random for each execve(2)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[25]


def words(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode().split("\0")


def test_each_shows_whose_it_is(zygote: int, shim: Make, place: Path) -> None:
    """In ps: not the words of whoever was called first."""
    address = str(place / "containerd")
    assert words(zygote) == ["containerd-shim-pyrunc-v2", "zygote", "-address", address]
    for id in ("second", "a-third"):
        said = words(shim(id=id).pid)
        assert said[:5] == ["containerd-shim-pyrunc-v2", "-namespace", "tests", "-id", id], said
        assert address.startswith(said[6]) and len(said) == 7         # as far as there is room


def test_what_a_killed_one_left_is_removed_by_the_next(zygote: int, shim: Make) -> None:
    """Its own socket, and that of another namespace whose zygote was killed. One that lives keeps its own."""
    left = Path(FOLDER, f"1-{'0' * 16}")
    left.touch()
    left.with_name(f"{left.name}.lock").touch()
    before, own = set(sockets()), zygotes()
    assert before
    for pid in own:
        os.kill(pid, signal.SIGKILL)
    shim(id="next")                                                   # alone: nobody answers; it leaves a new one
    until(lambda: zygotes() - own and not left.exists())
    assert not left.with_name(f"{left.name}.lock").exists()
    until(lambda: sockets() and all(path.with_name(f"{path.name}.lock").exists() for path in sockets()))


@pytest.mark.parametrize("change", ["limits", "oom_score_adj", "umask", "capabilities"])
def test_whoever_has_other_limits_or_privileges_is_not_served(zygote: int, shim: Make, change: str) -> None:
    """As a containerd that was started again with others: a shim has them from it, and a container from the shim."""
    one = shim(id="second")
    assert stack(one.pid) == stack(zygote)                            # it serves, but for what comes now

    def changed() -> None:
        if change == "limits":
            resource.setrlimit(resource.RLIMIT_NOFILE, (1000, 2000))
        elif change == "oom_score_adj":
            Path("/proc/self/oom_score_adj").write_text("500")
        elif change == "umask":
            os.umask(0o027)
        else:
            lib.pr_prctl(PR_CAPBSET_DROP, 25, 0, 0, 0)                # CAP_SYS_TIME

    def act() -> tuple[bool, tuple[int, int], str, str]:
        changed()
        third = shim(id="third")
        pid = third.pid
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
                      if ":\t" in line)
        found = (stack(pid) == stack(zygote), resource.prlimit(pid, resource.RLIMIT_NOFILE), status["Umask"],
                 Path(f"/proc/{pid}/oom_score_adj").read_text())
        assert int(status["CapBnd"], 16) >> 25 & 1 == (change != "capabilities")
        os.kill(pid, signal.SIGKILL)
        os.unlink(third.address.removeprefix("unix://"))
        return found
    forked_from_it, limit, umask, score = forked(act)
    assert not forked_from_it
    assert (limit == (1000, 2000)) == (change == "limits")
    assert (umask == "0027") == (change == "umask") and (score == "501\n") == (change == "oom_score_adj")


def test_a_shim_is_forked_from_it(zygote: int, shim: Make, events: Events, name: str) -> None:
    one = shim("sh", "-c", "exit 6", environment={"MAX_SHIM_VERSION": "2"})      # the environment is the caller's
    answer = json.loads(one.address)
    one.address = answer["address"]
    ours = {name: os.readlink(f"/proc/self/ns/{name}") for name in os.listdir("/proc/self/ns")}
    pid = one.pid
    assert pid != zygote and os.getsid(pid) == pid
    assert {name: os.readlink(f"/proc/{pid}/ns/{name}") for name in ours} == ours
    assert Path(f"/proc/{pid}/cgroup").read_text() == Path("/proc/self/cgroup").read_text()
    # forked from it, or from the process that it forked for the command and that has ended: no exec has moved the stack
    assert stack(pid) == stack(zygote) != stack(os.getpid())
    fds = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    assert not any(FOLDER in fd or "seqpacket" in fd.lower() for fd in fds)
    one.create()
    one.start()
    assert one.wait() == 6
    one.delete()
    events.wait("delete")
    assert events.topics() == ["create", "start", "exit", "delete"]
    shared = int(next(line for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                      if line.startswith("Private_Dirty")).split()[1])
    assert shared < 3000, "KiB of its own"


def test_nothing_depends_on_it(zygote: int, shim: Make) -> None:
    one = shim("sleep", "1000")
    one.create()
    one.start()
    os.kill(zygote, signal.SIGKILL)
    until(lambda: zygote not in zygotes())
    one.kill()
    assert one.wait() == 137
    other = shim("sleep", "1000", id="other")               # alone, and leaves another one behind
    other.create()
    until(lambda: zygotes())
    assert zygote not in zygotes()


def test_it_ends_with_containerd(zygote: int, place: Path) -> None:
    (place / "containerd").unlink()
    until(lambda: zygote not in zygotes(), LOOK + SECONDS)
    assert not sockets()


def test_whoever_is_elsewhere_is_refused(zygote: int, shim: Make) -> None:
    """In another network namespace: what is started there must be there."""
    one = shim(id="elsewhere")
    flags = "-namespace", "tests", "-address", str(one.place / "containerd"), "-id", "other", "start"
    done = subprocess.run(["unshare", "-n", one.program(), *flags], cwd=one.bundle, capture_output=True, check=True,
                          stdin=subprocess.DEVNULL, timeout=SECONDS,
                          env={"PATH": os.environ["PATH"], "TTRPC_ADDRESS": str(one.events.path)})
    here, one.address = one.address, done.stdout.decode()
    pid = one.pid
    assert here != one.address
    assert os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net")
    os.kill(pid, signal.SIGKILL)
    one.address = here


def test_what_is_no_request_does_it_no_harm(zygote: int, shim: Make, name: str) -> None:
    path = str(sockets()[0])
    for data in (b"", b"x", b"=\0\0", b"\0" * 100, b"=a\0=start\0\0=x\0\0", os.urandom(60000)):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.connect(path)
            if data:
                client.send(data)
                client.settimeout(SECONDS)
                assert client.recv(10) == b""
    assert os.stat(path).st_mode & 0o777 == 0o600 and os.stat(FOLDER).st_mode & 0o777 == 0o700
    with pytest.raises(PermissionError):
        _as_nobody(path)
    one = shim(id=f"{name}-after")
    assert stack(one.pid) == stack(zygote)


def _as_nobody(path: str) -> None:
    os.seteuid(65534)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.connect(path)
    finally:
        os.seteuid(0)


def test_a_folder_that_others_may_write_to_is_not_used(zygote: int, shim: Make) -> None:
    os.chmod(FOLDER, 0o777)
    try:
        one = shim(id="other")
        assert b"other" in Path(f"/proc/{one.pid}/cmdline").read_bytes()       # it was started alone
    finally:
        os.chmod(FOLDER, 0o700)
