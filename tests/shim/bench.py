"""The speed and memory of shims, driven as containerd drives them: `make bench-shim`.

Shims take turns, round by round: start, Create, Start, execs, Kill and Wait, Delete. CPU is that of a cgroup which the
shim, all that it starts and its containers are in, so it counts to the microsecond whoever did the work.

    python -m tests.shim.bench --shim NAME=PROGRAM[,RUNTIME] ... [--rounds 10] [--pods 10] [--probes 1000] [--beside N]
"""
from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import struct
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pyrunc.formats.protobuf import Message
from pyrunc.kernel.loop import Loop
from pyrunc.ttrpc.client import Client, connect
from pyrunc.ttrpc.codes import RpcError
from pyrunc.ttrpc.messages import task as api
from pyrunc.ttrpc.messages.options import Options
from pyrunc.ttrpc.messages.well_known import Any as AnyMessage
from tests import bundles, world
from tests.bundles import docker_like

from .driver import PROCESS, Events

LIMIT = 60.0
#: Seconds after which what was only there for a burst of calls has ended (keeper/nursery.py: IDLE).
SETTLE = 4.0
CAP_SYS_RESOURCE = 24
#: Where shims and runtimes have their sockets and their state.
RUN = Path("/run/containerd")
PROBE = {"args": ["true"], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}}


def device_rules() -> dict[str, Any]:
    """What changes Docker's linux.resources: crun loads rules for devices only where it may raise its RLIMIT_MEMLOCK,
    and all are to do the same."""
    mask = next(line for line in world.lines("/proc/self/status") if line.startswith("CapEff"))
    return {} if int(mask.split()[1], 16) >> CAP_SYS_RESOURCE & 1 else {"resources": None}


class Contestant:
    """One shim program with one runtime, and its numbers."""

    def __init__(self, text: str, place: Path) -> None:
        self.name, _, rest = text.partition("=")
        program, _, runtime = rest.partition(",")
        self.program, self.runtime = shutil.which(program) or program, shutil.which(runtime) or runtime
        self.place = place / self.name.replace(" ", "-").replace("/", "-")
        self.place.mkdir()
        self.containerd = socket.socket(socket.AF_UNIX)             # the zygote ends with it
        self.containerd.bind(str(self.place / "containerd"))
        self.cgroup = world.CGROUP / f"bench-{os.getpid()}-{self.place.name}"
        for folder in (self.cgroup, self.cgroup / "shims"):
            folder.mkdir()
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.cpu: dict[str, list[float]] = defaultdict(list)
        self.memory: dict[str, Any] = {}
        self.counted = True                                         # whether what it takes is one of its numbers
        self.entered = 0.0                                          # when the last command came into the cgroup

    def used(self) -> float:
        """Seconds of CPU so far."""
        lines = (self.cgroup / "cpu.stat").read_text().split()
        return int(lines[lines.index("usage_usec") + 1]) / 1e6

    def take(self, what: str, call: Callable[[], Any]) -> Any:
        cpu, began = self.used(), time.perf_counter()
        result = call()
        if self.counted:
            self.seconds[what].append(time.perf_counter() - max(began, self.entered))
            self.cpu[what].append(self.used() - cpu)
        return result

    def remove(self) -> None:
        self.containerd.close()
        (self.cgroup / "cgroup.kill").write_text("1")
        end = time.monotonic() + LIMIT
        while "populated 1" in (self.cgroup / "cgroup.events").read_text():
            assert time.monotonic() < end
            time.sleep(0.01)
        for folder in [*sorted(self.cgroup.rglob("*/"), reverse=True), self.cgroup]:
            if folder.is_dir():
                folder.rmdir()


