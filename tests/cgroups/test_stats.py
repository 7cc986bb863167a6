"""Statistics: parsing by text, then of a real cgroup."""
from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
import typing

import pytest

from pyrunc.cgroups import oom, stats
from pyrunc.kernel.recorder import Recorder

from .hierarchy import Tree
from .test_limits import Container, container, disk

__all__ = ["disk"]
MIB = 1 << 20

TEXTS = {
    "cpu.stat": "usage_usec 8500\nuser_usec 3000\nsystem_usec 5500\nnr_periods 4\nnr_throttled 2\nthrottled_usec 7\n",
    "cpu.pressure": "some avg10=1.50 avg60=0.25 avg300=0.00 total=1234\n"
                    "full avg10=0.00 avg60=0.00 avg300=0.00 total=5\n",
    "cpuset.cpus.effective": "0-2,5\n", "cpuset.mems.effective": "0\n",
    "memory.stat": "anon 100\nfile 200\n", "memory.current": "300\n", "memory.max": "1000\n", "memory.peak": "900\n",
    "memory.events": "low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\n",
    "memory.swap.current": "50\n", "memory.swap.max": "100\n",
    "pids.current": "2\n", "pids.max": "max\n",
    "io.stat": "8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=0\n(unknown) rbytes=1\n253:0 \n",
    "io.pressure": "",
    "hugetlb.2MB.events": "max 7\n", "hugetlb.2MB.rsvd.current": "2097152\n", "hugetlb.2MB.current": "0\n",
    "hugetlb.1GB.events": "max 0\n", "hugetlb.1GB.current": "1073741824\n",
}


class Directory(Recorder):
    """A cgroup made of texts."""

    def list_dir(self, fd: int) -> list[str]:
        return [*self.files, "hugetlb.2MB.events.local", "hugetlb.2MB.max"]


def test_the_shape_of_runc() -> None:
    data = stats.stats(Directory(files=TEXTS), 5)
    assert data["cpu"] == {
        "usage": {"total": 8500000, "kernel": 5500000, "user": 3000000},
        "throttling": {"periods": 4, "throttledPeriods": 2, "throttledTime": 7000},
        "psi": {"some": {"avg10": 1.5, "avg60": 0.25, "avg300": 0.0, "total": 1234},
                "full": {"avg10": 0.0, "avg60": 0.0, "avg300": 0.0, "total": 5}}}
    assert data["cpuset"]["cpus"] == [0, 1, 2, 5] and data["cpuset"]["mems"] == [0]
    assert data["cpuset"]["sched_relax_domain_level"] == 0
    assert data["memory"] == {
        "cache": 200, "usage": {"limit": 1000, "usage": 300, "max": 900, "failcnt": 3},
        "swap": {"limit": 1100, "usage": 350, "failcnt": 0},
        "kernel": {"limit": 0, "failcnt": 0}, "kernelTCP": {"limit": 0, "failcnt": 0},
        "raw": {"anon": 100, "file": 200}}
    assert data["pids"] == {"current": 2, "limit": 0}
    assert data["blkio"] == {
        "ioServiceBytesRecursive": [{"major": 8, "minor": 16, "op": "Read", "value": 1459200},
                                    {"major": 8, "minor": 16, "op": "Write", "value": 314773504}],
        "ioServicedRecursive": [{"major": 8, "minor": 16, "op": "Read", "value": 192},
                                {"major": 8, "minor": 16, "op": "Write", "value": 353}]}
    assert data["hugetlb"] == {"2MB": {"usage": 2097152, "failcnt": 7}, "1GB": {"usage": 1073741824, "failcnt": 0}}
    assert json.loads(json.dumps(data)) == data


@pytest.mark.parametrize(("limit", "swap", "expected"), [
    ("max", "max", stats.NO_LIMIT), ("1000", "max", stats.NO_LIMIT), ("max", "5", stats.NO_LIMIT), ("1000", "0", 1000)])
def test_no_limit_stays_none(limit: str, swap: str, expected: int) -> None:
    memory = stats.stats(Directory(files={**TEXTS, "memory.max": limit, "memory.swap.max": swap}), 5)["memory"]
    assert memory["swap"]["limit"] == expected
    assert memory["usage"]["limit"] == (stats.NO_LIMIT if limit == "max" else int(limit))


def test_without_any_controller() -> None:
    data = stats.stats(Directory(files={"./cgroup.procs": "7\n8\n"}), 5)
    assert data["pids"] == {"current": 2, "limit": 0} and data["blkio"] == {} == data["hugetlb"]
    assert data["cpu"]["usage"]["total"] == 0 and "psi" not in data["cpu"]


def test_psi_switched_off() -> None:
    """Kernels that want psi=1 answer EOPNOTSUPP."""
    kernel = Directory(files=TEXTS, errors={"read_file": [0, errno.EOPNOTSUPP]})
    assert "psi" not in stats.stats(kernel, 5)["cpu"]


