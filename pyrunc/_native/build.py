"""Builds pyrunc._native._native with cffi (API mode: compiled, typed, one file for every CPython since 3.11).

setup.py takes `ffibuilder` from here. For development run it as a program, which builds in place:

    python pyrunc/_native/build.py

The functions and structs are those between the CDEF marks of native.h; the constants come from the kernel's headers.
"""
from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from cffi import FFI

#: setuptools wants paths relative to setup.py; in place, the compiler runs elsewhere (see build_in_place).
HERE = Path(__file__).resolve().parent if __name__ == "__main__" else Path("pyrunc/_native")
SOURCES = ["bpf.c", "clone.c", "files.c", "last_check.c", "last_door.c", "last_exec.c", "last_explain.c", "last_fds.c",
           "last_ids.c", "last_libraries.c", "last_memory.c", "last_programs.c", "last_root.c", "last_signals.c",
           "last_stage.c", "last_tail.c", "mounts.c", "page.c", "process.c", "run.c", "terminal.c", "text.c"]

#: Named as in the headers; all of them are in those of Linux 6.1.
CONSTANTS = """
    AT_EMPTY_PATH AT_FDCWD AT_RECURSIVE AT_SYMLINK_NOFOLLOW
    CLONE_INTO_CGROUP CLONE_NEWCGROUP CLONE_NEWIPC CLONE_NEWNET CLONE_NEWNS CLONE_NEWPID CLONE_NEWTIME CLONE_NEWUSER
    CLONE_NEWUTS CLONE_PARENT CLONE_PIDFD
    CLOSE_RANGE_CLOEXEC
    FSCONFIG_CMD_CREATE FSCONFIG_CMD_RECONFIGURE FSCONFIG_SET_FD FSCONFIG_SET_FLAG FSCONFIG_SET_STRING
    MNT_DETACH UMOUNT_NOFOLLOW
    MOUNT_ATTR_IDMAP MOUNT_ATTR_NOATIME MOUNT_ATTR_NODEV MOUNT_ATTR_NODIRATIME MOUNT_ATTR_NOEXEC MOUNT_ATTR_NOSUID
    MOUNT_ATTR_NOSYMFOLLOW MOUNT_ATTR_RDONLY MOUNT_ATTR_RELATIME MOUNT_ATTR_STRICTATIME MOUNT_ATTR__ATIME
    MOVE_MOUNT_F_EMPTY_PATH MOVE_MOUNT_T_EMPTY_PATH OPEN_TREE_CLOEXEC OPEN_TREE_CLONE
    MS_BIND MS_MOVE MS_PRIVATE MS_RDONLY MS_REC MS_REMOUNT MS_SHARED MS_SLAVE MS_UNBINDABLE
    PR_CAPBSET_READ PR_CAP_AMBIENT PR_CAP_AMBIENT_IS_SET PR_GET_DUMPABLE PR_GET_NO_NEW_PRIVS PR_GET_PDEATHSIG
    PR_GET_SECCOMP PR_SET_CHILD_SUBREAPER PR_SET_DUMPABLE PR_SET_NAME PR_SET_NO_NEW_PRIVS PR_SET_PDEATHSIG
    RESOLVE_BENEATH RESOLVE_IN_ROOT RESOLVE_NO_MAGICLINKS RESOLVE_NO_SYMLINKS RESOLVE_NO_XDEV
"""

#: Strict on what only costs compile time; full RELRO because nothing may be bound lazily in the container's root.
COMPILE = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-missing-field-initializers",
           "-fvisibility=hidden", "-fstack-protector-strong", "-fstack-clash-protection",
           "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2"]
LINK = ["-Wl,-z,relro,-z,now", "-Wl,--as-needed"]


def definitions() -> str:
    """What cffi shall know: the marked part of native.h, and the constants."""
    text = (HERE / "native.h").read_text()
    declared = text.split("/* CDEF BEGIN */")[1].split("/* CDEF END */")[0]
    return declared + "".join(f"#define {name} ...\n" for name in CONSTANTS.split())


ffibuilder = FFI()
ffibuilder.cdef(definitions())
ffibuilder.set_source(
    "pyrunc._native._native", '#include "system.h"\n#include <linux/sched.h>\n',
    sources=[str(HERE / name) for name in SOURCES], include_dirs=[str(HERE)],
    depends=[str(HERE / name) for name in ("native.h", "system.h", "last_stage.h", "raw.h")],
    extra_compile_args=COMPILE, extra_link_args=LINK)


def build_in_place(verbose: bool) -> Path:
    """Compile into the source tree; returns the module's path.

    Works in a temporary directory, because distutils would read, and take amiss, the pyproject.toml of the current one.
    """
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(ffibuilder.compile(tmpdir=scratch, verbose=verbose))
        # cffi compiles for the limited API, but leaves it to setuptools to say so in the name.
        return Path(shutil.copy(made, HERE / "_native.new")).rename(HERE / "_native.abi3.so")


if __name__ == "__main__":
    print(build_in_place("-v" in sys.argv[1:]))
