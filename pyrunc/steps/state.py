"""The container's own directory: made first, so that a SIGKILL at any later point leaves something to find.

<root>/<id>/
    lock          record lock of the command that changes the container
    intent.json   what create is about to make: written before the first side effect
    plan.json     the steps of create: id, side, spec, where, what (step.Plan.saved)
    journal       the page both processes write their step into, by its index there (native.h page_t)
    exec.fifo     what the init waits on for `start`; gone once started
    config.json   the configuration as created: exec and delete do not need the bundle
    state.json    there at last, when the container is `created`; before that it is called state.next
"""
from __future__ import annotations

import errno
import posix

from ..engine.step import Step
from ..errors import ALREADY_EXISTS, StateError
from ..formats.json_text import dumps
from ..kernel import own_files
from ..state import store
from ..state.intent import created, intent, start_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from ..config.types import Config
    from ..engine.facts import Facts
    from ..kernel.linux import Kernel
    from ..request import Request

SPEC = "runtime.md#state"
#: What an undo takes at most at one time: a directory within a directory to be emptied (each is open twice), the pipes
#: of a poststop hook and a pidfd.
SPARE = 6
#: What becomes state.json.
NEXT = "state.next"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
#: <linux/stat.h>
FIFO, CHARACTER_DEVICE, DIRECTORY, LINK = 0o010000, 0o020000, 0o040000, 0o120000
SPECIAL = (FIFO, CHARACTER_DEVICE)


class Reserve(Step):
    """mkdir decides which of two creates of one id wins; the lock tells the others that a command is at work."""
    name = "state.reserve"
    spec = SPEC
    root: str
    id: str

    def describe(self) -> str:
        return f"reserve the id: make {self.root}/{self.id} and lock it"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        store.make_root(self.root, kernel)
        # Taken before there is anything to undo: who runs out of descriptors later has these to undo it with.
        facts.spare.append(kernel.open(self.root, posix.O_PATH | posix.O_DIRECTORY))
        while len(facts.spare) < SPARE:
            facts.spare.append(kernel.dup(facts.spare[0]))
        path = f"{self.root}/{self.id}"
        try:
            kernel.mkdir(path, 0o711)
        except FileExistsError:
            raise StateError(f"{ALREADY_EXISTS}: {self.id}") from None
        facts.keep(self, True)
        try:
            facts.state_fd = kernel.open(path, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW)
            facts.lock_fd = kernel.open(store.LOCK, posix.O_RDWR | posix.O_CREAT, 0o600, facts.state_fd)
            kernel.lock(facts.lock_fd)
            deleted = not kernel.stat(facts.lock_fd).st_nlink
        except (FileNotFoundError, BlockingIOError, PermissionError):
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
        return f"write intent.json: cgroup {self.intent['cgroup'] or 'none'}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.write_new(store.INTENT, dumps(self.intent).encode(), 0o600, facts.state_fd)
        facts.keep(Intent, self.intent)


class Journal(Step):
    """Map the page that has the number of the step that each process is in, and write down what the numbers mean."""
    name = "state.journal"
    spec = SPEC

    def describe(self) -> str:
        return "map the journal page, and write plan.json"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        facts.page = kernel.map_page(store.JOURNAL, facts.state_fd, facts.page)
        try:
            kernel.write_new(store.PLAN, dumps(facts.plan.saved()).encode(), 0o600, facts.state_fd)
            facts.keep(Journal, True)
        except OSError as fault:
            if fault.errno not in NO_ROOM:       # then state.json has what `start` needs of it
                raise


class Page(Step):
    """The page for a process of exec, which has no journal: nothing of it has to be found again after a crash."""
    name = "state.page"
    spec = SPEC

    def describe(self) -> str:
        return "map a page that holds the step of each process"

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


class Prepare(Step):
    """config.json, and state.json under another name: for what is written while the init sets itself up, it need not
    wait later. Where there is no room for them, it is left to state.save."""
    name = "state.prepare"
    spec = SPEC
    config: Config

    def describe(self) -> str:
        return "write config.json, and state.json under another name"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        try:
            kernel.write_new(store.CONFIG, dumps(self.config).encode(), 0o600, facts.state_fd)
            kernel.write_new(NEXT, dumps(record(kernel, facts)).encode(), 0o600, facts.state_fd)
            facts.keep(Prepare, True)
        except OSError as fault:
            if fault.errno not in NO_ROOM:
                raise


def record(kernel: Kernel, facts: Facts) -> dict[str, Any]:
    """state.json, with what is only known when there is an init."""
    noted: dict[str, Any] = facts.results[Intent]
    state = created(noted, facts.pid, facts.start_time or start_time(kernel, facts.pid),
                    kernel.stat(facts.cgroup_fd) if facts.cgroup_fd >= 0 else None)
    return state if facts.kept(Journal, False) else {**state, "late_steps": facts.plan.late()}


