"""What is asked of systemd for a container's unit: resources and annotations as unit properties. Pure.

systemd is told what it has a property for (systemd.resource-control(5)), or else a daemon-reload would set the
files back to what it knows; everything is written into the files besides. systemd 245 or newer is assumed; what
needs a later one says so.
"""
from __future__ import annotations

from ...config.numbers import parse_numbers
from ...config.where import quoted
from ...errors import ConfigError
from ..devices_bpf import ALL, ANY, BLOCK, CHAR, LETTERS, Exceptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ..resources import Setting

    #: name -> (D-Bus signature, value)
    Properties = dict[str, tuple[str, Any]]

INFINITY = (1 << 64) - 1
MOST_DIGITS = len(str(INFINITY))
NUMBERS = {"memory.max": "MemoryMax", "memory.low": "MemoryLow", "memory.high": "MemoryHigh",
           "memory.min": "MemoryMin", "memory.swap.max": "MemorySwapMax", "pids.max": "TasksMax"}
SETS = {"cpuset.cpus": "AllowedCPUs", "cpuset.mems": "AllowedMemoryNodes"}
IDLE_VERSION, OOM_POLICY_VERSION = 252, 253
PREFIX = "org.systemd.property."

#: Properties that an annotation may set, and their types: how the unit is stopped, ordered, collected and accounted.
#: Not among them is what runs a program, starts or stops other units, reboots, or takes the cgroup from us.
FROM_ANNOTATIONS = {
    "TimeoutStopUSec": "t", "RuntimeMaxUSec": "t", "CollectMode": "s", "Documentation": "as",
    "After": "as", "Before": "as", "PartOf": "as", "OOMPolicy": "s", "DefaultDependencies": "b",
    "KillMode": "s", "KillSignal": "i", "RestartKillSignal": "i", "FinalKillSignal": "i", "WatchdogSignal": "i",
    "SendSIGHUP": "b", "SendSIGKILL": "b", "IgnoreOnIsolate": "b",
    "CPUAccounting": "b", "CPUWeight": "t", "StartupCPUWeight": "t", "IOAccounting": "b", "IOWeight": "t",
    "StartupIOWeight": "t", "MemoryAccounting": "b", "MemoryMin": "t", "MemoryLow": "t", "MemoryHigh": "t",
    "MemoryMax": "t", "MemorySwapMax": "t", "TasksAccounting": "b", "TasksMax": "t", "IPAccounting": "b",
    "ManagedOOMSwap": "s", "ManagedOOMMemoryPressure": "s", "ManagedOOMMemoryPressureLimit": "u",
    "ManagedOOMPreference": "s"}


# ---- resources ----------------------------------------------------------------------------------------------------
def of_settings(settings: list[Setting], version: int) -> Properties:
    """The properties for what is written into the cgroup's files; later settings of one file win, as there.

    version   of the running systemd; 0 when none of the settings depends on it (needs_version)
    """
    found: Properties = {}
    for setting in settings:
        file, value = setting.file, setting.value.strip()
        if file in NUMBERS:
            found[NUMBERS[file]] = "t", max(1, _number(value, setting.where)) if file == "pids.max" else \
                _number(value, setting.where)
        elif file == "cpu.weight":
            found["CPUWeight"] = "t", _number(value, setting.where)
        elif file == "cpu.idle" and value == "1" and version >= IDLE_VERSION:
            found["CPUWeight"] = "t", 0
        elif file == "cpu.max":
            found.update(_cpu_max(value, setting.where))
        elif file in SETS:
            found[SETS[file]] = "ay", bitmask(value, setting.where)
        elif file == "memory.oom.group" and version >= OOM_POLICY_VERSION:
            found["OOMPolicy"] = "s", "kill" if value == "1" else "continue"
    return found


def needs_version(settings: list[Setting]) -> bool:
    """Whether of_settings() depends on systemd's version."""
    return any(setting.file in ("cpu.idle", "memory.oom.group") for setting in settings)


def _number(value: str, where: str) -> int:
    if value == "max":
        return INFINITY
    if not (value.isascii() and value.isdigit() and len(value) <= MOST_DIGITS):
        raise ConfigError(f"{quoted(value)} is not a number", where)
    return int(value)


