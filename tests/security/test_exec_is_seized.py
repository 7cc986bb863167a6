"""A process of the container seizes whatever exec brings into its pid namespace, and finds nothing it has not itself.

CAP_SYS_PTRACE lets it do so from the first instruction on. What it seizes then runs its code: with the capabilities,
limits and missing filter that the process still has, and with the host's files that it has mapped.
"""
from __future__ import annotations

import json
import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests import bundles
from tests.bundles import docker_like, merge, namespaces
from tests.console import Console
from tests.container.rootless import UID, Users
from tests.runtimes import Runtime, reap
from tests.seccomp_profile import small

IDS = [{"containerID": 0, "hostID": 0, "size": 65536}]
GRANTED = {"CAP_KILL": 5, "CAP_SYS_PTRACE": 19, "CAP_CHECKPOINT_RESTORE": 40}     # the last: to open what is mapped
#: The sealed image as the kernel names it: of pyrunc, or of the interpreter where pyrunc is not linked with it.
IMAGE = re.compile(r"/pyrunc[\w-]*|/python3[.\d]*|/memfd:pyrunc \(deleted\)")
#: The page that it shares with the runtime, which believes no number in it.
JOURNAL = {"/dev/zero (deleted)", "/memfd:journal (deleted)"}
SECRET = "SECRET_OF_THE_CALLER=x"
#: It forks no more, and begins no session: what exec itself needs to get in.
NO_FORK = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
    {"names": ["clone", "clone3", "fork", "vfork", "setsid", "munmap", "prlimit64"], "action": "SCMP_ACT_ERRNO"}]}
PRIVATE = {"linux": {"namespaces": namespaces("pid", "network", "ipc", "uts", "mount", "cgroup", "user"),
                     "uidMappings": IDS, "gidMappings": IDS}}
