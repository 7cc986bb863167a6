"""The commands beside the life of a container: pause, resume, ps, events, update, kill of everything, run's flags."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests import bundles, world
from tests.bundles import docker_like, namespaces
from tests.runtimes import Init, Runtime
from tests.world import Snapshot

POLL = {"x86_64": 7, "aarch64": 73}[os.uname().machine]         # poll(2), or the ppoll(2) that stands for it

#: Counts as long as it runs; a process in the background besides.
COUNTING = "sleep 1000 & while :; do echo .; sleep 0.01; done"


@pytest.fixture
def counting(runtime: Runtime, place: Path, name: str) -> Init:
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["sh", "-c", COUNTING]}))
    init = runtime.create(name, bundle)
    runtime.ok("start", name)
    return init


def end(runtime: Runtime, name: str, init: Init) -> None:
    runtime.ok("kill", name, "KILL")
    assert init.wait() == 137
    runtime.ok("delete", name)


@pytest.mark.spec("runtime.md#state", "additional states are new ones")
def test_pause_and_resume(runtime: Runtime, counting: Init, name: str) -> None:
    assert runtime("resume", name).stderr.rstrip().endswith('msg="container not paused"')
    runtime.ok("pause", name)
    assert runtime.status(name) == "paused"
    time.sleep(0.05)
    counted = len(counting.outcome.stdout)
    time.sleep(0.2)
    assert len(counting.outcome.stdout) == counted
    assert "container not running" in runtime("pause", name).stderr
    assert "cannot start a container in the paused state" in runtime("start", name).stderr
    assert f"cannot delete container {name} that is not stopped: paused" in runtime("delete", name).stderr
    runtime.ok("resume", name)
    assert runtime.status(name) == "running"
    deadline = time.monotonic() + 60
    while len(counting.outcome.stdout) == counted:
        assert time.monotonic() < deadline
    end(runtime, name, counting)


def test_a_paused_one_can_be_killed_and_deleted(runtime: Runtime, counting: Init, name: str) -> None:
    before = Snapshot.take(name, runtime.root)
    assert before.cgroups
    runtime.ok("pause", name)
    runtime.ok("delete", "--force", name)
    assert counting.wait() == 137
    world.gone(name)
    assert not Snapshot.take(name, runtime.root).cgroups


def test_a_created_one_can_be_paused(runtime: Runtime, place: Path, name: str) -> None:
    init = runtime.create(name, bundles.bundle(place / "bundle", docker_like(process={"args": ["true"]})))
    runtime.ok("pause", name)
    assert runtime.status(name) == "paused"
    runtime.ok("resume", name)
    assert runtime.status(name) == "created"
    runtime.ok("start", name)
    assert init.wait() == 0
    for command in ("pause", "resume"):
        assert runtime(command, name).status == 1
    runtime.ok("delete", name)


def test_ps(runtime: Runtime, counting: Init, name: str) -> None:
    while len(world.processes_of(name)) < 2:
        time.sleep(0.01)
    pids = json.loads(runtime.ok("ps", "--format", "json", name).stdout)
    assert counting.pid in pids and len(pids) >= 2
    heading, *lines = runtime.ok("ps", name).stdout.splitlines()
    assert "PID" in heading.split() and any(str(counting.pid) in line.split() for line in lines)
    assert all("sleep" in line or "sh" in line for line in lines)
    heading, *lines = runtime.ok("ps", name, "-o", "pid,comm").stdout.splitlines()
    assert heading.split() == ["PID", "COMMAND"] and [str(counting.pid), "sh"] in [line.split() for line in lines]
    assert "couldn't find PID field in ps output" in runtime("ps", name, "-o", "comm").stderr
    end(runtime, name, counting)
    assert runtime("ps", name).status == 1


def test_stats(runtime: Runtime, counting: Init, name: str) -> None:
    event = json.loads(runtime.ok("events", "--stats", name).stdout)
    assert (event["type"], event["id"]) == ("stats", name)
    assert {"cpu", "memory", "pids", "blkio", "hugetlb", "intel_rdt"} <= set(event["data"])
    end(runtime, name, counting)


def test_events_until_the_end(runtime: Runtime, counting: Init, name: str) -> None:
    watcher = runtime.popen("events", "--interval", "50ms", name, stdout=subprocess.PIPE)
    assert watcher.stdout is not None
    first, second = (json.loads(watcher.stdout.readline()) for _ in range(2))
    assert first["type"] == second["type"] == "stats"
    runtime.ok("kill", name, "KILL")
    assert counting.wait() == 137
    watcher.communicate(timeout=60)
    assert watcher.returncode == 0
    outcome = runtime("events", name)
    assert outcome.status == 1 and f"container with id {name} is not running" in outcome.stderr
    runtime.ok("delete", name)


@pytest.mark.guest
def test_an_oom_kill_is_an_event(runtime: Runtime, place: Path, name: str) -> None:
    limits = {"memory": {"limit": 16 << 20, "swap": 16 << 20}}
    hungry = "while :; do dd if=/dev/zero of=/dev/null bs=64M count=1; sleep 0.1; done"
    init = runtime.create(name, bundles.bundle(place / "bundle", docker_like(
        process={"args": ["sh", "-c", hungry]}, linux={"resources": limits})))
    runtime.ok("start", name)
    watcher = runtime.popen("events", "--interval", "1h", name, stdout=subprocess.PIPE)
    assert watcher.stdout is not None
    assert json.loads(watcher.stdout.readline()) == {"type": "oom", "id": name}
    runtime.ok("delete", "--force", name)
    assert init.wait() == 137
    watcher.stdout.close()
    watcher.wait(60)


@pytest.mark.guest
def test_update(runtime: Runtime, place: Path, name: str) -> None:
    limits = {"memory": {"limit": 64 << 20, "swap": 128 << 20}, "pids": {"limit": 20},
              "cpu": {"quota": 50000, "period": 100000}}
    init = runtime.create(name, bundles.bundle(place / "bundle", docker_like(
        process={"args": ["sleep", "1000"]}, linux={"resources": limits})))
    runtime.ok("start", name)
    cgroup = world.CGROUP / name

    def files(*wanted: str) -> list[str]:
        return [(cgroup / file).read_text().strip() for file in wanted]

    runtime.ok("update", "--memory", "32m", "--pids-limit", "7", name)
    assert files("memory.max", "pids.max", "cpu.max") == [str(32 << 20), "7", "50000 100000"]
    runtime.ok("update", "--cpu-quota", "25000", name)             # the period stays
    assert files("cpu.max") == ["25000 100000"]
    with open(place / "resources", "w+") as file:
        file.write('{"memory": null, "pids": {"limit": -1}, "cpu": {"shares": 2048}}')
        file.seek(0)
        runtime.ok("update", "--resources=-", name, stdin=file)
    assert files("memory.max", "pids.max") == [str(32 << 20), "max"]
    assert files("cpu.weight") != ["100"]

    before = files("memory.max", "pids.max", "cpu.max", "cpuset.cpus")
    outcome = runtime("update", "--pids-limit", "3", "--memory", "48m", "--cpuset-cpus", "4095", name)
    assert outcome.status == 1 and outcome.stderr.count("\n") == 1
    assert files("memory.max", "pids.max", "cpu.max", "cpuset.cpus") == before       # all or nothing
    end(runtime, name, init)
    assert "container not running" in runtime("update", "--pids-limit", "3", name).stderr or \
        "does not exist" in runtime("update", "--pids-limit", "3", name).stderr


def test_kill_without_a_pid_namespace_reaches_everything(runtime: Runtime, place: Path, name: str) -> None:
    """The init is not pid 1, so its death takes nobody along: the cgroup says who belongs to it."""
    shared = docker_like(process={"args": ["sh", "-c", "sleep 1000 & sleep 1000 & wait"]},
                         linux={"namespaces": namespaces("mount", "ipc", "uts", "network")})
    bundle = bundles.bundle(place / "bundle", shared)
    for signals in (["KILL"], ["--all", "TERM"]):
        init = runtime.create(name, bundle)
        runtime.ok("start", name)
        while len(world.processes_of(name)) < 3:
            time.sleep(0.01)
        runtime.ok("kill", *signals[:-1], name, signals[-1])
        assert init.wait() in (137, 143)
        world.gone(name)
        runtime.ok("delete", name)


def test_delete_takes_orphans_of_a_shared_pid_namespace_along(runtime: Runtime, place: Path, name: str) -> None:
    shared = docker_like(process={"args": ["sh", "-c", "sleep 1000 & sleep 1000 &"]},
                         linux={"namespaces": namespaces("mount", "ipc", "uts", "network")})
    init = runtime.create(name, bundles.bundle(place / "bundle", shared))
    runtime.ok("start", name)
    assert init.wait() == 0
    assert runtime.status(name) == "stopped" and len(world.processes_of(name)) == 2
    runtime.ok("delete", name)
    world.gone(name)


def test_run_keep(runtime: Runtime, place: Path, name: str) -> None:
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["sh", "-c", "exit 4"]}))
    assert runtime.run(name, bundle, "--keep").status == 4
    assert runtime.status(name) == "stopped"
    runtime.ok("delete", name)


@pytest.mark.parametrize("keep", [False, True])
def test_a_run_that_cannot_start_leaves_nothing(runtime: Runtime, place: Path, name: str, keep: bool) -> None:
    before = Snapshot.take(name, runtime.root)
    hook = {"path": "/bin/sh", "args": ["sh", "-c", "exit 3"]}
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["sleep", "1000"]},
                                                          hooks={"poststart": [hook]}))
    outcome = runtime.run(name, bundle, *(["--keep"] if keep else []))
    assert outcome.status == 1 and "hooks.poststart[0]" in outcome.stderr
    assert before.settle(name, runtime.root) == before


def test_run_reaps_what_the_init_left(runtime: Runtime, place: Path, name: str) -> None:
    """A foreground run is a subreaper; orphans of a shared pid namespace come to it and go with it."""
    shared = docker_like(process={"args": ["sh", "-c", "(sleep 0.1; exit 9) & (sleep 1000 & ) ; sleep 0.3; exit 5"]},
                         linux={"namespaces": namespaces("mount", "ipc", "uts", "network")})
    before = Snapshot.take(name, runtime.root)
    assert runtime.run(name, bundles.bundle(place / "bundle", shared)).status == 5
    world.children()
    assert before.settle(name, runtime.root) == before


def test_run_hands_on_every_signal_it_gets(runtime: Runtime, place: Path, name: str) -> None:
    text = 'for s in HUP INT QUIT USR1 USR2 TERM CONT; do trap "echo $s" $s; done; echo ready; ' \
           "while :; do sleep 0.02; done"
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["sh", "-c", text]}))
    process = runtime.popen("run", "--bundle", bundle, name, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM,
                   signal.SIGCONT):
        process.send_signal(number)
        assert process.stdout.readline().decode().strip() == signal.Signals(number).name[3:]
    runtime.ok("kill", name, "KILL")
    assert process.wait(60) == 137
    process.stdout.close()


def until_it_waits(starter: subprocess.Popen[bytes]) -> None:
    """Until `start` is in its wait for the init, whose hook hangs."""
    while not Path(f"/proc/{starter.pid}/syscall").read_text().startswith(f"{POLL} "):
        time.sleep(0.01)


def test_a_start_that_is_interrupted(runtime: Runtime, place: Path, name: str) -> None:
    """SIGTERM while a startContainer hook runs: `start` ends, the container stays what it is, delete --force works."""
    before = Snapshot.take(name, runtime.root)
    hook = {"path": "/bin/sh", "args": ["sh", "-c", "exec sleep 1000"]}
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["true"]}, hooks={"startContainer": [hook]}))
    init = runtime.create(name, bundle)
    starter = runtime.popen("start", name, stderr=subprocess.PIPE)
    until_it_waits(starter)
    starter.send_signal(signal.SIGTERM)
    assert starter.wait(60) == 143 and starter.stderr is not None
    assert b"interrupted by signal 15" in starter.stderr.read()
    starter.stderr.close()
    runtime.ok("delete", "--force", name)
    assert init.wait() == 137
    assert before.settle(name, runtime.root) == before


def test_delete_force_ends_a_start_that_hangs(runtime: Runtime, place: Path, name: str) -> None:
    hook = {"path": "/bin/sh", "args": ["sh", "-c", "exec sleep 1000"]}
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["true"]}, hooks={"startContainer": [hook]}))
    init = runtime.create(name, bundle)
    starter = runtime.popen("start", name, stderr=subprocess.PIPE)
    until_it_waits(starter)
    began = time.monotonic()
    assert runtime.status(name) == "created"               # `state` waits for no lock
    runtime.ok("kill", name, "0")                          # nor does kill
    runtime.ok("delete", "--force", name)
    assert time.monotonic() - began < 60
    assert init.wait() == 137
    assert starter.wait(60) == 1 and starter.stderr is not None
    starter.stderr.close()


def test_the_trace_of_a_run(runtime: Runtime, place: Path, name: str) -> None:
    trace = place / "trace"
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["true"]}))
    argv = runtime.argv("run", "--bundle", bundle, name)
    subprocess.run([argv[0], "--trace", str(trace), *argv[1:]], check=True)
    steps = [json.loads(line)["step"] for line in trace.read_text().splitlines()]
    assert steps[0] == "state.reserve" and "start.release" in steps and steps[-1] == "delete.forget"
    runtime.create(name, bundle)
    for words, step in ((["pause"], "pause.freeze"), (["resume"], "resume.thaw"), (["kill"], "kill.send")):
        subprocess.run([argv[0], "--trace", str(trace), *argv[1:3], *words, name], check=True)
        assert json.loads(trace.read_text().splitlines()[-1])["step"] == step
    runtime.ok("delete", "--force", name)
    (runtime.root / "@trace").touch()                       # the switch that engines cannot drop
    runtime.run(name, bundle)
    assert "start.release" in (runtime.root / "@trace.jsonl").read_text()
    (runtime.root / "@trace").unlink()
    (runtime.root / "@trace.jsonl").unlink()


def test_only_containers_with_an_annotation_are_traced(runtime: Runtime, place: Path, name: str) -> None:
    trace = runtime.root / "@trace.jsonl"
    (runtime.root / "@trace").write_text("org.example.trace\n")
    for value, traced in ((None, False), ("false", False), ("true", True)):
        annotations = {} if value is None else {"org.example.trace": value}
        config = {**docker_like(process={"args": ["sleep", "1000"]}), "annotations": annotations}
        runtime.create(name, bundles.bundle(place / f"bundle-{value}", config))
        runtime.ok("start", name)
        runtime.ok("exec", name, "true")
        runtime.ok("delete", "--force", name)
        assert trace.exists() == traced
    steps = [json.loads(line)["step"] for line in trace.read_text().splitlines()]
    assert {"state.reserve", "start.release", "join.verify", "delete.forget"} <= {*steps}
    (runtime.root / "@trace").unlink()
    trace.unlink()


# ---- crun's additions -----------------------------------------------------------------------------------------------
def test_a_config_of_another_name(runtime: Runtime, place: Path, name: str) -> None:
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["echo", "config.json"]}))
    (bundle / "other.json").write_text(json.dumps(docker_like(process={"args": ["echo", "other"]})))
    assert runtime.run(name, bundle, "--config", "other.json", cwd=bundle).stdout == "other\n"
    assert runtime.run(name, bundle, "-f", str(bundle / "other.json")).stdout == "other\n"
    assert "none.json not found" in runtime.run(name, bundle, "--config", "none.json").stderr
    assert runtime.run(name, bundle, "--config", "bundle/other.json", cwd=bundle.parent).stdout == "other\n", "as crun"


def test_no_cgroup_manager(runtime: Runtime, place: Path, name: str) -> None:
    """The container stays where the caller is; a limit is refused."""
    own = Path("/proc/self/cgroup").read_text()
    config = docker_like(process={"args": ["sleep", "1000"]}, linux={"resources": {"pids": {"limit": 9}}})
    bundle = bundles.bundle(place / "bundle", config)
    runtime.options = ["--cgroup-manager", "disabled"]
    assert "pids.max cannot be set: cgroups are disabled" in runtime("create", "--bundle", bundle, name).stderr
    del config["linux"]["resources"]
    init = runtime.create(name, bundles.write(bundle, config))
    runtime.ok("start", name)
    assert Path(f"/proc/{init.pid}/cgroup").read_text() == own
    assert not Snapshot.take(name, runtime.root).cgroups
    runtime.ok("delete", "--force", name)
    assert init.wait() == 137
