"""The commands of scenarios.py where more is to be done than for a plain container of root's: with a user namespace,
with a terminal, by an ordinary user, with units of systemd; and restore."""
from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bundles import SLEEPER, merge, namespaces
from tests.container.rootless import UID, Users
from tests.faults.injection import Outcome
from tests.faults.scenarios import ALL, Create, Delete, Exec, Kill, Run, Scenario, Start, Update
from tests.runtimes import Runtime

IDS = [{"containerID": 0, "hostID": 0, "size": 65536}]


class InUserNamespace(Scenario):
    where = "user namespace"

    def base(self) -> dict[str, object]:
        return merge(super().base(), {"linux": {
            "namespaces": namespaces("pid", "network", "ipc", "uts", "mount", "cgroup", "user"),
            "uidMappings": IDS, "gidMappings": IDS}})


# ---- terminals -------------------------------------------------------------------------------------------------------
class WithTerminal(Scenario):
    """Its other end is with us as long as we look."""
    where = "terminal"

    def __init__(self, runtime: Runtime, place: Path) -> None:
        self.path = str(place / "console")
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.path)
        self.listener.listen(64)
        self.listener.setblocking(False)
        self.masters: list[int] = []
        super().__init__(runtime, place)

    def base(self) -> dict[str, object]:
        return merge(super().base(), {"process": {"terminal": True}})

    def flags(self) -> list[str]:
        return ["--console-socket", self.path]

    def seen(self, id: str) -> dict[str, Any]:
        self.accept()
        return super().seen(id)

    def wrong(self, id: str, outcome: Outcome) -> str:
        self.accept()
        return super().wrong(id, outcome)

    def accept(self) -> None:
        """All that wait."""
        while True:
            try:
                connection, _ = self.listener.accept()
            except BlockingIOError:
                return
            with connection:
                connection.settimeout(60)
                self.masters += socket.recv_fds(connection, 4096, 4)[1]

    def left(self, id: str) -> str:
        self.accept()
        wrong = super().left(id)
        while self.masters:
            os.close(self.masters.pop())
        return wrong


class CreateWithTerminal(WithTerminal, Create):
    pass


class ExecWithTerminal(WithTerminal, Exec):
    def argv(self, id: str) -> list[str]:
        return self.runtime.argv("exec", "--tty", "--detach", *self.flags(), id, "sleep", "1000")

    def succeeded(self, id: str) -> str:
        running = self.processes(id, 2, 2)
        return self.is_(id, "running") or self.works(id) or ("" if len(running) == 2 else f"processes {running}")

    def left(self, id: str) -> str:
        """What runs detached is our child: as a zombie it would hold the pid namespace."""
        init = json.loads(self.runtime("state", id).stdout or '{"pid": 0}')["pid"]
        for pid in self.processes(id) - {init}:
            os.kill(pid, signal.SIGKILL)
        self.processes(id, 5, 1)
        return super().left(id)


class RunWithTerminal(WithTerminal, Run):
    """In the foreground, by a caller who has one."""
    def __init__(self, runtime: Runtime, place: Path) -> None:
        self.ours, self.callers = pty.openpty()
        super().__init__(runtime, place)

    def argv(self, id: str) -> list[str]:
        return self.runtime.argv("run", "--bundle", self.bundle, id)

    def stdin(self) -> int:
        return self.callers


# ---- an ordinary user ------------------------------------------------------------------------------------------------
class OfUser(Scenario):
    where = "rootless"

    def __init__(self, runtime: Runtime, place: Path) -> None:
        super().__init__(Users(runtime, place), place)

    def made(self, folder: Path, config: dict[str, object]) -> Path:
        made = super().made(folder, config)
        subprocess.run(["chown", "-R", f"{UID}:{UID}", made], check=True)
        return made

    def base(self) -> dict[str, object]:
        base: Any = super().base()
        folder = self.place / "spec"
        folder.mkdir(exist_ok=True)
        (folder / "config.json").unlink(missing_ok=True)
        subprocess.run([self.runtime.path, "spec", "--rootless", "--bundle", folder], check=True)
        ids = [{"containerID": 0, "hostID": UID, "size": 1}]
        return merge(json.loads((folder / "config.json").read_text()), {
            "process": {**base["process"], "terminal": False, "user": {"uid": 0, "gid": 0, "additionalGids": []}},
            "root": {"readonly": False}, "hooks": base["hooks"],
            "linux": {"seccomp": base["linux"]["seccomp"], "uidMappings": ids, "gidMappings": ids}})


