"""What takes more privilege than the caller has: namespaces, the score for the OOM killer, a cgroup."""
from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..config.rules.linux import namespace
from ..config.rules.sysctl import path as sysctl_path
from ..config.where import at, quoted
from .findings import Finding, error
from .host_files import text

if TYPE_CHECKING:
    from ..config.types import Config
    from ..host import Host

CAP_SYS_ADMIN, CAP_SYS_RESOURCE = 21, 24


def findings(config: Config, host: Host) -> Iterator[Finding]:
    """config is sound in itself."""
    kinds = [entry["type"] for entry in config.get("linux", {}).get("namespaces", ()) if not entry.get("path")]
    if kinds and host.euid != 0 and namespace(config, "user") is None:
        yield error("linux.namespaces", "an ordinary user can make no namespaces without a user namespace: operation "
                                        "not "
                    "permitted", "add the type user with linux.uidMappings and gidMappings (pyrunc spec --rootless)")
    yield from _score(config, host)
    yield from _sysctls(config)


def _score(config: Config, host: Host) -> Iterator[Finding]:
    """proc_pid_oom_score_adj(5): the least that it may be is what it has been, by whoever has no CAP_SYS_RESOURCE."""
    wanted = config.get("process", {}).get("oomScoreAdj")
    if wanted is None or (host.capabilities >> CAP_SYS_RESOURCE & 1 and not host.in_userns):
        return
    own = int(text("/proc/self/oom_score_adj") or wanted)
    if wanted < own:
        yield error("process.oomScoreAdj", f"{wanted} is below the {own} of this process: permission denied",
                    "that needs CAP_SYS_RESOURCE")


def _sysctls(config: Config) -> Iterator[Finding]:
    """A parameter that is a number, or several, takes nothing else."""
    for name, value in config.get("linux", {}).get("sysctl", {}).items():
        now = text(f"/proc/sys/{sysctl_path(name)}").split()
        if now and all(map(_number, now)) and not all(map(_number, value.split() or ["x"])):
            yield error(at("linux.sysctl", name), f"{quoted(value)} is no number, as {quoted(' '.join(now))} is: "
                                                  "invalid argument")


def _number(word: str) -> bool:
    return word.lstrip("-").isdigit() or word.startswith("0x")
