"""Generated from schemas/ by `python3 -m pyrunc.config.generate`; a test holds it in step.

A node is a tuple that begins with the type of the value:
    (bool,)
    (int, least, most)
    (str, None | "+" not empty | "/" absolute path | "/?" absolute path or empty | (names), fault)
    (list, node of its items, least number of them, fault)
    (dict, {name: node}, (required names), None others are ignored | False others are refused | node of the others)
fault, when not empty, is the text of runc that the message begins with.
"""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Node = tuple[Any, ...]

VERSION: Node = (str, None, "")
ROOT: Node = (dict, {"path": (str, "+", ""), "readonly": (bool,)}, ("path",), None)
UINT32: Node = (int, 0, 4294967295)
CONSOLE_SIZE: Node = (dict, {"height": UINT32, "width": UINT32}, ("height", "width"), None)
STRINGS: Node = (list, (str, None, ""), 0, "")
ID: Node = (int, 0, 4294967294)
USER: Node = (dict, {"uid": ID, "gid": ID, "umask": (int, 0, 511), "additionalGids": (list, ID, 0, ""),
    "username": (str, None, "")}, ("uid", "gid"), None)
UINT64: Node = (int, 0, 18446744073709551615)
RLIMIT: Node = (dict, {"type": (str, ("RLIMIT_AS", "RLIMIT_CORE", "RLIMIT_CPU", "RLIMIT_DATA", "RLIMIT_FSIZE",
    "RLIMIT_LOCKS", "RLIMIT_MEMLOCK", "RLIMIT_MSGQUEUE", "RLIMIT_NICE", "RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_RSS",
    "RLIMIT_RTPRIO", "RLIMIT_RTTIME", "RLIMIT_SIGPENDING", "RLIMIT_STACK"), "wrong rlimit value"), "soft": UINT64,
    "hard": UINT64}, ("type", "soft", "hard"), None)
CAPABILITY_NAMES: Node = (list, (str, None, ""), 0, "")
CAPABILITIES: Node = (dict, {"effective": CAPABILITY_NAMES, "bounding": CAPABILITY_NAMES,
    "inheritable": CAPABILITY_NAMES, "permitted": CAPABILITY_NAMES, "ambient": CAPABILITY_NAMES}, (), None)
INT32: Node = (int, -2147483648, 2147483647)
SCHEDULER: Node = (dict, {"policy": (str, ("SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "SCHED_ISO",
    "SCHED_IDLE", "SCHED_DEADLINE"), ""), "nice": INT32, "priority": INT32, "flags": (list, (str,
    ("SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM", "SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_KEEP_POLICY",
    "SCHED_FLAG_KEEP_PARAMS", "SCHED_FLAG_UTIL_CLAMP_MIN", "SCHED_FLAG_UTIL_CLAMP_MAX"), ""), 0, ""), "runtime": UINT64,
    "deadline": UINT64, "period": UINT64}, ("policy",), None)
IO_PRIORITY: Node = (dict, {"class": (str, ("IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"), ""),
    "priority": (int, 0, 7)}, ("class", "priority"), None)
NUMBER_LIST: Node = (str, None, "")
EXEC_CPU_AFFINITY: Node = (dict, {"initial": NUMBER_LIST, "final": NUMBER_LIST}, (), None)
PROCESS: Node = (dict, {"terminal": (bool,), "consoleSize": CONSOLE_SIZE, "cwd": (str, "/",
    "Cwd must be an absolute path"), "env": STRINGS, "args": (list, (str, None, ""), 1, "args must not be empty"),
    "commandLine": (str, None, ""), "user": USER, "rlimits": (list, RLIMIT, 0, ""), "apparmorProfile": (str, None, ""),
    "capabilities": CAPABILITIES, "noNewPrivileges": (bool,), "oomScoreAdj": (int, -1000, 1000), "scheduler": SCHEDULER,
    "selinuxLabel": (str, None, ""), "ioPriority": IO_PRIORITY, "execCPUAffinity": EXEC_CPU_AFFINITY}, ("cwd", "args"),
    None)
ID_MAPPING: Node = (dict, {"containerID": ID, "hostID": ID, "size": (int, 1, 4294967295)}, ("containerID", "hostID",
    "size"), None)
ID_MAPPINGS: Node = (list, ID_MAPPING, 0, "")
MOUNT: Node = (dict, {"destination": (str, "+", ""), "source": (str, None, ""), "type": (str, None, ""),
    "options": STRINGS, "uidMappings": ID_MAPPINGS, "gidMappings": ID_MAPPINGS}, ("destination",), None)
ABSOLUTE_PATH: Node = (str, "/", "")
HOOK: Node = (dict, {"path": ABSOLUTE_PATH, "args": STRINGS, "env": STRINGS, "timeout": (int, 1, 2147483647)},
    ("path",), None)
