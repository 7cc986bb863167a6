"""The rules between properties that no schema can say, a file for each part of config.json.

A rule is a generator of ConfigErrors over a config whose types and ranges are right. Here stands which parts each
one reads, so that a list of all problems has no consequences of others in it.
"""
from __future__ import annotations

from . import document, ids, linux, mounts, process, resources, seccomp, sysctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ...errors import ConfigError
    from ..types import Config

    Rule = tuple[tuple[str, ...], Callable[[Config], Iterator[ConfigError]]]

NAMESPACES = "linux.namespaces"

#: What a process or resources object alone must keep, too (exec, update).
REQUESTS: list[Rule] = [
    (("process",), process.rules),
    (("linux.resources",), resources.rules),
]

EVERY: list[Rule] = [
    (("ociVersion",), document.version),
    (("annotations",), document.annotation_names),
    ((NAMESPACES, "hostname", "domainname"), document.names),
    ((NAMESPACES, "mounts"), mounts.rules),
    ((NAMESPACES,), linux.namespaces),
    ((NAMESPACES, "linux.uidMappings", "linux.gidMappings"), ids.user_namespace),
    ((NAMESPACES, "linux.uidMappings", "linux.gidMappings", "process"), ids.user),
    ((NAMESPACES, "linux.timeOffsets"), linux.time_offsets),
    (("linux.devices",), linux.devices),
    ((NAMESPACES, "linux.netDevices"), linux.net_devices),
    ((NAMESPACES, "linux.maskedPaths", "linux.readonlyPaths"), linux.paths),
    ((NAMESPACES, "linux.sysctl"), sysctl.rules),
    (("linux.intelRdt",), linux.intel_rdt),
    (("linux.memoryPolicy",), linux.memory_policy),
    (("linux.seccomp",), seccomp.rules),
    (("linux.resources.memory",), resources.swap),
    *REQUESTS,
]
