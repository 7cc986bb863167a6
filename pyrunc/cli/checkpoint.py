"""checkpoint: write a running container to image files, from which `restore` makes it again."""
from __future__ import annotations

import posix

from ..criu.messages import CGROUP_MODES
from ..criu.options import Choices
from ..errors import UsageError, strerror
from ..paths import absolute
from ..runtime.checkpoint import checkpoint, planned
from ..state.container import Container
from .flags import Command, Flag, within

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..engine.step import Plan
    from .flags import Call

#: What restore takes as well.
COMMON = (
    Flag("image-path", str, "directory of the images (default: ./checkpoint)", value="DIR"),
    Flag("work-path", str, "directory of criu's log and statistics (default: that of the images)", value="DIR"),
    Flag("tcp-established", bool, "keep established TCP connections"),
    Flag("tcp-close", bool, "close established TCP connections"),
    Flag("ext-unix-sk", bool, "allow unix sockets with an end outside the container"),
    Flag("shell-job", bool, "allow a container that uses a terminal from outside"),
    Flag("file-locks", bool, "keep file locks"),
    Flag("lazy-pages", bool, "fetch memory when it is used (userfaultfd(2))"),
    Flag("auto-dedup", bool, "punch holes where a later image has the same memory"),
    Flag("manage-cgroups-mode", str, "which properties of the cgroups are restored", value="MODE", default="soft",
         choices=tuple(CGROUP_MODES)),
    Flag("empty-ns", list, "leave out the content of this namespace: only network is taken, and it is always left out",
         value="TYPE"),
    Flag("parent-path", str, "directory of the pre-dump to add to, relative to --image-path", value="DIR"),
)
COMMAND = Command(
    "checkpoint", "write a running container to image files",
    (*COMMON,
     Flag("leave-running", bool, "keep the container running"),
     Flag("pre-dump", bool, "write only the memory, and keep the container running; a dump with --parent-path "
          "adds the rest"),
     Flag("tcp-skip-in-flight", bool, "leave out TCP connections that are not established yet"),
     Flag("link-remap", bool, "allow open files that were removed: make new links to them"),
     Flag("status-fd", int, "write a NUL byte to this descriptor when lazy pages can be fetched", value="FD",
          default=-1, least=-1),
     Flag("page-server", str, "send memory to the page server at this address", value="ADDRESS:PORT")))


def run(call: Call) -> int:
    checkpoint(call.root, call.id, of_dump(call), call.observers())
    return 0


def plan_of(call: Call) -> Plan:
    """For `explain`."""
    return planned(Container.load(call.root, call.id), of_dump(call))


def of_dump(call: Call) -> Choices:
    """All flags of checkpoint. UsageError."""
    choices = choices_of(call)
    choices.leave_running, choices.pre_dump = call.on("leave-running"), call.on("pre-dump")
    choices.tcp_skip_in_flight, choices.link_remap = call.on("tcp-skip-in-flight"), call.on("link-remap")
    choices.status_fd, choices.page_server = status_fd(call), page_server(call)
    return choices


def choices_of(call: Call) -> Choices:
    """The flags that both commands have. UsageError."""
    for kind in call.list("empty-ns"):
        if kind != "network":
            raise UsageError(f'namespace "{kind}" is not supported')
    given: dict[str, Any] = {flag.name.replace("-", "_"): call.on(flag.name) for flag in COMMON if flag.kind is bool}
    return Choices(
        **given, image_path=absolute(call.text("image-path") or "checkpoint"), parent_path=call.text("parent-path"),
        work_path=absolute(call.text("work-path")) if call.text("work-path") else "",
        manage_cgroups_mode=call.text("manage-cgroups-mode"))


def status_fd(call: Call) -> int:
    """--status-fd, open for writing; -1 without lazy pages, for which alone it is."""
    number = call.number("status-fd")
    if number < 0 or not call.on("lazy-pages"):
        return -1
    try:
        posix.write(number, b"")
    except OSError as fault:
        raise UsageError(f"invalid --status-fd argument {number}: {strerror(fault.errno or 0)}") from None
    return number


def page_server(call: Call) -> tuple[str, int] | None:
    """--page-server, taken apart."""
    text = call.text("page-server")
    if not text:
        return None
    address, _, port = text.rpartition(":")
    address = address.removeprefix("[").removesuffix("]")
    if not address or not port:
        raise UsageError("Use --page-server ADDRESS:PORT to specify page server")
    return address, within("page-server", port, 1, 65535)
