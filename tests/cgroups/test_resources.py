"""linux.resources -> writes: the formulas against their own definitions, the order, and what is refused."""
from __future__ import annotations

import math
import typing
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrunc.cgroups import resources
from pyrunc.config.types import Resources
from pyrunc.errors import ConfigError


def written(data: dict[str, typing.Any]) -> list[tuple[str, str]]:
    """What settings() says, as (file, value)."""
    return [(s.file, s.value) for s in resources.settings(typing.cast(Resources, data))]


def refused(data: dict[str, typing.Any]) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        written(data)
    return caught.value


# ---- cpu --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("shares", "weight"), [
    (1, 1), (2, 1), (3, 2), (102, 17), (512, 59), (1023, 100), (1024, 100), (1025, 101), (2048, 174),
    (262143, 10000), (262144, 10000), (10 ** 9, 10000),
])
def test_cpu_weight_table(shares: int, weight: int) -> None:
    assert written({"cpu": {"shares": shares}}) == [("cpu.weight", str(weight))]


@pytest.mark.spec("config-linux.md#cpu", "shares")
def test_cpu_weight_is_its_definition_for_every_value() -> None:
    """ceil(10^((l^2 + 125 l)/612 - 7/34)), l = log2(shares), checked without the same floating point: w is the weight
    when 10^e(s) is above w-1 and not above w, by the exponents, with a tolerance for the one exact case (1024)."""
    previous = 1
    for shares in range(3, 262144):
        weight = resources.cpu_weight(shares)
        log = math.log2(shares)
        exponent = (log * log + 125 * log) / 612 - 7 / 34
        assert math.log10(weight - 1) < exponent <= math.log10(weight) + 1e-12, shares
        assert weight >= previous
        previous = weight


def test_cpu_weight_keeps_minimum_default_and_maximum() -> None:
    assert [resources.cpu_weight(s) for s in (2, 1024, 262144)] == [1, 100, 10000]


@pytest.mark.parametrize(("cpu", "expected"), [
    ({"quota": 50000, "period": 100000}, [("cpu.max", "50000 100000")]),
    ({"quota": 50000}, [("cpu.max", "50000 100000")]),
    ({"period": 20000}, [("cpu.max", "max 20000")]),
    ({"quota": -1}, [("cpu.max", "max 100000")]),
    ({"quota": -1, "period": 50000}, [("cpu.max", "max 50000")]),
    ({"quota": 0, "period": 0}, []),
    ({"shares": 0}, []),
    ({}, []),
    ({"quota": 2000, "burst": 1000}, [("cpu.max.burst", "1000"), ("cpu.max", "2000 100000")]),
    ({"burst": 0}, [("cpu.max.burst", "0")]),
    ({"idle": 1}, [("cpu.idle", "1")]),
    ({"idle": 0, "shares": 1024}, [("cpu.idle", "0"), ("cpu.weight", "100")]),
    ({"cpus": "0-1", "mems": "0"}, [("cpuset.cpus", "0-1"), ("cpuset.mems", "0")]),
    ({"cpus": "", "mems": ""}, []),
])
def test_cpu(cpu: dict[str, typing.Any], expected: list[tuple[str, str]]) -> None:
    assert written({"cpu": cpu}) == expected


def test_an_idle_cgroup_has_no_weight() -> None:
    assert refused({"cpu": {"idle": 1, "shares": 512}}).where == "linux.resources.cpu.idle"


# config-linux.md#cpu: burst: "If specified, this value MUST be no larger than any positive quota (runtimes MAY
# generate an error)."
@pytest.mark.spec("config-linux.md#cpu", "quota is not smaller than burst", "burst is not larger than a positive quota")
def test_burst_above_quota_is_refused() -> None:
    assert refused({"cpu": {"quota": 1000, "burst": 1001}}).where == "linux.resources.cpu.burst"
    assert written({"cpu": {"quota": -1, "burst": 1001}})[0] == ("cpu.max.burst", "1001")


# ---- memory -----------------------------------------------------------------------------------------------------
MIB = 1 << 20


