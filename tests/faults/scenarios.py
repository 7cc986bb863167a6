"""The commands whose system calls fail: what there is before, and what must be true afterwards, however they ended."""
from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from pyrunc.kernel.linux import Kernel
from tests import bundles, world
from tests.bundles import docker_like, merge
from tests.faults.injection import Outcome
from tests.runtimes import Runtime
from tests.seccomp_profile import small

#: Of an internal error, of Python, of a death by signal: words that no user should ever see.
UNWANTED = re.compile(r"internal error|Traceback|Error:|Exception|killed by signal (?!9\b)|\bNone\b|errno")

#: Of /proc/PID/status, what keeps a process in.
STATUS = ("Uid", "Gid", "Groups", "Umask", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp",
          "Seccomp_filters", "SigBlk", "SigIgn", "Cpus_allowed_list")

LOST = "write what the container prints to the standard output: "
BEGUN = "cannot start an already running container"
KEPT = "/@seccomp"              # filters that have been compiled, for the next container


def mount(line: str) -> str:
    """Root, place and flags out of a line of mountinfo; of a path masked by /dev/null no flags, which may be the
    host's."""
    words = line.split(" - ")[0].split()[3:]
    if words[1] == "/":
        words[0] = "the bundle's root"
    return " ".join(words[:2] if words[0] == "/null" else words)


