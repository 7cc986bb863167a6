"""CRI-O's half of the work: conmon with its flags, pipes and files, and the runtime commands CRI-O gives itself.

CRI-O is not in Debian 12; what it asks of a runtime goes through conmon and these commands.
"""
from __future__ import annotations

import json
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import runtimes
from tests.bundles import PATH, docker_like

from .conmon import Container, CreateFailed, Crio
from .waiting import until

pytestmark = [pytest.mark.guest_engines, pytest.mark.timeout(900)]

MB = 1 << 20


@pytest.fixture
def crio(private_world: None, binary: str) -> Iterator[Crio]:
    place = Path(tempfile.mkdtemp(prefix="crio-", dir="/tmp"))
    yield Crio(binary, place)
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def made(crio: Crio, name: str) -> Iterator[Made]:
    maker = Made(crio, name)
    yield maker
    maker.clean_up()


class Made:
    """Makes containers with ids of this test; they are deleted after it."""

    def __init__(self, crio: Crio, name: str) -> None:
        self.crio, self.name, self.ids = crio, name, list[str]()

    def __call__(self, script: str, *flags: str | Path, **changes: Any) -> Container:
        """Created; the shell script is its first process. changes: docker_like()'s."""
        process = {"args": ["sh", "-c", script], **changes.pop("process", {})}
        id = f"{self.name}-{len(self.ids)}"
        self.ids.append(id)
        linux = {"cgroupsPath": f"/crio/{id}", **changes.pop("linux", {})}
        return Container(self.crio, id, docker_like(process=process, linux=linux, **changes), *flags)

    def run(self, script: str, *flags: str | Path, **changes: Any) -> Container:
        container = self(script, *flags, **changes)
        container.start()
        return container

    def clean_up(self) -> None:
        for id in self.ids:
            self.crio.runtime("delete", "--force", id)


@pytest.mark.every_time
def test_life_of_a_container(made: Made) -> None:
    container = made("echo out; echo err >&2; exit 7")
    state = container.state()
    assert (state["status"], state["pid"], state["id"]) == ("created", container.pid, container.id)
    assert (container.bundle / "pidfile").read_text() == str(container.pid)
    assert container.log() == []
    container.start()
    assert container.wait() == 7
    assert sorted(container.log()) == [("stderr", "err"), ("stdout", "out")]
    assert container.state()["status"] == "stopped"
    container.delete()
    until(lambda: not container.left(), container.left)
    gone = made.crio.runtime("state", container.id)
    assert gone.returncode != 0 and "does not exist" in gone.stderr


def test_a_name_as_the_stop_signal_then_kill(made: Made) -> None:
    container = made.run("trap 'echo asked' TERM; echo ready; while :; do sleep 0.1; done")
    until(lambda: container.log() == [("stdout", "ready")], container.log)
    made.crio.ok("kill", container.id, "SIGTERM")
    until(lambda: ("stdout", "asked") in container.log(), container.log)
    made.crio.ok("kill", container.id, "15")
    assert container.state()["status"] == "running"
    made.crio.ok("kill", container.id, "KILL")
    assert container.wait() == 137
    refused = made.crio.runtime("kill", container.id, "KILL")
    assert refused.returncode != 0 and "container not running" in refused.stderr


def test_delete_force_of_a_running_container(made: Made) -> None:
    container = made.run("sleep 1000")
    container.delete()
    assert container.wait() == 137
    until(lambda: not container.left(), container.left)
    container.delete()                                 # again: CRI-O may ask twice


@pytest.mark.every_time
def test_exec_sync(made: Made) -> None:
    container = made.run("sleep 1000")
    done = container.exec("sh", "-c", "echo out; echo err >&2; exit 5")
    assert (done.exit_code, done.stdout, done.stderr) == (5, "out\n", "err\n")
    done = container.exec("sh", "-c", "id -u; pwd; echo $A", user={"uid": 1000, "gid": 1000}, cwd="/tmp",
                          env=[PATH, "A=b"])
    assert done.stdout.splitlines() == ["1000", "/tmp", "b"]
    done = container.exec("sh", "-c", "kill -9 $$; sleep 9")
    assert done.exit_code == 137


def test_exec_sync_of_nothing_executable(made: Made) -> None:
    container = made.run("sleep 1000")
    done = container.exec("nonesuch")
    assert done.exit_code != 0 and "executable file not found in $PATH" in done.message
    assert container.state()["status"] == "running"


