"""What a container of a pod gets and may: limits, devices, mounts, and the kubelet's security context."""
from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests import world

from .cri import Cri, Pod, Pods, security
from .waiting import until

pytestmark = [pytest.mark.guest_engines, pytest.mark.timeout(900)]

SLEEP = ("sleep", "1000")
MB = 1 << 20


def test_stats(pod: Pod) -> None:
    container = pod.run("sh", "-c", "while :; do :; done")
    until(lambda: container.stats().cpu.usage_core_nano_seconds.value > 200_000_000, container.stats)
    assert 0 < container.stats().memory.working_set_bytes.value < 64 * MB
    api = pod.daemon.api
    listed = pod.daemon.runtime.ListContainerStats(
        api.ListContainerStatsRequest(filter={"pod_sandbox_id": pod.id})).stats
    assert [stats.attributes.id for stats in listed] == [container.id]


def test_resources_arrive_and_are_updated(pod: Pod) -> None:
    container = pod.run(*SLEEP, linux={"resources": {
        "memory_limit_in_bytes": 64 * MB, "cpu_period": 100000, "cpu_quota": 50000, "cpu_shares": 512,
        "oom_score_adj": 321, "unified": {"memory.high": str(48 * MB)}}})
    group = container.cgroup()
    assert group.parent == Path("/sys/fs/cgroup" + pod.config["linux"]["cgroup_parent"])

    def files(*names: str) -> list[str]:
        return [(group / name).read_text().strip() for name in names]

    assert files("memory.max", "cpu.max", "memory.high") == [str(64 * MB), "50000 100000", str(48 * MB)]
    # Shares to weights: as runc 1.1 does it, or as later ones and pyrunc do (docs/cgroups.md).
    assert files("cpu.weight")[0] in ("20", "59")
    assert Path(f"/proc/{container.pid()}/oom_score_adj").read_text() == "321\n"
    container.update(memory_limit_in_bytes=96 * MB, cpu_period=100000, cpu_quota=70000, cpu_shares=1024,
                     cpuset_cpus="0")
    assert files("memory.max", "cpu.max", "cpuset.cpus") == [str(96 * MB), "70000 100000", "0"]
    assert files("cpu.weight")[0] in ("39", "100")


# ---- what a container may

def capabilities(lines: list[str]) -> int:
    return int(next(line for line in lines if line.startswith("CapEff")).split()[1], 16)


@pytest.mark.parametrize(("change", "has", "lacks"), [
    ({"add_capabilities": ["NET_ADMIN"], "drop_capabilities": ["CHOWN"]}, {12, 27}, {0, 21}),
    ({"drop_capabilities": ["ALL"], "add_capabilities": ["KILL"]}, {5}, {0, 1, 12, 27}),
    ({"add_capabilities": ["ALL"]}, {0, 12, 21, 40}, set())], ids=["some", "one", "all"])
def test_capabilities(change: dict[str, list[str]], has: set[int], lacks: set[int], pod: Pod) -> None:
    mask = capabilities(pod.output("cat /proc/self/status", **security(capabilities=change)))
    assert {bit for bit in has | lacks if mask >> bit & 1} == has


def test_privileged(pods: Pods) -> None:
    pod = pods(**security(privileged=True))
    lines = pod.output("cat /proc/self/status; ls /dev/kmsg; touch /sys/fs/cgroup && mount -t tmpfs x /mnt && echo may",
                       **security(privileged=True))
    assert capabilities(lines) == capabilities(Path("/proc/self/status").read_text().splitlines())
    assert "Seccomp:\t0" in lines and lines[-2:] == ["/dev/kmsg", "may"]


def test_user_and_groups(pod: Pod) -> None:
    lines = pod.output("id -u; id -g; id -G; touch /x 2>&1 || :", **security(
        run_as_user={"value": 1000}, run_as_group={"value": 2000}, supplemental_groups=[3000, 4000]))
    assert lines[:2] == ["1000", "2000"] and set(lines[2].split()) == {"2000", "3000", "4000"}
    assert "Permission denied" in lines[3]


def test_read_only_root(pod: Pod) -> None:
    lines = pod.output("touch /x 2>&1; touch /dev/shm/x && echo shm", **security(readonly_rootfs=True))
    assert "Read-only file system" in lines[0] and lines[1] == "shm"


@pytest.mark.parametrize("profile", ["RuntimeDefault", "Localhost"])
def test_seccomp(profile: str, pod: Pod) -> None:
    wish: dict[str, Any] = {"profile_type": profile}
    if profile == "Localhost":
        path = pod.daemon.place / "seccomp.json"
        path.write_text('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], '
                        '"action": "SCMP_ACT_ERRNO", "errnoRet": 95}]}')
        wish["localhost_ref"] = str(path)
    lines = pod.output("grep Seccomp: /proc/self/status; mkdir /new 2>&1 && echo made", **security(seccomp=wish))
    assert lines[0] == "Seccomp:\t2"
    assert "made" in lines[1] if profile == "RuntimeDefault" else "not supported" in lines[1]