class Scenario:
    """One command. prepare() before it, wrong() after it: what is not as it must be, "" for nothing.

    base     the container's config, without what a command wants of it
    where    for variants.py: what is not as usual
    slice    about as many faults are tried every time
    beside   a scenario with which the other calls of this one are tried
    """
    name = ""
    where = ""
    slice = 25
    beside: type[Scenario] | None = None

    def __init__(self, runtime: Runtime, place: Path) -> None:
        self.runtime = runtime
        self.place = place
        self.bundle = self.made(place / self.name, self.config())
        id = f"{place.name}-whole"
        runtime.create(id, self.made(place / "whole", self.base()), *self.flags())
        runtime.ok("start", id)
        self.whole = self.seen(id)
        runtime.ok("delete", "--force", id)
        self.before = self.things("no-such")            # with what is kept on purpose
        self.own = world.children()

    def made(self, folder: Path, config: dict[str, object]) -> Path:
        return bundles.bundle(folder, config)

    def flags(self) -> list[str]:
        """Of whatever makes a container."""
        return []

    def stdin(self) -> int:
        return subprocess.DEVNULL

    def config(self) -> dict[str, object]:
        return self.base()

    def base(self) -> dict[str, object]:
        return merge(docker_like(), {"process": {"args": ["sleep", "1000"], "noNewPrivileges": True,
                                                 "rlimits": [{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]},
                                     "linux": {"seccomp": small(), "cgroupsPath": None},
                                     "hooks": {"createRuntime": [{"path": "/bin/true"}]}})

    def prepare(self, id: str) -> None:
        """What the command works on."""

    def argv(self, id: str) -> list[str]:
        return self.runtime.argv(self.name, id)

    def succeeded(self, id: str) -> str:
        return ""

    def failed(self, id: str) -> str:
        return ""

    def wrong(self, id: str, outcome: Outcome) -> str:
        """What is not as it must be; the container is gone afterwards."""
        return "; ".join(filter(None, [self.said(outcome), self.state(id, outcome), self.left(id)]))

    def said(self, outcome: Outcome) -> str:
        if outcome.status == 124:
            return f"hangs: {outcome.stderr!r}"
        if outcome.status >= 200 and outcome.status != 255:
            return f"killed by {signal.Signals(outcome.status - 200).name}: {outcome.stderr!r}"
        if UNWANTED.search(outcome.stderr) or (outcome.status and outcome.stderr.count("\n") != 1):
            return f"status {outcome.status}, says {outcome.stderr!r}"
        return ""

    def state(self, id: str, outcome: Outcome) -> str:
        return self.failed(id) if outcome.status else self.succeeded(id)

    def left(self, id: str) -> str:
        world.children()           # reaps what was left to init, which this process is: a zombie holds a pid namespace
        deleted = self.runtime("delete", "--force", id)
        wrong = f"delete --force says {deleted.stderr!r}" if deleted.status or deleted.stderr else ""
        if processes := self.processes(id, 5):
            wrong += f" processes left {processes}"
        for kind, now in self.things(id).items():
            if more := now - self.before[kind]:
                wrong += f" {kind} left: {sorted(more)}"
        return wrong

    def things(self, id: str) -> dict[str, set[str]]:
        """What there is that a container may have left; of cgroups the container's, and any at the top."""
        parents = {world.CGROUP, Path(f"{world.CGROUP}{self.whole['cgroup']}").parent}
        return {"mounts": {" ".join(line.split(" - ")[0].split()[3:]) for line in world.lines("/proc/self/mountinfo")},
                "cgroups": {str(parent / entry) for parent in parents if parent.exists() for entry in os.listdir(parent)
                            if world.named(id).search(entry)},
                "files": {path for path in world.below(self.runtime.root) if KEPT not in path}}

    # ---- what failed() and succeeded() ask ----
    def processes(self, id: str, seconds: float = 0, wanted: int = 0) -> set[int]:
        """Those in the container's cgroup, and those that the runtime has left to us; when there are so many, or after
        so many seconds."""
        deadline = time.monotonic() + seconds
        while True:
            found = {*world.processes_of(id), *(world.children() - self.own)}
            if len(found) == wanted or time.monotonic() > deadline:
                return found
            time.sleep(0.01)

    def is_(self, id: str, *wanted: str) -> str:
        told = self.runtime("state", id)
        status = "gone" if told.status else self.runtime.status(id)
        return "" if status in wanted else f"it is {status}, not {' or '.join(wanted)}"

    def weaker(self, id: str) -> str:
        """What of the container's process is not as it is without a fault: not a thing may be missing of what keeps it
        in."""
        seen = self.seen(id)
        wrong = [f"{key} is {seen[key]}, not {self.whole[key]}" for key in seen
                 if key != "mounts" and seen[key] != self.whole[key]]
        # There may be more: a device that cannot be made is the host's, bound; and a mount of fewer options.
        if missing := [line for line in self.whole["mounts"] if line not in seen["mounts"]]:
            wrong.append(f"no mounts {missing}, but {set(seen['mounts']) - set(self.whole['mounts'])}")
        return "; ".join(wrong)

    def seen(self, id: str) -> dict[str, Any]:
        """What a running container's process is and has, without what differs from one to the next."""
        pid = self.runtime.state(id)["pid"]
        proc = Path(f"/proc/{pid}")
        status = dict(line.split(":\t", 1) for line in (proc / "status").read_text().splitlines() if ":\t" in line)
        own = (proc / "cgroup").read_text().splitlines()[-1].partition("::")[2]
        cgroup = os.open(f"{world.CGROUP}{own}", os.O_RDONLY)
        filters = len(Kernel().bpf_query(cgroup))
        os.close(cgroup)
        return {**{key: status[key] for key in STATUS},
                "mounts": [mount(line).replace(id, "ID") for line in world.lines(proc / "mountinfo")],
                "cgroup": own.replace(id, "ID"), "device filters": filters,
                "shared namespaces": [kind for kind in os.listdir(proc / "ns")
                                      if os.readlink(proc / "ns" / kind) == os.readlink(f"/proc/self/ns/{kind}")],
                **{name: (proc / name).read_bytes() for name in ("environ", "oom_score_adj", "cmdline")},
                "limits": [line for line in (proc / "limits").read_text().splitlines() if "open files" not in line],
                "descriptors": sorted(os.listdir(proc / "fd")), "directory": os.readlink(proc / "cwd")}

    def works(self, id: str) -> str:
        done = self.runtime("exec", id, "echo", "here")
        return "" if (done.status, done.stdout) == (0, "here\n") else f"exec fails: {done.status} {done.stderr!r}"


class Create(Scenario):
    name = "create"

    def argv(self, id: str) -> list[str]:
        return self.runtime.argv("create", *self.flags(), "--bundle", self.bundle, id)

    def succeeded(self, id: str) -> str:
        wrong = self.is_(id, "created")
        started = self.runtime("start", id)
        return wrong or started.stderr or self.weaker(id) or self.works(id)

    def failed(self, id: str) -> str:
        return self.is_(id, "gone")


class Run(Scenario):
    name = "run"

    def config(self) -> dict[str, object]:
        return merge(super().config(), {"process": {"args": ["echo", "hi"]}})

    def argv(self, id: str) -> list[str]:
        return self.runtime.argv("run", "--bundle", self.bundle, id)

    def state(self, id: str, outcome: Outcome) -> str:
        wrong = self.is_(id, "gone")
        told = outcome.status or outcome.stdout == "hi\n" or LOST in outcome.stderr
        return wrong or ("" if told else f"it prints {outcome.stdout!r}")


class OfCreated(Scenario):
    def prepare(self, id: str) -> None:
        self.runtime.create(id, self.bundle, *self.flags())


class Start(OfCreated):
    name = "start"

    def succeeded(self, id: str) -> str:
        return self.is_(id, "running") or self.works(id)

    def failed(self, id: str) -> str:
        """Not begun: then it can be. Or begun, and the command could not see the end of it."""
        wrong = self.is_(id, "created", "running")
        if not wrong and self.runtime.status(id) == "created":
            said = self.runtime("start", id).stderr
            wrong = "" if BEGUN in said else said           # by now
        return wrong or self.works(id)


class OfRunning(OfCreated):
    def prepare(self, id: str) -> None:
        super().prepare(id)
        self.runtime.ok("start", id)

    def failed(self, id: str) -> str:
        return self.is_(id, "running") or self.works(id)


class Exec(OfRunning):
    name = "exec"

    def argv(self, id: str) -> list[str]:
        return self.runtime.argv("exec", id, "sleep", "0.1")

    def succeeded(self, id: str) -> str:
        return self.failed(id)

    def failed(self, id: str) -> str:
        return super().failed(id) or self.alone(id)

    def alone(self, id: str) -> str:
        """Of an exec nothing goes on."""
        running = self.processes(id, 2, 1)
        return "" if len(running) == 1 else f"processes {running}"


class Delete(OfRunning):
    name = "delete"

    def config(self) -> dict[str, object]:
        return merge(super().config(), {"hooks": {"poststop": [{"path": "/bin/true"}]}})

    def argv(self, id: str) -> list[str]:
        return self.runtime.argv("delete", "--force", id)

    def succeeded(self, id: str) -> str:
        return self.is_(id, "gone")

    def failed(self, id: str) -> str:
        return self.is_(id, "gone", "running", "stopped")


class Kill(OfRunning):
    name = "kill"

    def argv(self, id: str) -> list[str]:
        return self.runtime.argv("kill", id, "USR1")

    def config(self) -> dict[str, object]:
        script = "trap 'exit 3' USR1; while :; do sleep 1000 & wait; done"
        return merge(super().config(), {"process": {"args": ["sh", "-c", script]}})

    def succeeded(self, id: str) -> str:
        return self.is_(id, "stopped", "running")

    def failed(self, id: str) -> str:
        return super().failed(id)


class Update(OfRunning):
    name = "update"

    def argv(self, id: str) -> list[str]:
        limits = self.place / "limits.json"
        limits.write_text('{"unified": {"cgroup.max.descendants": "100"}}')
        return self.runtime.argv("update", "--resources", str(limits), id)

    def succeeded(self, id: str) -> str:
        return self.failed(id)


class Pause(OfRunning):
    name = "pause"

    def succeeded(self, id: str) -> str:
        wrong = self.is_(id, "paused")
        return wrong or self.runtime("resume", id).stderr or self.works(id)

    def failed(self, id: str) -> str:
        """What it has stopped runs again, which the kernel tells a moment later."""
        deadline = time.monotonic() + 5
        while self.runtime.status(id) == "paused" and time.monotonic() < deadline:
            time.sleep(0.01)
        return super().failed(id)


ALL: tuple[type[Scenario], ...] = (Create, Run, Start, Exec, Delete, Kill, Update, Pause)
