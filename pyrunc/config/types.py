"""Generated from schemas/ by `python3 -m pyrunc.config.generate`; a test holds it in step.

The dict that config.json is, for type checkers: import these names under TYPE_CHECKING only.
"""
from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

DeviceRuleType = Literal["", "a", "c", "b"]
DeviceType = Literal["c", "b", "u", "p"]
IOPriorityClass = Literal["IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"]
LinuxRootfsPropagation = Literal["", "shared", "slave", "private", "unbindable", "rshared", "rslave", "rprivate",
    "runbindable"]
MemoryPolicyFlag = Literal["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"]
MemoryPolicyMode = Literal["MPOL_DEFAULT", "MPOL_BIND", "MPOL_INTERLEAVE", "MPOL_WEIGHTED_INTERLEAVE",
    "MPOL_PREFERRED", "MPOL_PREFERRED_MANY", "MPOL_LOCAL"]
NamespaceType = Literal["pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"]
PersonalityDomain = Literal["LINUX", "LINUX32"]
PersonalityFlag = Literal["UNAME26", "ADDR_NO_RANDOMIZE", "FDPIC_FUNCPTRS", "MMAP_PAGE_ZERO", "ADDR_COMPAT_LAYOUT",
    "READ_IMPLIES_EXEC", "ADDR_LIMIT_32BIT", "SHORT_INODE", "WHOLE_SECONDS", "STICKY_TIMEOUTS", "ADDR_LIMIT_3GB"]
RlimitType = Literal["RLIMIT_AS", "RLIMIT_CORE", "RLIMIT_CPU", "RLIMIT_DATA", "RLIMIT_FSIZE", "RLIMIT_LOCKS",
    "RLIMIT_MEMLOCK", "RLIMIT_MSGQUEUE", "RLIMIT_NICE", "RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_RSS", "RLIMIT_RTPRIO",
    "RLIMIT_RTTIME", "RLIMIT_SIGPENDING", "RLIMIT_STACK"]
SchedulerFlag = Literal["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM", "SCHED_FLAG_DL_OVERRUN",
    "SCHED_FLAG_KEEP_POLICY", "SCHED_FLAG_KEEP_PARAMS", "SCHED_FLAG_UTIL_CLAMP_MIN", "SCHED_FLAG_UTIL_CLAMP_MAX"]
SchedulerPolicy = Literal["SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "SCHED_ISO", "SCHED_IDLE",
    "SCHED_DEADLINE"]
SeccompAction = Literal["SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP",
    "SCMP_ACT_ERRNO", "SCMP_ACT_TRACE", "SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY"]
SeccompArchitecture = Literal["SCMP_ARCH_X86", "SCMP_ARCH_X86_64", "SCMP_ARCH_X32", "SCMP_ARCH_ARM",
    "SCMP_ARCH_AARCH64", "SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64", "SCMP_ARCH_MIPS64N32", "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PPC", "SCMP_ARCH_PPC64", "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_S390", "SCMP_ARCH_S390X", "SCMP_ARCH_PARISC", "SCMP_ARCH_PARISC64", "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K", "SCMP_ARCH_SH", "SCMP_ARCH_SHEB"]
