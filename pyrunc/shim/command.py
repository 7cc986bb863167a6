"""What containerd calls: start, delete, -v and -info, with its flags."""
from __future__ import annotations

import posix

from .. import __version__
from ..errors import UsageError
from ..formats.json_text import dumps
from ..ttrpc.messages.types import RuntimeInfo, RuntimeVersion
from ..ttrpc.messages.well_known import Any

#: Standard input of start and -info is read up to here, bytes.
LARGEST = 10 << 20
NAME = "io.containerd.pyrunc.v2"
FEATURES = "types.containerd.io/opencontainers/runtime-spec/1/features/Features"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .zygote import Main


class Given:
    """The flags of one call, as containerd gives them."""

    def __init__(self, id: str, namespace: str, address: str, bundle: str, publisher: str, zygote: str,
                 main: Main) -> None:
        self.id, self.namespace, self.address, self.bundle = id, namespace, address, bundle
        self.publisher = publisher                       # program that publishes events without a TTRPC_ADDRESS
        self.zygote, self.main = zygote, main            # its socket, and what does a command for it
        self.ttrpc_address = posix.environ.get(b"TTRPC_ADDRESS", b"").decode(errors="surrogateescape")


def run(action: str, given: Given) -> bytes:
    """Do what containerd asks for: what it wants to read on standard output. UsageError, PyruncError."""
    from ..state.store import check_id
    if not given.namespace:
        raise UsageError("shim namespace cannot be empty")
    if action == "start":
        from .launch import start
        return start(given, standard_input())
    if action == "delete":
        from .cleanup import delete
        check_id(given.id)
        return delete(given, given.bundle or posix.getcwd())
    raise UsageError(f"{action}: must be start or delete")


def info() -> bytes:
    """A RuntimeInfo with the features: by them containerd 2 learns of user namespaces and recursive read-only mounts.
    """
    from ..runtime.features import features
    from ..version import commit
    return RuntimeInfo(name=NAME, version=RuntimeVersion(version=__version__, revision=commit()),
                       features=Any(type_url=FEATURES, value=dumps(features()).encode())).encode()


def standard_input() -> bytes:
    """What is given on standard input, as far as it may be needed."""
    parts, size = [], 0
    while size < LARGEST and (part := posix.read(0, min(1 << 16, LARGEST - size))):
        parts.append(part)
        size += len(part)
    return b"".join(parts)
