"""Where the runtime has stopped at a step: whoever looks from elsewhere finds that, and lets it go on.

While it stands, <root>/<id>/stopped.PID says where, once the container has a directory. An answer is the file
stopped.PID.order, and SIGCONT (`pyrunc step`).
"""
from __future__ import annotations

import _signal
import posix

from ..engine.breakpoints import ABORT, CONTINUE, NEXT, Breakpoints, init_of
from ..engine.nsenter import command
from ..formats.json_text import dumps
from ..kernel import small_file
from ..kernel.posix import PosixKernel
from ..state import process_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from ..engine.breakpoints import Notices
    from ..engine.facts import Facts

PREFIX, ORDER = "stopped.", ".order"


class Halts(Breakpoints):
    """Breakpoints that say where the runtime stands. It stops itself (SIGSTOP), and SIGCONT lets it go on.

    root, id, name   of the container's state and of the command
    """

    def __init__(self, asked: Sequence[str], log: Notices, lenient: bool, root: str, id: str, name: str) -> None:
        super().__init__(asked, log, lenient)
        self.directory, self.id, self.name, self.count = f"{root}/{id}", id, name, 0

    def halt(self, what: str, facts: Facts, about: dict[str, object]) -> str:
        self.count += 1
        prompts = self.prompts()
        pid = init_of(facts)
        init = f"; look around: {command(pid)}, /proc/{pid}" if pid else ""
        on = f"pyrunc step {self.id}" if prompts else f"fg or kill -CONT {posix.getpid()}"
        self.log.notice(f"{what}{init}; go on: {on}")
        file = f"{PREFIX}{posix.getpid()}"
        record = {"container": self.id, "command": self.name, **about, "what": what, "init": pid,
                  "runtime": process_id.own(), "prompts": prompts, "count": self.count}
        told = self._write(file, record)
        try:
            return self.ask(pid, file) if prompts else self._stop(file)
        finally:
            if told:
                unlink(f"{self.directory}/{file}")

    def prompts(self) -> bool:
        """Whether a person is asked, and answers here."""
        return False

    def ask(self, pid: int, file: str) -> str:
        """Ask that person. pid: of the init, 0: there is none yet; file: of the record."""
        raise NotImplementedError

    def _write(self, file: str, record: Mapping[str, Any]) -> bool:
        """False where the container has no directory (yet): then only the terminal knows."""
        try:
            fd = posix.open(self.directory, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC | posix.O_NOFOLLOW)
        except OSError:
            return False
        try:
            PosixKernel().write_new(file, dumps(record).encode(), 0o600, fd)
        except OSError:
            return False
        finally:
            posix.close(fd)
        return True

    def _stop(self, file: str) -> str:
        posix.kill(posix.getpid(), _signal.SIGSTOP)
        return self.order(file)

    def order(self, file: str) -> str:
        """What `pyrunc step` has left; "" for nothing."""
        path = f"{self.directory}/{file}{ORDER}"
        try:
            order = small_file.read(path, 16)
        except OSError:
            return ""
        unlink(path)
        return order if order in (NEXT, CONTINUE, ABORT) else ""


def unlink(path: str) -> None:
    """Remove a file, if it is there."""
    try:
        posix.unlink(path)
    except OSError:
        pass


def stopped(root: str, id: str) -> list[dict[str, Any]]:
    """The commands that stand at a step of this container, as Halts has written it. Those that were killed are not."""
    try:
        names = posix.listdir(f"{root}/{id}")
    except OSError:
        return []
    found = [name for name in names if name.startswith(PREFIX) and not name.endswith(ORDER)]
    return [record for name in sorted(found) for record in _read(root, id, name)]


def _read(root: str, id: str, name: str) -> Iterator[dict[str, Any]]:
    from ..config.load import loads
    from ..errors import PyruncError
    from ..kernel.own_files import open_file
    try:
        fd = open_file(root, id, name)
        try:
            record = loads(posix.read(fd, 1 << 16), name)
        finally:
            posix.close(fd)
        if process_id.alive(record["runtime"]):
            yield record
    except (OSError, PyruncError, KeyError, TypeError):       # it went on meanwhile
        return


def shown(record: Mapping[str, Any]) -> dict[str, Any]:
    """For `state`."""
    about = {key: record[key] for key in ("command", "step", "number", "where", "error") if key in record}
    return {**about, "runtime": record["runtime"]["pid"], "init": record["init"]}
