"""config-linux.md: seccomp. What is looked at is what system calls do."""
from __future__ import annotations

import platform
from typing import Any

from ..harness.trial import Trial
from ..model import case, each

SECCOMP = "config-linux.md#seccomp"


def profile(*rules: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Everything is allowed but what the rules say. The usual rule is about mkdir, which nothing else does here."""
    return {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": list(rules), **fields}}


def rule(action: str, *names: str, **fields: Any) -> dict[str, Any]:
    return {"names": list(names or ("mkdir", "mkdirat")), "action": action, **fields}


@case(SECCOMP, "seccomp", "defaultAction", "syscalls", "syscalls.names", "syscalls.action")
def call_that_is_refused(t: Trial) -> None:
    """A call of a rule with SCMP_ACT_ERRNO fails with EPERM, all others work"""
    said = t.inside("mkdir /a 2>&1; touch /b && echo touched; grep Seccomp: /proc/self/status",
                    linux=profile(rule("SCMP_ACT_ERRNO")))
    t.true("Operation not permitted" in said, f"mkdir says {said!r}")
    t.true("touched" in said, "touch failed")
    t.true(said.split()[-1] == "2", "there is no filter")


@case(SECCOMP, "syscalls.errnoRet")
def call_that_is_refused_with_a_number(t: Trial) -> None:
    """errnoRet is what the call fails with"""
    said = t.inside("mkdir /a 2>&1 || true", linux=profile(rule("SCMP_ACT_ERRNO", errnoRet=28)))
    t.true("No space left" in said, f"mkdir says {said!r}; 28 is ENOSPC")


#: What a C library and a runtime may call between the filter and the end of a small program; mkdir is not among it.
CALLS = """
execve exit exit_group read write open openat close stat lstat fstat newfstatat statx mmap mprotect munmap brk
rt_sigaction rt_sigprocmask rt_sigreturn getpid getppid getuid geteuid getgid getegid arch_prctl set_tid_address
set_robust_list rseq prlimit64 getrandom readlink readlinkat fcntl dup dup2 dup3 wait4 fork vfork clone clone3 pipe
pipe2 getcwd uname futex access faccessat faccessat2 ioctl poll gettid tgkill lseek prctl capget capset setuid setgid
setresuid setresgid setgroups chdir fchdir epoll_pwait nanosleep clock_nanosleep getdents64 setpgid getpgrp epoll_ctl
eventfd2 sendmsg recvmsg socket connect socketpair fstatfs statfs close_range madvise sigaltstack sched_yield
sched_getaffinity keyctl umask personality sethostname execveat seccomp pread64 unlinkat unlink fchmod fchown mount
umount2
"""


@case(SECCOMP, "defaultErrnoRet", "defaultAction")
def default_number(t: Trial) -> None:
    """defaultErrnoRet is what calls without a rule fail with"""
    calls = CALLS.split()
    if platform.machine() != "x86_64":
        calls = [call for call in calls if call not in ("open", "stat", "lstat")]
    # With noNewPrivileges runtimes load the filter last, so that they need few calls themselves.
    said = t.inside("mkdir /a 2>&1 || true", process={"noNewPrivileges": True}, linux={"seccomp": {
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 28, "syscalls": [rule("SCMP_ACT_ALLOW", *calls)]}})
    t.true("No space left" in said, f"mkdir says {said!r}; 28 is ENOSPC")


@case(SECCOMP, "syscalls.action")
def call_that_kills(t: Trial) -> None:
    """A call of a rule with SCMP_ACT_KILL_PROCESS ends the process by SIGSYS"""
    t.needs_feature("linux", "seccomp", "actions", value="SCMP_ACT_KILL_PROCESS")
    said = t.inside("mkdir /a; echo $?", linux=profile(rule("SCMP_ACT_KILL_PROCESS")))
    t.equal(said, "159", "exit code of mkdir, 128 and SIGSYS")


@each(SECCOMP, {
    "equal": (("syscalls.args", "syscalls.args.index", "syscalls.args.value", "syscalls.args.op"),
              {"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}),
    "above": (("syscalls.args.op",), {"index": 0, "value": 7, "op": "SCMP_CMP_GT"}),
    "mask": (("syscalls.args.valueTwo", "syscalls.args.op"),
             {"index": 0, "value": 0xf, "valueTwo": 8, "op": "SCMP_CMP_MASKED_EQ"})})
def condition(t: Trial, condition: dict[str, Any]) -> None:
    """A rule with a condition is about the calls whose arguments meet it: kill(8, …), and not kill(1, …)"""
    said = t.inside("kill -0 8 2>&1; kill -0 1 && echo other", code=None,
                    linux=profile(rule("SCMP_ACT_ERRNO", "kill", errnoRet=28, args=[condition])))
    t.true("No space left" in said, f"kill(8) says {said!r}; 28 is ENOSPC")
    t.true("other" in said, "kill(1) is refused, too")


@case(SECCOMP, "errnoRet without use is an error")
def number_without_use(t: Trial) -> None:
    """errnoRet with an action that has none is an error"""
    t.needs_spec("1.1.0")
    t.refused(linux=profile(rule("SCMP_ACT_KILL", errnoRet=28)))


@case(SECCOMP, "defaultErrnoRet without use is an error")
def default_number_without_use(t: Trial) -> None:
    """defaultErrnoRet with an action that has none is an error"""
    t.needs_spec("1.1.0")
    t.refused(linux={"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 28, "syscalls": []}})


@case(SECCOMP, "names has an entry")
def no_names(t: Trial) -> None:
    """A rule without names is an error"""
    t.refused(linux=profile({"names": [], "action": "SCMP_ACT_ERRNO"}))


@case(SECCOMP, "listenerMetadata needs listenerPath", "listenerMetadata", "listenerPath")
def metadata_without_a_listener(t: Trial) -> None:
    """listenerMetadata without listenerPath is an error"""
    t.needs_spec("1.1.0")
    t.refused(linux=profile(rule("SCMP_ACT_ERRNO"), listenerMetadata="words"))


@case(SECCOMP, "a listener that does not answer is an error")
def listener_that_is_not_there(t: Trial) -> None:
    """A listenerPath at which nobody listens is an error"""
    t.needs_feature("linux", "seccomp", "actions", value="SCMP_ACT_NOTIFY")
    t.refused(at_start=True, linux=profile(rule("SCMP_ACT_NOTIFY"), listenerPath=str(t.place / "nobody")))


@each("config.md#valid-values", {
    "action": ("invalid and unsupported values are errors", {"defaultAction": "SCMP_ACT_NOTHING"}),
    "architecture": ("invalid and unsupported values are errors", {"architectures": ["SCMP_ARCH_NOTHING"]}),
    "flag": ("invalid and unsupported values are errors", {"flags": ["SECCOMP_FILTER_FLAG_NOTHING"]}),
    "operator": ("invalid and unsupported values are errors", {"syscalls": [
        rule("SCMP_ACT_ERRNO", args=[{"index": 0, "value": 1, "op": "SCMP_CMP_NOTHING"}])]})})
def words_that_are_unknown(t: Trial, fields: dict[str, Any]) -> None:
    """An action, architecture, flag or operator that there is none of is an error"""
    t.refused(linux=profile(**fields))
