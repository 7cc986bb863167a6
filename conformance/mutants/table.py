"""The mutants, and the case that must kill each."""
from __future__ import annotations

import os

from .changes import (
    KINDS,
    capability,
    deletes_more,
    drop,
    dropped,
    entries,
    features,
    force,
    forced,
    hooks,
    in_root,
    later,
    mount_options,
    namespace,
    of,
    put,
    signal_to,
    starts,
    state,
    unmapped,
    updated,
    without,
    wrapped,
)
from .more import MUTANTS as MORE
from .operations import MUTANTS as OPERATIONS
from .options import MUTANTS as OPTIONS
from .resctrl import MUTANTS as RESCTRL
from .wrapper import Mutant

STATE = "runtime_md.state_is_what_its_schema_says"
ERRORS = {"state": "runtime_md.state_without_a_container", "start": "runtime_md.start_without_an_id",
          "kill": "runtime_md.kill_without_an_id", "delete": "runtime_md.delete_without_an_id"}

MUTANTS = [
    # ---- state and operations
    *(Mutant(f"state has no {name}", STATE, output=state(dropped(name)))
      for name in ("ociVersion", "id", "status", "bundle", "pid", "annotations")),
    Mutant("state has another pid", STATE, output=state(lambda found: found.update(pid=1))),
    Mutant("state calls every container running", "runtime_md.statuses_in_turn",
           output=state(lambda found: found.update(status="running"))),
    Mutant("state calls every container stopped", "runtime_md.statuses_in_turn",
           output=state(lambda found: found.update(status="stopped"))),
    Mutant("state has a relative bundle", "runtime_md.bundle_is_absolute",
           output=state(lambda found: found.update(bundle=os.path.basename(found["bundle"])))),
    Mutant("state has annotations that are no strings", STATE,
           output=state(lambda found: found.update(annotations={"a": 1}))),
    *(Mutant(f"{command} of no container is no error", case, swallows=(command,)) for command, case in ERRORS.items()),
    Mutant("create of a taken id is no error", "runtime_md.id_that_is_taken", swallows=("create",)),
    Mutant("create without a bundle is no error", "runtime_md.create_without_its_arguments", swallows=("create",)),
    Mutant("start of a running container is no error", "runtime_md.start_of_a_running_container", swallows=("start",)),
    Mutant("start of a stopped container is no error", "runtime_md.start_of_a_stopped_container", swallows=("start",)),
    Mutant("start without a process is no error", "runtime_md.start_without_a_process", swallows=("start",)),
    Mutant("kill of a stopped container is no error", "runtime_md.kill_of_a_stopped_container", swallows=("kill",)),
    Mutant("delete deletes what runs", "runtime_md.delete_of_a_running_container", words=forced),
    Mutant("delete deletes nothing", "runtime_md.delete_takes_everything_away", skips=("delete",)),
    Mutant("kill does nothing", "runtime_md.all_operations", skips=("kill",)),
    Mutant("kill of a created container does nothing", "runtime_md.kill_of_a_created_container", skips=("kill",)),
    Mutant("kill sends another signal", "runtime_md.kill_sends[USR1]", words=signal_to("TERM")),
    Mutant("kill sends SIGKILL", "runtime_md.kill_sends[TERM]", words=signal_to("KILL")),
    Mutant("kill does not take numbers", "runtime_md.kill_sends[15]",
           words=lambda command, words: [word + "x" if word == "15" else word for word in words]),
    Mutant("start does nothing", "runtime_md.create_prepares_and_start_runs", skips=("start",)),
    Mutant("create runs the program", "runtime_md.create_prepares_and_start_runs", after=starts),
    Mutant("create fails silently when a mount does", "runtime_md.what_cannot_be_mounted", swallows=("create",)),
    Mutant("a mount that cannot be made is left out", "runtime_md.what_cannot_be_mounted", config=of(
        "mounts", lambda found: [entry for entry in found if "/no/" not in entry["source"]])),
    Mutant("another program runs", "runtime_md.config_changes_after_create", config=force("process.args", ["true"])),
    Mutant("files of a bind mount are deleted", "runtime_md.delete_leaves_the_rest", before=deletes_more),
    # ---- config.md
    Mutant("any ociVersion is taken", "config_md.version_that_is_none[invalid]", config=force("ociVersion", "1.0.0")),
    Mutant("no ociVersion is taken", "config_md.version_that_is_missing", config=force("ociVersion", "1.0.0")),
    Mutant("the root is never readonly", "config_md.root_that_is_readonly", config=drop("root.readonly")),
    Mutant("the root is always readonly", "config_md.root_that_is_readonly", config=force("root.readonly", True)),
    Mutant("root.path counts from the bundle always", "config_md.root_by_an_absolute_path",
           config=force("root.path", "rootfs")),
    Mutant("cwd is /", "config_md.working_directory", config=force("process.cwd", "/")),
    Mutant("a relative cwd is taken", "config_md.working_directory_that_is_relative",
           config=of("process.cwd", lambda found: "/" + found.lstrip("/"))),
    Mutant("a missing cwd is /", "config_md.working_directory_that_is_missing", config=force("process.cwd", "/")),
    Mutant("env is not there", "config_md.environment", config=of("process.env", lambda found: found[:1])),
    Mutant("env has one more", "config_md.environment", config=of("process.env", lambda found: [*found, "MORE=1"])),
    Mutant("env loses empty values", "config_md.environment",
           config=of("process.env", lambda found: [word for word in found if not word.endswith("=")])),
    Mutant("args lose empty words", "config_md.arguments",
           config=of("process.args", lambda found: [word for word in found if word])),
    Mutant("PATH is not that of env", "config_md.program_by_path",

                  config=of("process.env",
                      lambda found: ["PATH=/bin" if word.startswith("PATH") else word for word in found])),
    Mutant("empty args are taken", "config_md.no_arguments",
           config=of("process.args", lambda found: found or ["true"])),
    Mutant("consoleSize makes a terminal", "config_md.console_size_without_a_terminal", config=of(
        "process", lambda found: found.update(terminal=True) if "consoleSize" in found else None)),
    Mutant("rlimits are not set", "config_md.limits[RLIMIT_NOFILE]", config=drop("process.rlimits")),
    Mutant("the soft limit is the hard one", "config_md.limits[RLIMIT_CORE]",
           config=entries("process.rlimits", lambda entry: entry.update(soft=entry["hard"]))),
    Mutant("the hard limit is the soft one", "config_md.limits[RLIMIT_STACK]",
           config=entries("process.rlimits", lambda entry: entry.update(hard=entry["soft"]))),
    Mutant("unknown rlimits are left out", "config_md.limit_that_is_unknown", config=of(
        "process.rlimits", lambda found: [entry for entry in found if "NOTHING" not in entry["type"]])),
    Mutant("rlimits stand twice", "config_md.limit_that_stands_twice",
           config=of("process.rlimits", lambda found: found[:1])),
    *(Mutant(f"capabilities.{name} is not set", f"config_md.capabilities[{name}]", config=capability(name))
      for name in ("bounding", "inheritable", "ambient")),
    Mutant("the bounding set has more", "config_md.capabilities[bounding]",
           config=of("process.capabilities.bounding", lambda found: [*found, "CAP_NET_RAW"])),
    Mutant("an unknown capability is an error", "config_md.capability_that_is_unknown",
           config=put("process.capabilities", "unknown")),
    Mutant("noNewPrivileges is not set", "config_md.no_new_privileges", config=drop("process.noNewPrivileges")),
    Mutant("noNewPrivileges is set always", "config_md.no_new_privileges",
           config=force("process.noNewPrivileges", True)),
    Mutant("oomScoreAdj is not set", "config_md.oom_score", config=drop("process.oomScoreAdj")),
    Mutant("oomScoreAdj is 0 when it is missing", "config_md.oom_score_without_a_value", config=of(
        "process", lambda found: found.setdefault("oomScoreAdj", 900) and None)),
    Mutant("scheduler is not set", "config_md.scheduler", config=drop("process.scheduler")),
    *(Mutant(f"user.{name} is not set", case, config=force(f"process.user.{name}", value)) for name, value, case in (
        ("uid", 0, "config_md.user"), ("gid", 0, "config_md.user"), ("additionalGids", [], "config_md.user"),
        ("umask", 0o22, "config_md.umask"))),
    Mutant("hostname is not set", "config_md.hostname", config=drop("hostname")),
    Mutant("domainname is not set", "config_md.domainname", config=drop("domainname")),
    Mutant("annotations are forgotten", "config_md.annotations_are_handed_on", config=drop("annotations")),
    Mutant("annotations of any kind are taken", "config_md.annotations_that_are_none[number]",
           config=drop("annotations")),
    Mutant("unknown properties are an error", "config_md.unknown_properties", config=of(
        "process", lambda found: found.update(cwd="no") if "ofALaterVersion" in found else None)),
    Mutant("a wrong cwd is taken", "config_md.values_that_are_invalid[cwd of a wrong type]",
           config=force("process.cwd", "/")),
    Mutant("unknown file systems are left out", "config_md.values_that_are_invalid[file system that no kernel has]",
           config=of("mounts", lambda found: [entry for entry in found if entry["type"] != "nosuchfs"])),
    # ---- mounts
    Mutant("mounts are not made", "config_md_mounts.a_mount", config=of("mounts", lambda found: found[:3])),
    Mutant("mounts are made in another order", "config_md_mounts.order_of_mounts",
           config=of("mounts", lambda found: [*found[:3], *found[:2:-1]])),
    Mutant("a relative destination is an error", "config_md_mounts.destination_that_is_relative", config=entries(
        "mounts", lambda entry: entry.update(type="nosuchfs") if entry["destination"][0] != "/" else None)),
    Mutant("a relative source counts from /", "config_md_mounts.source_that_is_relative", config=entries(
        "mounts", lambda entry: entry.update(source="/" + entry["source"]) if entry["source"] == "file" else None)),
    Mutant("unknown options are left out", "config_md_mounts.options_of_the_file_system", config=mount_options(
        lambda options: [word for word in options if "nr_inodes" not in word])),
    *(Mutant(f"the option {option} is left out", f"config_md_mounts.flag_of_a_mount[{option}]", config=without(option))
      for option in ("ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "nosymfollow")),
    *(Mutant(f"the option {option} of bind mounts is left out", f"config_md_mounts.flag_of_a_bind_mount[{option}]",
             config=without(option)) for option in ("ro", "nosuid", "nodev", "noexec")),
    *(Mutant(f"the option {option} takes nothing back", f"config_md_mounts.flag_that_is_taken_back[{option}]",
             config=without(option)) for option in ("rw", "suid", "dev", "exec", "atime", "diratime", "strictatime")),
    *(Mutant(f"the option {option} of propagation is left out", f"config_md_mounts.propagation_of_a_mount[{option}]",
             config=without(option)) for option in ("shared", "rshared", "unbindable", "runbindable")),
    *(Mutant(f"the option {option} is not recursive", f"config_md_mounts.recursive_option[{option}]",
             config=mount_options(lambda options, option=option: [  # type: ignore[misc]
                 word[1:] if word == option else word for word in options]))
      for option in ("rro", "rnosuid", "rnodev", "rnoexec", "rnoatime", "rnodiratime")),
    Mutant("rbind is bind", "config_md_mounts.bind_and_rbind[rbind]", config=mount_options(
        lambda options: ["bind" if word == "rbind" else word for word in options])),
    Mutant("bind is rbind", "config_md_mounts.bind_and_rbind[bind]", config=mount_options(
        lambda options: ["rbind" if word == "bind" else word for word in options])),
    Mutant("tmpcopyup copies nothing", "config_md_mounts.tmpcopyup", config=without("tmpcopyup")),
    Mutant("idmap maps nothing", "config_md_mounts.idmapped_mount", config=entries("mounts", unmapped)),
    # ---- hooks
    *(Mutant(f"{kind} hooks do not run", f"config_md_hooks.hook_runs_in_its_command[{kind}]",
             config=drop(f"hooks.{kind}"))
      for kind in KINDS),
    *(Mutant(f"{kind} hooks run in another order", f"config_md_hooks.hooks_in_the_listed_order[{kind}]",
             config=hooks(kind, lambda found: found[::-1])) for kind in KINDS),
    *(Mutant(f"{kind} hooks get no state", f"config_md_hooks.state_on_standard_input[{kind}]",
             config=hooks(kind, wrapped("</dev/null"))) for kind in KINDS),
    *(Mutant(f"a {kind} hook that fails is no error", f"config_md_hooks.failing_hook[{kind}]",
             config=hooks(kind, wrapped("", "|| true"))) for kind in KINDS[:5]),
    *(Mutant(f"{kind} hooks run in the container", f"config_md_hooks.where_it_runs[{kind}]", config=later(kind, to))
      for kind, to in (("prestart", "createContainer"), ("createRuntime", "createContainer"))),
    Mutant("createContainer hooks run in the runtime", "config_md_hooks.where_it_runs[createContainer]",
           config=later("createContainer", "createRuntime")),
    Mutant("poststart hooks run at create", "config_md_hooks.hook_runs_in_its_command[poststart]",
           config=later("poststart", "createRuntime")),
    Mutant("poststop hooks run at start", "config_md_hooks.when_each_kind_runs[all]",
           config=later("poststop", "poststart")),
    Mutant("prestart comes after createRuntime", "config_md_hooks.order_of_kinds",
           config=later("prestart", "createRuntime")),
    Mutant("a timeout is not kept", "config_md_hooks.timeout",

                  config=hooks("createRuntime",
                      lambda found: [{**hook, "timeout": 50000, "args": ["sh", "-c", "true"]} for hook in found])),
    Mutant("any timeout is taken", "config_md_hooks.timeout_of_nothing[-1]", config=hooks(
        "createRuntime", lambda found: [{**hook, "timeout": 10} for hook in found])),
    Mutant("a relative path of a hook is taken", "config_md_hooks.hook_with_a_relative_path[createRuntime]",
           config=hooks(
        "createRuntime", lambda found: [{**hook, "path": "/bin/sh"} for hook in found])),
    Mutant("hooks have more than env", "config_md_hooks.hook_without_env", config=hooks(
        "createRuntime", lambda found: [{**hook, "env": [*hook["env"], "MORE=1"]} for hook in found])),
    # ---- config-linux.md
    *(Mutant(f"the {kind} namespace is not new", f"config_linux_md.namespace_that_is_new[{kind}]",
             config=namespace(kind, lambda found, entry: found.remove(entry)))
      for kind in ("pid", "network", "ipc", "uts", "cgroup", "time")),
    *(Mutant(f"the {kind} namespace is new always", f"config_linux_md.namespace_that_is_inherited[{kind}]", config=of(
        "linux.namespaces", lambda found, kind=kind: found if any(  # type: ignore[misc]
            entry["type"] == kind for entry in found) else [*found, {"type": kind}]))
      for kind in ("pid", "network", "ipc", "uts", "cgroup")),
    *(Mutant(f"the {kind} namespace is not joined", f"config_linux_md.namespace_that_is_joined[{kind}]",
             config=namespace(kind, lambda found, entry: entry.pop("path", None)))
      for kind in ("network", "ipc", "uts", "pid", "cgroup", "time")),
    Mutant("a namespace of another type is left alone", "config_linux_md.path_of_another_type",
           config=namespace("uts", lambda found, entry: found.remove(entry))),
    Mutant("a type may stand twice", "config_linux_md.type_that_stands_twice[uts]", config=of(
        "linux.namespaces", lambda found: list({entry["type"]: entry for entry in found}.values()))),
    Mutant("only the first mapping is made", "config_linux_md.mappings",
           config=of("linux.uidMappings", lambda found: found[:1])),
    Mutant("mappings have another size", "config_linux_md.mappings",
           config=entries("linux.gidMappings", lambda entry: entry.update(size=entry["size"] + 1))),
    Mutant("time has no offset", "config_linux_md.time_offsets", config=drop("linux.timeOffsets")),
    *(Mutant(f"devices have no {what}", f"config_linux_md.devices[{kind}]",
             config=entries("linux.devices", updated(change)))
      for what, kind, change in (
          ("mode of their own", "character", {"fileMode": 0o666}), ("owner", "character", {"uid": 0}),
          ("group", "block", {"gid": 0}), ("minor number", "character", {"minor": 3}))),
    Mutant("devices are not made", "config_linux_md.devices[deep]", config=drop("linux.devices")),
    Mutant("fifos are not made", "config_linux_md.devices[fifo]", config=drop("linux.devices")),
    Mutant("a file in place of a device is left there", "config_linux_md.device_where_another_file_is",
           config=drop("linux.devices")),
    *(Mutant(f"/dev/{name} is missing", f"config_linux_md.default_devices[{name}]", config=in_root(
        f"rm -f dev/{name} || umount dev/{name}")) for name in ("null", "zero", "full", "random", "urandom", "tty")),
    Mutant("/dev/zero is /dev/null", "config_linux_md.default_devices[zero]",
           config=in_root("rm -f dev/zero && mknod -m 666 dev/zero c 1 3")),
    Mutant("/dev/null is not for anyone", "config_linux_md.default_devices[null]",
           config=in_root("chmod 600 dev/null")),
    *(Mutant(f"/dev/{name} is no link", f"runtime_md.links_in_dev[{name}]", config=in_root(f"rm -f dev/{name}"))
      for name in ("fd", "stdin", "stdout", "stderr")),
    Mutant("/dev/ptmx is missing", "config_linux_md.dev_ptmx", config=in_root("rm -f dev/ptmx")),
    *(Mutant(f"sysctl {name} is not set", f"config_linux_md.sysctl[{name}]", config=drop("linux.sysctl"))
      for name in ("net", "ipc", "shm")),
    Mutant("a sysctl of the machine is left out", "config_linux_md.sysctl_of_the_whole_machine",
           config=drop("linux.sysctl")),
    Mutant("paths are not masked", "config_linux_md.masked_paths", config=drop("linux.maskedPaths")),
    Mutant("only the first path is masked", "config_linux_md.masked_paths",
           config=of("linux.maskedPaths", lambda found: found[:1])),
    Mutant("paths are not read-only", "config_linux_md.readonly_paths", config=drop("linux.readonlyPaths")),
    Mutant("only the first path is read-only", "config_linux_md.readonly_paths",
           config=of("linux.readonlyPaths", lambda found: found[:1])),
    *(Mutant(f"the root is not {kind}", f"config_linux_md.propagation_of_the_root[{kind}]",
             config=drop("linux.rootfsPropagation")) for kind in ("shared", "unbindable")),
    Mutant("personality is not set", "config_linux_md.personality[LINUX32]", config=drop("linux.personality")),
    Mutant("cgroupsPath is not kept", "config_linux_md.cgroups_path", config=drop("linux.cgroupsPath")),
    Mutant("files of no controller are left out", "config_linux_md.unified_of_no_controller",
           config=drop("linux.resources")),
    Mutant("all devices may be used", "config_linux_md.device_rules[denied]",
           config=put("linux.resources.devices", [{"allow": True, "access": "rwm"}])),
    Mutant("no devices may be used", "config_linux_md.device_rules[allowed]",
           config=of("linux.resources.devices", lambda found: found[:1])),
    Mutant("rules about devices apply backwards", "config_linux_md.device_rules[allowed, then denied]",
           config=of("linux.resources.devices", lambda found: [*found[:1], *found[:0:-1]])),
    *(Mutant(f"the limit {name} is not set", f"config_linux_md.limit[{name}]", config=drop("linux.resources"))
      for name in ("memory", "low", "swap", "pids", "quota", "cpus", "mems", "unified")),
    Mutant("state has a word of its own for what is running", "runtime_md.statuses_in_turn",
           output=state(lambda found: found.update(status=found["status"].replace("running", "active")))),
    Mutant("a cgroup that is not fit is made fit", "config_linux_md_cgroups.cgroup_that_is_not_fit",
           config=drop("linux.resources")),
    Mutant("an invalid path of a cgroup is passed over", "config_linux_md_cgroups.cgroups_path_that_is_invalid",
           config=drop("linux.cgroupsPath")),
    *(Mutant(f"nothing is delegated: {name}", f"config_linux_md_cgroups.{name}",
             config=namespace("cgroup", lambda found, entry: found.remove(entry)))
      for name in ("delegated_files", "delegated_files_of_an_old_kernel")),
    Mutant("a cgroup is delegated without a namespace",
           "config_linux_md_cgroups.cgroup_that_is_not_delegated[no namespace]",
           config=of("linux.namespaces", lambda found: [*found, {"type": "cgroup"}])),
    Mutant("a cgroup is delegated with a mount that is read-only",
           "config_linux_md_cgroups.cgroup_that_is_not_delegated[read-only]", config=without("ro")),
    *(Mutant(f"{what} is passed over: {name}", f"config_linux_md_cgroups.{name}",
             config=drop(f"linux.resources.{what}"))
      for what, name in (("blockIO", "weight_device_without_a_weight"), ("rdma", "rdma_without_a_limit"),
                         ("memory", "limit_below_the_use"))),
    # ---- memory policies
    Mutant("the policy of memory is passed over", "features_md_memory.modes_of_memory",
           config=drop("linux.memoryPolicy")),
    Mutant("the policy of memory has no nodes", "features_md_memory.modes_of_memory",
           config=put("linux.memoryPolicy.mode", "MPOL_DEFAULT")),
    Mutant("the policy of memory has no flags", "features_md_memory.flags_of_memory",
           config=drop("linux.memoryPolicy.flags")),
    Mutant("features names a mode that is none", "features_md_memory.modes_of_memory",
           output=features(lambda found: found["linux"]["memoryPolicy"]["modes"].append("MPOL_NOTHING"))),
    # ---- seccomp
    Mutant("there is no filter", "config_linux_md_seccomp.call_that_is_refused", config=drop("linux.seccomp")),
    Mutant("errnoRet is EPERM", "config_linux_md_seccomp.call_that_is_refused_with_a_number",
           config=entries("linux.seccomp.syscalls", lambda entry: entry.pop("errnoRet", None))),
    Mutant("defaultErrnoRet is EPERM", "config_linux_md_seccomp.default_number",
           config=drop("linux.seccomp.defaultErrnoRet")),
    Mutant("no call kills", "config_linux_md_seccomp.call_that_kills",
           config=entries("linux.seccomp.syscalls", lambda entry: entry.update(action="SCMP_ACT_ERRNO"))),
    *(Mutant(f"conditions are left out: {name}", f"config_linux_md_seccomp.condition[{name}]",
             config=entries("linux.seccomp.syscalls", lambda entry: entry.pop("args", None)))
      for name in ("equal", "above", "mask")),
    Mutant("valueTwo is 0", "config_linux_md_seccomp.condition[mask]", config=entries(
        "linux.seccomp.syscalls", lambda entry: entry["args"][0].update(valueTwo=0))),
    Mutant("rules without names are left out", "config_linux_md_seccomp.no_names", config=of(
        "linux.seccomp.syscalls", lambda found: [entry for entry in found if entry["names"]])),
    Mutant("unknown actions allow", "config_linux_md_seccomp.words_that_are_unknown[action]",
           config=force("linux.seccomp.defaultAction", "SCMP_ACT_ALLOW")),
    Mutant("the listener is not called", "config_linux_md_listener.listener_gets_the_state",
           config=drop("linux.seccomp")),
    Mutant("the listener gets other words", "config_linux_md_listener.listener_gets_the_state",
           config=put("linux.seccomp.listenerMetadata", "others")),
    Mutant("there is no terminal", "config_linux_md_listener.terminal", config=force("process.terminal", False)),
    Mutant("the terminal has another size", "config_linux_md_listener.console_size",
           config=drop("process.consoleSize")),
    Mutant("network devices do not move", "config_linux_md_netdevices.device_moves", config=drop("linux.netDevices")),
    Mutant("network devices keep their names", "config_linux_md_netdevices.device_gets_a_name",
           config=of("linux.netDevices", lambda found: {name: {} for name in found})),
    # ---- features.md
    Mutant("features has no ociVersionMin", "features_md.versions",
           output=features(lambda found: found.pop("ociVersionMin"))),
    Mutant("ociVersionMax is below ociVersionMin", "features_md.versions",
           output=features(lambda found: found.update(ociVersionMin="9.0.0"))),
    Mutant("features names a kind of hook too many", "features_md.hooks",
           output=features(lambda found: found["hooks"].append("afterwards"))),
    Mutant("an option that features names is refused", "features_md.mount_options_are_recognized", config=mount_options(
        lambda options: ["ofnofilesystem=1" if word == "noexec" else word for word in options])),
    Mutant("features names an option of a file system", "features_md.mount_options",
           output=features(lambda found: found["mountOptions"].append("size"))),
    Mutant("features names a namespace that is none", "features_md.namespaces",
           output=features(lambda found: found["linux"]["namespaces"].append("nothing"))),
    Mutant("features names an action that is none", "features_md.seccomp",
           output=features(lambda found: found["linux"]["seccomp"]["actions"].append("SCMP_ACT_NOTHING"))),
    Mutant("features has annotations that are no strings", "features_md.annotations_of_the_runtime",
           output=features(lambda found: found.update(annotations={"a": 1}))),
    Mutant("features has hooks of another kind", "features_md.no_null_in_lists",
           output=features(lambda found: found.update(annotations=[1]))),
    *MORE,
    *OPERATIONS,
    *OPTIONS,
    *RESCTRL,
]
