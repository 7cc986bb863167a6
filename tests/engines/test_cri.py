"""containerd 1.6's CRI plugin over gRPC, as the kubelet calls it: handler `pyrunc` beside `runc`.

User namespaces of pods come with containerd 1.7; what 1.6 has in their place is the host's namespaces.
"""
from __future__ import annotations

import socket
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests import runtimes, world

from .cri import Cri, Pod, until
from .streaming import STDERR, STDIN, STDOUT, Stream

pytestmark = [pytest.mark.guest_engines, pytest.mark.timeout(300)]

SLEEP = ("sleep", "1000")
MB = 1 << 20


@pytest.fixture(scope="module")
def daemon(private_world: None, request: pytest.FixtureRequest) -> Iterator[Cri]:
    place = Path(tempfile.mkdtemp(prefix="cri-", dir="/tmp"))
    handlers = {"runc": runtimes.find("runc"), "pyrunc": runtimes.find(request.config.getoption("runtime"))}
    cri = Cri(place, handlers)
    yield cri
    cri.stop()


@pytest.fixture
def handler(binary: str) -> str:
    """The name under which the configuration knows the runtime."""
    return "runc" if Path(binary).name == "runc" else "pyrunc"


@pytest.fixture
def pods(daemon: Cri, handler: str, name: str) -> Iterator[Pods]:
    maker = Pods(daemon, handler, name)
    yield maker
    for pod in maker.made:
        pod.remove()


@pytest.fixture
def pod(daemon: Cri, handler: str) -> Iterator[Pod]:
    """The runtime's shared pod; a scenario's containers are gone after it."""
    shared = daemon.pod(handler)
    yield shared
    left = daemon.runtime.ListContainers(daemon.api.ListContainersRequest(filter={"pod_sandbox_id": shared.id}))
    for container in left.containers:
        daemon.runtime.RemoveContainer(daemon.api.ContainerId(container_id=container.id), timeout=120)


class Pods:
    """Makes pods of one runtime that are removed after the scenario."""

    def __init__(self, daemon: Cri, handler: str, name: str) -> None:
        self.daemon, self.handler, self.name, self.made = daemon, handler, name, list[Pod]()

    def __call__(self, **config: Any) -> Pod:
        pod = Pod(self.daemon, self.handler, f"{self.name}-{len(self.made)}", **config)
        self.made.append(pod)
        return pod


def security(**context: Any) -> dict[str, Any]:
    """The part of a container's configuration, or a pod's, with this security context."""
    return {"linux": {"security_context": context}}


def namespaces(process: int | str, *kinds: str) -> list[str]:
    """The namespaces of a process, as the kernel names them."""
    return [Path(f"/proc/{process}/ns/{kind}").readlink().name for kind in kinds]


# ---- pods

@pytest.mark.every_time
def test_pod_sandbox(pods: Pods) -> None:
    pod = pods()
    status = pod.status()
    assert (status.state, status.runtime_handler) == (0, pods.handler)
    assert status.network.ip.startswith("10.88.77.")
    pod.stop()
    assert pod.status().state == 1
    pod.remove()
    until(lambda: not pods.daemon.left(pod.id), lambda: pods.daemon.left(pod.id))
    with pytest.raises(pods.daemon.error, match="not found"):
        pod.status()


def test_an_unknown_handler_is_refused(daemon: Cri, name: str) -> None:
    with pytest.raises(daemon.error, match='no runtime for "nonesuch" is configured'):
        Pod(daemon, "nonesuch", name)


def test_containers_of_a_pod_share_what_they_should(pod: Pod) -> None:
    one, other = pod.run(*SLEEP), pod.run(*SLEEP)
    shared, own = ("net", "ipc", "uts"), ("pid", "mnt", "cgroup")
    assert namespaces(one.pid(), *shared) == namespaces(other.pid(), *shared)
    for kind in own:
        assert len({*namespaces(one.pid(), kind), *namespaces(other.pid(), kind), *namespaces("self", kind)}) == 3
    assert not set(namespaces(one.pid(), *shared)) & set(namespaces("self", *shared))
    assert one.says("hostname; ip -o addr show dev eth0")[0] == pod.config["hostname"]
    assert pod.status().network.ip in one.says("ip -o addr show dev eth0")[0]
    one.says("echo there >/dev/shm/file")
    assert other.says("cat /dev/shm/file") == ["there"]


