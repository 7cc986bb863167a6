"""A process's standard streams as containerd names them: FIFOs of its clients, files, and logging programs.

Without a terminal the container has the FIFOs themselves, so nothing is copied. Of each the shim keeps the other end
open: a container whose reader restarts gets no SIGPIPE, and its stdin does not end before a client has come.
"""
from __future__ import annotations

import posix
import stat

from ..config.mappings import host_id
from ..errors import UsageError, describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ..config.types import IDMapping

#: Seconds for a logging program to say that it is ready, as containerd's own shim has it.
PATIENCE = 10.0


class Streams:
    """What a worker has opened.

    theirs  the three descriptors for the process
    kept    {what it is for: descriptor} for the shim: "stdin" the end that writes to it, "stdout", "stderr" ends that
            nobody reads from, "stderr-writer" what keeps it from its end (task.Process.end_errors)
    """

    def __init__(self) -> None:
        self.theirs: list[int] = []
        self.kept: dict[str, int] = {}


def opened(stdin: str, stdout: str, stderr: str, environment: Mapping[str, str]) -> Streams:
    """Open the streams of a process without a terminal. "" is /dev/null. UsageError for what cannot be opened."""
    streams = Streams()
    try:
        streams.theirs.append(_reading(stdin, streams))
        logged = stdout.startswith("binary://")
        if logged:
            streams.theirs += logger(stdout, environment)
        else:
            streams.theirs.append(_writing(stdout, "stdout", streams))
            streams.theirs.append(_writing(stderr, "stderr", streams))
            if {"stdin", "stdout", "stderr"} <= streams.kept.keys():
                streams.kept["stderr-writer"] = posix.open(_path(stderr), posix.O_WRONLY | posix.O_CLOEXEC)
    except OSError as fault:
        raise UsageError(f"open {describe(fault)}") from None
    return streams


def own(streams: Streams, user: Mapping[str, Any], mappings: Sequence[Sequence[IDMapping]]) -> None:
    """Give the FIFOs to the user whom a process has in its user namespace, so that it can open /dev/stdout again.

    containerd asks its own kind of runtime for that alone (io_uid in runc's options), as with the cgroup driver.
    """
    ids = [host_id(mapped, user.get(name, 0)) for name, mapped in zip(("uid", "gid"), mappings)]
    uid, gid = (-1 if id is None else id for id in ids)          # of no id chown(2) changes nothing
    for name in ("stdin", "stdout", "stderr"):
        if name in streams.kept:
            try:
                posix.chown(streams.kept[name], uid, gid)
            except OSError:                            # of a containerd that is in a user namespace itself
                pass


def of_terminal(stdin: str, stdout: str, environment: Mapping[str, str]) -> dict[str, int]:
    """Open what a terminal is copied from and to, as far as it is there: "stdin", "stdin-writer", "stdout",
    "stdout-reader"."""
    kept: dict[str, int] = {}
    try:
        if not stdout:
            kept["stdout"] = posix.open("/dev/null", posix.O_WRONLY | posix.O_CLOEXEC)
        if stdin:
            kept["stdin-writer"] = posix.open(_path(stdin), posix.O_RDWR | posix.O_CLOEXEC | posix.O_NONBLOCK)
            kept["stdin"] = posix.open(_path(stdin), posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK)
        if stdout.startswith("binary://"):
            out, err = logger(stdout, environment)
            posix.close(err)
            kept["stdout"] = out
        elif stdout:
            streams = Streams()
            kept["stdout"] = _writing(stdout, "stdout", streams)
            if "stdout" in streams.kept:
                kept["stdout-reader"] = streams.kept["stdout"]
    except OSError as fault:
        raise UsageError(f"open {describe(fault)}") from None
    return kept


def _path(name: str) -> str:
    scheme, separator, path = name.partition("://")
    return path if separator and scheme in ("fifo", "file") else name


