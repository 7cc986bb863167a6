"""config-linux.md: what it demands of the linux object itself."""
from __future__ import annotations

from typing import Any

import pytest

from pyrunc.config.rules.sysctl import path
from tests.bundles import docker_like, minimal, namespaces
from tests.config.test_check import first
from tests.config.test_config_md import MAP, refused


def linux(**members: Any) -> dict[str, Any]:
    return docker_like(linux=members)


# config-linux.md#namespaces: "If a namespaces field contains duplicated namespaces with same type, the runtime MUST
# generate an error."
@pytest.mark.spec("config-linux.md#namespaces", "a type that stands twice is an error")
@pytest.mark.spec("config-linux.md#namespaces", "namespaces")
def test_a_namespace_type_stands_once() -> None:
    refused(linux(namespaces=[*namespaces("mount", "uts"), {"type": "uts", "path": "/proc/1/ns/uts"}]),
            "linux.namespaces[2].type", 'duplicated ns "uts"')


# config-linux.md#namespaces: "path (string, OPTIONAL) - namespace file. This value MUST be an absolute path in the
# runtime mount namespace."
@pytest.mark.spec("config-linux.md#namespaces", "path is absolute")
@pytest.mark.spec("config-linux.md#namespaces", "path")
def test_a_namespace_file_is_absolute() -> None:
    entry = {"type": "network"}
    assert first(minimal(linux={"namespaces": [{**entry, "path": "/run/netns/a"}]})) is None
    assert first(minimal(linux={"namespaces": [{**entry, "path": ""}]})) is None       # as runc: a new one
    refused(minimal(linux={"namespaces": [{**entry, "path": "run/netns/a"}]}), "linux.namespaces[0].path",
            "not an absolute")


@pytest.mark.spec("config-linux.md#user-namespace-mappings", "uidMappings")
@pytest.mark.spec("config-linux.md#user-namespace-mappings", "gidMappings")
def test_mappings_and_the_user_namespace_go_together() -> None:
    spaces = namespaces("user", "mount", "uts")
    assert first(linux(namespaces=spaces, uidMappings=MAP, gidMappings=MAP)) is None
    joined = [*namespaces("mount", "uts"), {"type": "user", "path": "/proc/1/ns/user"}]
    assert first(linux(namespaces=joined)) is None
    refused(linux(namespaces=spaces), "linux.uidMappings", "no namespace path to join nor mappings")
    refused(linux(namespaces=spaces, gidMappings=MAP), "linux.uidMappings", "no uid mappings found")
    refused(linux(gidMappings=MAP), "linux.gidMappings", "user namespace isn't enabled")


# user_namespaces(7): "The range of user IDs (group IDs) specified in each line cannot overlap with the ranges in any
# other lines."
@pytest.mark.spec("config-linux.md#user-namespace-mappings", "size")
def test_mappings_do_not_overlap() -> None:
    def mapped(*runs: tuple[int, int, int]) -> dict[str, Any]:
        mappings = [{"containerID": inside, "hostID": outside, "size": size} for inside, outside, size in runs]
        return linux(namespaces=namespaces("user", "mount", "uts"), uidMappings=mappings, gidMappings=MAP)

    assert first(mapped((10, 1000, 5), (0, 2000, 10), (15, 1005, 1))) is None
    assert first(mapped((0, 0, 2**32 - 1))) is None
    refused(mapped((0, 1000, 11), (10, 2000, 5)), "linux.uidMappings[1].containerID", "overlap")
    refused(mapped((0, 1000, 10), (10, 1009, 5)), "linux.uidMappings[1].hostID", "overlap")
    refused(mapped((1, 0, 2**32 - 1)), "linux.uidMappings[0].size", "go beyond the last id")


@pytest.mark.spec("config-linux.md#offset-for-time-namespace", "timeOffsets")
def test_time_offsets_are_those_of_a_new_namespace() -> None:
    offsets = {"monotonic": {"secs": -1, "nanosecs": 5}}
    spaces = namespaces("mount", "uts")
    assert first(linux(namespaces=[*spaces, {"type": "time"}], timeOffsets=offsets)) is None
    assert first(linux(timeOffsets={})) is None
    refused(linux(timeOffsets=offsets), "linux.timeOffsets", "time namespace isn't enabled")
    refused(linux(namespaces=[*spaces, {"type": "time", "path": "/x"}], timeOffsets=offsets), "linux.timeOffsets",
            "only")


