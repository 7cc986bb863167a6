"""The terminal of process.terminal: a pseudoterminal of the container's own devpts.

The init opens it, because only there the names in /dev/pts mean what the container sees, and hands the master out:
over the socket of --console-socket, or, for a foreground run, over a pair that the runtime made before the clone.
facts.console_fd is the peer in the init, and the master in a runtime that stays in the foreground.
"""
from __future__ import annotations

import errno
import posix

from ..engine.step import CHILD, LAST, Step
from ..errors import UsageError
from ..kernel.last_stage import OP_TERMINAL
from ..rootfs import destination
from ..rootfs.destination import S_IFCHR
from ..rootfs.devices import is_device
from ..rootfs.mounting import AT_EMPTY_PATH, OPEN_TREE_CLONE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..config.types import Config
    from ..engine.facts import Facts
    from ..kernel.linux import Kernel
    from ..request import Request

SPEC = "config.md#process"
DEVPTS_SUPER_MAGIC = 0x1CD1
#: The multiplexer of a devpts: 5:2, and always inode 2 of it.
PTMX, PTMX_INO = (S_IFCHR, posix.makedev(5, 2)), 2
#: What goes over the socket with the descriptor; receivers take it for a name.
NAME = b"/dev/ptmx"


class Session(Step):
    """A session of its own, without a terminal: the caller's can be neither signalled from nor typed into (TIOCSTI,
    CVE-2017-5226), and its own can become its controlling terminal."""
    name = "terminal.session"
    spec = SPEC
    side = CHILD

    def describe(self) -> str:
        return "begin a new session"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.setsid()


class Connect(Step):
    """By the runtime, whose right it is to reach the engine's socket; the init may be nobody out here."""
    name = "terminal.connect"
    spec = SPEC
    path: str

    def describe(self) -> str:
        return f"connect to the console socket {self.path}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        facts.console_socket = kernel.connect(self.path)

    def undo(self, kernel: Kernel, facts: Facts) -> None:
        if facts.console_socket >= 0:
            kernel.close(facts.console_socket)
            facts.console_socket = -1


class Pair(Connect):
    """In the foreground the runtime itself is the other end: facts.console_fd, until terminal.receive."""
    name = "terminal.pair"

    def describe(self) -> str:
        return "make a socket pair for the terminal"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        facts.console_fd, facts.console_socket = kernel.socketpair()

    def undo(self, kernel: Kernel, facts: Facts) -> None:
        super().undo(kernel, facts)
        if facts.console_fd >= 0:
            kernel.close(facts.console_fd)
            facts.console_fd = -1


class Open(Step):
    """Open a terminal. The multiplexer is proved to be one before it is opened, and the peer is what the kernel says
    it is, not what has its name (CVE-2025-52565)."""
    name = "terminal.open"
    spec = SPEC
    side = CHILD
    height: int
    width: int

    def describe(self) -> str:
        size = f", {self.width} columns by {self.height} rows" if self.height and self.width else ""
        return f"open a terminal of the container's /dev/pts{size}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        pts = destination.find(kernel, facts.root_fd, "/dev/pts")
        multiplexer = kernel.open("ptmx", destination.PLACE, 0, pts)
        if (kernel.fs_type(multiplexer) != DEVPTS_SUPER_MAGIC or not is_device(kernel, multiplexer, *PTMX)
                or kernel.stat(multiplexer).st_ino != PTMX_INO):
            raise OSError(errno.ENODEV, posix.strerror(errno.ENODEV), "/dev/pts/ptmx is not that of a devpts")
        master = kernel.reopen(multiplexer, posix.O_RDWR | posix.O_NOCTTY)
        kernel.close(multiplexer)
        kernel.close(pts)
        if self.height and self.width:
            kernel.pty_size(master, self.height, self.width)
        facts.keep(self, master)
        facts.console_fd = kernel.pty_peer(master)


class Console(Step):
    """Bind the terminal on /dev/console, which is made if it is missing, and is no link (CVE-2026-88264)."""
    name = "terminal.console"
    spec = "config-linux.md#default-devices"
    side = CHILD

    def describe(self) -> str:
        return "bind the terminal on /dev/console"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        directory, name = destination.parent(kernel, facts.root_fd, "/dev/console")
        try:
            kernel.close(kernel.open(name, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW, 0o666,
                                     directory))
        except FileExistsError:
            pass
        place = kernel.open(name, destination.PLACE, 0, directory)
        if kernel.stat(place).st_mode & destination.S_IFMT in (destination.S_IFLNK, destination.S_IFDIR):
            raise OSError(errno.ELOOP, posix.strerror(errno.ELOOP), "/dev/console is a link, or no file")
        mount = kernel.open_tree("", OPEN_TREE_CLONE | AT_EMPTY_PATH, facts.console_fd)
        kernel.move_mount(mount, place)
        for fd in (mount, place, directory):
            kernel.close(fd)


