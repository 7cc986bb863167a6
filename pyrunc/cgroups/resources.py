"""linux.resources -> what is written into which file of a cgroup v2 directory. Pure: no effects, no host.

config.json speaks cgroup v1 (config-linux.md#control-groups); the conversions are those every runtime agrees on,
because engines and their monitoring depend on the resulting numbers. Device rules are devices_bpf.py's.
"""
from __future__ import annotations

from ..errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..config.types import CPU, BlockIO, Memory, Resources, ThrottleDevice

WHERE = "linux.resources"
UNLIMITED = "max"
DEFAULT_PERIOD = 100000              # us; the kernel's own default of cpu.max
#: Files that act on processes rather than limit them; writing one would move, stop or kill another process.
NOT_SETTINGS = ("cgroup.procs", "cgroup.threads", "cgroup.kill", "cgroup.freeze", "cgroup.type")
#: Longer lists of CPUs and memory nodes than this are written in the shortest way.
LONG_LIST = 256
SIZES = {"KB": 10, "MB": 20, "GB": 30, "TB": 40}
#: Limits of memory that the init exceeds while it still is a copy of the runtime, when they are below LITTLE bytes.
MEMORY_LIMITS = ("memory.max", "memory.high")
LITTLE = 8 << 20
#: Below it nothing starts: execve alone takes a dozen pages, for page tables and the stack.
LEAST = 64 << 10
MOST_DIGITS = 20                     # as many as 2**64 has


class Setting:
    """One write into one file of the cgroup.

    file, value   the file's name and the text written, in one write(2)
    where         JSON path of the property it comes from
    optional      without the file the cgroup is already as the value would make it, such as without a limit
    otherwise     (file, value) to write where `file` does not exist or its device does not take it
    """
    __slots__ = ("file", "optional", "otherwise", "value", "where")

    def __init__(self, file: str, value: str, where: str, optional: bool = False,
                 otherwise: tuple[str, str] | None = None) -> None:
        self.file, self.value, self.where = file, value, where
        self.optional, self.otherwise = optional, otherwise

    @property
    def controller(self) -> str:
        """Which controller has the file; "cgroup" for those of the core."""
        return self.file.partition(".")[0]

    def __repr__(self) -> str:
        return f"{self.file}={self.value!r} ({self.where})"


def settings(resources: Resources) -> list[Setting]:
    """Everything to be written, in the order in which it must be.

    Raises ConfigError for what contradicts itself. Properties that only cgroup v1 has are not in the list:
    ignored() names them.
    """
    return [*_pids(resources), *_memory(resources.get("memory") or {}), *_io(resources.get("blockIO") or {}),
            *_cpu(resources.get("cpu") or {}), *_cpuset(resources.get("cpu") or {}), *_hugetlb(resources),
            *_rdma(resources), *_unified(resources)]


def of_memory(resources: Resources) -> list[Setting]:
    """Those among settings() that waits() may be true of, and some more."""
    return [*_memory(resources.get("memory") or {}), *_unified(resources)]


def waits(setting: Setting) -> bool:
    """Whether it is so little memory that it has to wait until the init has given the runtime's back."""
    return setting.file in MEMORY_LIMITS and 0 <= size(setting.value) < LITTLE


def size(text: str) -> int:
    """Bytes, as the kernel reads a limit of memory ("1048576", "1M"); -1 for what it does not take, and for "max"."""
    unit = text[-1:].upper()
    shift = {"K": 10, "M": 20, "G": 30}.get(unit, 0)
    digits = text[:-1] if shift else text
    return int(digits) << shift if digits.isascii() and digits.isdigit() and len(digits) <= MOST_DIGITS else -1


def controllers(wanted: list[Setting]) -> list[str]:
    """The controllers that the settings need, without repetition, in their order."""
    names: dict[str, None] = {}
    for setting in wanted:
        if not setting.optional and setting.controller != "cgroup":
            names[setting.controller] = None
    return list(names)


