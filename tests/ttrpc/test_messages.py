"""Every message, beside the protobuf package: what one writes the other reads, and both refuse the same."""
from __future__ import annotations

import random

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrunc.formats.protobuf import LENGTH, VARINT, Message, varint
from pyrunc.ttrpc.messages.bootstrap import BootstrapParams, BootstrapResult
from pyrunc.ttrpc.messages.metrics import PSIData
from pyrunc.ttrpc.messages.task import CreateTaskRequest, StateResponse
from tests.ttrpc.reference import filled, messages, plain, reference

MESSAGES = messages()


def test_all_of_them_are_tried() -> None:
    assert len(MESSAGES) > 60
    assert {"CreateTaskRequest", "TaskExit", "Metrics", "Envelope", "Any", "BootstrapResult"} <= {
        message.__name__ for message in MESSAGES}


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.TYPE)
def test_a_message_goes_round_by_way_of_protobuf(message: type[Message]) -> None:
    @settings(max_examples=30)
    @given(filled(message))
    def goes_round(ours: Message) -> None:
        data = ours.encode()
        theirs = reference(message.TYPE).FromString(data)
        assert plain(theirs) == plain(ours)
        assert plain(message.decode(theirs.SerializeToString())) == plain(ours)
        assert message.decode(data).encode() == data
    goes_round()


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.TYPE)
def test_what_ours_reads_of_damaged_bytes_protobuf_reads_the_same(message: type[Message]) -> None:
    @settings(max_examples=30)
    @given(filled(message), st.randoms(use_true_random=False))
    def damaged(ours: Message, chance: random.Random) -> None:
        data = bytearray(ours.encode() * 2)
        for _ in range(chance.randint(1, 4)):
            if data:
                data[chance.randrange(len(data))] = chance.randrange(256)
        agree(message, bytes(data))
    damaged()


@settings(max_examples=400)
@given(st.sampled_from(MESSAGES), st.binary(max_size=60))
def test_any_bytes(message: type[Message], data: bytes) -> None:
    agree(message, data)


def agree(message: type[Message], data: bytes) -> None:
    """Ours may refuse what protobuf bears (groups, say), but what it takes is the same."""
    try:
        ours = message.decode(data)
    except ValueError:
        return
    try:
        theirs = reference(message.TYPE).FromString(data)
    except DecodeError as fault:
        raise AssertionError(f"protobuf refuses {data!r}") from fault
    assert plain(ours) == plain(theirs)


@pytest.mark.parametrize("data", [
    b"\x08", b"\x0a\x05ab", b"\x00\x00", b"\x0f", b"\x08" + b"\xff" * 10, b"\x0a" + b"\xff" * 9 + b"\x01",
    b"\x0a\x02\xc3\x28",                                   # no UTF-8
])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        CreateTaskRequest.decode(data)


@pytest.mark.parametrize("message", [StateResponse(pid=-1), StateResponse(pid=1 << 32), StateResponse(status=1 << 31)])
def test_a_number_out_of_its_range_is_refused(message: StateResponse) -> None:
    with pytest.raises(ValueError, match="out of range"):
        message.encode()


def test_fields_of_another_type_and_unknown_ones_are_passed_over() -> None:
    data = varint(1 << 3 | VARINT) + varint(7) + varint(99 << 3 | LENGTH) + b"\x01x" + b"\x0a\x02id"
    assert CreateTaskRequest.decode(data) == CreateTaskRequest(id="id")


def test_absence_is_told_from_the_default_where_the_field_is_optional() -> None:
    assert BootstrapParams.decode(b"").socket_dir is None
    assert BootstrapParams.decode(BootstrapParams(socket_dir="").encode()).socket_dir == ""
    assert CreateTaskRequest(id="").encode() == b""


def test_rows_of_numbers_come_packed_and_one_by_one() -> None:
    assert list(BootstrapResult.decode(b"\x22\x02\x01\x02\x20\x03").capabilities) == [1, 2, 3]


def test_minus_zero_is_sent() -> None:
    assert PSIData(avg10=-0.0).encode() and not PSIData(avg10=0.0).encode()
