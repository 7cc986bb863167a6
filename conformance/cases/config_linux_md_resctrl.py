"""config-linux.md#intelrdt, where resctrl is mounted: groups, their schemata, and who is in them."""
from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..harness import isolation, leftovers, patience
from ..harness.trial import Container, Trial
from ..model import NotHere, case, each

RDT = "config-linux.md#intelrdt"
Values = dict[str, int]
MOST = 2000         # groups that a processor has place for


def mounted(t: Trial) -> Path:
    """Where resctrl is. NotHere; NotOffered when the runtime says that it has nothing of it."""
    t.needs_feature("linux", "intelRdt", "enabled")
    found = isolation.resctrl()
    if found is None:
        raise NotHere("no resctrl is mounted (mount -t resctrl resctrl /sys/fs/resctrl, with a processor that has it)")
    return found


def schemata(group: Path) -> dict[str, Values]:
    """Resource -> domain -> value; masks are hexadecimal, bandwidths are not."""
    found = {}
    for line in (group / "schemata").read_text().splitlines():
        resource, _, domains = line.strip().partition(":")
        pairs = (domain.split("=") for domain in domains.split(";"))
        found[resource] = {number.strip(): int(value, 10 if resource.startswith("MB") else 16)
                           for number, value in pairs}
    return found


def line(top: Path, resource: str, less: int = 1) -> str:
    """A line of schemata that is not the usual one, for every domain: a mask that has `less` bits less than all, or a
    bandwidth that is so many steps below. NotHere."""
    whole = schemata(top).get(resource)
    if whole is None:
        raise NotHere(f"schemata has no {resource}")
    info = top / "info" / resource
    if resource == "MB":
        step, least = (int((info / name).read_text()) for name in ("bandwidth_gran", "min_bandwidth"))
        values = {number: str(value - less * step) for number, value in whole.items()}
        enough = min(whole.values()) - less * step >= least
    else:
        values = {number: f"{value >> less:x}" for number, value in whole.items()}
        least = int((info / "min_cbm_bits").read_text())
        enough = all((value >> less).bit_count() >= least for value in whole.values())
    if not enough:
        raise NotHere(f"{resource} cannot be less by {less}")
    return f"{resource}:" + ";".join(f"{number}={value}" for number, value in values.items())


def has(t: Trial, group: Path, *lines: str) -> None:
    """Fails unless the group's schemata has these lines."""
    found = schemata(group)
    for one in lines:
        resource, _, domains = one.partition(":")
        wanted = {number: int(value, 10 if resource == "MB" else 16)
                  for number, value in (domain.split("=") for domain in domains.split(";"))}
        t.equal(found.get(resource), wanted, f"{resource} in the schemata of {group.name}")


def inside(t: Trial, group: Path, pid: int) -> None:
    t.true(str(pid) in (group / "tasks").read_text().split(), f"the process is not in the tasks of {group}")


def prepared(t: Trial, top: Path, *lines: str) -> Path:
    """A group that another program has made. It goes away after the case."""
    group = top / f"{t.id}-prepared"
    group.mkdir()
    t.resctrl.append(group)
    for one in lines:
        (group / "schemata").write_text(f"{one}\n")
    return group


def named(t: Trial, top: Path) -> Path:
    """A group that a runtime is to make, and is not to remove."""
    group = top / f"{t.id}-named"
    t.resctrl.append(group)
    return group


def with_rdt(t: Trial, **rdt: Any) -> Container:
    return t.create(process={"args": ["sleep", "600"]}, linux={"intelRdt": rdt})


@each(RDT, {name: (("intelRdt", name, "without closID the group has the container's id", "either of them is written",
                    "the process's id is written to tasks"), name, resource)
            for name, resource in (("l3CacheSchema", "L3"), ("memBwSchema", "MB"))})
def group_of_the_container(t: Trial, name: str, resource: str) -> None:
    """Without closID the container is in a group with its id, which has the schema"""
    top = mounted(t)
    value = line(top, resource)
    made = with_rdt(t, **{name: value})
    t.true((top / made.id).is_dir(), f"no group {made.id}")
    inside(t, top / made.id, made.pid)
    has(t, top / made.id, value)