# ---- conversions ------------------------------------------------------------------------------------------------
def cpu_weight(shares: int) -> int:
    """cpu.shares (2..262144, default 1024) -> cpu.weight (1..10000, default 100); 0 stays 0, which is "unset".

    The quadratic through the logarithms that maps minimum, default and maximum onto each other. (The older linear
    formula gave a default container a weight of 39.)
    """
    if shares == 0:
        return 0
    if shares <= 2:
        return 1
    if shares >= 262144:
        return 10000
    from math import ceil, log2
    log = log2(shares)
    return ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34))


def io_weight(weight: int) -> int:
    """blockIO.weight (10..1000) -> io.weight (1..10000), linearly."""
    return 1 + (weight - 10) * 9999 // 990


def swap_only(swap: int, limit: int) -> int | None:
    """memory.swap, which counts memory and swap together, -> memory.swap.max, which counts swap alone.

    Both in bytes, -1 unlimited, 0 unset; so is the result, except that unset is None and 0 means no swap.
    """
    if swap == 0:
        return -1 if limit == -1 else None   # v1: lifting the memory limit lifts this one too
    if swap == -1 or limit == -1:
        return swap
    if limit == 0:
        raise ConfigError("unable to set swap limit without memory limit", f"{WHERE}.memory.swap")
    if swap < limit:
        raise ConfigError(f"memory+swap limit {swap} is below the memory limit {limit}", f"{WHERE}.memory.swap")
    return swap - limit


def _number(value: int) -> str:
    return UNLIMITED if value < 0 else str(value)


# ---- one function per controller --------------------------------------------------------------------------------
def _pids(resources: Resources) -> Iterator[Setting]:
    limit = (resources.get("pids") or {}).get("limit")
    if limit is not None:
        # The least that lets the container's own process be: systemd refuses a TasksMax of 0.
        yield Setting("pids.max", _number(limit) if limit else "1", f"{WHERE}.pids.limit", optional=limit < 0)


def _memory(memory: Memory) -> Iterator[Setting]:
    place = f"{WHERE}.memory"
    limit, swap, low = memory.get("limit") or 0, memory.get("swap") or 0, memory.get("reservation") or 0
    for name, value in (("limit", limit), ("swap", swap), ("reservation", low)):
        if value < -1:
            raise ConfigError(f"{value} is neither a size nor -1 for unlimited", f"{place}.{name}")
    extra = swap_only(swap, limit)
    if extra is not None:
        # Before memory.max, so that lowering both never leaves more than was asked for. A kernel without swap
        # has no such file, and needs none for "max" and "0".
        yield Setting("memory.swap.max", _number(extra), f"{place}.{'swap' if swap else 'limit'}", optional=extra <= 0)
    if limit:
        yield Setting("memory.max", _number(limit), f"{place}.limit", optional=limit < 0)
    if low:
        yield Setting("memory.low", _number(low), f"{place}.reservation")


def _io(block: BlockIO) -> Iterator[Setting]:
    place = f"{WHERE}.blockIO"
    weight = block.get("weight")
    if weight:
        _check_weight(weight, f"{place}.weight")
        yield Setting("io.bfq.weight", str(weight), f"{place}.weight",
                      otherwise=("io.weight", str(io_weight(weight))))
    for index, device in enumerate(block.get("weightDevice") or ()):
        weight = device.get("weight")
        if weight:
            where = f"{place}.weightDevice[{index}]"
            _check_weight(weight, f"{where}.weight")
            number = f"{device['major']}:{device['minor']}"
            yield Setting("io.bfq.weight", f"{number} {weight}", where,
                          otherwise=("io.weight", f"{number} {io_weight(weight)}"))
    yield from _throttle("rbps", block.get("throttleReadBpsDevice"), f"{place}.throttleReadBpsDevice")
    yield from _throttle("wbps", block.get("throttleWriteBpsDevice"), f"{place}.throttleWriteBpsDevice")
    yield from _throttle("riops", block.get("throttleReadIOPSDevice"), f"{place}.throttleReadIOPSDevice")
    yield from _throttle("wiops", block.get("throttleWriteIOPSDevice"), f"{place}.throttleWriteIOPSDevice")


