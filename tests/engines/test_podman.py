"""Podman 4.3 as root: what a user does with a container, under runc and under pyrunc."""
from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import runtimes, world

from .image import NAME
from .podman import Podman, Store, stores
from .podman_scenarios import *  # noqa: F403

pytestmark = [pytest.mark.guest_engines, pytest.mark.timeout(900)]       # under emulation, on a busy machine


@pytest.fixture(scope="module")
def store(private_world: None, request: pytest.FixtureRequest) -> Iterator[Store]:
    yield from stores(request.config.getoption("runtime"))


@pytest.fixture
def ranges(tmp_path: Path) -> Iterator[None]:
    """subuid(5) and subgid(5) for --userns=auto, which takes those of a user `containers`; for this process only."""
    with world.covered(tmp_path, dict.fromkeys(("/etc/subuid", "/etc/subgid"), "containers:200000:65536\n")):
        yield


@pytest.fixture
def sleeper(podman: Podman, sleepers: dict[str, str]) -> str:
    if podman.binary not in sleepers:
        podman.detached("--init", "--env", "A=b", script="touch /here; exec sleep 100000")
        sleepers[podman.binary] = podman.name
    return sleepers[podman.binary]


# ---- run, and what becomes of it ---------------------------------------------------------------------------------
def test_a_wrong_working_directory_and_mount_tell_why(podman: Podman) -> None:
    done = podman.run("--mount", "type=bind,src=/proc/self/environ,dst=/proc/x/y", args=["true"])
    assert done.status in (126, 127) and "/proc" in done.stderr and done.stderr.count("\n") == 1, done


def test_create_start_logs_wait_restart(podman: Podman) -> None:
    script = "sleep 2; echo out; echo err >&2; exit 3"          # a busy Podman attaches later than it starts
    podman.ok("create", "--name", podman.name, "--network", "none", NAME, "sh", "-c", script)
    created = podman.inspect()
    assert (created["State"]["Status"], created["OCIRuntime"]) == ("created", podman.runtime)
    podman.ok("start", podman.name)
    assert podman.wait() == 3
    again = podman("start", "--attach", podman.name)
    assert (again.status, again.stdout, again.stderr) == (3, "out\n", "err\n"), again
    assert sorted(podman.ok("logs", podman.name).splitlines()) == ["out", "out"] and len(podman.logs()) == 4
    state = podman.state()
    assert (state["Status"], state["ExitCode"], state["OOMKilled"], state["Error"]) == ("exited", 3, False, "")


def test_environment_directory_entrypoint(podman: Podman) -> None:
    done = podman.run("--env", "A=b", "--workdir", "/proc/sys", "--entrypoint", '["sh", "-c"]', "--umask", "027",
                      "--hostname", "there", "--oom-score-adj", "500", "--tz", "UTC",
                      args=["echo $A $PWD $container; umask; hostname; cat /proc/self/oom_score_adj /etc/hostname"])
    assert done.lines == ["b /proc/sys podman", "0027", "there", "500", "there"], done


def test_an_end_by_signal_and_events(podman: Podman) -> None:
    script = "trap 'echo caught; exit 5' USR1; echo up; while :; do sleep 0.1; done"
    id = podman.detached("--stop-signal", "USR1", script=script)
    podman.until(lambda: podman.logs() == ["up"], "it does not start")
    podman.ok("stop", "--time", "60", podman.name)
    assert podman.state()["ExitCode"] == 5 and podman.logs() == ["up", "caught"]
    podman.ok("start", podman.name)
    podman.ok("kill", "--signal", "KILL", podman.name)
    assert podman.wait() == 137
    events = podman.ok("events", "--stream=false", "--since", "30m", "--filter", f"container={podman.name}",
                       "--format", "{{.Status}}").splitlines()
    assert [event for event in events if event in ("create", "start", "kill", "died")] == [
        "create", "start", "died", "start", "kill", "died"] and len(id) == 64, events


def test_stop_of_one_that_does_not_listen_and_rename(podman: Podman) -> None:
    podman.detached(script="trap '' TERM; while :; do sleep 0.1; done")
    podman.ok("rename", podman.name, f"{podman.name}-new")
    podman.ok("stop", "--time", "1", f"{podman.name}-new")
    assert podman.inspect(f"{podman.name}-new")["State"]["ExitCode"] == 137


