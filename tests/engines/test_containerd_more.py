"""containerd 1.6 with `ctr`: what else that offers, under runc, pyrunc, and the shim of pyrunc."""
from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import bundles
from tests.world import CGROUP

from .ctr import Ctr, binary, cni, containerd, ctr
from .image import NAME
from .terminal import Terminal

__all__ = ["binary", "cni", "containerd", "ctr"]
pytestmark = [pytest.mark.guest_engines, pytest.mark.timeout(900)]


def test_terminal(ctr: Ctr) -> None:
    script = "tty; until stty size | grep -q '33 111'; do sleep 0.1; done; read x; echo got $x; exit 3"
    with Terminal(ctr.daemon.argv(*ctr.command("--rm", "--tty", args=("sh", "-c", script))), 33, 111) as terminal:
        terminal.read("/dev/pts/0")
        terminal.write("something\n")
        terminal.read("got something")
        assert terminal.wait() == 3
    ctr.nothing_left()


def test_exec_on_a_terminal(ctr: Ctr) -> None:
    ctr.detached("sleep", "1000")
    with Terminal(ctr.daemon.argv("task", "exec", "--exec-id", "e1", "--tty", ctr.id, "sh"), 33, 111) as terminal:
        terminal.ask("stty size", "33 111")
        terminal.resize(44, 133)
        terminal.ask("stty size", "44 133")
        terminal.write("exit 5\n")
        assert terminal.wait() == 5


def test_pid_file(ctr: Ctr) -> None:
    pid_file = ctr.daemon.place / f"{ctr.id}.pid"
    ctr.detached("sleep", "1000", flags=("--pid-file", str(pid_file)))
    assert ctr.processes() == [int(pid_file.read_text())]


def test_kill_all_processes(ctr: Ctr) -> None:
    ctr.detached("sh", "-c", "trap '' TERM; sleep 1000 & wait; while :; do sleep 0.1; done")
    ctr.wait(lambda: len(ctr.daemon.ok("task", "ps", ctr.id).splitlines()) == 3, "not two processes")
    child = ctr.processes()[-1]
    ctr.daemon.ok("task", "kill", "--all", "--signal", "SIGUSR1", ctr.id)
    ctr.wait(lambda: child not in ctr.processes(), "the child goes on")
    ctr.daemon.ok("task", "kill", "--all", "--signal", "SIGKILL", ctr.id)
    ctr.wait(lambda: ctr.daemon.task_status(ctr.id) == "STOPPED", "it goes on")


def test_kill_of_an_exec(ctr: Ctr) -> None:
    ctr.detached("sleep", "1000")
    ctr.daemon.ok("task", "exec", "--detach", "--exec-id", "e1", ctr.id, "sleep", "2000")
    ctr.wait(lambda: len(ctr.processes()) == 2, "no exec")
    ctr.daemon.ok("task", "kill", "--exec-id", "e1", "--signal", "SIGKILL", ctr.id)
    ctr.wait(lambda: len(ctr.processes()) == 1, "the exec goes on")
    assert ctr.daemon.task_status(ctr.id) == "RUNNING"


def test_forced_delete(ctr: Ctr) -> None:
    ctr.detached("sh", "-c", "sleep 1000 & sleep 1000 & wait")
    done = ctr.daemon.ctr("task", "delete", "--force", ctr.id)
    assert done.status in (0, 137), done.stderr
    ctr.daemon.ok("container", "delete", ctr.id)
    ctr.nothing_left()


def test_several_at_once(ctr: Ctr) -> None:
    def run(number: int) -> str:
        id = f"{ctr.id}-{number}"
        return ctr.daemon.ok("run", "--rm", *ctr.runtime, NAME, id, "echo", f"{number}")

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, range(4))) == [f"{number}\n" for number in range(4)]
    ctr.nothing_left()


def test_a_restarted_daemon_finds_its_containers(ctr: Ctr) -> None:
    ctr.detached("sh", "-c", "until test -e /end; do sleep 0.1; done; exit 5")
    ctr.daemon.restart(lambda: None)
    assert ctr.daemon.task_status(ctr.id) == "RUNNING"
    assert ctr.daemon.ok("task", "exec", "--exec-id", "e1", ctr.id, "echo", "still there") == "still there\n"
    ctr.daemon.ok("task", "exec", "--exec-id", "e2", ctr.id, "touch", "/end")
    ctr.wait(lambda: ctr.daemon.task_status(ctr.id) == "STOPPED", "it goes on")
    done = ctr.daemon.ctr("task", "delete", ctr.id)
    assert done.status == 5 or "non-zero exit code 5" in done.stderr, (done.status, done.stdout, done.stderr)


