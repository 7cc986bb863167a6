"""Commands on one id at the same time."""
from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from ...harness import leftovers, patience
from ...harness.trial import Trial
from ...model import OutOfTime, ask, ask_each

ROUNDS, AT_ONCE = range(10), 6
SECONDS = 25                    # in which a case begins rounds


def together(t: Trial, commands: Sequence[Sequence[str | Path]]) -> list[int]:
    """The exit statuses of commands that are begun at once. OutOfTime when one goes on for half a minute."""
    t.runtime.root.mkdir(mode=0o700, exist_ok=True)
    with open(t.place / "together", "ab") as out:
        running = [subprocess.Popen(t.runtime.argv(*words), stdin=subprocess.DEVNULL, stdout=out, stderr=out)
                   for words in commands]
        deadline = patience.deadline(30)
        try:
            return [process.wait(max(0.1, deadline - time.monotonic())) for process in running]
        except subprocess.TimeoutExpired:
            told = "; ".join(patience.doing(process.pid) for process in running if process.poll() is None)
            for process in running:
                process.kill()
                process.wait()
            raise OutOfTime(f"a command goes on after {patience.stretched(30):.0f} s: {told}") from None


def gone(t: Trial, id: str) -> None:
    """delete --force, and nothing is left."""
    leftovers.children()
    t.runtime.ok("delete", "--force", id, seconds=30)
    left = leftovers.look(id, t.runtime.root, 3)
    t.equal(left, [], "left after delete --force")
    del t.runtime.log[:-4]


@ask("race", "six creates of one id: exactly one makes the container", seconds=120)
def creates_of_one_id(t: Trial) -> None:
    """of several creates of one id at once one succeeds, the others are errors, and nothing of them is left"""
    bundle = t.bundle(process={"args": ["sleep", "600"]})
    for number in t.tries(ROUNDS, SECONDS, least=2):
        id = f"{t.id}-{number}"
        statuses = together(t, [["create", "--bundle", bundle, id]] * AT_ONCE)
        t.equal(statuses.count(0), 1, f"creates of one id that succeed, of {AT_ONCE}")
        t.equal(t.runtime.state(id)["status"], "created", "status")
        t.equal(len(leftovers.processes(id) or [0]), 1, "processes of it")
        gone(t, id)


@ask("race", "six starts: exactly one starts the container", seconds=120)
def starts_of_one_container(t: Trial) -> None:
    """of several starts at once one succeeds, and the program runs once"""
    for number in t.tries(ROUNDS, SECONDS, least=2):
        bundle, id = t.bundle(process={"args": ["sh", "-c", "echo ran >>/ran; exec sleep 600"]}), f"{t.id}-{number}"
        t.runtime.ok("create", "--bundle", bundle, id)
        statuses = together(t, [["start", id]] * AT_ONCE)
        t.equal(statuses.count(0), 1, f"starts that succeed, of {AT_ONCE}")
        t.true(patience.until((bundle / "rootfs/ran").exists, 10), "the program does not run")
        t.equal((bundle / "rootfs/ran").read_text(), "ran\n", "what the program has written")
        gone(t, id)


@ask("race", "deletes at once: none fails but for a container that is gone, and all is gone", seconds=120)
def deletes_of_one_container(t: Trial) -> None:
    """of several delete --force at once all end with 0, hooks run once, and nothing is left"""
    for number in t.tries(ROUNDS, SECONDS, least=2):
        hook = t.hook(f"echo ran >>{t.place}/hooks-{number}")
        id = f"{t.id}-{number}"
        t.runtime.ok("create", "--bundle", t.bundle(process={"args": ["sleep", "600"]}, hooks={"poststop": [hook]}), id)
        t.runtime.ok("start", id)
        statuses = together(t, [["delete", "--force", id]] * AT_ONCE)
        t.true(0 in statuses, f"exit statuses of deletes: {statuses}")
        t.equal((t.place / f"hooks-{number}").read_text(), "ran\n", "what the poststop hook has written")
        gone(t, id)


MIXED: dict[str, list[list[str]]] = {
    "start and delete": [["start", "ID"], ["delete", "--force", "ID"]],
    "start and kill": [["start", "ID"], ["kill", "ID", "KILL"]],
    "exec and delete": [["exec", "ID", "true"], ["delete", "--force", "ID"]],
    "exec and kill": [["exec", "ID", "true"], ["kill", "ID", "KILL"], ["exec", "ID", "true"]],
    "create and delete": [["create", "--bundle", "BUNDLE", "ID"], ["delete", "--force", "ID"]],
    "state, list and delete": [["state", "ID"], ["list"], ["delete", "--force", "ID"], ["list"]]}


@ask_each("race", {name: ("commands on one id at the same time", name) for name in MIXED}, seconds=120)
def mixed_commands(t: Trial, name: str) -> None:
    """whoever comes first, every command ends, and after delete --force nothing is left"""
    for number in t.tries(ROUNDS, SECONDS, least=2):
        id, bundle = f"{t.id}-{number}", t.bundle(process={"args": ["sleep", "600"]})
        if "create" not in name:
            t.runtime.ok("create", "--bundle", bundle, id)
            if "start" not in name:
                t.runtime.ok("start", id)
        words = [[word.replace("ID", id).replace("BUNDLE", str(bundle)) for word in command]
                 for command in MIXED[name]]
        statuses = together(t, words)
        # delete --force may end a create that goes on.
        t.true(all(status >= 0 for status in statuses[name == "create and delete":]),
               f"a command ends by a signal: {statuses}")
        if "list" in name:
            t.equal([statuses[1], statuses[3]], [0, 0], "exit statuses of list while a container is deleted")
        gone(t, id)


@ask("race", "containers that share a parent of their cgroups", seconds=120)
def containers_side_by_side(t: Trial) -> None:
    """containers that are made and deleted at once, below one cgroup, do not disturb each other"""
    bundle = t.bundle(linux={} if t.program.options else {"cgroupsPath": None})
    for _ in t.tries(range(3), SECONDS, least=1):
        ids = [f"{t.id}-{os.urandom(3).hex()}" for _ in range(AT_ONCE)]
        for words in (["create", "--bundle", str(bundle)], ["start"]):
            t.equal(together(t, [[*words, id] for id in ids]), [0] * AT_ONCE, f"exit statuses of {words[0]}")
        t.equal(together(t, [["delete", "--force", id] for id in ids]), [0] * AT_ONCE, "exit statuses of delete")
        for id in ids:
            t.equal(leftovers.look(id, t.runtime.root, 3), [], "left of it")