def test_restart_policy(podman: Podman) -> None:
    podman.detached("--restart", "on-failure:2", script="echo run; exit 4")
    podman.until(lambda: podman.state()["Status"] == "exited" and podman.inspect()["RestartCount"] == 2, "not twice")
    assert podman.logs() == ["run"] * 3 and podman.state()["ExitCode"] == 4


def test_attach(podman: Podman) -> None:
    done = podman("run", "--interactive", "--rm", "--network", "none", NAME, "sh", "-c", "read x; echo got $x; cat",
                  stdin="one\ntwo\n")
    assert (done.status, done.stdout) == (0, "got one\ntwo\n"), done


def test_a_terminal(podman: Podman) -> None:
    with podman.terminal("run", "--rm", "-it", "--network", "none", NAME, "sh") as terminal:
        terminal.ask("tty; stty size", "30 100", 120)
        terminal.resize(40, 90)
        terminal.ask("stty size", "40 90", 120)
        terminal.write("exit 6\n")
        assert terminal.wait() == 6


# ---- with a container that runs -----------------------------------------------------------------------------------
def test_exec_detached_and_privileged(podman: Podman, sleeper: str) -> None:
    script = "grep CapEff /proc/self/status >/detached"
    session = podman.ok("exec", "--detach", "--privileged", sleeper, "sh", "-c", script)
    assert len(session) == 64
    podman.until(lambda: "CapEff" in podman("exec", sleeper, "cat", "/detached").stdout, "nothing was written")
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    assert podman.ok("exec", sleeper, "cat", "/detached").split() == ["CapEff:", f"{(1 << last + 1) - 1:016x}"]


def test_top_and_stats(podman: Podman, sleeper: str) -> None:
    lines = podman.ok("top", sleeper, "pid", "args", "capeff", "seccomp", "state").splitlines()[1:]
    assert len(lines) == 2 and lines[0].startswith("1 ") and "/run/podman-init" in lines[0]
    assert all("filter" in line and "CHOWN" in line for line in lines), lines
    [stats] = json.loads(podman.ok("stats", "--no-stream", "--format", "json", sleeper))
    assert stats["pids"] == "2" and stats["mem_usage"].split()[0] != "0B" and stats["cpu_time"] != "0s", stats


def test_pause_and_unpause(podman: Podman, sleeper: str) -> None:
    podman.ok("pause", sleeper)
    assert podman.inspect(sleeper)["State"]["Status"] == "paused"
    refused = podman("exec", sleeper, "true")
    assert refused.status != 0
    podman.ok("unpause", sleeper)
    assert podman.inspect(sleeper)["State"]["Status"] == "running"


def test_update(podman: Podman, sleeper: str) -> None:
    podman.ok("update", "--cpus", "0.5", "--memory", "64m", "--cpu-shares", "262144", sleeper)
    show = "cd /sys/fs/cgroup; cat cpu.max memory.max cpu.weight"
    assert podman.ok("exec", sleeper, "sh", "-c", show).splitlines() == ["50000 100000", "67108864", "10000"]


