"""The trace, stops and reports of what a shim does: the lines of docs/shim.md, typed beside a shim that works."""
from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyrunc.shim.service import ROOT
from pyrunc.ttrpc import codes
from pyrunc.ttrpc.codes import RpcError
from pyrunc.ttrpc.messages import task as api
from pyrunc.ttrpc.messages.well_known import Any as AnyMessage
from tests import runtimes
from tests.container.strace import calls
from tests.guest.machine import CHECKOUT

from .conftest import config_of, refused
from .driver import RESOURCES, SECONDS, Shim
from .test_spawner import probe, running, the_one

Make = Callable[..., Shim]
HERE = Path(ROOT, "tests")
TRACE = HERE / "@trace.jsonl"


@pytest.fixture(autouse=True)
def switches(private_world: None) -> Iterator[None]:
    """None is left."""
    HERE.mkdir(parents=True, exist_ok=True)
    yield
    for name in ("@trace", "@trace.jsonl", "@break"):
        (HERE / name).unlink(missing_ok=True)


def lines(section: str) -> list[str]:
    """The commands of a section of docs/shim.md."""
    page = (CHECKOUT / "docs/shim.md").read_text()
    text = page.partition(f"{section}\n")[2].partition("\n#")[0]
    found = [line[4:] for line in text.splitlines() if line.startswith("    ")]
    assert found, section
    return found


def typed(line: str, id: str, stdin: str = "", cwd: str | Path = "/") -> str:
    """What such a line prints, in a shell of root; for its example of a namespace and of an id stand this test's."""
    line = re.sub(r"\bID\b", id, line.replace("/k8s.io", "/tests"))
    path = f"{Path(runtimes.find()).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    done = subprocess.run(["sh", "-c", line], input=stdin, capture_output=True, text=True, timeout=SECONDS, check=False,
                          env={"PATH": path}, cwd=cwd)
    assert done.returncode == 0, (line, done.stdout, done.stderr)
    return done.stdout


def records(id: str = "") -> list[dict[str, object]]:
    found: list[dict[str, object]] = [json.loads(line) for line in TRACE.read_text().splitlines()]
    return [one for one in found if not id or one["container"] == id]


def commands(id: str = "") -> list[str]:
    """Of each plan in the trace, in order."""
    plans = {one["plan"]: str(one["command"]) for one in records(id)}
    return list(plans.values())


# ---- the trace ----------------------------------------------------------------------------------------------------
def test_the_trace_of_a_pods_containers(shim: Make, name: str) -> None:
    """Switched on while the shim and its worker are there already, and off again; the lines of the page."""
    group = {"io.kubernetes.cri.sandbox-id": name}
    pod = running(shim, annotations=group)
    probe(pod, "before")
    on, newest, probes, off = lines("### The trace of a pod's containers")
    typed(on, name)
    other = f"{name}-2"
    one = shim("sleep", "1000", id=other, annotations=group)
    assert one.address == pod.address
    one.create()
    one.start()
    for number in range(2):
        probe(one, f"e{number}")
    for method, request in (("Pause", api.PauseRequest), ("Resume", api.ResumeRequest)):
        one.call(method, request(id=other))
    one.kill(all=True)
    one.wait()
    one.delete()
    probe(pod, "after")
    assert commands(other) == ["create", "start", "exec", "exec", "pause", "resume", "kill", "delete"]
    assert commands(name) == ["exec"]
    assert {"mounts.proc", "root.switch", "start.release", "delete.forget"} <= {one["step"] for one in records(other)}
    assert {(one["step"], one["outcome"]) for one in records() if one["outcome"] != "ok"} <= {
        ("init.wait_start", "unfinished"), ("process.exec", "unfinished")}       # the runtime may not see their end
    shown = typed(newest, other)
    assert shown.startswith(f"delete {other} (pyrunc ") and "delete.forget" in shown
    assert typed(probes, other).count(f"exec {other} (pyrunc ") == 2
    size = TRACE.stat().st_size
    typed(off, name)
    probe(pod, "later")
    assert TRACE.stat().st_size == size


def test_only_containers_with_an_annotation_are_traced(shim: Make, name: str) -> None:
    (HERE / "@trace").write_text("org.example.trace\n")
    for number, (value, traced) in enumerate((("false", False), ("true", True))):
        id = f"{name}-{number}"
        one = running(shim, id=id, annotations={"org.example.trace": value})
        probe(one, "e")
        one.kill()
        one.wait()
        one.delete()
        assert TRACE.exists() == traced
    assert commands() == ["create", "start", "exec", "delete"] and len(records(id)) == len(records())


def test_a_file_in_containerds_environment(shim: Make, place: Path) -> None:
    one = running(shim, environment={"PYRUNC_TRACE": str(place / "t")})
    probe(one, "e")
    one.kill()
    one.wait()
    one.delete()
    plans = {json.loads(line)["plan"]: json.loads(line)["command"] for line in (place / "t").read_text().splitlines()}
    assert list(plans.values()) == ["create", "start", "exec", "delete"] and not TRACE.exists()