def test_exec_sync_out_of_time(made: Made) -> None:
    container = made.run("sleep 1000")
    done = container.exec("sleep", "2000", seconds=3)
    assert (done.exit_code, done.message) == (-1, "command timed out")
    until(lambda: "sleep 2000" not in container.exec("ps", "-o", "args").stdout, container.log)


def test_exec_stream(made: Made) -> None:
    """CRI-O streams an exec by the runtime itself, in the foreground."""
    container = made.run("sleep 1000")
    spec = container.bundle / "process"
    spec.write_text(json.dumps({**container.config["process"], "args": ["sh", "-c", "read x; echo got $x; exit 9"]}))
    done = made.crio.runtime("exec", "--process", str(spec), container.id, stdin="something\n")
    assert (done.returncode, done.stdout, done.stderr) == (9, "got something\n", "")


def test_terminal(made: Made) -> None:
    container = made.run("tty; until stty size | grep -q '44 133'; do sleep 0.1; done; read x; echo got $x; exit 6",
                         process={"terminal": True})
    with container.attach() as client:
        until(lambda: bool(container.log()), container.log)
        container.resize(44, 133)
        client.sendall(b"something\n")
        said = b""
        while b"got something\r\n" not in said:
            packet = client.recv(8192)
            assert packet and packet[0] == 2, said
            said += packet[1:]
    assert container.wait() == 6
    lines = [text.strip() for _, text in container.log()]
    assert lines[0].startswith("/dev/") and lines[-1] == "got something"


def test_terminal_of_an_exec(made: Made) -> None:
    container = made.run("sleep 1000", process={"terminal": True})
    done = container.exec("sh", "-c", "tty; exit 3")
    assert (done.exit_code, done.stdout.strip()) == (3, "/dev/pts/1")


def test_standard_input(made: Made) -> None:
    container = made.run("read x; echo got $x; exit 4", "--leave-stdin-open", "-i")
    with container.attach() as client:
        client.sendall(b"something\n")
        assert client.recv(8192) == b"\2got something\n"
    assert container.wait() == 4


@pytest.mark.parametrize(("change", "said"), [
    ({"process": {"args": ["nonesuch"]}}, "executable file not found in $PATH"),
    ({"process": {"args": ["/etc/passwd"]}}, "permission denied"),
    ({"mounts": [{"destination": "/mnt", "source": "/nonesuch", "options": ["bind"]}]}, "no such file or directory"),
    ({"linux": {"resources": {"memory": {"limit": 16384}}}}, "memory"),
], ids=["nothing in PATH", "no program", "no source of a mount", "too little memory"])
def test_a_failing_create_tells_why(change: dict[str, Any], said: str, made: Made) -> None:
    with pytest.raises(CreateFailed) as raised:
        made("true", **change)
    message = str(raised.value)
    assert said.lower() in message.lower(), message
    made.crio.runtime("delete", "--force", made.ids[0])
    assert not (made.crio.place / "root" / made.ids[0]).exists()


def test_out_of_memory_is_seen(made: Made) -> None:
    container = made.run("dd if=/dev/zero of=/dev/null bs=64M count=1; echo died",
                         linux={"resources": {"memory": {"limit": 16 * MB}}})
    container.wait()
    assert ("stdout", "died") in container.log()
    until(lambda: (container.bundle / "oom").exists() and (container.persist / "oom").exists(), container.log)


def test_update(made: Made) -> None:
    container = made.run("sleep 1000")
    group = Path("/sys/fs/cgroup/crio", container.id)
    assert str(container.pid) in (group / "cgroup.procs").read_text().split()
    made.crio.ok("update", "--resources", "-", container.id, stdin=json.dumps({
        "memory": {"limit": 96 * MB, "swap": 96 * MB}, "cpu": {"shares": 1024, "quota": 70000, "period": 100000,
                                                                 "cpus": "0"}}))
    assert [(group / name).read_text().strip() for name in ("memory.max", "cpu.max", "cpuset.cpus")] == [
        str(96 * MB), "70000 100000", "0"]


def test_pause_and_resume(made: Made) -> None:
    container = made.run("while :; do echo tick; sleep 0.1; done")
    made.crio.ok("pause", container.id)
    assert container.state()["status"] == "paused"
    refused = container.exec("true")
    assert refused.exit_code != 0 and "paused" in refused.message
    made.crio.ok("resume", container.id)
    assert container.state()["status"] == "running" and container.exec("true").exit_code == 0


