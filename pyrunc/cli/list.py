"""list: every container under the state root."""
from __future__ import annotations

import posix

from ..errors import NoSuchContainer, PyruncError, UsageError, describe
from ..formats.json_text import dumps
from ..kernel.own_files import open_root
from ..log import visible
from ..state.container import Container
from ..state.process_id import forget_boot, remember_boot
from .flags import Command, Flag
from .output import emit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from .flags import Call

FORMATS = ("table", "json")
COMMAND = Command(
    "list", "list the containers",
    (Flag("format", str, "table or json", short="f", value="FORMAT", default="table"),
     Flag("quiet", bool, "print only the ids", short="q")),
    arguments="", least=0, most=0)


def run(call: Call) -> int:
    """Containers that cannot be read are named on stderr and left out, so that one cannot hide the others."""
    format = call.text("format")
    if format not in FORMATS and not call.on("quiet"):
        raise UsageError("invalid format option")
    remember_boot()
    try:
        containers = list(_containers(call))
    finally:
        forget_boot()
    if call.on("quiet"):
        emit("".join(f"{container['id']}\n" for container in containers))
    elif format == "json":
        emit(dumps(containers or None) + "\n")
    else:
        rows = [("ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER")]
        rows += [(c["id"], str(c["pid"]), c["status"], visible(c["bundle"]), c["created"], c["owner"])
                 for c in containers]
        emit(table(rows))
    return 0


def _containers(call: Call) -> Iterator[dict[str, Any]]:
    try:
        root = open_root(call.root)
    except FileNotFoundError:
        if "root" in call.settings:
            raise
        return                       # the default root: nobody has made a container yet
    try:
        yield from _loaded(call, root)
    finally:
        posix.close(root)


def _loaded(call: Call, root: int) -> Iterator[dict[str, Any]]:
    owner = ""                       # of each that can be loaded it is the caller
    for id in sorted(posix.listdir(call.root)):
        try:
            container = Container.load(call.root, id, root)
            owner = owner or _name(posix.geteuid())
            yield container.described(owner)
        except (NotADirectoryError, UsageError, NoSuchContainer):   # beside the containers: "@trace"; deleted meanwhile
            continue
        except (OSError, PyruncError) as fault:
            call.log.warning(f"load container {id}: {describe(fault) if isinstance(fault, OSError) else fault}")


def _name(uid: int) -> str:
    """The name of a user, or #uid."""
    import pwd
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as Go's tabwriter aligns them with a least width of 12 and a padding of 3; the last is not padded."""
    widths = [max(12, max(map(len, column)) + 3) for column in zip(*rows)]
    return "".join("".join(cell.ljust(width) for cell, width in zip(row[:-1], widths)) + row[-1] + "\n" for row in rows)