def test_warnings_are_in_the_trace(shim: Make) -> None:
    (HERE / "@trace").touch()
    config = {"bounding": ["CAP_CHOWN", "CAP_NOSUCH"]}
    one = shim("sleep", "1000", process={"capabilities": config})
    one.create()
    assert [text for record in records() for text in record.get("warnings", []) if "CAP_NOSUCH" in text]  # type: ignore[attr-defined]


def test_what_a_dead_shim_has_left_is_removed_with_a_trace(shim: Make, name: str) -> None:
    one = running(shim)
    pid = one.pid
    os.kill(pid, signal.SIGKILL)
    one.gone(pid)
    (HERE / "@trace").touch()
    one.command("delete", "-bundle", str(one.bundle))
    assert commands(name) == ["delete"] and not (HERE / name).exists()


def test_a_trace_that_cannot_be_written_stops_nothing(shim: Make) -> None:
    one = shim("sleep", "1000")
    log = os.open(one.bundle / "log", os.O_RDONLY | os.O_NONBLOCK)
    try:
        (HERE / "@trace").touch()
        TRACE.mkdir()
        again = shim("sleep", "1000", id=f"{one.id}-2", annotations={"io.containerd.runc.v2.group": one.id})
        assert again.address == one.address
        one.create()
        one.start()
    finally:
        TRACE.rmdir()
        os.close(log)
    assert one.state().status == api.Status.RUNNING


def test_what_a_probe_looks_for_without_a_switch(shim: Make, place: Path) -> None:
    """One look for each switch file by the worker, of those that the operation heeds, and nothing for reports."""
    one = running(shim)
    probe(one, "warm")
    worker = the_one(one)
    log = place / "strace"
    argv = ["strace", "-f", "-s", "200", "-o", str(log), "-p", str(worker)]
    with subprocess.Popen(argv, stderr=subprocess.PIPE) as tracer:
        assert tracer.stderr is not None and b"attached" in tracer.stderr.readline()
        probe(one, "seen")
        one.call("Update", api.UpdateTaskRequest(id=one.id, resources=AnyMessage(
            type_url=RESOURCES, value=b"{}")))
        tracer.send_signal(signal.SIGINT)
    mine = [line.partition(" ")[2].lstrip() for line in log.read_text().splitlines() if line.startswith(f"{worker} ")]
    looked = [call.text for call in calls(mine) if "/@" in call.text and "/@seccomp" not in call.text]
    assert [re.findall(r"/@(\w+)", text) for text in looked] == [["trace"], ["break"], ["trace"]], looked
    assert all("ENOENT" in text for text in looked)


