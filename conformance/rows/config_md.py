"""Rows of config.md. How to read them: conformance/rows/__init__.py."""

TEXT = """
== config.md#specification-version
ociVersion = version of the specification that the bundle keeps to
* ociVersion is a semantic version
  > MUST be in SemVer v2.0.0 format

== config.md#root
root = the root file system; needed everywhere but for Hyper-V
root.path = absolute, or counted from the bundle
* a directory is at root.path
  > A directory MUST exist at the path declared by the field.
root.readonly = false when absent
* a readonly root cannot be written
  > If true then the root filesystem MUST be read-only inside the container

== config.md#mounts
mounts = mounts beyond the root
* mounts are made in the listed order
  > The runtime MUST mount entries in the listed order.
destination = place in the container
* a relative destination counts from /
  > This value SHOULD be an absolute path. … it MAY be a relative path, in which case it MUST be interpreted as relative
  > to "/"
source = device, folder or name; that of a bind mount may count from the bundle
options = the options of the next chapter, and the file system's own
* unknown options go to the file system
  > Runtimes SHOULD treat unknown options as filesystem-specific ones

== config.md#linux-mount-options
async = MUST
atime = MUST
bind = MUST
defaults = MUST
dev = MUST
diratime = MUST
dirsync = MUST
exec = MUST
iversion = MUST
lazytime = MUST
loud = MUST
mand = MAY
noatime = MUST
nodev = MUST
nodiratime = MUST
noexec = MUST
noiversion = MUST
nolazytime = MUST
nomand = MAY
norelatime = MUST
nostrictatime = MUST
nosuid = MUST
nosymfollow = SHOULD
private = MUST
ratime = SHOULD
rbind = MUST
rdev = SHOULD
rdiratime = SHOULD
relatime = MUST
remount = MUST
rexec = SHOULD
rnoatime = SHOULD
rnodev = as rnosuid; the list of the specification has forgotten it
rnodiratime = SHOULD
rnoexec = SHOULD
rnorelatime = SHOULD
rnostrictatime = SHOULD
rnosuid = SHOULD
rnosymfollow = SHOULD
ro = MUST
rprivate = MUST
rrelatime = SHOULD
rro = SHOULD
rrw = SHOULD
rshared = MUST
rslave = MUST
rstrictatime = SHOULD
rsuid = SHOULD
rsymfollow = SHOULD
runbindable = MUST
rw = MUST
shared = MUST
silent = MUST
slave = MUST
strictatime = MUST
suid = MUST
symfollow = SHOULD
sync = MUST
tmpcopyup = MAY
unbindable = MUST
idmap = SHOULD
* an idmap mount has its mapping
  > the mount MUST have an idmapping applied … This option SHOULD NOT be passed to the underlying `mount(2)` call
* the mount's own mappings are used
  > If `uidMappings` or `gidMappings` are specified for the mount, the runtime MUST use those values
* idmap without mappings takes the user namespace's
  > the runtime MAY use the container's user namespace mapping, otherwise an error MUST be returned
* without mappings and user namespace idmap is an error
  > no `uidMappings` and `gidMappings` specified and the container isn't using user namespaces, an error MUST be
  > returned
ridmap = SHOULD
* ridmap maps recursively
  > the mapping is applied recursively

== config.md#posix-platform-mounts
type = file system; of no account for bind mounts
uidMappings = whose files are whose in the mount
gidMappings = the same for groups
* mappings of a mount come in pairs
  > If specified, it MUST be specified along with `gidMappings`. … If specified, it MUST be specified along with
  > `uidMappings`.

== config.md#process
process = the container's process
* start needs a process
  > This property is REQUIRED when `start` is called.
terminal = a pseudoterminal on the standard streams
consoleSize = characters; with height and width
consoleSize.height = rows
consoleSize.width = columns
* consoleSize without a terminal is ignored
  > Runtimes MUST ignore `consoleSize` if `terminal` is `false` or unset.
cwd = working directory
* cwd is absolute
  > This value MUST be an absolute path.
env = environment, as environ of IEEE 1003.1
args = program and arguments, as execvp of IEEE 1003.1
commandLine = of Windows: ignored
* args has an entry
  > at least one entry is REQUIRED

== config.md#posix-process
rlimits = resource limits of the process
rlimits.type = name of getrlimit(2)
* an unknown rlimit is an error
  > MUST generate an error for any values which cannot be mapped to a relevant kernel interface
* every rlimit can be read back
  > For each entry in `rlimits`, a `getrlimit(3)` on `type` MUST succeed.
rlimits.soft = the limit in force
* rlim_cur is soft
  > `rlim.rlim_cur` MUST match the configured value.
rlimits.hard = how far an unprivileged process may raise it
* rlim_max is hard
  > `rlim.rlim_max` MUST match the configured value.
* a type that stands twice is an error
  > If `rlimits` contains duplicated entries with same `type`, the runtime MUST generate an error.

== config.md#linux-process
apparmorProfile = AppArmor profile of the process
capabilities = the sets of capabilities
* capabilities that cannot be granted are a warning
  > MUST be logged as a warning by the runtime … Runtimes SHOULD NOT fail
capabilities.effective = as capget(2) shows it
capabilities.bounding = what can be gained by execve at all
capabilities.inheritable = kept over execve of a file that has them inheritable
capabilities.permitted = what may be made effective
capabilities.ambient = kept over execve without being root
noNewPrivileges = no_new_privs of prctl(2)
oomScoreAdj = oom_score_adj of the process
* oom_score_adj is set to the value
  > If `oomScoreAdj` is set, the runtime MUST set `oom_score_adj` to the given value.
* oom_score_adj is left alone without it
  > If `oomScoreAdj` is not set, the runtime MUST NOT change the value of `oom_score_adj`.
scheduler = scheduling attributes, sched_setattr(2)
scheduler.policy = SCHED_OTHER and its kin
scheduler.nice = 0 when absent
scheduler.priority = for the realtime policies; 0 when absent
scheduler.flags = SCHED_FLAG_RESET_ON_FORK and its kin
scheduler.runtime = ns, for SCHED_DEADLINE
scheduler.deadline = ns, for SCHED_DEADLINE
scheduler.period = ns, for SCHED_DEADLINE
selinuxLabel = SELinux label of the process and of its session keyring
ioPriority = ioprio_set(2) of the process, which its children inherit
ioPriority.class = IOPRIO_CLASS_RT, BE or IDLE
ioPriority.priority = 0 to 7
execCPUAffinity = CPUs for processes of exec
execCPUAffinity.initial = before the container's cgroup is entered
execCPUAffinity.final = afterwards
* without final the affinity is left alone
  > If omitted or empty, runtime SHOULD NOT change process' CPU affinity after the process is moved to container's
  > cgroup

== config.md#posix-platform-user
user = who the process is
uid = as the container has it
gid = as the container has it
umask = as umask(2)
additionalGids = supplementary groups

== config.md#windows-user
username = of Windows: ignored

== config.md#hostname
hostname = of the container's uts namespace

== config.md#domainname
domainname = of the container's uts namespace

== config.md#platform-specific-configuration
linux = the next document
freebsd, solaris, vm, windows, zos = of other platforms: ignored

== config.md#posix-platform-hooks
hooks = programs that run at points of the container's life
path = program; as execv of IEEE 1003.1
* the path of a hook is absolute
  > `path` MUST be absolute
args = as execv's argv
env = as environ
timeout = seconds until the hook is ended
* a timeout is greater than zero
  > If set, `timeout` MUST be greater than zero.
* hooks run in the listed order
  > Hooks MUST be called in the listed order.
* the state is on a hook's standard input
  > The state of the container MUST be passed to hooks over stdin

== config.md#prestart
prestart = deprecated; before createRuntime
* prestart is part of create, before the root is switched
  > MUST be called as part of the `create` operation … before the `pivot_root`
* prestart comes before createRuntime
  > The `prestart` hooks MUST be called before the `createRuntime` hooks.
* the path is of the runtime namespace
  > path MUST resolve in the runtime namespace
* it runs in the runtime namespace
  > MUST be executed in the runtime namespace

== config.md#createruntime-hooks
createRuntime = during create, in the runtime
* createRuntime is part of create, before the root is switched
  > MUST be called as part of the `create` operation … before the `pivot_root`
* the path is of the runtime namespace
  > path MUST resolve in the runtime namespace
* it runs in the runtime namespace
  > MUST be executed in the runtime namespace

== config.md#createcontainer-hooks
createContainer = during create, in the container's namespaces
* createContainer is part of create, before the root is switched
  > MUST be called as part of the `create` operation … before the `pivot_root`
* createContainer comes after createRuntime
  > The `createContainer` hooks MUST be called after the `createRuntime` hooks.
* the path is of the runtime namespace
  > path MUST resolve in the runtime namespace
* it runs in the container namespace
  > MUST be executed in the container namespace

== config.md#startcontainer-hooks
startContainer = during start, in the container
* startContainer comes before the program
  > MUST be called before the user-specified process is executed as part of the `start` operation
* the path is of the container namespace
  > path MUST resolve in the container namespace
* it runs in the container namespace
  > MUST be executed in the container namespace

== config.md#poststart
poststart = during start, in the runtime
* poststart comes after the program has started, before start returns
  > MUST be called after the user-specified process is executed but before the `start` operation returns
* the path is of the runtime namespace
  > path MUST resolve in the runtime namespace
* it runs in the runtime namespace
  > MUST be executed in the runtime namespace

== config.md#poststop
poststop = during delete, in the runtime
* poststop comes when the container is deleted, before delete returns
  > MUST be called after the container is deleted but before the `delete` operation returns
* the path is of the runtime namespace
  > path MUST resolve in the runtime namespace
* it runs in the runtime namespace
  > MUST be executed in the runtime namespace

== config.md#annotations
annotations = a map of the engine's and the user's own
* annotations are a map
  > Annotations MUST be a key-value map.
* keys are strings and not empty
  > Keys MUST be strings. Keys MUST NOT be an empty string.
* values are strings
  > Values MUST be strings.
* unknown annotations are ignored
  > Runtimes MUST handle unknown annotation keys like any other unknown property.
* annotations of the org.opencontainers namespace are taken as they are
  > annotations using keys in this namespace MUST be as described in this section

== config.md#extensibility
* unknown properties are ignored
  > Runtimes MAY log unknown properties but MUST otherwise ignore them.

== config.md#valid-values
* invalid and unsupported values are errors
  > Runtimes MUST generate an error when invalid or unsupported values are encountered.
"""
