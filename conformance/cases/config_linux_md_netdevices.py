"""config-linux.md: network devices. They are dummies, in a network namespace that the case makes for its runtime."""
from __future__ import annotations

import subprocess
from typing import Any

from ..harness import isolation
from ..harness.trial import Trial
from ..model import NotHere, case

CHAPTER = "config-linux.md#network-devices"
CLONE_NEWNET = 0x40000000


def ip(*words: str) -> str:
    """The command ip of this machine. NotHere when it fails: no dummies, or no command."""
    try:
        done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise NotHere("no command ip") from error
    if done.returncode:
        raise NotHere(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def devices(t: Trial, *names: str) -> None:
    """From here on the runtime's network namespace is new, and has these devices."""
    t.needs_spec("1.3.0")
    t.needs_feature("linux", "netDevices", "enabled")
    isolation.call("unshare", CLONE_NEWNET)
    for name in names:
        try:
            ip("link", "add", name, "type", "dummy")
        except NotHere:
            ip("link", "add", name, "type", "ifb")      # as harmless, and in other kernels


def links(t: Trial, wanted: dict[str, Any], script: str = "ip -o link show") -> str:
    return t.inside(script, linux={"netDevices": wanted})


@case(CHAPTER, "listed network devices are there", "netDevices", "the device is up")
def device_moves(t: Trial) -> None:
    """A listed device is in the container, and up; it is not in the runtime's namespace any more"""
    devices(t, "mine0", "other0")
    made = t.running(linux={"netDevices": {"mine0": {}}})
    t.true("mine0" not in ip("-o", "link", "show"), "the device is still outside")
    t.true("other0" in ip("-o", "link", "show"), "a device that is not listed has gone")
    inside = subprocess.run(["nsenter", "-t", str(made.pid), "-n", "ip", "-o", "link", "show"], capture_output=True,
                            text=True, check=False).stdout
    line = next((line for line in inside.splitlines() if "mine0" in line), "")
    t.true(line, f"no mine0 in the container: {inside}")
    t.true("UP" in line.partition("<")[2].partition(">")[0].split(","), f"mine0 is not up: {line}")


@case(CHAPTER, "name")
def device_gets_a_name(t: Trial) -> None:
    """A device has in the container the name that its entry says"""
    devices(t, "mine0")
    said = links(t, {"mine0": {"name": "eth7"}})
    t.true("eth7" in said and "mine0" not in said, f"devices are {said!r}")


@case(CHAPTER, "permanent addresses of global scope stay", "nothing else is done to the device")
def addresses_stay(t: Trial) -> None:
    """A permanent address of global scope is there afterwards, and no other one or route is"""
    devices(t, "mine0")
    ip("address", "add", "192.0.2.7/24", "dev", "mine0")
    ip("link", "set", "mine0", "mtu", "1300")
    said = links(t, {"mine0": {}}, "ip -o -4 address show dev mine0; ip -o link show mine0; ip route")
    t.true("192.0.2.7/24" in said, f"addresses are {said!r}")
    t.true("mtu 1300" in said, f"the mtu has changed: {said!r}")
    t.true("default" not in said, f"there is a default route: {said!r}")


@case(CHAPTER, "a name that is taken is an error")
def name_that_is_taken(t: Trial) -> None:
    """A name that the container's namespace has already is an error, and the device stays where it is"""
    devices(t, "mine0")
    t.refused(linux={"netDevices": {"mine0": {"name": "lo"}}})
    t.true("mine0" in ip("-o", "link", "show"), "the device has gone")


@case(CHAPTER, "whether the move is possible is checked")
def device_that_cannot_move(t: Trial) -> None:
    """A device that is not there, or cannot leave its namespace, is an error"""
    devices(t)
    t.refused(linux={"netDevices": {"nothere0": {}}})
    t.refused(linux={"netDevices": {"lo": {"name": "eth0"}}})


@case(CHAPTER, "a name with %d gets a number from the kernel")
def name_with_a_number(t: Trial) -> None:
    """A name with %d is given a number by the kernel"""
    devices(t, "mine0")
    said = links(t, {"mine0": {"name": "eth%d"}})
    t.true("eth0" in said, f"devices are {said!r}")


@case(CHAPTER, "devices are not moved back")
def device_is_not_moved_back(t: Trial) -> None:
    """After delete the device is not in the runtime's namespace: the kernel has ended it with the container's"""
    devices(t, "mine0")
    links(t, {"mine0": {}})
    t.true("mine0" not in ip("-o", "link", "show"), "the device is back")
