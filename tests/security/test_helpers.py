"""Programs of the host that help: found where the host has them, whatever PATH the caller or a container has."""
from __future__ import annotations

import errno
from collections.abc import Sequence

import pytest

from pyrunc.facts import Facts
from pyrunc.recorder import Recorder
from pyrunc.steps.user import Map, map_text


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
                    cwd_fd: int = -1, streams: tuple[int, int] = (-1, -1)) -> tuple[int, str]:
        self.ran.append((path, list(args), list(env)))
        return 0, ""


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