def test_shared_processes(pods: Pods) -> None:
    pod = pods(**security(namespace_options={"pid": "POD"}))
    one = pod.run(*SLEEP, **security(namespace_options={"pid": "POD"}))
    other = pod.run("sleep", "2000", **security(namespace_options={"pid": "POD"}))
    assert namespaces(one.pid(), "pid") == namespaces(other.pid(), "pid")
    seen = "\n".join(one.says("ps -o pid,args"))
    assert "sleep 1000000" in seen and "sleep 2000" in seen
    assert one.says("echo $$")[0] != "1"
    one.stop()
    assert one.status().exit_code == 137 and other.state() == "running"


def test_processes_of_a_target(pod: Pod) -> None:
    one = pod.run("sleep", "3000")
    debugger = pod.run(*SLEEP, **security(namespace_options={"pid": "TARGET", "target_id": one.id}))
    assert namespaces(debugger.pid(), "pid") == namespaces(one.pid(), "pid")
    assert "sleep 3000" in "\n".join(debugger.says("ps -o args"))


@pytest.mark.parametrize(("kind", "link"), [("network", "net"), ("pid", "pid"), ("ipc", "ipc")])
def test_host_namespace(kind: str, link: str, pods: Pods) -> None:
    options = security(namespace_options={"pid": "CONTAINER", kind: "NODE"})
    pod = pods(**options, **({"hostname": ""} if kind == "network" else {}))      # the host's name is not to be set
    container = pod.run(*SLEEP, **options)
    assert namespaces(container.pid(), link) == namespaces("self", link)
    assert container.exec("true").exit_code == 0
    container.stop()
    assert container.status().exit_code == 137


def test_sysctls(pods: Pods) -> None:
    values = {"net.ipv4.ip_unprivileged_port_start": "7", "kernel.shm_rmid_forced": "1"}
    pod = pods(linux={"sysctls": values})
    paths = " ".join("/proc/sys/" + name.replace(".", "/") for name in values)
    assert pod.output(f"cat {paths}") == list(values.values())


def test_port_mapping(pods: Pods) -> None:
    port = 18080 + (pods.handler == "runc")
    pod = pods(port_mappings=[{"container_port": 80, "host_port": port}])
    pod.run("sh", "-c", "while :; do echo hello | busybox nc -l -p 80; done")

    def hello(host: str, port: int) -> bool:
        try:
            with socket.create_connection((host, port), 20) as client:
                return client.recv(100) == b"hello\n"
        except OSError:
            return False

    until(lambda: hello(pod.status().network.ip, 80), pod.status)
    until(lambda: hello("127.0.0.1", port), lambda: subprocess.getoutput("iptables-save -t nat"))


def test_several_at_once(pod: Pod) -> None:
    with ThreadPoolExecutor(4) as pool:
        outputs = list(pool.map(pod.output, [f"echo {number}" for number in range(4)]))
    assert outputs == [[str(number)] for number in range(4)]


# ---- a container's life

@pytest.mark.every_time
def test_life_of_a_container(pod: Pod) -> None:
    container = pod.create("sh", "-c", "echo out; echo err >&2; exit 7")
    assert container.state() == "created"
    container.start()
    status = container.wait()
    assert (status.exit_code, status.reason) == (7, "Error")
    assert status.created_at < min(status.started_at, status.finished_at)
    assert sorted(container.log()) == [("stderr", "err"), ("stdout", "out")]
    container.remove()
    until(lambda: not pod.daemon.left(container.id), lambda: pod.daemon.left(container.id))
    with pytest.raises(pod.daemon.error, match="not found"):
        container.status()


def test_command_environment_and_directory(pod: Pod) -> None:
    container = pod.run("sh", "-c", 'echo $A $PWD "$@"', args=["zero", "one", "two words"], working_dir="/var/work",
                        envs=[{"key": "A", "value": "b c"}])
    assert container.wait().reason == "Completed"
    assert container.log() == [("stdout", "b c /var/work one two words")]


