"""Podman 4.3 as an ordinary user with a systemd session of its own: delegated cgroups, subordinate ids, slirp4netns."""
from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import runtimes, world
from tests.world import CGROUP

from .image import NAME
from .podman import Podman, Store
from .podman_scenarios import *  # noqa: F403

pytestmark = [pytest.mark.guest_systemd, pytest.mark.timeout(900)]       # under emulation, on a busy machine

UID, USER = 4242, "pyrunc-user"
RUN = Path(f"/run/user/{UID}")
SESSION = CGROUP / f"user.slice/user-{UID}.slice/user@{UID}.service"
RANGE = 100000                          # the first of the user's 65536 subordinate ids


@pytest.fixture(scope="module")
def store(private_world: None, request: pytest.FixtureRequest) -> Iterator[Store]:
    """The guest's own user: made here, since / there is thrown away."""
    place = Path(tempfile.mkdtemp(prefix="rootless-", dir="/tmp"))
    place.chmod(0o711)
    for file, line in (("passwd", f"{USER}:*:{UID}:{UID}::{place}:/bin/sh"), ("group", f"{USER}:x:{UID}:"),
                       ("subuid", f"{USER}:{RANGE}:65536"), ("subgid", f"{USER}:{RANGE}:65536")):
        with Path("/etc", file).open("a") as table:
            table.write(line + "\n")
    world.start_user(UID)
    RUN.mkdir(exist_ok=True)                        # systemd mounts in its own mount namespace, not in this one
    world.bring(RUN)
    path = runtimes.for_anyone(runtimes.find(request.config.getoption("runtime")))
    become = f'echo $$ >{SESSION}/init.scope/cgroup.procs; exec setpriv --reuid {UID} --regid {UID} --init-groups "$@"'
    made = Store(place, [runtimes.find("runc"), path], manager="systemd", driver="vfs", owner=UID,
                 become=["sh", "-c", become, "sh"],
                 env={"XDG_RUNTIME_DIR": str(RUN), "DBUS_SESSION_BUS_ADDRESS": f"unix:path={RUN}/bus"})
    yield made
    made.remove()


@pytest.fixture
def binary(binary: str) -> str:
    """The path of a runtime that this user may run."""
    return runtimes.for_anyone(binary)


@pytest.fixture
def sleeper(podman: Podman, sleepers: dict[str, str]) -> str:
    if podman.runtime not in sleepers:
        podman.detached("--env", "A=b", script="touch /here; exec sleep 100000")
        sleepers[podman.runtime] = podman.name
    return sleepers[podman.runtime]


def ids(lines: list[str]) -> list[list[int]]:
    return [[int(field) for field in line.split()] for line in lines]


@pytest.mark.parametrize(("flags", "wanted"), [
    ((), [[0, UID, 1], [1, RANGE, 65536], [0]]),
    (("--userns", "keep-id"), [[0, 1, UID], [UID, 0, 1], [UID + 1, UID + 1, 65536 - UID], [UID]]),
    (("--userns", "nomap"), [[0, 1, 65536], [0]]),
    (("--userns", "auto:size=1000"), [[0, 1, 1000], [0]]),
    (("--uidmap", "0:1:500", "--gidmap", "0:1:500", "--user", "7"), [[0, 1, 500], [7]])],
    ids=["as it is", "keep-id", "nomap", "auto", "uidmap"])
def test_user_namespace(flags: tuple[str, ...], wanted: list[list[int]], podman: Podman) -> None:
    lines = podman.shell("cat /proc/self/uid_map; id -u", *flags)
    assert ids(lines) == wanted


def test_files_belong_to_the_user(podman: Podman) -> None:
    shared = podman.store.work / podman.name
    shared.mkdir()
    os.chown(shared, UID, UID)
    podman.shell("touch /b/root; chown 5:6 /b/root; touch /b/mine", "--volume", f"{shared}:/b")
    assert [((shared / name).stat().st_uid, (shared / name).stat().st_gid) for name in ("root", "mine")] == [
        (RANGE + 4, RANGE + 5), (UID, UID)]
    podman.shell("touch /b/kept", "--volume", f"{shared}:/b", "--userns", "keep-id")
    assert (shared / "kept").stat().st_uid == UID


