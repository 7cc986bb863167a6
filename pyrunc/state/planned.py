"""plan.json: the plan that a container was created by, which the indices in its journal count in."""
from __future__ import annotations

import posix

from ..config.load import loads, read_all
from ..errors import PyruncError, StateError
from ..kernel.own_files import open_file
from . import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .container import Container

LARGEST = 64 << 20               # bytes: some hundred for each mount, device and path of a config.json of 16 MiB


def read_step(container: Container, index: int) -> tuple[str, str, str]:
    """(id, spec, JSON path) of a step of create. StateError when the file is not as Plan.saved() wrote it."""
    path = container.path(store.PLAN)
    fd = open_file(container.root, container.id, store.PLAN)
    try:
        data = read_all(fd, LARGEST)
    finally:
        posix.close(fd)
    try:
        id, _, spec, where, _ = loads(data, path, LARGEST)["steps"][index if index >= 0 else len(data)]
    except (PyruncError, TypeError, KeyError, IndexError, ValueError):
        raise StateError(f"{path} is damaged: it has no step {index}") from None
    if not type(id) is type(spec) is type(where) is str:
        raise StateError(f"{path} is damaged: step {index} is not a step")
    return id, spec, where