def test_root_and_cgroup_of_the_users_choice(ctr: Ctr) -> None:
    # ctr gives --runc-root to no type but runc's: the shim keeps its own root.
    root = Path("/run/containerd/pyrunc") if ctr.shim else ctr.daemon.place / "other-root"
    chosen = () if ctr.shim else ("--runc-root", str(root))
    ctr.detached("sleep", "1000", flags=(*chosen, "--cgroup", f"/chosen/{ctr.id}"))
    assert (root / "default" / ctr.id).is_dir()
    assert len((CGROUP / "chosen" / ctr.id / "cgroup.procs").read_text().split()) == 1
    ctr.daemon.ok("task", "kill", "--signal", "SIGKILL", ctr.id)
    ctr.wait(lambda: ctr.daemon.task_status(ctr.id) == "STOPPED", "it goes on")
    ctr.daemon.ctr("task", "delete", ctr.id)
    assert not (root / "default" / ctr.id).exists()


def test_limits_arrive(ctr: Ctr) -> None:
    ctr.detached("sleep", "1000", flags=("--cpus", "0.5", "--cpu-shares", "512", "--memory-limit", "67108864"))
    pid, = ctr.processes()
    group = CGROUP / Path(f"/proc/{pid}/cgroup").read_text().strip().removeprefix("0::/")
    assert [(group / name).read_text().strip() for name in ("cpu.max", "memory.max")] == ["50000 100000", "67108864"]
    # 512 shares are the weight 20 with runc 1.1, 59 with later ones and with pyrunc (docs/cgroups.md).
    assert (group / "cpu.weight").read_text() in ("20\n", "59\n")


def test_joined_namespaces(ctr: Ctr) -> None:
    ctr.detached("sleep", "1000")
    pid, = ctr.processes()
    kinds = {"network": "net", "ipc": "ipc", "uts": "uts", "pid": "pid"}
    flags = [part for kind, link in kinds.items() for part in ("--with-ns", f"{kind}:/proc/{pid}/ns/{link}")]
    script = "for kind in net ipc uts pid; do readlink /proc/self/ns/$kind; done; ps -o args"
    lines = ctr.daemon.ok("run", "--rm", *ctr.runtime, *flags, NAME, f"{ctr.id}-2", "sh", "-c",
                          script).splitlines()
    assert lines[:4] == [Path(f"/proc/{pid}/ns/{link}").readlink().name for link in kinds.values()]
    assert "sleep 1000" in lines


def test_network_by_cni(ctr: Ctr, cni: str) -> None:
    done = ctr.daemon.ctr(*ctr.command("--rm", "--cni", args=("ip", "-o", "addr", "show", "dev", "eth0")))
    assert f" {cni}." in done.stdout, done.stderr
    ctr.nothing_left()


@pytest.mark.parametrize(("flags", "has", "lacks"), [
    (("--cap-add", "CAP_NET_ADMIN", "--cap-drop", "CAP_CHOWN"), {12, 27}, {0, 21}),
    (("--privileged",), {0, 12, 21, 40}, set())], ids=["some", "privileged"])
def test_capabilities(flags: tuple[str, ...], has: set[int], lacks: set[int], ctr: Ctr) -> None:
    done = ctr.daemon.ctr(*ctr.command("--rm", *flags, args=("grep", "CapEff", "/proc/self/status")))
    mask = int(done.stdout.split()[1], 16)
    assert {bit for bit in has | lacks if mask >> bit & 1} == has


def test_device(ctr: Ctr) -> None:
    script = "dd if=/dev/cpu_dma_latency bs=4 count=1 2>/dev/null | wc -c; cat /dev/mem 2>&1"
    done = ctr.daemon.ctr(*ctr.command("--rm", "--device", "/dev/cpu_dma_latency", args=("sh", "-c", script)))
    assert done.stdout.splitlines() == ["4", "cat: can't open '/dev/mem': No such file or directory"], done.stderr


