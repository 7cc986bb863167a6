"""Put the file system of a container together with the real kernel, in a forked child with its own mount namespace."""
from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pyrunc._native import lib
from pyrunc.engine.facts import Facts
from pyrunc.engine.run import failure_text, place_of
from pyrunc.engine.step import Step
from pyrunc.errors import ConfigError, StepError
from pyrunc.host import Host
from pyrunc.kernel.linux import Kernel
from pyrunc.kernel.posix import lines
from pyrunc.options import Options
from pyrunc.request import Request
from pyrunc.steps import devices, mounts, paths, process, root

from ..forked import forked

CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
Result = TypeVar("Result")
#: Root of the initial user namespace, without security modules.
ROOT = Host()
_proc = -1


def config(bundle: Path, mounts: list[dict[str, Any]] | None = None, *, readonly: bool = False,
           namespaces: tuple[str, ...] = ("mount",), **linux: Any) -> dict[str, Any]:
    """A config.json with the parts that matter to file systems; bundle/rootfs is made if it is missing."""
    (bundle / "rootfs").mkdir(exist_ok=True)
    return {"ociVersion": "1.3.0", "root": {"path": "rootfs", "readonly": readonly}, "mounts": mounts or [],
            "linux": {"namespaces": [{"type": kind} for kind in namespaces], **linux}}


def steps(wanted: Any, bundle: Path, host: Host = ROOT, with_devices: bool = False, **options: Any) -> Iterator[Step]:
    """The steps from the sources to the finished root, without the switch."""
    given = Request(wanted, Options(id="test", bundle=str(bundle), **options), host)
    yield from root.check(given)
    yield from mounts.sources(given)
    yield from root.prepare(given)
    yield from mounts.all(given)
    if with_devices:
        yield from devices.all(given)
    yield from paths.all(given)
    yield from process.make_cwd(given)
    yield from mounts.finish(given)
    yield from root.finish(given)


def apply(plan: Iterator[Step] | list[Step], kernel: Kernel, facts: Facts) -> None:
    """Apply the steps in order; a failure is told as the engine tells it."""
    for step in list(plan):
        try:
            step.apply(kernel, facts)
        except OSError as fault:
            raise StepError(failure_text(step, fault), fault.errno or 0,
                            place_of(step, fault), step.name, step.spec) from fault


def inside(wanted: Any, bundle: Path, look: Callable[[], Result], host: Host = ROOT, **more: Any) -> Result:
    """Build the root in a child and return what look() finds when that is its root directory."""
    def act() -> Result:
        facts = Facts()
        apply(steps(wanted, bundle, host, **more), Kernel(), facts)
        enter(facts.root_fd)
        return look()
    return forked(act, CLONE_NEWNS)


def own_user_namespace() -> None:
    """Make this process root of a new user namespace, where nobody else is mapped, with its own mount namespace."""
    assert lib.pr_unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0
    for name, text in (("setgroups", "deny"), ("uid_map", "0 0 1"), ("gid_map", "0 0 1")):
        Path(f"/proc/self/{name}").write_text(text)


def enter(root_fd: int) -> None:
    """Make this process's root directory what root_fd is; mountinfo() goes on working."""
    global _proc
    _proc = os.open("/proc", os.O_PATH)
    os.fchdir(root_fd)
    os.chroot(".")


def refused(wanted: Any, bundle: Path, host: Host = ROOT, **more: Any) -> str:
    """The error that building the root ends with."""
    def act() -> str:
        try:
            apply(steps(wanted, bundle, host, **more), Kernel(), Facts())
        except (ConfigError, StepError) as error:
            return str(error)
        return ""
    return forked(act, CLONE_NEWNS)


def mountinfo() -> dict[str, dict[str, Any]]:
    """{mount point: the topmost mount on it} that this process can reach (proc_pid_mountinfo(5))."""
    found = {}
    with os.fdopen(os.open("self/mountinfo" if _proc >= 0 else "/proc/self/mountinfo", os.O_RDONLY,
                           dir_fd=_proc if _proc >= 0 else None), errors="surrogateescape") as file:
        text = file.read()
    for line in lines(text):
        before, _, after = line.partition(" - ")
        fields, rest = before.split(" "), after.split(" ")
        found[fields[4]] = {"root": fields[3], "flags": set(fields[5].split(",")), "propagation": fields[6:],
                            "type": rest[0], "source": rest[1], "options": set(rest[2].split(","))}
    return found


def tree(top: Path) -> list[str]:
    """Everything below a directory, by name and kind: to show that nothing was made there."""
    return sorted(f"{path.relative_to(top)} {path.lstat().st_mode:o}" for path in top.rglob("*"))