OWN = [{"containerID": 0, "hostID": UID, "size": 1}]
OF_A_USER = merge(PRIVATE, {"process": {"user": {"additionalGids": []}}, "mounts": [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
    {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666"]}],
    "linux": {"uidMappings": OWN, "gidMappings": OWN, "resources": None}})
NO_NEW = {"process": {"noNewPrivileges": True}}
CONTAINERS: dict[str, dict[str, Any]] = {
    "plain": {}, "no_new_privs": NO_NEW,
    "filter": {"linux": {"seccomp": small()}}, "filter, no_new_privs": merge(NO_NEW, {"linux": {"seccomp": small()}}),
    "filter without fork": {"linux": {"seccomp": NO_FORK}},
    "filter without fork, no_new_privs": merge(NO_NEW, {"linux": {"seccomp": NO_FORK}}),
    "user namespace": PRIVATE, "user namespace, filter": merge(PRIVATE, {"linux": {"seccomp": small()}}),
    "rootless, user namespace": OF_A_USER,
}


@pytest.fixture(scope="session")
def watcher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("watcher") / "watcher"
    subprocess.run(["gcc", "-O1", "-static", "-Wall", "-o", program, Path(__file__).with_name("watcher.c")], check=True)
    return program


def blocks(text: str) -> list[dict[str, list[str]]]:
    """What was seized: the lines of the watcher by their names."""
    found: list[dict[str, list[str]]] = []
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name == "seized":
            found.append({})
        elif found:
            found[-1].setdefault(name, []).append(value.strip())
    return found


def seized_before_exec(bundle: Path) -> int:
    """How many the watcher has caught that still were the runtime's."""
    found = blocks((bundle / "rootfs/tmp/seen").read_text())
    return sum(bool(IMAGE.fullmatch(block.get("exe", [""])[0])) for block in found)


def mapped_files(block: dict[str, list[str]]) -> set[str]:
    """Names of the mapped files, as /proc/PID/maps has them."""
    return {fields[5] for line in block.get("maps", ()) if len(fields := line.split(None, 5)) == 6
            and fields[5][0] != "["}


def granted(*args: str) -> dict[str, Any]:
    return docker_like(process={
        "args": list(args), "capabilities": {kind: list(GRANTED) for kind in ("bounding", "effective", "permitted")},
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
                    {"type": "RLIMIT_NPROC", "soft": 3000, "hard": 4000}]})


def watching(bundle: Path, watcher: Path, owner: int = 0) -> Path:
    """The bundle, whose process is to be the watcher."""
    (bundle / "rootfs/bin/watcher").write_bytes(watcher.read_bytes())
    (bundle / "rootfs/bin/watcher").chmod(0o755)
    subprocess.run(["chown", "-R", f"{owner}:{owner}", bundle], check=True)
    return bundle


@pytest.mark.timeout(600)
@pytest.mark.parametrize("which", CONTAINERS)
def test_what_is_seized_has_nothing_of_the_host(which: str, watcher: Path, runtime: Runtime, place: Path,
                                                name: str) -> None:
    owner = 0
    config = merge(granted("/bin/watcher"), CONTAINERS[which])
    if "rootless" in which:
        runtime, owner = Users(runtime, place), UID
    bundle = watching(bundles.bundle(place / "bundle", config), watcher, owner)
    init = runtime.create(name, bundle)
    runtime.ok("start", name)
    deadline = time.monotonic() + 60
    while not (bundle / "rootfs/tmp/ready").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    file = place / "process.json"
    file.write_text(json.dumps({"cwd": "/", "args": ["true"], "env": ["MARK=1"], "user": {"uid": 0, "gid": 0}}))
    pids = place / "pids"
    pids.mkdir()
    os.chown(pids, owner, owner)
    with Console(place / "console") as console:
        os.chown(place / "console", owner, owner)
        user = "0" if owner else "1000"
        for way in ([name, "true"], ["--process", file, name], ["--user", user, name, "true"],
                    ["--detach", "--pid-file", pids / "pid", name, "true"],
                    ["--detach", "--pid-file", pids / "pid", "--tty", "--console-socket", place / "console", name,
                     "true"]):
            for _ in range(2 if "user" in which else 400):   # the watcher has to be on a CPU while one is there
                before = seized_before_exec(bundle)
                runtime.ok("exec", *way, env={"PATH": "/usr/bin:/bin", **dict([SECRET.split("=")])})
                if "--detach" in way:
                    reap(int((pids / "pid").read_text()))
                if "--tty" in way:
                    console.accept()
                if seized_before_exec(bundle) > before:
                    break
            else:
                assert "user" in which, way
    (bundle / "rootfs/tmp/stop").touch()
    assert init.wait() == 0
    text = (bundle / "rootfs/tmp/seen").read_text()
    assert SECRET.partition("=")[0] not in text and str(runtime.root) not in text
    for block in blocks(text):
        if block.get("CapPrm"):                          # else it has ended meanwhile
            assert block["Seccomp"] == ["2" if "filter" in which else "0"], block
            assert block["NoNewPrivs"] == [str(int("no_new" in which))], block
            nothing_of_the_host(block)


def nothing_of_the_host(block: dict[str, list[str]]) -> None:
    allowed = sum(1 << number for number in GRANTED.values())
    for kind in ("CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb"):
        assert int(block[kind][0], 16) & ~allowed == 0, block
    assert block.get("files", ["200"]) == ["200"]
    mapped = {file for file in mapped_files(block) if not IMAGE.fullmatch(file)}
    assert mapped <= {"/bin/busybox", *JOURNAL}, block
    writable = {line for line in block.get("mapped", ()) if "opened for writing" in line}
    assert writable <= {f"{file}: opened for writing" for file in JOURNAL}


@pytest.mark.timeout(600)
def test_exec_into_a_container_of_a_joined_pid_namespace(watcher: Path, runtime: Runtime, place: Path,
                                                         name: str) -> None:
    """The watcher is another container's, which gets every process of this one to see."""
    other = watching(bundles.bundle(place / "other", granted("/bin/watcher")), watcher)
    second = bundles.bundle(place / "bundle", granted("sleep", "1000"))
    first = runtime.create(f"{name}-1", other)
    joined = {"type": "pid", "path": f"/proc/{first.pid}/ns/pid"}
    bundles.write(second, merge(granted("sleep", "1000"), {"linux": {
        "namespaces": [*namespaces("network", "ipc", "uts", "mount", "cgroup"), joined]}}))
    sleeper = runtime.create(f"{name}-2", second)
    runtime.ok("start", f"{name}-2")
    runtime.ok("start", f"{name}-1")                     # from now on it looks
    deadline = time.monotonic() + 60
    while not (other / "rootfs/tmp/ready").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for _ in range(400):
        runtime.ok("exec", f"{name}-2", "true", env={"PATH": "/usr/bin:/bin", **dict([SECRET.split("=")])})
        if seized_before_exec(other):
            break
    else:
        raise AssertionError("nothing was seized")
    runtime.ok("kill", f"{name}-2", "KILL")
    assert sleeper.wait() == 137
    (other / "rootfs/tmp/stop").touch()
    assert first.wait() == 0
    text = (other / "rootfs/tmp/seen").read_text()
    assert SECRET.partition("=")[0] not in text and str(runtime.root) not in text
    for block in blocks(text):
        if block.get("CapPrm"):
            nothing_of_the_host(block)


# Without the C library: that is gone by then. (The functions of its neighbours are looked at in their own lines.)
def test_what_runs_without_libraries_calls_none() -> None:
    objects = Path(__file__).parents[2] / "build/launcher"
    own = {"begin_hint", "begin_text", "record_failure", "op_fd", "tells_of_exec", "explain_exec", "say", "say_number",
           "say_quoted", "__stack_chk_fail"}
    for name in ("last_tail", "last_explain", "text"):
        made = Path(__file__).parents[2].joinpath(f"pyrunc/_native/{name}.c").stat().st_mtime
        found = sorted(path for path in objects.rglob(f"{name}.o") if path.stat().st_mtime >= made)
        assert found, "build pyrunc with `make build`"           # of another kind of program there may be older ones
        for path in found:
            said = subprocess.run(["nm", "-u", path], check=True, capture_output=True, text=True).stdout
            assert set(re.findall(r"U (\w+)", said)) <= own, path
