"""The command `runciter`: the service, and what a shell asks of it."""
from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import PyruncError
from ..kernel.unix_socket import must_fit

if TYPE_CHECKING:
    from .client import Client

SOCKET = "/run/runciter-http/socket"
#: Descriptors that the service may have: five for each container.
DESCRIPTORS = 1 << 16
#: Of aiohttp; pyproject.toml says so, too, but a package of the host may be older.
OLDEST = 3, 9
Command = Callable[["Client", argparse.Namespace], Awaitable[int]]


def parser() -> argparse.ArgumentParser:
    """Of the whole command line."""
    made = argparse.ArgumentParser("runciter", description="control many containers (docs/runciter.md)")
    made.add_argument("--socket", default=os.environ.get("RUNCITER_SOCKET", SOCKET), help="of the service")
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, about: str, *arguments: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=about, description=about)
        for argument in arguments:
            one.add_argument(argument)
        return one
    one = add("serve", "serve HTTP and JSON on the socket")
    one.add_argument("--root", default="", help="of the containers' state, as pyrunc's")
    one.add_argument("--directory", default="", help="of what the service keeps")
    one.add_argument("--group", default="", help="whose members may use the service, which makes them root")
    one.add_argument("--systemd-cgroup", action="store_true", help="make cgroups as scopes of systemd")
    one.add_argument("--deadline", type=float, default=600.0, metavar="SECONDS",
                     help="for one operation, hooks included; then it is ended and undone (600; 0: none)")
    one.add_argument("--listen", default="", metavar="127.0.0.1:PORT",
                     help="show the page on a port of this host, too, to who has the token beside the socket")
    one.add_argument("--replace", action="store_true", help="take the place of the service that is at this socket")
    one = add("ps", "list containers")
    one.add_argument("labels", nargs="*", metavar="KEY=VALUE")
    add("refresh", "see what pyrunc's command line has done with containers, and list them")
    one = add("run", "make a container from a bundle, and start it", "id")
    one.add_argument("--bundle", default=".")
    one.add_argument("--handler", default="pyrunc", help="what runs it: pyrunc, runc, crun ...")
    one.add_argument("--images", default="", help="restore it from CRIU's images in this directory")
    one.add_argument("--restart", default="no", help="no, on-failure[:n], always, unless-stopped")
    one.add_argument("--label", action="append", default=[], metavar="KEY=VALUE")
    one = add("exec", "run a process in a container", "id")
    one.add_argument("--timeout", type=float)
    one.add_argument("args", nargs=argparse.REMAINDER)
    one = add("logs", "print what a container has printed", "id")
    one.add_argument("-f", "--follow", action="store_true")
    one.add_argument("-n", "--tail", type=int)
    one = add("events", "print events as they come")
    one.add_argument("--since", type=int)
    one.add_argument("--no-follow", action="store_true")
    add("top", "list the processes of a container", "id")
    one = add("stats", "print what containers use")
    one.add_argument("--once", action="store_true")
    one = add("stop", "end a container gracefully", "id")
    one.add_argument("--grace", type=float)
    one = add("rm", "remove a container", "id")
    one.add_argument("--force", action="store_true")
    add("start", "start a container", "id")
    one = add("checkpoint", "have CRIU write a container to images", "id", "directory")
    one.add_argument("--leave-running", action="store_true")
    add("inspect", "print all about a container", "id")
    one = add("explain", "print the plan of a container of this bundle")
    one.add_argument("--bundle", default=".")
    return made


def main(words: Sequence[str] | None = None) -> int:
    """Run a command: its exit status."""
    given = parser().parse_args(words)
    try:
        return asyncio.run(_serve(given) if given.command == "serve" else _ask(given))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 0
    except (PyruncError, OSError, TimeoutError) as fault:
        print(f"runciter: {fault}", file=sys.stderr)
        return 1
    except ImportError as fault:
        print(f"runciter: {fault}: apt install python3-aiohttp python3-prometheus-client, or pip install "
              "'pyrunc[manager]'", file=sys.stderr)
        return 1