HOOKS: Node = (dict, {"prestart": (list, HOOK, 0, ""), "createRuntime": (list, HOOK, 0, ""), "createContainer": (list,
    HOOK, 0, ""), "startContainer": (list, HOOK, 0, ""), "poststart": (list, HOOK, 0, ""), "poststop": (list, HOOK, 0,
    "")}, (), None)
ANNOTATIONS: Node = (dict, {}, (), (str, None, ""))
OPTIONAL_PATH: Node = (str, "/?", "")
NAMESPACE: Node = (dict, {"type": (str, ("pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"), ""),
    "path": OPTIONAL_PATH}, ("type",), None)
INT64: Node = (int, -9223372036854775808, 9223372036854775807)
TIME_OFFSET: Node = (dict, {"secs": INT64, "nanosecs": (int, 0, 999999999)}, (), None)
TIME_OFFSETS: Node = (dict, {"monotonic": TIME_OFFSET, "boottime": TIME_OFFSET}, (), False)
DEVICE: Node = (dict, {"type": (str, ("c", "b", "u", "p"), ""), "path": ABSOLUTE_PATH, "major": (int, 0, 4095),
    "minor": (int, 0, 1048575), "fileMode": UINT32, "uid": ID, "gid": ID}, ("type", "path"), None)
NET_DEVICE: Node = (dict, {"name": (str, None, "")}, (), None)
LIMIT: Node = (int, -1, 9223372036854775807)
DEVICE_RULE: Node = (dict, {"allow": (bool,), "type": (str, ("", "a", "c", "b"), ""), "major": LIMIT, "minor": LIMIT,
    "access": (str, None, "")}, ("allow",), None)
MEMORY: Node = (dict, {"limit": LIMIT, "reservation": LIMIT, "swap": LIMIT, "kernel": LIMIT, "kernelTCP": LIMIT,
    "swappiness": (int, 0, 100), "disableOOMKiller": (bool,), "useHierarchy": (bool,), "checkBeforeUpdate": (bool,)},
    (), None)
CPU: Node = (dict, {"shares": UINT64, "quota": INT64, "burst": UINT64, "period": UINT64, "realtimeRuntime": INT64,
    "realtimePeriod": UINT64, "cpus": NUMBER_LIST, "mems": NUMBER_LIST, "idle": (int, 0, 1)}, (), None)
WEIGHT: Node = (int, 0, 1000)
WEIGHT_DEVICE: Node = (dict, {"major": (int, 0, 4095), "minor": (int, 0, 1048575), "weight": WEIGHT,
    "leafWeight": WEIGHT}, ("major", "minor"), None)
THROTTLE_DEVICE: Node = (dict, {"major": (int, 0, 4095), "minor": (int, 0, 1048575), "rate": UINT64}, ("major",
    "minor", "rate"), None)
BLOCK_IO: Node = (dict, {"weight": WEIGHT, "leafWeight": WEIGHT, "weightDevice": (list, WEIGHT_DEVICE, 0, ""),
    "throttleReadBpsDevice": (list, THROTTLE_DEVICE, 0, ""), "throttleWriteBpsDevice": (list, THROTTLE_DEVICE, 0, ""),
    "throttleReadIOPSDevice": (list, THROTTLE_DEVICE, 0, ""), "throttleWriteIOPSDevice": (list, THROTTLE_DEVICE, 0,
    "")}, (), None)
HUGEPAGE_LIMIT: Node = (dict, {"pageSize": (str, None, ""), "limit": UINT64}, ("pageSize", "limit"), None)
INTERFACE_PRIORITY: Node = (dict, {"name": (str, None, ""), "priority": UINT32}, ("name", "priority"), None)
NETWORK: Node = (dict, {"classID": UINT32, "priorities": (list, INTERFACE_PRIORITY, 0, "")}, (), None)
PIDS: Node = (dict, {"limit": LIMIT}, (), None)
RDMA: Node = (dict, {"hcaHandles": UINT32, "hcaObjects": UINT32}, (), None)
RESOURCES: Node = (dict, {"devices": (list, DEVICE_RULE, 0, ""), "memory": MEMORY, "cpu": CPU, "blockIO": BLOCK_IO,
    "hugepageLimits": (list, HUGEPAGE_LIMIT, 0, ""), "network": NETWORK, "pids": PIDS, "rdma": (dict, {}, (), RDMA),
    "unified": (dict, {}, (), (str, None, ""))}, (), None)
INTEL_RDT: Node = (dict, {"closID": (str, None, ""), "l3CacheSchema": (str, None, ""), "memBwSchema": (str, None, ""),
    "schemata": (list, (str, None, ""), 0, ""), "enableMonitoring": (bool,)}, (), None)
