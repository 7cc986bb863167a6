"""The endpoints: what each takes, does and gives. openapi.py describes them from the same table."""
from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from .. import __version__
from ..errors import UsageError
from ..manager import Container, Exit, Gap, Info, Manager, Pipe, Stats
from ..manager.logs import Line
from ..manager.plain import dump, load
from .bodies import (
    CheckpointBody,
    Create,
    ExecAnswer,
    ExecBody,
    ExplainBody,
    KillBody,
    LogLine,
    ServerInfo,
    StopBody,
    UpdateBody,
    WaitBody,
)

MANAGER: web.AppKey[Manager] = web.AppKey("manager", Manager)
STREAMS: web.AppKey[set[asyncio.Task[Any]]] = web.AppKey("streams", set)
#: Seconds that a client may take to send a body, or to take in a piece of an answer.
PATIENCE = 30.0
#: Lines of a log after which other requests have their turn.
TURN = 100


@dataclass(frozen=True)
class Route:
    """One endpoint. takes and gives are types of bodies; streams: an answer of one JSON object per line."""
    method: str
    path: str
    call: Callable[[web.Request], Awaitable[web.StreamResponse]]
    about: str
    takes: Any = None
    gives: Any = None
    status: int = 200
    streams: bool = False
    query: tuple[str, ...] = ()


def of(request: web.Request) -> Container:
    """The container that a request is about."""
    return request.app[MANAGER].get(request.match_info["id"])


async def body(request: web.Request, kind: Any) -> Any:
    """The request's body. Nothing counts as an empty object. Raises UsageError, plain.Unfit."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise web.HTTPUnsupportedMediaType
    try:
        async with asyncio.timeout(PATIENCE):
            data = await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except web.RequestPayloadError as fault:
        raise UsageError(f"the body cannot be read: {fault}") from None
    try:
        value = json.loads(data.decode(), parse_constant=_no_number) if data else {}
    except (ValueError, RecursionError) as fault:
        raise UsageError(f"the body is no JSON: {fault}") from None
    return load(kind, value)


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no number of JSON")


def answer(value: Any, status: int = 200) -> web.Response:
    """A value as JSON."""
    return web.json_response(dump(value), status=status)


def number(request: web.Request, name: str, least: float = 0) -> float | None:
    """A number of the query; None without it. UsageError for what is none."""
    text = request.query.get(name)
    if text is None:
        return None
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not least <= found < 1e15:
        raise UsageError(f"{name}={text} in the query is no number of at least {least:g}")
    return found


def asked(request: web.Request, name: str) -> bool:
    """Whether a switch of the query is on."""
    return request.query.get(name, "") not in ("", "0", "false")


async def stream(request: web.Request, values: AsyncIterator[Any]) -> web.StreamResponse:
    """One JSON object per line, as they come. A client that does not take them in is cut off."""
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    task = asyncio.current_task()
    assert task is not None
    request.app[STREAMS].add(task)
    try:
        async for value in values:
            async with asyncio.timeout(PATIENCE):
                await response.write(json.dumps(dump(value)).encode() + b"\n")
    except (TimeoutError, ConnectionError):
        if request.transport is not None:
            request.transport.abort()
    finally:
        request.app[STREAMS].discard(task)
    return response


async def end_streams(app: web.Application) -> None:
    """The service ends. Its clients begin anew elsewhere, after the last event that they have read."""
    tasks = app[STREAMS]
    for task in tuple(tasks):
        task.cancel()


# ---- the service ------------------------------------------------------------------------------------------
async def info(request: web.Request) -> web.StreamResponse:
    """The service itself."""
    manager = request.app[MANAGER]
    return answer(ServerInfo(__version__, manager.root, len(manager.containers()), manager.journal.last,
                             tuple(sorted({"pyrunc", *manager.programs}))))


async def healthz(request: web.Request) -> web.StreamResponse:
    """Whether it works."""
    return web.Response(text="ok\n")


async def events(request: web.Request) -> web.StreamResponse:
    """Events; with `since` those after that number, with `follow=0` none that are still to come."""
    manager = request.app[MANAGER]
    since = number(request, "since")
    if request.query.get("follow", "1") in ("0", "false"):
        return await stream(request, _past(manager, int(since or 0)))
    return await stream(request, manager.events(None if since is None else int(since)))


async def _past(manager: Manager, since: int) -> AsyncIterator[Any]:
    last = manager.journal.last
    if since >= last:
        return
    async for event in manager.events(since):
        yield event
        if (event.last if isinstance(event, Gap) else event.number) >= last:
            return


async def all_stats(request: web.Request) -> web.StreamResponse:
    """What every container uses: an object of stats by id; with stream=1 again and again."""
    manager, interval = request.app[MANAGER], number(request, "interval", 0.1) or 1.0

    def now() -> dict[str, Any]:
        return {one.id: dump(one.stats()) for one in manager.containers() if one.alive}

    async def forever() -> AsyncIterator[Any]:
        while True:
            yield now()
            await asyncio.sleep(interval)
    return await stream(request, forever()) if asked(request, "stream") else answer(now())


async def explain(request: web.Request) -> web.StreamResponse:
    """The plan of create for a config: each step with its id, side, specification and place in config.json."""
    wanted: ExplainBody = await body(request, ExplainBody)
    return answer(list(request.app[MANAGER].plan(wanted.config, wanted.bundle).records()))


# ---- containers -------------------------------------------------------------------------------------------
async def ls(request: web.Request) -> web.StreamResponse:
    """Every container, or with label=KEY=VALUE, as often as wanted, those that have them."""
    labels = {}
    for text in request.query.getall("label", []):
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"label={text} in the query is not KEY=VALUE")
        labels[key] = value
    return answer([one.info() for one in request.app[MANAGER].containers(labels)])


async def refresh(request: web.Request) -> web.StreamResponse:
    """See what pyrunc's command line has done since under the same root: every container, as it is then."""
    manager = request.app[MANAGER]
    await manager.refresh()
    return answer([one.info() for one in manager.containers()])