@pytest.mark.parametrize("wish", [True, False])
def test_no_new_privileges(wish: bool, pod: Pod) -> None:
    assert pod.output("grep NoNewPrivs /proc/self/status", **security(no_new_privs=wish)) == [
        f"NoNewPrivs:\t{wish:d}"]


@pytest.mark.parametrize("profile", ["RuntimeDefault", "Unconfined", "Localhost"])
def test_apparmor(profile: str, pod: Pod) -> None:
    wish: dict[str, Any] = {"profile_type": profile}
    if profile == "Localhost":
        subprocess.run(["apparmor_parser", "--replace", "--skip-cache"], check=True, text=True,
                       input="profile scenario flags=(attach_disconnected) { file, capability, deny /forbidden w, }")
        wish["localhost_ref"] = "scenario"
    lines = pod.output("cat /proc/self/attr/current; touch /forbidden 2>&1 && echo touched", **security(apparmor=wish))
    assert lines == {"RuntimeDefault": ["cri-containerd.apparmor.d (enforce)", "touched"],
                     "Unconfined": ["unconfined", "touched"],
                     "Localhost": ["scenario (enforce)", "touch: /forbidden: Permission denied"]}[profile]


def test_masked_and_read_only_paths(pod: Pod) -> None:
    script = "cat /proc/uptime | wc -c; ls /proc/irq | wc -l; echo 1 2>&1 >/proc/sys/vm/drop_caches"
    lines = pod.output(script, **security(masked_paths=["/proc/uptime", "/proc/irq"], readonly_paths=["/proc/sys"]))
    assert lines[:2] == ["0", "0"] and "Read-only file system" in lines[2]


def test_mounts(pod: Pod) -> None:
    folder = pod.daemon.place / "mounts"
    folder.mkdir(exist_ok=True)
    (folder / "file").write_text("text\n")
    lines = pod.output("cat /a/b/file /single; touch /a/b/new && touch /readonly/x 2>&1", mounts=[
        {"container_path": "/a/b", "host_path": str(folder)},
        {"container_path": "/readonly", "host_path": str(folder), "readonly": True},
        {"container_path": "/single", "host_path": str(folder / "file")}])
    assert lines[:2] == ["text", "text"] and "Read-only file system" in lines[2] and (folder / "new").exists()


@pytest.mark.parametrize("way", ["PRIVATE", "HOST_TO_CONTAINER", "BIDIRECTIONAL"])
def test_mount_propagation(way: str, pods: Pods) -> None:
    pod = pods(**security(privileged=True))
    folder = pods.daemon.place / "shared"
    folder.mkdir(exist_ok=True)
    world.mount("tmpfs", folder, "tmpfs")
    try:
        world.mount("none", folder, flags=1 << 20)          # MS_SHARED
        for sub in ("host", "container"):
            (folder / sub).mkdir()
        container = pod.run(*SLEEP, **security(privileged=True), mounts=[
            {"container_path": "/shared", "host_path": str(folder), "propagation": f"PROPAGATION_{way}"}])
        world.mount("tmpfs", folder / "host", "tmpfs")
        (folder / "host/file").touch()
        assert container.says("ls /shared/host") == ([] if way == "PRIVATE" else ["file"])
        container.says("mount -t tmpfs x /shared/container && touch /shared/container/file")
        assert (folder / "container/file").exists() == (way == "BIDIRECTIONAL")
        container.remove()
    finally:
        world.unmount(folder)


def test_device(pod: Pod) -> None:
    lines = pod.output("dd if=/dev/latency bs=4 count=1 2>/dev/null | wc -c; echo x 2>&1 >/dev/latency", devices=[
        {"container_path": "/dev/latency", "host_path": "/dev/cpu_dma_latency", "permissions": "r"}])
    assert lines[0] == "4" and "Operation not permitted" in lines[1]


# ---- with systemd

@pytest.mark.guest_systemd
def test_systemd_cgroup_driver(private_world: None, handler: str, handlers: dict[str, str], name: str) -> None:
    daemon = Cri(Path(tempfile.mkdtemp(prefix="cri-", dir="/tmp")), {handler: handlers[handler]}, systemd=True)
    try:
        pod = Pod(daemon, handler, name, linux={"cgroup_parent": f"kubepods-{handler}.slice"})
        container = pod.run(*SLEEP, linux={"resources": {"memory_limit_in_bytes": 64 * MB}})
        group = container.cgroup()
        assert group.name == f"cri-containerd-{container.id}.scope" and group.parent.name == f"kubepods-{handler}.slice"
        assert (group / "memory.max").read_text() == f"{64 * MB}\n"
        container.update(memory_limit_in_bytes=96 * MB)
        assert (group / "memory.max").read_text() == f"{96 * MB}\n"
        assert container.exec("true").exit_code == 0
        pod.remove()
        assert not group.exists()
    finally:
        daemon.stop()
