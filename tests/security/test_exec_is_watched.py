"""A process of the container lies in wait for those that exec brings in, with all that CAP_SYS_PTRACE lets it see."""
from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests import bundles
from tests.bundles import CAPABILITIES, docker_like, host_mounts, merge, namespaces
from tests.runtimes import Runtime

IDS = [{"containerID": 0, "hostID": 0, "size": 65536}]
#: Looks at every other process as long as there is no /tmp/stop; prints what led out of the container. With an argument
#: it is enough to see processes, else a program of one must be opened: then there is /tmp/seen.
WATCHER = r"""
import json, os, stat, sys
own = {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in ("mnt", "pid")}
root = os.stat("/").st_dev, os.stat("/").st_ino
outside, seen, programs = set(), set(), {}
open("/tmp/ready", "w")
while not os.path.exists("/tmp/stop"):
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) == os.getpid():
            continue
        seen.add(pid)
        for kind in ("root", "cwd"):
            try:
                found = os.stat(f"/proc/{pid}/{kind}/")
                if (found.st_dev, found.st_ino) != root:
                    outside.add(kind)
            except OSError:
                pass
        try:
            program = os.open(f"/proc/{pid}/exe", os.O_PATH)
            if programs.setdefault(os.fstat(program)[1:3], program) != program:
                os.close(program)
        except OSError:
            pass
        try:
            fds = os.listdir(f"/proc/{pid}/fd")
        except OSError:
            continue
        for fd in fds:
            try:
                name, mode = os.readlink(f"/proc/{pid}/fd/{fd}"), os.stat(f"/proc/{pid}/fd/{fd}").st_mode
            except OSError:
                continue
            kind = name.partition(":")[0]
            if stat.S_ISDIR(mode) or own.get(kind, name) != name or kind in ("net", "ipc", "uts", "user", "cgroup"):
                outside.add(name)
    if programs or (seen and sys.argv[1:]):
        open("/tmp/seen", "w")
for program in programs.values():       # while one runs, the kernel keeps it from being written; these have ended
    try:
        os.close(os.open(f"/proc/self/fd/{program}", os.O_WRONLY))
        outside.add("program")
    except OSError:
        pass
print(json.dumps([len(seen), len(programs), sorted(outside)]))
"""


# CVE-2016-9962: a process of exec had descriptors of the host open when the container's first process could look.
# CVE-2019-5736: its program was one of the host's, and could be written when it had ended.
@pytest.mark.timeout(600)
@pytest.mark.parametrize("changes", [
    {},
    {"process": {"user": {"uid": 0, "gid": 0}}, "linux": {
        "namespaces": namespaces("pid", "network", "ipc", "uts", "mount", "cgroup", "user"),
        "uidMappings": IDS, "gidMappings": IDS}},
], ids=["ids of the host", "user namespace"])
def test_neither_files_nor_namespaces_of_the_host(changes: bundles.Config, runtime: Runtime, place: Path,
                                                  name: str) -> None:
    granted = [*CAPABILITIES, "CAP_SYS_PTRACE"]
    capabilities = {"bounding": granted, "effective": granted, "permitted": granted}
    watching = ["/usr/bin/python3", "-c", WATCHER, *(["user namespace"] if changes else [])]
    bundle = bundles.bundle(place / "bundle", merge(docker_like(mounts=host_mounts(), process={
        "args": watching, "capabilities": capabilities}), changes), host_usr=True)
    init = runtime.create(name, bundle)
    runtime.ok("start", name)
    deadline = time.monotonic() + 60
    while not (bundle / "rootfs/tmp/ready").exists():
        assert time.monotonic() < deadline, init.outcome.stderr
        time.sleep(0.02)
    for number in range(1000):                  # the watcher has to be on a CPU while one is there
        if number >= 20 and (bundle / "rootfs/tmp/seen").exists():
            break
        runtime.ok("exec", name, "true")
    (bundle / "rootfs/tmp/stop").touch()
    assert init.wait() == 0, init.outcome.stderr
    seen, programs, outside = json.loads(init.outcome.stdout)
    assert outside == []
    assert seen and (programs or changes)   # else it has watched nothing; from a user namespace no program is seen


# The other way round: who execs into a container that waits for start finds an init that holds the host's descriptors.
def test_an_init_that_waits_for_start_is_closed(runtime: Runtime, place: Path, name: str) -> None:
    bundle = bundles.bundle(place / "bundle", docker_like())
    runtime.create(name, bundle)
    looking = """
        for link in /proc/1/fd/* /proc/1/root /proc/1/cwd /proc/1/exe; do readlink $link; ls $link/; (: >$link); done
        cat /proc/1/environ /proc/1/maps /proc/1/mem; echo /proc/1/fd/*"""
    outcome = runtime("exec", name, "sh", "-c", looking)
    words = outcome.stdout.split()
    assert len(words) >= 4 and all(word.startswith("/proc/1/fd/") for word in words), outcome.stdout
    runtime.ok("start", name)
