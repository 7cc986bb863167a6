"""Seccomp profiles for tests and benchmarks: a small one to read, and one of the size engines send."""
from __future__ import annotations

import re
from pathlib import Path
from typing import Any

HEADER = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")

#: What a container has no business with; engines' profiles refuse these too.
REFUSED = {"acct", "add_key", "bpf", "clock_adjtime", "clock_settime", "create_module", "delete_module",
           "finit_module", "fsconfig", "fsmount", "fsopen", "fspick", "get_kernel_syms", "get_mempolicy", "init_module",
           "ioperm", "iopl",
           "kcmp", "kexec_file_load", "kexec_load", "keyctl", "lookup_dcookie", "mbind", "mount", "mount_setattr",
           "move_mount", "move_pages", "nfsservctl", "open_by_handle_at", "open_tree", "perf_event_open", "personality",
           "pivot_root", "process_vm_readv", "process_vm_writev", "ptrace", "query_module", "quotactl", "quotactl_fd",
           "reboot", "request_key", "set_mempolicy", "setns", "settimeofday", "stime", "swapoff", "swapon", "sysfs",
           "_sysctl", "umount", "umount2", "unshare", "uselib", "userfaultfd", "ustat", "vm86", "vm86old"}


def small() -> dict[str, Any]:
    """Everything is allowed but a handful, each refused in another way."""
    return {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
            {"names": ["swapon", "no_such_call"], "action": "SCMP_ACT_KILL_PROCESS"},
            {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 97,
             "args": [{"index": 0, "value": 16, "op": "SCMP_CMP_EQ"}]},
            {"names": ["personality"], "action": "SCMP_ACT_ERRNO",
             "args": [{"index": 0, "value": 8, "valueTwo": 8, "op": "SCMP_CMP_MASKED_EQ"}]},
        ],
    }


def engine_sized() -> dict[str, Any]:
    """Some 320 allowed names, everything else EPERM, the clone flags and personalities that engines single out."""
    names = re.findall(r"#define __NR_(\w+) ", HEADER.read_text())
    allowed = sorted(set(names) - REFUSED - {"clone", "clone3", "socket"})
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [
            {"names": allowed, "action": "SCMP_ACT_ALLOW"},
            *({"names": ["personality"], "action": "SCMP_ACT_ALLOW",
               "args": [{"index": 0, "value": value, "op": "SCMP_CMP_EQ"}]}
              for value in (0, 8, 0x20000, 0x20008, 2**32 - 1)),
            {"names": ["socket"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_NE"}]},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 0, "value": 0x7E020000, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]},
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
        ],
    }
