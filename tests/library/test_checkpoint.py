"""Checkpoint and restore by the library, in the guest: CRIU works there."""
from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import IO, Any

import pytest

import pyrunc
from tests.library.conftest import config_of

guest = pytest.mark.guest
pytestmark = pytest.mark.timeout(300)

#: A number in the shell's memory: after a restore it goes on where it was. The file says when to end.
COUNTING = "n=0; while test ! -s /tmp/end; do n=$((n+1)); echo $n; sleep 0.02; done; exit $(cat /tmp/end)"


def following(stream: IO[bytes] | None) -> int:
    """The next number that it prints."""
    assert stream is not None
    line = b""
    while not line.endswith(b"\n"):
        line += stream.read(1)
    return int(line)


def counting(library: pyrunc.Runtime, rootfs: Path, name: str) -> pyrunc.Container:
    container = library.create(name, config=config_of(rootfs, "sh", "-c", COUNTING), stdout=pyrunc.PIPE)
    container.start()
    assert container.init is not None
    while following(container.init.stdout) < 5:
        pass
    return container


@guest
def test_memory_goes_on_where_it_was(library: pyrunc.Runtime, rootfs: Path, place: Path, name: str) -> None:
    container = counting(library, rootfs, name)
    assert container.init is not None and container.init.stdout is not None
    pipe = os.dup(container.init.stdout.fileno())           # the object closes its own end when it is deleted
    container.checkpoint(str(place / "images"), work_path=str(place / "work"))
    assert library.containers() == [] and container.wait() == -signal.SIGKILL
    with open(pipe, "rb") as rest:
        last = int(rest.read().split()[-1])
    assert (place / "work/dump.log").exists() and not (place / "images/dump.log").exists()
    with library.restore(name, str(place / "images"), config=config_of(rootfs, "sh", "-c", COUNTING),
                         stdout=pyrunc.PIPE) as again:
        assert again.init is not None and following(again.init.stdout) == last + 1
        assert again.status == "running" and again.pid == again.init.pid
        with again.exec(["hostname"], stdout=pyrunc.PIPE) as process:
            assert process.communicate(timeout=60)[0] == b"box\n"
        (rootfs / "tmp/end").write_text("7")
        assert again.wait(60) == 7
    assert library.containers() == []


@guest
def test_it_goes_on_beside_its_images(library: pyrunc.Runtime, rootfs: Path, place: Path, name: str) -> None:
    with counting(library, rootfs, name) as container:
        container.checkpoint(str(place / "before"), pre_dump=True)
        container.checkpoint(str(place / "images"), leave_running=True, parent_path="../before")
        assert container.status == "running" and container.init is not None
        now = following(container.init.stdout)
        while following(container.init.stdout) < now + 5:
            pass
        (rootfs / "tmp/end").write_text("3")
        assert container.wait(60) == 3
    assert (place / "images/parent").is_symlink()


@guest
def test_a_failed_restore_leaves_nothing(library: pyrunc.Runtime, rootfs: Path, place: Path, name: str) -> None:
    (place / "empty").mkdir()
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(pyrunc.PyruncError):
        library.restore(name, str(place / "empty"), config=config_of(rootfs), stdout=pyrunc.PIPE)
    assert library.containers() == [] and len(os.listdir("/proc/self/fd")) <= len(before) + 1     # the keeper's socket


@pytest.mark.parametrize(("choices", "why"), [
    ({"leave": True}, "leave is no choice of a checkpoint"), ({"lsm_profile": "x"}, "no choice of a checkpoint"),
    ({"manage_cgroups_mode": "some"}, "cgroups mode some: must be one of ignore, soft, full, strict"),
    ({"parent_path": "/absolute"}, "parent-path must be relative"),
    ({"parent_path": "../none"}, "invalid parent-path"), ({"work_path": "w"}, "w is not an absolute path"),
    ({"image_path": "i"}, "i is not an absolute path")])
def test_choices_that_are_none(choices: dict[str, Any], why: str, library: pyrunc.Runtime, rootfs: Path, place: Path,
                               name: str) -> None:
    with library.create(name, config=config_of(rootfs)) as container:
        container.start()
        with pytest.raises(pyrunc.UsageError, match=why):
            container.checkpoint(**{"image_path": str(place / "images"), **choices})
        assert container.status == "running" and not (place / "images").exists()


def test_what_cannot_be_restored(library: pyrunc.Runtime, rootfs: Path, place: Path, name: str) -> None:
    images = str(place / "images")
    with pytest.raises(pyrunc.UsageError, match="leave_running is no choice of a restore"):
        library.restore(name, images, config=config_of(rootfs), leave_running=True)  # type: ignore[call-arg]
    with pytest.raises(pyrunc.UsageError, match="restore needs a bundle or a config"):
        library.restore(name, images)
    with pytest.raises(pyrunc.ConfigError, match="hostname"):
        library.restore(name, images, config=config_of(rootfs, hostname=7))
    with pytest.raises(pyrunc.PyruncError, match=r"no such file or directory|criu"):
        library.restore(name, images, config=config_of(rootfs))
    assert library.containers() == []


def test_only_what_runs_can_be_checkpointed(library: pyrunc.Runtime, rootfs: Path, place: Path, name: str) -> None:
    with (library.create(name, config=config_of(rootfs)) as container,
          pytest.raises(pyrunc.StateError, match="cannot be checkpointed in created state")):
        container.checkpoint(str(place / "images"))