# config-linux.md#devices: "major, minor (int64, REQUIRED unless type is p)"; absent ones are 0, as everywhere
@pytest.mark.spec("config-linux.md#devices", "major, minor")
@pytest.mark.parametrize("kind", ["c", "b", "u"])
def test_devices_have_numbers_and_fifos_have_none(kind: str) -> None:
    device = {"type": kind, "path": "/dev/x", "major": 1, "minor": 3}
    assert first(linux(devices=[device, {"type": "p", "path": "/dev/p"}])) is None
    for key in ("major", "minor"):
        assert first(linux(devices=[{k: v for k, v in device.items() if k != key}])) is None


# makedev(3) would cut a larger number, and another device would appear in the container
@pytest.mark.spec("config-linux.md#devices", "major, minor")
@pytest.mark.parametrize(("major", "minor", "which"), [(4096, 0, "major"), (-1, 0, "major"), (0, 1 << 20, "minor"),
                                                       (2**63 - 1, 0, "major")])
def test_device_numbers_are_those_of_the_kernel(major: int, minor: int, which: str) -> None:
    refused(linux(devices=[{"type": "c", "path": "/dev/x", "major": major, "minor": minor}]),
            f"linux.devices[0].{which}", "is not in the range")


@pytest.mark.spec("config-linux.md#devices", "fileMode")
def test_file_modes_of_devices() -> None:
    def device(mode: int) -> dict[str, Any]:
        return linux(devices=[{"type": "c", "path": "/dev/x", "major": 1, "minor": 3, "fileMode": mode}])

    for mode in (0, 0o666, 0o7777, 0o020666):        # some engines pass the type along
        assert first(device(mode)) is None
    for mode in (0o060666, 0o100000, 1 << 26):
        refused(device(mode), "linux.devices[0].fileMode", "not permissions")


@pytest.mark.spec("config-linux.md#network-devices", "netDevices")
@pytest.mark.parametrize("name", ["a b", "a/b", "a:b", ".", "..", "x" * 16, "a\tb", "a\u2003b"])
def test_names_of_network_devices_are_those_the_kernel_takes(name: str) -> None:
    assert first(linux(netDevices={"eth0": {}, "eth1": {"name": "x" * 15}, "eth2": {"name": "net%d"}})) is None
    refused(linux(netDevices={"eth0": {"name": name}}), "linux.netDevices.eth0.name", "invalid network device name")


# config-linux.md#network-devices: "If a network device with the specified name already exists in the container
# namespace, the runtime MUST generate an error, unless the user has provided a template by appending %d"
@pytest.mark.spec("config-linux.md#network-devices", "name")
def test_two_network_devices_cannot_have_one_name() -> None:
    refused(linux(netDevices={"a": {"name": "x"}, "x": {}}), "linux.netDevices.x.name", "also given to")
    assert first(linux(netDevices={"a": {"name": "x%d"}, "b": {"name": "x%d"}})) is None
    refused(minimal(linux={"netDevices": {"a": {}}}), "linux.netDevices", "without a NET namespace")


# config-linux.md#cpu: "burst ... If specified, this value MUST be no larger than any positive quota (runtimes MAY
# generate an error)."
@pytest.mark.spec("config-linux.md#cpu", "quota is not smaller than burst", "burst is not larger than a positive quota")
@pytest.mark.spec("config-linux.md#cpu", "burst")
def test_burst_is_within_a_positive_quota() -> None:
    assert first(linux(resources={"cpu": {"quota": 100, "burst": 100}})) is None
    assert first(linux(resources={"cpu": {"quota": -1, "burst": 100}})) is None
    refused(linux(resources={"cpu": {"quota": 100, "burst": 101}}), "linux.resources.cpu.burst", "larger than quota")


# config-linux.md#memory: "Values for memory specify the limit in bytes, or -1 for unlimited memory."
@pytest.mark.spec("config-linux.md#memory", "limit", "reservation", "swap", "kernel", "kernelTCP")
@pytest.mark.parametrize("key", ["limit", "reservation", "kernel", "kernelTCP"])
def test_memory_is_bytes_or_minus_one(key: str) -> None:
    for value in (-1, 0, 2**63 - 1):
        assert first(linux(resources={"memory": {key: value}})) is None
    refused(linux(resources={"memory": {key: -2}}), f"linux.resources.memory.{key}", "-2 is not in the range")