# ---- stops --------------------------------------------------------------------------------------------------------
class Calling:
    """A call that is being made."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.failed: list[RpcError] = []
        self.thread = threading.Thread(target=self._run, args=(call,))
        self.thread.start()

    def _run(self, call: Callable[[], object]) -> None:
        try:
            call()
        except RpcError as fault:
            self.failed.append(fault)

    def done(self) -> list[RpcError]:
        self.thread.join(SECONDS)
        assert not self.thread.is_alive()
        return self.failed


def until_it_stands(id: str) -> dict[str, object]:
    """What `state` says of where a command of this container has stopped."""
    end = time.monotonic() + SECONDS
    while True:
        done = subprocess.run([runtimes.find(), "--root", HERE, "state", id], capture_output=True, text=True,
                              check=False)
        if done.returncode == 0 and (found := json.loads(done.stdout).get("stopped")):
            stopped: dict[str, object] = found[0]
            return stopped
        assert time.monotonic() < end, done
        time.sleep(0.02)


def test_a_create_stops_and_goes_on(shim: Make, place: Path, rootfs: Path, name: str) -> None:
    """As the page says; the shim serves another container of the pod meanwhile."""
    pod = running(shim)
    on, where, shell, go_on, off = lines("### Stopping at a step")
    typed(on, name)
    other = f"{name}-2"
    (place / other / "rootfs").mkdir(parents=True)
    (place / other / "config.json").write_text(json.dumps(config_of(rootfs, other)))
    creating = Calling(lambda: pod.create(id=other))
    assert until_it_stands(other)["step"] == "root.switch"
    typed(off, name)
    assert probe(pod, "meanwhile", "sh", "-c", "exit 5") == 5
    assert "create" in (said := typed(where, other)) and "root.switch" in said
    namespace = typed(shell, other, "readlink /proc/self/ns/mnt\n").strip()
    assert namespace.startswith("mnt:[") and namespace != os.readlink("/proc/self/ns/mnt")
    typed(go_on.partition("  ")[0], other)
    assert not creating.done()
    pod.start(id=other)
    assert pod.state(id=other).status == api.Status.RUNNING
    pod.kill(id=other)
    assert pod.wait(id=other) == 137
    pod.delete(id=other)


def test_a_create_that_is_aborted_leaves_nothing(shim: Make, name: str) -> None:
    one = shim()
    (HERE / "@break").write_text("root.switch")
    creating = Calling(one.create)
    until_it_stands(name)
    typed("pyrunc --root /run/containerd/pyrunc/k8s.io step ID abort", name)
    assert "interrupted by signal 15" in str(creating.done()[0])
    assert not (HERE / name).exists() and not Path("/sys/fs/cgroup", name).exists()
    assert "interrupted" not in typed("pyrunc why --all", name)          # that was wanted: no report
    (HERE / "@break").unlink()
    one.create()


def test_an_exec_that_fails_stops_before_it_is_undone(shim: Make, name: str) -> None:
    one = running(shim)
    (HERE / "@break").write_text("error")
    assert probe(one, "well") == 0
    one.exec("e", "nosuch")
    starting = Calling(lambda: one.start("e"))
    assert until_it_stands(name)["step"] == "process.find_executable"
    (HERE / "@break").unlink()
    assert probe(one, "meanwhile", "sh", "-c", "exit 5") == 5
    typed("pyrunc --root /run/containerd/pyrunc/k8s.io step ID continue", name)
    assert "executable file not found in $PATH" in str(starting.done()[0])
    assert probe(one, "after") == 0


def test_an_annotation_says_where_its_container_stops(shim: Make, name: str) -> None:
    (HERE / "@break").write_text("annotation=org.example.break")
    running(shim)
    one = shim(id=f"{name}-2", annotations={"org.example.break": "state.save"})
    creating = Calling(one.create)
    assert until_it_stands(one.id)["step"] == "state.save"
    typed("pyrunc --root /run/containerd/pyrunc/k8s.io step ID continue", one.id)
    assert not creating.done()


# ---- reports ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("call", "changes", "where"), [
    ("create", {"mounts": [{"destination": "/x", "type": "bind", "source": "/no/such", "options": ["bind"]}]},
     'mounts[0].source in config.json = "/no/such"'),
    ("create", {"process": {"args": ["nosuch"]}}, 'process.args[0] in config.json = "nosuch"'),
    ("start", {"hooks": {"startContainer": [{"path": "/nosuch-hook"}]}}, "hooks.startContainer[0]"),
    ("exec", {}, "process.args[0] of the exec\n"),
], ids=["mount", "program", "hook", "exec"])
def test_why_after_what_has_failed(call: str, changes: dict[str, object], where: str, shim: Make, place: Path,
                                   name: str) -> None:
    one = shim(**changes)
    if call == "create":
        said = refused(codes.UNKNOWN, one.create)
    else:
        one.create()
        if call == "exec":
            one.start()
            one.exec("e", "nosuch")
        said = refused(codes.UNKNOWN, lambda: one.start("e" if call == "exec" else ""))
    why, report = lines("### Why a container did not start")
    told = typed(why, name)
    assert f"{call} of {name} failed" in told and "called by pyrunc-shim" in told and where in told, told
    assert said.rpartition("failed: ")[2][:60] in told
    file = place / "report.json"
    typed(f"pyrunc report --output {file} ID", name)
    assert (place / typed(report, name, cwd=place).strip()).exists()
    plan = typed(f"pyrunc explain --report {file}", name)
    failed = [line for line in plan.splitlines() if line.startswith("!")]
    assert len(failed) == (call != "start"), plan             # of a start the step is one of create's, which ran then


# ---- the shim itself ----------------------------------------------------------------------------------------------
def test_the_shim_is_found_and_watched(shim: Make, name: str) -> None:
    one = running(shim)
    listed, state = lines("## Looking into it")[:2]
    assert name in typed(listed, name) and json.loads(typed(state, name))["status"] == "running"
    found, watched = lines("### The shim itself")
    shell = ["sh", "-s"]
    path = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}
    line = re.sub(r"\bID\b", name, found) + "\n"
    pids = subprocess.run(shell, input=line, capture_output=True, text=True, check=True, env=path).stdout
    assert str(one.pid) in [entry.split()[0] for entry in pids.splitlines()]
    line = "timeout -s INT 4 " + re.sub(r"\bID\b", name, watched) + "\n"
    with subprocess.Popen(shell, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=path) as tracer:
        assert tracer.stdin is not None and tracer.stderr is not None
        tracer.stdin.write(line)
        tracer.stdin.close()
        assert "attached" in tracer.stderr.readline()
        probe(one, "seen", "echo", "a-word-of-this-probe")
        said = tracer.stderr.read()
    assert "containerd.task.v2.Task" in said and "a-word-of-this-probe" in said
