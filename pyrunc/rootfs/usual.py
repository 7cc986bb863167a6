"""What a usual mount is for the one call in which C makes it (_native/usual.c).

More than 60 system calls of an ordinary container's mounts are made there, without Python. What is not usual, and what
fails, is done step by step by the step itself.
"""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .mount_options import MountOptions

    #: path, kind, options, attributes, how: as pr_usual_mount of native.h has them.
    Usual = tuple[bytes, bytes, bytes, int, int]

NO_LINKS, COPY_MODE, IN_PROC, KEEP = 1, 2, 4, 8


def usual(path: str, kind: str, source: str, parsed: MountOptions, how: int, label: str = "",
          readonly_later: bool = False) -> Usual | None:
    """The arguments of a mount; None for one that is not usual. The order of the options is FileSystem.configure's."""
    if parsed.below or parsed.propagation or parsed.destination_nofollow or parsed.copy_up:
        return None
    strings = ["ssource", source] if source else []
    if parsed.readonly and not readonly_later:
        strings.append("fro")
    for _, flag in parsed.superblock:
        strings.append(f"f{flag}")
    for _, key, value in parsed.data:
        strings += [f"f{key}"] if value is None else [f"s{key}", value]
    if label:
        strings += ["scontext", label]
    options = "\0".join(strings)
    if options.count("\0") != max(len(strings) - 1, 0):          # a NUL in one: that is refused later
        return None
    attributes = parsed.here.for_new()
    if readonly_later:
        attributes, how = attributes & ~1, how | KEEP            # MOUNT_ATTR_RDONLY
    return (path.encode(errors="surrogateescape"), kind.encode(errors="surrogateescape"),
            options.encode(errors="surrogateescape") + b"\0", attributes, how)
