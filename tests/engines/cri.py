"""The CRI plugin of a containerd of our own, driven over gRPC as the kubelet does: pods, their containers, streams.

Configurations are dictionaries with the interface's field names (cri.proto); enumerations may be given by name.
"""
from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tests.bundles import Config, merge

from . import cri_log, image
from .containerd import SHIM, TIMEOUTS, Containerd
from .waiting import until

#: Of a pod that runs for good: its first process waits, as Kubernetes' pause image does.
PAUSE = "docker.io/pyrunc/pause:latest"
NAMESPACE = "k8s.io"

CONFIG = """version = 2
root = "{place}/root"
state = "{place}/state"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
                    "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs",
                    "io.containerd.internal.v1.tracing"]
[grpc]
  address = "{place}/sock"
[debug]
  level = "debug"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  stats_collect_period = 1
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{place}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "{default}"
""" + TIMEOUTS
HANDLER = """
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{handler}]
  runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{handler}.options]
    BinaryName = "{binary}"
    SystemdCgroup = {systemd}
"""
SHIM_HANDLER = """
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{handler}]
  runtime_type = "{type}"
"""
#: Pods hang on a bridge; ports of the host lead to them.
NETWORK = {"cniVersion": "0.4.0", "name": "pods", "plugins": [
    {"type": "bridge", "bridge": "cri0", "isGateway": True,
     "ipam": {"type": "host-local", "subnet": "10.88.77.0/24", "routes": [{"dst": "0.0.0.0/0"}]}},
    {"type": "portmap", "capabilities": {"portMappings": True}}]}


class Cri(Containerd):
    """The daemon, with a handler for each runtime: {name: path of the binary, or "" for the shim of our own}.

    api: the messages of cri.proto. more: further lines of the configuration.
    """

    def __init__(self, place: Path, handlers: dict[str, str], *, systemd: bool = False, more: str = "") -> None:
        os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"      # its threads have no part in the commands we run
        import grpc

        self.handlers = handlers
        (place / "cni").mkdir()
        (place / "cni/10-pods.conflist").write_text(json.dumps(NETWORK))
        config = CONFIG.format(place=place, pause=PAUSE, default=next(iter(handlers))) + "".join(
            (HANDLER if binary else SHIM_HANDLER).format(handler=handler, binary=binary, systemd=str(systemd).lower(),
                                                         type=SHIM)
            for handler, binary in handlers.items()) + more
        self.error: type[Exception] = grpc.RpcError
        self.api, services = grpc.protos_and_services("tests/engines/cri.proto")
        self.channel = grpc.insecure_channel(f"unix://{place}/sock", [("grpc.max_reconnect_backoff_ms", 500)])
        self.runtime = services.RuntimeServiceStub(self.channel)
        self.images = services.ImageServiceStub(self.channel)
        super().__init__(place, config, NAMESPACE)
        self.import_image(image.write(place / "pause.tar", PAUSE, ["sleep", "1000000"]), PAUSE)
        self.pods: dict[str, Pod] = {}

    def ready(self) -> bool:
        """The plugin initialises itself, and looks for what still runs, after the daemon answers."""
        if not super().ready():
            return False
        try:
            conditions = self.runtime.Status(self.api.Empty()).status.conditions
        except self.error:
            return False
        return all(condition.status for condition in conditions)

    def import_image(self, path: Path, name: str = image.NAME) -> None:
        """The plugin hears of imported images by an event."""
        super().import_image(path, name)
        until(lambda: self.has_image(name), self.last_words)

    def has_image(self, name: str) -> bool:
        return bool(self.images.ImageStatus(self.api.ImageStatusRequest(image={"image": name})).image.id)

    def pod(self, handler: str) -> Pod:
        """A pod without any wish, made when it is first asked for; scenarios that need no other share it."""
        if handler not in self.pods:
            self.pods[handler] = Pod(self, handler, f"shared-{handler}")
        return self.pods[handler]

    def stop(self) -> None:
        for pod in self.pods.values():
            pod.remove()
        self.channel.close()
        super().stop()


class Pod:
    """A running pod sandbox. config: what its PodSandboxConfig has besides name, hostname and log folder."""

    def __init__(self, daemon: Cri, handler: str, name: str, **config: Any) -> None:
        self.daemon, self.name = daemon, name
        self.config: Config = merge({
            "metadata": {"name": name, "uid": f"uid-{name}", "namespace": "default"}, "hostname": name,
            "log_directory": str(daemon.place / "logs" / name),
            "linux": {"cgroup_parent": f"/kubepods/{name}",
                      "security_context": {"namespace_options": {"pid": "CONTAINER"}}}}, config)
        self.id: str = daemon.runtime.RunPodSandbox(daemon.api.RunPodSandboxRequest(
            config=self.config, runtime_handler=handler), timeout=200).pod_sandbox_id
        self.removed = False
        self._numbers = iter(range(1000))

    def status(self) -> Any:
        return self.daemon.runtime.PodSandboxStatus(self.daemon.api.PodId(pod_sandbox_id=self.id)).status

    def create(self, *args: str, **config: Any) -> Container:
        """A created container; its log is a file named after it. config: what ContainerConfig has besides."""
        name = f"c{next(self._numbers)}"
        whole = merge({"metadata": {"name": name}, "image": {"image": image.NAME}, "command": list(args),
                       "log_path": f"{name}.log",
                       "linux": {"security_context": {"namespace_options": {"pid": "CONTAINER"}}}}, config)
        made = self.daemon.runtime.CreateContainer(self.daemon.api.CreateContainerRequest(
            pod_sandbox_id=self.id, config=whole, sandbox_config=self.config), timeout=200)
        return Container(self, made.container_id, Path(self.config["log_directory"], f"{name}.log"))

    def run(self, *args: str, **config: Any) -> Container:
        """A started container."""
        container = self.create(*args, **config)
        container.start()
        return container

    def output(self, script: str, **config: Any) -> list[str]:
        """What a container that runs the shell script to its end has said, in lines; it is removed again."""
        container = self.run("sh", "-c", script, **config)
        container.wait()
        lines = [text for _, text in container.log()]
        container.remove()
        return lines

    def forward_url(self, port: int) -> str:
        """Where a port of the pod can be talked to (streaming.py)."""
        request = self.daemon.api.PortForwardRequest(pod_sandbox_id=self.id, port=[port])
        return f"{self.daemon.runtime.PortForward(request).url}?port={port}"

    def clear(self) -> None:
        """Stop and remove its containers."""
        listed = self.daemon.runtime.ListContainers(
            self.daemon.api.ListContainersRequest(filter={"pod_sandbox_id": self.id}))
        for found in listed.containers:
            Container(self, found.id, Path()).end()

    def stop(self) -> None:
        self.daemon.runtime.StopPodSandbox(self.daemon.api.PodId(pod_sandbox_id=self.id), timeout=200)

    def remove(self) -> None:
        """Stop it with what runs in it, and forget it. May be repeated."""
        if not self.removed:
            self.stop()
            self.daemon.runtime.RemovePodSandbox(self.daemon.api.PodId(pod_sandbox_id=self.id), timeout=200)
            self.removed = True


