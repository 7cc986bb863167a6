"""Seccomp as the kernel enforces it: what each action does to a system call inside the container."""
from __future__ import annotations

import array
import ctypes
import json
import os
import re
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests import bundles
from tests.bundles import docker_like
from tests.runtimes import Runtime
from tests.seccomp_profile import engine_sized, small

#: Python in the container, which sees the host's /usr: a system call by number, and what it answered.
CALL = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
for words in sys.argv[1:]:
    number, *args = (int(word, 0) for word in words.split())
    answer = libc.syscall(ctypes.c_long(number), *(ctypes.c_ulong(arg) for arg in args))
    print(os.strerror(ctypes.get_errno()) if answer < 0 else answer, flush=True)
"""
PERSONALITY, GETPPID, SOCKET, SWAPON, MKDIR, NEWER = 135, 110, 41, 167, 83, 600


def calls(runtime: Runtime, place: Path, name: str, profile: dict[str, Any], *words: str,
          **process: Any) -> tuple[int, list[str]]:
    config = docker_like(process={"args": ["/usr/bin/python3", "-I", "-S", "-c", CALL, *words], **process},
                         mounts=bundles.host_mounts(), linux={"seccomp": profile})
    bundle = bundles.bundle(place / "bundle", config, host_usr=True)
    outcome = runtime.run(name, bundle)
    return outcome.status, (outcome.stdout + outcome.stderr).splitlines()


@pytest.mark.spec("config-linux.md#seccomp", "seccomp", "syscalls", "syscalls.names", "syscalls.action",
                  "syscalls.errnoRet", "syscalls.args", "syscalls.args.index", "syscalls.args.value",
                  "syscalls.args.valueTwo", "syscalls.args.op")
@pytest.mark.parametrize("no_new_privileges", [False, True])
def test_errno_arguments_and_masks(no_new_privileges: bool, runtime: Runtime, place: Path, name: str) -> None:
    status, said = calls(runtime, place, name, small(), f"{MKDIR} 0", f"{SOCKET} 16 3 0", f"{SOCKET} 1 1 0",
                         f"{PERSONALITY} 8", f"{PERSONALITY} 0xc", f"{PERSONALITY} 0",
                         noNewPrivileges=no_new_privileges)
    assert (status, said[:2]) == (0, ["No space left on device", "Address family not supported by protocol"])
    assert said[2].isdigit() and said[3:5] == ["Operation not permitted"] * 2 and said[5] == "0"


@pytest.mark.spec("config-linux.md#seccomp", "syscalls.action")
def test_kill_process(runtime: Runtime, place: Path, name: str) -> None:
    assert calls(runtime, place, name, small(), f"{SWAPON} 0 0") == (128 + 31, [])


# "The default is EPERM."
@pytest.mark.spec("config-linux.md#seccomp", "defaultAction", "defaultErrnoRet")
@pytest.mark.parametrize(("errno", "said"), [(None, "Operation not permitted"), (28, "No space left on device")])
def test_the_default_and_its_errno(errno: int | None, said: str, runtime: Runtime, place: Path, name: str) -> None:
    profile = engine_sized()
    del profile["defaultErrnoRet"]
    if errno is not None:
        profile["defaultErrnoRet"] = errno
    assert calls(runtime, place, name, profile, f"{SWAPON} 0 0") == (0, [said])


# "flags (array of strings, OPTIONAL) - list of flags to use with seccomp(2)." What the kernel is asked for by the init.
@pytest.mark.spec("config-linux.md#seccomp", "flags")
@pytest.mark.parametrize(("flags", "used"), [
    (None, "SPEC_ALLOW"), ([], "0"), (["LOG"], "LOG"), (["SPEC_ALLOW"], "SPEC_ALLOW"), (["LOG", "SPEC_ALLOW"], "both"),
    (["TSYNC"], "0"),                       # there is one thread
    (["WAIT_KILLABLE_RECV"], "NEW_LISTENER"),
])
def test_flags(flags: list[str] | None, used: str, runtime: Runtime, place: Path, name: str) -> None:
    profile = small()
    if flags is not None:
        profile["flags"] = [f"SECCOMP_FILTER_FLAG_{flag}" for flag in flags]
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    if used == "NEW_LISTENER":              # without one the kernel has no such flag
        listener.bind(str(place / "agent"))
        listener.listen()
        profile["listenerPath"] = str(place / "agent")
        profile["syscalls"].append({"names": ["acct"], "action": "SCMP_ACT_NOTIFY"})
    config = docker_like(process={"args": ["grep", "^Seccomp", "/proc/self/status"]}, linux={"seccomp": profile})
    argv: list[str | Path] = ["strace", "-f", "-e", "trace=seccomp", "-X", "raw", "-o", place / "trace"]
    argv += runtime.argv("run", "--bundle", bundles.bundle(place / "bundle", config), name)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert done.stdout.split() == ["Seccomp:", "2", "Seccomp_filters:", "1"], done.stderr
    # What loads a filter has a program; the calls before that ask the kernel what it knows have none.
    loads = [int(found, 0) for found in re.findall(r"seccomp\(0x1, (\w+), \{len=", (place / "trace").read_text())]
    numbers = {"0": 0, "LOG": 2, "SPEC_ALLOW": 4, "both": 6, "NEW_LISTENER": 8 | 32}
    assert loads == [numbers[used]]
    listener.close()


@pytest.mark.spec("config-linux.md#seccomp", "seccomp", "defaultAction", "architectures")
def test_the_profile_engines_send(runtime: Runtime, place: Path, name: str) -> None:
    status, said = calls(runtime, place, name, engine_sized(), f"{GETPPID}", f"{PERSONALITY} 0x40000", "272 0",
                         f"{SOCKET} 40 1 0", f"{NEWER}")
    # A call that the profile could not know yet is ENOSYS, not EPERM, so that programs fall back.
    assert (status, said) == (0, ["0", *["Operation not permitted"] * 3, "Function not implemented"])


# config-linux.md#seccomp: "listenerPath … specifies the path of UNIX domain socket over which the runtime will send the
# container process state data structure when the SCMP_ACT_NOTIFY action is used."
@pytest.mark.spec("config-linux.md#seccomp", "listenerPath", "listenerMetadata")
@pytest.mark.spec("config-linux.md#the-container-process-state", "the state is JSON, descriptors come by SCM_RIGHTS",
                  "descriptors come with the first message", "fds", "pid", "metadata", "state")
def test_notify_listener(runtime: Runtime, place: Path, name: str) -> None:
    path = place / "listener"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(1)
    listener.settimeout(60)
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": str(path), "listenerMetadata": "some words",
               "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]}
    config = docker_like(process={"args": ["mkdir", "/made"]}, linux={"seccomp": profile})
    bundle = bundles.bundle(place / "bundle", config)
    init = runtime.create(name, bundle)
    connection, _ = listener.accept()
    data, ancillary, _, _ = connection.recvmsg(65536, socket.CMSG_SPACE(4))
    state = json.loads(data)
    assert state["fds"] == ["seccompFd"] and state["metadata"] == "some words" and state["pid"] == init.pid
    assert state["state"]["id"] == name
    found = array.array("i", ancillary[0][2])
    runtime.ok("start", name)
    _answer(found[0], errno=-28)
    assert init.wait() != 0
    os.close(found[0])
    assert "No space left on device" in init.outcome.stderr
    listener.close()


def _answer(fd: int, errno: int) -> None:
    """Receive one notification and make the call fail (seccomp_unotify(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    request = ctypes.create_string_buffer(80)                  # struct seccomp_notif
    assert libc.ioctl(fd, ctypes.c_ulong(0xC0502100), request) == 0, os.strerror(ctypes.get_errno())
    response = bytearray(24)                                   # struct seccomp_notif_resp: id, val, error, flags
    response[:8] = request.raw[:8]
    response[16:20] = errno.to_bytes(4, "little", signed=True)
    buffer = ctypes.create_string_buffer(bytes(response), 24)
    assert libc.ioctl(fd, ctypes.c_ulong(0xC0182101), buffer) == 0, os.strerror(ctypes.get_errno())