def test_a_container_is_made_again(pod: Pod) -> None:
    for attempt in range(2):
        container = pod.run("false", metadata={"name": "again", "attempt": attempt})
        assert container.wait().exit_code == 1
        container.remove()


def test_terminal(pod: Pod) -> None:
    container = pod.run("sh", "-c", "tty; test -t 0 -a -t 1 -a -t 2 && echo terminal", tty=True)
    container.wait()
    assert [(stream, text.strip()) for stream, text in container.log()] == [
        ("stdout", "/dev/pts/0"), ("stdout", "terminal")]


def test_stop_asks_first(pod: Pod) -> None:
    polite = pod.run("sh", "-c", "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.1; done")
    until(lambda: bool(polite.log()), polite.status)
    polite.stop(60)
    assert polite.status().exit_code == 3 and polite.log()[-1] == ("stdout", "bye")


def test_stop_then_kills(pod: Pod) -> None:
    deaf = pod.run("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done")
    until(lambda: bool(deaf.log()), deaf.status)
    deaf.stop(1)
    assert deaf.status().exit_code == 137


def test_remove_of_a_running_container(pod: Pod) -> None:
    container = pod.run(*SLEEP)
    pid = container.pid()
    container.remove()
    assert not Path(f"/proc/{pid}").exists()
    until(lambda: not pod.daemon.left(container.id), lambda: pod.daemon.left(container.id))


def test_removing_a_pod_ends_its_containers(pods: Pods) -> None:
    pod = pods()
    container = pod.run("sh", "-c", "sleep 1000 & sleep 1000 & wait")
    pid = container.pid()
    pod.remove()
    assert not Path(f"/proc/{pid}").exists()
    until(lambda: not pods.daemon.left(container.id), lambda: pods.daemon.left(container.id))


def test_a_restarted_containerd_finds_its_containers(pods: Pods) -> None:
    pod = pods()
    stays, ends = pod.run(*SLEEP), pod.run("sh", "-c", "until test -e /dev/shm/end; do sleep 0.1; done; exit 5")
    end = Path(f"/proc/{stays.pid()}/root/dev/shm/end")
    pods.daemon.restart(end.touch)
    assert stays.state() == "running" and ends.wait().exit_code == 5
    assert stays.exec("echo", "still there").stdout == b"still there\n"
    stays.stop()
    assert stays.status().exit_code == 137


@pytest.mark.every_time
def test_out_of_memory_is_the_reason(pod: Pod) -> None:
    container = pod.run("dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1",
                        linux={"resources": {"memory_limit_in_bytes": 16 * MB}})
    status = container.wait()
    assert (status.reason, status.exit_code) == ("OOMKilled", 137)


@pytest.mark.every_time
@pytest.mark.parametrize(("program", "said"), [
    ("nonesuch", "executable file not found in $PATH"), ("/nonesuch", "no such file or directory"),
    ("/etc/passwd", "permission denied")])
def test_a_failing_start_tells_why(program: str, said: str, pod: Pod, handler: str) -> None:
    container = pod.create(program)
    with pytest.raises(pod.daemon.error) as raised:
        container.start()
    assert f"OCI runtime create failed: {handler} create failed" in str(raised.value) and said in str(raised.value)
    status = container.status()
    assert (status.reason, status.exit_code) == ("StartError", 128) and said in status.message
    container.remove()
    until(lambda: not pod.daemon.left(container.id), lambda: pod.daemon.left(container.id))


def test_a_mount_that_cannot_be_tells_why(pod: Pod) -> None:
    container = pod.create("true", mounts=[{"container_path": "/proc/inside", "host_path": "/etc"}])
    with pytest.raises(pod.daemon.error, match=r"OCI runtime create failed.*/proc/inside"):
        container.start()


# ---- in a running container

