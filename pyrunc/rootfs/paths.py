"""linux.maskedPaths and linux.readonlyPaths of config.json."""
from __future__ import annotations

from ..errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def places(paths: Sequence[str], where: str) -> Iterator[tuple[str, str]]:
    """(path, JSON path), each path once."""
    seen = set()
    for index, path in enumerate(paths):
        # config-linux.md#masked-paths: "The values MUST be absolute paths in the container namespace."
        if not path.startswith("/"):
            raise ConfigError(f"not an absolute path: {path}", f"{where}[{index}]")
        if path not in seen:
            seen.add(path)
            yield path, f"{where}[{index}]"
