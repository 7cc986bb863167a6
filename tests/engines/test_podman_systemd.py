"""Podman 4.3 as root with the systemd cgroup manager: scopes, slices of pods, and what systemd says of them."""
from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .image import NAME
from .podman import Podman, Store, stores

pytestmark = [pytest.mark.guest_systemd, pytest.mark.timeout(900)]       # under emulation, on a busy machine


@pytest.fixture(scope="module")
def store(private_world: None, request: pytest.FixtureRequest) -> Iterator[Store]:
    yield from stores(request.config.getoption("runtime"), manager="systemd")


def unit(id: str, *properties: str) -> dict[str, str]:
    """What systemd says of a container's scope."""
    said = subprocess.run(["systemctl", "show", f"libpod-{id}.scope", "--property", ",".join(properties)],
                          capture_output=True, text=True, check=True, timeout=120).stdout
    return dict(line.split("=", 1) for line in said.splitlines())


def test_a_scope_its_limits_and_its_end(podman: Podman) -> None:
    id = podman.detached("--memory", "64m", "--cpus", "0.5", "--pids-limit", "50", script="exec sleep 100000")
    wanted = {"ActiveState": "active", "MemoryMax": "67108864", "CPUQuotaPerSecUSec": "500ms", "TasksMax": "50",
              "Slice": "machine.slice", "Delegate": "yes"}
    assert unit(id, *wanted) == wanted
    podman.ok("update", "--memory", "48m", "--cpus", "0.25", podman.name)
    assert unit(id, "MemoryMax", "CPUQuotaPerSecUSec") == {"MemoryMax": "50331648", "CPUQuotaPerSecUSec": "250ms"}
    done = podman("exec", podman.name, "sh", "-c", "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max; exit 4")
    assert (done.status, done.lines) == (4, ["50331648", "25000 100000"]), done
    podman.ok("pause", podman.name)
    assert podman.state()["Status"] == "paused"
    podman.ok("unpause", podman.name)
    podman.ok("rm", "--force", "--time", "0", podman.name)
    podman.nothing_left(id)
    assert unit(id, "LoadState", "ActiveState") == {"LoadState": "not-found", "ActiveState": "inactive"}


def test_a_failing_create_leaves_no_scope(podman: Podman) -> None:
    done = podman.run("--cidfile", str(podman.store.work / podman.name), args=["nonesuch"])
    assert done.status == 127 and "executable file not found in $PATH" in done.stderr, done
    id = (podman.store.work / podman.name).read_text()
    assert unit(id, "LoadState", "ActiveState") == {"LoadState": "not-found", "ActiveState": "inactive"}


def test_out_of_memory(podman: Podman) -> None:
    done = podman.run("--memory", "16m", args=["dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"])
    assert done.status == 137, done


def test_a_slice_and_systemd_within(podman: Podman) -> None:
    [line] = podman.shell("cat /proc/self/cgroup", "--cgroupns", "host", "--cgroup-parent", "pyrunc-mine.slice")
    assert line.startswith("0::/pyrunc.slice/pyrunc-mine.slice/libpod-") and line.endswith(".scope"), line
    script = "mkdir /sys/fs/cgroup/mine && echo delegated; mount | grep -c ' /run '"
    assert podman.shell(script, "--systemd", "always") == ["delegated", "1"]


def test_generate_and_play_kube(podman: Podman, tmp_path: Path) -> None:
    file = tmp_path / "pod.yaml"
    podman.ok("create", "--name", podman.name, "--network", "none", "--env", "A=b", "--memory", "64m", NAME, "sh", "-c",
              "echo $A; cat /sys/fs/cgroup/memory.max; sleep 100000")
    podman.ok("generate", "kube", "--filename", str(file), podman.name)
    podman.ok("play", "kube", "--network", "none", str(file))
    inside = f"{podman.name}-pod-{podman.name}"
    podman.until(lambda: podman.logs(inside) == ["b", "67108864"], "it does not play")
    found = podman.inspect(inside)
    assert found["OCIRuntime"] == podman.runtime and "/machine-libpod_pod_" in found["State"]["CgroupPath"], found
    podman.ok("play", "kube", "--down", str(file))
