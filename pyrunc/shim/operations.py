"""What a shim's worker does: the library's operations with the mounts and streams of containerd around them."""
from __future__ import annotations

import posix

from ..config.load import load
from ..errors import PyruncError
from ..keeper import operations, prepared
from ..kernel.linux import Kernel
from . import checkpoints, rootfs, stdio, switches

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..config.types import Config
    from ..keeper.channel import Message
    from ..keeper.nursery import Operation
    from ..keeper.operations import Answer, Told


def look(bundle: str) -> None:
    """Before anything is asked for: at the host, and at the container that will be asked for first. What was found out
    then is known (keeper/prepared.py); what is wrong will be told by Create, and a config may yet be another one."""
    try:
        prepared.host()
        prepared.config(load(bundle))
    except (OSError, PyruncError):
        pass


def create(request: Message, fds: list[int], told: Told) -> Answer:
    """Mount the root, open the streams, make the container. The answer's `kept` names the descriptors after the pidfd
    and, with a terminal, its master end; `mappings` are those of its ids, if it has any."""
    root, config = request["bundle"] + "/rootfs", load(request["bundle"])
    request["options"] = {**request["options"], **driver(request, config)}
    rootfs.mount_all(Kernel(), request["rootfs"], root)
    try:
        return _with_streams(operations.create, {**request, "config": config}, told, *_ids(config))
    except BaseException:
        if request["rootfs"]:
            rootfs.unmount_all(Kernel(), root)
        raise


def driver(request: Message, config: Config) -> dict[str, Any]:
    """Options for the cgroup driver. containerd hands runc's options on to runc's own kind alone, so that SystemdCgroup
    may not arrive; but a cgroupsPath of a slice is systemd's (config-linux.md#cgroups-path as runc has it)."""
    systemd = request["systemd_cgroup"]
    if not systemd:
        systemd = ".slice:" in ((config.get("linux") or {}).get("cgroupsPath") or "")
    return {"systemd_cgroup": systemd, "cgroup_manager": "systemd" if systemd else "cgroupfs"}


def _ids(config: Any) -> tuple[Any, Any]:
    """The user of a config's process, and the mappings of its ids: [uidMappings, gidMappings], if it has them."""
    linux = config.get("linux") or {}
    mappings = [linux.get("uidMappings") or [], linux.get("gidMappings") or []]
    return (config.get("process") or {}).get("user"), mappings if all(mappings) else None


def exec(request: Message, fds: list[int], told: Told) -> Answer:
    """Open the streams and run one more process; the answer is create's."""
    return _with_streams(operations.exec, {**request, "process": request["given"]}, told,
                         request["given"].get("user"), request["mappings"])


def delete(request: Message, fds: list[int], told: Told) -> Answer:
    """Delete the container, and unmount its root."""
    try:
        if request["made"]:
            operations.delete(request, fds, told)
    finally:
        rootfs.unmount_all(Kernel(), request["bundle"] + "/rootfs")
    return {}, []


def restore(request: Message, fds: list[int], told: Told) -> Answer:
    """Open the streams and make the container from its images; the answer is create's."""
    config = load(request["bundle"])
    request["options"] = {**request["options"], **driver(request, config)}
    return _with_streams(checkpoints.restore, {**request, "config": config}, told, *_ids(config))


def _with_streams(operation: Callable[[Message, list[int], Told], Answer], request: Message, told: Told, user: Any,
                  mappings: Any) -> Answer:
    environment = {"CONTAINER_ID": request["id"], "CONTAINER_NAMESPACE": request["namespace"]}
    names = request["stdin"], request["stdout"], request["stderr"]
    if request["terminal"]:
        kept = stdio.of_terminal(*names[:2], environment)
        theirs = [posix.open("/dev/null", posix.O_RDWR | posix.O_CLOEXEC) for _ in range(3)]
    else:
        streams = stdio.opened(*names, environment)
        kept, theirs = streams.kept, streams.theirs
        if mappings:
            stdio.own(streams, user or {}, mappings)
    answer, given = operation(request, theirs, told)
    return {**answer, "kept": list(kept), "mappings": mappings}, [*given, *kept.values()]


def watched(operation: Operation) -> Operation:
    """The operation, traced and stopped where a switch file asks for that."""
    def run(request: Message, fds: list[int], told: Told) -> Answer:
        told.others = switches.observers(request["operation"], request["root"], request["id"],
                                         request.get("bundle", ""), told)
        return operation(request, fds, told)
    return run


#: name -> what a worker runs
OPERATIONS: dict[str, Operation] = {name: watched(operation) for name, operation in {
    **operations.OPERATIONS, "create": create, "exec": exec, "delete": delete,
    "checkpoint": checkpoints.checkpoint, "mount": checkpoints.mount, "restore": restore}.items()}

