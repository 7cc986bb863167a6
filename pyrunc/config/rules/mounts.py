"""config.md#mounts: id-mapped mounts have mappings, bind mounts have sources."""
from __future__ import annotations

from ...errors import ConfigError
from .ids import runs
from .linux import namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..types import Config


def rules(config: Config) -> Iterator[ConfigError]:
    user = namespace(config, "user")
    for index, mount in enumerate(config.get("mounts", ())):
        where, options = f"mounts[{index}]", mount.get("options", ())
        if ("bind" in options or "rbind" in options) and not mount.get("source"):
            yield ConfigError("a bind mount needs a source", f"{where}.source")
        uids, gids = mount.get("uidMappings", []), mount.get("gidMappings", [])
        if bool(uids) != bool(gids):
            yield ConfigError("id-mapped mounts must have both uid and gid mappings specified",
                              f"{where}.{'gid' if uids else 'uid'}Mappings")
        elif not uids and user is None:
            for position, option in enumerate(options):
                if option in ("idmap", "ridmap"):
                    yield ConfigError("id-mapped mounts must have both uid and gid mappings specified: there is "
                                      "no user namespace to take them from", f"{where}.options[{position}]")
        if uids or gids:
            yield from runs(uids, f"{where}.uidMappings")
            yield from runs(gids, f"{where}.gidMappings")