def _cpu_max(value: str, where: str) -> Properties:
    quota, *rest = value.split()
    period = _number(rest[0], where) if rest else 100000
    if not period:
        raise ConfigError("the period must not be 0", where)
    if quota == "max":
        per_second = INFINITY
    else:
        # systemd keeps whole percents: rounded up, so that the children's quotas still fit.
        per_second = -(-_number(quota, where) * 1000000 // period)
        per_second = -(-per_second // 10000) * 10000
    return {"CPUQuotaPeriodUSec": ("t", period), "CPUQuotaPerSecUSec": ("t", per_second)}


def bitmask(text: str, where: str) -> bytes:
    """A list of cpuset's ("0-2,5") as systemd takes it: one bit each, lowest byte first."""
    try:
        bits = sum(1 << number for number in parse_numbers(text))
    except ValueError as fault:
        raise ConfigError(str(fault), where) from None
    return bits.to_bytes((bits.bit_length() + 7) // 8, "little")


def of_devices(state: Exceptions) -> Properties:
    """DevicePolicy and DeviceAllow, beside our own program: a process needs the consent of both.

    Where systemd cannot say the same (a default of allow, a minor number of any major), it is told to keep out.
    """
    entries: list[tuple[str, str]] = []
    for (kind, major, minor), access in sorted(state.rules.items()):
        if major == ANY and minor != ANY:
            entries = []
            break
        group, folder = {CHAR: ("char", "/dev/char"), BLOCK: ("block", "/dev/block")}[kind]
        path = f"{folder}/{major}:{minor}" if minor != ANY else f"{group}-{'*' if major == ANY else major}"
        entries.append((path, "".join(letter for letter in "rwm" if access & ALL & LETTERS[letter])))
    if state.allow or not entries:
        return {"DevicePolicy": ("s", "auto"), "DeviceAllow": ("a(ss)", [])}
    return {"DevicePolicy": ("s", "strict"), "DeviceAllow": ("a(ss)", entries)}


# ---- annotations --------------------------------------------------------------------------------------------------
def of_annotations(annotations: Mapping[str, str]) -> Properties:
    """org.systemd.property.NAME = a value in GVariant's text format. Raises ConfigError for others than the list's."""
    found: Properties = {}
    for key, text in annotations.items():
        if key.startswith(PREFIX):
            where = f'annotations["{key}"]'
            name = key[len(PREFIX):]
            seconds = name.endswith("Sec") and name[:-3] + "USec" in FROM_ANNOTATIONS
            if seconds:
                name = name[:-3] + "USec"
            if name not in FROM_ANNOTATIONS:
                raise ConfigError(f'"{name}" is not a property that an annotation may set', where)
            kind = FROM_ANNOTATIONS[name]
            found[name] = kind, value_of(text, kind, where, seconds)
    return found


def value_of(text: str, kind: str, where: str, seconds: bool = False) -> Any:
    """A value in GVariant's text format, as the type that the property has; with seconds, given in those.

    A leading type ("uint64 5") is accepted when there is one, and does not change the property's.
    """
    words = text.strip().split(None, 1)
    if len(words) == 2 and (words[0] in ("byte", "int16", "uint16", "int32", "uint32", "handle", "int64", "uint64",
                                         "double", "string", "boolean") or words[0].startswith("@")):
        text = words[1]
    text = text.strip()
    if kind == "b" and text in ("true", "false"):
        return text == "true"
    if kind in "iut":
        digits = text.replace(".", "", 1) if seconds else text.removeprefix("-") if kind == "i" else text
        if digits.isascii() and digits.isdigit() and len(digits) <= 2 * MOST_DIGITS:
            number = _microseconds(text) if seconds else int(text)
            if -(1 << 31) <= number < 1 << {"i": 31, "u": 32, "t": 64}[kind]:
                return number
    if kind == "s":
        value, rest = _string(text)
        if value is not None and not rest:
            return value
    if kind == "as" and text[:1] == "[" and text[-1:] == "]":
        values, rest = [], text[1:-1].strip()
        while rest:
            value, rest = _string(rest)
            if value is None or rest[:1] not in ("", ","):
                break
            values.append(value)
            rest = rest[1:].strip()
        else:
            return values
    raise ConfigError(f"{quoted(text)} is not a value of type {kind}", where)


def _microseconds(text: str) -> int:
    whole, _, part = text.partition(".")
    return int(whole or 0) * 1000000 + int((part + "000000")[:6])


def _string(text: str) -> tuple[str | None, str]:
    """A quoted string at the start: its value (None when there is none), and what follows it."""
    quote = text[:1]
    if quote not in ("'", '"') or not quote:
        return None, text
    value = ""
    at = 1
    while at < len(text):
        letter = text[at]
        if letter == quote:
            return value, text[at + 1:].strip()
        if letter == "\\":
            at += 1
            escaped = text[at:at + 1]
            if escaped not in ("\\", "'", '"', "n", "t"):
                return None, text
            letter = {"n": "\n", "t": "\t"}.get(escaped, escaped)
        value += letter
        at += 1
    return None, text
