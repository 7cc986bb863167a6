"""Tests of the suite whose failure says nothing about a runtime, and why. They are run and shown all the same."""
from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stale:
    """Why a failure says nothing. checks: parts of the names of the checks that it is true of; none, the whole test."""
    why: str
    checks: tuple[str, ...] = ()

    def excuses(self, failed: list[str]) -> bool:
        """Whether these are the checks, by their `not ok` lines, that are known to fail."""
        return not self.checks or (bool(failed) and all(any(part in line for part in self.checks) for line in failed))


_V1 = Stale("reads the controllers of cgroup v1, and fails wherever there is only v2")
_YAML = Stale("prints diagnostics instead of checks: it can only hang, never fail")

STALE = {
    **{f"linux_cgroups_{kind}{name}": _V1 for kind in ("", "relative_")
       for name in ("blkio", "cpus", "devices", "hugetlb", "memory", "network", "pids")},
    "delete_only_create_resources": _V1,
    "delete_resources": _V1,
    "delete": Stale("wants `delete` of a created container refused: containerd deletes containers that it never "
                    "started, and runc and crun do it", ("a container that is not `stopped`",)),
    "hooks": _YAML,
    "poststart": _YAML,
    "poststart_fail": Stale("wants a failing poststart hook ignored, which runtime-spec 1.3 makes an error; and it "
                            "prints diagnostics instead of checks"),
    "poststop": _YAML,
    "poststop_fail": _YAML,
    "prestart": Stale("wants prestart hooks to run at start, which since runtime-spec 1.0.2 is create; and it prints "
                      "diagnostics instead of checks"),
    "prestart_fail": Stale("wants prestart hooks to run at start, which since runtime-spec 1.0.2 is create; and it "
                           "prints diagnostics instead of checks"),
    "pidfile": Stale("polls until it sees `true` running and then kills it: when it polls too late, `true` has ended, "
                     "and there is nothing to kill"),
    "process_capabilities_fail": Stale("wants an unknown capability refused; since runtime-spec 1.1 it is a warning"),
    "process_rlimits": Stale("a runtimetest built with Go 1.19 or newer raises its own soft RLIMIT_NOFILE before it "
                             "looks at it", ("soft RLIMIT_NOFILE",)),
    "start": Stale("its last check is the wrong way round: `start` MUST generate an error for a container without a "
                   "process, and the check is that it generates none; then it waits for that container to stop",
                   ("if `process` was not set", "timeout in waiting for the container status")),
}

#: Tests that may harm the machine they run on: only in the guest.
GUEST_ONLY = {"linux_ns_itype": "asks for a container without a mount namespace: its mounts are the machine's own"}
