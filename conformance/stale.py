"""Tests of the suite whose failure says nothing about a runtime, and why. They are run and shown all the same."""
from __future__ import annotations

_V1 = "reads the controllers of cgroup v1, and fails wherever there is only v2"
_YAML = "prints diagnostics instead of checks: it can only hang, never fail"

STALE = {
    **{f"linux_cgroups_{kind}{name}": _V1 for kind in ("", "relative_")
       for name in ("blkio", "cpus", "devices", "hugetlb", "memory", "network", "pids")},
    "delete_only_create_resources": _V1,
    "delete_resources": _V1,
    "delete": "wants delete of a created container refused; containerd depends on it, and every runtime does it",
    "hooks": _YAML,
    "poststart": _YAML,
    "poststart_fail": "wants a failing poststart hook ignored; runtime-spec 1.3 makes it an error",
    "poststop": _YAML,
    "poststop_fail": _YAML,
    "prestart": "wants prestart hooks at start; since runtime-spec 1.0.2 they run at create",
    "prestart_fail": "wants prestart hooks at start; since runtime-spec 1.0.2 they run at create",
    "pidfile": "waits for `true` to be seen running: who polls too late finds it stopped",
    "process_capabilities_fail": "wants an unknown capability refused; since runtime-spec 1.1 it is a warning",
    "process_rlimits": "built with Go 1.19 or newer, runtimetest raises its own soft RLIMIT_NOFILE before it looks",
    "start": "its last check is the wrong way round: start of a container without a process must fail, and it wants 0",
    "linux_process_apparmor_profile": "needs a profile named acme_secure_profile loaded",
}

#: Tests that may harm the machine they run on: only in the guest.
GUEST_ONLY = {"linux_ns_itype": "asks for a container without a mount namespace: its mounts are the machine's own"}
