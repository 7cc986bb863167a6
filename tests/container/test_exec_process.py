"""exec: the new process is who, where and as confined as its process object says, not as the container's init is."""
from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests import bundles
from tests.bundles import docker_like, merge, minimal, namespaces
from tests.runtimes import Runtime, for_anyone
from tests.seccomp_profile import small


@pytest.fixture
def running(runtime: Runtime, place: Path, name: str) -> Path:
    """A container that sleeps, with a filter and a user of its own; the bundle."""
    config = merge(docker_like(process={"args": ["sleep", "1000"], "user": {"uid": 1000, "gid": 1000}, "cwd": "/tmp"}),
                   {"linux": {"seccomp": small()}})
    bundle = bundles.bundle(place / "bundle", config)
    runtime.create(name, bundle)
    runtime.ok("start", name)
    return bundle


def ran(runtime: Runtime, name: str, bundle: Path, process: dict[str, Any], script: str) -> list[str]:
    given = {"cwd": "/", "env": [bundles.PATH], "user": {"uid": 0, "gid": 0}, "args": ["sh", "-c", script], **process}
    file = bundle / "process.json"
    file.write_text(json.dumps(given))
    return runtime.ok("exec", "--process", file, name).stdout.splitlines()


@pytest.mark.parametrize("process, script, lines", [
    ({"user": {"uid": 7, "gid": 8, "additionalGids": [9]}}, "id -u; id -g; id -G", ["7", "8", "8 9"]),
    ({"user": {"uid": 0, "gid": 0, "umask": 63}}, "umask", ["0077"]),
    ({"cwd": "/var", "env": [bundles.PATH, "A=1", "A=2"]}, "pwd; echo $A $HOME", ["/var", "2 /root"]),
    ({"user": {"uid": 1000, "gid": 0}}, "echo $HOME", ["/home/user"]),
    ({"capabilities": {"bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"], "effective": ["CAP_KILL"]}},
     "grep -E 'CapEff|CapBnd' /proc/self/status | cut -f2", ["0000000000000020"] * 2),
    ({"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 50, "hard": 60}]}, "ulimit -n; ulimit -Hn", ["50", "60"]),
    ({"oomScoreAdj": 321}, "cat /proc/self/oom_score_adj", ["321"]),
    ({"noNewPrivileges": True}, "grep NoNewPrivs /proc/self/status | cut -f2", ["1"]),
    ({"scheduler": {"policy": "SCHED_BATCH"}}, "cut -d' ' -f41 /proc/self/stat", ["3"]),
])
def test_properties(process: dict[str, Any], script: str, lines: list[str], runtime: Runtime, running: Path,
                    name: str) -> None:
    assert ran(runtime, name, running, process, script) == lines


def test_oom_score_adj_is_otherwise_the_containers(runtime: Runtime, place: Path, name: str) -> None:
    config = docker_like(process={"args": ["sleep", "1000"], "oomScoreAdj": 432})
    bundle = bundles.bundle(place / "bundle", config)
    runtime.create(name, bundle)
    runtime.ok("start", name)
    assert ran(runtime, name, bundle, {}, "cat /proc/self/oom_score_adj") == ["432"]
    assert runtime.ok("exec", name, "cat", "/proc/self/oom_score_adj").stdout == "432\n"


# The filter is the container's (config.linux), whatever the process object says.
@pytest.mark.parametrize("nnp", [True, False])
def test_filter(nnp: bool, runtime: Runtime, running: Path, name: str) -> None:
    said = ran(runtime, name, running, {"noNewPrivileges": nnp}, "mkdir /tmp/x 2>&1; grep Seccomp: /proc/self/status")
    assert said == ["mkdir: can't create directory '/tmp/x': No space left on device", "Seccomp:\t2"]


def test_session_keyring_is_the_containers(runtime: Runtime, place: Path, name: str) -> None:
    config = docker_like(process={"args": ["sleep", "1000"]}, linux={"maskedPaths": []})
    runtime.create(name, bundles.bundle(place / "bundle", config))
    runtime.ok("start", name)
    keys = runtime.ok("exec", name, "cat", "/proc/keys").stdout.splitlines()
    assert len([line for line in keys if f"_ses.{name}:" in line]) == 1


def test_no_new_keyring_holds_for_exec(runtime: Runtime, place: Path, name: str) -> None:
    config = docker_like(process={"args": ["sleep", "1000"]}, linux={"maskedPaths": []})
    runtime.create(name, bundles.bundle(place / "bundle", config), "--no-new-keyring")
    runtime.ok("start", name)
    assert f"_ses.{name}:" not in runtime.ok("exec", name, "cat", "/proc/keys").stdout


def test_exec_by_an_ordinary_user(runtime: Runtime, place: Path) -> None:
    """Without a cgroup of its own and without the right to write below /proc of a process that is not dumpable."""
    mapping = [{"containerID": 0, "hostID": 1000, "size": 1}]
    bundle = bundles.bundle(place / "bundle", minimal(
        process={"args": ["sleep", "1000"], "oomScoreAdj": 500,
                 "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]},
        linux={"namespaces": namespaces("user", "pid", "mount"), "uidMappings": mapping, "gidMappings": mapping}))
    state = place / "user"
    state.mkdir()
    for path in (bundle, state):
        subprocess.run(["chown", "-R", "1000:1000", path], check=True)

    def call(*args: str) -> str:
        command = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", for_anyone(runtime.path),
                   "--root", f"{state}/root", *args]
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, timeout=60,
                                  check=False)
            output.seek(0)
            said = output.read()
        assert done.returncode == 0, said
        return said
    call("run", "--detach", "--bundle", str(bundle), "rootless")
    try:
        assert call("exec", "rootless", "sh", "-c", "id -u; cat /proc/self/oom_score_adj; ulimit -n").split() == [
            "0", "500", "100"]
    finally:
        call("delete", "--force", "rootless")


@pytest.mark.parametrize("path", ["nosuch", "/nosuch", "a/b/c", "cgroup.procs", "pids:nosuch"])
def test_a_cgroup_that_is_not_there_is_said_at_once(path: str, runtime: Runtime, place: Path, name: str) -> None:
    """It took two seconds, in which the container could have ended."""
    runtime.create(name, bundles.bundle(place / "bundle", minimal(process={"args": ["sleep", "1000"]})))
    runtime.ok("start", name)
    outcome = runtime("exec", "--cgroup", path, name, "true")
    assert outcome.status == 255 and "step join.cgroup" in outcome.stderr and "not running" not in outcome.stderr
    assert outcome.seconds < 1.5
