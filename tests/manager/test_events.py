"""Events are numbered, on disk before a reader has them, and what a reader cannot get any more is told as a gap."""
from __future__ import annotations

import asyncio
import json
import resource
from pathlib import Path

import pytest

import pyrunc
from pyrunc.manager import Event, Gap
from pyrunc.manager.events import Events


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the latest four are kept."""
    monkeypatch.setattr("pyrunc.manager.events.KEPT", 4)


async def come(events: Events, since: int | None, count: int) -> list[int | tuple[int, int]]:
    """So many that a reader gets: numbers, and gaps as pairs."""
    found: list[int | tuple[int, int]] = []
    async with asyncio.timeout(10):
        async for one in events.follow(since):
            found.append(one.number if isinstance(one, Event) else (one.first, one.last))
            if len(found) == count:
                break
    return found


async def test_what_is_no_longer_kept_is_a_gap(few: None, place: Path) -> None:
    events = Events(place / "events")
    for _ in range(10):
        events.add("started", "a")
    assert await come(events, 0, 5) == [(1, 6), 7, 8, 9, 10]
    assert await come(events, 8, 2) == [9, 10]
    assert await come(events, -5, 1) == [(1, 6)]
    assert events.gaps == 2


async def test_a_reader_that_is_too_slow_is_told_what_it_has_missed(few: None, place: Path) -> None:
    events = Events(place / "events")
    reading = events.follow()
    first = asyncio.ensure_future(anext(reading))
    await asyncio.sleep(0)
    events.add("created", "a")
    assert (await first).number == 1  # type: ignore[union-attr]
    for _ in range(8):
        events.add("started", "a")
    gap = await anext(reading)
    assert gap == Gap(2, 5) and gap.kind == "gap"
    assert [(await anext(reading)).number for _ in range(4)] == [6, 7, 8, 9]  # type: ignore[union-attr]


async def test_an_event_is_on_disk_before_a_reader_has_it(place: Path) -> None:
    events = Events(place / "events")

    async def read() -> list[bool]:
        there = []
        async for one in events.follow(0):
            assert isinstance(one, Event)
            there.append(json.loads((place / "events").read_text().splitlines()[-1])["number"] >= one.number)
            if one.number == 3:
                return there
        return []
    reading = asyncio.ensure_future(read())
    for kind in ("created", "started", "exited"):
        events.add(kind, "a")
        await asyncio.sleep(0)
    assert await asyncio.wait_for(reading, 10) == [True] * 3


async def test_the_next_one_goes_on(place: Path) -> None:
    one = Events(place / "events")
    for kind in ("created", "started"):
        one.add(kind, "a", life=1)
    one.close()
    with pytest.raises(pyrunc.StateError, match="closed"):
        one.add("exited", "a")
    with open(place / "events", "a") as file:
        file.write('{"number": 3, "kind": "exi')         # killed in the middle of it
    two = Events(place / "events")
    assert two.last == 2 and [event.kind for event in two._kept] == ["created", "started"]
    two.add("exited", "a")
    assert await come(two, 0, 3) == [1, 2, 3]
    assert [json.loads(line)["number"] for line in (place / "events").read_text().splitlines()] == [1, 2, 3]


async def test_the_file_does_not_grow_for_ever(few: None, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyrunc.manager.events.LARGEST", 2000)
    events = Events(place / "events")
    for number in range(200):
        events.add("pressure", "a", word="x" * (number % 50))
        assert (place / "events").stat().st_size < 2200
    events.close()
    again = Events(place / "events")
    assert again.last == 200 and await come(again, 196, 4) == [197, 198, 199, 200]
    assert (place / "events").stat().st_mode & 0o777 == 0o600


async def test_a_full_disk_takes_them_later(place: Path) -> None:
    events = Events(place / "events")
    events.add("created", "a")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((place / "events").stat().st_size + 20, hard))
    try:
        events.add("started", "a")
        events.add("exited", "a")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert await come(events, 0, 3) == [1, 2, 3]
    events.add("deleted", "a")
    events.close()
    assert await come(Events(place / "events"), 0, 4) == [1, 2, 3, 4]


async def test_what_cannot_be_read_is_a_gap(place: Path) -> None:
    events = Events(place / "events")
    for _ in range(4):
        events.add("started", "a")
    events.close()
    lines = (place / "events").read_bytes().splitlines(keepends=True)
    (place / "events").write_bytes(lines[0] + lines[1][:9] + b"\n" + b"".join(lines[2:]))
    assert await come(Events(place / "events"), 0, 3) == [(1, 2), 3, 4]
