"""The program of any OCI runtime as a handler: driven by its command line, which the keeper runs.

So its containers' inits are the keeper's children in the end, like those of pyrunc, and their exit statuses as exact.
"""
from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import DOES_NOT_EXIST, NOT_RUNNING, NoSuchContainer, PyruncError, StateError, UsageError
from ..kernel.unix_socket import must_fit
from .connection import Answer, Connection, Lost
from .directory import Record
from .handlers import SETTLED, Made, finished
from .missing import kept, remove
from .streams import settle

#: Programs whose containers have no sandbox around them (Handler.direct).
PLAIN = ("runc", "crun", "youki")
#: Seconds for the runtime to send the terminal that it has made.
PATIENCE = 10.0
#: What runtimes say about a process that has ended, in their own words.
OVER = ("process already finished", "process not found", "No such process", "container not running",
        "cannot exec in a stopped container", "is not running", "cannot signal", "no such process")
MISSING = ("does not exist", "No such file or directory: `", "error opening file", "cannot stat",
           "cannot open directory")


class ProgramFailed(PyruncError):
    """The program has failed, and this is what it has said."""


class Binary:
    """runc, crun, runsc ...: path is the program's; root is where it keeps its containers."""

    def __init__(self, name: str, path: str, root: str, connection: Connection) -> None:
        found = shutil.which(path)
        if found is None:
            raise UsageError(f"handler {name}: there is no program {path}")
        self.name, self.path, self.root, self._connection = name, os.path.abspath(found), root, connection
        self.direct = os.path.basename(os.path.realpath(self.path)) in PLAIN
        self._commands: frozenset[str] = frozenset()
        self._features: dict[str, Any] | None = None

    async def check(self, config: Mapping[str, Any]) -> None:
        """By the program's `features`, where it has that: namespaces and hooks that it does not know."""
        features = await self._known()
        linux = features.get("linux", {})
        known = linux.get("namespaces")
        if known:
            for index, space in enumerate(config.get("linux", {}).get("namespaces", ())):
                if isinstance(space, Mapping) and space.get("type") not in known:
                    raise UsageError(f"handler {self.name} has no {space.get('type')} namespaces: "
                                     f"at linux.namespaces[{index}] in config.json")
        if features.get("hooks"):
            for kind in config.get("hooks") or {}:
                if kind not in features["hooks"]:
                    raise UsageError(f"handler {self.name} has no {kind} hooks: at hooks.{kind} in config.json")

    async def able(self, command: str) -> None:
        """By the commands that its help lists."""
        await self._known()
        if self._commands and command not in self._commands:
            raise UsageError(f"handler {self.name} cannot {command}: {self.path} has no such command")

    async def features(self) -> dict[str, Any]:
        """What `features` of the program prints; empty where it has no such command."""
        return await self._known()

    async def create(self, record: Record, config: Mapping[str, Any], fds: Sequence[int], place: Path) -> Made:
        """As the protocol has it."""
        return await self._born("create", record, config, fds, place)

    async def _born(self, command: str, record: Record, config: Mapping[str, Any], fds: Sequence[int], place: Path,
                    *flags: str) -> Made:
        bundle = place / "bundle"
        bundle.mkdir(mode=0o700, exist_ok=True)
        (bundle / "config.json").write_text(json.dumps(absolute(config, record.bundle)))
        os.makedirs(self.root, 0o700, exist_ok=True)
        words = [command, "--bundle", str(bundle), *flags]
        return await self._make(words, [record.id], fds, place, bool(config.get("process", {}).get("terminal")),
                                record.name)

    async def checkpoint(self, record: Record, choices: Mapping[str, Any]) -> None:
        """As the protocol has it."""
        await self.able("checkpoint")
        await self._run("checkpoint", *flags_of(choices), record.id)

    async def restore(self, record: Record, config: Mapping[str, Any], fds: Sequence[int], place: Path,
                      choices: Mapping[str, Any]) -> Made:
        """As the protocol has it."""
        await self.able("restore")
        return await self._born("restore", record, config, fds, place, "--detach", *flags_of(choices))

    async def start(self, record: Record) -> None:
        """As the protocol has it."""
        await self._run("start", record.id)

    async def exec(self, record: Record, process: Mapping[str, Any], fds: Sequence[int], place: Path) -> Made:
        """As the protocol has it."""
        config = json.loads((place / "config.json").read_text())
        containers = config.get("process", {})
        whole = {**{key: value for key, value in containers.items() if key not in ("args", "terminal", "consoleSize")},
                 **process}
        with tempfile.NamedTemporaryFile("w", dir=place, suffix=".json") as file:
            json.dump(whole, file)
            file.flush()
            words = ["exec", "--detach", "--process", file.name]
            return await self._make(words, [record.id], fds, place, bool(whole.get("terminal")), "")

    async def kill(self, record: Record, signal: int, all: bool) -> None:
        """As the protocol has it."""
        await self._run("kill", *(["--all"] if all else []), record.id, str(signal))

    async def pause(self, record: Record) -> None:
        """As the protocol has it."""
        await self.able("pause")
        await self._run("pause", record.id)

    async def resume(self, record: Record) -> None:
        """As the protocol has it."""
        await self.able("resume")
        await self._run("resume", record.id)

    async def update(self, record: Record, resources: Mapping[str, Any]) -> None:
        """As the protocol has it."""
        await self.able("update")
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(resources, file)
            file.flush()
            await self._run("update", "--resources", file.name, record.id)

    async def delete(self, record: Record, force: bool) -> None:
        """As the protocol has it."""
        if not os.access(self.path, os.X_OK):
            return await remove(record, self.root, f"handler {self.name}: there is no program {self.path}", force)
        words = ["delete", *(["--force"] if force else []), record.id]
        with suppress(*[NoSuchContainer] if force else []):
            await finished(lambda: self._run(*words))
        return None

    async def status(self, record: Record) -> tuple[str, int]:
        """As the protocol has it."""
        if not kept(self.root, record.id):
            return "", 0
        try:
            state = json.loads(await self._run("state", record.id))
        except (PyruncError, ValueError):
            return "", 0
        return state.get("status", ""), int(state.get("pid") or 0)

    # ---- the program ------------------------------------------------------------------------------------
    async def _known(self) -> dict[str, Any]:
        if self._features is None:
            text = await self._output("--help")
            self._commands = frozenset(re.findall(r"^\s+([a-z]+)(?:,\s\w+)?\s+(?:- )?\S", text, re.MULTILINE))
            self._features = {}
            if "features" in self._commands:
                with suppress(PyruncError, ValueError):
                    self._features = json.loads(await self._output("features"))
        return self._features

    async def _output(self, word: str) -> str:
        with tempfile.TemporaryFile() as out, open(os.devnull, "r+b") as null:
            await self._connection.call("command", [null.fileno(), out.fileno(), null.fileno()], argv=[self.path, word])
            out.seek(0)
            return out.read().decode(errors="replace")

    async def _run(self, *words: str) -> str:
        """A command that makes no process: its output."""
        with tempfile.TemporaryFile() as out, open(os.devnull, "rb") as null:
            await self._call(list(words), [null.fileno(), out.fileno(), out.fileno()])
            out.seek(0)
            return out.read().decode(errors="replace")

    async def _make(self, words: list[str], rest: list[str], fds: Sequence[int], place: Path, terminal: bool,
                    name: str) -> Made:
        with tempfile.TemporaryDirectory(prefix="pyrunc-") as folder:
            more: dict[str, Any] = {"record": name} if name else {}
            console = _Console(Path(folder, "console")) if terminal else None
            try:
                if console is not None:
                    words = [*words, "--console-socket", str(console.path)]
                answer = await self._call([*words, "--pid-file", f"{folder}/pid", *rest], fds,
                                          pid_file=f"{folder}/pid", **more)
                try:
                    master = await console.master() if console is not None else -1
                except BaseException:
                    for fd in answer.fds:
                        os.close(fd)
                    raise
            finally:
                if console is not None:
                    console.close()
        assert answer.end is not None
        return Made(answer.value["pid"], answer.fds[0], answer.end, master)

    async def _call(self, words: list[str], fds: Sequence[int], **more: Any) -> Answer:
        with tempfile.TemporaryDirectory(prefix="pyrunc-") as folder:
            log = Path(folder, "log")
            flags = ["--root", self.root, "--log", str(log), "--log-format", "json"]
            if words[0] in SETTLED:
                more["about"] = words[-1]
            if words[0] == "checkpoint":                 # it takes as long as it takes
                more["deadline"] = 0.0
            answer = await self._connection.call("command", fds, argv=[self.path, *flags, *words], **more)
            if answer.value["status"]:
                raise self._error(words[0], log, answer.value["status"])
        return answer

    def _error(self, command: str, log: Path, status: int) -> PyruncError:
        """What the program has written into its log, as one of our errors."""
        said = ""
        with suppress(OSError):
            for entry in entries(log.read_text(errors="replace")):
                if entry.get("level") in ("error", "fatal") or not said:
                    said = str(entry.get("msg", ""))
        if any(word in said for word in MISSING) and command not in ("create", "exec"):
            return NoSuchContainer(DOES_NOT_EXIST)
        if command in ("kill", "exec", "pause", "resume", "update") and any(word in said for word in OVER):
            return StateError(NOT_RUNNING)
        kind = StateError if command in ("start", "delete", "pause", "resume") else ProgramFailed
        return kind(f"{self.name} {command}: {said or f'exit status {status}'}")


