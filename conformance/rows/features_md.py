"""Rows of features.md and features-linux.md. How to read them: conformance/rows/__init__.py."""

TEXT = """
== features.md#features-structure
* the features do not depend on the host
  > the content of the Features structure SHOULD be determined on the compilation time of the runtime
* null is not an empty value
  > The `null` value MUST NOT be confused with an empty value

== features.md#specification-version
ociVersionMin = the oldest version
* a config of ociVersionMin is accepted
  > The runtime MUST accept this value as the `ociVersion` property of `config.json`.
ociVersionMax = the newest version
* a config of ociVersionMax is accepted
  > The runtime MUST accept this value as the `ociVersion` property of `config.json`.
* ociVersionMax is not less than ociVersionMin
  > The value MUST NOT be less than the value of the `ociVersionMin` property.
* no property of a later version is there
  > MUST NOT contain properties that are not defined in this version

== features.md#hooks
hooks = kinds of hooks
* each kind is supported
  > MUST support the elements in this array as the `hooks` property

== features.md#mount-options
mountOptions = options of mounts
* each option is recognized
  > MUST recognize the elements in this array as the `options` of `mounts` objects
* no option of a file system is there
  > this array SHOULD NOT contain filesystem-specific mount options

== features.md#platform-specific-features
linux = the next document

== features.md#annotations
annotations = about the runtime
* annotations are a map of strings
  > Annotations MUST be a key-value map that follows the same convention

== features.md#unsafe-annotations-in-configjson
potentiallyUnsafeConfigAnnotations = annotations that change what the runtime does

== features-linux.md#namespaces
namespaces = types of namespaces
* each type is recognized
  > MUST recognize the elements in this array as the `type` of `linux.namespaces` objects

== features-linux.md#capabilities
capabilities = names of capabilities
* each name is recognized
  > MUST recognize the elements in this array in the `process.capabilities` object

== features-linux.md#cgroup
cgroup = what of cgroups is there
v1 = no
v2 = yes
systemd = the systemd driver
systemdUser = the systemd driver of users
rdma = the rdma controller

== features-linux.md#seccomp
seccomp = what of seccomp is there
enabled = as built
actions = names of actions
* each action is recognized
  > MUST recognize the elements in this array in the `syscalls[].action` property
operators = names of operators
* each operator is recognized
  > MUST recognize the elements in this array in the `syscalls[].args[].op` property
archs = names of architectures
* each architecture is recognized
  > MUST recognize the elements in this array in the `architectures` property
knownFlags = names of flags
* each known flag is recognized
  > MUST recognize the elements in this array in the `flags` property
supportedFlags = names of flags that this kernel has
* each supported flag is supported
  > MUST recognize and support the elements in this array in the `flags` property

== features-linux.md#apparmor
apparmor = whether profiles are applied
enabled = yes

== features-linux.md#selinux
selinux = whether labels are applied
enabled = yes

== features-linux.md#memorypolicy
memoryPolicy = what of memory policies is there
modes = names of modes
* each mode is recognized
  > MUST recognize the elements in this array as the `mode` of `linux.memoryPolicy` objects
flags = names of flags
* each flag is recognized
  > MUST recognize the elements in this in the `flags` property of the `linux.memoryPolicy` object

== features-linux.md#intel-rdt
intelRdt = what of resctrl is there
enabled = yes
schemata = yes
monitoring = yes

== features-linux.md#mountextensions
mountExtensions = idmap
idmap = whether mounts are id-mapped
idmap.enabled = yes
* id-mapped mounts are announced
  > runtimes MUST still set this value to `true`, to indicate that the runtime recognises the `uidMappings` and
  > `gidMappings` properties

== features-linux.md#netdevices
netDevices = whether network devices are moved
enabled = yes
"""
