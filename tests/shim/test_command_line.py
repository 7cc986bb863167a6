"""The shim's command line: what each containerd gives and reads, with which options, and who is told of events."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pyrunc.ttrpc import codes
from pyrunc.ttrpc.messages import task as api
from pyrunc.ttrpc.messages.bootstrap import BootstrapParams, BootstrapResult
from pyrunc.ttrpc.messages.options import Options
from pyrunc.ttrpc.messages.types import RuntimeInfo
from pyrunc.ttrpc.messages.well_known import Any as AnyMessage

from .conftest import refused
from .driver import SECONDS, Shim

Make = Callable[..., Shim]


def test_what_start_answers_to_each_containerd(shim: Make, name: str, place: Path) -> None:
    text = shim()
    assert text.address.startswith("unix:///run/containerd/s/")
    assert text.command("start").decode() == text.address  # the same shim again
    text.environment = {"MAX_SHIM_VERSION": "2"}
    assert json.loads(text.command("start")) == {"version": 2, "address": text.address, "protocol": "ttrpc"}
    sockets = place / "s"
    params = BootstrapParams(instance_id=name, namespace="tests", socket_dir=str(sockets),
                             containerd_ttrpc_address=str(text.events.path),
                             containerd_grpc_address=str(place / "containerd"))
    result = BootstrapResult.decode(text.command("start", stdin=params.encode()))
    assert (result.version, result.protocol) == (3, "ttrpc") and result.address.startswith(f"unix://{sockets}/")
    first, text.address = text.address, result.address
    assert text.call("Connect", api.ConnectRequest(id=name), api.TASK_SERVICE.replace("v2", "v3")).shim_pid
    text.shutdown()
    text.address = first                                   # which is ended as every test's is


def test_version_and_info() -> None:
    done = subprocess.run([Shim.program(), "-v"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("containerd-shim-pyrunc-v2:\n  Version:")
    done_ = subprocess.run([Shim.program(), "-info"], capture_output=True, stdin=subprocess.DEVNULL, check=True)
    info = RuntimeInfo.decode(done_.stdout)
    assert info.name == "io.containerd.pyrunc.v2" and info.features is not None
    features = json.loads(info.features.value)
    assert features["linux"]["mountExtensions"]["idmap"]["enabled"] is True


@pytest.mark.parametrize("flags", [[], ["-namespace", "x"], ["-namespace", "x", "-id", "../x", "delete"],
                                   ["-namespace", "x", "-id", "x", "nonsense"]])
def test_calls_that_are_none(flags: list[str]) -> None:
    done = subprocess.run([Shim.program(), *flags], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          check=False)
    assert done.returncode != 0 and done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


def test_options_of_runc_are_taken(shim: Make, place: Path, name: str) -> None:
    one = shim()
    options = Options(root=str(place / "elsewhere"))
    one.create(options=AnyMessage(type_url=Options.TYPE, value=options.encode()))
    assert (place / "elsewhere/tests" / name / "state.json").exists()
    one.delete()
    refused(codes.INVALID_ARGUMENT, lambda: one.create(options=AnyMessage(type_url=Options.TYPE, value=b"\xff")))


def test_the_shim_is_sealed_and_its_own(shim: Make) -> None:
    one = shim()
    init = one.create()
    pid = one.pid
    assert Path(f"/proc/{pid}/comm").read_text() == "pyrunc-shim\n"
    assert os.getsid(pid) == pid
    program = os.stat(Shim.program())
    for process in (pid, init):
        image = os.stat(f"/proc/{process}/exe")
        assert (image.st_dev, image.st_ino) != (program.st_dev, program.st_ino)


def test_a_program_publishes_where_no_socket_is_given(shim: Make, place: Path, name: str) -> None:
    """One at a time, in order, each event as its standard input."""
    program = place / "publish"
    program.write_text(f'#!/bin/sh\necho "$*" >>{place}/calls\nwc -c >>{place}/sizes\n')
    program.chmod(0o755)
    one = shim("true", environment={"TTRPC_ADDRESS": ""})
    first = one.address
    one.address = subprocess.run(
        [one.program(), "-namespace", "tests", "-address", "/run/x", "-publish-binary", str(program), "-id", name,
         "start"], cwd=one.bundle, capture_output=True, check=True, text=True, stdin=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"]}).stdout
    one.create()
    one.start()
    one.wait()
    one.delete()
    end = time.monotonic() + SECONDS
    while not (place / "sizes").exists() or len((place / "sizes").read_text().splitlines()) < 4:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert (place / "calls").read_text().splitlines() == [
        f"--address /run/x publish --topic /tasks/{topic} --namespace tests"
        for topic in ("create", "start", "exit", "delete")]
    assert all(int(size) > 40 for size in (place / "sizes").read_text().split())
    os.kill(one.pid, signal.SIGKILL)
    one.address = first