class Pods:
    """Makes pods of one runtime that are removed after the scenario."""

    def __init__(self, daemon: Cri, handler: str, name: str) -> None:
        self.daemon, self.handler, self.name, self.made = daemon, handler, name, list[Pod]()

    def __call__(self, **config: Any) -> Pod:
        pod = Pod(self.daemon, self.handler, f"{self.name}-{len(self.made)}", **config)
        self.made.append(pod)
        return pod


class Container:
    """A container of a pod."""

    def __init__(self, pod: Pod, id: str, log_file: Path) -> None:
        self.pod, self.id, self.log_file = pod, id, log_file
        self.runtime, self.api = pod.daemon.runtime, pod.daemon.api

    @property
    def _me(self) -> Any:
        return self.api.ContainerId(container_id=self.id)

    def start(self) -> None:
        self.runtime.StartContainer(self._me, timeout=200)

    def status(self) -> Any:
        return self.runtime.ContainerStatus(self.api.ContainerStatusRequest(container_id=self.id)).status

    def state(self) -> str:
        """created, running, exited or unknown."""
        name: str = self.api.ContainerState.Name(self.status().state)
        return name.removeprefix("CONTAINER_").lower()

    def wait(self, state: str = "exited") -> Any:
        """Its status, when it has come to that state."""
        until(lambda: self.state() == state, lambda: f"{self.status()} {self.pod.daemon.last_words()}")
        return self.status()

    def pid(self) -> int:
        """The first process's id on the host."""
        answer = self.runtime.ContainerStatus(self.api.ContainerStatusRequest(container_id=self.id, verbose=True))
        return int(json.loads(answer.info["info"])["pid"])

    def log(self) -> list[tuple[str, str]]:
        """(stream, text) of each line of the log."""
        return cri_log.read(self.log_file)

    def exec(self, *args: str, timeout: int = 0) -> Any:
        """ExecSync's answer: stdout, stderr, exit_code. timeout: seconds that the command may take, 0: any."""
        return self.runtime.ExecSync(self.api.ExecSyncRequest(container_id=self.id, cmd=args, timeout=timeout),
                                     timeout=200)

    def says(self, script: str) -> list[str]:
        """The lines that a shell script prints when it is run in the container beside what runs there."""
        done = self.exec("sh", "-c", script)
        assert done.exit_code == 0, done
        lines: list[str] = done.stdout.decode().splitlines()
        return lines

    def stats(self) -> Any:
        return self.runtime.ContainerStats(self._me).stats

    def update(self, **linux: Any) -> None:
        self.runtime.UpdateContainerResources(self.api.UpdateContainerResourcesRequest(
            container_id=self.id, linux=linux), timeout=200)

    def stop(self, seconds: int = 0) -> None:
        """SIGTERM, and SIGKILL after the seconds; SIGKILL at once for 0."""
        self.runtime.StopContainer(self.api.StopContainerRequest(container_id=self.id, timeout=seconds), timeout=200)

    def remove(self) -> None:
        self.runtime.RemoveContainer(self._me, timeout=200)

    def end(self) -> None:
        """Stop and remove it. containerd refuses that while one ends that it has not stopped, with a pid namespace."""
        self.stop()
        until(lambda: self.state() != "running", self.status)
        self.remove()

    def stream_url(self, *args: str, tty: bool = False, stdin: bool = True) -> str:
        """Where an exec of args, or an attach without any, can be talked to (streaming.py)."""
        wishes = {"container_id": self.id, "tty": tty, "stdin": stdin, "stdout": True, "stderr": not tty}
        answer = (self.runtime.Exec(self.api.ExecRequest(cmd=args, **wishes)) if args
                  else self.runtime.Attach(self.api.AttachRequest(**wishes)))
        return str(answer.url)

    def cgroup(self) -> Path:
        line = Path(f"/proc/{self.pid()}/cgroup").read_text().strip()
        return Path("/sys/fs/cgroup" + line.removeprefix("0::"))


def security(**context: Any) -> dict[str, Any]:
    """The part of a container's configuration, or a pod's, that has this security context."""
    return {"linux": {"security_context": context}}
