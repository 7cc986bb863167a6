"""Many pods for a long time: `make soak-shim`. Each shim in turn has its pods up, and a probe a second runs in each.

A pod's probes go to its containers one after another, and each ends with a status of its own. What must be: no probe is
lost or tells another status, each end is told as an event, too, and memory and descriptors of the shims stay flat.

    python -m tests.shim.soak --shim NAME=PROGRAM[,RUNTIME] ... [--pods 100] [--containers 3] [--seconds 600]
"""
from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pyrunc.formats.protobuf import Message
from pyrunc.kernel.loop import Loop
from pyrunc.ttrpc.client import Client, connect
from pyrunc.ttrpc.codes import RpcError
from pyrunc.ttrpc.messages import events as ev
from pyrunc.ttrpc.messages import task as api
from pyrunc.ttrpc.messages.forward import ForwardRequest
from pyrunc.ttrpc.messages.options import Options
from pyrunc.ttrpc.messages.well_known import Any as AnyMessage
from pyrunc.ttrpc.messages.well_known import Empty
from pyrunc.ttrpc.server import Call
from tests import bundles, world
from tests.bundles import docker_like

from .bench import SETTLE, Contestant, command, device_rules
from .driver import PROCESS, Events

#: Seconds that a probe, or anything else, may take.
LIMIT = 60.0
STATUSES = 5
GROUP = "io.kubernetes.cri.sandbox-id"


class Ends(Events):
    """containerd's socket for events: counts the ends of probes."""

    def __init__(self, path: Path) -> None:
        self.count = 0
        super().__init__(path)

    def forward(self, request: ForwardRequest, _call: Call) -> Empty:
        assert request.envelope is not None and request.envelope.event is not None
        if request.envelope.topic == "/tasks/exit":
            event = ev.TaskExit.decode(request.envelope.event.value)
            self.count += event.id != event.container_id
        return Empty()


class Pod:
    """A shim with its containers, and one connection to it."""

    def __init__(self, whose: Contestant, events: Ends, loop: Loop, name: str, containers: int, rootfs: Path) -> None:
        self.whose, self.loop, self.ids = whose, loop, [f"{name}-{number}" for number in range(containers)]
        self.ended = self.wrong = 0
        self.running = False
        self.longest = 0.0
        for id in self.ids:
            bundle = whose.place / id
            (bundle / "rootfs").mkdir(parents=True)
            (bundle / "config.json").write_text(json.dumps(docker_like(
                process={"args": ["sleep", "100000"]}, root={"path": str(rootfs)}, annotations={GROUP: self.ids[0]},
                linux={"cgroupsPath": f"/{whose.cgroup.name}/{id}", **device_rules()})))
            os.mkfifo(bundle / "log")
            self.log = os.open(bundle / "log", os.O_RDONLY | os.O_NONBLOCK)
            address = command(whose, events.path, bundle, "start").decode()
            if id == self.ids[0]:
                self.client = Client(loop, connect(address))
            options = Options(binary_name=whose.runtime)
            self.wait("Create", api.CreateTaskRequest(
                id=id, bundle=str(bundle),
                options=AnyMessage(type_url=Options.TYPE, value=options.encode()) if whose.runtime else None))
            self.wait("Start", api.StartRequest(id=id))

    def wait(self, method: str, request: Message) -> Any:
        """One call, and its answer."""
        answers: list[tuple[Message | None, RpcError | None]] = []
        self.client.call(api.TASK_SERVICE, method, request, api.TASK[method][1],
                         lambda *answer: answers.append(answer), LIMIT)
        while not answers:
            self.loop.once()
        if answers[0][1] is not None:
            raise answers[0][1]
        return answers[0][0]

    def probe(self, number: int) -> bool:
        """Begin a probe; False if the one before has not ended."""
        if self.running:
            return False
        self.running = True
        id, exec_id, status, began = self.ids[number % len(self.ids)], f"e{number}", number % STATUSES, time.monotonic()
        spec = {"args": ["sh", "-c", f"exit {status}"], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}}
        calls: Iterator[tuple[str, Message]] = iter((
            ("Exec", api.ExecProcessRequest(id=id, exec_id=exec_id, spec=AnyMessage(
                type_url=PROCESS, value=json.dumps(spec).encode()))),
            ("Start", api.StartRequest(id=id, exec_id=exec_id)),
            ("Wait", api.WaitRequest(id=id, exec_id=exec_id)),
            ("Delete", api.DeleteRequest(id=id, exec_id=exec_id))))

        def answered(answer: Message | None, fault: RpcError | None) -> None:
            told = getattr(answer, "exit_status", status)
            following = next(calls, None)
            if fault is not None or told != status:
                self.wrong += 1
                print(f"{id} {exec_id}: {fault or f'status {told}, not {status}'}", flush=True)
                following = None
            if following is not None:
                self.call(*following, answered)
                return
            self.ended += 1
            self.running, self.longest = False, max(self.longest, time.monotonic() - began)
        self.call(*next(calls), answered)
        return True

    def call(self, method: str, request: Message, then: Any) -> None:
        self.client.call(api.TASK_SERVICE, method, request, api.TASK[method][1], then, LIMIT)

    def end(self) -> None:
        for id in self.ids:
            self.wait("Kill", api.KillRequest(id=id, signal=9))
            self.wait("Wait", api.WaitRequest(id=id))
            self.wait("Delete", api.DeleteRequest(id=id))
        self.client.call(api.TASK_SERVICE, "Shutdown", api.ShutdownRequest(id=self.ids[0]), Empty, lambda *_: None)
        self.loop.once(0.05)
        self.client.close()
        for id in self.ids:
            shutil.rmtree(self.whose.place / id)


