"""What comes in requests and goes into answers: codes, packed messages, options, JSON; and small files in a bundle."""
from __future__ import annotations

import posix

from ..config.load import loads
from ..errors import NOT_RUNNING, PyruncError
from ..ttrpc import codes
from ..ttrpc.codes import RpcError
from ..ttrpc.messages.options import Options
from ..ttrpc.messages.well_known import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any as Anything

    from ..formats.protobuf import Message as Protobuf


def code_of(fault: PyruncError) -> int:
    """The code by which containerd tells failures apart."""
    text = str(fault)
    if "does not exist" in text:
        return codes.NOT_FOUND
    if NOT_RUNNING in text:
        return codes.NOT_FOUND
    if "already exists" in text:
        return codes.ALREADY_EXISTS
    return codes.UNKNOWN


def packed(message: Protobuf) -> Any:
    """A message as an Any."""
    return Any(type_url=message.TYPE, value=message.encode())


def options_of(given: Any | None) -> Options:
    """The runtime's options; those of another kind count as none."""
    if given is None or not given.type_url.endswith(Options.TYPE):
        return Options()
    try:
        return Options.decode(given.value)
    except ValueError as fault:
        raise RpcError(codes.INVALID_ARGUMENT, f"the runtime's options: {fault}") from None


def json_of(given: Any | None) -> Anything:
    """An object that came as JSON. RpcError for anything else."""
    try:
        value = loads(given.value if given is not None else b"", "the request")
    except PyruncError as fault:
        raise RpcError(codes.INVALID_ARGUMENT, str(fault)) from None
    if not isinstance(value, dict):
        raise RpcError(codes.INVALID_ARGUMENT, "the request must hold an object")
    return value


def write(folder: str, name: str, text: str) -> None:
    """A small file beside the bundle, for `delete`."""
    fd = posix.open(f"{folder}/{name}", posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_CLOEXEC, 0o600)
    try:
        posix.write(fd, text.encode())
    finally:
        posix.close(fd)