async def _serve(given: argparse.Namespace) -> int:
    import aiohttp
    if tuple(int(word) for word in aiohttp.__version__.split(".")[:2]) < OLDEST:
        raise ImportError(f"aiohttp {aiohttp.__version__} is too old")
    from ..manager import Manager
    from .replace import take
    from .server import serve
    must_fit(given.socket, "the service's socket")
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    few, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, DESCRIPTORS), most))
    until = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, until.set)
    sockets = take(Path(given.socket)) if given.replace else []
    async with Manager(given.root, given.directory, systemd=given.systemd_cgroup, deadline=given.deadline,
                       files=few) as manager:
        await serve(manager, Path(given.socket), given.group, until, given.listen, sockets)
    return 0


async def _ask(given: argparse.Namespace) -> int:
    import aiohttp

    from .client import Client
    try:
        async with Client(given.socket) as client:
            return await COMMANDS[given.command](client, given)
    except aiohttp.ClientError as fault:
        if isinstance(fault, OSError):               # nobody is at the socket
            raise
        raise PyruncError(f"the service has ended: {fault}") from None


# ---- what is printed --------------------------------------------------------------------------------------
def show(value: Any) -> None:
    """JSON, for people and programs."""
    print(json.dumps(value, indent=2 if sys.stdout.isatty() else None), flush=True)


