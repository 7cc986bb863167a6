"""Podman and Buildah with configuration and storage of their own, driven by their command lines as root or a user.

What a scenario only looks at it asks of Podman's HTTP interface: under emulation a command needs 2 s to start.
"""
from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests import runtimes

from . import image, remains
from .image import NAME
from .terminal import Terminal

CONTAINERS = """[containers]
default_sysctls = []
log_driver = "k8s-file"
[engine]
cgroup_manager = "{manager}"
events_logger = "file"
infra_image = "{pause}"
init_path = "/usr/bin/docker-init"
runtime_supports_json = ["runc", "pyrunc"]
runtime_supports_nocgroup = ["pyrunc"]
tmp_dir = "{place}/libpod"
[engine.runtimes]
{runtimes}
[network]
network_backend = "netavark"
"""
STORAGE = """[storage]
driver = "{driver}"
graphroot = "{place}/graph"
runroot = "{place}/run"
"""
PAUSE = "docker.io/pyrunc/pause:latest"           # what a pod's first container runs
POLICY = {"default": [{"type": "insecureAcceptAnything"}]}


class Done:
    """A finished command."""

    def __init__(self, argv: Sequence[str], status: int, stdout: str, stderr: str) -> None:
        self.argv, self.status, self.stdout, self.stderr = argv, status, stdout, stderr

    @property
    def lines(self) -> list[str]:
        return self.stdout.splitlines()

    def __repr__(self) -> str:
        return f"{' '.join(self.argv)}: {self.status}\n{self.stdout}{self.stderr}"


class Store:
    """Images, containers and the configuration of one user of podman and buildah, with the busybox image loaded.

    place: an empty folder on a file system that takes overlays (driver "vfs" copies instead). become: what turns this
    process into the user, whose id is owner; env: what that user has besides. paths: of the runtimes.
    """

    def __init__(self, place: Path, paths: Sequence[str], *, manager: str = "cgroupfs", driver: str = "overlay",
                 become: Sequence[str] = (), env: Mapping[str, str] | None = None, owner: int = 0) -> None:
        self.place, self.become = place, list(become)
        self.server: subprocess.Popen[bytes] | None = None
        self.work = place / "work"                  # where commands run; conmon puts its file `oom` there
        known = "\n".join(f'{Path(path).name} = ["{path}"]' for path in paths)
        files = {"containers.conf": CONTAINERS.format(manager=manager, pause=PAUSE, place=place, runtimes=known),
                 "storage.conf": STORAGE.format(driver=driver, place=place),
                 "registries.conf": "unqualified-search-registries = []\n", "policy.json": json.dumps(POLICY)}
        for name, text in files.items():
            (place / name).write_text(text)
        for folder in (self.work, place / "home", place / "tmp"):
            folder.mkdir()
        for path in (place, self.work, place / "home", place / "tmp"):
            os.chown(path, owner, owner)
        self.env = {"PATH": os.environ["PATH"], "HOME": str(place / "home"), "TMPDIR": str(place / "tmp"),
                    "CONTAINERS_CONF": str(place / "containers.conf"),
                    "CONTAINERS_STORAGE_CONF": str(place / "storage.conf"),
                    "CONTAINERS_REGISTRIES_CONF": str(place / "registries.conf"), **(env or {})}
        for name, command in ((NAME, "sh"), (PAUSE, "sleep 100000")):
            image.write(place / "image.tar", name, command.split()).chmod(0o644)
            self.ok("podman", "load", "--quiet", "--signature-policy", str(place / "policy.json"),
                    "--input", str(place / "image.tar"))

    def call(self, *argv: str, stdin: str = "", timeout: float = 800) -> Done:
        """Files take the output: a container that outlives the command holds them open, not a pipe of ours."""
        out, err = self.place / "stdout", self.place / "stderr"
        with out.open("w") as output, err.open("w") as errors:
            done = subprocess.run([*self.become, *argv], input=stdin, stdout=output, stderr=errors, text=True,
                                  env=self.env, cwd=self.work, timeout=timeout, check=False)
        return Done(argv, done.returncode, out.read_text(), err.read_text())

    def ok(self, *argv: str, stdin: str = "") -> str:
        done = self.call(*argv, stdin=stdin)
        assert done.status == 0, done
        return done.stdout.strip()

    def ask(self, path: str, method: str = "GET") -> bytes:
        """The answer to a request below /libpod of Podman's interface, whose server is started by the first."""
        at = self.place / "api"
        if self.server is None:
            self.server = subprocess.Popen(
                [*self.become, "podman", "system", "service", "--time", "0", f"unix://{at}"], env=self.env,
                cwd=self.work, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=(self.place / "api.log").open("w"))
        deadline = time.monotonic() + 120
        while True:
            connection = http.client.HTTPConnection("podman", timeout=240)
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(240)
            try:
                connection.sock.connect(str(at))
                break
            except (FileNotFoundError, ConnectionRefusedError):
                assert time.monotonic() < deadline, (self.place / "api.log").read_text()
                time.sleep(0.2)
        connection.request(method, f"/v4.0.0/libpod/{path}")
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        assert answer.status < 300, f"{path}: {answer.status} {body!r}"
        return body

    def remove(self) -> None:
        """Every pod and container, whatever state it is in."""
        if self.server is not None:
            self.server.terminate()
            self.server.wait(150)
        self.call("podman", "pod", "rm", "--all", "--force", "--time", "0")
        self.call("podman", "rm", "--all", "--force", "--time", "0")


