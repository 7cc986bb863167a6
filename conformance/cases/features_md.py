"""features.md: what `features` prints is true of the runtime."""
from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from ..harness import bundles, isolation
from ..harness.trial import Trial, status
from ..model import Fails, NotOffered, case, each
from ..rows import rows

HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")

#: By their numbers (capability.h of Linux 6.18; the last one is of 5.9).
NAMES = """
CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""
CAPABILITIES = tuple(f"CAP_{name}" for name in NAMES.split())

#: One filter cannot be for processors of both byte orders, and the machines of today are of the other one.
BIG_ENDIAN = {f"SCMP_ARCH_{name}" for name in (
    "MIPS", "MIPS64", "MIPS64N32", "PPC", "PPC64", "S390", "S390X", "PARISC", "PARISC64", "SHEB", "M68K")}


def features(t: Trial) -> dict[str, Any]:
    found = t.program.features
    if found is None:
        raise NotOffered("the runtime has no command `features`")
    return found


@case("features.md#specification-version", "ociVersionMin", "ociVersionMax",
      "ociVersionMax is not less than ociVersionMin")
def versions(t: Trial) -> None:
    """ociVersionMin and ociVersionMax are semantic versions, and the one is not above the other"""
    found = features(t)
    numbers = []
    for name in ("ociVersionMin", "ociVersionMax"):
        match = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?", str(found.get(name)))
        if match is None:
            raise Fails(f"{name} is {found.get(name)!r}")
        numbers.append([int(part) for part in match.groups()[:3]])
    t.true(numbers[0] <= numbers[1], f"{found['ociVersionMin']} is above {found['ociVersionMax']}")


@each("features.md#specification-version", {
    name: (f"a config of {name} is accepted", name) for name in ("ociVersionMin", "ociVersionMax")})
def version_is_accepted(t: Trial, name: str) -> None:
    """A bundle of this version runs"""
    t.inside("true", ociVersion=features(t)[name])


@case("features.md#hooks", "each kind is supported", "hooks")
def hooks(t: Trial) -> None:
    """Each kind of hook that is named runs"""
    named = features(t).get("hooks") or []
    t.true(named, "no kind of hook is named")
    t.true(set(named) <= set(HOOKS), f"kinds that are none: {set(named) - set(HOOKS)}")
    bundle = t.place / "bundle-1"
    made = t.create(hooks={kind: [t.hook(f"echo {kind} >> {'' if kind == 'startContainer' else bundle / 'rootfs'}/ran")]
                           for kind in named}).start()
    made.wait()
    t.runtime.wait_for(made.id, "stopped")
    made.delete()
    t.equal(sorted((bundle / "rootfs/ran").read_text().split()), sorted(named), "hooks that ran")


@case("features.md#mount-options", "mountOptions", "no option of a file system is there")
def mount_options(t: Trial) -> None:
    """mountOptions has options, and none of a file system"""
    named = features(t).get("mountOptions") or []
    t.true(named, "no option is named")
    t.true(not set(named) & {"size", "mode", "gid", "uid", "hidepid", "newinstance", "ptmxmode", "nr_inodes"},
           "an option of a file system is named")


@case("features.md#mount-options", "each option is recognized")
def mount_options_are_recognized(t: Trial) -> None:
    """A mount with any option of mountOptions is made"""
    special = {"idmap", "ridmap", "remount", "bind", "rbind", "mand", "move"}
    refused = []
    for option in features(t).get("mountOptions") or []:
        if option in special or option in ("acl", "noacl"):
            continue
        id = t.new_id()
        # A tmpfs refuses what is no option at all, where bind mounts have it left aside; but a runtime's own options,
        # as src-nofollow, may be for bind mounts only.
        known = ("config.md#linux-mount-options", option) in rows()
        entry = bundles.tmpfs("/mnt", option) if known else bundles.bind(t.decoy(), "/mnt", option)
        bundle = t.bundle(mounts=[*bundles.MOUNTS, entry])
        if (done := t.runtime("create", "--bundle", bundle, id)).status:
            refused.append(f"{option}: {done.stderr.strip()[-200:]}")
        else:
            t.runtime("delete", "--force", id)
    t.equal(refused, [], "options that are named and refused")


@case("features-linux.md#namespaces", "namespaces", "each type is recognized")
def namespaces(t: Trial) -> None:
    """A container can have each type of namespace that is named"""
    named = (features(t).get("linux") or {}).get("namespaces") or []
    t.true(named, "no type is named")
    user = {kind: [{"containerID": 0, "hostID": 100000, "size": 65536}] for kind in ("uidMappings", "gidMappings")}
    for kind in named:
        t.inside("true", linux={"namespaces": bundles.namespaces(*sorted({"mount", "pid", kind})),
                                **(user if kind == "user" else {})})


@case("features-linux.md#capabilities", "capabilities", "each name is recognized")
def capabilities(t: Trial) -> None:
    """The capabilities that are named are taken"""
    named = (features(t).get("linux") or {}).get("capabilities") or []
    t.true("CAP_CHOWN" in named, f"names are {named}")
    t.equal(sorted(set(named) - set(CAPABILITIES)), [], "names that are no capabilities")
    said = t.inside("sed -n 's/^CapBnd:.//p' /proc/self/status", process={"capabilities": {"bounding": named}})
    # What the kernel or the caller has not got cannot be given.
    here = int(status()["CapBnd"], 16)
    wanted = sum(1 << CAPABILITIES.index(name) for name in named) & here
    t.equal(int(said, 16), wanted, "bounding set")


@case("features-linux.md#seccomp", "seccomp", "enabled", "actions", "each action is recognized", "operators",
      "each operator is recognized", "archs", "each architecture is recognized",
      also={"config-linux.md#seccomp": ("architectures",)})
def seccomp(t: Trial) -> None:
    """A filter can have each action, operator and architecture that is named"""
    found = (features(t).get("linux") or {}).get("seccomp") or {}
    if not found.get("enabled"):
        raise NotOffered("features: linux.seccomp.enabled is not true")
    actions = [name for name in found.get("actions") or [] if name not in ("SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE")]
    rules = [{"names": ["swapoff"], "action": action} for action in actions if action != "SCMP_ACT_ALLOW"][:1]
    rules += [{"names": ["swapon"], "action": "SCMP_ACT_ERRNO", "args": [
        {"index": 0, "value": 1, "valueTwo": 1, "op": op}]} for op in found.get("operators") or []]
    for action in actions:
        t.inside("true", linux={"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["swapoff"], "action": action if action != "SCMP_ACT_ALLOW" else "SCMP_ACT_ERRNO"}]}})
    t.inside("true", linux={"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules, "architectures": [
        name for name in found.get("archs") or [] if name not in BIG_ENDIAN]}})


@case("features.md#annotations", "annotations", "annotations are a map of strings")
def annotations_of_the_runtime(t: Trial) -> None:
    """annotations are a map of strings"""
    found = features(t).get("annotations") or {}
    t.true(isinstance(found, dict) and all(key and isinstance(value, str) for key, value in found.items()),
           f"annotations are {found!r}")


@case("features-linux.md#mountextensions", "mountExtensions", "idmap", "idmap.enabled",
      "id-mapped mounts are announced")
def idmap(t: Trial) -> None:
    """linux.mountExtensions.idmap.enabled is true or false: no other word is an answer"""
    said = ((features(t).get("linux") or {}).get("mountExtensions") or {}).get("idmap")
    if said is None:
        raise NotOffered("features: no linux.mountExtensions.idmap")
    t.true(isinstance(said.get("enabled"), bool), f"idmap is {said!r}")


@case("features.md#specification-version", "no property of a later version is there")
def properties_of_the_version(t: Trial) -> None:
    """What later versions of the specification have added is not there in an earlier one"""
    added = {(1, 2): ("linux.mountExtensions.idmap", "linux.netDevices", "linux.intelRdt.monitoring"),
             (1, 3): ("linux.memoryPolicy",)}
    found = features(t)
    version = tuple(int(part) for part in str(found.get("ociVersionMax")).split(".")[:2])
    early = []
    for since, paths in added.items():
        for path in paths if version < since and version >= (1, 1) else ():
            holder: Any = found
            for name in path.split("."):
                holder = holder.get(name) if isinstance(holder, dict) else None
            early += [path] if holder is not None else []
    t.equal(early, [], f"properties that {found.get('ociVersionMax')} has not")


@each("features-linux.md#seccomp", {
    name: ((row, name), name) for name, row in (("knownFlags", "each known flag is recognized"),
                                                ("supportedFlags", "each supported flag is supported"))},
    also={"config-linux.md#seccomp": ("flags",)})
def seccomp_flags(t: Trial, name: str) -> None:
    """A filter can have each flag that is named as supported; one that is known is no unknown word"""
    found = (features(t).get("linux") or {}).get("seccomp") or {}
    if not found.get(name):
        raise NotOffered(f"features: no linux.seccomp.{name}")
    for flag in found[name]:
        rules = [{"names": ["swapoff"], "action": "SCMP_ACT_ERRNO"}]
        linux = {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "flags": [flag], "syscalls": rules}}
        if flag in (found.get("supportedFlags") or []):
            if flag != "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV":        # is for filters with a listener only
                t.inside("true", linux=linux)
        else:
            t.true(flag.startswith("SECCOMP_FILTER_FLAG_"), f"{flag} is no flag")


@case("features.md#features-structure", "null is not an empty value")
def no_null_in_lists(t: Trial) -> None:
    """Where features tells of something, it has a value of the right kind"""
    kinds: dict[str, type] = {"hooks": list, "mountOptions": list, "annotations": dict, "linux": dict,
                              "potentiallyUnsafeConfigAnnotations": list}
    wrong = [name for name, kind in kinds.items() if name in features(t)
             and not (features(t)[name] is None or isinstance(features(t)[name], kind))]
    t.equal(wrong, [], "properties of another kind")


#: Properties of features that are true or false, by chapter.
ANSWERS = {"cgroup": ("v1", "v2", "systemd", "systemdUser", "rdma"), "apparmor": ("enabled",),
           "selinux": ("enabled",), "intelRdt": ("enabled", "schemata", "monitoring"), "netDevices": ("enabled",)}
CHAPTERS = {"intelRdt": "intel-rdt", "netDevices": "netdevices"}


def answers(t: Trial, part: str) -> None:
    """What features says of this part is true or false, and true of cgroup v2, in which this case runs"""
    found = (features(t).get("linux") or {}).get(part)
    if found is None:
        raise NotOffered(f"features: no linux.{part}")
    wrong = {name: found[name] for name in ANSWERS[part] if name in found and not isinstance(found[name], bool)}
    t.equal(wrong, {}, f"what is neither true nor false in linux.{part}")
    if part == "cgroup" and not t.program.without_cgroups:
        t.equal(found.get("v2"), True, "linux.cgroup.v2")


for _part, _names in ANSWERS.items():
    each(f"features-linux.md#{CHAPTERS.get(_part, _part)}", {_part: ((_part, *_names), _part)},
         also={"features.md#platform-specific-features": ("linux",)})(answers)


@case("features.md#unsafe-annotations-in-configjson", "potentiallyUnsafeConfigAnnotations")
def unsafe_annotations(t: Trial) -> None:
    """potentiallyUnsafeConfigAnnotations is a list of names, or of beginnings that end in a dot"""
    found = features(t).get("potentiallyUnsafeConfigAnnotations")
    if found is None:
        raise NotOffered("features: no potentiallyUnsafeConfigAnnotations")
    t.true(isinstance(found, list) and all(isinstance(name, str) and name for name in found), f"it is {found!r}")


@case("features.md#features-structure", "the features do not depend on the host")
def features_of_another_machine(t: Trial) -> None:
    """Where no cgroups and no security modules are to be seen, features prints the same"""
    features(t)
    before = t.runtime.ok("features").stdout
    hidden = [Path(name) for name in ("/sys/fs/cgroup", "/sys/kernel/security") if os.path.isdir(name)]
    for folder in hidden:
        isolation.mount("tmpfs", folder, "tmpfs")
    try:
        after = t.runtime.ok("features").stdout
    finally:
        for folder in hidden:
            isolation.unmount(folder)
    t.equal(json.loads(after), json.loads(before), "features without cgroups and security modules")