def test_two_containers_in_one_pod(made: Made) -> None:
    """CRI-O pins a pod's namespaces, or names the first container's, by path."""
    first = made.run("sleep 1000", hostname="pod")
    joined = [{"type": kind, "path": f"/proc/{first.pid}/ns/{link}"}
              for kind, link in (("network", "net"), ("ipc", "ipc"), ("uts", "uts"))]
    second = made.run("hostname; for kind in net ipc uts; do readlink /proc/self/ns/$kind; done",
                      linux={"namespaces": [*joined, {"type": "pid"}, {"type": "mount"}]}, hostname=None)
    assert second.wait() == 0
    assert [text for _, text in second.log()] == [
        "pod", *(Path(f"/proc/{first.pid}/ns/{kind}").readlink().name for kind in ("net", "ipc", "uts"))]


def test_all_processes_of_a_container_in_the_hosts_pid_namespace(made: Made) -> None:
    kinds = [{"type": kind} for kind in ("mount", "network", "ipc", "uts", "cgroup")]
    container = made.run("sleep 4000 & echo $!; exit 0", linux={"namespaces": kinds})
    assert container.wait() == 0
    child = int(container.log()[0][1])
    until(lambda: Path(f"/proc/{child}/cmdline").read_bytes() == b"sleep\x004000\0", container.log)
    made.crio.runtime("kill", "-a", container.id, "9")
    container.delete()
    until(lambda: not Path(f"/proc/{child}/cmdline").exists() or not Path(f"/proc/{child}/cmdline").read_bytes(),
          container.left)


def test_checkpoint_and_restore(made: Made) -> None:
    container = made.run("i=0; while :; do i=$((i+1)); echo $i >/dev/shm/count; sleep 0.1; done")
    until(lambda: container.exec("cat", "/dev/shm/count").stdout.strip() not in ("", "0"), container.log)
    image = container.bundle / "checkpoint"
    made.crio.ok("checkpoint", "--file-locks", "--image-path", str(image), "--work-path", str(container.bundle),
                 container.id)
    assert container.wait() == 137
    container.delete()
    again = Container(made.crio, container.id, container.config, "--restore", image)
    assert again.state()["status"] == "running"
    before = int(again.exec("cat", "/dev/shm/count").stdout)
    assert before > 0
    until(lambda: int(again.exec("cat", "/dev/shm/count").stdout) > before, again.log)


def test_what_crio_asks_when_it_starts(crio: Crio) -> None:
    """`features` and `--version` are read from standard output and error together."""
    def both(*args: str) -> str:
        return subprocess.run([crio.binary, *args], env={}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=60, check=True).stdout

    assert both("--version").startswith("runc version ")
    features = json.loads(both("features"))
    assert features["ociVersionMin"] and features["ociVersionMax"]


def test_trace(private_world: None, request: pytest.FixtureRequest, name: str, place: Path) -> None:
    """docs/engines.md: a switch file in the state root for every command, `monitor_env` for what conmon runs."""
    binary = runtimes.find(request.config.getoption("runtime"))
    crio = Crio(binary, place / "crio", monitor_env={"PYRUNC_TRACE": str(place / "trace")})
    container = Container(crio, name, docker_like(linux={"cgroupsPath": f"/crio/{name}"}))
    assert '"root.switch"' in (place / "trace").read_text()
    (crio.place / "root/@trace").touch()
    container.start()
    container.wait()
    container.delete()
    assert '"delete' in (crio.place / "root/@trace.jsonl").read_text()


@pytest.mark.guest_systemd
def test_systemd_cgroup_manager(private_world: None, binary: str, name: str, place: Path) -> None:
    crio = Crio(binary, place / "crio", systemd=True)
    config = docker_like(process={"args": ["sleep", "1000"]}, linux={
        "cgroupsPath": f"kubepods-{name}.slice:crio:{name}", "resources": {"memory": {"limit": 64 * MB}}},
        annotations={"org.systemd.property.CollectMode": "'inactive-or-failed'",
                     "org.systemd.property.TimeoutStopUSec": "uint64 10000000",
                     "org.systemd.property.DefaultDependencies": "true"})
    container = Container(crio, name, config)
    try:
        container.start()
        line = Path(f"/proc/{container.pid}/cgroup").read_text().strip()
        assert line.endswith(f"/crio-{name}.scope")
        group = Path("/sys/fs/cgroup" + line.removeprefix("0::"))
        assert (group / "memory.max").read_text() == f"{64 * MB}\n"
        assert container.exec("true").exit_code == 0
        crio.ok("kill", name, str(int(signal.SIGKILL)))
        assert container.wait() == 137
    finally:
        container.delete()
    until(lambda: not group.exists(), container.left)
