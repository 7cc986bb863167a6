"""Plans of exec that are kept: the same one for the same process, and never one that no longer holds."""
from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrunc.config.check import check
from pyrunc.config.load import load
from pyrunc.errors import ConfigError, StateError
from pyrunc.host import facts
from pyrunc.keeper import prepared
from pyrunc.shim import operations
from pyrunc.shim.service import ROOT
from pyrunc.state import store
from pyrunc.ttrpc.messages import task as api
from tests.bundles import docker_like

from .driver import Shim

Make = Callable[..., Shim]


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    prepared._held.clear()
    yield
    prepared._held.clear()


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The configs that are checked; none is known before."""
    seen: list[Any] = []

    def counted(config: Any) -> list[str]:
        seen.append(config)
        return check(config)
    monkeypatch.setattr(prepared, "check", counted)
    monkeypatch.setattr(prepared, "_checked", {})
    return seen


def running(shim: Make, **changes: object) -> Shim:
    one = shim("sleep", "1000", **changes)
    one.create()
    one.start()
    return one


def request(one: Shim, *args: str) -> dict[str, Any]:
    return {"root": f"{ROOT}/tests", "id": one.id, "process": {"args": list(args), "terminal": False}}


def test_the_same_process_has_the_same_plan(shim: Make) -> None:
    one = running(shim)
    _, first = prepared.exec(request(one, "true"))
    _, other = prepared.exec(request(one, "false"))
    assert prepared.exec(request(one, "true"))[1] is first and other is not first
    assert prepared.exec({**request(one, "true"), "heir": 1})[1] is not first


def test_a_plan_holds_as_long_as_the_containers_files(shim: Make) -> None:
    one = running(shim)
    root = f"{ROOT}/tests"
    _, first = prepared.exec(request(one, "true"))
    config = store.read_config(root, one.id)
    store.write(root, one.id, store.CONFIG, {**config, "process": {**config["process"], "noNewPrivileges": True}})
    _, second = prepared.exec(request(one, "true"))
    assert "process.no_new_privileges" in second.ids and "process.no_new_privileges" not in first.ids
    store.write(root, one.id, store.STATE, store.read(root, one.id, store.STATE))
    assert prepared.exec(request(one, "true"))[1] is not second


def test_what_the_container_is_doing_is_looked_at_each_time(shim: Make) -> None:
    one = running(shim)
    prepared.exec(request(one, "true"))
    one.call("Pause", api.PauseRequest(id=one.id))
    with pytest.raises(StateError, match="paused"):
        prepared.exec(request(one, "true"))
    one.call("Resume", api.ResumeRequest(id=one.id))
    prepared.exec(request(one, "true"))
    one.kill()
    one.wait()
    with pytest.raises(StateError, match="stopped"):
        prepared.exec(request(one, "true"))
    one.delete()
    with pytest.raises(StateError, match="does not exist"):
        prepared.exec(request(one, "true"))


def test_only_so_many_are_kept_and_the_latest(shim: Make) -> None:
    one = running(shim)
    _, first = prepared.exec(request(one, "first"))
    for number in range(prepared.MOST - 1):
        prepared.exec(request(one, str(number)))
    assert prepared.exec(request(one, "first"))[1] is first           # and is now the last that was asked for
    prepared.exec(request(one, "more"))
    assert len(prepared._held) == prepared.MOST
    assert prepared.exec(request(one, "first"))[1] is first


def test_a_config_is_checked_once(checked: list[Any]) -> None:
    def of(**changes: object) -> Any:
        return {**docker_like(), **changes}
    first, odd = prepared.config(of(hooks=None, colour="red"))
    again, told = prepared.config(of(hooks=None, colour="red"))
    assert len(checked) == 1 and again == first and "hooks" not in again and odd == told and "colour" in odd[0]
    assert again is not first and again["root"] is not first["root"]     # a plan may keep its own
    other, _ = prepared.config(of(hostname="other"))
    assert len(checked) == 2 and other["hostname"] == "other"
    for _ in range(2):
        with pytest.raises(ConfigError, match="must be a string"):
            prepared.config(of(hostname=7))
    for number in range(prepared.CHECKED + 1):
        prepared.config(of(hostname=f"h{number}"))
    assert len(prepared._checked) == prepared.CHECKED


def test_what_the_first_worker_has_looked_at_is_known(checked: list[Any], place: Path) -> None:
    operations.look(str(place))                             # nothing is there, which Create will say
    for text in ("{", "[]", '{"ociVersion": 7}'):
        (place / "config.json").write_text(text)
        operations.look(str(place))
    checked.clear()
    (place / "config.json").write_text(json.dumps(docker_like()))
    operations.look(str(place))
    prepared.config(load(str(place)))
    assert len(checked) == 1


@pytest.mark.parametrize("before", ["another", "none", "no JSON"])
def test_create_takes_the_config_that_is_there_then(shim: Make, before: str) -> None:
    """Not what the worker saw that was there before it."""
    one = shim("sh", "-c", "exit 6")
    config = one.bundle / "config.json"
    given = json.loads(config.read_text())
    if before == "none":
        config.unlink()
    elif before == "no JSON":
        config.write_text("{")
    time.sleep(0.1)
    config.write_text(json.dumps({**given, "process": {**given["process"], "args": ["sh", "-c", "exit 7"]}}))
    one.create()
    one.start()
    assert one.wait() == 7


def test_the_host_is_looked_at_once_in_a_moment(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    """But paths are resolved for each plan: another may have put a link in their place."""
    looked: list[int] = []

    def counted() -> dict[str, Any]:
        looked.append(1)
        return facts()
    monkeypatch.setattr(prepared, "facts", counted)
    monkeypatch.setattr(prepared, "_facts", [])
    link = place / "link"
    link.symlink_to("/usr")
    one = prepared.host()
    assert one.real(str(link)) == "/usr"
    link.unlink()
    link.symlink_to("/etc")
    two = prepared.host()
    assert len(looked) == 1 and two.real(str(link)) == "/etc" and one.real(str(link)) == "/usr"
    assert (two.euid, two.cgroup_mount, two.last_capability) == (one.euid, one.cgroup_mount, one.last_capability)
    monkeypatch.setattr(prepared, "MOMENT", -1.0)
    prepared.host()
    assert len(looked) == 2
