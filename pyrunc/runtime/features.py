"""The features structure (features.md): what this build understands, whatever the host has.

Nothing is listed twice: the names come from the tables that the planner itself reads.
"""
from __future__ import annotations

from .. import __version__
from .._native import lib
from ..kernel.constants import (
    CAPABILITIES,
    MPOL_FLAGS,
    MPOL_MODES,
    SECCOMP_ACTIONS,
    SECCOMP_FLAGS,
    SECCOMP_OPERATORS,
)
from ..kernel.namespaces import NAMESPACES
from ..rootfs.mount_options import NAMES
from ..seccomp.library import facts
from ..version import SPEC, commit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
OLDEST = "1.0.0"
#: Flags that the engine sets by itself; a profile cannot ask for them.
INTERNAL_FLAGS = ("SECCOMP_FILTER_FLAG_NEW_LISTENER",)
#: Annotations that give a container more than its config.json says; one that ends in a dot is a prefix.
UNSAFE_ANNOTATIONS = ("bundle", "org.systemd.property.", "org.criu.config", "run.oci.")


def features() -> dict[str, Any]:
    """The structure, as schemas/features.json has it."""
    annotations = {"io.pyrunc.version": __version__, "io.pyrunc.commit": commit(),
                   "org.opencontainers.runc.checkpoint.enabled": "true" if built("cli.checkpoint") else "false"}
    seccomp = _seccomp()
    if seccomp["enabled"]:
        annotations["io.github.seccomp.libseccomp.version"] = facts()[0]
    return {
        "ociVersionMin": OLDEST,
        "ociVersionMax": SPEC,
        "hooks": list(HOOKS),
        "mountOptions": list(NAMES),
        "linux": {
            "namespaces": sorted(NAMESPACES),
            "capabilities": list(CAPABILITIES),
            "cgroup": {"v1": False, "v2": True, "systemd": built("cgroups.systemd.unit"),
                       "systemdUser": built("cgroups.systemd.unit"), "rdma": True},
            "seccomp": seccomp,
            "apparmor": {"enabled": True},
            "selinux": {"enabled": True},
            "intelRdt": {"enabled": built("steps.intel_rdt"), "schemata": built("steps.intel_rdt"),
                         "monitoring": built("steps.intel_rdt")},
            "memoryPolicy": {"modes": sorted(MPOL_MODES), "flags": sorted(MPOL_FLAGS)},
            "mountExtensions": {"idmap": {"enabled": True}},
            "netDevices": {"enabled": True},
        },
        "annotations": annotations,
        "potentiallyUnsafeConfigAnnotations": list(UNSAFE_ANNOTATIONS),
    }


def _seccomp() -> dict[str, Any]:
    try:
        _, architectures = facts()
    except ImportError:
        return {"enabled": False}
    known = {name: number for name, number in SECCOMP_FLAGS.items() if name not in INTERNAL_FLAGS}
    supported = lib.pr_seccomp_flags()
    return {
        "enabled": True,
        "actions": sorted(SECCOMP_ACTIONS),
        "operators": sorted(SECCOMP_OPERATORS),
        "archs": sorted(architectures),
        "knownFlags": sorted(known),
        # TSYNC asks for what one thread has anyway.
        "supportedFlags": sorted(name for name, number in known.items()
                                 if number & supported or name == "SECCOMP_FILTER_FLAG_TSYNC"),
    }


def built(module: str) -> bool:
    """Whether this build has a part of pyrunc."""
    try:
        __import__(f"pyrunc.{module}")
    except ImportError:
        return False
    return True
