"""The library's front door: a state root, and the containers under it."""
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Unpack

from ..errors import StateError, UsageError
from ..keeper.errors import unpack
from ..state.container import Container as Record
from ..state.store import default_root
from .checkpoints import OfRestore, chosen
from .connection import Connection
from .container import Container
from .observer import Observer, tell
from .process import NOTHING, Process, Stdio, Stream, Streams, three


class Runtime:
    """Makes and finds containers. Threads may share one; close() or `with` ends its keeper, and containers go on.

    root      directory of the containers' state, absolute; the default is the command line's
    systemd   make each container's cgroup as a scope of systemd
    observers  told of every step that ran, of warnings and of failures (engine/observer.py)
    warnings  what went wrong without ending an operation
    """

    def __init__(self, root: str = "", systemd: bool = False, observers: Sequence[Observer] = ()) -> None:
        if root and not root.startswith("/"):
            raise UsageError(f"root {root} is not an absolute path")
        self.root = root or default_root()
        self.systemd = systemd
        self.observers = tuple(observers)
        self.warnings: list[str] = []
        self._connection = Connection()

    def create(self, id: str, bundle: str = "", config: Mapping[str, Any] | None = None, stdin: Stream = NOTHING,
               stdout: Stream = NOTHING, stderr: Stream = NOTHING, stdio: Stdio = NOTHING) -> Container:
        """Make a container; its program waits for start().

        bundle  its directory; without a config, config.json is read from it
        config  instead of a file; without a bundle, root.path must be absolute, and the bundle is what it lies in
        stdin, stdout, stderr  a descriptor or file, PIPE, or None for /dev/null; with a terminal none of them counts
        stdio  all three, or one stream for each of them
        Raises UsageError, ConfigError, StateError, StepError; then nothing is left behind.
        """
        streams = Streams(*three(stdio, stdin, stdout, stderr))
        return self._make("create", id, bundle, config, streams)

    def restore(self, id: str, image_path: str, bundle: str = "", config: Mapping[str, Any] | None = None,
                stdin: Stream = NOTHING, stdout: Stream = NOTHING, stderr: Stream = NOTHING, stdio: Stdio = NOTHING,
                **choices: Unpack[OfRestore]) -> Container:
        """Make a container again from what Container.checkpoint wrote; its processes run on from there.

        image_path  the images' directory, absolute
        choices     of OfRestore in library/checkpoints.py, by the names of the command line's flags
        The rest is as for create; the streams take the place of those pipes that the init had.
        Raises what create raises, StepError when CRIU fails, PyruncError without CRIU; then nothing is left behind.
        """
        wanted = chosen(image_path, choices, OfRestore)
        streams = Streams(*three(stdio, stdin, stdout, stderr))
        return self._make("restore", id, bundle, config, streams, choices=wanted)

    def container(self, id: str) -> Container:
        """A container that exists. StateError when there is none."""
        Record.load(self.root, id)
        return Container(self, id)

    def containers(self) -> list[Container]:
        """Every container under the root, by id."""
        try:
            names = sorted(os.listdir(self.root))
        except FileNotFoundError:
            return []
        found = []
        for name in names:
            try:
                found.append(self.container(name))
            except (StateError, UsageError, NotADirectoryError):      # not a container, or deleted since
                continue
        return found

    def close(self) -> None:
        """End the keeper; again is no error."""
        self._connection.close()

    def __enter__(self) -> Runtime:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Runtime {self.root}>"

    def _make(self, operation: str, id: str, bundle: str, config: Mapping[str, Any] | None, streams: Streams,
              **request: Any) -> Container:
        try:
            if not bundle and config is None:
                raise UsageError(f"{operation} needs a bundle or a config")
            place = os.path.abspath(bundle) if bundle else _place(config or {})
            answer, fds = self.call(operation, streams.theirs, id=id, bundle=place, options=self._options(),
                                    config=None if config is None else dict(config), **request)
        except BaseException:
            streams.close()
            raise
        finally:
            streams.given()
        return Container(self, id, self.made(answer, fds, streams))

    # ---- for Container ----------------------------------------------------------------------------------
    def call(self, operation: str, fds: Sequence[int] = (), **request: Any) -> tuple[dict[str, Any], list[int]]:
        """Run an operation of keeper/operations.py under this root: its answer. Raises what it raised."""
        message, given = self._connection.call(operation, fds, root=self.root, traced=bool(self.observers), **request)
        error = unpack(message["error"]) if "error" in message else None
        self.warnings += message.get("warnings", ())
        for observer in self.observers:
            tell(observer, request["id"], message.get("records", ()), message.get("warnings", ()), error)
        if error is not None:
            raise error
        answer: dict[str, Any] = message["answer"]
        return answer, given

    def made(self, answer: Mapping[str, Any], fds: Sequence[int], streams: Streams) -> Process:
        """The process that an operation has made."""
        pidfd, *terminal = fds
        return Process(self._connection, answer["pid"], pidfd, streams, terminal[0] if terminal else -1)

    def _options(self) -> dict[str, Any]:
        return {"systemd_cgroup": self.systemd, "cgroup_manager": "systemd" if self.systemd else "cgroupfs"}


def _place(config: Mapping[str, Any]) -> str:
    root = config.get("root")
    path = root.get("path") if isinstance(root, Mapping) else None
    if not isinstance(path, str) or not path.startswith("/"):
        raise UsageError("without a bundle, root.path of the config must be absolute")
    return os.path.dirname(os.path.abspath(path)) or "/"