@pytest.mark.spec("config-linux.md#memory", "swap")
@pytest.mark.parametrize(("limit", "swap", "what"), [
    (0, 0, ""), (100, 100, ""), (100, 200, ""), (100, -1, ""), (100, 0, ""), (-1, -1, ""), (-1, 5, ""), (0, -1, ""),
    (0, 5, "unable to set swap limit without memory limit"), (100, 99, "memory+swap limit should be >= memory limit")])
def test_swap_counts_memory_in(limit: int, swap: int, what: str) -> None:
    config = linux(resources={"memory": {"limit": limit, "swap": swap}})
    if what:
        refused(config, "linux.resources.memory.swap", what)
    else:
        assert first(config) is None


# config-linux.md#block-io: "You MUST specify at least one of weight or leafWeight in a given entry,
# and MAY specify both."
@pytest.mark.spec("config-linux.md#block-io", "an entry has one of the weights")
@pytest.mark.spec("config-linux.md#block-io", "weightDevice")
def test_a_weighted_device_has_a_weight() -> None:
    device = {"major": 8, "minor": 0}
    for weights in ({"weight": 10}, {"leafWeight": 1000}, {"weight": 10, "leafWeight": 10}):
        assert first(linux(resources={"blockIO": {"weightDevice": [{**device, **weights}]}})) is None
    refused(linux(resources={"blockIO": {"weightDevice": [device]}}), "linux.resources.blockIO.weightDevice[0]",
            "neither")
    refused(linux(resources={"blockIO": {"weightDevice": [{**device, "weight": 9}]}}),
            "linux.resources.blockIO.weightDevice[0].weight", "less than 10")


# config-linux.md#huge-page-limits: "The value has the format <size><unit-prefix>B (64KB, 2MB, 1GB)"
@pytest.mark.spec("config-linux.md#huge-page-limits", "pageSize")
@pytest.mark.parametrize("size", ["", "2M", "MB", "0MB", "2mb", "2 MB", "2TB", "-2MB", "2.5MB", "\u0662MB"])
def test_huge_page_sizes(size: str) -> None:
    assert first(linux(resources={"hugepageLimits": [{"pageSize": good, "limit": 0}
                                                     for good in ("64KB", "2MB", "1GB", "1048576KB")]})) is None
    refused(linux(resources={"hugepageLimits": [{"pageSize": size, "limit": 0}]}),
            "linux.resources.hugepageLimits[0].pageSize", "is not a size")


# config-linux.md#rdma: "You MUST specify at least one of the hcaHandles or hcaObjects in a given entry, and MAY
# specify both."
@pytest.mark.spec("config-linux.md#rdma", "an entry has one of the limits")
@pytest.mark.spec("config-linux.md#rdma", "rdma")
def test_an_rdma_device_has_a_limit() -> None:
    assert first(linux(resources={"rdma": {"a": {"hcaHandles": 0}, "b": {"hcaObjects": 5}}})) is None
    refused(linux(resources={"rdma": {"a": {"hcaHandles": 0}, "b": {}}}), "linux.resources.rdma.b", "neither")


# config-linux.md#unified: "Each key in the map refers to a file in the cgroup unified hierarchy."
@pytest.mark.spec("config-linux.md#unified", "unified")
@pytest.mark.parametrize("key", ["", ".", "..", "memory", "memory.", ".max", "a/b.max", "../memory.max"])
def test_unified_keys_are_names_of_controller_files(key: str) -> None:
    assert first(linux(resources={"unified": {"memory.high": "1", "hugetlb.1GB.max": "2"}})) is None
    fault = first(linux(resources={"unified": {key: "1"}}))
    assert fault is not None and fault.where.startswith("linux.resources.unified"), fault


# config-linux.md#intelrdt: "memBwSchema ... The value MUST start with MB: and MUST NOT contain newlines." "schemata
# ... The value MUST NOT contain newlines."
@pytest.mark.spec("config-linux.md#intelrdt", "memBwSchema begins with MB:", "schemata are single lines")
@pytest.mark.spec("config-linux.md#intelrdt", "memBwSchema")
@pytest.mark.spec("config-linux.md#intelrdt", "schemata")
def test_schemata_are_one_line_each() -> None:
    assert first(linux(intelRdt={"closID": "/", "memBwSchema": "MB:0=20", "schemata": ["L3:0=f"]})) is None
    refused(linux(intelRdt={"memBwSchema": "0=20"}), "linux.intelRdt.memBwSchema", "MB:")
    refused(linux(intelRdt={"memBwSchema": "MB:0=20\n"}), "linux.intelRdt.memBwSchema", "a line break")
    refused(linux(intelRdt={"l3CacheSchema": "L3:0=f\nMB:0=5"}), "linux.intelRdt.l3CacheSchema", "a line break")
    refused(linux(intelRdt={"schemata": ["", "a\nb"]}), "linux.intelRdt.schemata[1]", "a line break")
    for name in (".", "..", "a/b", "/a", "a\n"):
        refused(linux(intelRdt={"closID": name}), "linux.intelRdt.closID", "invalid intelRdt.ClosID")


