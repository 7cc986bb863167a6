"""config-linux.md#control-groups: what the controllers could not make sense of."""
from __future__ import annotations

from ...errors import ConfigError
from ..where import at, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..types import Config, Resources

LEAST_WEIGHT = 10
#: Files of a cgroup that are no limits: writing to them moves, stops or kills processes, also those of others.
ACTIONS = ("cgroup.procs", "cgroup.threads", "cgroup.kill", "cgroup.freeze", "cgroup.type")


def rules(config: Config) -> Iterator[ConfigError]:
    resources = config.get("linux", {}).get("resources")
    if not resources:
        return
    where = "linux.resources"
    for index, rule in enumerate(resources.get("devices", ())):
        if not rule.get("access"):
            yield ConfigError(f"device access at {index} field cannot be empty", f"{where}.devices[{index}].access")
    yield from _cpu(resources, f"{where}.cpu")
    yield from _block_io(resources, f"{where}.blockIO")
    for index, limit in enumerate(resources.get("hugepageLimits", ())):
        size = limit["pageSize"]
        number = size[:-2]
        if size[-2:] not in ("KB", "MB", "GB") or not (number.isascii() and number.isdigit()) or number[0] == "0":
            yield ConfigError(f"{quoted(size)} is not a size such as 64KB, 2MB or 1GB",
                              f"{where}.hugepageLimits[{index}].pageSize")
    for device, handles in resources.get("rdma", {}).items():
        if "hcaHandles" not in handles and "hcaObjects" not in handles:
            yield ConfigError("neither hcaHandles nor hcaObjects is given", at(f"{where}.rdma", device))
    for file in resources.get("unified", {}):
        if "/" in file:
            yield ConfigError(f"unified resource {quoted(file)} must be a file name (no slashes)",
                              at(f"{where}.unified", file))
        elif not all(file.partition(".")):
            yield ConfigError(f"unified resource {quoted(file)} must be in the form CONTROLLER.PARAMETER",
                              at(f"{where}.unified", file))
        elif file in ACTIONS:
            yield ConfigError(f"{file} is not a limit: it acts on the processes of the container",
                              at(f"{where}.unified", file))


def swap(config: Config) -> Iterator[ConfigError]:
    """swap counts memory in. Of a whole config only: `update` may give one of the two."""
    memory = config.get("linux", {}).get("resources", {}).get("memory", {})
    limit, both = memory.get("limit", 0), memory.get("swap", 0)
    if both > 0 and limit >= 0:
        if not limit:
            yield ConfigError("unable to set swap limit without memory limit", "linux.resources.memory.swap")
        elif both < limit:
            yield ConfigError("memory+swap limit should be >= memory limit", "linux.resources.memory.swap")


def _cpu(resources: Resources, where: str) -> Iterator[ConfigError]:
    cpu = resources.get("cpu", {})
    burst, quota = cpu.get("burst", 0), cpu.get("quota", 0)
    if 0 < quota < burst:
        yield ConfigError(f"burst {burst} is larger than quota {quota}", f"{where}.burst")
    for key, text in (("cpus", cpu.get("cpus", "")), ("mems", cpu.get("mems", ""))):
        if text:
            from ..numbers import parse_numbers
            try:
                parse_numbers(text)
            except ValueError as fault:
                yield ConfigError(str(fault), f"{where}.{key}")


def _block_io(resources: Resources, where: str) -> Iterator[ConfigError]:
    block_io = resources.get("blockIO", {})
    yield from _weights(block_io.get("weight", 0), block_io.get("leafWeight", 0), where)
    for index, device in enumerate(block_io.get("weightDevice", ())):
        place = f"{where}.weightDevice[{index}]"
        if "weight" not in device and "leafWeight" not in device:
            yield ConfigError("neither weight nor leafWeight is given", place)
        yield from _weights(device.get("weight", 0), device.get("leafWeight", 0), place)


def _weights(weight: int, leaf_weight: int, where: str) -> Iterator[ConfigError]:
    for key, value in (("weight", weight), ("leafWeight", leaf_weight)):
        if 0 < value < LEAST_WEIGHT:
            yield ConfigError(f"{value} is less than {LEAST_WEIGHT}", f"{where}.{key}")
