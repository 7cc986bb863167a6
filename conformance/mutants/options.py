"""Mutants of what a table or a list of properties demands: the mount options that are MUST, and what is REQUIRED."""
from __future__ import annotations

from .changes import entries, force, mount_options, of, without
from .wrapper import Mutant

MOUNTS = "config_md_mounts"
#: Options of which the kernel shows nothing: all that can be seen is whether they are known.
UNSEEN = {"defaults": "flag_that_is_taken_back", "norelatime": "flag_that_is_taken_back",
          **dict.fromkeys(("iversion", "noiversion", "loud", "silent"), "option_of_the_superblock")}
LEFT_OUT = {"relatime": "flag_of_a_mount", "symfollow": "flag_that_is_taken_back",
            **dict.fromkeys(("sync", "async", "dirsync", "lazytime", "nolazytime", "nostrictatime"),
                            "option_of_the_superblock"),
            **dict.fromkeys(("private", "rprivate", "slave", "rslave"), "propagation_of_a_mount"),
            **dict.fromkeys(("rrw", "rsuid", "rdev", "rexec", "ratime", "rdiratime", "rsymfollow", "rstrictatime"),
                            "recursive_option_that_takes_back")}
SECCOMP = "linux.seccomp"

MUTANTS = [
    *(Mutant(f"{option} is no option", f"{MOUNTS}.{case}[{option}]", config=mount_options(
        lambda options, option=option: [  # type: ignore[misc]
            "no such option" if word == option else word for word in options])) for option, case in UNSEEN.items()),
    *(Mutant(f"the option {option} is passed over", f"{MOUNTS}.{case}[{option}]", config=without(option))
      for option, case in LEFT_OUT.items()),
    *(Mutant(f"the option {option} is that of one mount", f"{MOUNTS}.recursive_option[{option}]",
             config=mount_options(lambda options, option=option: [  # type: ignore[misc]
                 word[1:] if word == option else word for word in options]))
      for option in ("rnosymfollow", "rrelatime")),
    Mutant("remount is one mount more", f"{MOUNTS}.remount", config=without("remount")),
    Mutant("remount is passed over", f"{MOUNTS}.remount", config=of(
        "mounts", lambda found: [entry for entry in found if "remount" not in entry["options"]])),
    # ---- properties that are REQUIRED; more.py has the others
    *(Mutant(f"{path} need not be there", f"required.property_that_is_missing[{path}]", config=change)
      for path, change in (
          ("process.rlimits.0.type", entries("process.rlimits", lambda entry: entry.setdefault("type", "RLIMIT_CORE"))),
          ("process.scheduler.policy", of("process.scheduler", lambda found: {"policy": "SCHED_OTHER", **found})),
          ("process.ioPriority.class", of("process.ioPriority", lambda found: {"class": "IOPRIO_CLASS_BE", **found})),
          ("linux.devices.0.path", entries("linux.devices", lambda entry: entry.setdefault("path", "/dev/node"))),
          ("linux.memoryPolicy.mode", of("linux.memoryPolicy", lambda found: {"mode": "MPOL_DEFAULT", **found})),
          ("linux.seccomp.defaultAction", of(SECCOMP, lambda found: {"defaultAction": "SCMP_ACT_ALLOW", **found})),
          ("linux.seccomp.syscalls.0.names", entries(f"{SECCOMP}.syscalls", lambda entry: entry.setdefault(
              "names", ["getcwd"]))),
          ("linux.seccomp.syscalls.0.action", entries(f"{SECCOMP}.syscalls", lambda entry: entry.setdefault(
              "action", "SCMP_ACT_ERRNO"))),
          ("linux.seccomp.syscalls.0.args.0.op", entries(
              f"{SECCOMP}.syscalls", lambda entry: entry["args"][0].setdefault("op", "SCMP_CMP_EQ"))),
          ("linux.personality.domain", force("linux.personality", {"domain": "LINUX", "flags": []})))),
]
