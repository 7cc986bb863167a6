"""What a program may choose when CRIU writes a container to images, or makes one from them (docs/checkpoint.md)."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypedDict, cast

from ..errors import UsageError


class Both(TypedDict, total=False):
    """Choices of checkpoint and restore; each is the flag of the command line of this name, and is off by default.

    work_path         absolute: where CRIU leaves its log and statistics; without it, with the images
    parent_path       the images of a pre-dump that these add to, relative to theirs
    tcp_established   keep established TCP connections; tcp_close closes them
    ext_unix_sk       allow unix sockets with an end outside the container
    shell_job         allow a container that uses a terminal from outside
    file_locks        keep file locks
    auto_dedup        punch holes where a later image has the same memory
    manage_cgroups_mode  which properties of the cgroups are restored
    """
    work_path: str
    parent_path: str
    tcp_established: bool
    tcp_close: bool
    ext_unix_sk: bool
    shell_job: bool
    file_locks: bool
    auto_dedup: bool
    manage_cgroups_mode: Literal["soft", "full", "strict", "ignore"]


class OfCheckpoint(Both, total=False):
    """Choices of Container.checkpoint.

    leave_running       the container goes on; without it, it is deleted when it is written
    pre_dump            write only the memory, and let the container go on; a checkpoint with parent_path adds the rest
    tcp_skip_in_flight  leave out TCP connections that are not established yet
    link_remap          allow open files that were removed: make new links to them
    page_server         (address, port): send the memory there
    """
    leave_running: bool
    pre_dump: bool
    tcp_skip_in_flight: bool
    link_remap: bool
    page_server: tuple[str, int]


class OfRestore(Both, total=False):
    """Choices of Runtime.restore.

    lsm_profile        "TYPE:NAME", an AppArmor profile or SELinux label instead of the one in the images
    lsm_mount_context  an SELinux context for the mounts that have one
    """
    lsm_profile: str
    lsm_mount_context: str


def chosen(image_path: str, choices: Mapping[str, object], kind: type[Both]) -> dict[str, Any]:
    """The choices as a keeper takes them. UsageError for a name that is none of this kind's."""
    for name in choices:
        if name not in cast(Any, kind).__annotations__ and name not in Both.__annotations__:
            raise UsageError(f"{name} is no choice of a checkpoint" if kind is OfCheckpoint
                             else f"{name} is no choice of a restore")
    return {"image_path": image_path, **choices}