def command(whose: Contestant, events: Path, bundle: Path, action: str) -> bytes:
    """What containerd would read of a command, which runs in the shims' cgroup. The bundle's name is the id.

    Its time counts from when it is there: to move a process takes the kernel 10 ms, and is no part of what is compared.
    """
    procs = str(whose.cgroup / "shims/cgroup.procs")
    there, tell = os.pipe()

    def enter() -> None:
        with open(procs, "w") as file:
            file.write("0")
        os.write(tell, struct.pack("d", time.perf_counter()))
    flags = "-namespace", "tests", "-address", str(whose.place / "containerd"), "-id", bundle.name, action
    done = subprocess.run([whose.program, *flags], cwd=bundle, stdin=subprocess.DEVNULL, timeout=LIMIT,
                          capture_output=True, preexec_fn=enter, check=False,
                          env={"PATH": os.environ["PATH"], "TTRPC_ADDRESS": str(events)})
    os.close(tell)
    whose.entered, = struct.unpack("d", os.read(there, 8))
    os.close(there)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Pod:
    """A shim with one container; calls go over one connection, as containerd's do."""

    def __init__(self, whose: Contestant, events: Events, id: str, rootfs: Path) -> None:
        self.whose, self.events, self.id = whose, events, id
        self.bundle = whose.place / id
        self.bundle.mkdir()
        (self.bundle / "rootfs").mkdir()
        config = docker_like(process={"args": ["sleep", "100000"]}, root={"path": str(rootfs)},
                             linux={"cgroupsPath": f"/{whose.cgroup.name}/{id}", **device_rules()})
        (self.bundle / "config.json").write_text(json.dumps(config))
        os.mkfifo(self.bundle / "log")
        self.log = os.open(self.bundle / "log", os.O_RDONLY | os.O_NONBLOCK)
        self.loop = Loop()

    def launch(self) -> None:
        address = command(self.whose, self.events.path, self.bundle, "start").decode()
        self.client = Client(self.loop, connect(address))

    def call(self, method: str, request: Message) -> Any:
        outcome: list[tuple[Message | None, RpcError | None]] = []
        self.client.call(api.TASK_SERVICE, method, request, api.TASK[method][1],
                         lambda message, error: outcome.append((message, error)), LIMIT)
        while not outcome:
            self.loop.once()
        message, error = outcome[0]
        if error is not None:
            raise error
        return message

    def create(self) -> None:
        options = Options(binary_name=self.whose.runtime)
        self.call("Create", api.CreateTaskRequest(
            id=self.id, bundle=str(self.bundle),
            options=AnyMessage(type_url=Options.TYPE, value=options.encode()) if self.whose.runtime else None))

    def start(self) -> None:
        self.call("Start", api.StartRequest(id=self.id))

    def up(self) -> None:
        """Launch, Create and Start, each timed, and together."""
        def all_of_it() -> None:
            self.whose.take("start command", self.launch)
            self.whose.take("Create", self.create)
            self.whose.take("Start", self.start)
        self.whose.take("up", all_of_it)

    def probe(self, number: int) -> None:
        id = f"e{number}"
        self.call("Exec", api.ExecProcessRequest(id=self.id, exec_id=id, spec=AnyMessage(
            type_url=PROCESS, value=json.dumps(PROBE).encode())))
        self.call("Start", api.StartRequest(id=self.id, exec_id=id))
        status = self.call("Wait", api.WaitRequest(id=self.id, exec_id=id)).exit_status
        assert status == 0, status
        self.call("Delete", api.DeleteRequest(id=self.id, exec_id=id))

    def kill(self) -> None:
        self.call("Kill", api.KillRequest(id=self.id, signal=9))
        self.call("Wait", api.WaitRequest(id=self.id))

    def down(self) -> None:
        self.whose.take("Kill, Wait", self.kill)
        self.whose.take("Delete", lambda: self.call("Delete", api.DeleteRequest(id=self.id)))
        self.end()

    def end(self) -> None:
        try:
            self.call("Shutdown", api.ShutdownRequest(id=self.id))
        except RpcError:                       # it may end before it answers
            pass
        self.client.close()
        os.close(self.log)
        shutil.rmtree(self.bundle)


def rounds(contestants: Sequence[Contestant], events: Events, rootfs: Path, count: int, probes: int) -> None:
    """Whole lives in turn, with some probes each. The first of each is not counted: what is warm then stays."""
    for number in range(count + 1):
        for one in contestants:
            pod = Pod(one, events, f"pod-{os.getpid()}-{number}", rootfs)
            pod.up()
            for probe in range(probes):
                one.take("exec probe", partial(pod.probe, probe))
            pod.down()
            if number == 0:
                one.seconds.clear()
                one.cpu.clear()