def test_create_start_logs_wait(podman: Podman) -> None:
    podman.ok("create", "--name", podman.name, "--network", "none", NAME, "sh", "-c", "echo out; echo err >&2; exit 3")
    done = podman("start", "--attach", podman.name)
    assert (done.status, done.stdout, done.stderr) == (3, "out\n", "err\n"), done
    found = podman.inspect()
    assert (found["State"]["Status"], found["State"]["ExitCode"], found["OCIRuntime"]) == ("exited", 3, podman.runtime)
    assert sorted(podman.logs()) == ["err", "out"]


def test_signals(podman: Podman) -> None:
    podman.detached("--init", script="trap 'echo caught; exit 5' TERM; echo up; while :; do sleep 0.1; done")
    podman.until(lambda: podman.logs() == ["up"], "it does not start")
    podman.ok("stop", "--time", "100", podman.name)
    assert podman.state()["ExitCode"] == 5 and podman.logs() == ["up", "caught"]


def test_pause_top_stats_update(podman: Podman, sleeper: str) -> None:
    podman.ok("pause", sleeper)
    assert podman.inspect(sleeper)["State"]["Status"] == "paused"
    podman.ok("unpause", sleeper)
    assert [line.split()[0] for line in podman.ok("top", sleeper, "pid").splitlines()] == ["PID", "1"]
    [stats] = json.loads(podman.ok("stats", "--no-stream", "--format", "json", sleeper))
    assert stats["pids"] == "1", stats
    podman.ok("update", "--memory", "64m", "--cpus", "0.5", sleeper)
    assert podman.ok("exec", sleeper, "sh", "-c", "cd /sys/fs/cgroup; cat memory.max cpu.max").split() == [
        "67108864", "50000", "100000"]


def test_limits_of_a_delegated_cgroup(podman: Podman) -> None:
    show = "cat /proc/self/cgroup; cd /sys/fs/cgroup; cat memory.max memory.swap.max pids.max cpu.max; ulimit -n"
    lines = podman.shell(show, "--memory", "32m", "--memory-swap", "48m", "--pids-limit", "50", "--cpus", "1.5",
                         "--ulimit", "nofile=99:100")
    assert lines == ["0::/", "33554432", "16777216", "50", "150000 100000", "99"]
    [line] = podman.shell("cat /proc/self/cgroup", "--cgroupns", "host")
    assert line.startswith(f"0::/{SESSION.relative_to(CGROUP)}/user.slice/libpod-"), line


def test_volumes_tmpfs_and_read_only(podman: Podman, tmp_path: Path) -> None:
    volume = f"v{podman.name}"
    script = "echo kept >/v/file; touch /x 2>/dev/null || echo read-only; grep ' /t ' /proc/mounts"
    lines = podman.shell(script, "--read-only", "--volume", f"{volume}:/v", "--tmpfs", "/t:size=1m,noexec")
    assert lines[0] == "read-only" and "size=1024k" in lines[1] and "noexec" in lines[1], lines
    assert podman.shell("cat /v/file", "--mount", f"type=volume,src={volume},dst=/v,ro") == ["kept"]


def test_devices(podman: Podman) -> None:
    script = "head -c 4 /dev/mine | wc -c; test -c /dev/null && ls /dev/kmsg 2>/dev/null || echo no more"
    assert podman.shell(script, "--device", "/dev/zero:/dev/mine") == ["4", "no more"]


def test_capabilities_and_security(podman: Podman) -> None:
    show = "grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status; cat /proc/version"
    lines = podman.shell(show, "--cap-drop", "all", "--cap-add", "sys_time,chown",
                         "--security-opt", "no-new-privileges", "--security-opt", "mask=/proc/version")
    wanted = f"{1 << 25 | 1:016x}"
    assert lines == [f"CapEff:\t{wanted}", f"CapBnd:\t{wanted}", "NoNewPrivs:\t1", "Seccomp:\t2"]


