"""SIGKILL at every call of a command that changes something, then `delete --force`, then a look at what is left."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ...harness import leftovers
from ...harness.tracer import changes, killed_at, spread
from ...harness.trial import Container, Trial
from ...model import Fails, ask, ask_each

SECONDS = 75            # in which a case begins tries; a command has about 120 points
LEAST = 12              # of them are tried, however long it takes
LONG = ["sleep", "600"]
MODES = {"alone": False, "with its children": True}


@dataclass
class Tally:
    """How many points there were, and what was left at which."""
    command: str
    points: int = 0
    told: list[str] = field(default_factory=list)

    def judge(self) -> None:
        if not self.points:
            raise Fails(f"{self.command} makes no call that changes anything")
        if self.told:
            raise Fails(f"{len(self.told)} of {self.points} points of {self.command} leave something after "
                        f"delete --force: {'; '.join(self.told[:12])}")


def points(t: Trial, argv: list[str]) -> Iterator[int]:
    """The calls of a command at which it is to be killed. It is run to its end once, to count them."""
    return t.tries(spread(changes(argv)), SECONDS, LEAST)


def at_each_point(t: Trial, command: str, children: bool, begin: Callable[[], list[str]],
                  end: Callable[[], list[str]]) -> Tally:
    """begin: makes what the command needs, and says the command. It is killed, end: deletes, and says what is left."""
    tally = Tally(command)
    found = points(t, begin())
    if left := end():
        tally.told.append(f"not killed: {', '.join(left)}")
    for point in found:
        name = killed_at(begin(), point, children)
        left = end()
        if not name:
            continue                # it made fewer calls this time
        tally.points += 1
        if left:
            tally.told.append(f"{name} (call {point}): {', '.join(left)}")
    return tally


class Deleting:
    """A new id for each point, and its removal."""

    def __init__(self, t: Trial) -> None:
        self.t, self.number, self.id = t, 0, ""

    def new(self) -> str:
        self.number += 1
        self.id = f"{self.t.id}-{self.number}"
        return self.id

    def made(self, bundle: Path) -> Container:
        container = self.t.create(bundle, id=self.new())
        del self.t.runtime.log[:-4]
        return container

    def end(self) -> list[str]:
        """delete --force, and what is there after it; that is removed."""
        t = self.t
        leftovers.children()
        done = t.runtime("delete", "--force", self.id, seconds=30)
        del t.runtime.log[:-4]
        left = leftovers.look(self.id, t.runtime.root, 1.5)
        if done.status:
            left.append(f"delete --force ends with {done.status}: {done.stderr.strip()[-150:]}")
        if left:
            leftovers.clear(self.id, orphans=True)
            leftovers.forget(self.id, t.runtime.root)
        return [words.replace(self.id, "ID") for words in left]


def hooked(t: Trial) -> Path:
    return t.bundle(process={"args": LONG}, hooks={"createRuntime": [t.hook("true")]})


@ask_each("crash", {mode: ("SIGKILL at each change that create makes", children) for mode, children in MODES.items()},
          seconds=300)
def create(t: Trial, children: bool) -> None:
    """delete --force removes what is left of it, process, cgroup and files"""
    bundle, deleting = hooked(t), Deleting(t)
    at_each_point(t, "create", children, lambda: t.runtime.argv("create", "--bundle", bundle, deleting.new()),
                  deleting.end).judge()


@ask_each("crash", {mode: ("SIGKILL at each change that start makes", children) for mode, children in MODES.items()},
          seconds=300)
def start(t: Trial, children: bool) -> None:
    """delete --force removes the container, started or not"""
    bundle, deleting = hooked(t), Deleting(t)
    at_each_point(t, "start", children, lambda: t.runtime.argv("start", deleting.made(bundle).id), deleting.end).judge()


@ask_each("crash", {mode: ("SIGKILL at each change that exec makes", children) for mode, children in MODES.items()},
          seconds=300)
def exec(t: Trial, children: bool) -> None:
    """the container goes on, another exec works, and delete --force removes all of it"""
    deleting = Deleting(t)
    made = deleting.made(t.bundle(process={"args": LONG})).start()

    def end() -> list[str]:
        status = t.runtime.state(made.id)["status"]
        del t.runtime.log[:-4]
        return [] if status == "running" else [f"the container is {status}"]
    tally = at_each_point(t, "exec", children, lambda: t.runtime.argv("exec", made.id, "true"), end)
    done = t.runtime("exec", made.id, "true", seconds=30)
    if done.status:
        tally.told.append(f"exec afterwards: {done.said}")
    tally.told += deleting.end()
    tally.judge()


@ask_each("crash", {mode: ("SIGKILL at each change that delete --force makes", children)
                    for mode, children in MODES.items()}, seconds=300)
def delete(t: Trial, children: bool) -> None:
    """another delete --force removes what is left"""
    bundle, deleting = hooked(t), Deleting(t)
    at_each_point(t, "delete --force", children, lambda: t.runtime.argv(
        "delete", "--force", deleting.made(bundle).start().id), deleting.end).judge()


@ask("crash", "SIGKILL at each change that delete of a stopped container makes", seconds=300)
def delete_of_a_stopped_container(t: Trial) -> None:
    """delete --force removes what is left, and the id can be taken again"""
    bundle, deleting = t.bundle(process={"args": ["true"]}), Deleting(t)

    def begin() -> list[str]:
        made = deleting.made(bundle).start()
        made.wait()
        t.runtime.wait_for(made.id, "stopped")
        return t.runtime.argv("delete", made.id)
    tally = at_each_point(t, "delete", False, begin, deleting.end)
    tally.judge()
    again = t.create(bundle, id=deleting.id).start()
    t.equal(again.wait(), 0, "exit code of another container with the id of the last one")
    again.delete()


@ask("crash", "a create that was killed at any change keeps its id from no other container", seconds=300)
def id_of_a_create_that_was_killed(t: Trial) -> None:
    """after delete --force another container with the same id is made and runs"""
    bundle, id = t.bundle(), f"{t.id}-1"
    tally = Tally("create")

    def deleted() -> None:
        leftovers.children()
        t.runtime("delete", "--force", id, seconds=30)
        leftovers.clear(id, orphans=True)                # what is left of it is told by another case
    found = points(t, t.runtime.argv("create", "--bundle", bundle, id))
    deleted()
    for point in found:
        name = killed_at(t.runtime.argv("create", "--bundle", bundle, id), point, False)
        deleted()
        if not name:
            continue
        tally.points += 1
        made = t.runtime("create", "--bundle", bundle, id, seconds=30)
        if made.status:
            tally.told.append(f"{name} (call {point}): create again: {made.stderr.strip()[-120:]}")
            leftovers.forget(id, t.runtime.root)
        deleted()
        del t.runtime.log[:-4]
    tally.judge()
