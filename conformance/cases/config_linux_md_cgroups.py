"""config-linux.md, cgroups: what is an error, and who owns the files."""
from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ..harness import bundles, isolation
from ..harness.trial import Trial
from ..model import NotHere, case, each
from .config_linux_md import cgroup_of

DELEGATED = Path("/sys/kernel/cgroup/delegate")
#: What the specification has for a kernel without that file.
FALLBACK = ("cgroup.procs", "cgroup.subtree_control", "cgroup.threads")
OWNER = 100000


@case("config-linux.md#control-groups", "a cgroup that is not fit is an error")
def cgroup_that_is_not_fit(t: Trial) -> None:
    """A cgroup beside one of threads, which can have processes or limits of memory, but not both, is an error"""
    t.needs_cgroups(files=True)
    t.needs_controller("memory")
    t.cgroup(f"{t.id}-above")
    (t.cgroup(f"{t.id}-above/threads") / "cgroup.type").write_text("threaded")
    box = t.cgroup(f"{t.id}-above/box")
    t.equal((box / "cgroup.type").read_text(), "domain invalid\n", "type of the cgroup")
    t.refused(linux={"cgroupsPath": f"/{t.id}-above/box", "resources": {"memory": {"limit": 64 << 20}}})


@case("config-linux.md#cgroups-path", "an invalid path is an error")
def cgroups_path_that_is_invalid(t: Trial) -> None:
    """A cgroupsPath with a name that is too long for the kernel, or with a NUL, is an error"""
    t.needs_cgroups()
    for path in (f"/{t.id}-{'x' * 5000}", f"/{t.id}\0x"):
        t.refused(linux={"cgroupsPath": path})


# ---- ownership ------------------------------------------------------------------------------------------------
def delegating(t: Trial, *leaves: str, options: tuple[str, ...] = ("nosuid", "noexec", "nodev")) -> dict[str, Any]:
    """A config in which the container's cgroup is to be its root's, but for what leaves out."""
    t.needs_cgroups()
    t.needs_spec("1.1.0")
    kinds = [name for name in (*bundles.NAMESPACES, "user") if name not in leaves]
    maps = [{"containerID": 0, "hostID": OWNER, "size": 65536}]
    mount = {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": list(options)}
    # No sysfs: the kernel refuses one in a user namespace while something lies over a part of the machine's.
    return {"mounts": [*bundles.MOUNTS, bundles.tmpfs("/sys", "mode=755"), mount],
            "process": {"args": ["sleep", "600"]},
            "linux": {"namespaces": bundles.namespaces(*kinds), "uidMappings": maps, "gidMappings": maps,
                      "cgroupsPath": f"system.slice:conformance:{t.id}" if t.program.systemd else f"/{t.id}"}}


def owned(t: Trial, place: Path) -> set[str]:
    """Names of files of a cgroup that are of the container's root; the cgroup itself is `.`."""
    return {name for name in (".", *os.listdir(place)) if (place / name).stat().st_uid == OWNER}


@case("config-linux.md#cgroup-ownership", "the cgroup is delegated where it is mounted to be written",
      "only the files meant for it are delegated", "a listed file that is not there is no error")
def delegated_files(t: Trial) -> None:
    """The cgroup and the files that the kernel lists are the container's root's, as far as they are there"""
    t.needs_file(str(DELEGATED))
    listed = set(DELEGATED.read_text().split())
    made = t.running(**delegating(t))
    place = cgroup_of(made.pid)
    there = {name for name in os.listdir(place) if (place / name).is_file()}
    t.equal(owned(t, place), {".", *(listed & there)}, "files of the cgroup that are of the container's root")


@case("config-linux.md#cgroup-ownership", "an old kernel has a list, too")
def delegated_files_of_an_old_kernel(t: Trial) -> None:
    """Where the kernel has no list, cgroup.procs, cgroup.subtree_control and cgroup.threads are delegated"""
    t.needs_file(str(DELEGATED))
    isolation.mount("tmpfs", DELEGATED.parent, "tmpfs")
    try:
        made = t.running(**delegating(t))
        t.equal(owned(t, cgroup_of(made.pid)), {".", *FALLBACK}, "files of the cgroup that are of the container's root")
    finally:
        isolation.unmount(DELEGATED.parent)


@each("config-linux.md#cgroup-ownership", {
    "no namespace": ("without a cgroup namespace of its own it is not delegated", ("cgroup",), ()),
    "read-only": ("the cgroup is delegated where it is mounted to be written", (), ("ro",))})
def cgroup_that_is_not_delegated(t: Trial, leaves: tuple[str, ...], options: tuple[str, ...]) -> None:
    """Without a cgroup namespace of its own, or with a mount that is read-only, no file is the container's root's"""
    made = t.running(**delegating(t, *leaves, options=("nosuid", "noexec", "nodev", *options)))
    t.equal(owned(t, cgroup_of(made.pid)), set(), "files of the cgroup that are of the container's root")


# ---- values that are errors -----------------------------------------------------------------------------------
@case("config-linux.md#block-io", "an entry has one of the weights")
def weight_device_without_a_weight(t: Trial) -> None:
    """An entry of weightDevice without weight and leafWeight is an error"""
    t.refused(linux={"resources": {"blockIO": {"weightDevice": [{"major": 7, "minor": 0}]}}})


@case("config-linux.md#rdma", "an entry has one of the limits")
def rdma_without_a_limit(t: Trial) -> None:
    """An entry of rdma without hcaHandles and hcaObjects is an error"""
    t.refused(linux={"resources": {"rdma": {"mlx5_1": {}}}})


@case("config-linux.md#memory", "a limit below the use is refused", "checkBeforeUpdate")
def limit_below_the_use(t: Trial) -> None:
    """`update` with checkBeforeUpdate refuses a limit below what is in use, and nothing changes"""
    t.needs_controller("memory")
    t.needs_spec("1.1.0")
    made = t.running(process={"args": ["sh", "-c", "dd if=/dev/zero of=/dev/shm/f bs=1M count=48; exec sleep 600"]},
                     mounts=[*bundles.MOUNTS, bundles.tmpfs("/dev/shm")],
                     linux={"resources": {"memory": {"limit": 256 << 20}}})
    file = t.place / "resources.json"
    file.write_text(json.dumps({"memory": {"limit": 16 << 20, "checkBeforeUpdate": True}}))
    place = cgroup_of(made.pid)
    for _ in range(200):
        if int((place / "memory.current").read_text()) > 40 << 20:
            break
        t.runtime.ok("state", made.id)
    if (done := t.runtime("update", "--resources", file, made.id)).status and "unknown" in done.stderr.lower():
        raise NotHere(f"no command update: {done.stderr.strip()[-200:]}")
    t.true(done.status, "update ends with 0")
    t.equal((place / "memory.max").read_text().strip(), str(256 << 20), "memory.max")
