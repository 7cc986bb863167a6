"""Mutants of config-linux.md#intelrdt: what is done to groups before and after the real runtime."""
from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from .changes import drop, of
from .wrapper import Mutant, bundle_of

Deed = Callable[[str, dict[str, Any], str, list[str]], object]
RDT = "config_linux_md_resctrl"


def top() -> str:
    with open("/proc/self/mountinfo") as lines:
        return next((line.split()[4] for line in lines if line.partition(" - ")[2].split()[:1] == ["resctrl"]), "")


def at(wanted: str, deed: Deed) -> Callable[[str, list[str], list[str]], object]:
    """At this command call deed(where resctrl is, intelRdt, id, words), when there is such a thing."""
    def done(command: str, real: list[str], words: list[str]) -> None:
        if command != wanted or not top():
            return
        rdt = {}
        if command == "create":
            with open(os.path.join(bundle_of(words), "config.json")) as file:
                rdt = json.load(file)["linux"].get("intelRdt")
        try:
            deed(top(), rdt, words[-1], words)
        except OSError:
            pass                        # a container of another case, or one that was refused
    return done


def write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def moved(where: str, rdt: dict[str, Any] | None, id: str, words: list[str]) -> None:
    """The process is in the group of all others."""
    with open(words[words.index("--pid-file") + 1]) as file:
        write(f"{where}/tasks", file.read())


def moved_without(where: str, rdt: dict[str, Any] | None, id: str, words: list[str]) -> None:
    if rdt is None:
        moved(where, rdt, id, words)


def renamed(where: str, rdt: dict[str, Any], id: str, words: list[str]) -> None:
    """The group has another name."""
    file = os.path.join(bundle_of(words), "config.json")
    with open(file) as opened:
        config = json.load(opened)
    config["linux"]["intelRdt"].setdefault("closID", f"{id}-other")
    write(file, json.dumps(config))


def group_of(where: str, rdt: dict[str, Any], id: str) -> str:
    return f"{where}/{rdt.get('closID', id)}"


def again(*names: str) -> Deed:
    """These are written once more, behind all else."""
    def deed(where: str, rdt: dict[str, Any], id: str, words: list[str]) -> None:
        for name in names:
            write(f"{group_of(where, rdt, id)}/schemata", f"{rdt[name]}\n")
    return deed


def settles(where: str, rdt: dict[str, Any], id: str, words: list[str]) -> None:
    """A group that is there gets what it ought to have."""
    for name in ("l3CacheSchema", "memBwSchema"):
        if name in rdt and os.path.exists(group_of(where, rdt, id)):
            write(f"{group_of(where, rdt, id)}/schemata", f"{rdt[name]}\n")


def as_usual(where: str, rdt: dict[str, Any], id: str, words: list[str]) -> None:
    """A group of which nothing is to be set gets what the root has."""
    if not {"l3CacheSchema", "memBwSchema", "schemata"} & set(rdt):
        with open(f"{where}/schemata") as file:
            for line in file:
                write(f"{group_of(where, rdt, id)}/schemata", line)


def makes(where: str, rdt: dict[str, Any], id: str, words: list[str]) -> None:
    os.mkdir(group_of(where, rdt, id))


def stays(where: str, rdt: dict[str, Any], id: str, words: list[str]) -> None:
    os.mkdir(f"{where}/{id}")


def removes(where: str, rdt: dict[str, Any], id: str, words: list[str]) -> None:
    """All groups of the case."""
    for name in os.listdir(where):
        if name.startswith(id.partition("-")[0]):
            os.rmdir(f"{where}/{name}")


def monitoring_stays(where: str, rdt: dict[str, Any], id: str, words: list[str]) -> None:
    for name in os.listdir(where):
        if name.startswith(id.partition("-")[0]):
            os.mkdir(f"{where}/{name}/mon_groups/{id}")


def single(found: list[str]) -> list[str]:
    return [line for lines in found for line in lines.split("\n")]


MUTANTS = [
    *(Mutant(f"{name} is not written", f"{RDT}.group_of_the_container[{name}]", config=drop(f"linux.intelRdt.{name}"))
      for name in ("l3CacheSchema", "memBwSchema")),
    Mutant("the group has another name", f"{RDT}.group_of_the_container[l3CacheSchema]", before=at("create", renamed)),
    Mutant("the process is in no group", f"{RDT}.group_of_the_container[memBwSchema]", after=at("create", moved)),
    Mutant("the program's children are in no group", f"{RDT}.children_are_in_the_group", after=at("create", moved)),
    Mutant("the group stays", f"{RDT}.group_goes", after=at("delete", stays)),
    Mutant("l3CacheSchema is written behind memBwSchema", f"{RDT}.order_of_both", after=at("create", again(
        "l3CacheSchema"))),
    Mutant("schemata are written before the others", f"{RDT}.schemata_are_written_last",
           after=at("create", again("l3CacheSchema", "memBwSchema"))),
    Mutant("schemata are not written", f"{RDT}.schemata_alone", config=drop("linux.intelRdt.schemata")),
    *(Mutant(f"{what} is passed over", f"{RDT}.line_that_is_none[{what}]", config=drop("linux.intelRdt.memBwSchema"))
      for what in ("no MB:", "newline in memBwSchema")),
    Mutant("an element of schemata is several lines", f"{RDT}.line_that_is_none[newline in schemata]",
           config=of("linux.intelRdt.schemata", single)),
    Mutant("closID / is a group of its own", f"{RDT}.default_class", config=drop("linux.intelRdt.closID")),
    Mutant("a closID that is new is an error", f"{RDT}.class_that_is_new", config=drop("linux.intelRdt.l3CacheSchema")),
    Mutant("the group of closID goes with the container", f"{RDT}.class_stays", after=at("delete", removes)),
    *(Mutant(f"{name} of a group that is there is not compared", f"{RDT}.class_with_another_schema[{name}]",
             before=at("create", settles)) for name in ("l3CacheSchema", "memBwSchema")),
    Mutant("closID alone makes its group", f"{RDT}.class_alone", before=at("create", makes)),
    Mutant("schemata of closID alone are written", f"{RDT}.class_alone", after=at("create", as_usual)),
    Mutant("without intelRdt the process changes its group", f"{RDT}.nothing_without_it",
           after=at("create", moved_without)),
    *(Mutant(f"enableMonitoring is passed over{how}", f"{RDT}.monitoring_group{which}",
             config=drop("linux.intelRdt.enableMonitoring"))
      for how, which in (("", ""), (" where no group can be made", "_that_cannot_be_made"))),
    Mutant("the monitoring group stays", f"{RDT}.monitoring_group", after=at("delete", monitoring_stays)),
]
