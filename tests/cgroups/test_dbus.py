"""D-Bus: marshalling against written-out bytes, and a conversation with a peer made of threads and bytes."""
from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import struct
import threading
import time
import typing
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrunc.cgroups.systemd import dbus


def packed(signature: str, *values: typing.Any) -> bytes:
    data = bytearray()
    dbus.pack(signature, values, data)
    return bytes(data)


# ---- the type system ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("signature", "types"), [
    ("", []), ("s", ["s"]), ("ssa(sv)a(sa(sv))", ["s", "s", "a(sv)", "a(sa(sv))"]), ("aai", ["aai"]),
    ("a{sv}u", ["a{sv}", "u"]), ("(i(ss)a(u))y", ["(i(ss)a(u))", "y"])])
def test_signatures(signature: str, types: list[str]) -> None:
    assert dbus.split(signature) == types


# D-Bus specification, "Marshaling": "4-byte alignment ... NUL byte", "array length does not include the padding"
@pytest.mark.parametrize(("signature", "value", "expected"), [
    ("y", 7, b"\7"), ("b", True, b"\1\0\0\0"), ("n", -2, b"\xfe\xff"), ("q", 258, b"\2\1"),
    ("i", -1, b"\xff" * 4), ("u", 1, b"\1\0\0\0"), ("x", -1, b"\xff" * 8), ("t", (1 << 64) - 1, b"\xff" * 8),
    ("d", 1.0, b"\0\0\0\0\0\0\xf0\x3f"), ("s", "fo\u00f6", b"\4\0\0\0fo\xc3\xb6\0"), ("o", "/a", b"\2\0\0\0/a\0"),
    ("g", "a(sv)", b"\5a(sv)\0"), ("v", ("u", 9), b"\1u\0\0\x09\0\0\0"),
    ("v", ("t", 9), b"\1t\0\0\0\0\0\0\x09" + bytes(7)), ("au", [1, 2], b"\x08\0\0\0\1\0\0\0\2\0\0\0"),
    ("at", [], b"\0\0\0\0\0\0\0\0"), ("at", [1], b"\x08\0\0\0\0\0\0\0\1" + bytes(7)),
    ("ay", b"xyz", b"\3\0\0\0xyz"), ("as", ["a"], b"\6\0\0\0\1\0\0\0a\0"), ("(yu)", (1, 2), b"\1\0\0\0\2\0\0\0"),
    ("a(yy)", [(1, 2), (3, 4)], b"\x0a\0\0\0\0\0\0\0\1\2" + bytes(6) + b"\3\4"),
])
def test_bytes(signature: str, value: typing.Any, expected: bytes) -> None:
    assert packed(signature, value) == expected


def test_alignment_counts_from_the_start_of_the_message() -> None:
    assert packed("yt", 1, 2) == b"\1" + bytes(7) + b"\2" + bytes(7)
    assert packed("sy(y)", "", 1, (2,)) == b"\0\0\0\0\0\1\0\0\2"


@pytest.mark.parametrize(("signature", "values"), [("y", [256]), ("u", [-1]), ("t", [1 << 64]), ("s", []),
                                                   ("s", ["a", "b"]), ("i", ["a"]), ("s", [5])])
def test_what_does_not_fit_is_refused(signature: str, values: list[typing.Any]) -> None:
    with pytest.raises((ValueError, struct.error, AttributeError)):
        packed(signature, *values)


BASIC = st.sampled_from(["y", "b", "n", "q", "i", "u", "x", "t", "d", "s"])
VALUES: dict[str, st.SearchStrategy[typing.Any]] = {
    "y": st.integers(0, 255), "b": st.booleans(), "n": st.integers(-1 << 15, (1 << 15) - 1), "q": st.integers(0, 65535),
    "i": st.integers(-1 << 31, (1 << 31) - 1), "u": st.integers(0, (1 << 32) - 1),
    "x": st.integers(-1 << 63, (1 << 63) - 1), "t": st.integers(0, (1 << 64) - 1), "d": st.floats(allow_nan=False),
    "s": st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9)}
SIGNATURES = st.recursive(BASIC, lambda inner: st.one_of(
    inner.map(lambda kind: f"a{kind}"),
    st.lists(inner, min_size=1, max_size=3).map(lambda kinds: f"({''.join(kinds)})")), max_leaves=6)


def values_of(kind: str) -> st.SearchStrategy[typing.Any]:
    if kind[0] == "a":
        return st.binary(max_size=5) if kind == "ay" else st.lists(values_of(kind[1:]), max_size=3)
    if kind[0] == "(":
        return st.tuples(*(values_of(part) for part in dbus.split(kind[1:-1])))
    return VALUES[kind]


def lists(value: typing.Any) -> typing.Any:
    """As it is read back: bytes are lists of numbers."""
    if isinstance(value, bytes):
        return list(value)
    return [lists(v) for v in value] if isinstance(value, list) else \
        tuple(lists(v) for v in value) if isinstance(value, tuple) else value


