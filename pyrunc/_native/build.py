"""Builds pyrunc._native._native: the C sources, and binding.c with what bind.py makes of native.h.

setup.py and build_launcher.py take extension() from here. The functions and structs are those between the CDEF marks of
native.h; the constants come from the kernel's headers. It is one file for every CPython since 3.11.
"""
from __future__ import annotations

import re
import runpy
from pathlib import Path

from setuptools import Extension

HERE = Path(__file__).resolve().parent
SOURCES = ["binding.c", "bpf.c", "clone.c", "files.c", "last_check.c", "last_door.c", "last_exec.c",
           "last_explain.c", "last_fds.c", "last_ids.c", "last_libraries.c", "last_memory.c", "last_programs.c",
           "last_root.c", "last_signals.c", "last_stage.c", "last_tail.c", "mounts.c", "page.c", "process.c",
           "run.c", "seccomp_flags.c", "terminal.c", "text.c", "usual.c"]
#: pyrunc.formats._jsontext
JSON = ["json.c", "json_read.c", "json_write.c", "trace_lines.c"]

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


def declared() -> str:
    """The part of native.h that Python sees, without comments."""
    text = (HERE / "native.h").read_text().split("/* CDEF BEGIN */")[1].split("/* CDEF END */")[0]
    return re.sub(r"/\*.*?\*/", "", text, flags=re.S)


def extension(work: Path, sources: Path = HERE) -> Extension:
    """The module to be compiled. work: where bound.c goes; sources: how the way to this directory is to be written."""
    work.mkdir(parents=True, exist_ok=True)
    bound = work / "bound.c"
    text = runpy.run_path(str(HERE / "bind.py"))["bind"](declared(), CONSTANTS)
    if not bound.exists() or bound.read_text() != text:         # unchanged: nothing to compile again
        bound.write_text(text)
    return Extension(
        "pyrunc._native._native", [str(bound), *(str(sources / name) for name in SOURCES)], include_dirs=[str(sources)],
        depends=[str(sources / name) for name in ("binding.h", "native.h", "system.h", "last_stage.h", "raw.h")],
        extra_compile_args=COMPILE, extra_link_args=LINK, py_limited_api=True)
