"""Mutants of demands about errors, hooks' places, network devices, the listener of seccomp, and features."""
from __future__ import annotations

from .changes import (
    address_flushed,
    config_from,
    decoded,
    device_again,
    drop,
    entries,
    features,
    force,
    hooks,
    hooks_of_now,
    in_root,
    in_runtime,
    later,
    leaves_a_folder,
    link_changed,
    mount_options,
    namespace,
    of,
    path_in_root,
    put,
    unmapped,
    without,
    wrapped,
)
from .listener import between
from .wrapper import Mutant

NETWORK, SECCOMP, LISTENER, RESOURCES = (
    f"config_linux_md_{name}" for name in ("netdevices", "seccomp", "listener", "resources"))
PROCESS = "config_md_process"

MUTANTS = [
    # ---- bundle.md, glossary.md
    *(Mutant(f"config.json may be {name}", f"bundle_md.config_elsewhere[{name}]", before=config_from(name))
      for name in ("Config.json", "rootfs/config.json", "..")),
    Mutant("a bundle with a strange name is none", "bundle_md.bundle_in_another_directory",
           words=lambda command, words: [word.partition(":")[0] for word in words]),
    Mutant("config.json is Latin-1", "bundle_md.encoding_that_is_another[latin-1]", before=decoded("latin-1")),
    Mutant("config.json is UTF-16", "bundle_md.encoding_that_is_another[utf-16]", before=decoded("utf-16")),
    Mutant("what is beyond ASCII gets lost", "bundle_md.encoding_is_utf_8", before=decoded("ascii")),
    *(Mutant(f"the last of two names counts: {name}", f"bundle_md.name_that_stands_twice[{name}]",
             before=decoded("utf-8")) for name in ("root", "escaped")),
    # ---- runtime.md
    Mutant("a create that fails leaves something", "runtime_md.what_cannot_be_mounted", after=leaves_a_folder),
    Mutant("create leaves mounts out", "runtime_md.create_prepares_and_start_runs",
           config=of("mounts", lambda found: found[:3])),
    *(Mutant(f"an id that cannot be one stands for another: {name}", f"runtime_md.id_that_is_invalid[{name}]",
             words=lambda command, words, id=id: [  # type: ignore[misc]
                 *words[:-1], "another"] if command == "create" and words[-1] == id else words)
      for name, id in (("slash", "a/b"), ("dots", ".."), ("empty", ""))),
    # ---- errors of config.md
    *(Mutant(f"annotations are forgotten: {what}", "config_md.annotations_are_handed_on", config=of(
        "annotations", lambda found, ours=ours: {  # type: ignore[misc]
            key: value for key, value in found.items() if key.startswith("org.opencontainers.") is not ours}))
      for what, ours in (("those of org.opencontainers", True), ("unknown ones", False))),
    Mutant("a mount has other mappings than its own", "config_md_mounts.idmapped_mount", config=entries(
        "mounts", lambda entry: [entry[kind][0].update(hostID=5000) for kind in ("uidMappings", "gidMappings")
                                 if kind in entry])),
    Mutant("root.path may lead nowhere", "config_md.root_that_is_not_there", config=force("root.path", "rootfs")),
    Mutant("idmap of nothing is an ordinary mount", "config_md_mounts.idmap_of_nothing", config=without("idmap")),
    Mutant("a mapping without its pair is passed over", "config_md_mounts.mapping_without_its_pair",
           config=entries("mounts", unmapped)),
    Mutant("an annotation without a name is passed over", "config_md.annotations_that_are_none[empty key]",
           config=drop("annotations")),
    Mutant("idmap without mappings is an ordinary mount", "config_md_mounts.idmap_of_the_user_namespace",
           config=without("idmap")),
    Mutant("ridmap maps one mount only", "config_md_mounts.recursively_idmapped_mount", config=mount_options(
        lambda options: ["idmap" if word == "ridmap" else word for word in options])),
    *(Mutant(f"{word} is no option", f"config_md_mounts.mandatory_locks[{word}]", config=mount_options(
        lambda options: ["no such option" if word in ("mand", "nomand") else word for word in options]))
      for word in ("mand", "nomand")),
    Mutant("linux is of another platform", f"{PROCESS}.properties_of_other_platforms", config=drop("linux")),
    Mutant("a deadline is none", f"{PROCESS}.scheduler_with_a_deadline", config=drop("process.scheduler")),
    Mutant("exec begins on any processor", f"{PROCESS}.processors_of_exec_before_its_cgroup",
           config=drop("process.execCPUAffinity")),
    Mutant("apparmorProfile is not applied", f"{PROCESS}.apparmor_profile", config=drop("process.apparmorProfile")),
    Mutant("a profile that is not loaded is passed over", f"{PROCESS}.apparmor_profile_that_is_not_loaded",
           config=drop("process.apparmorProfile")),
    Mutant("a label that cannot be given is passed over", f"{PROCESS}.selinux_label_that_cannot_be_given",
           config=drop("process.selinuxLabel")),
    Mutant("flags of personality are passed over", f"{PROCESS}.personality_that_is_unknown[flag]",
           config=drop("linux.personality.flags")),
    # ---- properties that are REQUIRED
    *(Mutant(f"{path} need not be there", f"required.property_that_is_missing[{path}]", config=change)
      for path, change in (
          ("root", lambda config: config.setdefault("root", {"path": "rootfs"})),
          ("root.path", lambda config: config["root"].setdefault("path", "rootfs")),
          ("mounts.3.destination", entries("mounts", lambda entry: entry.setdefault("destination", "/mnt"))),
          ("process.cwd", lambda config: config["process"].setdefault("cwd", "/")),
          ("linux.devices.0.type", entries("linux.devices", lambda entry: entry.setdefault("type", "c"))),
          ("linux.namespaces.0.type", entries("linux.namespaces", lambda entry: entry.setdefault("type", "pid"))),
          ("hooks.createRuntime.0.path", entries("hooks.createRuntime", lambda entry: entry.setdefault(
              "path", "/bin/true"))))),
    # ---- where hooks run
    Mutant("startContainer hooks run in the runtime", "config_md_hooks.where_it_runs[startContainer]",
           config=in_runtime("startContainer")),
    Mutant("startContainer hooks are looked up in the runtime", "config_md_hooks.where_it_runs[startContainer]",
           config=later("startContainer", "createContainer")),
    *(Mutant(f"{kind} hooks run in other namespaces", f"config_md_hooks.where_it_runs[{kind}]",
             config=hooks(kind, wrapped("unshare -u -i -n"))) for kind in ("poststart", "poststop")),
    *(Mutant(f"{kind} hooks are looked up in the container", f"config_md_hooks.where_it_runs[{kind}]",
             config=path_in_root(kind)) for kind in ("poststart", "poststop")),
    Mutant("a poststop hook that fails ends the others", "config_md_hooks.failing_poststop",
           config=hooks("poststop", lambda found: found[:1])),
    Mutant("capabilities that are unknown take the others away", "runtime_md.a_warning_changes_nothing",
           config=put("process.capabilities", {})),
    *(Mutant(f"{kind} hooks are looked up in the container", f"config_md_hooks.where_it_runs[{kind}]",
             config=path_in_root(kind)) for kind in ("prestart", "createRuntime", "createContainer")),
    Mutant("createContainer comes before createRuntime", "config_md_hooks.order_of_kinds",
           config=later("createContainer", "prestart")),
    *(Mutant(f"poststop hooks do not run where a {kind} hook has failed", f"config_md_hooks.failing_hook[{kind}]",
             config=drop("hooks.poststop"))
      for kind in ("prestart", "createRuntime", "createContainer", "startContainer", "poststart")),
    *(Mutant(f"{kind} hooks are those of a later config.json", "runtime_md.config_changes_after_create",
             before=hooks_of_now(kind, command)) for kind, command in (("poststart", "start"), ("poststop", "delete"))),
    # ---- config-linux.md
    Mutant("a relative path of a namespace is passed over", "config_linux_md.path_that_is_relative",
           config=namespace("uts", lambda found, entry: entry.pop("path", None))),
    *(Mutant(f"{what} paths that are relative are passed over", f"config_linux_md.paths_that_are_relative[{what}]",
             config=drop(f"linux.{name}")) for what, name in (("masked", "maskedPaths"),
                                                              ("read-only", "readonlyPaths"))),
    Mutant("a burst above the quota is passed over", "config_linux_md.burst_above_quota",
           config=drop("linux.resources.cpu")),
    Mutant("files that are unknown are not written", "config_linux_md.unified_of_an_unknown_file",
           config=drop("linux.resources.unified")),
    *(Mutant(f"{what} of cgroup v1 is passed over: {name}", f"{RESOURCES}.value_of_cgroup_v1[{name}]",
             config=drop(f"linux.resources.{what}")) for what, name in (
                 ("memory", "swappiness"), ("cpu", "realtimeRuntime"), ("blockIO", "leafWeight"),
                 ("blockIO", "leafWeight of a device"), ("network", "classID"))),
    *(Mutant(f"{name} is not set", f"{RESOURCES}.{case}", config=drop(f"linux.resources.{what}"))
      for name, what, case in (
          ("cpu.shares", "cpu", "shares"), ("cpu.burst", "cpu", "burst"), ("cpu.idle", "cpu", "idle"),
          ("blockIO.weight", "blockIO", "weight_of_block_devices"),
          ("weightDevice", "blockIO", "weight_of_a_block_device"), ("pids.limit of 0", "pids", "no_process_more"),
          ("hugepageLimits", "hugepageLimits", "huge_pages"),
          *((kind, "blockIO", f"throttle[{kind}]") for kind in ("rbps", "wbps", "riops", "wiops")))),
    Mutant("ioPriority is not set", f"{RESOURCES}.priority_of_input_and_output[IOPRIO_CLASS_BE]",
           config=drop("process.ioPriority")),
    *(Mutant(f"the {name} of a real-time policy is not set", f"{RESOURCES}.scheduler_of_real_time",
             config=put(f"process.scheduler.{key}", value)) for name, key, value in (
                 ("priority", "priority", 1), ("flag", "flags", []))),
    Mutant("execCPUAffinity is passed over", f"{RESOURCES}.processors_of_exec",
           config=drop("process.execCPUAffinity")),
    Mutant("intelRdt is passed over", "config_linux_md.intel_rdt_without_resctrl", config=drop("linux.intelRdt")),
    # ---- network devices
    Mutant("devices that cannot move are passed over", f"{NETWORK}.device_that_cannot_move",
           config=drop("linux.netDevices")),
    Mutant("a device whose name is taken is passed over", f"{NETWORK}.name_that_is_taken",
           config=drop("linux.netDevices")),
    Mutant("%d is left out", f"{NETWORK}.name_with_a_number",
           config=of("linux.netDevices", lambda found: {name: {} for name in found})),
    Mutant("addresses go away", f"{NETWORK}.addresses_stay", before=address_flushed),
    Mutant("the size of packets is changed", f"{NETWORK}.addresses_stay", before=link_changed),
    Mutant("devices stay down", f"{NETWORK}.device_moves", config=in_root("ip link set mine0 down")),
    Mutant("devices are given a route", f"{NETWORK}.addresses_stay",
           config=in_root("ip route add default via 192.0.2.1")),
    Mutant("devices are moved back", f"{NETWORK}.device_is_not_moved_back", after=device_again),
    # ---- seccomp
    Mutant("errnoRet without use is passed over", f"{SECCOMP}.number_without_use",
           config=entries("linux.seccomp.syscalls", lambda entry: entry.pop("errnoRet", None))),
    Mutant("defaultErrnoRet without use is passed over", f"{SECCOMP}.default_number_without_use",
           config=drop("linux.seccomp.defaultErrnoRet")),
    Mutant("metadata without a listener is passed over", f"{SECCOMP}.metadata_without_a_listener",
           config=drop("linux.seccomp.listenerMetadata")),
    Mutant("a listener that is not there is passed over", f"{SECCOMP}.listener_that_is_not_there",
           config=drop("linux.seccomp")),
    Mutant("the listener gets the state twice", f"{LISTENER}.listener_is_left", before=between(twice=True)),
    Mutant("the connection to the listener stays open", f"{LISTENER}.listener_is_left", before=between(stays=True)),
    Mutant("descriptors come behind the state", f"{LISTENER}.listener_gets_the_state", before=between(late=True)),
    Mutant("descriptors do not come", f"{LISTENER}.listener_gets_the_state", before=between(loses=True)),
    # ---- features.md
    *(Mutant(f"features names one of {name} that is none", "features_md.seccomp", output=features(
        lambda found, name=name, more=more: found["linux"]["seccomp"][name].append(more)))  # type: ignore[misc]
      for name, more in (("operators", "SCMP_CMP_NOTHING"), ("archs", "SCMP_ARCH_NOTHING"))),
    Mutant("the oldest version is refused", "features_md.version_is_accepted[ociVersionMin]",
           config=force("ociVersion", "0.0.0-none.0+x y")),
    Mutant("the newest version is refused", "features_md.version_is_accepted[ociVersionMax]",
           config=force("ociVersion", "0.0.0-none.0+x y")),
    Mutant("features has more than its version", "features_md.properties_of_the_version",
           output=features(lambda found: found.update(ociVersionMax="1.1.0"))),
    Mutant("features names a capability that is none", "features_md.capabilities",
           output=features(lambda found: found["linux"]["capabilities"].append("CAP_NOTHING"))),
    Mutant("a capability that features names is unknown", "features_md.capabilities", config=of(
        "process.capabilities.bounding", lambda found: [name for name in found if name != "CAP_SYSLOG"])),
    Mutant("features names a flag that is unknown", "features_md.seccomp_flags[knownFlags]",
           output=features(lambda found: found["linux"]["seccomp"]["knownFlags"].append("NOTHING"))),
    Mutant("features names a flag that is not supported", "features_md.seccomp_flags[supportedFlags]",
           output=features(lambda found: found["linux"]["seccomp"]["supportedFlags"].append(
               "SECCOMP_FILTER_FLAG_NOTHING"))),
    Mutant("features does not say whether mounts can be mapped", "features_md.idmap",
           output=features(lambda found: found["linux"]["mountExtensions"]["idmap"].pop("enabled"))),
]
