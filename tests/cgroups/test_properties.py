"""Unit properties: from what is written into files, from device rules, from annotations."""
from __future__ import annotations

import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrunc.cgroups import devices_bpf, resources
from pyrunc.cgroups.systemd import properties
from pyrunc.config.types import DeviceRule, Resources
from pyrunc.errors import ConfigError

INFINITY = (1 << 64) - 1


def of(data: dict[str, typing.Any], version: int = 252) -> dict[str, tuple[str, typing.Any]]:
    return properties.of_settings(resources.settings(typing.cast(Resources, data)), version)


@pytest.mark.parametrize(("data", "expected"), [
    ({"memory": {"limit": 100, "swap": 150, "reservation": 50}},
     {"MemoryMax": ("t", 100), "MemorySwapMax": ("t", 50), "MemoryLow": ("t", 50)}),
    ({"memory": {"limit": -1}}, {"MemoryMax": ("t", INFINITY), "MemorySwapMax": ("t", INFINITY)}),
    ({"pids": {"limit": 5}}, {"TasksMax": ("t", 5)}),
    ({"pids": {"limit": 0}}, {"TasksMax": ("t", 1)}),
    ({"pids": {"limit": -1}}, {"TasksMax": ("t", INFINITY)}),
    ({"unified": {"pids.max": "0"}}, {"TasksMax": ("t", 1)}),
    ({"cpu": {"shares": 1024}}, {"CPUWeight": ("t", 100)}),
    ({"cpu": {"quota": 50000, "period": 100000}},
     {"CPUQuotaPeriodUSec": ("t", 100000), "CPUQuotaPerSecUSec": ("t", 500000)}),
    ({"cpu": {"quota": 12345, "period": 100000}},
     {"CPUQuotaPeriodUSec": ("t", 100000), "CPUQuotaPerSecUSec": ("t", 130000)}),
    ({"cpu": {"quota": -1}}, {"CPUQuotaPeriodUSec": ("t", 100000), "CPUQuotaPerSecUSec": ("t", INFINITY)}),
    ({"cpu": {"cpus": "0-2,9", "mems": "0"}},
     {"AllowedCPUs": ("ay", b"\x07\x02"), "AllowedMemoryNodes": ("ay", b"\1")}),
    ({"unified": {"memory.high": "max", "memory.min": "5", "cpu.weight": "7", "cpu.max": "max", "io.max": "8:0 r=1"}},
     {"MemoryHigh": ("t", INFINITY), "MemoryMin": ("t", 5), "CPUWeight": ("t", 7), "CPUQuotaPeriodUSec": ("t", 100000),
      "CPUQuotaPerSecUSec": ("t", INFINITY)}),
    ({"memory": {"limit": 100}, "unified": {"memory.max": " 7 "}}, {"MemoryMax": ("t", 7)}),
    ({"cpu": {"idle": 1}}, {"CPUWeight": ("t", 0)}),
    ({"cpu": {"idle": 0}}, {}),
    ({"blockIO": {"weight": 100}}, {}),
])
def test_of_settings(data: dict[str, typing.Any], expected: dict[str, typing.Any]) -> None:
    assert of(data) == expected


def test_what_needs_a_newer_systemd() -> None:
    assert of({"cpu": {"idle": 1}}, 251) == {} and of({"unified": {"memory.oom.group": "1"}}, 252) == {}
    assert of({"unified": {"memory.oom.group": "1"}}, 253) == {"OOMPolicy": ("s", "kill")}
    assert of({"unified": {"memory.oom.group": "0"}}, 253) == {"OOMPolicy": ("s", "continue")}
    assert properties.needs_version(resources.settings({"cpu": {"idle": 1}}))
    assert not properties.needs_version(resources.settings({"cpu": {"shares": 5}, "memory": {"limit": 5}}))


@pytest.mark.parametrize("unified", [{"memory.max": "5M"}, {"pids.max": "-1"}, {"cpu.max": "1 0"}, {"cpu.max": "x 5"},
                                     {"cpuset.cpus": "3-1"}, {"cpuset.cpus": "a"}, {"cpuset.cpus": "99999"},
                                     {"cpu.weight": "\u0665"}])
