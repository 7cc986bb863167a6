"""forward.proto: written by ttrpc/generate.py; do not edit."""
from __future__ import annotations

from ...formats.protobuf import Message
from .types import Envelope
from .well_known import Empty


class ForwardRequest(Message):
    TYPE = "containerd.services.events.ttrpc.v1.ForwardRequest"
    envelope: Envelope | None = None
    FIELDS = {
        1: ("envelope", Envelope),
    }


EVENTS_SERVICE = "containerd.services.events.ttrpc.v1.Events"
#: method -> (request, response)
EVENTS = {
    "Forward": (ForwardRequest, Empty),
}
