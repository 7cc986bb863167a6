"""Docker 20.10 or later: what flags of `docker run` do in a container, under runc and pyrunc.

One container has all that bear each other, a second one is privileged and takes the host's namespaces. Each option's
script runs in it, and prints what it finds.
"""
from __future__ import annotations

import json
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import world
from tests.world import CGROUP

from .docker import Docker

pytestmark = [pytest.mark.guest_engines, pytest.mark.timeout(900)]      # it is the client that is timed

DEFAULT = 0xa80425fb                    # the capabilities of config.json when the user asks for none
EVERY = (1 << 38) - 1                   # all that Docker 20.10 knows
READ_ONLY = "Read-only file system"
SECCOMP = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
           "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}


@dataclass(frozen=True)
class Option:
    """flags of `docker run`, in which PLACE is a folder; a script that looks at what they do; what it prints."""
    flags: str
    script: str
    said: list[str]


OPTIONS = {
    "memory": Option("--memory 32m --memory-reservation 16m", "cd /sys/fs/cgroup; cat memory.max memory.low",
                     ["33554432", "16777216"]),
    "processes": Option("--pids-limit 50", "cat /sys/fs/cgroup/pids.max", ["50"]),
    "processors": Option(
        "--cpus 1.5 --cpuset-cpus 1 --cpu-shares 262144",
        "cd /sys/fs/cgroup; cat cpu.max cpuset.cpus cpu.weight; grep Cpus_allowed_list /proc/self/status",
        ["150000 100000", "1", "10000", "Cpus_allowed_list:\t1"]),
    "block device rates": Option(
        "--device-read-bps /dev/ram0:1mb --device-write-iops /dev/ram0:50", "cat /sys/fs/cgroup/io.max",
        ["1:0 rbps=1048576 wbps=max riops=max wiops=50"]),
    "resource limits": Option("--ulimit nofile=100:200 --ulimit nproc=300", "ulimit -n; ulimit -Hn; ulimit -u",
                              ["100", "200", "300"]),
    "score for the OOM killer": Option("--oom-score-adj 500", "cat /proc/self/oom_score_adj", ["500"]),
    "shared memory": Option("--shm-size 1m", "stat -f -c %b*%S /dev/shm; echo x >/dev/shm/x; cat /dev/shm/x",
                            ["256*4096", "x"]),
    "sysctl": Option("--sysctl net.ipv4.ip_forward=0 --sysctl kernel.msgmax=4096",
                     "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax", ["0", "4096"]),
    "host name": Option("--hostname inside", "hostname; cat /etc/hostname", ["inside", "inside"]),
    "hosts and resolver": Option("--add-host db:10.9.8.7 --dns 10.1.1.1 --dns-search example.test",
                                 "grep db /etc/hosts; grep -E '^(search|nameserver) ' /etc/resolv.conf | sort",
                                 ["10.9.8.7\tdb", "nameserver 10.1.1.1", "search example.test"]),
    "hardware address": Option("--mac-address 02:42:0a:09:08:07", "cat /sys/class/net/eth0/address",
                               ["02:42:0a:09:08:07"]),
    "read-only root": Option("--read-only", "touch /x; touch /etc/hosts; echo x >/dev/null && echo written",
                             [f"touch: /x: {READ_ONLY}", f"touch: /etc/hosts: {READ_ONLY}", "written"]),
    "tmpfs": Option("--tmpfs /scratch:size=64k,mode=711,uid=5", "stat -f -c %b*%S /scratch; stat -c %a:%u /scratch",
                    ["16*4096", "711:5"]),
    "tmpfs by --mount": Option("--mount type=tmpfs,dst=/small,tmpfs-size=8192,tmpfs-mode=700",
                               "stat -c %a /small; head -c 9000 /dev/zero >/small/x",
                               ["700", "head: standard output: No space left on device"]),
    "named volume": Option("-v VOLUME:/etc", "head -n 1 /etc/passwd; touch /etc/new && ls /etc/new",
                           ["root:x:0:0:root:/root:/bin/sh", "/etc/new"]),
    "bind mounts": Option(
        "-v PLACE/writable:/w -v PLACE/file:/one:ro -v PLACE/missing:/made "
        "--mount type=bind,src=PLACE/fixed,dst=/f,readonly",
        "echo x >/w/new; ls /w /made; cat /one; touch /one; touch /f/x",
        ["/made:", "", "/w:", "new", "a file", f"touch: /one: {READ_ONLY}", f"touch: /f/x: {READ_ONLY}"]),
    "devices": Option(                  # one to be read only, one that a rule allows, one that nothing allows
        "--device /dev/ram0:/dev/mine:r --device-cgroup-rule 'c 10:237 rw'",
        "cd /w; head -c 4 /dev/mine | wc -c; (echo x >/dev/mine); busybox mknod control c 10 237; cat control; "
        "busybox mknod kmsg c 1 11; cat kmsg; ls /dev/kmsg",
        ["4", "sh: can't create /dev/mine: Operation not permitted", "cat: read error: Invalid argument",
         "cat: can't open 'kmsg': Operation not permitted", "ls: /dev/kmsg: No such file or directory"]),
    "capabilities": Option("--cap-drop CHOWN --cap-add SYS_TIME", "grep -E '^Cap(Eff|Bnd)' /proc/1/status",
                           [f"Cap{kind}:\t{DEFAULT & ~1 | 1 << 25:016x}" for kind in ("Eff", "Bnd")]),
    "seccomp profile": Option(          # with Docker's own, setns(2) would not be permitted
        "--security-opt seccomp=PLACE/seccomp.json",
        "cd /dev/shm; grep Seccomp: /proc/1/status; mkdir made; busybox nsenter -t 1 -U true 2>&1 | grep -o 'I.*'",
        ["Seccomp:\t2", "mkdir: can't create directory 'made': No space left on device", "Invalid argument"]),
    "no new privileges": Option("--security-opt no-new-privileges", "grep NoNewPrivs /proc/1/status",
                                ["NoNewPrivs:\t1"]),
    "groups": Option("--group-add 5 --group-add 1234", "grep Groups /proc/1/status", ["Groups:\t0 5 1234 "]),
    "environment and folder": Option("-e A=b -w /tmp", "echo $A $PWD", ["b /tmp"]),
    "init": Option(
        "--init", "tr '\\0' ' ' </proc/1/cmdline | head -c 23; echo; (sleep 0.1 & echo $! >/dev/shm/orphan); "
        "while test -e /proc/$(cat /dev/shm/orphan); do sleep 0.1; done; echo reaped",
        ["/sbin/docker-init -- sh", "reaped"]),
    "control group namespace": Option("--cgroupns private", "cat /proc/self/cgroup", ["0::/"]),
}