def test_values_systemd_cannot_take(unified: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        of({"unified": unified})
    assert caught.value.where == f'linux.resources.unified["{next(iter(unified))}"]'


@given(st.integers(1, 10 ** 12), st.integers(1, 10 ** 6))
def test_quota_is_rounded_up_to_a_percent(quota: int, period: int) -> None:
    found = of({"cpu": {"quota": quota, "period": period}})["CPUQuotaPerSecUSec"][1]
    assert found % 10000 == 0 and (found - 10000) * period < quota * 1000000 <= found * period


@given(st.sets(st.integers(0, 300), min_size=1))
def test_bitmask(numbers: set[int]) -> None:
    mask = properties.bitmask(",".join(map(str, sorted(numbers))), "")
    assert {8 * index + bit for index, byte in enumerate(mask) for bit in range(8) if byte >> bit & 1} == numbers
    assert mask[-1]


# ---- devices --------------------------------------------------------------------------------------------------------
def of_devices(*rules: dict[str, typing.Any]) -> dict[str, typing.Any]:
    state = devices_bpf.exceptions(typing.cast(list[DeviceRule], list(rules)))
    return {name: value for name, (_, value) in properties.of_devices(state).items()}


def test_default_devices() -> None:
    found = of_devices()
    assert found["DevicePolicy"] == "strict"
    assert set(found["DeviceAllow"]) == {
        ("char-*", "m"), ("block-*", "m"), ("char-136", "rwm"), ("/dev/char/1:3", "rwm"), ("/dev/char/1:5", "rwm"),
        ("/dev/char/1:7", "rwm"), ("/dev/char/1:8", "rwm"), ("/dev/char/1:9", "rwm"), ("/dev/char/5:0", "rwm"),
        ("/dev/char/5:2", "rwm"), ("/dev/char/10:200", "rwm")}


def test_more_devices() -> None:
    found = of_devices({"allow": True, "type": "b", "major": 8, "access": "r"},
                       {"allow": True, "type": "b", "major": 9, "minor": 1, "access": "wr"})
    assert ("block-8", "r") in found["DeviceAllow"] and ("/dev/block/9:1", "rw") in found["DeviceAllow"]


@pytest.mark.parametrize("rules", [
    [{"allow": True, "access": "rwm"}],
    [{"allow": True, "access": "rwm"}, {"allow": False, "type": "c", "major": 1, "minor": 1, "access": "r"}],
    [{"allow": True, "type": "c", "minor": 5, "access": "r"}]])
def test_what_systemd_cannot_say_it_does_not(rules: list[dict[str, typing.Any]]) -> None:
    assert of_devices(*rules) == {"DevicePolicy": "auto", "DeviceAllow": []}


# ---- annotations ----------------------------------------------------------------------------------------------------
def of_annotation(name: str, text: str) -> dict[str, typing.Any]:
    return dict(properties.of_annotations({f"org.systemd.property.{name}": text, "other": "x"}))


@pytest.mark.parametrize(("name", "text", "expected"), [
    ("TimeoutStopUSec", "uint64 123456789", {"TimeoutStopUSec": ("t", 123456789)}),
    ("TimeoutStopSec", "5", {"TimeoutStopUSec": ("t", 5000000)}),
    ("TimeoutStopSec", "1.25", {"TimeoutStopUSec": ("t", 1250000)}),
    ("RuntimeMaxSec", "double 0.5", {"RuntimeMaxUSec": ("t", 500000)}),
    ("CollectMode", "'inactive-or-failed'", {"CollectMode": ("s", "inactive-or-failed")}),
    ("CollectMode", '"inactive"', {"CollectMode": ("s", "inactive")}),
    ("Documentation", "['man:a(1)', \"it\\'s\"]", {"Documentation": ("as", ["man:a(1)", "it's"])}),
    ("After", "@as []", {"After": ("as", [])}),
    ("After", "[ 'a.service' , 'b.service' ]", {"After": ("as", ["a.service", "b.service"])}),
    ("KillSignal", "15", {"KillSignal": ("i", 15)}),
    ("SendSIGHUP", "true", {"SendSIGHUP": ("b", True)}),
    ("DefaultDependencies", "boolean false", {"DefaultDependencies": ("b", False)}),
    ("ManagedOOMMemoryPressureLimit", "uint32 4294967295", {"ManagedOOMMemoryPressureLimit": ("u", 4294967295)}),
])
def test_annotations(name: str, text: str, expected: dict[str, typing.Any]) -> None:
    assert of_annotation(name, text) == expected


# CVE-2024-3154: a pod's annotation set any property of the unit, commands included.
@pytest.mark.parametrize("name", ["ExecStart", "ExecStop", "ExecStartPre", "Slice", "Delegate", "PIDs", "Controller",
                                  "DevicePolicy", "DeviceAllow", "BPFProgram", "SuccessAction", "FailureAction",
                                  "Wants", "Requires", "Conflicts", "OnFailure", "Description", "User", "",
                                  "timeoutstopusec", "TimeoutStopUSec ", "USec", "Sec", "KillSignalSec"])
def test_other_properties_are_refused(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        of_annotation(name, "'x'")
    assert caught.value.where == f'annotations["org.systemd.property.{name}"]'
    assert "is not a property that an annotation may set" in caught.value.what


@pytest.mark.parametrize(("name", "text"), [
    ("TimeoutStopUSec", "'5'"), ("TimeoutStopUSec", "-5"), ("TimeoutStopUSec", "18446744073709551616"),
    ("TimeoutStopUSec", "1.5"), ("TimeoutStopSec", "1.5.5"), ("TimeoutStopSec", "."),
    ("TimeoutStopSec", "18446744073710"), ("KillSignal", "2147483648"), ("KillSignal", "true"), ("KillSignal", ""),
    ("KillSignal", "0x5"), ("KillSignal", "1_0"),
    *[(name, "9" * 5000) for name in ("KillSignal", "TimeoutStopSec", "MemoryMax")],
    ("SendSIGHUP", "1"), ("SendSIGHUP", "True"), ("CollectMode", "inactive"), ("CollectMode", "'a' 'b'"),
    ("CollectMode", "'a"), ("CollectMode", "'\\x'"), ("After", "'a'"), ("After", "['a' 'b']"), ("After", "['a', 5]"),
    ("After", "[['a']]"), ("After", "['a'")])
def test_values_of_the_wrong_type(name: str, text: str) -> None:
    with pytest.raises(ConfigError, match="is not a value of type"):
        of_annotation(name, text)


@given(st.text(max_size=12), st.sampled_from(sorted(properties.FROM_ANNOTATIONS)))
def test_any_text_is_a_value_or_refused(text: str, name: str) -> None:
    try:
        ((kind, value),) = of_annotation(name, text).values()
    except ConfigError:
        return
    assert type(value) is {"b": bool, "i": int, "u": int, "t": int, "s": str, "as": list}[kind]