class _Console:
    """Takes the terminal that a runtime sends (--console-socket)."""

    def __init__(self, path: Path) -> None:
        must_fit(str(path), "the console's socket")
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._socket.bind(str(path))
        self._socket.listen(1)

    async def master(self) -> int:
        """The master end. The loop goes on while the runtime takes its time. Lost when none comes."""
        try:
            async with asyncio.timeout(PATIENCE):
                connection, _ = await asyncio.get_running_loop().sock_accept(self._socket)
                with connection:
                    connection.setblocking(False)
                    fds = await _sent(connection)
        except (ConnectionError, TimeoutError):
            fds = []
        for fd in fds[1:]:
            os.close(fd)
        if not fds:
            raise Lost("the runtime has sent no terminal")
        return fds[0]

    def close(self) -> None:
        self._socket.close()


async def _sent(connection: socket.socket) -> list[int]:
    """The descriptors that come first; none when the other end is closed."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            return list(socket.recv_fds(connection, 4096, 1)[1])
        except BlockingIOError:
            ready: asyncio.Future[None] = loop.create_future()
            loop.add_reader(connection.fileno(), settle, ready)
            try:
                await ready
            finally:
                loop.remove_reader(connection.fileno())


def entries(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects of a log: one in each line, or, as a newer crun writes them, over several lines. What is
    none, as the end of one that is still being written, is passed over."""
    decoder, at = json.JSONDecoder(), 0
    while (at := text.find("{", at)) >= 0:
        try:
            found, at = decoder.raw_decode(text, at)
            yield found
        except ValueError:
            at += 1


def flags_of(choices: Mapping[str, Any]) -> list[str]:
    """Choices of a checkpoint or restore as the command lines of runtimes have them."""
    words: list[str] = []
    for name, value in choices.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            words.append(flag)
        elif value not in (False, ""):
            words += [flag, ":".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)]
    return words


def absolute(config: Mapping[str, Any], bundle: str) -> dict[str, Any]:
    """The config with every path that counts from the bundle made absolute, so that it can lie elsewhere."""
    made = {**config}
    if isinstance(config.get("root"), Mapping) and isinstance(config["root"].get("path"), str):
        made["root"] = {**config["root"], "path": os.path.normpath(os.path.join(bundle, config["root"]["path"]))}
    if isinstance(config.get("mounts"), list):
        made["mounts"] = [_mount(one, bundle) for one in config["mounts"]]
    return made


def _mount(entry: Any, bundle: str) -> Any:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("source"), str):
        return entry
    binds = entry.get("type") == "bind" or {"bind", "rbind"} & set(entry.get("options") or ())
    return {**entry, "source": os.path.join(bundle, entry["source"])} if binds else entry