def _host(name: str) -> str:
    return Path("/proc/self/ns", name).readlink().name


PRIVILEGED = {
    "every capability": Option("--privileged", "grep -E '^Cap(Eff|Bnd)' /proc/self/status",
                               [f"CapEff:\t{EVERY:016x}", f"CapBnd:\t{EVERY:016x}"]),
    "no confinement": Option("", "grep Seccomp: /proc/self/status; cat /proc/self/attr/current",
                             ["Seccomp:\t0", "unconfined"]),
    "mounting": Option("", "mount -t tmpfs none /mnt; touch /mnt/x; ls /mnt", ["x"]),
    "devices of the host": Option("", "ls /dev/loop-control; head -c 1 /dev/mem >/dev/null && echo read",
                                  ["/dev/loop-control", "read"]),
    "nothing hidden": Option("", "ls /sys/firmware >/dev/null && wc -l </proc/timer_list | grep -v '^0$' >/dev/null && "
                             "test -w /proc/sys/kernel/hostname && echo all", ["all"]),
    "namespaces of the host": Option(
        "--pid host --ipc host --uts host --network host --cgroupns host",
        "for x in pid ipc uts net cgroup; do readlink /proc/self/ns/$x; done",
        [_host(name) for name in ("pid", "ipc", "uts", "net", "cgroup")]),
    "control group parent": Option("--cgroup-parent /pyrunc-parent",
                                   "sed 's/[0-9a-f]\\{64\\}/id/' </proc/self/cgroup", ["0::/pyrunc-parent/id"]),
    "binds that propagate": Option(
        "-v PLACE/slave:/slave:rslave -v PLACE/shared:/shared:rshared -v PLACE/slave:/private",
        "mount -t tmpfs none /shared/sub; touch /shared/sub/inside; ls /shared/sub", ["inside"]),
}


def words(options: dict[str, Option], place: Path, volume: str = "") -> list[str]:
    return [word.replace("PLACE", str(place)).replace("VOLUME", volume)
            for option in options.values() for word in shlex.split(option.flags)]


def scripts(options: dict[str, Option]) -> dict[str, str]:
    return {name: option.script for name, option in options.items()}


@pytest.mark.every_time
@pytest.mark.parametrize("option", OPTIONS)
def test_option(option: str, docker: Docker) -> None:
    name = f"options-{docker.runtime}"
    place = docker.daemon.place / name
    if not place.exists():
        subprocess.run(["modprobe", "brd", "rd_nr=1", "rd_size=4096"], check=True)
        for folder in ("writable", "fixed"):
            (place / folder).mkdir(parents=True)
        (place / "file").write_text("a file\n")
        (place / "seccomp.json").write_text(json.dumps(SECCOMP))
    said = docker.sections(name, words(OPTIONS, place, f"{name}-volume"), scripts(OPTIONS))
    if option == "block device rates" and not docker.inspect(name)["HostConfig"]["BlkioDeviceReadBps"]:
        assert said[option] == []       # Debian 13's Docker drops the flags
        return
    assert said[option] == OPTIONS[option].said


@pytest.fixture
def privileged(docker: Docker) -> str:
    """The name of the privileged container. Its binds are of a shared mount, as / is where systemd is."""
    name = f"privileged-{docker.runtime}"
    place = docker.daemon.place / name
    if not place.exists():
        place.mkdir()
        world.mount("tmpfs", place, "tmpfs")
        world.mount("none", place, flags=1 << 20)                   # MS_SHARED
        for folder in ("slave/sub", "shared/sub"):
            (place / folder).mkdir(parents=True)
    docker.sections(name, words(PRIVILEGED, place), scripts(PRIVILEGED))
    return name


@pytest.mark.parametrize("option", PRIVILEGED)
def test_privileged(option: str, docker: Docker, privileged: str) -> None:
    assert docker.daemon.shared[privileged][option] == PRIVILEGED[option].said


def test_mounts_propagate(docker: Docker, privileged: str) -> None:
    """rshared: what is mounted inside is seen on the host. rslave: and the other way round, after the start."""
    place = docker.daemon.place / privileged
    assert (place / "shared/sub/inside").exists()
    world.mount("tmpfs", place / "slave/sub", "tmpfs")
    (place / "slave/sub/late").touch()
    assert docker.exec(privileged, "sh", "-c", "ls /slave/sub; ls /private/sub") == ["late"]


def test_control_group_of_the_host(docker: Docker, privileged: str) -> None:
    found = docker.inspect(privileged)
    group = CGROUP / "pyrunc-parent" / found["Id"]
    assert str(found["State"]["Pid"]) in (group / "cgroup.procs").read_text().split()
