"""metrics.proto: written by ttrpc/generate.py; do not edit."""
from __future__ import annotations

from ...formats.protobuf import DOUBLE, STRING, UINT32, UINT64, Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class PSIData(Message):
    TYPE = "io.containerd.cgroups.v2.PSIData"
    avg10: float = 0.0
    avg60: float = 0.0
    avg300: float = 0.0
    total: int = 0
    FIELDS = {
        1: ("avg10", DOUBLE),
        2: ("avg60", DOUBLE),
        3: ("avg300", DOUBLE),
        4: ("total", UINT64),
    }


class PSIStats(Message):
    TYPE = "io.containerd.cgroups.v2.PSIStats"
    some: PSIData | None = None
    full: PSIData | None = None
    FIELDS = {
        1: ("some", PSIData),
        2: ("full", PSIData),
    }


class PidsStat(Message):
    TYPE = "io.containerd.cgroups.v2.PidsStat"
    current: int = 0
    limit: int = 0
    FIELDS = {
        1: ("current", UINT64),
        2: ("limit", UINT64),
    }


class CPUStat(Message):
    TYPE = "io.containerd.cgroups.v2.CPUStat"
    usage_usec: int = 0
    user_usec: int = 0
    system_usec: int = 0
    nr_periods: int = 0
    nr_throttled: int = 0
    throttled_usec: int = 0
    psi: PSIStats | None = None
    nr_bursts: int = 0
    burst_usec: int = 0
    FIELDS = {
        1: ("usage_usec", UINT64),
        2: ("user_usec", UINT64),
        3: ("system_usec", UINT64),
        4: ("nr_periods", UINT64),
        5: ("nr_throttled", UINT64),
        6: ("throttled_usec", UINT64),
        7: ("psi", PSIStats),
        8: ("nr_bursts", UINT64),
        9: ("burst_usec", UINT64),
    }


class MemoryStat(Message):
    TYPE = "io.containerd.cgroups.v2.MemoryStat"
    anon: int = 0
    file: int = 0
    kernel_stack: int = 0
    slab: int = 0
    sock: int = 0
    shmem: int = 0
    file_mapped: int = 0
    file_dirty: int = 0
    file_writeback: int = 0
    anon_thp: int = 0
    inactive_anon: int = 0
    active_anon: int = 0
    inactive_file: int = 0
    active_file: int = 0
    unevictable: int = 0
    slab_reclaimable: int = 0
    slab_unreclaimable: int = 0
    pgfault: int = 0
    pgmajfault: int = 0
    workingset_nodereclaim: int = 0
    pgrefill: int = 0
    pgscan: int = 0
    pgsteal: int = 0
    pgactivate: int = 0
    pgdeactivate: int = 0
    pglazyfree: int = 0
    pglazyfreed: int = 0
    thp_fault_alloc: int = 0
    thp_collapse_alloc: int = 0
    usage: int = 0
    usage_limit: int = 0
    swap_usage: int = 0
    swap_limit: int = 0
    max_usage: int = 0
    swap_max_usage: int = 0
    psi: PSIStats | None = None
    workingset_refault_anon: int = 0
    workingset_refault_file: int = 0
    workingset_activate_anon: int = 0
    workingset_activate_file: int = 0
    FIELDS = {
        1: ("anon", UINT64),
        2: ("file", UINT64),
        3: ("kernel_stack", UINT64),
        4: ("slab", UINT64),
        5: ("sock", UINT64),
        6: ("shmem", UINT64),
        7: ("file_mapped", UINT64),
        8: ("file_dirty", UINT64),
        9: ("file_writeback", UINT64),
        10: ("anon_thp", UINT64),
        11: ("inactive_anon", UINT64),
        12: ("active_anon", UINT64),
        13: ("inactive_file", UINT64),
        14: ("active_file", UINT64),
        15: ("unevictable", UINT64),
        16: ("slab_reclaimable", UINT64),
        17: ("slab_unreclaimable", UINT64),
        18: ("pgfault", UINT64),
        19: ("pgmajfault", UINT64),
        22: ("workingset_nodereclaim", UINT64),
        23: ("pgrefill", UINT64),
        24: ("pgscan", UINT64),
        25: ("pgsteal", UINT64),
        26: ("pgactivate", UINT64),
        27: ("pgdeactivate", UINT64),
        28: ("pglazyfree", UINT64),
        29: ("pglazyfreed", UINT64),
        30: ("thp_fault_alloc", UINT64),
        31: ("thp_collapse_alloc", UINT64),
        32: ("usage", UINT64),
        33: ("usage_limit", UINT64),
        34: ("swap_usage", UINT64),
        35: ("swap_limit", UINT64),
        36: ("max_usage", UINT64),
        37: ("swap_max_usage", UINT64),
        38: ("psi", PSIStats),
        39: ("workingset_refault_anon", UINT64),
        40: ("workingset_refault_file", UINT64),
        41: ("workingset_activate_anon", UINT64),
        42: ("workingset_activate_file", UINT64),
    }