def stores(runtime: str, **how: Any) -> Iterator[Store]:
    """A store of root's with runc and this runtime, for a fixture. how: what Store takes besides."""
    place = Path(tempfile.mkdtemp(prefix="podman-", dir="/tmp"))
    place.chmod(0o711)                  # a user namespace's root must get to its files
    made = Store(place, [runtimes.find("runc"), runtimes.find(runtime)], **how)
    yield made
    made.remove()


class Podman:
    """A store's podman with the runtime of one test, and a name of its own for the container."""

    def __init__(self, store: Store, binary: str, name: str) -> None:
        self.store, self.binary, self.runtime, self.name = store, binary, Path(binary).name, name

    def __call__(self, *args: str, stdin: str = "") -> Done:
        return self.store.call("podman", "--runtime", self.runtime, *args, stdin=stdin)

    def ok(self, *args: str, stdin: str = "") -> str:
        done = self(*args, stdin=stdin)
        assert done.status == 0, done
        return done.stdout.strip()

    def run(self, *flags: str, args: Sequence[str] = (), network: str = "none", rm: bool = True) -> Done:
        """In the foreground, until it ends."""
        keep = ["--rm"] if rm else ["--name", self.name]
        return self("run", *keep, "--network", network, *flags, NAME, *args)

    def shell(self, script: str, *flags: str, network: str = "none") -> list[str]:
        """The lines that a script in a new container prints."""
        done = self.run(*flags, args=["sh", "-c", script], network=network)
        assert done.status == 0, done
        return done.lines

    def detached(self, *flags: str, script: str = "sleep 1000", network: str = "none", name: str = "") -> str:
        """Id of a container that goes on."""
        return self.ok("run", "--detach", "--name", name or self.name, "--network", network, *flags, NAME,
                       "sh", "-c", script)

    def inspect(self, name: str = "") -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.store.ask(f"containers/{name or self.name}/json"))
        return found

    def logs(self, name: str = "") -> list[str]:
        """The lines that a container has printed, its errors among them."""
        data, text = self.store.ask(f"containers/{name or self.name}/logs?stdout=true&stderr=true"), b""
        while data:                                 # frames: stream, 3 zeros, length, text
            length = int.from_bytes(data[4:8], "big")
            text, data = text + data[8:8 + length], data[8 + length:]
        return text.decode().splitlines()

    def wait(self, name: str = "") -> int:
        """Its exit code, when it has ended."""
        return int(self.store.ask(f"containers/{name or self.name}/wait?condition=exited&condition=stopped", "POST"))

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = self.inspect()["State"]
        return state

    def until(self, true: Callable[[], bool], what: str, seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, f"{what}\n{self('ps', '--all').stdout}"
            time.sleep(0.2)

    def terminal(self, *args: str) -> Terminal:
        """podman on a terminal of 30 rows and 100 columns."""
        env = [f"{name}={value}" for name, value in self.store.env.items()]
        return Terminal([*self.store.become, "env", "-C", str(self.store.work), *env,
                         "podman", "--runtime", self.runtime, *args], 30, 100)

    def left(self, id: str) -> list[str]:
        """What of a container is still there: runtime state, mounts, cgroups, processes."""
        own = self.store.env.get("XDG_RUNTIME_DIR", "/run")
        return remains.of(id, [Path(own, "runc"), Path(own, "pyrunc"), self.store.place])

    def nothing_left(self, id: str) -> None:
        self.until(lambda: not self.left(id), f"something of {id} stays behind")
