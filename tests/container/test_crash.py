"""SIGKILL at every system call of create, run and delete from the first effect on: what is left can be deleted.

The kernel object acts only by system calls, so that dying at each of them is dying at, and inside, every step. The
journal that a killed runtime leaves tells which step it was in: the steps seen are checked against the plan.
"""
from __future__ import annotations

import json
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests import bundles
from tests.bundles import docker_like, merge
from tests.container.strace import Call, killed_at, traced
from tests.runtimes import Runtime
from tests.seccomp_profile import small
from tests.world import Snapshot

#: Calls that change nothing and return at once: dying there is dying at the next one.
HARMLESS = {"fstat", "newfstatat", "lseek", "getpid", "gettid", "getuid", "geteuid", "rt_sigaction", "rt_sigprocmask",
            "brk", "mprotect", "clock_gettime", "fcntl", "getrandom", "ioctl", "exit_group", "munmap", "getdents64"}


def config(*args: str) -> dict[str, Any]:
    return merge(docker_like(), {"process": {"args": list(args), "noNewPrivileges": True},
                                 "linux": {"seccomp": small(), "cgroupsPath": None},
                                 "hooks": {"createRuntime": [{"path": "/bin/true"}]}})


def points(found: list[Call], first: str) -> list[Call]:
    """The calls from the first one whose text has `first`, without the harmless ones."""
    start = next(index for index, call in enumerate(found) if first in call.text and call.name.startswith("mkdir"))
    return [call for call in found[start:] if call.name not in HARMLESS]


def journal_step(runtime: Runtime, name: str) -> int:
    """The parent's step in the journal (native.h page_t), -1 when there is none."""
    path = runtime.root / name / "journal"
    if not path.exists() or path.stat().st_size < 16:
        return -1
    step: int = struct.unpack_from("=IIIi", path.read_bytes())[3]
    return step


def plan_of(runtime: Runtime, bundle: Path) -> list[dict[str, Any]]:
    words = ("explain", "--no-check", "--bundle", bundle, "--format", "json")
    explained = subprocess.run([runtime.path, *words], capture_output=True, text=True, check=True)
    steps: list[dict[str, Any]] = json.loads(explained.stdout)["steps"]
    return steps


@pytest.mark.timeout(600)
@pytest.mark.parametrize("command", ["create", "run"])
def test_killed_at_every_call(command: str, runtime: Runtime, place: Path, name: str) -> None:
    bundle = bundles.bundle(place / "bundle", config("sleep", "0.2"))
    runtime.run(f"{name}-warm", bundle)                # what is kept on purpose is there from now on
    before = Snapshot.take(name, runtime.root)

    def argv(id: str) -> list[str]:
        return runtime.argv(command, "--bundle", bundle, id)
    found = points(traced(argv(f"{name}-0")), f"{name}-0")
    runtime.ok("delete", "--force", f"{name}-0")
    assert len(found) > 30
    failures, seen = [], set()
    for index, call in enumerate(found, 1):
        id = f"{name}-{index}"
        killed = killed_at(call, argv(id))
        seen.add(journal_step(runtime, id))
        deleted = runtime("delete", "--force", id)
        after = before.settle(name, runtime.root)
        if deleted.status or after != before:
            failures.append(f"{call} (killed: {killed}): {deleted.status} {deleted.stderr}; {after}")
            runtime("delete", "--force", id)
    assert not failures, f"{len(failures)} of {len(found)} points leave something:\n" + "\n".join(failures[:10])
    if runtime.name == "pyrunc" and command == "create":
        due = {step["index"] for step in plan_of(runtime, bundle)
               if step["side"] == "parent" and step["index"] > 3 and step["step"] != "barrier"}
        assert seen >= due, f"no kill fell into the steps {sorted(due - seen)}"


@pytest.mark.timeout(600)
def test_delete_killed_at_every_call(runtime: Runtime, place: Path, name: str) -> None:
    bundle = bundles.bundle(place / "bundle", config("sleep", "1000"))
    runtime.run(f"{name}-warm", bundles.bundle(place / "short", config("true")))
    before = Snapshot.take(name, runtime.root)

    def created(id: str) -> list[str]:
        runtime.create(id, bundle)
        runtime.ok("start", id)
        return runtime.argv("delete", "--force", id)
    whole = traced(created(f"{name}-0"))
    start = next(index for index, call in enumerate(whole) if f"{name}-0" in call.text and call.name != "execve")
    failures = []
    for index, call in enumerate((call for call in whole[start:] if call.name not in HARMLESS), 1):
        id = f"{name}-{index}"
        killed = killed_at(call, created(id))
        deleted = runtime("delete", "--force", id)
        after = before.settle(name, runtime.root)
        if deleted.status or after != before:
            failures.append(f"{call} (killed: {killed}): {deleted.status} {deleted.stderr}; {after}")
    assert not failures, "\n".join(failures[:10])
