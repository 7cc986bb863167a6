"""config-linux.md#user-namespace-mappings: what user_namespaces(7) demands of uid_map and gid_map."""
from __future__ import annotations

import posix

from ...errors import ConfigError
from ..mappings import host_id, map_text
from .linux import namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..types import Config, IDMapping

#: UID_GID_MAP_MAX_EXTENTS of the kernel.
MOST = 340
#: The kernel takes a map that is shorter than a page, in one write (user_namespaces(7)).
PAGE, LONGEST_LINE = posix.sysconf("SC_PAGE_SIZE"), 3 * 11
IDS = 2**32 - 1


def user_namespace(config: Config) -> Iterator[ConfigError]:
    """A new user namespace has mappings; there are none without a user namespace."""
    linux = config.get("linux", {})
    user = namespace(config, "user")
    uids, gids = linux.get("uidMappings", []), linux.get("gidMappings", [])
    if user is None:
        for key, mappings in (("uidMappings", uids), ("gidMappings", gids)):
            if mappings:
                yield ConfigError("user namespace mappings specified, but user namespace isn't enabled in the config",
                                  f"linux.{key}")
    elif not user.get("path"):
        if not uids and not gids:
            yield ConfigError("user namespaces enabled, but no namespace path to join nor mappings to apply specified",
                              "linux.uidMappings")
        elif not uids or not gids:
            kind = "uid" if gids else "gid"
            yield ConfigError(f"user namespaces enabled, but no {kind} mappings found", f"linux.{kind}Mappings")
    for key, mappings in (("uidMappings", uids), ("gidMappings", gids)):
        yield from runs(mappings, f"linux.{key}")


def user(config: Config) -> Iterator[ConfigError]:
    """The process's ids exist in its new user namespace; otherwise setuid(2) and its kin give EINVAL."""
    linux, user = config.get("linux", {}), config.get("process", {}).get("user")
    entry = namespace(config, "user")
    if user is None or entry is None or entry.get("path"):
        return
    uids, gids = linux.get("uidMappings", ()), linux.get("gidMappings", ())
    groups = [(f"additionalGids[{index}]", id, gids) for index, id in enumerate(user.get("additionalGids", ()))]
    for where, id, mappings in [("uid", user["uid"], uids), ("gid", user["gid"], gids), *groups]:
        if mappings and host_id(mappings, id) is None:
            kind = "uid" if where == "uid" else "gid"
            yield ConfigError(f"cannot set {kind} to unmapped user in user namespace: {id} is not in "
                              f"linux.{kind}Mappings",
                              f"process.user.{where}")


def runs(mappings: Sequence[IDMapping], where: str) -> Iterator[ConfigError]:
    """What the kernel refuses with EINVAL: too many runs, runs past the last id, runs that overlap on either side."""
    if len(mappings) > MOST:
        yield ConfigError(f"more than {MOST} mappings", where)
        return
    if len(mappings) > PAGE // LONGEST_LINE and len(map_text(mappings)) >= PAGE:
        fit = next(count for count in range(len(mappings), 0, -1) if len(map_text(mappings[:count])) < PAGE)
        yield ConfigError(f"{len(mappings)} mappings are {len(map_text(mappings))} bytes as the kernel reads them, and "
                          f"it takes at most {PAGE - 1}: the first {fit} would fit", where)
        return
    for side in ("containerID", "hostID"):
        end, before = 0, -1
        for first, index in sorted((mapping[side], index) for index, mapping in enumerate(mappings)):
            if first < end:
                yield ConfigError(f"the ids of this mapping overlap with those of {where}[{before}]",
                                  f"{where}[{index}].{side}")
            end, before = first + mappings[index]["size"], index
            if end > IDS:
                yield ConfigError(f"{end - first} ids from {first} on go beyond the last id",
                                  f"{where}[{index}].size")