class Save(Step):
    """The container is `created`: state.json, atomically."""
    name = "state.save"
    spec = SPEC
    config: Config

    def describe(self) -> str:
        return "rename it to state.json: the container is created"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        if facts.kept(Prepare, False):
            kernel.rename(NEXT, store.STATE, facts.state_fd)
            return
        self._write(kernel, facts, store.CONFIG, lambda: self.config)
        self._write(kernel, facts, store.STATE, lambda: record(kernel, facts))

    def _write(self, kernel: Kernel, facts: Facts, name: str, record: Callable[[], object]) -> None:
        """Where there is no room for it, the plan goes, which takes more than all else and only explains."""
        try:
            kernel.write_new(name, dumps(record()).encode(), 0o600, facts.state_fd)
        except OSError as fault:
            if fault.errno not in NO_ROOM or not facts.kept(Journal, False):
                raise
            kernel.unlink(store.PLAN, facts.state_fd)
            facts.keep(Journal, False)
            kernel.write_new(name, dumps(record()).encode(), 0o600, facts.state_fd)


class PidPlace(Step):
    """Before anything but the container's own directory is made: the pid file's directory is there and can be written,
    and what has the name may be replaced. A device or a FIFO is written to, also at the end of a link of root's such as
    /dev/stdout; runc would put a file in its place. Any other link is replaced, as by runc, and never followed."""
    name = "state.pid_place"
    spec = "runtime.md#create"
    path: str

    def describe(self) -> str:
        return f"check that the pid file {self.path} can be written"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        directory, _, name = self.path.rpartition("/")
        place = kernel.open(directory or "/", posix.O_RDONLY | posix.O_DIRECTORY)
        facts.keep(self, (place, -1))
        kind = self._kind(kernel)
        if kind in SPECIAL:
            special = kernel.open(name, posix.O_WRONLY | posix.O_NONBLOCK | posix.O_NOCTTY, 0, place)
            facts.keep(self, (place, special))
        elif kind not in (own_files.REGULAR, LINK):
            number = errno.EISDIR if kind == DIRECTORY else errno.EEXIST
            raise OSError(number, posix.strerror(number), self.path)
        else:
            self._try(kernel, directory or "/")

    def undo(self, kernel: Kernel, facts: Facts) -> None:
        for fd in facts.kept(self, (-1, -1)):
            if fd >= 0:
                kernel.close(fd)
        facts.keep(self, (-1, -1))

    def _kind(self, kernel: Kernel) -> int:
        """What has the name: a file type of stat(2), REGULAR for nothing."""
        try:
            found = kernel.stat_path(self.path, follow=False)
            kind = found.st_mode & own_files.TYPE
            if kind == LINK and found.st_uid == 0:
                end = kernel.stat_path(self.path).st_mode & own_files.TYPE
                return end if end in SPECIAL else LINK
            return kind
        except FileNotFoundError:
            return own_files.REGULAR

    def _try(self, kernel: Kernel, directory: str) -> None:
        """Whether there can be a new file in the directory: one without a name says so and leaves nothing (open(2))."""
        try:
            kernel.close(kernel.open(directory, posix.O_TMPFILE | posix.O_WRONLY, 0o600))
        except OSError as fault:
            if fault.errno not in (errno.EOPNOTSUPP, errno.EISDIR):      # the file system knows none
                raise


class PidFile(Step):
    """The engine waits for this file to appear whole: written beside it, then renamed. No newline, as runc."""
    name = "state.pid_file"
    spec = "runtime.md#create"
    path: str
    place: PidPlace

    def describe(self) -> str:
        return f"write the pid file {self.path}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        data = str(facts.pid).encode()
        directory, special = facts.kept(self.place, (-1, -1))
        if special >= 0:
            kernel.write(special, data)
        else:
            kernel.replace(self.path.rpartition("/")[2], data, 0o666, directory)
            facts.keep(self, True)
        self.place.undo(kernel, facts)

    def undo(self, kernel: Kernel, facts: Facts) -> None:
        if facts.kept(self, False):
            try:
                kernel.unlink(self.path)
            except FileNotFoundError:
                pass


def reserve(want: Request) -> Iterator[Step]:
    """PARENT: the first steps of all."""
    yield Reserve(root=want.options.root, id=want.options.id)
    yield Intent(intent=intent(want))
    yield Journal()
    yield Fifo()


def prepare(want: Request) -> Iterator[Step]:
    """PARENT, while the init sets itself up: what takes longer than to rename it."""
    yield Prepare(config=want.config)


def page() -> Iterator[Step]:
    """PARENT: the first step of exec."""
    yield Page()


def save(want: Request) -> Iterator[Step]:
    """PARENT, at the barrier where the init is set up but still the runtime's."""
    yield Save(config=want.config)


def pid_place(want: Request) -> Iterator[PidPlace]:
    """PARENT: the first step, if the caller wants the pid."""
    if want.options.pid_file:
        yield PidPlace(path=want.options.pid_file)


def pid_file(place: Sequence[PidPlace]) -> Iterator[Step]:
    """PARENT: last, because engines take its existence for success. place: the steps of pid_place()."""
    for found in place:
        yield PidFile(path=found.path, place=found)