def _throttle(name: str, limits: list[ThrottleDevice] | None, place: str) -> Iterator[Setting]:
    for index, limit in enumerate(limits or ()):
        rate = limit["rate"] or UNLIMITED        # v1: a rate of 0 removes the limit
        yield Setting("io.max", f"{limit['major']}:{limit['minor']} {name}={rate}", f"{place}[{index}]")


def _check_weight(weight: int, where: str) -> None:
    if not 10 <= weight <= 1000:
        raise ConfigError(f"weight {weight} is not in 10..1000", where)


def _cpu(cpu: CPU) -> Iterator[Setting]:
    place = f"{WHERE}.cpu"
    shares, quota, period = cpu.get("shares") or 0, cpu.get("quota") or 0, cpu.get("period") or 0
    idle, burst = cpu.get("idle"), cpu.get("burst")
    if idle is not None:
        if idle == 1 and shares:
            # The kernel answers EINVAL to a weight once the cgroup is idle.
            raise ConfigError("an idle cgroup has no shares: set one of the two, not both", f"{place}.idle")
        yield Setting("cpu.idle", str(idle), f"{place}.idle")
    if shares:
        yield Setting("cpu.weight", str(cpu_weight(shares)), f"{place}.shares")
    if burst is not None:
        if 0 < quota < burst:
            raise ConfigError(f"burst {burst} is above the quota {quota}", f"{place}.burst")
        yield Setting("cpu.max.burst", str(burst), f"{place}.burst")
    if quota or period:
        yield Setting("cpu.max", f"{quota if quota > 0 else UNLIMITED} {period or DEFAULT_PERIOD}",
                      f"{place}.{'quota' if quota else 'period'}", optional=quota <= 0)


def _cpuset(cpu: CPU) -> Iterator[Setting]:
    for name in ("cpus", "mems"):
        if numbers := str(cpu.get(name) or ""):
            yield Setting(f"cpuset.{name}", _short(numbers), f"{WHERE}.cpu.{name}")


def _short(numbers: str) -> str:
    """The kernel has room for each number once (kernel/cgroup/cpuset.c, max_write_len): more is E2BIG."""
    if len(numbers) < LONG_LIST:
        return numbers
    from ..config.numbers import format_numbers, parse_numbers
    return format_numbers(parse_numbers(numbers))


def _hugetlb(resources: Resources) -> Iterator[Setting]:
    for index, entry in enumerate(resources.get("hugepageLimits") or ()):
        size, where = entry["pageSize"], f"{WHERE}.hugepageLimits[{index}]"
        if not (size[:-2].isascii() and size[:-2].isdigit() and size[-2:] in SIZES):
            raise ConfigError(f'"{size}" is not a page size such as 64KB, 2MB or 1GB', f"{where}.pageSize")
        value = str(entry["limit"])
        yield Setting(f"hugetlb.{size}.max", value, where)
        # Reservations count since Linux 5.7: a process that reserved first is refused instead of killed.
        yield Setting(f"hugetlb.{size}.rsvd.max", value, where, optional=True)


def _rdma(resources: Resources) -> Iterator[Setting]:
    for device, limits in (resources.get("rdma") or {}).items():
        where = f'{WHERE}.rdma["{device}"]'
        if not device or device.split() != [device]:
            raise ConfigError("the name of a device must not contain white space", where)
        counts = (("hca_handle", limits.get("hcaHandles")), ("hca_object", limits.get("hcaObjects")))
        words = [f"{name}={count}" for name, count in counts if count is not None]
        if not words:
            raise ConfigError("neither hcaHandles nor hcaObjects is given", where)
        yield Setting("rdma.max", f"{device} {' '.join(words)}", where)