def looked_at(one: Contestant) -> tuple[int, int, int]:
    """Of all processes of the shims: how many, KiB of private memory, descriptors."""
    processes = private = descriptors = 0
    for pid in (one.cgroup / "shims/cgroup.procs").read_text().split():
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            descriptors += len(os.listdir(f"/proc/{pid}/fd"))
        except OSError:
            continue
        private += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_"))
        processes += 1
    return processes, private, descriptors


def soak(one: Contestant, events: Ends, rootfs: Path, pods: int, containers: int, seconds: int) -> dict[str, float]:
    """Pods up, probes, pods down: what came of it."""
    loop, told = Loop(), events.count
    there = [Pod(one, events, loop, f"soak-{os.getpid()}-{number}", containers, rootfs) for number in range(pods)]
    looks, late, asked = [], 0, 0
    cpu, began = one.used(), time.monotonic()
    for second in range(seconds):
        def begin(pod: Pod, number: int) -> None:
            nonlocal late, asked
            went = pod.probe(number)
            asked, late = asked + went, late + (not went)
        for position, pod in enumerate(there):                    # spread over the second
            loop.later(max(0.0, began + second + position / pods - time.monotonic()), partial(begin, pod, second))
        while (rest := began + second + 1 - time.monotonic()) > 0:
            loop.once(rest)
        if second % max(1, seconds // 10) == 0:
            looks.append((second, *looked_at(one)))
            print(f"{one.name}: second {second}: {looks[-1][1]} processes, {looks[-1][2]} KiB private, "
                  f"{looks[-1][3]} descriptors", flush=True)
    end = time.monotonic() + LIMIT
    while any(pod.running for pod in there) and time.monotonic() < end:
        loop.once(1.0)
    used, took = one.used() - cpu, time.monotonic() - began
    time.sleep(SETTLE)
    settled = looked_at(one)
    result = {"probes": asked, "late": late, "ended": sum(pod.ended for pod in there),
              "wrong": sum(pod.wrong for pod in there), "told": events.count - told,
              "cpu a probe": 1000 * used / max(1, asked), "cpu a second": 1000 * used / took,
              "longest": 1000 * max(pod.longest for pod in there),
              "private first": looks[len(looks) // 5][2], "private last": looks[-1][2], "private settled": settled[1],
              "descriptors first": looks[len(looks) // 5][3], "descriptors last": looks[-1][3],
              "descriptors settled": settled[2]}
    for pod in there:
        pod.end()
    return result


def faults(result: dict[str, float]) -> list[str]:
    """What must not be."""
    found = []
    if not result["probes"] == result["ended"] == result["told"] or result["wrong"]:
        found.append("a probe was lost, or told another status")
    if result["private last"] > 1.1 * result["private first"]:
        found.append("memory grows")
    if result["descriptors last"] > 1.1 * result["descriptors first"]:
        found.append("descriptors grow")
    return found


def run(texts: Sequence[str], pods: int, containers: int, seconds: Sequence[int]) -> dict[str, dict[str, float]]:
    """Each shim in turn, for so many seconds: name -> what came of it. In a world of its own (tests/world.py)."""
    place = Path(tempfile.mkdtemp(prefix="pyrunc-soak-", dir="/tmp"))
    world.mount("tmpfs", place, "tmpfs", data="mode=755")
    events = Ends(place / "events")
    contestants = [Contestant(text, place) for text in texts]
    try:
        rootfs = bundles.busybox_root(place / "image")
        return {one.name: soak(one, events, rootfs, pods, containers, its) for one, its in zip(contestants, seconds)}
    finally:
        events.close()
        for one in contestants:
            one.remove()
        world.unmount(place)
        place.rmdir()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.shim.soak", description="Many pods for a long time.")
    parser.add_argument("--shim", action="append", required=True, metavar="NAME=PROGRAM[,RUNTIME]", help="repeatable")
    parser.add_argument("--pods", type=int, default=100)
    parser.add_argument("--containers", type=int, default=3, help="of each pod (3)")
    parser.add_argument("--seconds", type=int, default=600, help="for the first shim (600)")
    parser.add_argument("--beside", type=int, default=600, help="for each of the others (600)")
    options = parser.parse_args()
    world.enter()
    failed = 0
    seconds = [options.seconds, *[options.beside] * (len(options.shim) - 1)]
    for name, result in run(options.shim, options.pods, options.containers, seconds).items():
        print(f"{name}: " + ", ".join(f"{what} {value:.6g}" for what, value in result.items()))
        for fault in faults(result):
            print(f"{name}: {fault}")
            failed = 1
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