class Send(Step):
    """Hand out the master."""
    name = "terminal.send"
    spec = SPEC
    side = CHILD
    opened: Open
    receiver: str

    def describe(self) -> str:
        return f"send the terminal's master to {self.receiver}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        master = facts.kept(self.opened, -1)
        kernel.send_on(facts.console_socket, NAME, master)
        kernel.close(master)
        kernel.close(facts.console_socket)


class Stdio(Step):
    """The last that Python does in the init: what it might still want to print would go to the container's terminal."""
    name = "terminal.stdio"
    spec = SPEC
    side = CHILD

    def describe(self) -> str:
        return "make the terminal standard input, output and error"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        for number in (0, 1, 2):
            kernel.dup2(facts.console_fd, number)
        kernel.close(facts.console_fd)


class Control(Step):
    """Only the leader of a session can have a terminal: a process of exec that is cloned once more gets it then."""
    name = "terminal.control"
    spec = SPEC
    side = LAST

    def describe(self) -> str:
        return "make the terminal the controlling terminal"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.last(OP_TERMINAL)


class Release(Step):
    """The engine has the master now: it must be the only one, so that it sees the hang-up."""
    name = "terminal.release"
    spec = SPEC

    def describe(self) -> str:
        return "close the console socket"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.close(facts.console_socket)
        facts.console_socket = -1


class Take(Release):
    """The caller in the same process, a shim or a manager, says itself how lines end, as an engine does that has the
    master over a socket: containerd's own shim and conmon leave ONLCR set."""
    name = "terminal.take"

    def describe(self) -> str:
        return "receive the terminal's master"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        super().apply(kernel, facts)
        ours, facts.console_fd = facts.console_fd, kernel.receive_on(facts.console_fd)
        kernel.close(ours)


class Receive(Take):
    """Take the master in; the CLI copies between it and the caller's terminal, whose size the program finds from its
    first instruction on. Its lines end in LF: what is printed may go to a file, and the caller's own terminal adds the
    CR if it is shown."""
    name = "terminal.receive"

    def describe(self) -> str:
        return "receive the terminal's master, give it the size of the caller's terminal, and end lines with LF"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        super().apply(kernel, facts)
        kernel.pty_plain_newlines(facts.console_fd)
        kernel.pty_size_of_caller(facts.console_fd)


def wants(config: Config) -> bool:
    process = config.get("process")
    return bool(process and process.get("terminal"))


def sources(want: Request) -> Iterator[Step]:
    """PARENT, before the clone: where the master will go.

    A terminal needs a process to hold its other end: the command itself, or whoever listens on the console socket.
    Raises UsageError in runc's words, to the letter.
    """
    if want.options.detach and wants(want.config) and not want.options.console_socket:
        raise UsageError("cannot allocate tty if runc will detach without setting console socket: set process.terminal "
                         "in config.json to false, or give --console-socket")
    if want.options.console_socket and not (want.options.detach and wants(want.config)):
        raise UsageError("cannot use console socket if runc will not detach or allocate tty")
    if want.options.console_socket:
        yield Connect(path=want.options.console_socket, where="process.terminal")
    elif wants(want.config):
        yield Pair(path="", where="process.terminal")


def session(want: Request) -> Iterator[Step]:
    """CHILD, first of all."""
    yield Session()


def console(want: Request, joining: bool = False) -> Iterator[Step]:
    """CHILD, when /dev/pts is mounted below facts.root_fd. joining: a process of exec has no say about /dev/console."""
    if not wants(want.config):
        return
    # config.md#process: "Runtimes MUST ignore consoleSize if terminal is false or unset."
    size = want.config["process"].get("consoleSize")
    opened = Open(height=size["height"] if size else 0, width=size["width"] if size else 0,
                  where="process.consoleSize" if size else "process.terminal")
    yield opened
    if not joining:
        yield Console(where="process.terminal")
    yield Send(opened=opened, receiver=want.options.console_socket or "the runtime", where="process.terminal")


def stdio(want: Request) -> Iterator[Step]:
    """CHILD, its last act before the last stage."""
    if wants(want.config):
        yield Stdio(where="process.terminal")


def control(want: Request, cloned_later: bool = False) -> Iterator[Step]:
    """LAST, in the process that is going to be the container's."""
    if wants(want.config) and not cloned_later:
        yield Control(where="process.terminal")


def receive(want: Request) -> Iterator[Step]:
    """PARENT, at a barrier after `console`: the master is on its way."""
    if wants(want.config):
        kind = Release if want.options.console_socket else Take if want.options.terminal_taken else Receive
        yield kind(where="process.terminal")
