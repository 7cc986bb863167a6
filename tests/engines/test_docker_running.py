"""Docker 20.10: what is done with a running container, under runc and pyrunc. The scenarios share one for each."""
from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.world import CGROUP

from .docker import Docker

pytestmark = [pytest.mark.guest_engines, pytest.mark.timeout(900)]      # it is the client that is timed

FLAGS = ("-e", "A=image", "-p", "127.0.0.1::8080", "--ipc", "shareable", "-v", "/data")
#: What a container looks like when the user asks for nothing.
PLAIN = {
    "privileges": ("grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/1/status; cat /proc/1/attr/current",
                   ["CapEff:\t00000000a80425fb", "CapBnd:\t00000000a80425fb", "NoNewPrivs:\t0", "Seccomp:\t2",
                    "docker-default (enforce)"]),
    "system calls": ("busybox unshare -U true", ["unshare: unshare(0x10000000): Operation not permitted"]),
    "hidden paths": ("wc -c </proc/timer_list; ls /sys/firmware | wc -l; touch /proc/sys/kernel/hostname",
                     ["0", "0", "touch: /proc/sys/kernel/hostname: Read-only file system"]),
    "control group": ("cat /proc/self/cgroup; mkdir /sys/fs/cgroup/x",
                      ["0::/", "mkdir: can't create directory '/sys/fs/cgroup/x': Read-only file system"]),
}


@pytest.fixture
def box(docker: Docker) -> str:
    """The name of a container that runs on for all tests of its runtime."""
    name = f"box-{docker.runtime}"
    docker.sections(name, FLAGS, {title: script for title, (script, _) in PLAIN.items()})
    return name


@pytest.mark.every_time
@pytest.mark.parametrize("title", PLAIN)
def test_without_flags(title: str, docker: Docker, box: str) -> None:
    assert docker.daemon.shared[box][title] == PLAIN[title][1]


@pytest.mark.every_time
def test_exec_streams_and_exit_code(docker: Docker, box: str) -> None:
    done = docker.cli("exec", "-i", box, "sh", "-c", "cat; echo err >&2; echo $A; exit 5", stdin="in\n")
    assert (done.status, done.stdout, done.stderr) == (5, "in\nimage\n", "err\n")


def test_exec_options(docker: Docker, box: str) -> None:
    said = docker.exec("-u", "1000:5", "-w", "/tmp", "-e", "A=exec", box, "sh", "-c", "id -u; id -g; echo $PWD $A")
    assert said == ["1000", "5", "/tmp exec"]
    capabilities = "grep CapEff /proc/self/status"
    plain, = docker.exec(box, "sh", "-c", capabilities)
    every, = docker.exec("--privileged", box, "sh", "-c", capabilities)
    assert (plain, every) == ("CapEff:\t00000000a80425fb", "CapEff:\t0000003fffffffff")


def test_exec_detached(docker: Docker, box: str) -> None:
    docker.ok("exec", "-d", box, "touch", "/tmp/detached")
    docker.exec(box, "sh", "-c", "until test -e /tmp/detached; do sleep 0.1; done")


def test_exec_on_a_terminal(docker: Docker, box: str) -> None:
    with docker.daemon.terminal("exec", "-it", box, "sh", rows=30, columns=90) as terminal:
        terminal.ask("tty; stty size", "/dev/pts/0\r\n30 90\r\n")
        terminal.resize(31, 91)
        terminal.ask("stty size", "31 91\r\n")
        terminal.write("exit 4\n")
        assert terminal.wait() == 4


@pytest.mark.parametrize(("program", "status", "said"), [
    ("nonesuch", 126, "executable file not found in $PATH"), ("/nonesuch", 126, "no such file or directory"),
    ("/etc/passwd", 126, "permission denied")])
def test_a_failing_exec_tells_why(program: str, status: int, said: str, docker: Docker, box: str) -> None:
    done = docker.cli("exec", box, program)
    assert done.status == status and "OCI runtime exec failed" in done.stderr + done.stdout
    assert said in done.stderr + done.stdout


def test_top(docker: Docker, box: str) -> None:
    head, *rows = docker.ok("top", box, "-o", "pid,comm").splitlines()
    assert head.split() == ["PID", "COMMAND"] and [row.split()[1] for row in rows][:1] == ["sh"] and len(rows) >= 2
    assert rows[0].split()[0] == str(docker.state(box)["Pid"])


def test_pause_and_unpause(docker: Docker, box: str) -> None:
    docker.ok("pause", box)
    try:
        assert docker.state(box)["Status"] == "paused"
        relative = Path("/proc", str(docker.state(box)["Pid"]), "cgroup").read_text().strip().removeprefix("0::/")
        assert (CGROUP / relative / "cgroup.freeze").read_text() == "1\n"
        refused = docker.cli("exec", box, "true")
        assert refused.status == 1 and "is paused, unpause the container before exec" in refused.stderr
    finally:
        docker.ok("unpause", box)
    assert docker.state(box)["Status"] == "running" and docker.exec(box, "echo", "again") == ["again"]


def test_copy_and_diff(docker: Docker, box: str, place: Path) -> None:
    (place / "in").write_text("from the host\n")
    docker.ok("cp", str(place / "in"), f"{box}:/root/in")
    assert docker.exec(box, "sh", "-c", "cat /root/in; echo from inside >/root/out") == ["from the host"]
    docker.ok("cp", f"{box}:/root/out", str(place / "out"))
    assert (place / "out").read_text() == "from inside\n"
    assert {"C /root", "A /root/in", "A /root/out"} <= set(docker.ok("diff", box).splitlines())


