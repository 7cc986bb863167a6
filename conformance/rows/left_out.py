"""Words of the specification with MUST, SHOULD or REQUIRED that have no row of their own, and why."""
from __future__ import annotations

WINDOWS, SOLARIS, V1 = "is for Windows", "is for Solaris", "is for cgroup v1"
AUTHOR = "is for whoever writes config.json"
IMAGE = "is for whoever makes a config.json of an image"
KERNEL = "names the kernel's interface, and the rows ask what comes of it"
AGAIN = "stands in another chapter once more, and has a row there"
EACH = "is about a list, and each entry has a row"
PROPERTY = "is about a property that has a row"
OTHERS = "is about options that the specification does not name"

HOOKS = "config.md#posix-platform-hooks"
MOUNTS, OPTIONS, POSIX = "config.md#mounts", "config.md#linux-mount-options", "config.md#posix-platform-mounts"
ANNOTATIONS = "config.md#annotations"
OF_IMAGES = ("os", "os.version", "os.features", "architecture", "variant", "author", "created", "config.StopSignal")

#: (chapter, the specification's words, reason)
LEFT_OUT: tuple[tuple[str, str, str], ...] = (
    ("config.md#root", "On Windows, for Windows Server Containers, this field is REQUIRED.", WINDOWS),
    ("config.md#root", "For Hyper-V Containers, this field MUST NOT be set.", WINDOWS),
    ("config.md#root", "On all other platforms, this field is REQUIRED.", PROPERTY),
    ("config.md#root", "On Windows, `path` MUST be a volume GUID path", WINDOWS),
    ("config.md#root", "The value SHOULD be the conventional `rootfs`.", AUTHOR),
    ("config.md#root", "On Windows, this field MUST be omitted or false.", WINDOWS),
    (MOUNTS, "Windows: This value MUST be an absolute path.", WINDOWS),
    (MOUNTS, "One mount destination MUST NOT be nested within another mount", WINDOWS),
    (MOUNTS, "Solaris: This value MUST be an absolute path.", SOLARIS),
    (MOUNTS, "For all other platforms: This value MUST be an absolute path.", "is for platforms beside Linux"),
    (MOUNTS, "Windows: runtimes MUST support `ro`", WINDOWS),
    (OPTIONS, "Runtimes MUST/SHOULD/MAY implement the following option strings for Linux", EACH),
    (OPTIONS, "This SHOULD be implemented using", KERNEL),
    (OPTIONS, 'The "MUST" options correspond to', EACH),
    (OPTIONS, "If a custom option string is already recognized by mount(8), the runtime SHOULD follow", OTHERS),
    (POSIX, "This SHOULD be implemented using", KERNEL),
    (POSIX, "the `options` field of the `mounts` structure SHOULD contain either `idmap` or `ridmap`", AUTHOR),
    ("config.md#process", "`commandLine` is REQUIRED if this field is omitted", WINDOWS),
    ("config.md#platform-specific-configuration", "This MUST be set if the target platform of this spec is `windows`",
     WINDOWS),
    (HOOKS, "The value of `path` MUST resolve in the runtime namespace", AGAIN),
    (HOOKS, "The value of `path` MUST resolve in the container namespace", AGAIN),
    (HOOKS, "hooks MUST be executed in the runtime namespace", AGAIN),
    (HOOKS, "hooks MUST be executed in the container namespace", AGAIN),
    (ANNOTATIONS, "Keys SHOULD be named using a reverse domain notation", AUTHOR),
    *((ANNOTATIONS, f"The annotation value MUST have a valid value for the `{name}` property", IMAGE)
      for name in OF_IMAGES),
    (ANNOTATIONS, "This annotation SHOULD only be used in accordance with", IMAGE),
    (ANNOTATIONS, "Indicates signal that SHOULD be sent by", "is for engines, which say a signal"),
    (ANNOTATIONS, "reserved and MUST NOT be used by subsequent specifications", "is for later specifications"),
    ("config-linux.md#namespaces", "The following namespace types SHOULD be supported", EACH),
    ("config-linux.md#devices", "The same `type`, `major` and `minor` SHOULD NOT be used for multiple devices", AUTHOR),
    ("config-linux.md#cgroup-ownership",
     "Runtimes SHOULD NOT change the ownership of container cgroups when cgroups v1 is in use", V1),
    ("config-linux.md#intelrdt", "The value SHOULD start with `L3:` and SHOULD NOT contain newlines.", AUTHOR),
    ("config-linux.md#seccomp", "`seccompFd` (string, REQUIRED)", PROPERTY),
    ("config-linux.md#the-container-process-state", "`state` (state, REQUIRED)", PROPERTY),
)