def _reading(name: str, streams: Streams) -> int:
    if not name:
        return posix.open("/dev/null", posix.O_RDONLY | posix.O_CLOEXEC)
    path = _path(name)
    if stat.S_ISFIFO(posix.stat(path).st_mode):
        # An end for writing first, so that the other open does not wait; it is what CloseIO closes.
        streams.kept["stdin"] = posix.open(path, posix.O_RDWR | posix.O_CLOEXEC)
    return posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)


def _writing(name: str, stream: str, streams: Streams) -> int:
    if not name:
        return posix.open("/dev/null", posix.O_WRONLY | posix.O_CLOEXEC)
    path = _path(name)
    if name.startswith("file://"):
        _make_folder(path.rpartition("/")[0])
        return posix.open(path, posix.O_WRONLY | posix.O_CREAT | posix.O_APPEND | posix.O_CLOEXEC, 0o644)
    if stat.S_ISFIFO(posix.stat(path).st_mode):
        streams.kept[stream] = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK)
    return posix.open(path, posix.O_WRONLY | posix.O_CLOEXEC)


def _make_folder(path: str) -> None:
    missing = []
    while path:
        try:
            posix.mkdir(path, 0o755)
            break
        except FileExistsError:
            break
        except FileNotFoundError:
            missing.append(path)
            path = path.rpartition("/")[0]
    for folder in reversed(missing):
        posix.mkdir(folder, 0o755)


# ---- programs that log --------------------------------------------------------------------------------------------
def logger(name: str, environment: Mapping[str, str]) -> list[int]:
    """Start the program of "binary:///path?key=value&..." and wait until it is ready: where stdout and stderr go.

    It gets what is written there as descriptors 3 and 4, and closes 5 when it is ready (containerd's logging package).
    """
    path, _, query = name.removeprefix("binary://").partition("?")
    arguments = [path]
    for pair in filter(None, query.split("&")):
        key, _, value = pair.partition("=")
        arguments += [unquoted(key)] + ([unquoted(value)] if value else [])
    (out, its_out), (err, its_err), (ready, its_ready) = ends = [posix.pipe2(posix.O_CLOEXEC) for _ in range(3)]
    pid = posix.fork()
    if pid == 0:
        _execute(path, arguments, [out, err, its_ready], environment)
    for fd in (out, err, its_ready):
        posix.close(fd)
    try:
        _wait_until_ready(ready, path)
    except UsageError:
        for _, theirs in ends[:2]:
            posix.close(theirs)
        raise
    finally:
        posix.close(ready)
    return [its_out, its_err]


def _execute(path: str, arguments: Sequence[str], given: Sequence[int], environment: Mapping[str, str]) -> None:
    from .._native import lib
    try:
        lib.pr_signals_reset()                         # of which this process ignores two
        high = [posix.dup2(fd, 100 + index, False) for index, fd in enumerate(given)]
        for index, fd in enumerate(high):
            posix.dup2(fd, 3 + index, True)
        posix.execve(path, list(arguments), dict(environment))
    finally:
        posix._exit(127)


def _wait_until_ready(ready: int, path: str) -> None:
    import select
    poll = select.poll()
    poll.register(ready, select.POLLIN)
    if not poll.poll(PATIENCE * 1000):
        raise UsageError(f"the logging program {path} was not ready after {PATIENCE:.0f} s")
    # Closed is what it does when it is ready, and what its death does: then what is logged goes nowhere, as with
    # containerd's own shim.
    posix.read(ready, 1)


def unquoted(text: str) -> str:
    """A part of a URL's query as the text that it means."""
    raw, out = text.replace("+", " ").encode(errors="surrogateescape"), bytearray()
    at = 0
    while at < len(raw):
        digits = raw[at + 1:at + 3]
        if raw[at:at + 1] == b"%" and len(digits) == 2 and all(digit in b"0123456789abcdefABCDEF" for digit in digits):
            out.append(int(digits, 16))
            at += 3
        else:
            out.append(raw[at])
            at += 1
    return out.decode(errors="surrogateescape")