def test_copy_diff_commit(podman: Podman, sleeper: str, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("through cp")
    podman.ok("cp", str(tmp_path / "in"), f"{sleeper}:/copied")
    podman.ok("cp", f"{sleeper}:/copied", str(tmp_path / "out"))
    assert (tmp_path / "out").read_text() == "through cp"
    changed = podman.ok("diff", sleeper).splitlines()
    assert {"A /copied", "A /here"} <= set(changed), changed
    image = f"localhost/{podman.name}"
    podman.ok("commit", "--quiet", "--change", 'CMD ["cat", "/copied"]', sleeper, image)
    assert podman.ok("run", "--rm", "--network", "none", image) == "through cp"


# ---- files ---------------------------------------------------------------------------------------------------------
def test_volumes_and_mounts(podman: Podman, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("of the host\n")
    volume = f"v{podman.name}"
    script = ("echo kept >/v/file; cat /b/file; touch /b/x 2>/dev/null || echo read-only; ls -A /etc | wc -l;"
              "grep ' /t ' /proc/mounts; grep -o ' /dev/shm tmpfs.*size=[^,]*' /proc/mounts")
    host = len(podman.shell("ls -A /etc"))
    lines = podman.shell(script, "--volume", f"{volume}:/v", "--volume", f"{tmp_path}:/b:ro", "--volume", "/etc",
                         "--tmpfs", "/t:size=1m,noexec,mode=700", "--shm-size", "2m")
    assert lines[:2] == ["of the host", "read-only"] and int(lines[2]) >= host
    assert "size=1024k" in lines[3] and "noexec" in lines[3] and "size=2048k" in lines[4], lines
    assert podman.shell("cat /v/file", "--mount", f"type=volume,src={volume},dst=/v,ro") == ["kept"]


def test_read_only(podman: Podman) -> None:
    script = ("touch /x 2>/dev/null || echo root; touch /tmp/x /run/x /dev/shm/x && echo tmp;"
              "echo 1 >/proc/sys/vm/swappiness")
    done = podman.run("--read-only", args=["sh", "-c", script])
    assert done.lines == ["root", "tmp"] and done.status == 1 and "Read-only file system" in done.stderr, done


def test_masked_and_unmasked_paths(podman: Podman) -> None:
    script = ("cat /proc/version /proc/keys; grep -o Version /proc/timer_list;"
              "touch /proc/sys/kernel/hostname && echo ok")
    assert podman.shell(script, "--security-opt", "mask=/proc/version",
                        "--security-opt", "unmask=/proc/timer_list:/proc/sys") == ["Version", "ok"]


def test_devices(podman: Podman) -> None:
    script = ("stat -c %F /dev/mine; : </dev/mine && echo reading; sh -c ': >/dev/mine' 2>/dev/null || echo no writing;"
              "ls /dev/kmsg 2>/dev/null || echo no more")
    assert podman.shell(script, "--device", "/dev/cpu_dma_latency:/dev/mine:r") == [
        "character special file", "reading", "no writing", "no more"]


# ---- limits --------------------------------------------------------------------------------------------------------
def test_limits(podman: Podman) -> None:
    show = "cd /sys/fs/cgroup; cat memory.max memory.swap.max memory.low pids.max cpu.max cpu.weight cpuset.cpus; " \
        "ulimit -n; ulimit -c; cat /proc/sys/net/ipv4/ip_unprivileged_port_start"
    lines = podman.shell(show, "--memory", "32m", "--memory-swap", "48m", "--memory-reservation", "8m",
                         "--pids-limit", "50", "--cpus", "1.5", "--cpu-shares", "262144", "--cpuset-cpus", "1",
                         "--ulimit", "nofile=99:100", "--ulimit", "core=0",
                         "--sysctl", "net.ipv4.ip_unprivileged_port_start=7")
    assert lines == ["33554432", "16777216", "8388608", "50", "150000 100000", "10000", "1", "99", "0", "7"]


def test_cgroup_namespace_and_parent(podman: Podman) -> None:
    assert podman.shell("tail -n 1 /proc/self/cgroup; touch /sys/fs/cgroup/x 2>/dev/null || echo read-only") == [
        "0::/", "read-only"]
    [line] = podman.shell("tail -n 1 /proc/self/cgroup", "--cgroupns", "host", "--cgroup-parent", "/mine")
    assert line.startswith("0::/mine/libpod-"), line


def test_without_a_cgroup(store: Store, request: pytest.FixtureRequest, name: str) -> None:
    """Not by runc, which has no --cgroup-manager=disabled: Podman asks only those it is told of."""
    podman = Podman(store, runtimes.find(request.config.getoption("runtime")), name)
    own = Path("/proc/self/cgroup").read_text().splitlines()[-1]
    assert podman.shell("tail -n 1 /proc/self/cgroup", "--cgroups", "disabled", "--cgroupns", "host") == [own]


# ---- privileges ----------------------------------------------------------------------------------------------------
def test_capabilities(podman: Podman) -> None:
    show = "grep -E 'Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status | tr '\\t' ' '"
    lines = podman.shell(show, "--cap-drop", "all", "--cap-add", "sys_time,chown")
    wanted = f"{1 << 25 | 1:016x}"
    assert {line.split()[0]: line.split()[1] for line in lines} == {
        "CapInh:": f"{0:016x}", "CapPrm:": wanted, "CapEff:": wanted, "CapBnd:": wanted, "CapAmb:": f"{0:016x}"}
    lines = podman.shell(show, "--user", "1000", "--cap-add", "sys_time")
    assert lines[1:3] == [f"CapPrm: {1 << 25:016x}", f"CapEff: {1 << 25:016x}"], lines


def test_privileged(podman: Podman) -> None:
    script = ("grep -E 'CapEff|Seccomp:' /proc/self/status; ls -d /dev/cpu_dma_latency /dev/kmsg;"
              "cat /proc/self/attr/current; mount -t tmpfs x /tmp && echo mounted;"
              "touch /proc/sys/kernel/hostname /sys/fs/cgroup/cgroup.procs && echo writable")
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    assert podman.shell(script, "--privileged") == [
        f"CapEff:\t{(1 << last + 1) - 1:016x}", "Seccomp:\t0", "/dev/cpu_dma_latency", "/dev/kmsg", "unconfined",
        "mounted", "writable"]


def test_user_and_groups(podman: Podman) -> None:
    script = "id -u; id -g; grep Groups: /proc/self/status; echo $HOME; touch /x 2>/dev/null || echo no"
    lines = podman.shell(script, "--user", "1234:567", "--group-add", "99")
    assert lines[:2] == ["1234", "567"] and "99" in lines[2].split() and lines[-1] == "no", lines


def test_security_options(podman: Podman, tmp_path: Path) -> None:
    show = ("grep -E 'NoNewPrivs|Seccomp:' /proc/self/status; cat /proc/self/attr/current;"
            "mkdir /tmp/x 2>&1; chmod 700 /tmp")
    profile = tmp_path / "seccomp.json"
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]}))
    lines = podman.shell(show, "--security-opt", f"seccomp={profile}", "--security-opt", "no-new-privileges",
                         "--security-opt", "apparmor=unconfined")
    assert lines == ["NoNewPrivs:\t1", "Seccomp:\t2", "unconfined", "mkdir: can't create directory '/tmp/x': "
                     "Function not implemented"]
    lines = podman.shell(show, "--security-opt", "seccomp=unconfined")
    assert lines[:2] == ["NoNewPrivs:\t0", "Seccomp:\t0"] and lines[2].startswith("containers-default"), lines