@pytest.mark.parametrize(("memory", "expected"), [
    ({"limit": 64 * MIB}, [("memory.max", str(64 * MIB))]),
    ({"limit": -1}, [("memory.swap.max", "max"), ("memory.max", "max")]),
    ({"limit": 0}, []),
    ({"limit": 64 * MIB, "swap": 96 * MIB}, [("memory.swap.max", str(32 * MIB)), ("memory.max", str(64 * MIB))]),
    ({"limit": 64 * MIB, "swap": 64 * MIB}, [("memory.swap.max", "0"), ("memory.max", str(64 * MIB))]),
    ({"limit": 64 * MIB, "swap": -1}, [("memory.swap.max", "max"), ("memory.max", str(64 * MIB))]),
    ({"limit": -1, "swap": 64 * MIB}, [("memory.swap.max", str(64 * MIB)), ("memory.max", "max")]),
    ({"swap": -1}, [("memory.swap.max", "max")]),
    ({"swap": 0}, []),
    ({"reservation": 32 * MIB}, [("memory.low", str(32 * MIB))]),
    ({"reservation": -1}, [("memory.low", "max")]),
    ({"reservation": 0}, []),
    ({"limit": 64 * MIB, "reservation": 32 * MIB}, [("memory.max", str(64 * MIB)), ("memory.low", str(32 * MIB))]),
])
def test_memory(memory: dict[str, int], expected: list[tuple[str, str]]) -> None:
    assert written({"memory": memory}) == expected


@pytest.mark.parametrize(("memory", "where", "text"), [
    ({"swap": 64 * MIB}, "swap", "unable to set swap limit without memory limit"),
    ({"swap": 64 * MIB, "limit": 0}, "swap", "unable to set swap limit without memory limit"),
    ({"swap": MIB, "limit": 2 * MIB}, "swap", "is below the memory limit"),
    ({"limit": -2}, "limit", "-2 is neither a size nor -1"),
    ({"limit": -2, "swap": 5}, "limit", "-2 is neither a size nor -1"),
    ({"limit": MIB, "swap": -2}, "swap", "-2 is neither"),
    ({"reservation": -7}, "reservation", "-7 is neither"),
])
def test_memory_refused(memory: dict[str, int], where: str, text: str) -> None:
    fault = refused({"memory": memory})
    assert fault.where == f"linux.resources.memory.{where}" and text in fault.what


@pytest.mark.spec("config-linux.md#memory", "swap")
@given(st.integers(-1, 1 << 40), st.integers(-1, 1 << 41))
def test_swap_is_what_is_left_above_memory(limit: int, swap: int) -> None:
    try:
        only = resources.swap_only(swap, limit)
    except ConfigError:
        assert swap > 0 and (limit == 0 or swap < limit)
        return
    if swap > 0 and limit > 0:
        assert only is not None and only >= 0 and only + limit == swap
    elif swap == 0:
        assert only == (-1 if limit == -1 else None)
    else:
        assert only == swap


def test_swap_is_forgiven_only_where_none_is_the_same() -> None:
    def optional(memory: dict[str, int]) -> bool:
        return resources.settings(typing.cast(Resources, {"memory": memory}))[0].optional
    assert optional({"limit": MIB, "swap": MIB}) and optional({"limit": MIB, "swap": -1})
    assert not optional({"limit": MIB, "swap": 2 * MIB})


# ---- pids -------------------------------------------------------------------------------------------------------
@pytest.mark.spec("config-linux.md#pids", "0 is a limit")
@pytest.mark.parametrize(("limit", "value"), [(5, "5"), (1, "1"), (0, "1"), (-1, "max"), (-7, "max")])
def test_pids(limit: int, value: str) -> None:
    assert written({"pids": {"limit": limit}}) == [("pids.max", value)]


def test_pids_untouched() -> None:
    assert written({"pids": {}}) == []


# ---- block io ---------------------------------------------------------------------------------------------------
@given(st.integers(10, 1000))
def test_io_weight_is_the_linear_map(weight: int) -> None:
    exact = 1 + Fraction((weight - 10) * 9999, 990)
    assert resources.io_weight(weight) == math.floor(exact) and 1 <= resources.io_weight(weight) <= 10000


def test_io_weight_prefers_bfq() -> None:
    setting, device = resources.settings(typing.cast(Resources, {"blockIO": {
        "weight": 500, "weightDevice": [{"major": 8, "minor": 16, "weight": 1000}]}}))
    assert (setting.file, setting.value, setting.otherwise) == ("io.bfq.weight", "500", ("io.weight", "4950"))
    assert (device.file, device.value, device.otherwise) == ("io.bfq.weight", "8:16 1000", ("io.weight", "8:16 10000"))
    assert device.where == "linux.resources.blockIO.weightDevice[0]"


