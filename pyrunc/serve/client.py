"""A client of the service, for asyncio programs: one method for each endpoint, and the errors that pyrunc raises."""
from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from ..errors import ConfigError, NoSuchContainer, PyruncError, StateError, UsageError
from ..kernel.unix_socket import must_fit

#: Seconds for another service to take the place of one that has ended.
PATIENCE = 10.0
KINDS: dict[str, type[PyruncError]] = {"NoSuchContainer": NoSuchContainer, "StateError": StateError,
                                      "UsageError": UsageError, "Unfit": UsageError, "ValueError": UsageError}


class Client:
    """Speaks to the service at a socket. `async with` it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Client:
        must_fit(self.path, "the service's socket")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(self.path, limit=0), timeout=aiohttp.ClientTimeout(total=None))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None
        await self._session.close()

    async def call(self, method: str, path: str, value: Any = None, **query: Any) -> Any:
        """One request: the JSON of its answer. Raises the error that the service has had."""
        async with self._ask(method, path, value, query) as response:
            await _check(response)
            return await response.json() if response.content_type == "application/json" else None

    async def stream(self, path: str, **query: Any) -> AsyncIterator[dict[str, Any]]:
        """The lines of an answer as they come."""
        async with self._ask("GET", path, None, query) as response:
            await _check(response)
            rest = b""
            async for piece in response.content.iter_any():      # by lines it takes none of more than 128 KiB
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    yield json.loads(line)

    # ---- endpoints --------------------------------------------------------------------------------------
    async def containers(self, *labels: str) -> list[dict[str, Any]]:
        """Every container, or those that have these labels (KEY=VALUE)."""
        found: list[dict[str, Any]] = await self.call("GET", "/v1/containers", label=list(labels))
        return found

    async def refresh(self) -> list[dict[str, Any]]:
        """Have the service see what pyrunc's command line has done: every container, as it is then."""
        found: list[dict[str, Any]] = await self.call("POST", "/v1/refresh")
        return found

    async def create(self, id: str, **wanted: Any) -> dict[str, Any]:
        """Make one; the words are those of bodies.Create."""
        made: dict[str, Any] = await self.call("POST", "/v1/containers", {"id": id, **wanted})
        return made

    async def inspect(self, id: str) -> dict[str, Any]:
        """One container."""
        found: dict[str, Any] = await self.call("GET", f"/v1/containers/{id}")
        return found

    async def act(self, id: str, verb: str, **wanted: Any) -> Any:
        """start, stop, kill, pause, resume, update, wait or exec, with what bodies.py has for it."""
        return await self.call("POST", f"/v1/containers/{id}/{verb}", wanted)

    async def delete(self, id: str, force: bool = False) -> None:
        """Remove one."""
        await self.call("DELETE", f"/v1/containers/{id}", force=int(force))

    def logs(self, id: str, follow: bool = False, **query: Any) -> AsyncIterator[dict[str, Any]]:
        """The lines of its log."""
        return self.stream(f"/v1/containers/{id}/logs", follow=int(follow), **query)

    async def events(self, **query: Any) -> AsyncIterator[dict[str, Any]]:
        """Events as they come; since=NUMBER, follow=0. When the service ends, another one may take its place within
        some seconds, which goes on where this one was."""
        following = str(query.get("follow", 1)) not in ("0", "false")
        if following and "since" not in query:
            query["since"] = (await self.call("GET", "/v1/info"))["last_event"]
        lost = 0.0
        while True:
            try:
                async for event in self.stream("/v1/events", **query):
                    lost, query["since"] = 0.0, event.get("number", event.get("last"))
                    yield event
            except (aiohttp.ClientError, OSError):
                if not following or (lost and time.monotonic() - lost > PATIENCE):
                    raise
            if not following:
                return
            lost = lost or time.monotonic()
            await asyncio.sleep(0.1)

    def _ask(self, method: str, path: str, value: Any, query: dict[str, Any]) -> Any:
        assert self._session is not None
        pairs = [(key, str(one)) for key, given in query.items()
                 for one in (given if isinstance(given, list) else [given])]
        return self._session.request(method, f"http://runciter{path}", json=value, params=pairs)


async def _check(response: aiohttp.ClientResponse) -> None:
    if response.status < 400:
        return
    try:
        said = await response.json()
    except (aiohttp.ContentTypeError, ValueError):
        raise PyruncError(f"the service answers {response.status} {response.reason}") from None
    if said.get("kind") == "TimeoutError":
        raise TimeoutError(said["error"])
    if said.get("kind") == "ConfigError":
        raise ConfigError(said["error"], document="")
    raise KINDS.get(said.get("kind", ""), PyruncError)(said.get("error", "no reason is given"))