@case(RDT, "the process's id is written to tasks")
def children_are_in_the_group(t: Trial) -> None:
    """What the program has started is in the group, too: nothing of the container began before it was"""
    top = mounted(t)
    script = "sleep 600 & echo; wait"
    made = t.create(process={"args": ["sh", "-c", script]}, linux={"intelRdt": {"l3CacheSchema": line(top, "L3")}})
    made.start()
    children = Path(f"/proc/{made.pid}/task/{made.pid}/children")
    t.true(patience.until(lambda: children.read_text().split(), 10), "the program has no child")
    for pid in (made.pid, *map(int, children.read_text().split())):
        inside(t, top / made.id, pid)


@case(RDT, "its own group goes with the container")
def group_goes(t: Trial) -> None:
    """Without closID the group is removed with the container"""
    top = mounted(t)
    made = with_rdt(t, l3CacheSchema=line(top, "L3"))
    t.true((top / made.id).is_dir(), f"no group {made.id}")
    t.runtime.ok("delete", "--force", made.id)
    t.true(not (top / made.id).exists(), f"group {made.id} is there after delete")


@case(RDT, "l3CacheSchema is written before memBwSchema", "l3CacheSchema", "memBwSchema")
def order_of_both(t: Trial) -> None:
    """memBwSchema is written last: of two lines about bandwidth it is the one that counts"""
    top = mounted(t)
    first, last, masks = line(top, "MB", 2), line(top, "MB", 3), line(top, "L3")
    made = with_rdt(t, l3CacheSchema=masks, memBwSchema=last)
    has(t, top / made.id, masks, last)
    other = with_rdt(t, l3CacheSchema=first, memBwSchema=last)
    has(t, top / other.id, last)


@case(RDT, "schemata are written last", "schemata")
def schemata_are_written_last(t: Trial) -> None:
    """schemata has what counts, also beside l3CacheSchema and memBwSchema"""
    top = mounted(t)
    t.needs_spec("1.3.0")
    t.needs_feature("linux", "intelRdt", "schemata")
    masks, bandwidth = line(top, "L3", 2), line(top, "MB", 2)
    made = with_rdt(t, l3CacheSchema=line(top, "L3"), memBwSchema=line(top, "MB"), schemata=[masks, bandwidth])
    has(t, top / made.id, masks, bandwidth)


@case(RDT, "schemata", "either of them is written")
def schemata_alone(t: Trial) -> None:
    """Each element of schemata is a line of the group's"""
    top = mounted(t)
    t.needs_spec("1.3.0")
    t.needs_feature("linux", "intelRdt", "schemata")
    lines = [line(top, "L3", 2), line(top, "MB")]
    made = with_rdt(t, schemata=lines)
    has(t, top / made.id, *lines)


def _newline(top: Path, name: str) -> dict[str, Any]:
    both = f"{line(top, 'MB')}\n{line(top, 'L3')}"
    return {name: [both] if name == "schemata" else both}


WRONG: dict[str, tuple[str, Callable[[Path], dict[str, Any]]]] = {
    "no MB:": ("memBwSchema begins with MB:", lambda top: {"memBwSchema": line(top, "L3")}),
    "newline in memBwSchema": ("memBwSchema begins with MB:", lambda top: _newline(top, "memBwSchema")),
    "newline in schemata": ("schemata are single lines", lambda top: _newline(top, "schemata"))}


@each(RDT, WRONG)
def line_that_is_none(t: Trial, rdt: Callable[[Path], dict[str, Any]]) -> None:
    """A value that is not one line of its kind is an error"""
    top = mounted(t)
    found = rdt(top)
    if "schemata" in found:
        t.needs_spec("1.3.0")
    t.refused(linux={"intelRdt": found})
    t.true(not (top / t.ids[0]).exists(), "the group is there, and the container is not")


@case(RDT, "closID / is the default class", "closID")
def default_class(t: Trial) -> None:
    """closID / puts the container into the root of resctrl, whatever group its runtime is in"""
    top = mounted(t)
    group = prepared(t, top)
    (group / "tasks").write_text("0")                   # this process; what it starts is in it
    made = with_rdt(t, closID="/")
    inside(t, top, made.pid)