def test_io_max_one_write_per_item() -> None:
    device = {"major": 8, "minor": 0, "rate": 600}
    assert written({"blockIO": {"throttleReadBpsDevice": [device], "throttleWriteBpsDevice": [device],
                                "throttleReadIOPSDevice": [device, {**device, "minor": 1}],
                                "throttleWriteIOPSDevice": [{**device, "rate": 0}]}}) == [
        ("io.max", "8:0 rbps=600"), ("io.max", "8:0 wbps=600"), ("io.max", "8:0 riops=600"),
        ("io.max", "8:1 riops=600"), ("io.max", "8:0 wiops=max")]


@pytest.mark.parametrize("weight", [1, 9, 1001, 65535])
def test_io_weight_out_of_range(weight: int) -> None:
    assert refused({"blockIO": {"weight": weight}}).where == "linux.resources.blockIO.weight"
    assert refused({"blockIO": {"weightDevice": [{"major": 1, "minor": 1, "weight": weight}]}}).where == \
        "linux.resources.blockIO.weightDevice[0].weight"


def test_io_weight_zero_is_unset() -> None:
    assert written({"blockIO": {"weight": 0, "weightDevice": [{"major": 8, "minor": 0, "leafWeight": 10}]}}) == []


# ---- huge pages, rdma -------------------------------------------------------------------------------------------
def test_hugetlb_limits_use_and_reservation() -> None:
    data = {"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]}
    use, reserved = resources.settings(typing.cast(Resources, data))
    assert (use.file, use.value, use.optional) == ("hugetlb.2MB.max", "4194304", False)
    assert (reserved.file, reserved.value, reserved.optional) == ("hugetlb.2MB.rsvd.max", "4194304", True)


# config-linux.md#huge-page-limits: "The value has the format <size><unit-prefix>B (64KB, 2MB, 1GB), and must match"
@pytest.mark.parametrize("size", ["", "2", "MB", "2M", "2mb", "2 MB", "../x", "2MB/../../x", "2MB\n", "٢MB", "-2MB",
                                  "2PB"])
def test_hugetlb_sizes_refused(size: str) -> None:
    fault = refused({"hugepageLimits": [{"pageSize": "1GB", "limit": 0}, {"pageSize": size, "limit": 1}]})
    assert fault.where == "linux.resources.hugepageLimits[1].pageSize"


def test_rdma() -> None:
    assert written({"rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}, "mlx4_0": {"hcaObjects": 0}}}) == [
        ("rdma.max", "mlx5_1 hca_handle=3 hca_object=10000"), ("rdma.max", "mlx4_0 hca_object=0")]


# config-linux.md#rdma: "You MUST specify at least one of the hcaHandles or hcaObjects in a given entry"
@pytest.mark.spec("config-linux.md#rdma", "an entry has one of the limits")
@pytest.mark.parametrize("rdma", [{"mlx": {}}, {"a b": {"hcaHandles": 1}}, {"": {"hcaHandles": 1}},
                                  {"a\nb": {"hcaHandles": 1}}])
def test_rdma_refused(rdma: dict[str, dict[str, int]]) -> None:
    assert refused({"rdma": rdma}).where.startswith("linux.resources.rdma[")


# ---- unified ----------------------------------------------------------------------------------------------------
# config-linux.md#unified: "Configuration unknown to the runtime MUST still be written to the relevant file."
@pytest.mark.spec("config-linux.md#unified", "unknown files are written, too")
def test_unified_comes_last_in_its_order_line_by_line() -> None:
    assert written({"unified": {"memory.high": "1073741824", "io.max": "259:0 rbps=2097152 wiops=120\n253:0 rbps=1\n",
                                "future.knob": "on", "cgroup.max.depth": "3"},
                    "pids": {"limit": 3}, "cpu": {"shares": 2}}) == [
        ("pids.max", "3"), ("cpu.weight", "1"), ("memory.high", "1073741824"),
        ("io.max", "259:0 rbps=2097152 wiops=120"), ("io.max", "253:0 rbps=1"), ("future.knob", "on"),
        ("cgroup.max.depth", "3")]


# GHSA-5g49-rx9x-qfc6: a key with slashes reached other cgroups' files.
@pytest.mark.parametrize("key", ["../x/cgroup.procs", "a/b.c", "/memory.max", "memory", "memory.", ".max", "",
                                 "cgroup.procs", "cgroup.threads", "cgroup.kill", "cgroup.freeze", "cgroup.type"])
def test_unified_keys_refused(key: str) -> None:
    assert refused({"unified": {key: "1"}}).where == f'linux.resources.unified["{key}"]'


@pytest.mark.parametrize("value", ["", "\n", "  \n "])
def test_unified_without_a_value(value: str) -> None:
    assert "must not be empty" in refused({"unified": {"memory.max": value}}).what


# ---- the whole --------------------------------------------------------------------------------------------------
FULL = {
    "pids": {"limit": 7}, "memory": {"limit": MIB, "swap": 2 * MIB, "reservation": MIB},
    "blockIO": {"weight": 100}, "cpu": {"shares": 512, "quota": 1000, "burst": 10, "cpus": "0"},
    "hugepageLimits": [{"pageSize": "2MB", "limit": 0}], "rdma": {"d": {"hcaHandles": 1}},
    "unified": {"misc.max": "x 1"},
}


def test_order_of_the_whole() -> None:
    assert [file for file, _ in written(FULL)] == [
        "pids.max", "memory.swap.max", "memory.max", "memory.low", "io.bfq.weight", "cpu.weight", "cpu.max.burst",
        "cpu.max", "cpuset.cpus", "hugetlb.2MB.max", "hugetlb.2MB.rsvd.max", "rdma.max", "misc.max"]


def test_controllers_of_the_whole() -> None:
    assert resources.controllers(resources.settings(typing.cast(Resources, FULL))) == [
        "pids", "memory", "io", "cpu", "cpuset", "hugetlb", "rdma", "misc"]


def test_no_limit_needs_no_controller() -> None:
    data = {"pids": {"limit": -1}, "memory": {"limit": -1}, "cpu": {"quota": -1}, "unified": {"cgroup.max.depth": "1"}}
    assert resources.controllers(resources.settings(typing.cast(Resources, data))) == []


def test_every_setting_names_its_property() -> None:
    for setting in resources.settings(typing.cast(Resources, FULL)):
        assert setting.where.startswith("linux.resources.")


def test_empty_is_nothing() -> None:
    assert written({}) == []
    assert written(dict.fromkeys(FULL)) == []


@pytest.mark.spec("config-linux.md#block-io", "leafWeight", "weightDevice.leafWeight")
@pytest.mark.spec("config-linux.md#unified", "what cannot be converted from cgroup v1 is an error")
def test_v1_only_properties_are_named() -> None:
    data: dict[str, typing.Any] = {
        "memory": {"kernel": 1, "kernelTCP": 1, "swappiness": 60, "disableOOMKiller": True, "useHierarchy": False},
        "cpu": {"realtimeRuntime": 1, "realtimePeriod": 1},
        "blockIO": {"leafWeight": 10, "weightDevice": [{"major": 1, "minor": 1, "leafWeight": 10}]},
        "network": {"classID": 1, "priorities": [{"name": "lo", "priority": 1}]}}
    wanted = typing.cast(Resources, data)
    assert [where.removeprefix("linux.resources.") for where, _ in resources.inconvertible(wanted)] == [
        "memory.kernel", "memory.kernelTCP", "memory.swappiness", "memory.disableOOMKiller", "memory.useHierarchy",
        "cpu.realtimeRuntime", "cpu.realtimePeriod", "blockIO.leafWeight", "blockIO.weightDevice[0].leafWeight",
        "network.classID", "network.priorities"]
    for where in ("memory.kernel", "network.priorities"):
        with pytest.raises(ConfigError, match="cgroup v2 "):
            name, key = where.split(".")
            resources.check_convertible(typing.cast(Resources, {name: {key: data[name][key]}}))


def test_what_engines_send_to_mean_nothing_is_no_error() -> None:
    data = {"memory": {"disableOOMKiller": False, "useHierarchy": True}, "cpu": {"realtimePeriod": 0},
            "blockIO": {"leafWeight": 0}, "network": {"classID": 0, "priorities": []}}
    resources.check_convertible(typing.cast(Resources, data))


@pytest.mark.parametrize(("memory", "refused"), [
    ({"kernel": -1, "kernelTCP": -1}, []),
    ({"limit": 100, "kernel": 0, "kernelTCP": 0}, []), ({"limit": 100, "kernel": 100, "kernelTCP": 200}, []),
    ({"limit": 100, "kernel": 99}, ["kernel"]), ({"limit": -1, "kernelTCP": 99}, ["kernelTCP"])])
def test_a_part_of_memory_has_the_limit_of_memory(memory: dict[str, int], refused: list[str]) -> None:
    found = resources.inconvertible(typing.cast(Resources, {"memory": memory}))
    assert [where.rpartition(".")[2] for where, _ in found] == refused