def memory(contestants: Sequence[Contestant], events: Events, rootfs: Path, pods: int, of_each: Sequence[int]) -> None:
    """Of some pods at once, before and after so many probes in each: of_each contestant. What they take is not counted:
    here the contestants take no turns."""
    for one, probes in zip(contestants, of_each):
        one.counted = False
        there = [Pod(one, events, f"many-{os.getpid()}-{number}", rootfs) for number in range(pods)]
        for pod in there:
            pod.up()
        time.sleep(SETTLE)
        one.memory["new"] = shims(one)
        began, cpu = time.perf_counter(), one.used()
        for number in range(probes):
            for pod in there:
                pod.probe(number)
        one.memory["seconds a probe"] = (time.perf_counter() - began) / max(1, probes * pods)
        one.memory["cpu a probe"] = (one.used() - cpu) / max(1, probes * pods)
        one.memory[f"after {probes} probes"] = shims(one)
        time.sleep(SETTLE)
        one.memory[f"after {probes} probes and {SETTLE:.0f} s"] = shims(one)
        for pod in there:
            pod.down()


def shims(one: Contestant) -> dict[str, list[int]]:
    """KiB of each process that is in the shims' cgroup now: its name -> [private, proportional, ...]."""
    found: dict[str, list[int]] = defaultdict(list)
    for pid in (one.cgroup / "shims/cgroup.procs").read_text().split():
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            name = Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            continue
        numbers = {line.split(":")[0]: int(line.split()[1]) for line in text.splitlines()[1:]}
        found[f"{name} private"].append(numbers["Private_Dirty"] + numbers["Private_Clean"])
        found[f"{name} dirty"].append(numbers["Private_Dirty"])
        found[f"{name} proportional"].append(numbers["Pss"])
    return dict(found)


def table(contestants: Sequence[Contestant]) -> str:
    rows = [f"{'ms: median / least; CPU: median':34}" + "".join(f"{one.name:>24}" for one in contestants)]
    for what in contestants[0].seconds:
        cells = []
        for one in contestants:
            took, cpu = [1000 * value for value in one.seconds[what]], [1000 * value for value in one.cpu[what]]
            cells.append(f"{statistics.median(took):.1f} / {min(took):.1f}; {statistics.median(cpu):.2f}")
        rows.append(f"{what:34}" + "".join(f"{cell:>24}" for cell in cells))
    for one in contestants:
        for when, found in one.memory.items():
            if isinstance(found, float):
                rows.append(f"{one.name}: {when}: {1000 * found:.2f} ms")
                continue
            for name, values in sorted(found.items()):
                rows.append(f"{one.name}: {when}: {name}: {len(values)} processes, KiB {min(values)} to {max(values)}, "
                            f"in all {sum(values)}")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.shim.bench", description="Compare containerd's shims.")
    parser.add_argument("--shim", action="append", required=True, metavar="NAME=PROGRAM[,RUNTIME]", help="repeatable")
    parser.add_argument("--rounds", type=int, default=10, help="lives of each (10)")
    parser.add_argument("--execs", type=int, default=10, help="probes in each life (10)")
    parser.add_argument("--pods", type=int, default=10, help="pods at once whose memory is measured (10)")
    parser.add_argument("--probes", type=int, default=1000, help="in each of the first shim's (1000)")
    parser.add_argument("--beside", type=int, default=100, help="in each of the others' (100)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers there")
    options = parser.parse_args()
    world.enter()
    place = Path(tempfile.mkdtemp(prefix="pyrunc-shims-", dir="/tmp"))
    for folder in (place, RUN):                                 # as /run is where engines keep all this
        folder.mkdir(exist_ok=True)
        world.mount("tmpfs", folder, "tmpfs", data="mode=755")
    events = Events(place / "events")
    contestants = [Contestant(text, place) for text in options.shim]
    load = os.getloadavg()[0]
    try:
        rootfs = bundles.busybox_root(place / "image")
        rounds(contestants, events, rootfs, options.rounds, options.execs)
        if options.pods:
            others = [options.beside] * (len(contestants) - 1)
            memory(contestants, events, rootfs, options.pods, [options.probes, *others])
    finally:
        events.close()
        for one in contestants:
            one.remove()
        for folder in (RUN, place):
            world.unmount(folder)
        place.rmdir()
    print(f"load {load:.1f} to {os.getloadavg()[0]:.1f}\n{table(contestants)}")
    if options.json:
        options.json.write_text(json.dumps({one.name: {"seconds": one.seconds, "cpu": one.cpu, "memory": one.memory}
                                            for one in contestants}, indent=2) + "\n")


if __name__ == "__main__":
    main()