def test_privileged(podman: Podman) -> None:
    script = ("grep -E 'CapEff|Seccomp:' /proc/self/status; mount -t tmpfs x /tmp && echo mounted;"
              "mkdir /sys/fs/cgroup/mine && echo delegated")
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    assert podman.shell(script, "--privileged") == [f"CapEff:\t{(1 << last + 1) - 1:016x}", "Seccomp:\t0", "mounted",
                                                    "delegated"]


def test_sysctl_hostname_and_groups(podman: Podman) -> None:
    script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start; hostname; umask; id -G"
    lines = podman.shell(script, "--sysctl", "net.ipv4.ip_unprivileged_port_start=7", "--hostname", "there", "--umask",
                         "027", "--user", "0:0", "--group-add", "99")
    assert lines[:3] == ["7", "there", "0027"] and "99" in lines[3].split(), lines


def test_slirp4netns_and_a_published_port(podman: Podman) -> None:
    serve = "mkdir /w; echo served >/w/index.html; exec busybox httpd -f -p 80 -h /w"
    port = 8098 + (podman.runtime == "runc")         # the other runtime's container goes on
    podman.detached("--publish", f"{port}:80", script=serve, network="slirp4netns")
    fetch = ("import time, urllib.request as u\nfor i in range(30):\n"
             f" try: print(u.urlopen('http://127.0.0.1:{port}').read()); break\n except OSError: time.sleep(1)")
    done = podman.store.call("python3", "-c", fetch)
    assert "served" in done.stdout, done
    assert "10.0.2.100" in podman.ok("exec", podman.name, "ip", "-o", "-4", "address")


def test_namespaces_of_the_host_and_of_a_container(podman: Podman, sleeper: str) -> None:
    show = "for x in net ipc uts; do readlink /proc/self/ns/$x; done"
    host = [Path(f"/proc/self/ns/{kind}").readlink().name for kind in ("net", "ipc", "uts")]
    assert podman.shell(show, "--ipc", "host", "--uts", "host", network="host") == host
    theirs = podman.ok("exec", sleeper, "sh", "-c", show).splitlines()
    found = podman.shell(show, "--pid", f"container:{sleeper}", "--ipc", f"container:{sleeper}",
                         network=f"container:{sleeper}")
    assert found[:2] == theirs[:2] and found[2] not in (theirs[2], host[2])


def test_a_pod(podman: Podman) -> None:
    podman.ok("pod", "create", "--name", podman.name, "--network", "none", "--hostname", "together", "--infra-command",
              "sleep 100000")
    show = "hostname; for x in net ipc uts; do readlink /proc/self/ns/$x; done"
    first, second = (podman.ok("run", "--rm", "--pod", podman.name, NAME, "sh", "-c", show) for _ in range(2))
    assert first == second and first.startswith("together\nnet:[")
    podman.ok("pod", "rm", "--force", "--time", "0", podman.name)


def test_play_kube(podman: Podman) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": podman.name}, "spec": {
        "containers": [{"name": "c", "image": NAME, "command": ["sh", "-c", "echo $A; id -u; sleep 100000"],
                        "env": [{"name": "A", "value": "b"}], "securityContext": {"runAsUser": 12}}]}}
    file = podman.store.work / f"{podman.name}.yaml"
    file.write_text(json.dumps(pod))
    podman.ok("play", "kube", "--network", "none", str(file))
    podman.until(lambda: podman.logs(f"{podman.name}-c") == ["b", "12"], "it does not play")
    podman.ok("play", "kube", "--down", str(file))


def test_build(podman: Podman) -> None:
    folder = podman.store.work / podman.name
    folder.mkdir()
    (folder / "Containerfile").write_text(f"FROM {NAME}\nRUN touch /built && chown 9:9 /built\nCMD stat -c %u /built\n")
    podman.ok("build", "--quiet", "--network", "none", "--tag", podman.name, str(folder))
    assert podman.ok("run", "--rm", "--network", "none", f"localhost/{podman.name}") == "9"