async def create(request: web.Request) -> web.StreamResponse:
    """Make a container."""
    wanted: Create = await body(request, Create)
    streams = wanted.stdio.stdin, wanted.stdio.stdout, wanted.stdio.stderr
    if any(isinstance(one, Pipe) for one in streams):
        raise UsageError("a pipe cannot be had through the service: use a log, a file or null")
    if wanted.images:
        container = await request.app[MANAGER].restore(
            wanted.id, wanted.images, wanted.config, wanted.bundle, wanted.stdio, wanted.handler, wanted.restart,
            wanted.health, wanted.stop, wanted.labels, wanted.timeout, wanted.watch)
        return answer(container.info(), 201)
    container = await request.app[MANAGER].create(
        wanted.id, wanted.config, wanted.bundle, wanted.stdio, wanted.handler, wanted.restart, wanted.health,
        wanted.stop, wanted.labels, wanted.timeout, wanted.trace, wanted.watch)
    if wanted.start:
        await container.start()
    return answer(container.info(), 201)


async def inspect(request: web.Request) -> web.StreamResponse:
    """A container as it is."""
    return answer(of(request).info())


async def config(request: web.Request) -> web.StreamResponse:
    """The config that it was made with."""
    return answer(of(request).config())


async def delete(request: web.Request) -> web.StreamResponse:
    """Remove it; with force=1 it is killed first."""
    await of(request).delete(force=asked(request, "force"))
    return web.Response(status=204)


