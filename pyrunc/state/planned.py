"""The plan that a container was created by, which the indices in its journal count in.

It is plan.json, or where there was no room for that, the last steps of it in state.json.
"""
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
    """(id, spec, JSON path) of a step of create; of its last ones where there was no room to write down all.

    StateError when what there is is not as Plan.saved() or Plan.late() has it.
    """
    try:
        path, id, spec, where = container.path(store.PLAN), *_planned(container, index)
    except FileNotFoundError:
        path, id, spec, where = container.path(store.STATE), *_late(container, index)
    if not type(id) is type(spec) is type(where) is str:
        raise StateError(f"{path} is damaged: step {index} is not a step")
    return id, spec, where


def _planned(container: Container, index: int) -> tuple[str, str, str]:
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
    return id, spec, where


def _late(container: Container, index: int) -> tuple[str, str, str]:
    for step in container.state.get("late_steps", ()):
        if type(step) is list and len(step) == 4 and step[0] == index:
            return step[1], step[2], step[3]
    raise StateError(f"{container.path(store.JOURNAL)} is damaged: create has no step {index}")