# config-linux.md#memory-policy: "Some modes require that there are no nodes, e.g. MPOL_DEFAULT and MPOL_LOCAL. Others
# that there is at least one node, e.g. MPOL_BIND and MPOL_INTERLEAVE."
@pytest.mark.spec("config-linux.md#memory-policy", "nodes")
@pytest.mark.spec("config-linux.md#memory-policy", "flags")
@pytest.mark.parametrize(("mode", "none", "some"), [
    ("MPOL_DEFAULT", True, False), ("MPOL_LOCAL", True, False), ("MPOL_PREFERRED", True, True),
    ("MPOL_BIND", False, True), ("MPOL_INTERLEAVE", False, True), ("MPOL_WEIGHTED_INTERLEAVE", False, True),
    ("MPOL_PREFERRED_MANY", False, True)])
def test_memory_policies_and_their_nodes(mode: str, none: bool, some: bool) -> None:
    assert (first(linux(memoryPolicy={"mode": mode})) is None) == none
    assert (first(linux(memoryPolicy={"mode": mode, "nodes": "0-1"})) is None) == some
    both = {"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"]}
    refused(linux(memoryPolicy=both), "linux.memoryPolicy.flags", "exclude each other")
    refused(linux(memoryPolicy={**both, "nodes": "zero"}), "linux.memoryPolicy.nodes", "numbers and ranges")


@pytest.mark.spec("config-linux.md#sysctl", "sysctl")
@pytest.mark.parametrize(("name", "needs"), [
    ("kernel.shmmax", "ipc"), ("kernel/msgmax", "ipc"), ("fs.mqueue.msg_max", "ipc"), ("net.ipv4.ip_forward",
     "network"),
    ("net/ipv4/conf/eth0.1/rp_filter", "network"), ("kernel.domainname", "uts"), ("user.max_user_namespaces", "user"),
    ("kernel.hostname", None), ("kernel.panic", None), ("vm.swappiness", None), ("fs.file-max", None), ("net", None),
    ("kernel.shmmaxx", None), ("user", None)])
def test_a_kernel_parameter_is_one_of_the_container_s_own_namespaces(name: str, needs: str | None) -> None:
    every = ["ipc", "network", "uts", "mount"]
    extra = {"uidMappings": MAP, "gidMappings": MAP}
    whole = linux(namespaces=namespaces(*every, "user"), sysctl={name: "1"}, **extra)
    assert (first(whole) is None) == (needs is not None)
    if needs is not None:
        rest = [kind for kind in [*every, "user"] if kind != needs]
        config = minimal(linux={"namespaces": namespaces(*rest),
                  "sysctl": {name: "1"}, **(extra if needs != "user" else {})})
        fault = first(config)
        assert fault is not None and fault.where.startswith("linux.sysctl")


# sysctl(8): "The '/' separator is also accepted in place of a '.'."
@pytest.mark.spec("config-linux.md#sysctl", "sysctl")
def test_either_separator_and_no_way_out_of_the_subtree() -> None:
    assert path("net.ipv4.ip_forward") == path("net/ipv4/ip_forward") == "net/ipv4/ip_forward"
    assert path("net.ipv4.conf.eth0/1.rp_filter") == path("net/ipv4/conf/eth0.1/rp_filter")
    for name in ("net/../kernel/panic", "net.//.kernel.panic", "net.ipv4..x", ".net", "net.", "", "net/./x", "/net"):
        with pytest.raises(ValueError, match=r"is not a path below /proc/sys"):
            path(name)


# config-linux.md#seccomp: "names MUST contain at least one entry."
@pytest.mark.spec("config-linux.md#seccomp", "syscalls.names", "names has an entry")
def test_a_rule_names_a_system_call() -> None:
    refused(linux(seccomp={"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": [], "action": "SCMP_ACT_LOG"}]}),
            "linux.seccomp.syscalls[0].names", "must not be empty")


