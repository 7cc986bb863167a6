"""config-linux.md#sysctl: only kernel parameters that a namespace of the container's own has a copy of."""
from __future__ import annotations

from ...errors import ConfigError
from ..where import at, quoted
from .linux import namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..types import Config

IPC = ("kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax",
       "kernel.shmmni", "kernel.shm_rmid_forced")


def path(name: str) -> str:
    """The file below /proc/sys. Either "." or "/" separates, whichever comes first; the other stands for itself
    turned around, as sysctl(8) has it: net.ipv4.conf.eth0/1.rp_filter and net/ipv4/conf/eth0.1/rp_filter are one.

    ValueError for a name with an empty, "." or ".." part, which would leave the subtree it begins with.
    """
    dot, slash = name.find("."), name.find("/")
    if dot >= 0 and (slash < 0 or dot < slash):
        name = name.translate({ord("."): "/", ord("/"): "."})
    if any(part in ("", ".", "..") for part in name.split("/")):
        raise ValueError(f"{quoted(name)} is not a path below /proc/sys")
    return name


def rules(config: Config) -> Iterator[ConfigError]:
    for name in config.get("linux", {}).get("sysctl", {}):
        where = at("linux.sysctl", name)
        try:
            key = path(name).replace("/", ".")
        except ValueError as fault:
            yield ConfigError(str(fault), where)
            continue
        if reason := _refusal(config, key):
            yield ConfigError(reason, where)


def _refusal(config: Config, key: str) -> str:
    """Why this parameter would change the host, "" when it does not."""
    if key in IPC or key.startswith("fs.mqueue."):
        return "" if namespace(config, "ipc") else f"sysctl {quoted(key)} is not allowed in the hosts ipc namespace"
    if key.startswith("net."):
        return "" if namespace(config, "network") else f"sysctl {quoted(key)} not allowed in host network namespace"
    if key == "kernel.hostname":
        return f'sysctl {quoted(key)} is not allowed as it conflicts with the OCI "hostname" field'
    if key == "kernel.domainname" and namespace(config, "uts"):
        return ""
    if key.startswith("user."):
        return "" if namespace(config, "user") else (
            f"setting ucounts without a user namespace not allowed: {quoted(key)}")
    from ..near import meant
    return f"sysctl {quoted(key)} is not in a separate kernel namespace{meant(key, (*IPC, 'kernel.domainname'))}"
