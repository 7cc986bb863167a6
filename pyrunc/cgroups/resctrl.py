"""Groups of resctrl: which are a container's, whose a group is, and the lines of schemata."""
from __future__ import annotations

from ..errors import ConfigError
from .v2 import DIRECTORY, STICKY, marked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..config.types import Config, IntelRdt
    from ..host import Host
    from ..kernel.posix import PosixKernel
    from ..options import Options

WHERE = "linux.intelRdt"


def remove(kernel: PosixKernel, path: str, mark: str) -> None:
    """Remove a group that has the mark, or has none yet because its making was cut short; nobody else's."""
    try:
        fd = kernel.open(path, DIRECTORY)
    except FileNotFoundError:
        return
    try:
        if kernel.stat(fd).st_mode & STICKY and marked(kernel, fd) in (b"", mark.encode()):
            kernel.rmdir(path)
    finally:
        kernel.close(fd)


def parse(line: str) -> tuple[str, dict[str, int]]:
    """"L3:0=ff;1=f0" -> ("L3", {"0": 0xff, "1": 0xf0}); bandwidth ("MB") is decimal."""
    resource, _, domains = line.strip().partition(":")
    base = 10 if "MB" in resource else 16
    values = {}
    for domain in domains.split(";"):
        number, _, value = domain.partition("=")
        try:
            values[number.strip()] = int(value, base)
        except ValueError:
            raise ConfigError(f'"{line.strip()}" is not a line of schemata, such as L3:0=f;1=f', WHERE) from None
    return resource, values


# ---- planner functions ------------------------------------------------------------------------------------------
def groups(config: Config, options: Options, host: Host) -> dict[str, Any]:
    """For the container's state: where resctrl is mounted, the group, whether that is the container's own, and the
    monitoring group ("" for none). Raises ConfigError where resctrl is not mounted."""
    rdt = config["linux"]["intelRdt"]
    if not host.resctrl:
        raise ConfigError("intelRdt is specified in config, but Intel RDT is not enabled: resctrl is not mounted",
                          WHERE)
    path = _path(rdt, options, host)
    return {"root": host.resctrl, "group": path, "own": not rdt.get("closID"),
            "monitor": f"{path}/mon_groups/{options.id}" if rdt.get("enableMonitoring") else ""}


def _path(rdt: IntelRdt, options: Options, host: Host) -> str:
    """"As a special case, value / means that the container MUST be assigned to the default CLOS"."""
    name = rdt.get("closID") or options.id
    return host.resctrl if name == "/" else f"{host.resctrl}/{name}"
