"""The streams of the shim's containers: FIFOs, files, programs that log, and terminals."""
from __future__ import annotations

import json
import os
import select
import time
from collections.abc import Callable
from pathlib import Path

from pyrunc.ttrpc.messages import task as api

from .conftest import reader
from .driver import SECONDS, Shim

Make = Callable[..., Shim]


def test_stdin_ends_when_containerd_says_so(shim: Make) -> None:
    one = shim("cat")
    stdin, out = one.fifo("in"), one.fifo("out")
    thread, got = reader(out)
    one.create(stdin=stdin, stdout=out)
    one.start()
    with open(stdin, "wb") as client:
        client.write(b"first ")
    time.sleep(0.1)
    assert one.state().status == api.Status.RUNNING            # a client that leaves does not end its input
    with open(stdin, "wb") as client:
        client.write(b"second")
        one.call("CloseIO", api.CloseIORequest(id=one.id, stdin=True))
        one.call("CloseIO", api.CloseIORequest(id=one.id, stdin=True))
    assert one.wait() == 0
    thread.join(SECONDS)
    assert got == [b"first second"]


def test_a_reader_that_leaves_does_no_harm(shim: Make) -> None:
    """As when containerd is restarted: no SIGPIPE, and what is printed meanwhile waits in the FIFO."""
    one = shim("sh", "-c", "echo one; until [ -e /go ]; do sleep 0.01; done; echo two; exit 4")
    out = one.fifo("out")
    first = os.open(out, os.O_RDONLY | os.O_NONBLOCK)
    one.create(stdout=out)
    one.start()
    end = time.monotonic() + SECONDS
    while True:
        try:
            if os.read(first, 100) == b"one\n":
                break
        except BlockingIOError:
            assert time.monotonic() < end
            time.sleep(0.01)
    os.close(first)
    Path(json.loads((one.bundle / "config.json").read_text())["root"]["path"], "go").touch()
    assert one.wait() == 4
    second = os.open(out, os.O_RDONLY | os.O_NONBLOCK)
    assert os.read(second, 100) == b"two\n"
    os.close(second)


def of(fifo: str) -> int:
    return os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)


def ended(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return any(events & select.POLLHUP for _, events in poll.poll(0))


def until_ended(fd: int) -> None:
    """The worker that made the process closes its own ends after it has answered, so an end may come a little later."""
    end = time.monotonic() + SECONDS
    while not ended(fd):
        assert time.monotonic() < end
        time.sleep(0.001)


def test_errors_do_not_end_before_the_output_is_read(shim: Make) -> None:
    """containerd's CRI plugin gives a client that is attached to stdin no more output once stderr has ended."""
    one = shim()
    one.create()
    one.start()
    for number, reads in enumerate((True, False)):
        stdin, out, err = one.fifo(f"in{number}"), one.fifo(f"out{number}"), one.fifo(f"err{number}")
        stdout, stderr = of(out), of(err)
        id = f"e{number}"
        one.exec(id, "sh", "-c", "read line; echo oh >&2; echo got $line", stdin=stdin, stdout=out, stderr=err)
        one.start(id)
        with open(stdin, "wb") as client:
            client.write(b"this\n")
        assert one.wait(id) == 0
        until_ended(stdout)
        assert not ended(stderr)
        assert os.read(stderr, 100) == b"oh\n"
        if reads:
            assert os.read(stdout, 100) == b"got this\n" and os.read(stdout, 100) == b""
            until_ended(stderr)
        one.delete(id)                      # which lets it end whatever has been read
        until_ended(stderr)
        assert os.read(stderr, 100) == b""
        for fd in (stdout, stderr):
            os.close(fd)


def test_a_log_file(shim: Make, place: Path) -> None:
    one = shim("sh", "-c", "echo out; echo err >&2")
    log = place / "deep/folder/log"
    one.create(stdout=f"file://{log}", stderr=f"file://{log}")
    one.start()
    assert one.wait() == 0
    assert sorted(log.read_text().split()) == ["err", "out"]


def test_a_logging_program(shim: Make, place: Path, name: str) -> None:
    program = place / "logger"
    program.write_text(f"""#!/bin/sh
echo "$CONTAINER_ID $CONTAINER_NAMESPACE $*" >{place}/about
while read name value; do case $name in SigBlk:|SigIgn:) echo $value;; esac; done </proc/$$/status >{place}/signals
exec 5>&-
cat <&3 >{place}/out &
cat <&4 >{place}/err
wait
""")
    program.chmod(0o755)
    one = shim("sh", "-c", "echo out; echo err >&2")
    one.create(stdout=f"binary://{program}?--a=b%20c&flag", stderr=f"binary://{program}")
    assert (place / "about").read_text() == f"{name} tests --a b c flag\n"
    assert (place / "signals").read_text().split() == ["0" * 16] * 2
    one.start()
    assert one.wait() == 0
    end = time.monotonic() + SECONDS
    while ((place / "out").read_text(), (place / "err").read_text()) != ("out\n", "err\n"):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_terminal(shim: Make) -> None:
    one = shim("sh", "-c", "tty; stty size; read line; echo got $line; stty size; exit 9")
    config = json.loads((one.bundle / "config.json").read_text())
    config["process"]["terminal"] = True
    (one.bundle / "config.json").write_text(json.dumps(config))
    stdin, out = one.fifo("in"), one.fifo("out")
    thread, got = reader(out)
    one.create(stdin=stdin, stdout=out, terminal=True)
    one.call("ResizePty", api.ResizePtyRequest(id=one.id, width=77, height=33))
    one.start()
    with open(stdin, "wb") as client:
        client.write(b"line\n")
        client.flush()
        assert one.wait() == 9
    thread.join(SECONDS)
    text = got[0].decode()
    assert "/dev/pts/0\r\n" in text and text.count("33 77\r\n") == 2 and "got line\r\n" in text, text


def test_a_terminal_of_an_exec(shim: Make) -> None:
    one = shim()
    one.create()
    one.start()
    stdin, out = one.fifo("in"), one.fifo("out")
    thread, got = reader(out)
    one.exec("e1", "sh", "-c", "read line; echo got $line", stdin=stdin, stdout=out, terminal=True)
    one.start("e1")
    with open(stdin, "wb") as client:
        client.write(b"this\n")
        client.flush()
        assert one.wait("e1") == 0
    one.delete("e1")
    thread.join(SECONDS)
    assert b"got this\r\n" in got[0]


def test_much_output_is_whole(shim: Make) -> None:
    one = shim("dd", "if=/dev/zero", "bs=65536", "count=64")
    config = json.loads((one.bundle / "config.json").read_text())
    config["process"]["terminal"] = True
    config["process"]["args"] = ["sh", "-c", "stty raw -echo; dd if=/dev/zero bs=1024 count=2048 2>/dev/null"]
    (one.bundle / "config.json").write_text(json.dumps(config))
    out = one.fifo("out")
    thread, got = reader(out)
    one.create(stdout=out, terminal=True)
    one.start()
    assert one.wait() == 0
    thread.join(SECONDS)
    assert got[0].count(b"\0") == 2048 * 1024
