"""Programs of the host that help: found where the host has them, whatever PATH the caller or a container has."""
from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path

import pytest

from pyrunc.config.mappings import map_text
from pyrunc.engine.facts import Facts
from pyrunc.kernel.recorder import Recorder
from pyrunc.steps.user import Map
from tests import bundles
from tests.runtimes import Runtime


class Unprivileged(Recorder):
    """Where the map can only be written by the helper, which is only in the place named."""

    def __init__(self, helper: str) -> None:
        super().__init__()
        self.helper = helper
        self.ran: list[tuple[str, list[str], list[str]]] = []

    def write_file(self, path: str, data: str, dirfd: int = -100) -> None:
        raise PermissionError(errno.EPERM, "no", path)

    def stat_path(self, path: str, follow: bool = True) -> object:  # type: ignore[override]
        if path != self.helper:
            raise FileNotFoundError(errno.ENOENT, "no", path)
        return object()

    def run_program(self, path: str, args: Sequence[str], env: Sequence[str], stdin: bytes, timeout: float | None,
                    cwd_fd: int = -1, streams: tuple[int, int] = (-1, -1)) -> tuple[int, str, str]:
        self.ran.append((path, list(args), list(env)))
        return 0, "", ""


def mapping(helper: str) -> Unprivileged:
    kernel, facts = Unprivileged(helper), Facts()
    facts.pid = 77
    text = map_text([{"containerID": 0, "hostID": 1000, "size": 1}, {"containerID": 1, "hostID": 100000, "size": 9}])
    Map(file="uid_map", text=text, helper="newuidmap").apply(kernel, facts)
    return kernel


# CVE-2026-84042: a helper was looked up by a PATH that the container had a say in.
def test_the_callers_path_finds_no_helper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/tmp/evil")
    for place in ("/usr/bin/newuidmap", "/usr/local/bin/newuidmap"):
        words = [place, "77", "0", "1000", "1", "1", "100000", "9"]
        assert mapping(place).ran == [(place, words, [])]
    with pytest.raises(PermissionError):
        mapping("/tmp/evil/newuidmap")


def evil(place: Path, *names: str) -> dict[str, str]:
    """An environment whose PATH has programs of another user first, which tell when they are run."""
    (place / "evil").mkdir()
    for name in names:
        program = place / "evil" / name
        program.write_text(f"#!/bin/sh\ntouch {place}/ran\nexec /bin/false\n")
        program.chmod(0o755)
    return {"PATH": f"{place}/evil:/usr/bin:/bin:/usr/sbin:/sbin"}


# ps and criu were looked for by the PATH of whoever called, root by sudo, say.
def test_programs_of_another_user_are_not_run(runtime: Runtime, place: Path, name: str) -> None:
    environment = evil(place, "ps", "criu", "newuidmap", "newgidmap", "iptables-restore", "systemctl", "tar", "ip")
    bundle = bundles.bundle(place / "bundle", bundles.minimal(process={"args": ["sleep", "1000"]}))
    runtime.create(name, bundle)
    runtime.ok("start", name)
    assert "sleep 1000" in runtime.ok("ps", name, env=environment).stdout
    runtime("checkpoint", "--image-path", place / "images", "--leave-running", name, env=environment)
    runtime("restore", "--image-path", place / "images", "--bundle", bundle, f"{name}-2", env=environment)
    runtime("doctor", env=environment)
    assert not (place / "ran").exists()