MEMORY_POLICY: Node = (dict, {"mode": (str, ("MPOL_DEFAULT", "MPOL_BIND", "MPOL_INTERLEAVE",
    "MPOL_WEIGHTED_INTERLEAVE", "MPOL_PREFERRED", "MPOL_PREFERRED_MANY", "MPOL_LOCAL"), "invalid memory policy mode"),
    "nodes": NUMBER_LIST, "flags": (list, (str, ("MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES",
    "MPOL_F_STATIC_NODES"), "invalid memory policy flag"), 0, "")}, ("mode",), None)
STRING_MAP: Node = (dict, {}, (), (str, None, ""))
SECCOMP_ACTION: Node = (str, ("SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP",
    "SCMP_ACT_ERRNO", "SCMP_ACT_TRACE", "SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY"), "")
ERRNO: Node = (int, 0, 4095)
SECCOMP_ARCHITECTURE: Node = (str, ("SCMP_ARCH_X86", "SCMP_ARCH_X86_64", "SCMP_ARCH_X32", "SCMP_ARCH_ARM",
    "SCMP_ARCH_AARCH64", "SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64", "SCMP_ARCH_MIPS64N32", "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PPC", "SCMP_ARCH_PPC64", "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_S390", "SCMP_ARCH_S390X", "SCMP_ARCH_PARISC", "SCMP_ARCH_PARISC64", "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K", "SCMP_ARCH_SH", "SCMP_ARCH_SHEB"), "")
SYSCALL_ARG: Node = (dict, {"index": (int, 0, 5), "value": UINT64, "valueTwo": UINT64, "op": (str, ("SCMP_CMP_NE",
    "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ"), "")}, ("index",
    "value", "op"), None)
SYSCALL: Node = (dict, {"names": (list, (str, None, ""), 1, ""), "action": SECCOMP_ACTION, "errnoRet": ERRNO,
    "args": (list, SYSCALL_ARG, 0, "")}, ("names", "action"), None)
SECCOMP: Node = (dict, {"defaultAction": SECCOMP_ACTION, "defaultErrnoRet": ERRNO, "architectures": (list,
    SECCOMP_ARCHITECTURE, 0, ""), "flags": (list, (str, ("SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"), ""), 0, ""),
    "listenerPath": OPTIONAL_PATH, "listenerMetadata": (str, None, ""), "syscalls": (list, SYSCALL, 0, "")},
    ("defaultAction",), None)
ABSOLUTE_PATHS: Node = (list, ABSOLUTE_PATH, 0, "")
PERSONALITY: Node = (dict, {"domain": (str, ("LINUX", "LINUX32"), ""), "flags": (list, (str, ("UNAME26",
    "ADDR_NO_RANDOMIZE", "FDPIC_FUNCPTRS", "MMAP_PAGE_ZERO", "ADDR_COMPAT_LAYOUT", "READ_IMPLIES_EXEC",
    "ADDR_LIMIT_32BIT", "SHORT_INODE", "WHOLE_SECONDS", "STICKY_TIMEOUTS", "ADDR_LIMIT_3GB"), ""), 0, "")}, ("domain",),
    None)
LINUX: Node = (dict, {"namespaces": (list, NAMESPACE, 0, ""), "uidMappings": ID_MAPPINGS, "gidMappings": ID_MAPPINGS,
    "timeOffsets": TIME_OFFSETS, "devices": (list, DEVICE, 0, ""), "netDevices": (dict, {}, (), NET_DEVICE),
    "cgroupsPath": (str, None, ""), "resources": RESOURCES, "intelRdt": INTEL_RDT, "memoryPolicy": MEMORY_POLICY,
    "sysctl": STRING_MAP, "seccomp": SECCOMP, "rootfsPropagation": (str, ("", "shared", "slave", "private",
    "unbindable", "rshared", "rslave", "rprivate", "runbindable"), ""), "maskedPaths": ABSOLUTE_PATHS,
    "readonlyPaths": ABSOLUTE_PATHS, "mountLabel": (str, None, ""), "personality": PERSONALITY}, (), None)
CONFIG: Node = (dict, {"ociVersion": VERSION, "root": ROOT, "process": PROCESS, "hostname": (str, None, ""),
    "domainname": (str, None, ""), "mounts": (list, MOUNT, 0, ""), "hooks": HOOKS, "annotations": ANNOTATIONS,
    "linux": LINUX, "freebsd": (dict, {}, (), None), "solaris": (dict, {}, (), None), "vm": (dict, {}, (), None),
    "windows": (dict, {}, (), None), "zos": (dict, {}, (), None)}, ("ociVersion", "root"), None)