def table(rows: list[list[str]]) -> str:
    """Columns that are as wide as they need to be."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def size(count: float) -> str:
    """Bytes in words: 1.5M."""
    units = list("BKMGT")
    while count >= 1024 and len(units) > 1:
        count /= 1024
        del units[0]
    return f"{count:.0f}{units[0]}" if units[0] == "B" or count >= 10 else f"{count:.1f}{units[0]}"


# ---- commands ---------------------------------------------------------------------------------------------
async def _ps(client: Client, given: argparse.Namespace) -> int:
    _list(await client.containers(*given.labels))
    return 0


async def _refresh(client: Client, given: argparse.Namespace) -> int:
    _list(await client.refresh())
    return 0


def _list(found: list[dict[str, Any]]) -> None:
    """A table on a terminal."""
    if not sys.stdout.isatty():
        show(found)
        return
    rows = [["ID", "STATUS", "HEALTH", "PID", "RESTARTS", "HANDLER", "AGE"]]
    rows += [[one["id"], _status(one), one["health"], str(one["pid"] or "-"), str(one["restarts"]), one["handler"],
              f"{time.time() - one['created']:.0f}s" if one["created"] else "-"] for one in found]
    print(table(rows))


def _status(one: dict[str, Any]) -> str:
    end = one["exit"]
    if one["status"] != "stopped" or end is None:
        return str(one["status"])
    said = "lost" if end["lost"] else f"signal {end['signal']}" if end["signal"] else f"status {end['status']}"
    return f"stopped ({said}{', oom' if end['oom_killed'] else ''})"


async def _run(client: Client, given: argparse.Namespace) -> int:
    from ..manager.plain import dump
    from ..manager.values import Restart
    try:
        restart = dump(Restart.parse(given.restart))
    except ValueError as fault:
        raise PyruncError(str(fault)) from None
    show(await client.create(given.id, bundle=os.path.abspath(given.bundle), handler=given.handler,
                             start=True, images=os.path.abspath(given.images) if given.images else "",
                             trace=given.handler == "pyrunc",
                             restart=restart, labels=dict(one.partition("=")[::2] for one in given.label)))
    return 0


async def _exec(client: Client, given: argparse.Namespace) -> int:
    args = given.args[1:] if given.args[:1] == ["--"] else given.args
    result = await client.act(given.id, "exec", args=args, timeout=given.timeout)
    sys.stdout.write(result["stdout"])
    sys.stderr.write(result["stderr"])
    if result["timed_out"]:
        print(f"runciter: it took longer than {given.timeout:g} s", file=sys.stderr)
    end = result["exit"]
    return 255 if end["lost"] else 128 + end["signal"] if end["signal"] else int(end["status"])


async def _logs(client: Client, given: argparse.Namespace) -> int:
    async for line in client.logs(given.id, given.follow, **({} if given.tail is None else {"tail": given.tail})):
        stream = sys.stderr if line["stream"] == "stderr" else sys.stdout
        stream.write(line["text"] + ("" if line["partial"] else "\n"))
        stream.flush()
    return 0


async def _events(client: Client, given: argparse.Namespace) -> int:
    query = {} if given.since is None else {"since": given.since}
    async for event in client.events(**query, follow=int(not given.no_follow)):
        print(json.dumps(event), flush=True)
    return 0


async def _top(client: Client, given: argparse.Namespace) -> int:
    found = await client.call("GET", f"/v1/containers/{given.id}/top")
    if not sys.stdout.isatty():
        show(found)
        return 0
    print(table([["PID", "STATE", "CPU", "RSS", "COMMAND"],
                 *([str(one["pid"]), one["state"], f"{one['cpu']:.2f}s", size(one["rss"]), one["command"]]
                   for one in found)]))
    return 0


async def _stats(client: Client, given: argparse.Namespace) -> int:
    before: dict[str, Any] = {}
    live = sys.stdout.isatty() and not given.once
    query = {} if given.once else {"stream": 1}
    if given.once:
        show(await client.call("GET", "/v1/stats"))
        return 0
    async for now in client.stream("/v1/stats", **query):
        if live:
            print("\033[H\033[2J" + table(_usage(before, now)), flush=True)
        else:
            print(json.dumps(now), flush=True)
        before = now
    return 0


def _usage(before: dict[str, Any], now: dict[str, Any]) -> list[list[str]]:
    rows = [["ID", "CPU", "MEMORY", "LIMIT", "PIDS", "CPU PSI", "MEM PSI"]]
    for id, one in sorted(now.items()):
        old = before.get(id, one)
        passed = max(one["time"] - old["time"], 1e-9)
        percent = 100 * (one["cpu"]["usage"] - old["cpu"]["usage"]) / passed if old is not one else 0.0
        psi = [f"{part['pressure']['some_avg10']:.1f}%" if part["pressure"] else "-"
               for part in (one["cpu"], one["memory"])]
        rows.append([id, f"{percent:.1f}%", size(one["memory"]["working_set"]),
                     size(one["memory"]["limit"]) if one["memory"]["limit"] else "-", str(one["processes"]), *psi])
    return rows


async def _stop(client: Client, given: argparse.Namespace) -> int:
    show(await client.act(given.id, "stop", **({} if given.grace is None else {"grace": given.grace})))
    return 0


async def _rm(client: Client, given: argparse.Namespace) -> int:
    await client.delete(given.id, given.force)
    return 0


async def _start(client: Client, given: argparse.Namespace) -> int:
    show(await client.act(given.id, "start"))
    return 0


async def _checkpoint(client: Client, given: argparse.Namespace) -> int:
    show(await client.act(given.id, "checkpoint", image_path=os.path.abspath(given.directory),
                          leave_running=given.leave_running))
    return 0


async def _inspect(client: Client, given: argparse.Namespace) -> int:
    show({**await client.inspect(given.id), "config": await client.call("GET", f"/v1/containers/{given.id}/config")})
    return 0


async def _explain(client: Client, given: argparse.Namespace) -> int:
    bundle = os.path.abspath(given.bundle)
    try:
        config = json.loads(Path(bundle, "config.json").read_text())
    except ValueError as fault:
        raise PyruncError(f"{bundle}/config.json: {fault}") from None
    steps = await client.call("POST", "/v1/explain", {"config": config, "bundle": bundle})
    if not sys.stdout.isatty():
        show(steps)
        return 0
    print(table([["SIDE", "STEP", "WHERE", "WHAT"],
                 *([str(one.get(key, "")) for key in ("side", "id", "where", "what")] for one in steps)]))
    return 0


COMMANDS: dict[str, Command] = {
    "ps": _ps, "refresh": _refresh, "run": _run, "exec": _exec, "logs": _logs, "events": _events, "top": _top,
    "stats": _stats, "stop": _stop, "rm": _rm, "start": _start, "checkpoint": _checkpoint, "inspect": _inspect,
    "explain": _explain}