# config-linux.md#seccomp: "When the action doesn't support an errno, the runtime MUST print and error and fail."
# (errnoRet and defaultErrnoRet)
@pytest.mark.spec("config-linux.md#seccomp", "syscalls.errnoRet", "errnoRet without use is an error")
@pytest.mark.spec("config-linux.md#seccomp", "defaultErrnoRet", "defaultErrnoRet without use is an error")
@pytest.mark.parametrize("action", ["KILL", "KILL_PROCESS", "KILL_THREAD", "TRAP", "ERRNO", "TRACE", "ALLOW", "LOG"])
def test_only_some_actions_have_an_errno(action: str) -> None:
    rule = {"names": ["read"], "action": f"SCMP_ACT_{action}", "errnoRet": 5}
    configs = {"linux.seccomp.syscalls[0].errnoRet": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]},
               "linux.seccomp.defaultErrnoRet": {"defaultAction": f"SCMP_ACT_{action}", "defaultErrnoRet": 5}}
    for where, seccomp in configs.items():
        if action in ("ERRNO", "TRACE"):
            assert first(linux(seccomp=seccomp)) is None
        else:
            refused(linux(seccomp=seccomp), where, "takes no errno")


# config-linux.md#seccomp: "listenerMetadata ... This field MUST NOT be set if listenerPath is not set." "listenerPath
# ... If the SCMP_ACT_NOTIFY action is not used this value is ignored."
@pytest.mark.spec("config-linux.md#seccomp", "listenerMetadata needs listenerPath")
@pytest.mark.spec("config-linux.md#seccomp", "listenerPath")
@pytest.mark.spec("config-linux.md#seccomp", "listenerMetadata")
def test_the_listener() -> None:
    base = {"defaultAction": "SCMP_ACT_ALLOW"}
    notify = {**base, "syscalls": [{"names": ["mount"], "action": "SCMP_ACT_NOTIFY"}]}
    assert first(linux(seccomp={**base, "listenerPath": "/run/x", "listenerMetadata": "m"})) is None
    assert first(linux(seccomp={**notify, "listenerPath": "/run/x"})) is None
    refused(linux(seccomp={**base, "listenerMetadata": "m"}), "linux.seccomp.listenerMetadata", "needs a listenerPath")
    refused(linux(seccomp=notify), "linux.seccomp.syscalls[0].action", "needs a listenerPath")
    refused(linux(seccomp={**base, "listenerPath": "run/x"}), "linux.seccomp.listenerPath", "not an absolute path")


# config-linux.md#masked-paths and #readonly-paths: "The values MUST be absolute paths in the container namespace."
@pytest.mark.spec("config-linux.md#masked-paths", "masked paths are absolute")
@pytest.mark.spec("config-linux.md#readonly-paths", "read-only paths are absolute")
@pytest.mark.spec("config-linux.md#masked-paths", "maskedPaths")
@pytest.mark.spec("config-linux.md#readonly-paths", "readonlyPaths")
@pytest.mark.parametrize("key", ["maskedPaths", "readonlyPaths"])
def test_restricted_paths_are_absolute_and_the_container_s_own(key: str) -> None:
    refused(linux(**{key: ["/proc/kcore", "proc/keys"]}), f"linux.{key}[1]", "not an absolute path")
    refused(minimal(linux={"namespaces": namespaces("pid"), key: ["/proc/keys"]}), f"linux.{key}",
            "unable to restrict sys entries without a private MNT namespace")


# config-linux.md#rootfs-mount-propagation: "Its value is either shared, slave, private or unbindable."
@pytest.mark.spec("config-linux.md#rootfs-mount-propagation", "rootfsPropagation")
@pytest.mark.parametrize("value", ["shared", "slave", "private", "unbindable", "rshared", "rslave", "rprivate",
                                   "runbindable", ""])
def test_propagation_of_the_root(value: str) -> None:
    assert first(linux(rootfsPropagation=value)) is None
    refused(linux(rootfsPropagation=value.upper() + "x"), "linux.rootfsPropagation", "unknown value")


@pytest.mark.spec("config-linux.md#allowed-device-list", "access")
def test_access_to_devices() -> None:
    for access in ("r", "w", "m", "rwm", "mr", "rwa", "x", "rW"):      # what is no access has no effect
        assert first(linux(resources={"devices": [{"allow": True, "type": "a", "access": access}]})) is None
    refused(linux(resources={"devices": [{"allow": True, "access": ""}]}), "linux.resources.devices[0].access",
            "cannot be empty")
