"""What a case has in its hands: one runtime, one id, one folder, and short words for what most cases do."""
from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ..model import Fails, NotHere, NotOffered
from . import bundles, isolation, patience
from .runtime import Outcome, Program, Runtime, numbers, reap

Config = dict[str, Any]
T = TypeVar("T")


@dataclass
class Container:
    """A created container: pid is its init's, output the file that the init prints to."""
    trial: Trial
    id: str
    pid: int
    outcome: Outcome

    def start(self) -> Container:
        self.trial.runtime.ok("start", self.id)
        return self

    def wait(self) -> int:
        """The exit code of its process."""
        return reap(self.pid)

    def delete(self) -> Outcome:
        return self.trial.runtime.ok("delete", self.id)

    @property
    def output(self) -> str:
        return self.outcome.stdout


class Trial:
    """One case against one runtime. All folders are new, and go away afterwards."""

    def __init__(self, program: Program, place: Path, id: str, rootless: bool = False) -> None:
        self.rootless = rootless        # every bundle gets a user namespace in which the caller is root
        self.program, self.place, self.id = program, place, id
        self.runtime = Runtime(program, place / "state")
        self.ids: list[str] = []
        self.cgroups: list[Path] = []
        self.resctrl: list[Path] = []   # groups that go away after the case
        self.leaves = False             # what is left is the case's own doing, and no fault of the runtime
        self.tried = (0, 0)             # tries that were made, and that are wanted
        self._bundles = itertools.count(1)

    # ---- what is needed -----------------------------------------------------------------------------------------
    def needs_spec(self, version: str) -> None:
        """NotOffered when the runtime's newest specification is older than the one that has what is asked."""
        if numbers(self.program.version) < numbers(version):
            raise NotOffered(f"the runtime's newest specification is {self.program.version}, this is of {version}")

    def needs_feature(self, *path: str, value: str = "") -> None:
        """NotOffered when `features` lacks this (and, in a list there, this value); no word of it is no answer."""
        found: Any = self.program.features
        if found is None:
            return
        for name in path:
            if not isinstance(found, dict) or name not in found:
                return                          # features.md: what is absent is not told
            found = found[name]
        if found is False or found == [] or (value and isinstance(found, list) and value not in found):
            raise NotOffered(f"features: {'.'.join(path)}{f' has no {value}' if value else ' says no'}")

    def needs_controller(self, *names: str) -> None:
        if missing := set(names) - isolation.controllers():
            raise NotHere(f"no cgroup v2 controller {', '.join(sorted(missing))}")
        self.needs_cgroups()

    def needs_cgroups(self, files: bool = False) -> None:
        """NotHere when the runtime was told to make no cgroups; files: or to have systemd make them, where a path of
        folders is no cgroupsPath."""
        if self.program.without_cgroups or (files and self.program.systemd):
            raise NotHere(f"the runtime was given {' '.join(self.program.options)}")

    def needs_file(self, path: str) -> None:
        if not Path(path).exists():
            raise NotHere(f"no {path}")

    def tries(self, wanted: Sequence[T], seconds: float, least: int = 5) -> Iterator[T]:
        """Each of these in turn, as long as there is time, but so many at least; the verdict has how many it were.
        --timeout stretches the seconds."""
        end = patience.deadline(seconds)
        for number, one in enumerate(wanted):
            if number >= least and time.monotonic() > end:
                return
            self.tried = (number + 1, len(wanted))
            yield one

    # ---- bundles and containers -----------------------------------------------------------------------------------
    def config(self, **changes: Any) -> Config:
        own = {"linux": bundles.of_a_user(os.geteuid(), os.getegid())} if self.rootless else {}
        return bundles.merge(bundles.config(self.program.version, **own), changes)

    def bundle(self, **changes: Any) -> Path:
        """A new bundle with the usual config and these changes."""
        return bundles.write(self.place / f"bundle-{next(self._bundles)}", self.config(**changes))

    def decoy(self) -> Path:
        """A folder with a file, of the case's own: what a bind mount shows, and what a runtime may do harm to."""
        folder = self.place / "decoy"
        if not folder.exists():
            folder.mkdir(mode=0o755)
            (folder / "file").write_text("a decoy\n")
        return folder

    def new_id(self) -> str:
        """The id of the case, then others that begin with it."""
        self.ids.append(self.id + (f"-{len(self.ids)}" if self.ids else ""))
        return self.ids[-1]

    def cgroup(self, name: str) -> Path:
        """A cgroup that the case makes, and that goes away after it."""
        place = isolation.CGROUP / name
        place.mkdir(exist_ok=True)
        self.cgroups.append(place)
        return place

    def create(self, bundle: Path | None = None, *, pass_fds: Sequence[int] = (), id: str = "",
               **changes: Any) -> Container:
        """A created container. Fails when create fails."""
        bundle = bundle or self.bundle(**changes)
        id, file = id or self.new_id(), self.place / "pid"
        outcome = self.runtime.ok("create", "--bundle", bundle, "--pid-file", file, id, pass_fds=pass_fds)
        try:
            pid = int(file.read_text())
        except (OSError, ValueError) as error:
            raise Fails(f"create wrote no pid into --pid-file: {error}") from error
        return Container(self, id, pid, outcome)

    def running(self, **changes: Any) -> Container:
        """A started container that goes on until it is killed."""
        return self.create(**bundles.merge({"process": {"args": ["sleep", "600"]}}, changes)).start()

    def ended(self, **changes: Any) -> Container:
        """A container whose process has ended."""
        container = self.create(**changes).start()
        container.wait()
        self.runtime.wait_for(container.id, "stopped")
        return container

    def inside(self, script: str, bundle: Path | None = None, code: int | None = 0, **changes: Any) -> str:
        """What a shell script prints inside a container. Fails unless it ends with this exit code (None: any)."""
        changes = bundles.merge(changes, {"process": {"args": ["/bin/sh", "-c", script]}})
        if bundle is not None:
            bundles.write(bundle, self.config(**changes))
        container = self.create(bundle, **changes).start()
        status = container.wait()
        if code is not None and status != code:
            raise Fails(f"the container's process ended with {status}, not {code}: "
                        f"{container.outcome.stderr.strip()[-500:]}")
        container.delete()
        return container.output.rstrip("\n")

    def refused(self, bundle: Path | None = None, at_start: bool = False, **changes: Any) -> str:
        """The words with which create refuses this, after a look that no container is there.

        at_start: start may refuse it as well: what is known only when the program is there.
        """
        bundle, id = bundle or self.bundle(**changes), self.new_id()
        outcome = self.runtime("create", "--bundle", bundle, id)
        if outcome.status == 0 and at_start and (later := self.runtime("start", id)).status:
            return later.stderr
        if outcome.status == 0:
            raise Fails(f"create makes a container of it{' and start starts it' if at_start else ''}")
        if (state := self.runtime("state", id)).status == 0:
            raise Fails(f"create fails ({outcome.said}), and yet there is a container: {state.stdout[:300]}")
        if not outcome.stderr.strip():
            raise Fails("create fails without a word")
        return outcome.stderr

    def hook(self, script: str, reads: bool = False, **fields: Any) -> Config:
        """A hook in the runtime namespace or the container's: a shell with this script.

        reads: the script reads its standard input. Otherwise that is done before it, as runtimes differ in what they
        make of a hook that ends while they write.
        """
        script = script if reads else f"cat > /dev/null; {script}"
        env = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
        return {"path": "/bin/sh", "args": ["sh", "-c", script], "env": env, **fields}

    # ---- what was seen --------------------------------------------------------------------------------------------
    def equal(self, seen: object, wanted: object, what: str) -> None:
        if seen != wanted:
            raise Fails(f"{what}: seen {seen!r}, not {wanted!r}")

    def true(self, held: object, what: str) -> None:
        """Fails unless this holds; `what` says what is seen instead."""
        if not held:
            raise Fails(what)

    def error(self, *words: str | Path, what: str = "") -> Outcome:
        """A command that must fail, and say something. Fails when it ends with exit status 0."""
        outcome = self.runtime(*words)
        if outcome.status == 0:
            raise Fails(f"{what or ' '.join(map(str, words))}: exit status 0")
        return outcome

    def all(self, checks: Iterable[Callable[[], None]]) -> None:
        """Make every check, and tell all that fail at once."""
        told = []
        for check in checks:
            try:
                check()
            except Fails as failed:
                told.append(str(failed))
        if told:
            raise Fails("; ".join(told))


def status(pid: int | str = "self") -> Mapping[str, str]:
    """/proc/PID/status as a dictionary. Fails when the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError) as error:
        raise Fails(f"process {pid} is not there") from error
    return {name: " ".join(value.split()) for name, _, value in (line.partition(":") for line in lines)}


def namespace(kind: str, pid: int | str = "self") -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/{kind}")
    except (FileNotFoundError, ProcessLookupError) as error:
        raise Fails(f"process {pid} is not there") from error