def test_commit(docker: Docker, box: str) -> None:
    docker.exec(box, "sh", "-c", "echo kept >/root/kept")
    tag = f"pyrunc/{docker.name}"
    docker.ok("commit", "-c", 'CMD ["cat", "/root/kept"]', box, tag)
    assert docker.lines(tag) == ["kept"]


def test_namespaces_and_volumes_of_another(docker: Docker, box: str) -> None:
    """--pid, --ipc and --network container:NAME, --volumes-from."""
    docker.exec(box, "sh", "-c", "echo shared >/dev/shm/x; echo kept >/data/x")
    script = ("cat /dev/shm/x /data/x; touch /data/y; for x in pid ipc net; do readlink /proc/self/ns/$x; done; "
              "tr '\\0' ' ' </proc/1/cmdline | head -c 5")
    other = f"container:{box}"
    said = docker.script(script, "--pid", other, "--ipc", other, "--network", other, "--volumes-from", f"{box}:ro")
    theirs = Path("/proc", str(docker.state(box)["Pid"]), "ns")
    assert said == ["shared", "kept", "touch: /data/y: Read-only file system",
                    *((theirs / name).readlink().name for name in ("pid", "ipc", "net")), "sh -c"]


@pytest.mark.every_time
def test_published_port(docker: Docker, box: str) -> None:
    """From the host: by the published port, and by the container's address."""
    serve(docker, box)
    settings = docker.inspect(box)["NetworkSettings"]
    published, = settings["Ports"]["8080/tcp"]
    assert ask("127.0.0.1", int(published["HostPort"])) == "hello\n"
    assert ask(settings["IPAddress"], 8080) == "hello\n"
    assert docker.ok("port", box, "8080") == f"127.0.0.1:{published['HostPort']}\n"


def test_names_on_a_network(docker: Docker, box: str) -> None:
    """Networks come to a running container and go; on one that a user has made, containers find each other by name."""
    serve(docker, box)
    network = f"{docker.name}-net"
    docker.ok("network", "create", "--subnet", "10.77.0.0/24", network)
    docker.ok("network", "connect", "--alias", "server", network, box)
    script = (f"for name in server {box}; do until busybox nc -w 60 $name 8080 </dev/null; do sleep 0.2; done; done; "
              "ls /sys/class/net; cat /etc/resolv.conf; busybox nc nonesuch 8080")
    said = docker.script(script, "--network", network, "--ip", "10.77.0.9")
    assert said[:4] == ["hello", "hello", "eth0", "lo"] and "nameserver 127.0.0.11" in said
    assert said[-1].startswith("nc: bad address 'nonesuch'")
    links = (box, "sh", "-c", "ls /sys/class/net")
    assert docker.exec(*links) == ["eth0", "eth1", "lo"]
    docker.ok("network", "disconnect", network, box)
    assert docker.exec(*links) == ["eth0", "lo"]


def serve(docker: Docker, box: str) -> None:
    """Have the container answer on its port 8080, once for all."""
    script = ("test -e /serving || { busybox nc -ll -p 8080 -e echo hello >/serving 2>&1 </dev/null & }; "
              "until grep -q :1F90 /proc/net/tcp /proc/net/tcp6; do sleep 0.1; done")
    docker.exec(box, "sh", "-c", script)


def ask(address: str, port: int) -> str:
    with socket.create_connection((address, port), 60) as client:
        return client.makefile().read()


def test_stats(docker: Docker, box: str) -> None:
    usage, processes = docker.ok("stats", "--no-stream", "--format", "{{.MemUsage}};{{.PIDs}}", box).split(";")
    used, limit = usage.split(" / ")
    assert limit.endswith("GiB") and used[-2:] in ("iB", "kB") and not used.startswith("0B") and int(processes) >= 2
    numbers = docker.daemon.api("GET", f"/containers/{box}/stats?stream=false")
    assert numbers["cpu_stats"]["cpu_usage"]["total_usage"] > 0 and numbers["networks"]["eth0"]["rx_bytes"] >= 0


def test_inspect(docker: Docker, box: str) -> None:
    """Process and network sandbox are the container's own: Docker's prestart hook got its pid from the runtime."""
    found = json.loads(docker.ok("inspect", box))[0]
    assert found["HostConfig"]["Runtime"] == docker.runtime
    sandbox, own = Path(found["NetworkSettings"]["SandboxKey"]), Path("/proc", str(found["State"]["Pid"]), "ns/net")
    assert sandbox.stat().st_ino == own.stat().st_ino


def test_update(docker: Docker, box: str) -> None:
    """The last of this file: the container keeps its limits."""
    docker.ok("update", "-m", "48m", "--memory-swap", "-1", "--cpus", "1.25", "--pids-limit", "30",
              "--cpuset-cpus", "0", box)
    files = "cd /sys/fs/cgroup; cat memory.max cpu.max pids.max cpuset.cpus"
    assert docker.exec(box, "sh", "-c", files) == [str(48 << 20), "125000 100000", "30", "0"]
    forks = docker.cli("exec", box, "sh", "-c", "for i in $(seq 40); do sleep 9 & done")
    assert forks.status == 2 and "can't fork" in forks.stderr
