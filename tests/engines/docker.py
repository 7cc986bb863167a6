"""A Docker daemon of our own, driven by its client as a user does.

What a scenario only looks at it asks of the daemon's HTTP interface: under emulation a client needs 2 s to start.
"""
from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests import runtimes
from tests.bundles import PATH, busybox_root

from . import remains
from .containerd import CONFIG, SHIM, environment
from .terminal import LONG, Terminal

IMAGE = "pyrunc/busybox"
#: A shim that is one of two: `start` has the runtime's options on standard input, `delete` the bundle alone.
BY_NAME = """#!/bin/sh
for last; do :; done
given=
if [ "$last" = start ]; then
  given=$(mktemp {folder}/given.XXXXXX); cat >"$given"
  grep -qa {folder}/of-our-own "$given" && touch of-our-own
  exec <"$given"; rm "$given"
fi
shim={theirs}; [ ! -e of-our-own ] || shim={ours}
exec $shim "$@"
"""


def client() -> str:
    """That of the daemon's release, whatever else PATH has."""
    return str(Path(shutil.which("dockerd") or "/usr/sbin/dockerd").parents[1] / "bin/docker")


def version() -> int:
    """Docker's, the first number."""
    said = subprocess.run(["dockerd", "--version"], capture_output=True, text=True, check=True).stdout
    return int(said.split()[2].partition(".")[0])


