"""Rows of config-linux.md. How to read them: conformance/rows/__init__.py."""

TEXT = """
== config-linux.md#default-filesystems
* /proc is a procfs
  > The following filesystems SHOULD be made available
* /sys is a sysfs
  > The following filesystems SHOULD be made available
* /dev/pts is a devpts
  > The following filesystems SHOULD be made available
* /dev/shm is a tmpfs
  > The following filesystems SHOULD be made available

== config-linux.md#namespaces
namespaces = which the container has of its own, or joins
type = which kind
pid = its own processes only
network = its own devices, addresses, routes
mount = its own mounts
ipc = its own System V and message queue objects
uts = its own host and domain name
user = its own user and group ids
cgroup = its own view of the cgroup hierarchy
time = its own clocks since boot
path = a namespace to join
* path is absolute
  > This value MUST be an absolute path in the runtime mount namespace.
* the process is in the namespace that path names
  > The runtime MUST place the container process in the namespace associated with that `path`.
* a path of another type is an error
  > MUST generate an error if `path` is not associated with a namespace of type `type`
* without path the namespace is new
  > If `path` is not specified, the runtime MUST create a new container namespace of type `type`.
* a type that is not listed is inherited
  > the container MUST inherit the runtime namespace of that type
* a type that stands twice is an error
  > If a `namespaces` field contains duplicated namespaces with same `type`, the runtime MUST generate an error.

== config-linux.md#user-namespace-mappings
uidMappings = user ids of the container and of the host
gidMappings = group ids of the container and of the host
containerID = the first id in the container
hostID = the first id on the host
size = how many
* no file changes its owner
  > SHOULD NOT modify the ownership of referenced filesystems to realize the mapping

== config-linux.md#offset-for-time-namespace
timeOffsets = of the clocks of a new time namespace
monotonic = CLOCK_MONOTONIC
boottime = CLOCK_BOOTTIME
secs = seconds
nanosecs = nanoseconds

== config-linux.md#devices
devices = device nodes
* listed devices are there
  > lists devices that MUST be available in the container
type = c, b, u or p
path = place in the container
* another file at path is an error
  > If a file already exists at `path` that does not match the requested device, the runtime MUST generate an error.
major, minor = numbers of the device; a fifo has none
fileMode = permissions
uid = owner in the container
gid = group in the container

== config-linux.md#default-devices
* /dev/null
  > the runtime MUST also supply
* /dev/zero
  > the runtime MUST also supply
* /dev/full
  > the runtime MUST also supply
* /dev/random
  > the runtime MUST also supply
* /dev/urandom
  > the runtime MUST also supply
* /dev/tty
  > the runtime MUST also supply
* /dev/console, with a terminal
  > the runtime MUST also supply
* /dev/ptmx
  > the runtime MUST also supply

== config-linux.md#network-devices
netDevices = devices of the runtime that move into the container
* listed network devices are there
  > A set of network devices that MUST be made available in the container.
name = in the container; without, the same
* whether the move is possible is checked
  > The runtime MUST check if moving the network interface to the container namespace is possible.
* a name that is taken is an error
  > If a network device with the specified name already exists in the container namespace, the runtime MUST generate an
  > error
* a name with %d gets a number from the kernel
  > In that case, the runtime MUST allow the move
* permanent addresses of global scope stay
  > MUST preserve existing network interface attributes, including all permanent IP addresses … with global scope
* the device is up
  > MUST set the network device state to "up" after moving it
* nothing else is done to the device
  > MUST NOT actively manage the interface's lifecycle and configuration within the container's network namespace
* devices are not moved back
  > MUST NOT attempt to move the interface out of the namespace before deletion

== config-linux.md#control-groups
resources = limits, in the chapters below
* a cgroup that is not fit is an error
  > check if the container cgroup is fit for purpose, and MUST generate an error if such a check fails

== config-linux.md#cgroups-path
cgroupsPath = the container's place in the hierarchy
* a path is absolute or relative
  > The value of `cgroupsPath` MUST be either an absolute path or a relative path.
* an absolute path counts from the mount point
  > MUST take the path to be relative to the cgroups mount point
* the same path is the same place
  > MUST consistently attach to the same place in the cgroups hierarchy given the same value of `cgroupsPath`
* an invalid path is an error
  > MAY consider certain `cgroupsPath` values to be invalid, and MUST generate an error if this is the case

== config-linux.md#cgroup-ownership
* the cgroup is delegated where it is mounted to be written
  > SHOULD change the cgroup ownership if and only if the cgroup filesystem is to be mounted read/write … does not
  > specify such a mount, the runtime SHOULD NOT change the cgroup ownership
* without a cgroup namespace of its own it is not delegated
  > SHOULD NOT change the ownership of a container cgroup unless it will also create a new cgroup namespace
* only the files meant for it are delegated
  > SHOULD only change the ownership of the container's cgroup directory and files within … listed in
  > `/sys/kernel/cgroup/delegate`
* a listed file that is not there is no error
  > not all files listed … necessarily exist in every cgroup. Runtimes MUST NOT fail in this scenario, and SHOULD change
  > the ownership of the listed files that do exist
* an old kernel has a list, too
  > If the `/sys/kernel/cgroup/delegate` file does not exist, the runtime MUST fall back to … the following list …
  > The runtime SHOULD NOT change the ownership of any other files.

== config-linux.md#allowed-device-list
devices = which devices may be used
* rules apply in the listed order
  > The runtime MUST apply entries in the listed order.
allow = allowed or denied
type = a, c or b
major, minor = numbers; absent for all
access = r, w, m

== config-linux.md#memory
memory = the memory controller
limit = bytes; memory.max
reservation = bytes; memory.low
swap = bytes of memory and swap; memory.swap.max is without memory
kernel = of cgroup v1; an error where there is only v2
kernelTCP = of cgroup v1; an error where there is only v2
swappiness = of cgroup v1; an error where there is only v2
disableOOMKiller = of cgroup v1; an error where there is only v2
useHierarchy = of cgroup v1; what v2 always does
checkBeforeUpdate = look before a limit is set
* a limit below the use is refused
  > MAY check if a new memory limit is lower than the current usage, and MUST reject the new limit

== config-linux.md#cpu
cpu = the cpu and cpuset controllers
shares = cpu.weight, by the formula of 2025
quota = us in a period; cpu.max
* quota is not smaller than burst
  > it MUST be no smaller than `burst`
burst = us; cpu.max.burst
* burst is not larger than a positive quota
  > this value MUST be no larger than any positive `quota`
period = us; cpu.max
realtimeRuntime = of cgroup v1; an error where there is only v2
realtimePeriod = of cgroup v1; an error where there is only v2
cpus = cpuset.cpus
mems = cpuset.mems
idle = cpu.idle

== config-linux.md#block-io
blockIO = the io controller
weight = io.bfq.weight where there is one, else io.weight
leafWeight = of cgroup v1; an error where there is only v2
weightDevice = weights for single devices
weightDevice.major, minor = the device
weightDevice.weight = io.bfq.weight or io.weight for the device
weightDevice.leafWeight = of cgroup v1; an error where there is only v2
* an entry has one of the weights
  > You MUST specify at least one of `weight` or `leafWeight` in a given entry
throttleReadBpsDevice = io.max rbps
throttleWriteBpsDevice = io.max wbps
throttleReadIOPSDevice = io.max riops
throttleWriteIOPSDevice = io.max wiops
throttle….major, minor = the device
throttle….rate = bytes or operations in a second

== config-linux.md#huge-page-limits
hugepageLimits = the hugetlb controller
pageSize = 64KB, 2MB, 1GB
limit = bytes of reservations and of use

== config-linux.md#network
network = net_cls and net_prio of cgroup v1; an error where there is only v2
classID = of cgroup v1; an error where there is only v2
priorities = of cgroup v1; an error where there is only v2
priorities.name = of cgroup v1; an error where there is only v2
priorities.priority = of cgroup v1; an error where there is only v2

== config-linux.md#pids
pids = the pids controller
limit = processes and threads; pids.max
* 0 is a limit
  > `0` is a valid limit value … and SHOULD be treated as such

== config-linux.md#rdma
rdma = the rdma controller, by device
hcaHandles = rdma.max hca_handle
hcaObjects = rdma.max hca_object
* an entry has one of the limits
  > You MUST specify at least one of the `hcaHandles` or `hcaObjects` in a given entry

== config-linux.md#unified
unified = files of cgroup v2 and what is written into them
* controllers that are needed are enabled
  > MUST ensure that the needed cgroup controllers are enabled
* unknown files are written, too
  > Configuration unknown to the runtime MUST still be written to the relevant file.
* a controller that is not there is an error
  > MUST generate an error when the configuration refers to a cgroup controller that is not present or that cannot be
  > enabled
* what cannot be converted from cgroup v1 is an error
  > If the conversion is not possible the runtime MUST generate an error.

== config-linux.md#intelrdt
intelRdt = a resctrl group for the container
* the process's id is written to tasks
  > MUST write the container process ID to the `tasks` file in a proper sub-directory in a mounted `resctrl`
* an error where resctrl is not mounted
  > If no mounted `resctrl` pseudo-filesystem is available … the runtime MUST generate an error.
* nothing is done where it is not set
  > If `intelRdt` is not set, the runtime MUST NOT manipulate any `resctrl` pseudo-filesystems.
closID = the group; without, one with the container's id
* closID / is the default class
  > value `/` means that the container MUST be assigned to the default CLOS
l3CacheSchema = an L3: line of schemata
memBwSchema = an MB: line of schemata
* memBwSchema begins with MB:
  > The value MUST start with `MB:` and MUST NOT contain newlines.
schemata = lines of schemata
* schemata are single lines
  > Each element represents one line … The value MUST NOT contain newlines.
enableMonitoring = a monitoring group of its own
* l3CacheSchema is written before memBwSchema
  > rules on parameters MUST be applied … both … are set, runtimes MUST write the values to the `schemata` file …
  > MUST write `l3CacheSchema` first and `memBwSchema` last
* either of them is written
  > If either `l3CacheSchema` or `memBwSchema` is set, runtimes MUST write the value to the `schemata` file
* schemata are written last
  > If `schemata` field is set, runtimes MUST write the value … must be written last
* schemata is not written where nothing is set
  > runtimes MUST NOT write to `schemata` files in any `resctrl` pseudo-filesystems
* without closID the group has the container's id
  > If `closID` is not set, runtimes MUST use the container ID … and create the `<container-id>` directory.
* a missing closID directory is made
  > if `closID` directory … doesn't exist, the runtimes MUST create it
* an existing closID directory is compared
  > MUST compare `l3CacheSchema` and/or `memBwSchema` value with `schemata` file, and generate an error if doesn't match
* closID alone names a prepared group
  > MUST check if corresponding pre-configured directory `closID` is present … MUST assign container to this `closID`
  > and generate an error if directory does not exist
* its own group goes with the container
  > the runtime MUST remove the sub-directory when the container is deleted
* a group that closID names stays
  > the runtime MUST NOT remove the sub-directory when the container is deleted
* enableMonitoring makes a MON group, which goes with the container
  > MUST create a dedicated MON group … MUST use the container ID … MUST delete the MON group after the container is
  > deleted
* an error where the MON group cannot be made
  > If creation of the MON group fails … the runtime MUST return an error.

== config-linux.md#memory-policy
memoryPolicy = from which NUMA nodes memory comes
mode = MPOL_DEFAULT and its kin
nodes = a list as of cpus
flags = MPOL_F_STATIC_NODES and its kin

== config-linux.md#sysctl
sysctl = kernel parameters of the container's namespaces

== config-linux.md#seccomp
seccomp = filter of system calls
defaultAction = for what no rule matches
defaultErrnoRet = for a default action with an errno; EPERM when absent
* defaultErrnoRet without use is an error
  > When the action doesn't support an errno, the runtime MUST print and error and fail.
architectures = whose system calls are filtered; the machine's own always
flags = of seccomp(2)
listenerPath = socket that gets the notification descriptor
* listenerPath is a unix stream socket
  > This socket MUST use `AF_UNIX` domain and `SOCK_STREAM` type.
* one state for each connection, which is closed then
  > MUST send exactly one container process state per connection. The connection MUST NOT be reused and it MUST be
  > closed after sending a seccomp state.
* a listener that does not answer is an error
  > If sending to this socket fails, the runtime MUST generate an error.
listenerMetadata = words for the listener
* listenerMetadata needs listenerPath
  > This field MUST NOT be set if `listenerPath` is not set.
syscalls = rules
syscalls.names = of system calls
* names has an entry
  > `names` MUST contain at least one entry.
syscalls.action = SCMP_ACT_ERRNO and its kin
syscalls.errnoRet = for an action with an errno; EPERM when absent
* errnoRet without use is an error
  > When the action doesn't support an errno, the runtime MUST print and error and fail.
syscalls.args = conditions on arguments
syscalls.args.index = which argument
syscalls.args.value = compared with it
syscalls.args.valueTwo = for SCMP_CMP_MASKED_EQ
syscalls.args.op = SCMP_CMP_EQ and its kin

== config-linux.md#the-container-process-state
* the state is JSON, descriptors come by SCM_RIGHTS
  > MUST send the container process state over the UNIX socket as regular payload serialized in JSON and file
  > descriptors MUST be sent using `SCM_RIGHTS`
* descriptors come with the first message
  > the file descriptors MUST be sent only in the first call
ociVersion = as in the state
fds = names of the descriptors
pid = as the runtime has it
metadata = listenerMetadata
state = of the container

== config-linux.md#rootfs-mount-propagation
rootfsPropagation = shared, slave, private or unbindable

== config-linux.md#masked-paths
maskedPaths = files and folders that cannot be read
* masked paths are absolute
  > The values MUST be absolute paths in the container namespace.

== config-linux.md#readonly-paths
readonlyPaths = files and folders that cannot be written
* read-only paths are absolute
  > The values MUST be absolute paths in the container namespace.

== config-linux.md#mount-label
mountLabel = SELinux context of the mounts

== config-linux.md#personality
personality = execution domain, personality(2)
domain = LINUX or LINUX32
flags = of personality(2), which the specification leaves open
"""
