"""The container's own directory: made first, so that a SIGKILL at any later point leaves something to find.

<root>/<id>/
    lock          record lock of the command that changes the container
    intent.json   what create is about to make: written before the first side effect
    journal       the page both processes write their step into (native.h page_t)
    exec.fifo     what the init waits on for `start`; gone once started
    config.json   the configuration as created: exec and delete do not need the bundle
    state.json    written last, when the container is `created`
"""
from __future__ import annotations

import posix

from ..config.dump import dumps
from ..errors import ALREADY_EXISTS, StateError
from ..state import record, store
from ..step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..config.types import Config
    from ..facts import Facts
    from ..host import Host
    from ..kernel import Kernel
    from ..options import Options

SPEC = "runtime.md#state"


class Reserve(Step):
    """mkdir decides which of two creates of one id wins; the lock tells the others that somebody is at work."""
    name = "state.reserve"
    spec = SPEC
    root: str
    id: str

    def describe(self) -> str:
        return f"reserve the id: make {self.root}/{self.id} and lock it"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        store.make_root(self.root, kernel)
        path = f"{self.root}/{self.id}"
        try:
            kernel.mkdir(path, 0o711)
        except FileExistsError:
            raise StateError(f"{ALREADY_EXISTS}: {self.id}") from None
        facts.keep(self, True)
        try:
            facts.state_fd = kernel.open(path, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW)
            lock = kernel.open(store.LOCK, posix.O_RDWR | posix.O_CREAT, 0o600, facts.state_fd)
            kernel.lock(lock)
            deleted = not kernel.stat(lock).st_nlink
        except (FileNotFoundError, BlockingIOError):
            deleted = True
        if deleted:                 # before it was locked: what has the name now is not ours
            facts.keep(self, False)
            raise StateError(f"container {self.id} was deleted while it was being created")

    def undo(self, kernel: Kernel, facts: Facts) -> None:
        if facts.kept(self, False):
            kernel.remove_tree(f"{self.root}/{self.id}")


class Intent(Step):
    """What create is about to make and who is making it, for a delete that must find everything."""
    name = "state.intent"
    spec = SPEC
    intent: dict[str, Any]

    def describe(self) -> str:
        return f"write down the intent: cgroup {self.intent['cgroup'] or 'none'}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.write_new(store.INTENT, dumps(self.intent).encode(), 0o600, facts.state_fd)


class Journal(Step):
    """Map the page that names the step each process is in."""
    name = "state.journal"
    spec = SPEC

    def describe(self) -> str:
        return "map the journal page"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        facts.page = kernel.map_page(store.JOURNAL, facts.state_fd, facts.page)


class Page(Step):
    """The page for a process of exec, which has no journal: nothing of it has to be found again after a crash."""
    name = "state.page"
    spec = SPEC

    def describe(self) -> str:
        return "map a page for the step that each process is in"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        facts.page = kernel.memory_page(facts.page)


class Fifo(Step):
    """The init holds it open for reading and writing, so `start` never finds it without a reader."""
    name = "state.fifo"
    spec = "runtime.md#start"

    def describe(self) -> str:
        return "make the fifo that start writes to"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.mkfifo(store.FIFO, 0o600, facts.state_fd)
        facts.fifo_fd = kernel.open(store.FIFO, posix.O_RDWR, 0, facts.state_fd)


class Save(Step):
    """The container is `created`: state.json, atomically, with what only now is known."""
    name = "state.save"
    spec = SPEC
    intent: dict[str, Any]
    config: Config

    def describe(self) -> str:
        return "write state.json"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        state = record.created(self.intent, facts.pid, facts.start_time or record.start_time(kernel, facts.pid))
        kernel.write_new(store.CONFIG, dumps(self.config).encode(), 0o600, facts.state_fd)
        kernel.write_new(store.STATE, dumps(state).encode(), 0o600, facts.state_fd)


class PidFile(Step):
    """The engine waits for this file to appear whole: written beside it, then renamed. No newline, as runc."""
    name = "state.pid_file"
    spec = "runtime.md#create"
    path: str

    def describe(self) -> str:
        return f"write the pid file {self.path}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        directory, _, name = self.path.rpartition("/")
        fd = kernel.open(directory or "/", posix.O_RDONLY | posix.O_DIRECTORY)
        try:
            kernel.write_new(name, str(facts.pid).encode(), 0o666, fd)
        finally:
            kernel.close(fd)

    def undo(self, kernel: Kernel, facts: Facts) -> None:
        try:
            kernel.unlink(self.path)
        except FileNotFoundError:
            pass


def reserve(config: Config, options: Options, host: Host) -> Iterator[Step]:
    """PARENT: the first steps of all."""
    yield Reserve(root=options.root, id=options.id)
    yield Intent(intent=record.intent(config, options, host))
    yield Journal()
    yield Fifo()


def page() -> Iterator[Step]:
    """PARENT: the first step of exec."""
    yield Page()


def save(config: Config, options: Options, host: Host) -> Iterator[Step]:
    """PARENT, at the barrier where the init is set up but still the runtime's."""
    yield Save(intent=record.intent(config, options, host), config=config)


def pid_file(config: Config, options: Options, host: Host) -> Iterator[Step]:
    """PARENT: last, because engines take its existence for success."""
    if options.pid_file:
        yield PidFile(path=options.pid_file)
