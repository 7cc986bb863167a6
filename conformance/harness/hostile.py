"""For cases with an image, a config or a caller that means harm: what must stay as it was, and what came of a try."""
from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..model import Fails, NotHere
from . import bundles
from .runtime import reap
from .trial import Container, Trial

SECRET = "the machine's own\n"


@dataclass
class Attempt:
    """What came of a container that may or may not be refused. status: of create or start, else the program's."""
    status: int
    stdout: str
    stderr: str
    ran: bool


def attempt(t: Trial, bundle: Path | None = None, seconds: float = 20, options: Sequence[str] = (),
            pass_fds: Sequence[int] = (), env: Mapping[str, str] | None = None, stdin: int = subprocess.DEVNULL,
            **changes: Any) -> Attempt:
    """create and start, and wait for the program. Fails when one of it hangs; a refusal is an answer."""
    bundle, id, file = bundle or t.bundle(**changes), t.new_id(), t.place / "pid"
    file.unlink(missing_ok=True)
    made = t.runtime("create", "--bundle", bundle, "--pid-file", file, *options, id, pass_fds=pass_fds, env=env,
                     stdin=stdin, seconds=seconds)
    started = None if made.status else t.runtime("start", id, seconds=seconds)
    if made.status or (started and started.status):
        later = "" if started is None else started.stderr
        return Attempt(made.status or (started.status if started else 1), made.stdout, made.stderr + later, False)
    status = reap(int(file.read_text()), seconds)
    t.runtime("delete", "--force", id)
    return Attempt(status, made.stdout, made.stderr, True)


def execute(t: Trial, made: Container, *words: str | Path, seconds: float = 20, **options: Any) -> Attempt:
    """exec in a container, and what it printed."""
    outcome = t.runtime("exec", *words[:-1], *words[-1:], seconds=seconds, **options)
    return Attempt(outcome.status, outcome.stdout, outcome.stderr, outcome.status == 0)


def look(folder: Path) -> list[tuple[str, int, int, bytes]]:
    """Names, owners, modes and contents below a folder."""
    return sorted((str(path), path.lstat().st_uid, path.lstat().st_mode,
                   path.read_bytes() if path.is_file() and not path.is_symlink() else b"")
                  for path in (folder, *folder.rglob("*")))


@contextmanager
def kept(t: Trial) -> Iterator[Path]:
    """A folder of the machine with files in it. Fails when it, or what is mounted on the machine, is changed inside."""
    folder = t.place / "outside"
    folder.mkdir(mode=0o755)
    for name in ("ptmx", "null", "secret"):
        (folder / name).write_text(SECRET)
    mounts, before = Path("/proc/self/mountinfo").read_text(), look(folder)
    yield folder
    after = look(folder)
    changed = [f"{entry[0]} {entry[2]:o} of {entry[1]}" for entry in after if entry not in before]
    gone = [entry[0] for entry in before if entry[0] not in {other[0] for other in after}]
    if changed or gone:
        raise Fails(f"outside of the container was made or changed: {', '.join(changed)}; removed: {', '.join(gone)}")
    seen = Path("/proc/self/mountinfo").read_text()
    t.true(seen == mounts, "the mounts of the machine have changed: "
           + "; ".join(sorted(set(seen.splitlines()) ^ set(mounts.splitlines()))))


def link(path: Path, target: Path | str) -> None:
    """A link in place of a file or an empty folder."""
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def up(folder: Path) -> str:
    """The same folder by a path that climbs out of any root first."""
    return "../" * 12 + str(folder).lstrip("/")


def capabilities(*names: str) -> dict[str, Any]:
    return {"capabilities": {kind: list(names) for kind in ("bounding", "effective", "permitted")}}


@contextmanager
def groups_of_the_caller(*groups: int) -> Iterator[None]:
    before = os.getgroups()
    os.setgroups(groups)
    try:
        yield
    finally:
        os.setgroups(before)


@contextmanager
def terminals(t: Trial) -> Iterator[str]:
    """The path of a socket that takes the master end of terminals, and does nothing with them but keep them."""
    path = str(t.place / "console")
    connections: list[socket.socket] = []
    masters: list[int] = []

    def take() -> None:
        while True:
            try:
                connections.append(listener.accept()[0])
                masters.extend(socket.recv_fds(connections[-1], 4096, 8)[1])
            except OSError:
                return
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(8)
        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        try:
            yield path
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            while thread.is_alive():            # a runtime that has sent nothing may keep its connection open
                for connection in connections[:]:
                    with suppress(OSError):
                        connection.shutdown(socket.SHUT_RDWR)
                thread.join(0.01)
            for connection in connections:
                connection.close()
            for fd in masters:
                os.close(fd)


# ---- Python inside of a container -------------------------------------------------------------------------------
def python() -> str:
    """The interpreter of the machine, which with_python's containers have. NotHere when it is not below /usr."""
    path = os.path.realpath(sys.executable)
    if not path.startswith("/usr/"):
        raise NotHere(f"the interpreter is {path}, not below /usr")
    return path


def with_python(t: Trial, script: str, *args: str, **changes: Any) -> Path:
    """A bundle whose program is this script, by the machine's Python: /usr is there, and what /lib needs of it."""
    mounts = [*changes.pop("mounts", bundles.MOUNTS), bundles.bind("/usr", "/usr", "ro")]
    bundle = t.bundle(mounts=mounts, **bundles.merge(
        changes, {"process": {"args": [python(), "-I", "-c", script, *args]}}))
    for name in ("lib", "lib64"):
        if Path("/", name).is_symlink():
            (bundle / "rootfs" / name).symlink_to(os.readlink(f"/{name}"))
    return bundle


def kill(process: subprocess.Popen[Any]) -> None:
    """End a process that a case has started."""
    process.send_signal(signal.SIGKILL)
    process.wait()