class Done:
    """A finished client."""

    def __init__(self, process: subprocess.CompletedProcess[str]) -> None:
        self.status, self.stdout, self.stderr = process.returncode, process.stdout, process.stderr
        self.lines = self.stdout.splitlines()


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("docker", timeout=LONG)
        self.path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Daemon:
    """containerd and dockerd, with the busybox image. place: an empty folder that takes overlays.

    paths: name -> path of those besides runc, which Docker has by itself; shim: name of the runtime that is the shim
    of our own; more: further keys of daemon.json.
    """

    def __init__(self, place: Path, paths: dict[str, str], shim: str = "", **more: object) -> None:
        self.place, self.log, self.socket = place, place / "log", place / "sock"
        self.environment = environment()
        described: dict[str, dict[str, str]] = {name: {"path": path} for name, path in paths.items()}
        if shim:
            described[shim] = {"runtimeType": SHIM} if version() >= 23 else self._shim_by_name()
        self.config: dict[str, object] = {
            "data-root": f"{place}/root", "exec-root": f"{place}/exec", "pidfile": f"{place}/pid",
            "hosts": [f"unix://{self.socket}"], "exec-opts": ["native.cgroupdriver=cgroupfs"],
            "containerd": f"{place}/containerd/sock",           # one of its own it gives 15 s to start
            "experimental": True,                               # for checkpoints
            "live-restore": True, "runtimes": described, **more}
        self.shared: dict[str, dict[str, list[str]]] = {}       # containers of several scenarios: what they have said
        (place / "containerd").mkdir()
        (place / "containerd/config.toml").write_text(CONFIG.format(place=place / "containerd"))
        self.start()
        self._load()

    def start(self) -> None:
        (self.place / "daemon.json").write_text(json.dumps(self.config))
        self.containerd = self._spawn("containerd", "--config", self.place / "containerd/config.toml")
        self._wait_until_up(self.containerd, self.place / "containerd/sock")
        self.process = self._spawn("dockerd", "--config-file", self.place / "daemon.json")
        self._wait_until_up(self.process, self.socket)
        self.api("GET", "/_ping")

    def _spawn(self, *argv: str | Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.log.open("ab"),
                                env=self.environment)

    def _shim_by_name(self) -> dict[str, str]:
        """Docker 20.10 knows no runtime type but runc's. What containerd finds first by the name of that type's shim
        calls ours where the runtime's options name this program.
        """
        folder = self.place / "shims"
        folder.mkdir()
        script = folder / "containerd-shim-runc-v2"
        script.write_text(BY_NAME.format(folder=folder, theirs=shutil.which("containerd-shim-runc-v2"),
                                         ours=Path(runtimes.find()).with_name("containerd-shim-pyrunc-v2")))
        script.chmod(0o755)
        self.environment["PATH"] = f"{folder}:{self.environment['PATH']}"
        (folder / "of-our-own").write_text("#!/bin/sh\nexit 1\n")                 # a runtime that is never called
        (folder / "of-our-own").chmod(0o755)
        return {"path": str(folder / "of-our-own")}

    def _wait_until_up(self, process: subprocess.Popen[bytes], path: Path) -> None:
        """Until a connection is taken there."""
        deadline = time.monotonic() + LONG
        while True:
            with socket.socket(socket.AF_UNIX) as client:
                if client.connect_ex(str(path)) == 0:
                    return
            assert process.poll() is None and time.monotonic() < deadline, self.log.read_text()[-3000:]
            time.sleep(0.1)

    def _load(self) -> None:
        """`docker import` takes the bare root as its layer."""
        with tempfile.TemporaryDirectory() as folder, tarfile.open(self.place / "root.tar", "w") as tar:
            tar.add(busybox_root(Path(folder)), ".")
        self.ok("import", "-c", 'CMD ["sh"]', "-c", f"ENV {PATH}", str(self.place / "root.tar"), IMAGE)

    def reload(self, **changes: object) -> None:
        """Change keys of daemon.json that a running daemon takes in."""
        self.config.update(changes)
        (self.place / "daemon.json").write_text(json.dumps(self.config))
        before = self.log.read_text().count("Reloaded configuration")
        self.process.send_signal(signal.SIGHUP)
        self.wait(lambda: self.log.read_text().count("Reloaded configuration") > before, "the configuration stays")

    def crash(self) -> None:
        """End both daemons as a crash does."""
        for process in (self.process, self.containerd):
            process.kill()
            process.wait(LONG)

    def stop(self) -> None:
        for container in self.api("GET", "/containers/json?all=1"):
            self.remove(container["Id"])
        for process in (self.process, self.containerd):
            process.terminate()
            process.wait(LONG)

    # ---- the client ----------------------------------------------------------------------------------------------
    def argv(self, *args: str) -> list[str]:
        return [client(), "--host", f"unix://{self.socket}", *args]

    def cli(self, *args: str, stdin: str | None = None, timeout: float = LONG) -> Done:
        return Done(subprocess.run(self.argv(*args), input=stdin or "", capture_output=True, text=True,
                                   timeout=timeout, check=False, env={**os.environ, "DOCKER_BUILDKIT": "0"}))

    def ok(self, *args: str, stdin: str | None = None) -> str:
        done = self.cli(*args, stdin=stdin)
        assert done.status == 0, f"docker {' '.join(args)}: {done.status}\n{done.stdout}{done.stderr}"
        return done.stdout

    def terminal(self, *args: str, rows: int, columns: int) -> Terminal:
        return Terminal(self.argv(*args), rows, columns)

    # ---- what the daemon knows -----------------------------------------------------------------------------------
    def api(self, method: str, path: str) -> Any:
        """The decoded answer of an API call; AssertionError with the daemon's words when it refuses."""
        connection = _Connection(self.socket)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        assert answer.status < 400, f"{method} {path}: {answer.status} {text}"
        return json.loads(text) if "json" in answer.headers.get("Content-Type", "") else text

    def inspect(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api("GET", f"/containers/{name}/json")
        return found

    def remove(self, name: str) -> None:
        self.api("DELETE", f"/containers/{name}?force=1&v=1")

    def clear(self, prefix: str) -> None:
        """Remove the containers, networks and volumes of this name, and of those that go on from it with a dash."""
        def mine(name: str) -> bool:
            return f"{name.lstrip('/')}-".startswith(f"{prefix}-")

        for container in self.api("GET", "/containers/json?all=1"):
            if any(map(mine, container["Names"])):
                self.remove(container["Id"])
        for network in self.api("GET", "/networks"):
            if mine(network["Name"]):
                self.api("DELETE", f"/networks/{network['Id']}")
        for volume in self.api("GET", "/volumes")["Volumes"] or []:
            if mine(volume["Name"]):
                self.api("DELETE", f"/volumes/{volume['Name']}")

    def wait(self, done: Callable[[], bool], what: str, seconds: float = LONG) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < deadline, f"{what}\n{self.log.read_text()[-2000:]}"
            time.sleep(0.2)

    def nothing_left(self, id: str) -> None:
        folders = [self.place / "exec", self.place / "containerd/state", Path("/run/containerd")]
        self.wait(lambda: not remains.of(id, folders), f"something stays behind: {remains.of(id, folders)}")


class Docker:
    """One scenario's view: the daemon, the runtime its containers are to run under, and a name of its own."""

    def __init__(self, daemon: Daemon, runtime: str, name: str) -> None:
        self.daemon, self.runtime, self.name = daemon, runtime, name
        self.cli, self.ok, self.wait = daemon.cli, daemon.ok, daemon.wait

    def words(self, command: str, *args: str, name: str = "") -> tuple[str, ...]:
        return (command, "--runtime", self.runtime, "--name", name or self.name, *args)

    def run(self, *args: str, stdin: str | None = None, name: str = "") -> Done:
        """`docker run` to its end. args: flags, image, command."""
        return self.cli(*self.words("run", *args, name=name), stdin=stdin)

    def lines(self, *args: str) -> list[str]:
        """Standard output of a `docker run --rm` that goes well."""
        done = self.run("--rm", *args)
        assert done.status == 0, f"{done.status}\n{done.stdout}{done.stderr}"
        return done.lines

    def script(self, script: str, *flags: str) -> list[str]:
        """What a shell script in the image prints to both streams, whatever its last command's status."""
        return self.lines(*flags, IMAGE, "sh", "-c", f"exec 2>&1; {script}; exit 0")

    def sections(self, name: str, flags: Sequence[str], scripts: Mapping[str, str]) -> dict[str, list[str]]:
        """A container that runs on for several scenarios: what each of their scripts prints in it, to both streams."""
        if name not in self.daemon.shared:
            self.daemon.clear(name)
            parts = [f"echo '== {title}'; ( {script} ) 2>&1" for title, script in scripts.items()]
            wait = "trap exit TERM; while :; do sleep 1000 & wait; done"
            self.start(*flags, IMAGE, "sh", "-c", "; ".join([*parts, "echo '== end'", wait]), name=name)
            self.wait_log("== end\n", name)
            said = (part.splitlines() for part in self.logs(name).split("== ")[1:])
            self.daemon.shared[name] = {title: lines for title, *lines in said}
        assert self.state(name)["Running"]
        return self.daemon.shared[name]

    def start(self, *args: str, name: str = "") -> str:
        """`docker run --detach`; returns the id."""
        return self.ok(*self.words("run", "--detach", *args, name=name)).strip()

    def exec(self, *args: str) -> list[str]:
        """Standard output of a `docker exec` that goes well. args: flags, container, command."""
        return self.ok("exec", *args).splitlines()

    def inspect(self, name: str = "") -> dict[str, Any]:
        return self.daemon.inspect(name or self.name)

    def state(self, name: str = "") -> dict[str, Any]:
        state: dict[str, Any] = self.inspect(name)["State"]
        return state

    def wait_for(self, status: str, name: str = "") -> dict[str, Any]:
        """The state as soon as it has this status."""
        self.wait(lambda: self.state(name)["Status"] == status, f"never {status}: {self.state(name)}")
        return self.state(name)

    def events(self, since: float) -> list[str]:
        """What has happened to the container since that time: each action, and the exit code where there is one."""
        said = self.ok("events", "--since", f"{since:.3f}", "--until", f"{time.time():.3f}", "--filter",
                       f"container={self.name}", "--filter", "type=container",
                       "--format", "{{.Action}} {{with .Actor.Attributes.exitCode}}{{.}}{{end}}")
        return [line.strip() for line in said.splitlines()]

    def logs(self, name: str = "") -> str:
        """What it has printed to both streams, each piece without the 8 bytes before it."""
        path = Path(self.inspect(name)["LogPath"])
        whole = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return "".join(json.loads(line)["log"] for line in whole)

    def wait_log(self, text: str, name: str = "") -> None:
        self.wait(lambda: text in self.logs(name), f"it never says {text!r}")