# ---- namespaces ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("flags", "map"), [
    (("--uidmap", "0:100000:5000"), "0 100000 5000"), (("--userns", "auto:size=3000"), "0 200000 3000"),
    (("--userns", "host"), "0 0 4294967295")], ids=["uidmap", "auto", "host"])
def test_user_namespace(flags: tuple[str, ...], map: str, podman: Podman, ranges: None) -> None:
    lines = podman.shell("tr -s ' ' </proc/self/uid_map; id -u; stat -c %u /bin; touch /x", *flags)
    assert [lines[0].strip(), *lines[1:]] == [map, "0", "0"]


def test_namespaces_of_the_host_and_of_a_container(podman: Podman, sleeper: str) -> None:
    show = "for x in net pid ipc uts; do readlink /proc/self/ns/$x; done"
    host = [Path(f"/proc/self/ns/{kind}").readlink().name for kind in ("net", "pid", "ipc", "uts")]
    assert podman.shell(show, "--pid", "host", "--ipc", "host", "--uts", "host", network="host") == host
    theirs = podman.ok("exec", sleeper, "sh", "-c", show).splitlines()
    found = podman.shell(show, "--pid", f"container:{sleeper}", "--ipc", f"container:{sleeper}",
                         network=f"container:{sleeper}")
    assert found[:3] == theirs[:3] and found[3] not in (theirs[3], host[3])


def test_a_bridge_and_a_published_port(podman: Podman) -> None:
    net = f"n{podman.name}"
    podman.ok("network", "create", net)
    serve = "mkdir /w; hostname >/w/index.html; exec busybox httpd -f -p 80 -h /w"
    podman.detached("--publish", "8099:80", "--hostname", "server", script=serve, network=net)
    address = podman.inspect()["NetworkSettings"]["Networks"][net]["IPAddress"]
    fetch = f"for i in 1 2 3 4 5 6 7 8 9; do busybox wget -qO- http://{address}/ && break; sleep 1; done"
    assert podman.shell(fetch, network=net) == ["server"]
    done = podman.store.call("python3", "-c", "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8099').read())")
    assert "server" in done.stdout, done
    podman.ok("rm", "--force", "--time", "0", podman.name)
    podman.ok("network", "rm", net)


# ---- the rest ------------------------------------------------------------------------------------------------------
def test_health_check(podman: Podman) -> None:
    podman.detached("--health-cmd", "test -e /well", "--health-interval", "disable", "--health-retries", "1")
    assert podman("healthcheck", "run", podman.name).status == 1
    podman.ok("exec", podman.name, "touch", "/well")
    podman.ok("healthcheck", "run", podman.name)
    log = podman.state()["Healthcheck" if "Healthcheck" in podman.state() else "Health"]
    assert log["Status"] == "healthy" and [entry["ExitCode"] for entry in log["Log"]] == [1, 0], log


