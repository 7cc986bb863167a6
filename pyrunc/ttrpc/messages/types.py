"""types.proto: written by ttrpc/generate.py; do not edit."""
from __future__ import annotations

from ...formats.protobuf import STRING, Message
from .well_known import Any, Timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Mount(Message):
    TYPE = "containerd.types.Mount"
    type: str = ""
    source: str = ""
    target: str = ""
    options: Sequence[str] = ()
    FIELDS = {
        1: ("type", STRING),
        2: ("source", STRING),
        3: ("target", STRING),
        4: ("options", [STRING]),
    }


class Envelope(Message):
    TYPE = "containerd.types.Envelope"
    timestamp: Timestamp | None = None
    namespace: str = ""
    topic: str = ""
    event: Any | None = None
    FIELDS = {
        1: ("timestamp", Timestamp),
        2: ("namespace", STRING),
        3: ("topic", STRING),
        4: ("event", Any),
    }


class RuntimeRequest(Message):
    TYPE = "containerd.types.RuntimeRequest"
    runtime_path: str = ""
    options: Any | None = None
    FIELDS = {
        1: ("runtime_path", STRING),
        2: ("options", Any),
    }


class RuntimeVersion(Message):
    TYPE = "containerd.types.RuntimeVersion"
    version: str = ""
    revision: str = ""
    FIELDS = {
        1: ("version", STRING),
        2: ("revision", STRING),
    }


class RuntimeInfo(Message):
    TYPE = "containerd.types.RuntimeInfo"
    name: str = ""
    version: RuntimeVersion | None = None
    options: Any | None = None
    features: Any | None = None
    annotations: Mapping[str, str] = {}
    FIELDS = {
        1: ("name", STRING),
        2: ("version", RuntimeVersion),
        3: ("options", Any),
        4: ("features", Any),
        5: ("annotations", {STRING: STRING}),
    }