def changing(act: Callable[[Container], Awaitable[None]]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """An endpoint that takes no body: it does this to the container, and says how that is then."""
    async def call(request: web.Request) -> web.StreamResponse:
        container = of(request)
        await act(container)
        return answer(container.info())
    call.__name__ = act.__name__                 # the operation's name in the OpenAPI document
    return call


async def stop(request: web.Request) -> web.StreamResponse:
    """End it: gracefully, and after the grace by force."""
    container = of(request)
    wanted: StopBody = await body(request, StopBody)
    return answer(await container.stop(wanted.grace, wanted.signal))


async def kill(request: web.Request) -> web.StreamResponse:
    """Send it a signal."""
    container = of(request)
    wanted: KillBody = await body(request, KillBody)
    await container.kill(wanted.signal, wanted.all)
    return web.Response(status=204)


async def checkpoint(request: web.Request) -> web.StreamResponse:
    """Have CRIU write it to images."""
    container = of(request)
    wanted: CheckpointBody = await body(request, CheckpointBody)
    await container.checkpoint(wanted.image_path, **wanted.choices)
    return answer(container.info())


async def update(request: web.Request) -> web.StreamResponse:
    """Change its limits."""
    container = of(request)
    await container.update((await body(request, UpdateBody)).resources)
    return answer(container.info())


async def wait(request: web.Request) -> web.StreamResponse:
    """How it ends, once it has. 504 when it has not within `timeout`."""
    container = of(request)
    return answer(await container.wait((await body(request, WaitBody)).timeout))


async def run_in(request: web.Request) -> web.StreamResponse:
    """Run a process in it to its end."""
    container = of(request)
    wanted: ExecBody = await body(request, ExecBody)
    if bool(wanted.args) == (wanted.process is not None):
        raise UsageError("exec takes args or process, one of them")
    result = await container.exec(wanted.process if wanted.process is not None else wanted.args,
                                  None if wanted.stdin is None else wanted.stdin.encode(), wanted.timeout)
    stdout, stderr = (data.decode(errors="replace") for data in (result.stdout, result.stderr))
    return answer(ExecAnswer(result.exit, stdout, stderr, result.timed_out, result.truncated))


async def logs(request: web.Request) -> web.StreamResponse:
    """Its log, or the last `tail` lines of it; with follow=1 also what is still to come."""
    container, tail = of(request), number(request, "tail")
    lines = None if tail is None else int(tail)
    if not asked(request, "follow"):
        return await stream(request, _each(container.each_line(lines)))
    return await stream(request, _lines(container.follow(lines)))


async def _each(lines: Iterable[Line]) -> AsyncIterator[LogLine]:
    async def one_by_one() -> AsyncIterator[Line]:
        for line in lines:
            yield line
    async for line in _lines(one_by_one()):
        yield line


async def _lines(lines: AsyncIterator[Line]) -> AsyncIterator[LogLine]:
    """As they are answered. A client that is quick is never waited for: others have their turns all the same."""
    count = 0
    async for line in lines:
        yield LogLine(line.time, line.stream, line.text.decode(errors="replace"), line.partial)
        count += 1
        if not count % TURN:
            await asyncio.sleep(0)


async def stats(request: web.Request) -> web.StreamResponse:
    """What it uses; with stream=1 again and again until it ends."""
    container = of(request)
    if asked(request, "stream"):
        return await stream(request, container.watch(number(request, "interval", 0.1) or 1.0))
    return answer(container.stats())


async def top(request: web.Request) -> web.StreamResponse:
    """Its processes."""
    return answer(of(request).top())


async def trace(request: web.Request) -> web.StreamResponse:
    """The steps of its latest create, or other `operation`, as they ran, if it was created with `trace`."""
    return answer(of(request).trace(request.query.get("operation", "create")))


async def plan(request: web.Request) -> web.StreamResponse:
    """The steps of its create, as they would be planned here and now."""
    one = of(request)
    return answer(list(request.app[MANAGER].plan(one.config(), one.record.bundle).records()))


ONE = "/v1/containers/{id}"
ROUTES = (
    Route("GET", "/v1/info", info, "the service itself", gives=ServerInfo),
    Route("GET", "/v1/events", events, "events, one per line", streams=True, query=("since", "follow")),
    Route("GET", "/v1/stats", all_stats, "what every container uses", gives=dict[str, Stats],
          query=("stream", "interval")),
    Route("POST", "/v1/explain", explain, "the plan of create for a config", ExplainBody, list[dict[str, Any]]),
    Route("POST", "/v1/refresh", refresh, "see what pyrunc's command line has done", gives=list[Info]),
    Route("GET", "/v1/containers", ls, "every container", gives=list[Info], query=("label",)),
    Route("POST", "/v1/containers", create, "make a container", Create, Info, 201),
    Route("GET", ONE, inspect, "a container", gives=Info),
    Route("DELETE", ONE, delete, "remove it", status=204, query=("force",)),
    Route("GET", f"{ONE}/config", config, "the config that it was made with", gives=dict[str, Any]),
    Route("POST", f"{ONE}/start", changing(Container.start), "let it run its program", gives=Info),
    Route("POST", f"{ONE}/stop", stop, "end it", StopBody, Exit),
    Route("POST", f"{ONE}/kill", kill, "send it a signal", KillBody, status=204),
    Route("POST", f"{ONE}/pause", changing(Container.pause), "stop all its processes where they are", gives=Info),
    Route("POST", f"{ONE}/resume", changing(Container.resume), "let them go on", gives=Info),
    Route("POST", f"{ONE}/update", update, "change its limits", UpdateBody, Info),
    Route("POST", f"{ONE}/checkpoint", checkpoint, "have CRIU write it to images", CheckpointBody, Info),
    Route("POST", f"{ONE}/wait", wait, "how it ends", WaitBody, Exit),
    Route("POST", f"{ONE}/exec", run_in, "run a process in it to its end", ExecBody, ExecAnswer),
    Route("GET", f"{ONE}/logs", logs, "its log, a line per line", streams=True, query=("tail", "follow")),
    Route("GET", f"{ONE}/stats", stats, "what it uses", gives=Stats, query=("stream", "interval")),
    Route("GET", f"{ONE}/top", top, "its processes", gives=list[dict[str, Any]]),
    Route("GET", f"{ONE}/plan", plan, "the steps of its create, planned anew", gives=list[dict[str, Any]]),
    Route("GET", f"{ONE}/trace", trace, "the steps of an operation as they ran", gives=list[dict[str, Any]],
          query=("operation",)),
)
