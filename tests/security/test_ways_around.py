"""What a container, or a config that is only wrong, could use to get around what the runtime has set up."""
from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests import bundles, world
from tests.bundles import MOUNTS, docker_like, namespaces
from tests.runtimes import Runtime


@pytest.fixture
def running(runtime: Runtime, place: Path, name: str) -> Path:
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["sleep", "1000"]}))
    runtime.create(name, bundle)
    runtime.ok("start", name)
    return bundle


# crun before 1.29: a cgroup "below" the container's led to its siblings, by ".." or by a link.
@pytest.mark.parametrize("path", ["..", "../SIBLING", "/../SIBLING", "a/../../SIBLING", "link", "../IDx", "a"])
def test_exec_stays_in_the_containers_cgroup(path: str, runtime: Runtime, running: Path, name: str) -> None:
    for sibling in (f"{name}-sibling", f"{name}x"):
        (world.CGROUP / sibling).mkdir()
    try:
        path = path.replace("SIBLING", f"{name}-sibling").replace("IDx", f"{name}x")
        outcome = runtime("exec", "--cgroup", path, name, "cat", "/proc/self/cgroup")
        assert outcome.status != 0 and outcome.stdout == ""
    finally:
        for sibling in (f"{name}-sibling", f"{name}x"):
            (world.CGROUP / sibling).rmdir()


# The filter of devices is the cgroup's, and a process of exec is born in that: also with every capability.
@pytest.mark.parametrize("command", ["create", "exec"])
def test_a_device_that_is_not_allowed(command: str, runtime: Runtime, running: Path, place: Path, name: str) -> None:
    script = "mknod /tmp/mem c 1 1; dd if=/tmp/mem bs=1 count=1 2>&1; dd if=/dev/zero bs=1 count=1 2>/dev/null | wc -c"
    if command == "exec":
        outcome = runtime("exec", "--cap", "CAP_SYS_ADMIN", name, "sh", "-c", script.replace("mknod", "busybox mknod"))
    else:
        bundle = bundles.bundle(place / "other", docker_like(process={
            "args": ["sh", "-c", script.replace("mknod", "busybox mknod")]}))
        outcome = runtime.run(f"{name}-other", bundle)
    assert outcome.stdout.splitlines()[-1] == "1"
    assert "peration not permitted" in outcome.stdout + outcome.stderr


# CVE-2026-115521: the read-only flag went, late, to what the container's own /proc said the root was.
@pytest.mark.parametrize("proc", ["none", "planted", "tmpfs"])
def test_a_false_proc_does_not_keep_the_root_writable(proc: str, runtime: Runtime, place: Path, name: str) -> None:
    mounts = [mount for mount in MOUNTS if mount["destination"] in ("/dev", "/sys")]
    if proc == "tmpfs":
        mounts.append({"destination": "/proc2", "type": "tmpfs", "source": "tmpfs"})
    bundle = bundles.bundle(place / "bundle", docker_like(
        mounts=mounts, root={"path": "rootfs", "readonly": True},
        linux={"readonlyPaths": ["/etc"], "maskedPaths": ["/etc/group"]},
        process={"args": ["sh", "-c", "touch /new /etc/new /tmp/new; wc -c </etc/group; echo done"]}))
    if proc == "planted":
        for who in ("self", "thread-self", "1"):
            folder = bundle / "rootfs/proc" / who / "fd"
            folder.mkdir(parents=True)
            for number in range(64):
                (folder / str(number)).symlink_to("/tmp")
    outcome = runtime.run(name, bundle)
    assert outcome.stdout == "0\ndone\n" and outcome.stderr.count("Read-only file system") == 3
    assert not (bundle / "rootfs/new").exists()


# CVE-2023-25809: without a cgroup namespace a rootless container got a writable mount of the host's cgroups.
def test_the_hosts_cgroups_are_not_writable_in_a_user_namespace(runtime: Runtime, place: Path, name: str) -> None:
    mapping = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    bundle = bundles.bundle(place / "bundle", docker_like(
        process={"args": ["sh", "-c", "grep ' /sys/fs/cgroup' /proc/self/mountinfo | cut -d' ' -f5,6; "
                                      "for f in $(find /sys/fs/cgroup -name cgroup.procs); do echo 1 >$f; done; "
                                      "mount -o remount,bind,rw /sys/fs/cgroup; mkdir /sys/fs/cgroup/$0",
                          f"{name}-new"],
                 "capabilities": None},
        linux={"namespaces": namespaces("pid", "network", "ipc", "uts", "mount", "user"), "uidMappings": mapping,
               "gidMappings": mapping}))
    for path in (bundle / "rootfs", *(bundle / "rootfs").rglob("*")):
        os.lchown(path, 100000, 100000)
    outcome = runtime.run(name, bundle)
    assert outcome.stdout.splitlines()[0].startswith("/sys/fs/cgroup ro,"), outcome.stderr
    assert outcome.status != 0 and not (world.CGROUP / f"{name}-new").exists()
    assert "Permission denied" in outcome.stderr or "Read-only file system" in outcome.stderr