def test_apparmor_and_a_seccomp_profile(ctr: Ctr) -> None:
    profile = ctr.daemon.place / "seccomp.json"
    profile.write_text('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], '
                       '"action": "SCMP_ACT_ERRNO", "errnoRet": 95}]}')
    flags = ("--apparmor-default-profile", "cri-containerd.apparmor.d", "--seccomp", "--seccomp-profile", str(profile))
    done = ctr.daemon.ctr(*ctr.command("--rm", *flags, args=("sh", "-c", "cat /proc/self/attr/current; mkdir /x 2>&1")))
    assert done.stdout.splitlines() == ["cri-containerd.apparmor.d (enforce)",
                                        "mkdir: can't create directory '/x': Operation not supported"], done.stderr


def test_a_root_file_system_without_an_image(ctr: Ctr) -> None:
    root = bundles.busybox_root(ctr.daemon.place / f"{ctr.id}-root")
    done = ctr.daemon.ctr("run", "--rm", *ctr.runtime, "--rootfs", str(root), ctr.id,
                          "/bin/sh", "-c", "touch /made && echo made")
    assert done.stdout == "made\n" and (root / "made").exists(), done.stderr


def test_a_configuration_of_the_users_own(ctr: Ctr) -> None:
    """ctr takes a whole config.json: here with rlimits, a sysctl and a hook, which it has no flags for."""
    root, mark = bundles.busybox_root(ctr.daemon.place / f"{ctr.id}-root"), ctr.daemon.place / f"{ctr.id}-hook"
    config = ctr.daemon.place / f"{ctr.id}.json"
    config.write_text(json.dumps(bundles.docker_like(
        root={"path": str(root)}, linux={"sysctl": {"net.ipv4.ip_forward": "1"}, "cgroupsPath": f"/{ctr.id}"},
        hooks={"prestart": [{"path": "/bin/sh", "args": ["sh", "-c", f"cat >{mark}"]}]},
        process={"args": ["sh", "-c", "ulimit -n; cat /proc/sys/net/ipv4/ip_forward"],
                 "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 99, "hard": 99}]})))
    done = ctr.daemon.ctr("run", "--rm", *ctr.runtime, "--config", str(config), ctr.id)
    assert done.stdout.splitlines() == ["99", "1"], done.stderr
    assert json.loads(mark.read_text())["id"] == ctr.id


def test_user_namespace(ctr: Ctr) -> None:
    """By config.json as well."""
    root = bundles.busybox_root(ctr.daemon.place / f"{ctr.id}-root")
    mapping = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    kinds = ("user", "pid", "network", "ipc", "uts", "mount", "cgroup")
    config = ctr.daemon.place / f"{ctr.id}.json"
    config.write_text(json.dumps(bundles.docker_like(
        root={"path": str(root)}, process={"args": ["sh", "-c", "tr -s ' ' </proc/self/uid_map; id -u"]},
        linux={"namespaces": bundles.namespaces(*kinds), "uidMappings": mapping, "gidMappings": mapping,
               "cgroupsPath": f"/{ctr.id}"})))
    done = ctr.daemon.ctr("run", "--rm", *ctr.runtime, "--config", str(config), ctr.id)
    assert done.stdout.splitlines() == [" 0 100000 65536", "0"], done.stderr


def test_checkpoint_and_restore(ctr: Ctr) -> None:
    script = "i=0; while :; do i=$((i+1)); echo $i >/count; sleep 0.1; done"
    ctr.detached("sh", "-c", script)

    def count() -> int:
        done = ctr.daemon.ctr("task", "exec", "--exec-id", f"e{time.monotonic_ns()}", ctr.id, "cat", "/count")
        return int(done.stdout.strip() or 0)

    ctr.wait(lambda: count() > 0, "it does not count")
    reference = f"checkpoint/{ctr.id}:latest"
    ctr.daemon.ok("container", "checkpoint", "--rw", "--image", "--task", ctr.id, reference)
    ctr.daemon.ctr("task", "delete", "--force", ctr.id)
    ctr.daemon.ok("container", "delete", ctr.id)
    ctr.daemon.ok("container", "restore", "--rw", "--live", ctr.id, reference)
    assert ctr.daemon.task_status(ctr.id) == "RUNNING"
    before = count()
    assert before > 0
    ctr.wait(lambda: count() > before, "it does not go on")
