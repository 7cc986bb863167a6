"""Checkpoint, and Create from a checkpoint: what a shim's worker does for them, and what containerd's options say."""
from __future__ import annotations

import posix

from ..keeper import operations
from ..kernel.linux import Kernel
from ..ttrpc.messages.options import CheckpointOptions
from . import rootfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..keeper.channel import Message
    from ..keeper.operations import Answer, Told
    from ..ttrpc.messages import task as api

#: What CRIU writes of its work, in the bundle, unless the runtime's options say where.
WORK = "criu-work"


def asked(request: api.CheckpointTaskRequest) -> dict[str, Any]:
    """What a Checkpoint asks for, as plain values. ValueError for options that cannot be read."""
    given = request.options
    options = CheckpointOptions()
    if given is not None and given.type_url.endswith(CheckpointOptions.TYPE):
        options = CheckpointOptions.decode(given.value)
    return {"image_path": options.image_path or request.path, "work_path": options.work_path,
            "parent_path": options.parent_path, "leave_running": not options.exit,
            "tcp_established": options.open_tcp, "ext_unix_sk": options.external_unix_sockets,
            "shell_job": options.terminal, "file_locks": options.file_locks,
            "manage_cgroups_mode": options.cgroups_mode or "soft"}


def checkpoint(request: Message, fds: list[int], told: Told) -> Answer:
    """Write the images of a container; it goes on or ends, as asked."""
    choices = request["choices"]
    choices["work_path"] = choices["work_path"] or work_of(request)
    return operations.checkpoint(request, fds, told)


def mount(request: Message, fds: list[int], told: Told) -> Answer:
    """The root of a container that Start will restore."""
    rootfs.mount_all(Kernel(), request["rootfs"], request["bundle"] + "/rootfs")
    return {}, []


def restore(request: Message, fds: list[int], told: Told) -> Answer:
    """Make the container from the images at request["checkpoint"]; the answer is create's."""
    request["choices"] = {"image_path": request["checkpoint"], "work_path": request["work"] or work_of(request),
                          "shell_job": request["terminal"]}
    return operations.restore(request, fds, told)


def work_of(request: Message) -> str:
    """A folder for CRIU's log in the bundle, which is there."""
    path = f"{request['bundle']}/{WORK}"
    try:
        posix.mkdir(path, 0o700)
    except FileExistsError:
        pass
    return path