# CVE-2021-43784: lengths that wrap around in what the runtime hands to the process in the container.
@pytest.mark.parametrize("length", [65535, 65536, 65537, 131071])
def test_values_of_any_length_and_content(length: int, runtime: Runtime, place: Path, name: str) -> None:
    value = ("x=\n,:\u20ac" * length)[:length].encode()[:length].decode(errors="ignore")
    value = value[:max(len(value) - 8, 0)]
    bundle = bundles.bundle(place / "bundle", docker_like(process={
        "args": ["cat", "/proc/self/environ"], "env": [bundles.PATH, f"LONG={value}", "LAST=1"]}))
    outcome = runtime.run(name, bundle)
    assert outcome.status == 0
    assert outcome.stdout == f"{bundles.PATH}\0LONG={value}\0LAST=1\0HOME=/root\0"


# A NUL would cut a value short wherever C takes it (security.md 2.15); nothing exists when it is found.
@pytest.mark.parametrize("change", [
    {"process": {"args": ["sh\0", "-c"]}}, {"process": {"cwd": "/tmp\0/x"}}, {"process": {"env": ["A=1\0B=2"]}},
    {"hostname": "a\0b"}, {"root": {"path": "rootfs\0/.."}}, {"linux": {"cgroupsPath": "/a\0b"}},
    {"linux": {"maskedPaths": ["/etc\0/x"]}}, {"linux": {"sysctl": {"net.ipv4.ip_forward": "1\0"}}},
    {"linux": {"sysctl": {"net.ipv4.ip_forward\0": "1"}}}, {"mounts": [{**MOUNTS[0], "options": ["ro\0,rw"]}]},
    {"hooks": {"prestart": [{"path": "/bin/true\0x"}]}}, {"annotations": {"a\0": "b"}}], ids=str)
def test_no_string_has_a_nul(change: bundles.Config, runtime: Runtime, place: Path, name: str) -> None:
    outcome = runtime("create", "--bundle", bundles.bundle(place / "bundle", docker_like(**change)), name)
    assert outcome.status == 1 and "NUL" in outcome.stderr
    assert not list(runtime.root.iterdir())


# cri-o's CVE-2022-0811 and the like: a parameter of the host's kernel by way of one that is the container's own.
@pytest.mark.parametrize(("key", "value"), [
    ("net.ipv4.../../kernel.core_pattern", "|/evil"), ("net/../kernel/core_pattern", "|/evil"),
    ("kernel.core_pattern", "|/evil"), ("net.ipv4.ip_forward/../../../kernel/core_pattern", "|/evil"),
    ("fs.mqueue.../../../kernel/core_pattern", "|/evil"), ("net//../../kernel/core_pattern", "|/evil"),
    ("kernel.shm_rmid_forced+kernel.core_pattern", "|/evil"), ("", "1"), ("net", "1"), (".", "1")])
def test_kernel_parameters_of_the_host(key: str, value: str, runtime: Runtime, place: Path, name: str) -> None:
    before = Path("/proc/sys/kernel/core_pattern").read_text()
    bundle = bundles.bundle(place / "bundle", docker_like(linux={"sysctl": {key: value}}))
    assert runtime("create", "--bundle", bundle, name).status == 1
    assert Path("/proc/sys/kernel/core_pattern").read_text() == before


# containerd's CVE-2021-41103 and CVE-2024-25621: configs and sockets that any user could read or reach.
def test_the_state_root_is_closed_to_others(runtime: Runtime, running: Path, name: str) -> None:
    root = runtime.root
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    for path in (root / name).rglob("*"):
        assert not path.is_symlink() and not stat.S_IMODE(path.lstat().st_mode) & 0o077, path
    os.chmod(root, 0o711)                       # an engine's root that others may pass through
    for words in (["ls", str(root / name)], ["cat", str(root / name / "config.json")],
                  ["sh", "-c", f"echo >>{root / name}/journal"], ["touch", str(root / name / "new")],
                  [*runtime.argv("kill", name, "KILL")]):
        done = subprocess.run(["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", *words],
                              capture_output=True, check=False)
        assert done.returncode != 0, words
    assert runtime.status(name) == "running"


# runc 1.5.3, bwrap's CVE-2026-87766: a link in place of the state root, or of something in it.
def test_links_in_the_state_root(runtime: Runtime, place: Path, name: str) -> None:
    bundle = bundles.bundle(place / "bundle", docker_like())
    (place / "outside").mkdir()
    (place / "outside/state.json").write_text(json.dumps({"version": 1, "pid": os.getpid()}))
    (runtime.root / name).symlink_to(place / "outside")
    assert runtime("create", "--bundle", bundle, name).status == 1
    assert runtime("kill", name, "KILL").status == 1
    (runtime.root / name).unlink()
    (runtime.root / name).mkdir()
    (runtime.root / name / "state.json").symlink_to(place / "outside/state.json")
    assert runtime("kill", name, "KILL").status == 1
    assert runtime("delete", "--force", name).status in (0, 1)
    assert sorted(path.name for path in (place / "outside").iterdir()) == ["state.json"]
