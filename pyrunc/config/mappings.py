"""linux.uidMappings and gidMappings: which ids a user namespace has, and who sets the container up in it."""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .types import Config, IDMapping


def host_id(mappings: Sequence[IDMapping], id: int) -> int | None:
    """The id outside for one inside; None where the namespace has no such id."""
    for run in mappings:
        if run["containerID"] <= id < run["containerID"] + run["size"]:
            return run["hostID"] + id - run["containerID"]
    return None


def map_text(mappings: Sequence[IDMapping]) -> str:
    """uidMappings or gidMappings as /proc/PID/uid_map wants them: "container host size" lines."""
    return "".join(f"{m['containerID']} {m['hostID']} {m['size']}\n" for m in mappings)


def init_ids(config: Config) -> tuple[int, int]:
    """(uid, gid) of the init while it sets the container up: 0, and where nobody is 0 those of the process, as crun.

    It has all capabilities in its new user namespace under any id; but what it makes must belong to an id.
    """
    linux, user = config.get("linux", {}), config.get("process", {}).get("user", {})
    return (_init_id(linux.get("uidMappings") or (), user.get("uid", 0)),
            _init_id(linux.get("gidMappings") or (), user.get("gid", 0)))


def own_ids(config: Config) -> tuple[int, int]:
    """(uid, gid) of the process: what the init becomes where a user namespace that is joined turns out to have no id 0.

    Its mappings are not known beforehand when config.json does not repeat them: a path tells nothing of them.
    """
    user = config.get("process", {}).get("user", {})
    return user.get("uid", 0), user.get("gid", 0)


def unknown_ids(config: Config) -> bool:
    """Whether the container joins a user namespace of which config.json tells no mappings."""
    linux = config.get("linux", {})
    return not linux.get("uidMappings") and not linux.get("gidMappings") and any(
        space["type"] == "user" and space.get("path") for space in linux.get("namespaces") or ())


def _init_id(mappings: Sequence[IDMapping], own: int) -> int:
    for id in (0, own):
        if not mappings or host_id(mappings, id) is not None:
            return id
    return mappings[0]["containerID"]
