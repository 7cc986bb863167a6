"""runtimeoptions.proto: written by ttrpc/generate.py; do not edit."""
from __future__ import annotations

from ...formats.protobuf import BYTES, STRING, Message


class Options(Message):
    TYPE = "runtimeoptions.v1.Options"
    type_url: str = ""
    config_path: str = ""
    config_body: bytes = b""
    FIELDS = {
        1: ("type_url", STRING),
        2: ("config_path", STRING),
        3: ("config_body", BYTES),
    }