@given(st.lists(SIGNATURES, max_size=4).flatmap(lambda kinds: st.tuples(
    st.just("".join(kinds)), st.tuples(*(values_of(kind) for kind in kinds)))))
def test_what_is_written_is_read_back(both: tuple[str, tuple[typing.Any, ...]]) -> None:
    signature, values = both
    assert dbus.Reader(packed(signature, *values)).read(signature) == [lists(value) for value in values]


def test_big_endian_is_read_too() -> None:
    assert dbus.Reader(b"\0\0\0\2ab\0\0\1\2", big=True).read("sq") == ["ab", 258]


# ---- conversations --------------------------------------------------------------------------------------------------
class Peer:
    """The other end: answers each call by what the test says, in a thread."""

    def __init__(self, sock: socket.socket, answer: Callable[[dbus.Message], list[bytes]]) -> None:
        self.sock, self.answer = sock, answer
        self.calls: list[tuple[typing.Any, ...]] = []
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def serve(self) -> None:
        data = b""
        while b"BEGIN\r\n" not in data:
            data += self.sock.recv(4096)
        assert data.startswith(b"\0AUTH EXTERNAL\r\nDATA\r\n")
        self.sock.sendall(b"DATA\r\nOK 0123\r\n")
        data = data.partition(b"BEGIN\r\n")[2]
        while True:
            while len(data) < 16 or len(data) < self.size(data):
                more = self.sock.recv(4096)
                if not more:
                    return
                data += more
            message, data = dbus.Message(data[:self.size(data)]), data[self.size(data):]
            self.calls.append((message[dbus.MEMBER], *message.body))
            try:
                for part in self.answer(message):
                    self.sock.sendall(part)
            except BrokenPipeError:
                return

    @staticmethod
    def size(data: bytes) -> int:
        body, _, fields = struct.unpack("<III", data[4:16])
        return int(16 + (fields + 7) // 8 * 8 + body)


def message(kind: int, fields: list[tuple[int, tuple[str, typing.Any]]], signature: str = "",
            *values: typing.Any) -> bytes:
    body = packed(signature, *values)
    if signature:
        fields = [*fields, (dbus.SIGNATURE, ("g", signature))]
    head = packed("yyyyuua(yv)", ord("l"), kind, 0, 1, len(body), 77, fields)
    return head + bytes(-len(head) % 8) + body


def reply(call: dbus.Message, signature: str = "", *values: typing.Any) -> bytes:
    return message(dbus.RETURN, [(dbus.REPLY, ("u", call.serial))], signature, *values)


def signal(member: str, signature: str, *values: typing.Any) -> bytes:
    fields: list[tuple[int, tuple[str, typing.Any]]] = [
        (dbus.PATH, ("o", "/x")), (dbus.INTERFACE, ("s", "i.f")), (dbus.MEMBER, ("s", member))]
    return message(dbus.SIGNAL, fields, signature, *values)


@contextlib.contextmanager
def talking(answer: Callable[[dbus.Message], list[bytes]], direct: bool = True,
            seconds: float = 60) -> Iterator[tuple[dbus.Bus, Peer]]:
    ours, theirs = socket.socketpair()
    peer = Peer(theirs, answer)
    peer.thread.start()
    bus = dbus.Bus(ours.detach(), direct)          # the limit is not for its own beginning
    bus.seconds = seconds
    try:
        yield bus, peer
    finally:
        bus.close()
        peer.thread.join(60)
        theirs.close()
    assert not peer.thread.is_alive()


def test_a_call_and_its_answer() -> None:
    with talking(lambda call: [reply(call, "su", "yes", 5)]) as (bus, peer):
        assert bus.call("dest", "/p", "i.f", "Do", "sa(sv)", "x", [("n", ("t", 1))]) == ["yes", 5]
        assert bus.call("dest", "/p", "i.f", "Again") == ["yes", 5]
    assert peer.calls == [("Do", "x", [("n", 1)]), ("Again",)]


def test_a_bus_wants_hello_and_matches() -> None:
    with talking(lambda call: [reply(call, "s", ":1.5")], direct=False) as (bus, peer):
        bus.match("i.f", "Sig")
    assert peer.calls == [("Hello",), ("AddMatch", "type='signal',interface='i.f',member='Sig'")]


def test_a_direct_peer_does_not() -> None:
    with talking(lambda call: [reply(call)]) as (bus, peer):
        bus.match("i.f", "Sig")
    assert peer.calls == []


def test_an_error() -> None:
    def answer(call: dbus.Message) -> list[bytes]:
        fields: list[tuple[int, tuple[str, typing.Any]]] = [
            (dbus.REPLY, ("u", call.serial)), (dbus.ERROR_NAME, ("s", "a.b.NoSuchUnit"))]
        return [message(dbus.ERROR, fields, *(("s", "Unit x not loaded.") if call[dbus.MEMBER] == "Text" else ()))]

    with talking(answer) as (bus, _):
        with pytest.raises(dbus.BusError, match=r"a\.b\.NoSuchUnit: Unit x not loaded\.") as caught:
            bus.call("d", "/p", "i.f", "Text")
        assert (caught.value.name, caught.value.text) == ("a.b.NoSuchUnit", "Unit x not loaded.")
        with pytest.raises(dbus.BusError):
            bus.call("d", "/p", "i.f", "Nothing")


def test_signals_before_and_after_the_answer() -> None:
    def answer(call: dbus.Message) -> list[bytes]:
        return [signal("Other", "s", "a"), signal("Done", "us", 1, "x"), reply(call, "o", "/job/2"),
                signal("Done", "us", 2, "y"), signal("Done", "us", 3, "z")]

    with talking(answer) as (bus, _):
        assert bus.call("d", "/p", "i.f", "Start") == ["/job/2"]
        assert bus.wait_signal("i.f", "Done", lambda body: body[0] == 2) == [2, "y"]
        assert bus.wait_signal("i.f", "Done", lambda body: True) == [3, "z"]


def test_an_answer_in_pieces_and_several_in_one() -> None:
    def answer(call: dbus.Message) -> list[bytes]:
        whole = signal("Done", "s", "first") + reply(call, "s", "x" * 3000) + signal("Done", "s", "last")
        return [whole[i:i + 1] for i in range(200)] + [whole[200:]]

    with talking(answer) as (bus, _):
        assert bus.call("d", "/p", "i.f", "Do") == ["x" * 3000]
        assert [bus.wait_signal("i.f", "Done", lambda body: True) for _ in range(2)] == [["first"], ["last"]]


def test_answers_to_somebody_else_are_passed_over() -> None:
    other = message(dbus.RETURN, [(dbus.REPLY, ("u", 4711))], "s", "wrong")
    with talking(lambda call: [other, reply(call, "s", "right")]) as (bus, _):
        assert bus.call("d", "/p", "i.f", "Do") == ["right"]


@pytest.mark.parametrize("waiting", ["call", "signal"])
def test_a_time_limit(waiting: str) -> None:
    with talking(lambda call: [], seconds=0.2) as (bus, _):
        began = time.monotonic()
        with pytest.raises(TimeoutError) as caught:
            if waiting == "call":
                bus.call("d", "/p", "i.f", "Do")
            else:
                bus.wait_signal("i.f", "Do", lambda body: True)
        assert 0.19 < time.monotonic() - began < 60 and caught.value.filename == "Do: no answer in 0.2 s"


def test_a_busy_peer_that_never_answers_is_limited_too() -> None:
    stop = threading.Event()

    def answer(call: dbus.Message) -> list[bytes]:
        def chatter() -> typing.Any:
            while not stop.is_set():
                yield signal("Noise", "s", "x")
                time.sleep(0.01)
        return typing.cast(list[bytes], chatter())

    with talking(answer, seconds=0.3) as (bus, _):
        with pytest.raises(TimeoutError):
            bus.call("d", "/p", "i.f", "Do")
        stop.set()


def test_a_peer_that_goes() -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(b"DATA\r\nOK 1\r\n")
    bus = dbus.Bus(ours.detach(), True)
    theirs.close()
    with pytest.raises(ConnectionError):
        bus.call("d", "/p", "i.f", "Do")
    bus.close()
    bus.close()


@pytest.mark.parametrize("answer", [b"REJECTED EXTERNAL\r\n", b"DATA\r\nREJECTED\r\n", b"ERROR\r\n", b"OK 1\r\n"])
def test_refused_authentication(answer: bytes) -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(answer)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(PermissionError) as caught:
        dbus.Bus(ours.detach(), True)
    assert caught.value.filename == "D-Bus authentication"
    assert len(os.listdir("/proc/self/fd")) == before - 1, "the descriptor is the Bus's, also when it fails"
    theirs.close()


def test_an_absurd_length_is_no_message() -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(b"DATA\r\nOK 1\r\n" + b"l\2\0\1" + b"\xff\xff\xff\x7f" + bytes(8))
    bus = dbus.Bus(ours.detach(), True)
    with pytest.raises(OSError) as caught:
        bus.call("d", "/p", "i.f", "Do")
    assert caught.value.errno == errno.EBADMSG
    bus.close()
    theirs.close()


def test_nothing_is_left_to_read_or_write_of_a_long_call() -> None:
    """Longer than a socket's buffer: written in parts."""
    with talking(lambda call: [reply(call, "u", len(call.body[0]))]) as (bus, _):
        assert bus.call("d", "/p", "i.f", "Do", "s", "x" * 3_000_000) == [3_000_000]
        poll = select.poll()
        poll.register(bus.fd, select.POLLIN)
        assert poll.poll(0) == []
