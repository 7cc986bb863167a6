"""Hooks: programs of the host or the container that are told the container's state at points of its life.

prestart and createRuntime run in the runtime, createContainer in the init with the host's files still around it,
startContainer in the init at the very end (in C), poststart and poststop in the runtime again.

A hook's environment is what the config says. Where it says nothing (no `env` at all) a hook gets only a PATH, and
a startContainer hook the environment of the container's process. The caller's environment never reaches a hook: runc
hands it on to those of the runtime, and with it whatever the engine was started with.

The end of what hooks print is kept for the error of one that fails; or, as crun has it, appended to the files that the
annotations run.oci.hooks.stdout and run.oci.hooks.stderr name.
"""
from __future__ import annotations

import posix

from ..config.environment import Environment
from ..engine.step import CHILD, LAST, PARENT, Barrier, Step
from ..errors import Refused, describe
from ..kernel import last_stage
from ..kernel.page import TEXT_SIZE
from ..paths import absolute

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any, Literal

    from ..config.types import Config, Hook
    from ..engine.facts import Facts
    from ..kernel.linux import Kernel
    from ..kernel.posix import PosixKernel
    from ..request import Request
    from ..state.container import Container

    Kind = Literal["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]

SPEC = "config.md#posix-platform-hooks"
#: For a hook without env: what an empty environment would make a shell search, and no more.
ENVIRONMENT = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",)
#: Milliseconds are counted in an int.
LONGEST_TIMEOUT = 2_147_483
#: Bytes that the error's one line may have with what a failed hook has printed (conmon reads 8 KiB), and that each of
#: the two streams has in any case.
LONGEST_TEXT, LEAST_OUTPUT = 4096, 64
#: Second names of signals (signal(7)).
OTHER_NAMES = ("SIGCLD", "SIGIOT", "SIGPOLL")
OUTPUT = ("run.oci.hooks.stdout", "run.oci.hooks.stderr")


def output_paths(annotations: Mapping[str, str], bundle: str) -> tuple[str, str]:
    """Where hooks' stdout and stderr go: absolute paths, a relative one counted from the bundle; "" is not given."""
    out, err = (absolute(path, bundle) if (path := annotations.get(name, "")) else "" for name in OUTPUT)
    return out, err


def open_output(kernel: PosixKernel, paths: tuple[str, str]) -> tuple[int, int]:
    """Descriptors of output_paths() to append to, the files made if need be; -1 for one that is not given."""
    out, err = (_open_output(kernel, path) if path else -1 for path in paths)
    return out, err


def _open_output(kernel: PosixKernel, path: str) -> int:
    """A FIFO that nobody reads is ENXIO, not a wait; hooks themselves wait when one is full."""
    flags = posix.O_WRONLY | posix.O_CREAT | posix.O_APPEND | posix.O_NOCTTY
    fd = kernel.open(path, flags | posix.O_NONBLOCK, 0o600)
    kernel.set_blocking(fd)
    return fd


def run_one(kernel: Kernel, hook: Hook, where: str, state: dict[str, Any], cwd_fd: int = -1,
            streams: tuple[int, int] = (-1, -1), room: int = LONGEST_TEXT) -> None:
    """Run one hook with the state on its standard input, and wait for it.

    where     its JSON path, hooks.poststop[0]
    streams   of open_output()
    room      bytes that the whole text of an error may have
    Raises Refused when it fails or takes longer than its timeout, OSError when it cannot be run.
    """
    from ..formats.json_text import dumps
    timeout = _timeout(hook)
    status, out, err = kernel.run_program(hook["path"], _args(hook), hook.get("env", ENVIRONMENT),
                                          dumps(state).encode(), timeout, cwd_fd, streams)
    if status == 0:
        return
    if status == -2:
        how = f"hook ran past specified timeout of {timeout:.1f}s"
    elif status & 0x7F:              # wait(2): killed by this signal
        how = f"killed by {signal_name(status & 0x7F)}"
    else:
        how = f"exit status {status >> 8}"
    text = f"{_title(where)}: {hook['path']}: {how}"
    raise Refused(text + printed(out, err, room - len(text.encode(errors="replace"))))


def printed(out: str, err: str, room: int) -> str:
    """The ends of what a hook has printed, on one line of at most room bytes; each may have what the other leaves.
    Nothing of a stream that it has not written to."""
    out, err = (" ".join(text.split()).replace("\0", "\\x00") for text in (out, err))
    room = max(room - len(", stdout: , stderr: "), 2 * LEAST_OUTPUT)
    err = end_of(err, max(room // 2, room - len(out.encode())))
    out = end_of(out, room - len(err.encode()))
    return (f", stdout: {out}" if out else "") + (f", stderr: {err}" if err else "")


def end_of(text: str, room: int) -> str:
    """The last room bytes of a text, with "..." in front of what is not all of it."""
    data = text.encode()
    return text if len(data) <= room else "..." + data[3 - room:].decode(errors="ignore")


def signal_name(number: int) -> str:
    """signal 9 (SIGKILL)"""
    import _signal
    names = [name for name in dir(_signal) if name.startswith("SIG") and "_" not in name and name not in OTHER_NAMES
             and getattr(_signal, name) == number]
    return f"signal {number} ({names[0]})" if names else f"signal {number}"


def oci_state(want: Request, status: str) -> dict[str, Any]:
    """runtime.md#state while the container is made, as far as it is known: without the pid."""
    config, options = want.config, want.options
    state: dict[str, Any] = {"ociVersion": config["ociVersion"], "id": options.id, "status": status,
                             "bundle": options.bundle}
    if config.get("annotations"):
        state["annotations"] = config["annotations"]
    return state


class Output(Step):
    """By the runtime, before the clone: the container's init may see other files, or not be allowed to write these."""
    name = "hooks.output"
    spec = SPEC
    side = PARENT
    paths: tuple[str, str]

    def describe(self) -> str:
        named = (f"{stream} to {path}" for stream, path in zip(("stdout", "stderr"), self.paths) if path)
        return f"open files for the output of hooks: {', '.join(named)}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        facts.hook_output = open_output(kernel, self.paths)


class Run(Step):
    """One hook. In the runtime the state's pid is the one it sees, in the container the container's own."""
    name: str  # type: ignore[misc]  # hooks.<kind>
    spec = SPEC
    native = True
    hook: Hook
    state: dict[str, Any]

    def describe(self) -> str:
        where = ", in the container's root directory" if self.side == CHILD else ""
        limit = f", at most {self.hook['timeout']} s" if "timeout" in self.hook else ""
        return f"run {self.hook['path']}{where}{limit}"

    def failure(self, fault: OSError) -> str:
        return f"{_title(self.where)}: {self.hook['path']}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        if self.side == PARENT:
            run_one(kernel, self.hook, self.where, {**self.state, "pid": facts.pid}, streams=facts.hook_output)
            return
        # Its error must fit into the page, with its place in front.
        run_one(kernel, self.hook, self.where, {**self.state, "pid": kernel.getpid()}, facts.root_fd, facts.hook_output,
                TEXT_SIZE - len(self.where) - 2)


class RunLast(Step):
    """A startContainer hook: of the container, as its user, run by the last stage."""
    name = "hooks.start_container"
    spec = SPEC
    side = LAST
    hook: Hook
    index: int
    state: dict[str, Any]
    environment: Environment

    def describe(self) -> str:
        return f"run {self.hook['path']} in the container"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        from ..formats.json_text import dumps
        env = self.hook.get("env")
        state = dumps({**self.state, "pid": kernel.getpid()}).encode()
        data = last_stage.pack_hook(self.hook["path"], _args(self.hook),
                              self.environment.complete(facts) if env is None else env, state, self.hook.get("timeout"))
        kernel.last(last_stage.OP_HOOK, self.index, *facts.hook_output, data)


class PoststopAfterFailure(Step):
    """A create that fails once the container existed ends as a delete does: with the poststop hooks, when all else is
    undone. That is why this is the first step of all. A failing hook is a warning, and the others run all the same."""
    name = "hooks.poststop"
    spec = "runtime.md#lifecycle"
    side = PARENT
    hooks: list[tuple[str, Hook]]
    state: dict[str, Any]

    def describe(self) -> str:
        return f"if create fails, run {', '.join(hook['path'] for _, hook in self.hooks)} at the end"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        """Nothing yet."""

    def undo(self, kernel: Kernel, facts: Facts) -> None:
        if not facts.pid:
            return
        for where, hook in self.hooks:
            try:
                run_one(kernel, hook, where, self.state, streams=facts.hook_output)
            except (OSError, Refused) as fault:
                facts.warnings.append(failed(fault, where, hook))


class Poststop(Step):
    """runtime.md#lifecycle 13: one that fails is a warning, and the others run all the same.

    How many have run is written down after each, so that a delete that was killed does not repeat them all.
    """
    name = "hooks.poststop"
    spec = "config.md#poststop"
    native = True
    container: Container
    index: int

    def describe(self) -> str:
        return f"run {self.container.state['hooks']['poststop'][self.index]['path']}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        from ..state import store
        container = self.container
        hook = container.state["hooks"]["poststop"][self.index]
        streams = -1, -1
        try:
            streams = open_output(kernel, output_paths(container.state["annotations"], container.state["bundle"]))
            run_one(kernel, hook, self.where, container.oci_state("stopped"), streams=streams)
        except (OSError, Refused) as fault:
            facts.warnings.append(failed(fault, self.where, hook))
        finally:
            for fd in streams:
                if fd >= 0:
                    kernel.close(fd)
        try:
            directory = kernel.open(container.path(""), posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW)
            try:
                kernel.write_new(store.POSTSTOP, b"%d" % (self.index + 1), 0o600, directory)
            finally:
                kernel.close(directory)
        except OSError as fault:         # no room, say: then a delete that is killed may run it once more
            facts.warnings.append(f"record that the hook has run: {describe(fault)}")


def poststart(state: Mapping[str, Any], container: Container) -> Iterator[Step]:
    """PARENT, of start, when the program runs. state: the container's."""
    found = state["hooks"].get("poststart")
    if found:
        paths = output_paths(state["annotations"], state["bundle"])
        if any(paths):
            yield Output(paths=paths, where="annotations")
        told = container.oci_state("running")
        for index, hook in enumerate(found):
            yield Run(name="hooks.poststart", hook=hook, state=told, where=f"hooks.poststart[{index}]")


def poststop(state: Mapping[str, Any], container: Container) -> Iterator[Step]:
    """PARENT, of delete, when all else is gone: those that no delete before has run."""
    from ..state import store
    found = state["hooks"].get("poststop") or ()
    for index in range(store.read_count(container.root, container.id, store.POSTSTOP) if found else 0, len(found)):
        yield Poststop(container=container, index=index, where=f"hooks.poststop[{index}]")


def poststop_after_failure(want: Request) -> Iterator[Step]:
    """PARENT, of create."""
    entries = list(_entries("poststop", want.config))
    if entries:
        yield PoststopAfterFailure(hooks=entries, state=oci_state(want, "stopped"), where="hooks.poststop")


def output(want: Request) -> Iterator[Step]:
    """PARENT, before the clone: the files that the annotations name."""
    paths = output_paths(want.config.get("annotations") or {}, want.options.bundle)
    if any(paths) and any(want.config["hooks"].values()):
        yield Output(paths=paths, where="annotations")


def create_runtime(want: Request) -> Iterator[Step]:
    """PARENT: prestart, then createRuntime, when the mounts are made and the root is not switched.

    prestart hooks are older than the status `creating`, which runtime.md#state has for step 2 of the lifecycle (they
    are step 3): they are written for a container that is `created`, and crun tells them so.
    """
    state = oci_state(want, "creating")
    steps = [*_runs("prestart", "hooks.prestart", PARENT, want.config, {**state, "status": "created"}),
             *_runs("createRuntime", "hooks.create_runtime", PARENT, want.config, state)]
    if steps:
        yield Barrier(label="the container's mounts are made", waits=PARENT)
        yield from steps
        yield Barrier(label="the hooks of the runtime have run", waits=CHILD)


def create_container(want: Request) -> Iterator[Step]:
    """CHILD: the path is one of the host's, the namespaces are the container's."""
    yield from _runs("createContainer", "hooks.create_container", CHILD, want.config, oci_state(want, "creating"))


def start_container(want: Request) -> Iterator[Step]:
    """LAST: after `start`, before the container's program."""
    if not want.config.get("process"):
        return
    environment, state = want.environment, oci_state(want, "created")
    for index, (where, hook) in enumerate(_entries("startContainer", want.config)):
        yield RunLast(hook=hook, index=index, state=state, environment=environment, where=where)


def _runs(kind: Kind, name: str, side: str, config: Config, state: dict[str, Any]) -> Iterator[Step]:
    for where, hook in _entries(kind, config):
        yield Run(name=name, hook=hook, side=side, state=state, where=where)


def _entries(kind: Kind, config: Config) -> Iterator[tuple[str, Hook]]:
    for index, hook in enumerate(config.get("hooks", {}).get(kind, ())):
        yield f"hooks.{kind}[{index}]", hook


def failed(fault: OSError | Refused, where: str, hook: Hook) -> str:
    """The warning for a poststop hook: the words that any other hook's error has."""
    if isinstance(fault, Refused):
        return str(fault)
    path, about = hook["path"], describe(fault)
    return f"{_title(where)}: {about if about.startswith(path) else f'{path}: {about}'}"


def _title(where: str) -> str:
    """hooks.createRuntime[0] -> what an error begins with, as in runc."""
    kind, _, rest = where.removeprefix("hooks.").partition("[")
    return f"error running {kind} hook #{rest.rstrip(']')}"


def _args(hook: Hook) -> Sequence[str]:
    return hook.get("args") or [hook["path"]]


def _timeout(hook: Hook) -> int:
    """Seconds, 0 for as long as it takes."""
    return min(hook.get("timeout", 0), LONGEST_TIMEOUT)