class MemoryEvents(Message):
    TYPE = "io.containerd.cgroups.v2.MemoryEvents"
    low: int = 0
    high: int = 0
    max: int = 0
    oom: int = 0
    oom_kill: int = 0
    oom_group_kill: int = 0
    FIELDS = {
        1: ("low", UINT64),
        2: ("high", UINT64),
        3: ("max", UINT64),
        4: ("oom", UINT64),
        5: ("oom_kill", UINT64),
        6: ("oom_group_kill", UINT64),
    }


class RdmaEntry(Message):
    TYPE = "io.containerd.cgroups.v2.RdmaEntry"
    device: str = ""
    hca_handles: int = 0
    hca_objects: int = 0
    FIELDS = {
        1: ("device", STRING),
        2: ("hca_handles", UINT32),
        3: ("hca_objects", UINT32),
    }


class RdmaStat(Message):
    TYPE = "io.containerd.cgroups.v2.RdmaStat"
    current: Sequence[RdmaEntry] = ()
    limit: Sequence[RdmaEntry] = ()
    FIELDS = {
        1: ("current", [RdmaEntry]),
        2: ("limit", [RdmaEntry]),
    }


class IOEntry(Message):
    TYPE = "io.containerd.cgroups.v2.IOEntry"
    major: int = 0
    minor: int = 0
    rbytes: int = 0
    wbytes: int = 0
    rios: int = 0
    wios: int = 0
    FIELDS = {
        1: ("major", UINT64),
        2: ("minor", UINT64),
        3: ("rbytes", UINT64),
        4: ("wbytes", UINT64),
        5: ("rios", UINT64),
        6: ("wios", UINT64),
    }


class IOStat(Message):
    TYPE = "io.containerd.cgroups.v2.IOStat"
    usage: Sequence[IOEntry] = ()
    psi: PSIStats | None = None
    FIELDS = {
        1: ("usage", [IOEntry]),
        2: ("psi", PSIStats),
    }


class HugeTlbStat(Message):
    TYPE = "io.containerd.cgroups.v2.HugeTlbStat"
    current: int = 0
    max: int = 0
    pagesize: str = ""
    failcnt: int = 0
    FIELDS = {
        1: ("current", UINT64),
        2: ("max", UINT64),
        3: ("pagesize", STRING),
        4: ("failcnt", UINT64),
    }


class NetworkStat(Message):
    TYPE = "io.containerd.cgroups.v2.NetworkStat"
    name: str = ""
    rx_bytes: int = 0
    rx_packets: int = 0
    rx_errors: int = 0
    rx_dropped: int = 0
    tx_bytes: int = 0
    tx_packets: int = 0
    tx_errors: int = 0
    tx_dropped: int = 0
    FIELDS = {
        1: ("name", STRING),
        2: ("rx_bytes", UINT64),
        3: ("rx_packets", UINT64),
        4: ("rx_errors", UINT64),
        5: ("rx_dropped", UINT64),
        6: ("tx_bytes", UINT64),
        7: ("tx_packets", UINT64),
        8: ("tx_errors", UINT64),
        9: ("tx_dropped", UINT64),
    }


class Metrics(Message):
    TYPE = "io.containerd.cgroups.v2.Metrics"
    pids: PidsStat | None = None
    cpu: CPUStat | None = None
    memory: MemoryStat | None = None
    rdma: RdmaStat | None = None
    io: IOStat | None = None
    hugetlb: Sequence[HugeTlbStat] = ()
    memory_events: MemoryEvents | None = None
    network: Sequence[NetworkStat] = ()
    FIELDS = {
        1: ("pids", PidsStat),
        2: ("cpu", CPUStat),
        4: ("memory", MemoryStat),
        5: ("rdma", RdmaStat),
        6: ("io", IOStat),
        7: ("hugetlb", [HugeTlbStat]),
        8: ("memory_events", MemoryEvents),
        9: ("network", [NetworkStat]),
    }
