"""linux.namespaces of config.json: which are new, which are joined, and which the container shares with the runtime."""
from __future__ import annotations

from ..errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .types import Config

class Namespaces:
    """linux.namespaces, sorted into new and joined; wanted by many planners."""

    def __init__(self, config: Config) -> None:
        self.new: dict[str, str] = {}       # type -> JSON path
        self.joined: dict[str, tuple[str, str]] = {}  # type -> (path of the namespace, JSON path)
        for index, entry in enumerate(config.get("linux", {}).get("namespaces") or ()):
            kind, place = entry["type"], f"linux.namespaces[{index}]"
            if kind in self.new or kind in self.joined:
                raise ConfigError(f'duplicate namespace "{kind}"', f"{place}.type")
            if entry.get("path"):
                self.joined[kind] = entry["path"], f"{place}.path"
            else:
                self.new[kind] = place

    def private(self, kind: str) -> bool:
        """The container does not share this namespace with the runtime: it is new or joined."""
        return kind in self.new or kind in self.joined
