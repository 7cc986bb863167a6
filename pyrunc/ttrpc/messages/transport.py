"""transport.proto: written by ttrpc/generate.py; do not edit."""
from __future__ import annotations

from ...formats.protobuf import BYTES, INT32, INT64, STRING, Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class KeyValue(Message):
    TYPE = "ttrpc.KeyValue"
    key: str = ""
    value: str = ""
    FIELDS = {
        1: ("key", STRING),
        2: ("value", STRING),
    }


class Request(Message):
    TYPE = "ttrpc.Request"
    service: str = ""
    method: str = ""
    payload: bytes = b""
    timeout_nano: int = 0
    metadata: Sequence[KeyValue] = ()
    FIELDS = {
        1: ("service", STRING),
        2: ("method", STRING),
        3: ("payload", BYTES),
        4: ("timeout_nano", INT64),
        5: ("metadata", [KeyValue]),
    }


class Status(Message):
    TYPE = "ttrpc.Status"
    code: int = 0
    message: str = ""
    FIELDS = {
        1: ("code", INT32),
        2: ("message", STRING),
    }


class Response(Message):
    TYPE = "ttrpc.Response"
    status: Status | None = None
    payload: bytes = b""
    FIELDS = {
        1: ("status", Status),
        2: ("payload", BYTES),
    }
