"""conmon started as CRI-O starts it, and the commands of the runtime that CRI-O gives itself."""
from __future__ import annotations

import json
import os
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import bundles
from tests.bundles import Config

from . import cri_log, remains
from .waiting import until

CRIU_PATH = {"PATH": "/usr/sbin:/usr/bin"}

class CreateFailed(Exception):
    """conmon's message in place of a process id: what the runtime said on its standard error."""


@dataclass
class Exec:
    """The outcome of an ExecSync. exit_code -1: it did not start or took too long, and message tells."""
    exit_code: int
    message: str
    stdout: str
    stderr: str


@dataclass
class Crio:
    """What CRI-O's configuration says: the runtime, its root, and a folder for everything else."""
    binary: str
    place: Path
    systemd: bool = False
    monitor_env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("root", "exits", "sockets"):
            (self.place / name).mkdir(parents=True)

    def conmon(self, *args: str | Path, cwd: Path | None = None) -> tuple[dict[str, Any], subprocess.Popen[str]]:
        """Run conmon: hold it at the start pipe, as CRI-O does until it has its cgroup; the record from the sync pipe.

        Its environment is the two pipes, what `monitor_env` says and, for CRIU, PATH.
        """
        sync, child_sync = socket.socketpair()
        start, child_start = socket.socketpair()
        os.set_inheritable(child_sync.fileno(), True)
        os.set_inheritable(child_start.fileno(), True)
        with sync, start:
            process = subprocess.Popen(
                ["/usr/bin/conmon", *map(str, args), *(["-s"] if self.systemd else [])],
                env={"_OCI_SYNCPIPE": str(child_sync.fileno()), "_OCI_STARTPIPE": str(child_start.fileno()),
                     **self.monitor_env, **(CRIU_PATH if "--restore" in args else {})},
                pass_fds=(child_sync.fileno(), child_start.fileno()), stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd)
            child_sync.close()
            child_start.close()
            start.sendall(b"\0")
            sync.settimeout(200)
            with sync.makefile("r") as file:
                line = file.readline()
        assert line, process.communicate(timeout=200)
        record: dict[str, Any] = json.loads(line)
        return record, process

    def runtime(self, command: str, *args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """A command of the runtime, as CRI-O calls it; with no environment at all, but for CRIU."""
        argv = [self.binary, "--root", str(self.place / "root"), *(["--systemd-cgroup"] if self.systemd else []),
                command, *args]
        env = CRIU_PATH if command == "checkpoint" else {}
        return subprocess.run(argv, env=env, input=stdin, capture_output=True, text=True, timeout=200, check=False)

    def ok(self, command: str, *args: str, stdin: str = "") -> str:
        done = self.runtime(command, *args, stdin=stdin)
        assert done.returncode == 0, f"{command} {args}: {done.returncode} {done.stdout}{done.stderr}"
        return done.stdout


class Container:
    """A container created under conmon. CreateFailed with the runtime's own words."""

    def __init__(self, crio: Crio, id: str, config: Config, *flags: str | Path) -> None:
        self.crio, self.id, self.config = crio, id, config
        self.terminal = bool(config["process"].get("terminal"))
        self.bundle = crio.place / id
        if not self.bundle.exists():                       # it is there when the container is restored
            bundles.bundle(self.bundle, config)
        self.log_file = self.bundle / "log"
        self.persist = self.bundle / "persist"
        self.persist.mkdir(exist_ok=True)
        self.exit_file.unlink(missing_ok=True)
        record, process = crio.conmon(
            "-b", self.bundle, "-c", id, "--exit-dir", crio.place / "exits", "-l", self.log_file,
            "--log-level", "info", "-n", f"k8s_{id}", "-P", self.bundle / "conmon-pidfile",
            "-p", self.bundle / "pidfile", "--persist-dir", self.persist,
            "-r", crio.binary, "--runtime-arg", f"--root={crio.place / 'root'}",
            "--socket-dir-path", crio.place / "sockets", "--syslog", "-u", id, "--log-size-max", "-1",
            *(["-t"] if self.terminal else []), *flags, cwd=self.bundle)      # where `oom` is to be written
        process.communicate(timeout=200)                    # the first process ends when its child watches
        self.pid = int(record["pid"])
        if self.pid == -1:
            raise CreateFailed(record.get("message", ""))

    @property
    def exit_file(self) -> Path:
        return self.crio.place / "exits" / self.id

    def start(self) -> None:
        self.crio.ok("start", self.id)

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self.crio.ok("state", self.id))
        return state

    def wait(self) -> int:
        """The exit code, from the file that conmon writes."""
        until(lambda: self.exit_file.exists() and self.exit_file.read_text() != "", self.log_file.read_text)
        return int(self.exit_file.read_text())

    def log(self) -> list[tuple[str, str]]:
        return cri_log.read(self.log_file)

    def exec(self, *args: str, seconds: int = 0, **process: Any) -> Exec:
        """ExecSync: conmon runs the runtime's exec, tells the exit code over the pipe and logs the output."""
        log, spec = self.bundle / "exec-log", self.bundle / "exec-process"
        log.write_text("")
        spec.write_text(json.dumps({**self.config["process"], "args": args, "terminal": self.terminal, **process}))
        record, conmon = self.crio.conmon(
            "-c", self.id, "-n", f"k8s_{self.id}", "-r", self.crio.binary, "-p", self.bundle / "exec-pidfile", "-e",
            "-l", log, "--socket-dir-path", self.crio.place / "sockets", "--log-level", "info", "--sync",
            "--log-global-size-max", "16777216", *(["-t"] if self.terminal else []),
            *(["-T", str(seconds)] if seconds else []),
            "--exec-process-spec", spec, "--runtime-arg", f"--root={self.crio.place / 'root'}")
        conmon.communicate(timeout=200)
        return Exec(record["exit_code"], record.get("message", ""),
                    cri_log.of_stream(log, "stdout"), cri_log.of_stream(log, "stderr"))

    def attach(self) -> socket.socket:
        """conmon's socket: packets out start with 2 or 3 for the stream, packets in are standard input."""
        client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        client.settimeout(200)
        client.connect(str(self.crio.place / "sockets" / self.id / "attach"))
        return client

    def resize(self, rows: int, columns: int) -> None:
        """CRI-O writes a terminal's new size into conmon's fifo: message type 1."""
        (self.bundle / "ctl").write_text(f"1 {rows} {columns}\n")

    def delete(self) -> None:
        self.crio.ok("delete", "--force", self.id)

    def left(self) -> list[str]:
        return remains.of(self.id, [self.crio.place / "root"])