SeccompFlag = Literal["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]
SyscallArgOp = Literal["SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ"]


class Config(TypedDict):
    """The whole of config.json. config.md"""
    ociVersion: str  # Version of the runtime-spec that the bundle follows.
    root: Root  # The container's root file system.
    process: NotRequired[Process]  # The container's process. Needed at start, not at create.
    hostname: NotRequired[str]  # Host name in the container's uts namespace.
    domainname: NotRequired[str]  # NIS domain name in the container's uts namespace.
    mounts: NotRequired[list[Mount]]  # Mounts beyond the root, made in this order.
    hooks: NotRequired[Hooks]  # Programs run at points of the container's life, each list in order.
    # Free metadata. Keys are not empty and should be reverse domain names; values are strings.
    annotations: NotRequired[dict[str, str]]
    linux: NotRequired[Linux]  # What only Linux has.
    freebsd: NotRequired[dict[str, Any]]  # Opaque here.
    solaris: NotRequired[dict[str, Any]]  # Opaque here.
    vm: NotRequired[dict[str, Any]]  # Opaque here.
    windows: NotRequired[dict[str, Any]]  # Opaque here.
    zos: NotRequired[dict[str, Any]]  # Opaque here.


class Root(TypedDict):
    """The container's root file system. config.md#root"""
    path: str  # An existing directory: absolute, or relative to the bundle.
    readonly: NotRequired[bool]  # Mount it read-only; false when absent.


class Process(TypedDict):
    """The container's process. Needed at start, not at create. config.md#process"""
    terminal: NotRequired[bool]  # Give it a pseudoterminal as its standard streams; false when absent.
    consoleSize: NotRequired[ConsoleSize]  # Size of the terminal in characters; ignored without a terminal.
    cwd: str  # Working directory, absolute.
    env: NotRequired[list[str]]  # Environment, as NAME=value.
    args: list[str]  # argv; the first is looked up as execvp does.
    commandLine: NotRequired[str]  # Windows only.
    user: NotRequired[User]  # Ids as the container sees them.
    rlimits: NotRequired[list[Rlimit]]  # Resource limits, each type once.
    apparmorProfile: NotRequired[str]  # AppArmor profile that confines it.
    # The five sets of capabilities(7); a name that cannot be granted is only warned of.
    capabilities: NotRequired[Capabilities]
    noNewPrivileges: NotRequired[bool]  # Set no_new_privs: no privileges from execve.
    oomScoreAdj: NotRequired[int]  # /proc/PID/oom_score_adj; left as it is when absent.
    scheduler: NotRequired[Scheduler]  # What sched_setattr(2) is given.
    selinuxLabel: NotRequired[str]  # SELinux label that confines it.
    ioPriority: NotRequired[IOPriority]  # What ioprio_set(2) is given.
    execCPUAffinity: NotRequired[ExecCPUAffinity]  # CPUs of processes that exec adds; not of the first process.


class ConsoleSize(TypedDict):
    """Size of the terminal in characters; ignored without a terminal. config.md#process"""
    height: int  # Rows.
    width: int  # Columns.


class User(TypedDict):
    """Ids as the container sees them. config.md#posix-platform-user"""
    uid: int  # User id.
    gid: int  # Group id.
    umask: NotRequired[int]  # File mode creation mask, in decimal as all JSON numbers.
    additionalGids: NotRequired[list[int]]  # Supplementary groups.
    username: NotRequired[str]  # Windows only.


class Rlimit(TypedDict):
    """One resource limit of getrlimit(2). config.md#posix-process"""
    type: RlimitType  # RLIMIT_NOFILE and so on.
    soft: int  # What is enforced; 2^64-1 is no limit.
    hard: int  # Up to where the process may raise soft.


class Capabilities(TypedDict):
    """The five sets of capabilities(7); a name that cannot be granted is only warned of. config.md#linux-process"""
    effective: NotRequired[list[str]]  # Those that count now.
    bounding: NotRequired[list[str]]  # Those that execve may ever give.
    inheritable: NotRequired[list[str]]  # Those kept across execve of a file that has them.
    permitted: NotRequired[list[str]]  # Those that may be made effective.
    ambient: NotRequired[list[str]]  # Those kept across execve of an ordinary file.


class Scheduler(TypedDict):
    """What sched_setattr(2) is given. config.md#linux-process"""
    policy: SchedulerPolicy  # Scheduling policy.
    nice: NotRequired[int]  # -20 to 19; lower comes first; for SCHED_OTHER and SCHED_BATCH.
    priority: NotRequired[int]  # Static priority, for SCHED_FIFO and SCHED_RR.
    flags: NotRequired[list[SchedulerFlag]]  # Flags of sched_setattr(2).
    runtime: NotRequired[int]  # ns of CPU in each period, for SCHED_DEADLINE.
    deadline: NotRequired[int]  # ns until that must be done, for SCHED_DEADLINE.
    period: NotRequired[int]  # ns of a period, for SCHED_DEADLINE.


#: What ioprio_set(2) is given. config.md#linux-process
IOPriority = TypedDict("IOPriority", {
    "class": IOPriorityClass,
    "priority": int,
})


class ExecCPUAffinity(TypedDict):
    """CPUs of processes that exec adds; not of the first process. config.md#linux-process"""
    initial: NotRequired[str]  # Before it is in the container's cgroup.
    final: NotRequired[str]  # After; empty leaves it to the kernel.


class Mount(TypedDict):
    """One mount; a bind mount when its options have bind or rbind. config.md#mounts"""
    destination: str  # Where, in the container; a relative path is taken from / (deprecated).
    source: NotRequired[str]  # A device, a dummy, or for bind mounts a path: absolute, or relative to the bundle.
    type: NotRequired[str]  # File system as in /proc/filesystems; meaningless for bind mounts.
    options: NotRequired[list[str]]  # Options of mount(8); those unknown are given to the file system.
    uidMappings: NotRequired[list[IDMapping]]  # User ids of an id-mapped mount: as on the source, as seen here.
    gidMappings: NotRequired[list[IDMapping]]  # Group ids of an id-mapped mount.


class IDMapping(TypedDict):
    """One line of a uid_map or gid_map: a run of ids, inside and outside. config-linux.md#user-namespace-mappings"""
    containerID: int  # First id inside.
    hostID: int  # First id outside.
    size: int  # How many ids; the kernel refuses an empty run.


class Hooks(TypedDict):
    """Programs run at points of the container's life, each list in order. config.md#posix-platform-hooks"""
    prestart: NotRequired[list[Hook]]  # At create, in the runtime's namespaces (deprecated).
    createRuntime: NotRequired[list[Hook]]  # At create, in the runtime's namespaces, before the root is switched.
    createContainer: NotRequired[list[Hook]]  # At create, in the container's namespaces, before the root is switched.
    startContainer: NotRequired[list[Hook]]  # At start, in the container, before its program is executed.
    poststart: NotRequired[list[Hook]]  # At start, in the runtime's namespaces, after the program is executed.
    poststop: NotRequired[list[Hook]]  # At delete, in the runtime's namespaces.


class Hook(TypedDict):
    """One program; it reads the container's state on stdin. config.md#posix-platform-hooks"""
    path: str  # Absolute.
    args: NotRequired[list[str]]  # argv, with the name first.
    env: NotRequired[list[str]]  # Environment, as NAME=value.
    timeout: NotRequired[int]  # Seconds until it is killed.


class Linux(TypedDict):
    """What only Linux has. config-linux.md"""
    # Namespaces to make or to join; a type that is not listed is shared with the runtime.
    namespaces: NotRequired[list[Namespace]]
    uidMappings: NotRequired[list[IDMapping]]  # uid_map of the new user namespace.
    gidMappings: NotRequired[list[IDMapping]]  # gid_map of the new user namespace.
    timeOffsets: NotRequired[TimeOffsets]  # How far the clocks of the new time namespace run ahead.
    devices: NotRequired[list[Device]]  # Device nodes to provide.
    netDevices: NotRequired[dict[str, NetDevice]]  # Network devices to move in, by their name outside.
    # Cgroup: absolute from the cgroup mount, or relative to a place of the runtime's choice; slice:prefix:name under
    # systemd.
    cgroupsPath: NotRequired[str]
    resources: NotRequired[Resources]  # Limits of the container's cgroup.
    intelRdt: NotRequired[IntelRdt]  # Cache and memory bandwidth allocation by resctrl.
    memoryPolicy: NotRequired[MemoryPolicy]  # What set_mempolicy(2) is given.
    sysctl: NotRequired[dict[str, str]]  # Kernel parameters to set, by name.
    seccomp: NotRequired[Seccomp]  # The system call filter.
    # Propagation of the root mount; the recursive forms are what mount(8) calls them, and engines write them.
    rootfsPropagation: NotRequired[LinuxRootfsPropagation]
    maskedPaths: NotRequired[list[str]]  # Paths that cannot be read in the container.
    readonlyPaths: NotRequired[list[str]]  # Paths that cannot be written in the container.
    mountLabel: NotRequired[str]  # SELinux context of the mounts.
    personality: NotRequired[Personality]  # What personality(2) is given.


class Namespace(TypedDict):
    """A namespace: joined when it has a path, else new. config-linux.md#namespaces"""
    type: NamespaceType  # Kind of namespace.
    path: NotRequired[str]  # Namespace file in the runtime's mount namespace.


class TimeOffsets(TypedDict):
    """How far the clocks of the new time namespace run ahead. config-linux.md#offset-for-time-namespace"""
    monotonic: NotRequired[TimeOffset]  # CLOCK_MONOTONIC.
    boottime: NotRequired[TimeOffset]  # CLOCK_BOOTTIME.


class TimeOffset(TypedDict):
    """An offset. config-linux.md#offset-for-time-namespace"""
    secs: NotRequired[int]  # Seconds.
    nanosecs: NotRequired[int]  # And nanoseconds.


class Device(TypedDict):
    """A device node to provide in the container. config-linux.md#devices"""
    type: DeviceType  # c or u character, b block, p fifo.
    path: str  # Full path in the container.
    major: NotRequired[int]  # Major number, 12 bits; a fifo has none.
    minor: NotRequired[int]  # Minor number, 20 bits; a fifo has none.
    fileMode: NotRequired[int]  # Permission bits, in decimal.
    uid: NotRequired[int]  # Owner, as the container sees it.
    gid: NotRequired[int]  # Group, as the container sees it.


class NetDevice(TypedDict):
    """A network device to move into the container's network namespace. config-linux.md#network-devices"""
    name: NotRequired[str]  # Its name there; %d asks the kernel for a free number.


class Resources(TypedDict):
    """Limits of the container's cgroup. config-linux.md#control-groups"""
    devices: NotRequired[list[DeviceRule]]  # Rules that allow and deny the use of devices, in order.
    memory: NotRequired[Memory]  # Memory limits in bytes.
    cpu: NotRequired[CPU]  # Shares, bandwidth and placement; times in microseconds.
    blockIO: NotRequired[BlockIO]  # Weights and rates of block devices.
    hugepageLimits: NotRequired[list[HugepageLimit]]  # Limits by huge page size.
    network: NotRequired[Network]  # net_cls and net_prio.
    pids: NotRequired[Pids]  # Number of tasks.
    rdma: NotRequired[dict[str, Rdma]]  # Limits by RDMA device.
    unified: NotRequired[dict[str, str]]  # Files of the cgroup v2 directory and what to write there.


class DeviceRule(TypedDict):
    """One rule of the device list. config-linux.md#allowed-device-list"""
    allow: bool  # Allow or deny.
    type: NotRequired[DeviceRuleType]  # a all (also when absent), c character, b block.
    major: NotRequired[int]  # Major number; all when absent or -1.
    minor: NotRequired[int]  # Minor number; all when absent or -1.
    access: NotRequired[str]  # r read, w write, m mknod.


class Memory(TypedDict):
    """Memory limits in bytes. config-linux.md#memory"""
    limit: NotRequired[int]  # Memory.
    reservation: NotRequired[int]  # Soft limit.
    swap: NotRequired[int]  # Memory and swap together.
    kernel: NotRequired[int]  # Kernel memory (not recommended).
    kernelTCP: NotRequired[int]  # Kernel TCP buffers (not recommended).
    swappiness: NotRequired[int]  # As vm.swappiness.
    disableOOMKiller: NotRequired[bool]  # Let tasks over the limit wait instead of killing one.
    useHierarchy: NotRequired[bool]  # Count child cgroups in (cgroup v1).
    checkBeforeUpdate: NotRequired[bool]  # Refuse a new limit below what is in use.


class CPU(TypedDict):
    """Shares, bandwidth and placement; times in microseconds. config-linux.md#cpu"""
    shares: NotRequired[int]  # Relative weight, 1024 for one share.
    quota: NotRequired[int]  # CPU time in each period; none or less for no limit.
    burst: NotRequired[int]  # Time that may be saved up, no more than quota.
    period: NotRequired[int]  # Length of a period.
    realtimeRuntime: NotRequired[int]  # Realtime CPU time in each realtime period.
    realtimePeriod: NotRequired[int]  # Length of a realtime period.
    cpus: NotRequired[str]  # CPUs to run on.
    mems: NotRequired[str]  # Memory nodes to allocate from.
    idle: NotRequired[int]  # 1 makes it SCHED_IDLE.


class BlockIO(TypedDict):
    """Weights and rates of block devices. config-linux.md#block-io"""
    weight: NotRequired[int]  # Weight on all devices.
    leafWeight: NotRequired[int]  # Weight of its own tasks against child cgroups.
    weightDevice: NotRequired[list[WeightDevice]]  # Weights by device.
    throttleReadBpsDevice: NotRequired[list[ThrottleDevice]]  # Bytes read per second.
    throttleWriteBpsDevice: NotRequired[list[ThrottleDevice]]  # Bytes written per second.
    throttleReadIOPSDevice: NotRequired[list[ThrottleDevice]]  # Reads per second.
    throttleWriteIOPSDevice: NotRequired[list[ThrottleDevice]]  # Writes per second.


class WeightDevice(TypedDict):
    """Weight on one device. config-linux.md#block-io"""
    major: int  # Major number.
    minor: int  # Minor number.
    weight: NotRequired[int]  # Weight.
    leafWeight: NotRequired[int]  # Weight of its own tasks against child cgroups.


class ThrottleDevice(TypedDict):
    """Rate on one device. config-linux.md#block-io"""
    major: int  # Major number.
    minor: int  # Minor number.
    rate: int  # Bytes or operations per second.


class HugepageLimit(TypedDict):
    """Limit on huge pages of one size. config-linux.md#huge-page-limits"""
    pageSize: str  # 64KB, 2MB, 1GB and so on, base 1024.
    limit: int  # Bytes.


class Network(TypedDict):
    """net_cls and net_prio. config-linux.md#network"""
    classID: NotRequired[int]  # Class of its packets.
    priorities: NotRequired[list[InterfacePriority]]  # Priorities by interface.


class InterfacePriority(TypedDict):
    """Priority on one interface. config-linux.md#network"""
    name: str  # Interface in the runtime's network namespace.
    priority: int  # Priority.


class Pids(TypedDict):
    """Number of tasks. config-linux.md#pids"""
    limit: NotRequired[int]  # Most tasks; -1 for no limit; 0 is a limit too.


class Rdma(TypedDict):
    """Limits on one RDMA device. config-linux.md#rdma"""
    hcaHandles: NotRequired[int]  # Most handles.
    hcaObjects: NotRequired[int]  # Most objects.


class IntelRdt(TypedDict):
    """Cache and memory bandwidth allocation by resctrl. config-linux.md#intelrdt"""
    closID: NotRequired[str]  # Class of service; / is the default one; the container's id when absent.
    l3CacheSchema: NotRequired[str]  # An L3: line.
    memBwSchema: NotRequired[str]  # An MB: line.
    schemata: NotRequired[list[str]]  # Lines of the schemata file.
    enableMonitoring: NotRequired[bool]  # Make a monitoring group.


class MemoryPolicy(TypedDict):
    """What set_mempolicy(2) is given. config-linux.md#memory-policy"""
    mode: MemoryPolicyMode  # Policy.
    nodes: NotRequired[str]  # Memory nodes.
    flags: NotRequired[list[MemoryPolicyFlag]]  # Flags of the mode.


class Seccomp(TypedDict):
    """The system call filter. config-linux.md#seccomp"""
    defaultAction: SeccompAction  # For calls that no rule matches.
    defaultErrnoRet: NotRequired[int]  # errno of the default action; EPERM when absent.
    architectures: NotRequired[list[SeccompArchitecture]]  # ABIs that the filter covers beside the native one.
    flags: NotRequired[list[SeccompFlag]]  # Flags of seccomp(2).
    listenerPath: NotRequired[str]  # Unix socket that is sent the notify descriptor.
    listenerMetadata: NotRequired[str]  # Passed on to the listener.
    syscalls: NotRequired[list[Syscall]]  # Rules.


class Syscall(TypedDict):
    """A rule: these calls, with these arguments, get this action. config-linux.md#seccomp"""
    names: list[str]  # System calls; names that libseccomp does not know are skipped.
    action: SeccompAction  # What happens.
    errnoRet: NotRequired[int]  # errno of the action; EPERM when absent.
    args: NotRequired[list[SyscallArg]]  # Conditions on arguments.


class SyscallArg(TypedDict):
    """A comparison of one argument. config-linux.md#seccomp"""
    index: int  # Which argument.
    value: int  # Compared with; the mask of SCMP_CMP_MASKED_EQ.
    valueTwo: NotRequired[int]  # What the masked argument must equal.
    op: SyscallArgOp  # Comparison.


class Personality(TypedDict):
    """What personality(2) is given. config-linux.md#personality"""
    domain: PersonalityDomain  # LINUX32 makes uname report a 32-bit machine.
    flags: NotRequired[list[PersonalityFlag]]  # The spec defines none yet; these are the flags of personality(2).
