"""any.proto, timestamp.proto, empty.proto: written by ttrpc/generate.py; do not edit."""
from __future__ import annotations

from ...formats.protobuf import BYTES, INT32, INT64, STRING, Message


class Any(Message):
    TYPE = "google.protobuf.Any"
    type_url: str = ""
    value: bytes = b""
    FIELDS = {
        1: ("type_url", STRING),
        2: ("value", BYTES),
    }


class Timestamp(Message):
    TYPE = "google.protobuf.Timestamp"
    seconds: int = 0
    nanos: int = 0
    FIELDS = {
        1: ("seconds", INT64),
        2: ("nanos", INT32),
    }


class Empty(Message):
    TYPE = "google.protobuf.Empty"
