"""Whether intent.json and state.json are as intent.py writes them: what reads them can then rely on every member.

They are ours alone to write, but a full disk, a file system that lost its last seconds, or an editor may have been at
them. One that is damaged is an error of its container's, and never of another one's.
"""
from __future__ import annotations

from ..errors import PyruncError, StateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from ..options import Options

ALWAYS = {"ociVersion": str, "bundle": str, "rootfs": str, "annotations": dict, "created": str, "creator": dict,
          "options": dict, "boot_id": str, "cgroup": str, "mark": str, "process": bool, "hooks": dict}
SOMETIMES = {"id": str, "pid_namespace": bool, "mount_namespace": bool, "notify_socket": str, "streams": list,
             "late_steps": list, "unit": str, "user_manager": bool, "resctrl": dict, "cgroup_inode": int,
             "cgroup_made": bool}
#: Of a process (identity.own): state.json has them of the init, both have them of the creator.
PROCESS = {"pid": int, "start_time": int, "boot_id": str}
RESCTRL = {"root": str, "group": str, "monitor": str, "own": bool}
#: What a process id, and a number of clock ticks in /proc/PID/stat, can be.
LARGEST = {"pid": 2**31 - 1, "start_time": 2**64 - 1, "cgroup_inode": 2**64 - 1}


def check(record: Mapping[str, Any], id: str, path: str, made: bool) -> None:
    """StateError unless the record of the container with that id, read from path, can be relied upon.

    made   it is state.json's: there is an init
    """
    for fault in _faults(record, id, made):
        raise StateError(f"{path} is damaged: {fault}")


def options_of(record: Mapping[str, Any]) -> Options:
    """The options that the container was created with. StateError when they are damaged."""
    from ..options import Options
    for name, value in record["options"].items():
        if type(value) is not type(getattr(Options, name, value)):
            raise StateError(f"the state of container {record['options'].get('id')} is damaged: options.{name} is of "
                             "another type")
    return Options(**record["options"])


def _faults(record: Mapping[str, Any], id: str, made: bool) -> Iterator[str]:
    yield from _members(record, ALWAYS, "")
    yield from _members({name: record[name] for name in SOMETIMES if name in record},
                        {name: kind for name, kind in SOMETIMES.items() if name in record}, "")
    if record.get("id", id) != id:
        yield "it is another container's"
    yield from _members(record["creator"], PROCESS, "creator.")
    if made:
        yield from _members(record, PROCESS, "")
    if "unit" in record and "user_manager" not in record:
        yield "user_manager is missing"
    if "cgroup_inode" in record and "cgroup_made" not in record:
        yield "cgroup_made is missing"
    if "resctrl" in record:
        yield from _members(record["resctrl"], RESCTRL, "resctrl.")
    if {*map(type, record["annotations"].values())} - {str} or {*map(type, record.get("streams", ()))} - {str}:
        yield "an annotation or a stream is no string"
    if record["cgroup"] and record["cgroup"][0] != "/":
        yield "cgroup is no absolute path"
    if record["cgroup"] and not record["mark"]:      # which every cgroup of the host would have
        yield "mark is empty"
    if record["hooks"]:
        yield from _hooks(record["hooks"])


def _members(record: Mapping[str, Any], kinds: Mapping[str, type], where: str) -> Iterator[str]:
    for name, kind in kinds.items():
        if name not in record:
            yield f"{where}{name} is missing"
        elif type(record[name]) is not kind:
            yield f"{where}{name} is of another type"
        elif kind is int and not 0 <= record[name] <= LARGEST[name]:
            yield f"{where}{name} is out of range"


def _hooks(hooks: Mapping[str, Any]) -> Iterator[str]:
    """By the table that config.json is checked by: containers without hooks need not load it."""
    from ..config.check import check_hooks
    try:
        check_hooks(hooks)
    except PyruncError as fault:
        yield str(fault)