@case(RDT, "a missing closID directory is made", "closID", "either of them is written")
def class_that_is_new(t: Trial) -> None:
    """A group that closID names, and that is not there, is made, with the schema"""
    top = mounted(t)
    group, masks = named(t, top), line(top, "L3")
    made = with_rdt(t, closID=group.name, l3CacheSchema=masks)
    inside(t, group, made.pid)
    has(t, group, masks)


@case(RDT, "a group that closID names stays")
def class_stays(t: Trial) -> None:
    """A group that closID names is there after delete, be it new or not"""
    top = mounted(t)
    for group in (named(t, top), prepared(t, top, line(top, "L3"))):
        made = with_rdt(t, closID=group.name, l3CacheSchema=line(top, "L3"))
        t.runtime.ok("delete", "--force", made.id)
        t.true(group.is_dir(), f"group {group.name} has gone")


@each(RDT, {name: ("an existing closID directory is compared", name, resource)
            for name, resource in (("l3CacheSchema", "L3"), ("memBwSchema", "MB"))})
def class_with_another_schema(t: Trial, name: str, resource: str) -> None:
    """A group that is there has to have what config.json says, else it is an error; it stays as it is"""
    top = mounted(t)
    group = prepared(t, top, line(top, resource))
    t.refused(linux={"intelRdt": {"closID": group.name, name: line(top, resource, 2)}})
    has(t, group, line(top, resource))
    made = with_rdt(t, closID=group.name, **{name: line(top, resource)})
    inside(t, group, made.pid)


@case(RDT, "closID alone names a prepared group", "schemata is not written where nothing is set")
def class_alone(t: Trial) -> None:
    """closID alone names a group that is there: the container is in it, and its schemata stay; else it is an error"""
    top = mounted(t)
    group = prepared(t, top, line(top, "L3"))
    made = with_rdt(t, closID=group.name)
    inside(t, group, made.pid)
    has(t, group, line(top, "L3"))
    missing = named(t, top)
    t.refused(linux={"intelRdt": {"closID": missing.name}})
    t.true(not missing.exists(), "the group was made")


@case(RDT, "nothing is done where it is not set")
def nothing_without_it(t: Trial) -> None:
    """Without intelRdt the container is where its runtime is, and no group is made"""
    top = mounted(t)
    group = prepared(t, top, line(top, "L3"))
    (group / "tasks").write_text("0")
    made = t.create(process={"args": ["sleep", "600"]})
    inside(t, group, made.pid)
    has(t, group, line(top, "L3"))
    t.equal([path.name for path in top.iterdir() if leftovers.named(made.id).fullmatch(path.name)], [], "new groups")


def monitoring(t: Trial) -> Path:
    """Where resctrl is mounted, of a kernel and a runtime with groups that monitor."""
    top = mounted(t)
    t.needs_spec("1.3.0")
    t.needs_feature("linux", "intelRdt", "monitoring")
    t.needs_file(str(top / "mon_groups"))
    return top


@case(RDT, "enableMonitoring makes a MON group, which goes with the container", "enableMonitoring")
def monitoring_group(t: Trial) -> None:
    """enableMonitoring makes a group with the container's id in mon_groups, which goes with the container"""
    top = monitoring(t)
    group = named(t, top)
    for rdt, above in (({"closID": group.name}, group), ({}, None)):
        made = with_rdt(t, **rdt, l3CacheSchema=line(top, "L3"), enableMonitoring=True)
        monitor = (above or top / made.id) / "mon_groups" / made.id
        t.true(monitor.is_dir(), f"no group {monitor}")
        inside(t, monitor, made.pid)
        t.runtime.ok("delete", "--force", made.id)
        t.true(not monitor.exists(), f"group {monitor} is there after delete")


@case(RDT, "an error where the MON group cannot be made", "enableMonitoring")
def monitoring_group_that_cannot_be_made(t: Trial) -> None:
    """When there are as many groups as there can be, create is an error, and no container is left"""
    top = monitoring(t)
    group = prepared(t, top)
    for number in range(MOST):
        place = top / "mon_groups" / f"{t.id}-{number}"
        try:
            place.mkdir()
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            break
        t.resctrl.append(place)
    else:
        raise NotHere(f"more than {MOST} groups can be made")
    t.refused(linux={"intelRdt": {"closID": group.name, "enableMonitoring": True}})
