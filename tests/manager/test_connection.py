"""The manager's end of the socket to its keeper, whose part is played here."""
from __future__ import annotations

import asyncio
from pathlib import Path

from pyrunc.keeper.channel import Channel, pair
from pyrunc.manager.connection import Connection


def connected(place: Path) -> tuple[Connection, Channel]:
    """A connection, and the other end of it."""
    ours, theirs = pair()
    made = Connection(place, lambda: None)
    made._channel = ours
    asyncio.get_running_loop().add_reader(ours.fileno(), made._readable)
    return made, theirs


async def test_the_end_of_another_is_not_that_of_a_new_process(place: Path) -> None:
    """Of an operation that nobody waited for any more: its process has ended, and its pid is given again."""
    connection, keeper = connected(place)
    keeper.send({"exit": 4711, "status": 0, "time": 1})
    asking = asyncio.ensure_future(connection.call("create"))
    await asyncio.sleep(0)
    while not connection._unclaimed:
        await asyncio.sleep(0.001)
    asked = keeper.receive()
    assert asked is not None
    keeper.send({"number": asked[0]["number"], "answer": {"pid": 4711}})
    answer = await asyncio.wait_for(asking, 20)
    assert answer.end is not None and not answer.end.done()
    keeper.send({"exit": 4711, "status": 256, "time": 2})
    assert await asyncio.wait_for(answer.end, 20) == (256, 2)
    connection.close()
    keeper.close()


async def test_an_end_that_comes_before_it_is_asked_for(place: Path) -> None:
    connection, keeper = connected(place)
    keeper.send({"exit": 4711, "status": 256, "time": 1})
    while not connection._unclaimed:
        await asyncio.sleep(0.001)
    assert await asyncio.wait_for(connection.expect(4711), 20) == (256, 1)
    connection.close()
    keeper.close()