# ---- systemd ---------------------------------------------------------------------------------------------------------
class OfSystemd(Scenario):
    """In the guest, which is slow: what is called without systemd, too, is tried on this machine."""
    where = "systemd"
    slice = 4

    def __init__(self, runtime: Runtime, place: Path) -> None:
        runtime = Runtime(runtime.path, runtime.root)
        runtime.options = ["--systemd-cgroup"]
        super().__init__(runtime, place)

    def left(self, id: str) -> str:
        wrong = super().left(id)
        unit = f"pyrunc-{id}.scope"
        loaded = subprocess.run(["systemctl", "show", "--property=LoadState", "--value", unit], check=True, text=True,
                                capture_output=True).stdout.strip()
        return wrong + ("" if loaded == "not-found" else f" unit {unit} is {loaded}")


# ---- restore ---------------------------------------------------------------------------------------------------------
class Restore(Create):
    """The images are what they were, whatever happens."""
    name = "restore"
    slice = 4

    def __init__(self, runtime: Runtime, place: Path) -> None:
        super().__init__(runtime, place)
        self.images = place / "images"
        id = f"{place.name}-images"
        ours, theirs = os.pipe()            # CRIU takes no file from outside of the container
        subprocess.run(runtime.argv("run", "--detach", "--bundle", self.bundle, id), check=True,
                       stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs)
        os.close(theirs)
        os.close(ours)
        runtime.ok("checkpoint", "--image-path", self.images, id)
        self.files = self.sizes()
        runtime.ok(*self.flags_of_restore(), f"{id}-2")
        self.whole = self.seen(f"{id}-2")
        runtime.ok("delete", "--force", f"{id}-2")

    def flags_of_restore(self) -> list[str]:
        return ["restore", "--detach", "--image-path", str(self.images), "--bundle", str(self.bundle)]

    def argv(self, id: str) -> list[str]:
        return self.runtime.argv(*self.flags_of_restore(), id)

    def sizes(self) -> dict[str, int]:
        return {path.name: path.stat().st_size for path in self.images.glob("*.img")}

    def succeeded(self, id: str) -> str:
        return self.is_(id, "running") or self.weaker(id) or self.works(id)

    def left(self, id: str) -> str:
        now = self.sizes()
        lost = "" if now.items() >= self.files.items() else f"the images are {now}, not {self.files}; "
        return lost + super().left(id)

    def base(self) -> dict[str, object]:
        return merge(super().base(), {"process": {"args": list(SLEEPER)}})


# ---- all of them -----------------------------------------------------------------------------------------------------
def variant(of: type[Scenario], command: type[Scenario]) -> type[Scenario]:
    return type(of.__name__ + command.__name__, (of, command), {"beside": command if of is OfSystemd else None})


def everywhere() -> Iterator[tuple[type[Scenario], Any]]:
    """Each scenario, with the marks of where it can be tried."""
    for command in ALL:
        yield command, ()
    for command in (Create, Run, Start, Exec, Delete, Kill):
        yield variant(InUserNamespace, command), ()
        yield variant(OfUser, command), ()
    for scenario in (CreateWithTerminal, ExecWithTerminal, RunWithTerminal):
        yield scenario, ()
    for command in (Create, Exec, Delete, Update):
        yield variant(OfSystemd, command), pytest.mark.guest_systemd
    yield Restore, pytest.mark.guest