def test_other_failures_are_failures() -> None:
    with pytest.raises(OSError):
        stats.stats(Directory(files=TEXTS, errors={"read_file": [errno.EIO]}), 5)


# ---- a real one -----------------------------------------------------------------------------------------------------
@pytest.mark.guest
def test_of_a_real_container(tree: Tree, disk: str) -> None:
    major, minor = map(int, disk.split(":"))
    made = container(tree, {"memory": {"limit": 64 * MIB, "swap": 128 * MIB}, "pids": {"limit": 9},
                            "cpu": {"quota": 20000, "cpus": "0"},
                            "devices": [{"allow": True, "type": "b", "major": major, "minor": minor, "access": "r"}]})
    made.run("dd if=/dev/nullb0 of=/dev/null bs=1M count=3 iflag=direct; "
             "until grep -q '^nr_periods [1-9]' \"$0/cpu.stat\"; do :; done")
    sleeper = tree.born("c")
    deadline = time.monotonic() + 60
    while True:         # the kernel adds memory.stat up every two seconds
        data = stats.stats(tree.kernel, made.facts.cgroup_fd)
        if data["memory"]["raw"]["anon"] > 0 or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    assert data["cpu"]["usage"]["total"] >= data["cpu"]["usage"]["user"] > 0
    assert data["cpu"]["throttling"]["periods"] > 0 and data["cpuset"]["cpus"] == [0]
    assert data["memory"]["usage"]["limit"] == 64 * MIB and data["memory"]["swap"]["limit"] == 128 * MIB
    assert 0 < data["memory"]["usage"]["usage"] <= data["memory"]["usage"]["max"]
    assert data["pids"] == {"current": 1, "limit": 9} and data["memory"]["raw"]["anon"] > 0
    assert {"major": major, "minor": minor, "op": "Read", "value": 3 * MIB} in data["blkio"]["ioServiceBytesRecursive"]
    assert data["hugetlb"]["2MB"] == {"usage": 0, "failcnt": 0}
    sleeper.kill()


# ---- OOM kills ------------------------------------------------------------------------------------------------------
def eat(made: Container) -> None:
    assert made.run('exec "$1" -c "bytearray(64 << 20)"', sys.executable).returncode == -9


@pytest.mark.guest
def test_kills_are_seen_until_the_end(tree: Tree) -> None:
    made = container(tree, {"memory": {"limit": 16 * MIB, "swap": 16 * MIB}})
    eat(made)                        # before: does not count
    sleeper = tree.sleep("c")
    seen: list[int] = []
    watcher = threading.Thread(target=lambda: seen.extend(oom.kills(tree.kernel, made.facts.cgroup_fd, 0.1)))
    watcher.start()
    wait_for(lambda: bool(seen))     # the first 0: it has counted what was before
    for expected in (1, 2):
        eat(made)
        wait_for(lambda: sum(seen) == expected)  # noqa: B023
    assert watcher.is_alive()
    sleeper.kill()
    watcher.join(60)
    assert not watcher.is_alive() and sum(seen) == 2


def wait_for(condition: typing.Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_empty_cgroup_ends_at_once(tree: Tree) -> None:
    assert list(oom.kills(tree.kernel, tree.make("x").fd)) == []


def test_a_removed_cgroup_ends_the_watch(tree: Tree) -> None:
    cgroup = tree.make("x")
    fd = os.dup(cgroup.fd)
    cgroup.remove()
    assert list(oom.kills(tree.kernel, fd)) == []
    os.close(fd)


def test_ticks(tree: Tree) -> None:
    cgroup = tree.make("x")
    sleeper = tree.sleep("x")
    began = time.monotonic()
    ticks = oom.kills(tree.kernel, cgroup.fd, 0.1)
    assert [next(ticks) for _ in range(3)] == [0, 0, 0] and 0.29 < time.monotonic() - began < 60
    sleeper.kill()
    assert [count for count in ticks if count] == []


def test_watching_leaves_no_descriptor(tree: Tree) -> None:
    cgroup = tree.make("x")
    tree.sleep("x")
    before = sorted(os.listdir("/proc/self/fd"))
    watch = oom.kills(tree.kernel, cgroup.fd, 0.01)
    next(watch)
    watch.close()  # type: ignore[attr-defined]
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_of_no_cgroup() -> None:
    assert subprocess.run([sys.executable, "-c", "from pyrunc.cgroups import oom; import os; "
                           "from pyrunc.kernel.posix import PosixKernel; "
                           "print(list(oom.kills(PosixKernel(), os.open('/', os.O_RDONLY))))"],
                          capture_output=True, text=True, check=True).stdout == "[]\n"
