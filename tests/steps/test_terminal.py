"""The container's terminal: of its own devpts, proved to be one, and handed out over a socket."""
from __future__ import annotations

import array
import errno
import fcntl
import os
import socket
import struct
import termios
from pathlib import Path
from typing import Any

import pytest

from pyrunc._native import lib
from pyrunc.engine.facts import Facts
from pyrunc.engine.step import CHILD, PARENT
from pyrunc.errors import UsageError
from pyrunc.kernel.linux import Kernel
from pyrunc.kernel.recorder import Recorder
from pyrunc.kernel.recording import DIRECTORY, FILE
from pyrunc.options import Options
from pyrunc.request import Request
from pyrunc.steps import terminal

from ..forked import forked
from .rootfs import CLONE_NEWNS, ROOT, apply, config, enter, mountinfo, steps

MOUNTS: list[dict[str, Any]] = [
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
    {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
     "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]}]
NOT_BOTH = "cannot use console socket if runc will not detach or allocate tty"


class Multiplexer(Recorder):
    """Where whatever is opened is the multiplexer of a devpts."""

    def stat(self, fd: int) -> os.stat_result:
        return os.stat_result((0o020666, 2, 1, 1, 0, 0, 0, 0, 0, 0), {"st_rdev": os.makedev(5, 2)})

    def fs_type(self, fd: int) -> int:
        return 0x1CD1


def wanted(bundle: Path, **process: Any) -> Any:
    return {**config(bundle, MOUNTS), "process": {"terminal": True, "cwd": "/", "args": ["sh"], **process}}


def planned(given: Any, joining: bool = False, **options: Any) -> list[Any]:
    wish = Options(id="t", bundle="/b", **options)
    return [*terminal.sources(Request(given, wish, ROOT)), *terminal.console(Request(given, wish, ROOT), joining),
            *terminal.stdio(Request(given, wish, ROOT)), *terminal.receive(Request(given, wish, ROOT))]


# ---- the plan -----------------------------------------------------------------------------------------------------

def test_a_console_socket(tmp_path: Path) -> None:
    made = planned(wanted(tmp_path), console_socket="/run/tty.sock")
    assert [(step.name, step.side) for step in made] == [
        ("terminal.connect", PARENT), ("terminal.open", CHILD), ("terminal.console", CHILD), ("terminal.send", CHILD),
        ("terminal.stdio", CHILD), ("terminal.release", PARENT)]
    assert made[3].describe() == "send the terminal's master to /run/tty.sock"


def test_the_foreground(tmp_path: Path) -> None:
    made = planned(wanted(tmp_path), detach=False)
    assert [step.name for step in made] == ["terminal.pair", "terminal.open", "terminal.console", "terminal.send",
                                            "terminal.stdio", "terminal.receive"]


def test_a_process_of_exec_has_no_console(tmp_path: Path) -> None:
    assert [step.name for step in planned(wanted(tmp_path), joining=True, detach=False)] == [
        "terminal.pair", "terminal.open", "terminal.send", "terminal.stdio", "terminal.receive"]


def test_no_terminal_no_steps_but_a_session(tmp_path: Path) -> None:
    for process in ({"terminal": False}, {}):
        given: Any = {**config(tmp_path), "process": process}
        assert planned(given) == []
    assert planned(config(tmp_path)) == []
    assert [step.name for step in terminal.session(Request(wanted(tmp_path), Options(), ROOT))] == ["terminal.session"]


@pytest.mark.parametrize(("process", "options", "text"), [
    (True, {"detach": True}, "cannot allocate tty if runc will detach without setting console socket"),
    (True, {"detach": False, "console_socket": "/s"}, NOT_BOTH), (False, {"console_socket": "/s"}, NOT_BOTH)])
def test_combinations_that_engines_know_the_error_of(tmp_path: Path, process: bool, options: Any, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        planned(wanted(tmp_path, terminal=process), **options)


@pytest.mark.parametrize(("size", "calls"), [
    ({"height": 25, "width": 80}, [(25, 80)]), ({"height": 0, "width": 80}, []), ({"height": 1, "width": 0}, []),
    (None, [])])
def test_the_size_is_set_before_anybody_sees_the_terminal(tmp_path: Path, size: Any, calls: Any) -> None:
    kernel, facts = Multiplexer(), Facts()
    process = {"consoleSize": size} if size else {}
    opened = next(step for step in planned(wanted(tmp_path, **process), detach=False) if step.name == "terminal.open")
    opened.apply(kernel, facts)
    assert [call[2:] for call in kernel.calls if call[0] == "pty_size"] == calls
    order = [call[0] for call in kernel.calls]
    assert "pty_size" not in order or order.index("pty_size") < order.index("pty_peer")


# ---- what is not a terminal -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("fake", ["other file system", "other device", "other inode", "link"])
def test_a_false_multiplexer_is_not_opened(tmp_path: Path, fake: str) -> None:
    # CVE-2025-52565
    def act() -> Any:
        facts = Facts()
        apply(steps(given, tmp_path), Kernel(), facts)
        pts = os.open("dev/pts", os.O_RDONLY, dir_fd=facts.root_fd)
        if fake == "link":
            Kernel().mount("t", f"/proc/self/fd/{pts}", "tmpfs", 0)
            os.symlink("/proc/version", "dev/pts/ptmx", dir_fd=facts.root_fd)
        elif fake == "other device":
            Kernel().mount("t", f"/proc/self/fd/{pts}", "tmpfs", 0)
            os.mknod("dev/pts/ptmx", 0o020666, os.makedev(1, 5), dir_fd=facts.root_fd)
        elif fake == "other file system":
            Kernel().mount("t", f"/proc/self/fd/{pts}", "tmpfs", 0)
            os.mknod("dev/pts/ptmx", 0o020666, os.makedev(5, 2), dir_fd=facts.root_fd)
        else:                    # a terminal of the same devpts, under the name of its multiplexer
            master, peer = os.openpty()
            Kernel().mount(f"/proc/self/fd/{peer}", f"/proc/self/fd/{os.open('ptmx', os.O_PATH, dir_fd=pts)}", "", 4096)
            del master
        before = len(os.listdir("/proc/self/fd"))
        try:
            apply([step for step in planned(given, detach=False) if step.name == "terminal.open"], Kernel(), facts)
        except OSError:
            raise
        except Exception as error:
            return str(error), len(os.listdir("/proc/self/fd")) - before
        return None
    given = wanted(tmp_path)
    error, _ = forked(act, CLONE_NEWNS)
    assert "/dev/pts/ptmx is not that of a devpts" in error and "no such device" in error


@pytest.mark.parametrize("mode", [0o120777, DIRECTORY])
def test_a_console_that_is_a_link_is_refused(tmp_path: Path, mode: int) -> None:
    kernel, facts = Recorder(modes={"console": mode}, errors={"open": [errno.EEXIST]}), Facts()
    with pytest.raises(OSError, match="symbolic links"):
        terminal.Console().apply(kernel, facts)
    assert not any(call[0] == "move_mount" for call in kernel.calls)


def test_no_console_is_made_on_the_host(tmp_path: Path) -> None:
    # CVE-2026-88264
    given = {**wanted(tmp_path), "mounts": []}
    (tmp_path / "rootfs/dev").mkdir()
    (tmp_path / "rootfs/dev/console").symlink_to(tmp_path / "console")

    def act() -> str:
        facts = Facts()
        apply(steps(given, tmp_path), Kernel(), facts)
        _, facts.console_fd = os.openpty()
        try:
            terminal.Console().apply(Kernel(), facts)
        except OSError as fault:
            return str(fault)
        return ""
    assert "symbolic links" in forked(act, CLONE_NEWNS)
    assert not (tmp_path / "console").exists()


# ---- on the real kernel ---------------------------------------------------------------------------------------------

def receive(sock: socket.socket) -> tuple[bytes, int]:
    fds = array.array("i")
    data, rights, _, _ = sock.recvmsg(256, socket.CMSG_SPACE(4))
    fds.frombytes(rights[0][2][:4])
    return data, fds[0]


def test_a_terminal_arrives_at_the_engine_and_is_the_containers(tmp_path: Path) -> None:
    # config.md#process: "if set to true on Linux a pseudoterminal pair is allocated for the process and the
    # pseudoterminal pty is duplicated on the process's standard streams"; config-linux.md#default-devices:
    # "/dev/console is set up if terminal is enabled in the config by bind mounting the pseudoterminal pty to it"
    path = str(tmp_path / "tty.sock")
    engine = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    engine.bind(path)
    engine.listen()
    given = wanted(tmp_path, consoleSize={"height": 33, "width": 99})

    def act() -> None:
        kernel, facts = Kernel(), Facts()
        made = [*steps(given, tmp_path), *planned(given, console_socket=path)]
        apply([step for step in made if step.side == PARENT and step.name != "terminal.release"], kernel, facts)
        terminal.Session().apply(kernel, facts)
        apply([step for step in made if step.side == CHILD], kernel, facts)
        assert lib.pr_setsid_ctty(0) == 0        # terminal.control, which C does
        enter(facts.root_fd)
        same = [os.fstat(number).st_rdev == os.stat("/dev/console").st_rdev for number in (0, 1, 2)]
        foreground = struct.unpack("i", fcntl.ioctl(0, termios.TIOCGPGRP, bytes(4)))[0] == os.getpgid(0)
        console = mountinfo()["/dev/console"]
        os.write(1, f"{same} {foreground} {console['type']} {console['root']} {os.ttyname(0)}\n".encode())
        os._exit(os.read(0, 10) != b"hello\n")

    pid = os.fork()
    if pid == 0:
        try:
            from ..forked import os_unshare
            os_unshare(CLONE_NEWNS)
            act()
        finally:
            os._exit(3)
    connection, _ = engine.accept()
    name, master = receive(connection)
    assert name == b"/dev/ptmx" and connection.recv(1) == b""        # nothing more, and the other end is closed
    rows, columns = struct.unpack("HHHH", fcntl.ioctl(master, termios.TIOCGWINSZ, bytes(8)))[:2]
    assert (rows, columns) == (33, 99)
    said = os.read(master, 500).decode().strip()
    assert said == "[True, True, True] True devpts /0 /dev/pts/0"
    os.write(master, b"hello\n")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    while True:
        try:
            if not os.read(master, 500):
                break
        except OSError as fault:                 # the hang-up: nobody else holds the other side
            assert fault.errno == errno.EIO
            break


def test_the_foreground_gets_the_master_itself(tmp_path: Path) -> None:
    given = wanted(tmp_path)

    def act() -> Any:
        kernel, facts = Kernel(), Facts()
        made = [*steps(given, tmp_path), *planned(given, detach=False)]
        apply([step for step in made if step.name == "terminal.pair"], kernel, facts)
        pid = os.fork()
        if pid == 0:
            apply([step for step in made if step.side == CHILD and step.name != "terminal.stdio"], kernel, facts)
            os.write(facts.console_fd, b"from inside")
            os._exit(0)
        os.waitpid(pid, 0)
        apply([step for step in made if step.name == "terminal.receive"], kernel, facts)
        return os.read(facts.console_fd, 100), os.get_inheritable(facts.console_fd), facts.console_socket
    assert forked(act, CLONE_NEWNS) == (b"from inside", False, -1)


def test_a_runtime_whose_init_died_is_told_so_and_not_left_waiting(tmp_path: Path) -> None:
    kernel, facts = Kernel(), Facts()
    terminal.Pair(path="").apply(kernel, facts)
    with pytest.raises(BrokenPipeError):
        terminal.Receive().apply(kernel, facts)


def test_console_sockets_with_long_names(tmp_path: Path) -> None:
    directory = tmp_path / ("d" * 120)
    directory.mkdir()
    before = os.getcwd()
    os.chdir(directory)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as engine:
            engine.bind("s")
            engine.listen()
            facts = Facts()
            step = terminal.Connect(path=str(directory / "s"))
            step.apply(Kernel(), facts)
            assert facts.console_socket >= 0
            step.undo(Kernel(), facts)
            step.undo(Kernel(), facts)
            assert facts.console_socket == -1
    finally:
        os.chdir(before)


def test_no_socket_at_the_path(tmp_path: Path) -> None:
    for path, kind in ((tmp_path / "none", FileNotFoundError), (tmp_path / "file", ConnectionRefusedError)):
        (tmp_path / "file").touch()
        with pytest.raises(kind) as caught:
            terminal.Connect(path=str(path)).apply(Kernel(), Facts())
        assert caught.value.filename == str(path)
    assert (tmp_path / "file").stat().st_mode & 0o170000 == FILE & 0o170000