def test_hooks(podman: Podman, tmp_path: Path) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    script = tmp_path / "hook"
    script.write_text(f"#!/bin/sh\necho $1 >>{tmp_path}/log; cat >{tmp_path}/state\n")
    script.chmod(0o755)
    stages = ["prestart", "createRuntime", "poststart", "poststop"]
    for stage in stages:
        (hooks / f"{stage}.json").write_text(json.dumps({
            "version": "1.0.0", "hook": {"path": str(script), "args": ["hook", stage]}, "when": {"always": True},
            "stages": [stage]}))
    done = podman("--hooks-dir", str(hooks), "run", "--rm", "--network", "none", NAME, "echo", "ran")
    assert done.stdout == "ran\n" and (tmp_path / "log").read_text().split() == stages, done
    assert json.loads((tmp_path / "state").read_text())["status"] == "stopped"


def test_systemd_mode(podman: Podman) -> None:
    script = ("mount | grep -E ' (/run|/tmp|/run/lock) ' | wc -l; mkdir /sys/fs/cgroup/mine && echo delegated;"
              "echo $container")
    assert podman.shell(script, "--systemd", "always") == ["3", "delegated", "podman"]


def test_preserved_descriptors(podman: Podman) -> None:
    run = f"podman --runtime {podman.runtime} run --rm --network none --preserve-fds 1 {NAME} sh -c 'cat <&3'"
    done = podman.store.call("sh", "-c", f"exec 3<<X\nthrough 3\nX\nexec {run}")
    assert done.stdout == "through 3\n", done


def test_a_pod(podman: Podman) -> None:
    """Outside of the pod's own cgroup, from which Podman 4.3 takes every device when the manager is cgroupfs."""
    podman.ok("pod", "create", "--name", podman.name, "--network", "none", "--hostname", "together",
              "--share-parent=false", "--infra-command", "sleep 100000")
    show = "hostname; for x in net ipc uts; do readlink /proc/self/ns/$x; done"
    first, second = (podman.ok("run", "--rm", "--pod", podman.name, NAME, "sh", "-c", show) for _ in range(2))
    assert first == second and first.startswith("together\nnet:[")
    [pod] = json.loads(podman.ok("pod", "ps", "--filter", f"name={podman.name}", "--format", "json"))
    assert pod["Status"] == "Running" and len(pod["Containers"]) == 1, pod
    podman.ok("pod", "rm", "--force", "--time", "0", podman.name)
    podman.nothing_left(pod["InfraId"])


def test_checkpoint_and_restore(podman: Podman, tmp_path: Path) -> None:
    podman.detached(script="i=0; while :; do i=$((i+1)); echo $i >/count; sleep 0.2; done")
    podman.until(lambda: podman("exec", podman.name, "cat", "/count").stdout != "", "it does not count")
    podman.ok("container", "checkpoint", "--export", str(tmp_path / "kept.tar"), podman.name)
    assert podman.state()["Checkpointed"] is True
    podman.ok("container", "restore", podman.name)
    before = int(podman.ok("exec", podman.name, "cat", "/count"))
    podman.until(lambda: int(podman.ok("exec", podman.name, "cat", "/count")) > before, "it does not count on")
    podman.ok("container", "restore", "--import", str(tmp_path / "kept.tar"), "--name", f"{podman.name}-other")
    assert int(podman.ok("exec", f"{podman.name}-other", "cat", "/count")) > 1


def test_build(podman: Podman, tmp_path: Path) -> None:
    (tmp_path / "Containerfile").write_text(
        f"FROM {NAME}\nARG A\nENV B=c\nCOPY file /file\n"
        "RUN echo $A $B $(cat /file) >/built && id -u >>/built\nCMD cat /built\n")
    (tmp_path / "file").write_text("copied")
    image = f"localhost/{podman.name}"
    podman.ok("build", "--quiet", "--network", "none", "--build-arg", "A=a", "--tag", image, str(tmp_path))
    assert podman.ok("run", "--rm", "--network", "none", image).splitlines() == ["a c copied", "0"]


def test_a_user_namespace_without_root(podman: Podman) -> None:
    """Its only id is a user's. runc wants an id 0; crun sets the container up by the ids of its process, as pyrunc."""
    done = podman.run("--uidmap", "999:0:1", "--gidmap", "999:0:1", "--user", "999:999",
                      args=["sh", "-c", "id -u; id -g"])
    if podman.runtime == "runc":
        assert done.status != 0 and "mapping found" in done.stderr, done
    else:
        assert (done.status, done.lines) == (0, ["999", "999"]), done