@pytest.mark.every_time
def test_exec_sync(pod: Pod) -> None:
    container = pod.run("sh", "-c", "touch /here; sleep 1000")
    until(lambda: container.exec("test", "-e", "/here").exit_code == 0, container.status)
    done = container.exec("sh", "-c", "ls /here; echo err >&2; exit 5")
    assert (done.stdout, done.stderr, done.exit_code) == (b"/here\n", b"err\n", 5)
    with pytest.raises(pod.daemon.error, match=r"executable file not found in \$PATH"):
        container.exec("nonesuch")


def test_exec_sync_out_of_time(pod: Pod) -> None:
    container = pod.run(*SLEEP)
    with pytest.raises(pod.daemon.error, match="timeout 3s exceeded"):
        container.exec("sleep", "2000", timeout=3)
    until(lambda: "sleep 2000" not in "\n".join(container.says("ps -o args")), lambda: container.says("ps"))


def test_exec_in_a_stopped_container(pod: Pod) -> None:
    container = pod.run("true")
    container.wait()
    with pytest.raises(pod.daemon.error, match="container is in CONTAINER_EXITED state"):
        container.exec("true")


@pytest.mark.every_time
def test_exec_stream(pod: Pod) -> None:
    container = pod.run(*SLEEP)
    stream = Stream(container.stream_url("sh", "-c", "read x; echo got $x; echo err >&2; exit 9"))
    stream.send(STDIN, b"something\n")
    assert stream.exit_code() == 9
    assert (stream.said[STDOUT], stream.said[STDERR]) == (b"got something\n", b"err\n")
    stream.close()
    stream = Stream(container.stream_url("true"))
    assert stream.exit_code() == 0
    stream.close()


def test_exec_stream_on_a_terminal(pod: Pod) -> None:
    container = pod.run(*SLEEP)
    stream = Stream(container.stream_url("sh", tty=True))
    stream.resize(133, 44)
    stream.send(STDIN, b"tty; until stty size | grep -q 133; do sleep 0.1; done; stty size; exit 6\n")
    stream.until(STDOUT, b"44 133\r\n")
    assert stream.exit_code() == 6 and b"/dev/pts/0\r\n" in stream.said[STDOUT]
    stream.close()


def test_exec_stream_of_nothing_executable(pod: Pod) -> None:
    stream = Stream(pod.run(*SLEEP).stream_url("nonesuch"))
    assert "executable file not found in $PATH" in str(stream.outcome())
    stream.close()


def test_attach(pod: Pod) -> None:
    container = pod.run("sh", "-c", "read x; echo got $x; exit 4", stdin=True)
    stream = Stream(container.stream_url())
    stream.send(STDIN, b"something\n")
    stream.until(STDOUT, b"got something\n")
    assert container.wait().exit_code == 4
    stream.close()


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

    assert files("memory.max", "cpu.max", "cpu.weight", "memory.high") == [
        str(64 * MB), "50000 100000", "20", str(48 * MB)]
    assert Path(f"/proc/{container.pid()}/oom_score_adj").read_text() == "321\n"
    container.update(memory_limit_in_bytes=96 * MB, cpu_period=100000, cpu_quota=70000, cpu_shares=1024,
                     cpuset_cpus="0")
    assert files("memory.max", "cpu.max", "cpu.weight", "cpuset.cpus") == [
        str(96 * MB), "70000 100000", "39", "0"]


# ---- what a container may

def capabilities(lines: list[str]) -> int:
    return int(next(line for line in lines if line.startswith("CapEff")).split()[1], 16)


@pytest.mark.parametrize(("change", "has", "lacks"), [
    ({"add_capabilities": ["NET_ADMIN"], "drop_capabilities": ["CHOWN"]}, {12, 27}, {0, 21}),
    ({"drop_capabilities": ["ALL"], "add_capabilities": ["KILL"]}, {5}, {0, 1, 12, 27}),
    ({"add_capabilities": ["ALL"]}, {0, 12, 21, 40}, set())], ids=["some", "none-but-one", "all"])
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
def test_systemd_cgroup_driver(private_world: None, handler: str, binary: str, name: str) -> None:
    daemon = Cri(Path(tempfile.mkdtemp(prefix="cri-", dir="/tmp")), {handler: binary}, systemd=True)
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
