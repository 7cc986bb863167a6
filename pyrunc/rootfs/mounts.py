"""mounts of config.json: what each entry asks for, and what is wrong with one to begin with."""
from __future__ import annotations

from ..errors import ConfigError
from ..paths import absolute
from .mount_options import MountOptions
from .mounting import EMULATED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..config.types import Config


def entries(config: Config) -> Iterator[tuple[MountOptions, dict[str, Any]]]:
    """(options, fields of the step) of each entry. Raises ConfigError for what is wrong to begin with."""
    known: dict[tuple[str, ...], MountOptions] = {}
    for index, mount in enumerate(config.get("mounts") or ()):
        where, words = f"mounts[{index}]", mount.get("options") or []
        parsed = known.get(same := tuple(words)) or known.setdefault(same, MountOptions(words, where))
        target, source, kind = mount["destination"], mount.get("source", ""), mount.get("type", "")
        fields: dict[str, Any] = {
            "index": index, "where": where, "source": source, "target": target, "path": absolute(target, "/"),
            "kind": "bind" if parsed.bind else "cgroup2" if kind == "cgroup" else kind, "options": parsed,
            "words": ",".join(words)}
        if problem := wrong(parsed, fields):
            what, part = problem
            raise ConfigError(f'error mounting "{source}" to rootfs at "{target}": {what}', where + part)
        yield parsed, fields


def wrong(parsed: MountOptions, fields: dict[str, Any]) -> tuple[str, str] | None:
    """(what is wrong with an entry, the part of it where), or None."""
    target, path, kind = fields["target"], fields["path"], fields["kind"]
    for field, part in (("target", ".destination"), ("source", ".source"), ("kind", ".type")):
        if "\0" in fields[field]:
            return "mount field contains null byte", part
    if path == "/":
        return f'mountpoint "{target}" is on the top of rootfs', ".destination"
    if path == "/proc" and kind not in ("proc", "bind"):
        return f'"{target}" cannot be mounted because it is not of type proc', ".type"
    if path.startswith("/proc/") and path not in EMULATED:
        return f'"{target}" cannot be mounted because it is inside /proc', ".destination"
    if not kind and not parsed.remount:
        return "neither a type nor bind among the options", ""
    if refused := parsed.refused():
        place, reason = refused
        return reason, f".options[{place}]" if place >= 0 else ".options"
    if parsed.copy_up and kind != "tmpfs":
        return "tmpcopyup is for tmpfs only", ".options"
    return None