def _unified(resources: Resources) -> Iterator[Setting]:
    # config-linux.md#unified: "Configuration unknown to the runtime MUST still be written to the relevant file."
    for file, value in (resources.get("unified") or {}).items():
        where = f'{WHERE}.unified["{file}"]'
        controller, dot, parameter = file.partition(".")
        if "/" in file:
            raise ConfigError(f'"{file}" must be a file name (no slashes)', where)
        if not (controller and dot and parameter):
            raise ConfigError(f'"{file}" is not of the form controller.parameter', where)
        if file in NOT_SETTINGS:
            raise ConfigError(f"{file} is not a limit: it acts on the processes of the container", where)
        lines = [line for line in value.split("\n") if line.strip()]
        if not lines:
            raise ConfigError("must not be empty", where)     # the kernel would take it for 0
        for line in lines:
            yield Setting(file, line, where)


# ---- what cgroup v2 does not have -------------------------------------------------------------------------------
def check_convertible(resources: Resources) -> None:
    """ConfigError for the first value that only cgroup v1 can hold.

    config-linux.md#unified: "If the conversion is not possible the runtime MUST generate an error." crun does it, too,
    so engines do not send such values to a host with cgroup v2 unless their user asks for one.
    """
    for where, why in inconvertible(resources):
        raise ConfigError(why, where)


def inconvertible(resources: Resources) -> Iterator[tuple[str, str]]:
    """(JSON path, why) of every value that only cgroup v1 can hold; what means nothing there is left aside."""
    memory, cpu = resources.get("memory") or {}, resources.get("cpu") or {}
    if not _within(memory.get("kernel"), memory.get("limit")):
        yield f"{WHERE}.memory.kernel", "cgroup v2 counts kernel memory as memory, and has no limit of its own for it"
    if not _within(memory.get("kernelTCP"), memory.get("limit")):
        yield (f"{WHERE}.memory.kernelTCP",
               "cgroup v2 counts the buffers of TCP as memory, and has no limit of its own for them")
    if memory.get("swappiness") is not None:
        yield f"{WHERE}.memory.swappiness", "cgroup v2 has no swappiness of its own"
    if memory.get("disableOOMKiller"):
        yield f"{WHERE}.memory.disableOOMKiller", "cgroup v2 cannot disable the OOM killer"
    if memory.get("useHierarchy") is False:
        yield f"{WHERE}.memory.useHierarchy", "cgroup v2 is always hierarchical"
    if cpu.get("realtimeRuntime"):
        yield f"{WHERE}.cpu.realtimeRuntime", "cgroup v2 has no real-time bandwidth"
    if cpu.get("realtimePeriod"):
        yield f"{WHERE}.cpu.realtimePeriod", "cgroup v2 has no real-time bandwidth"
    block = resources.get("blockIO") or {}
    if block.get("leafWeight"):
        yield f"{WHERE}.blockIO.leafWeight", "cgroup v2 has no leaf weight"
    for index, device in enumerate(block.get("weightDevice") or ()):
        if device.get("leafWeight"):
            yield f"{WHERE}.blockIO.weightDevice[{index}].leafWeight", "cgroup v2 has no leaf weight"
    network = resources.get("network") or {}
    if network.get("classID"):
        yield f"{WHERE}.network.classID", "cgroup v2 has no net_cls controller"
    if network.get("priorities"):
        yield f"{WHERE}.network.priorities", "cgroup v2 has no net_prio controller"


def _within(part: int | None, limit: int | None) -> bool:
    """Whether a limit of a part of memory says nothing that memory.max does not: it is none, or not below that. 0 is
    none, too: Docker sends it with each update."""
    return part is None or part <= 0 or (limit is not None and 0 < limit <= part)
