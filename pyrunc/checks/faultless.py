"""What is left of a config without its faults, so that one mistake does not hide those that only the host shows."""
from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..config import check
from ..config.where import at

if TYPE_CHECKING:
    from ..config.types import Config

Path = tuple[str | int, ...]
#: What stands in for a part that is faulty, once, so that all around it can still be looked at.
PLAIN: dict[Path, Any] = {("ociVersion",): "1.0.0", ("process", "cwd"): "/", ("process", "user"): {"uid": 0, "gid": 0}}

MANY = 20


class Sound:
    """A copy of config without what stands at the places, which are JSON paths, and without what cannot be without it.

    config is None where nothing is left: the root is faulty.
    """

    def __init__(self, config: Config, places: Iterable[str]) -> None:
        self._rest: Any = copy.deepcopy(config)
        #: id of a list that has lost elements -> it, and the places its elements had
        self._shortened: dict[int, tuple[list[Any], list[int]]] = {}
        self._plain = dict(PLAIN)
        whole = True
        for place in places:
            whole = self._drop(self._now(steps(place))) and whole
        while whole and (faults := check.problems(self._rest)):
            # One at a time, since what one takes along may be what the next is about; but not thousands, one at a time.
            # From the end, so that the places of those before stay what they are.
            for fault in reversed(faults if len(faults) > MANY else faults[:1]):
                whole = self._drop(steps(fault.where)) and whole
        self.config: Config | None = self._rest if whole else None

    def origin(self, where: str) -> str:
        """The JSON path in the whole config of a place in this one."""
        node, found = self._rest, ""
        for key in steps(where):
            place = key
            if isinstance(key, int) and id(node) in self._shortened:
                place = self._shortened[id(node)][1][key]
            found = at(found, place)
            node = _member(node, key)
        return found

    def _now(self, path: Path) -> Path | None:
        """The path here of a place in the whole config; None where an element of a list has gone already."""
        node, found = self._rest, list[str | int]()
        for key in path:
            if isinstance(key, int) and isinstance(node, list):
                if key not in self._indexes(node):
                    return None
                key = self._indexes(node).index(key)
            found.append(key)
            node = _member(node, key)
        return tuple(found)

    def _drop(self, path: Path | None) -> bool:
        """Take out what is there, or else what it is missing in; False when that is the whole."""
        if path is None:
            return True
        for length in range(len(path), 0, -1):
            node = self._rest
            for key in path[:length - 1]:
                node = _member(node, key)
            key = path[length - 1]
            if isinstance(node, list) and isinstance(key, int) and key < len(node):
                indexes = self._indexes(node)
                del node[key], indexes[key]
                self._shortened[id(node)] = node, indexes
                return True
            if isinstance(node, dict) and key in node:
                del node[key]
                if path[:length] in self._plain:
                    node[key] = self._plain.pop(path[:length])
                return True
        return False

    def _indexes(self, node: Any) -> list[int]:
        if id(node) in self._shortened:
            return self._shortened[id(node)][1]
        return list(range(len(node))) if isinstance(node, list) else []


_STEP = re.compile(r'\.?([^.\[]+)|\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\]')


def steps(where: str) -> Path:
    """A JSON path taken apart: the inverse of config.where.at for names that were not cut."""
    path: list[str | int] = []
    for name, index, quoted in _STEP.findall(where):
        path.append(int(index) if index else name or quoted.encode().decode("unicode_escape"))
    return tuple(path)


def _member(node: Any, key: str | int) -> Any:
    """node[key], or None."""
    try:
        return node[key]
    except (LookupError, TypeError):
        return None
