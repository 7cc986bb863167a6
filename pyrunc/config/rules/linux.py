"""config-linux.md, as far as it has no file of its own here."""
from __future__ import annotations

from ...errors import ConfigError
from ..where import at, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..types import Config, Namespace

#: Permission, set-id and sticky bits.
MODE_BITS = 0o7777
TYPE_BITS = {"c": 0o020000, "u": 0o020000, "b": 0o060000, "p": 0o010000}
#: Longest name of a network device (IFNAMSIZ less its NUL).
LONGEST_INTERFACE = 15
#: Bytes that resctrl's `schemata` takes at once: one page (kernel, fs/resctrl: kf_single_ops.atomic_write_len).
SCHEMATA = 4096


def namespace(config: Config, kind: str) -> Namespace | None:
    """The entry for a type of namespace; None when the container shares the runtime's."""
    return next((entry for entry in config.get("linux", {}).get("namespaces", ()) if entry["type"] == kind), None)


def namespaces(config: Config) -> Iterator[ConfigError]:
    """Each type once."""
    seen = set()
    for index, entry in enumerate(config.get("linux", {}).get("namespaces", ())):
        if entry["type"] in seen:
            yield ConfigError(f"malformed spec file: duplicated ns {quoted(entry['type'])}",
                              f"linux.namespaces[{index}].type")
        seen.add(entry["type"])


def time_offsets(config: Config) -> Iterator[ConfigError]:
    """Offsets are those of a new time namespace: in an existing one, clocks cannot be moved any more."""
    if not config.get("linux", {}).get("timeOffsets"):
        return
    entry = namespace(config, "time")
    if entry is None:
        yield ConfigError("time namespace offsets specified, but time namespace isn't enabled in the config",
                          "linux.timeOffsets")
    elif entry.get("path"):
        yield ConfigError("time namespace enabled, but both namespace path and time offsets specified -- "
                          "you may only provide one", "linux.timeOffsets")


def devices(config: Config) -> Iterator[ConfigError]:
    """A mode is nothing but mode bits, or those of the device's own type."""
    for index, device in enumerate(config.get("linux", {}).get("devices", ())):
        where = f"linux.devices[{index}]"
        if device.get("fileMode", 0) & ~MODE_BITS not in (0, TYPE_BITS[device["type"]]):
            yield ConfigError(f"{device['fileMode']} (octal {device['fileMode']:o}) has bits that are not permissions",
                              f"{where}.fileMode")


def net_devices(config: Config) -> Iterator[ConfigError]:
    """Moved into a network namespace that is not the runtime's, under a name that the kernel takes."""
    moved = config.get("linux", {}).get("netDevices", {})
    if moved and namespace(config, "network") is None:
        yield ConfigError("unable to move network devices without a NET namespace", "linux.netDevices")
    targets: dict[str, str] = {}
    for name, device in moved.items():
        where = at("linux.netDevices", name)
        target = device.get("name") or name
        if not _interface_name(name):
            yield ConfigError(f"invalid network device name {quoted(name)}", where)
        if not _interface_name(target):
            yield ConfigError(f"invalid network device name {quoted(target)}", f"{where}.name")
        if target in targets and "%d" not in target:
            yield ConfigError(f"the name {quoted(target)} is also given to {quoted(targets[target])}", f"{where}.name")
        targets[target] = name


def _interface_name(name: str) -> bool:
    """As dev_valid_name() of the kernel."""
    return (0 < len(name.encode()) <= LONGEST_INTERFACE and name not in (".", "..")
            and not any(char in "/:" or char.isspace() for char in name))


def paths(config: Config) -> Iterator[ConfigError]:
    """Masked and read-only paths are mounts: without a mount namespace they would hide files of the host."""
    linux = config.get("linux", {})
    if namespace(config, "mount") is None:
        for key in ("maskedPaths", "readonlyPaths"):
            if linux.get(key):
                yield ConfigError("unable to restrict sys entries without a private MNT namespace", f"linux.{key}")


def intel_rdt(config: Config) -> Iterator[ConfigError]:
    """Names of one directory below resctrl, lines of one schemata file."""
    rdt = config.get("linux", {}).get("intelRdt", {})
    group = rdt.get("closID", "")
    if group in (".", "..") or (len(group) > 1 and "/" in group) or "\n" in group:
        yield ConfigError(f"invalid intelRdt.ClosID {quoted(group)}", "linux.intelRdt.closID")
    bandwidth = rdt.get("memBwSchema", "")
    if bandwidth and not bandwidth.startswith("MB:"):
        yield ConfigError("must begin with MB:", "linux.intelRdt.memBwSchema")
    lines = {"l3CacheSchema": rdt.get("l3CacheSchema", ""), "memBwSchema": bandwidth,
             **{f"schemata[{index}]": line for index, line in enumerate(rdt.get("schemata", ()))}}
    for key, line in lines.items():
        if "\n" in line:
            yield ConfigError("must not contain a line break", f"linux.intelRdt.{key}")
    written = sum(len(line) + 1 for line in lines.values() if line)
    if written > SCHEMATA:
        yield ConfigError(f"the lines of schemata have {written} bytes, the kernel takes {SCHEMATA} at once",
                          "linux.intelRdt")


def memory_policy(config: Config) -> Iterator[ConfigError]:
    """Nodes where set_mempolicy(2) wants some, none where it wants none, and flags that agree."""
    policy = config.get("linux", {}).get("memoryPolicy")
    if policy is None:
        return
    from ..numbers import parse_numbers
    where, mode, flags = "linux.memoryPolicy", policy["mode"], policy.get("flags", ())
    try:
        count = len(parse_numbers(policy.get("nodes", "")))
    except ValueError as fault:
        yield ConfigError(f"invalid memory policy nodes: {fault}", f"{where}.nodes")
        return
    if mode in ("MPOL_DEFAULT", "MPOL_LOCAL") and count:
        yield ConfigError(f"memory policy mode requires 0 nodes but got {count}", f"{where}.nodes")
    if mode not in ("MPOL_DEFAULT", "MPOL_LOCAL", "MPOL_PREFERRED") and not count:
        yield ConfigError("memory policy mode requires at least one node but got 0", f"{where}.nodes")
    if "MPOL_F_STATIC_NODES" in flags and "MPOL_F_RELATIVE_NODES" in flags:
        yield ConfigError("MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude each other", f"{where}.flags")
    if "MPOL_F_NUMA_BALANCING" in flags and mode not in ("MPOL_BIND", "MPOL_PREFERRED_MANY"):
        yield ConfigError(f"MPOL_F_NUMA_BALANCING does not go with {mode}", f"{where}.flags")
