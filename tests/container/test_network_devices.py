"""Network devices that move into a container: what it finds, and what becomes of them.

The runtime's network namespace is one of its own here, with a pair of devices in it: eth0, which has an address of each
scope and routes, and its peer.
"""
from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import bundles
from tests.bundles import docker_like, merge, namespaces
from tests.runtimes import Runtime

CHAPTER = "config-linux.md#network-devices"
SETUP = ("link add eth0 type veth peer name peer0", "link set eth0 mtu 1400 address 02:00:00:00:00:07",
         "addr add 10.1.2.3/24 dev eth0", "addr add 169.254.7.7/16 scope link dev eth0",
         "addr add fd00::5/64 nodad dev eth0", "link set eth0 up", "link set peer0 up",
         "route add 10.50.0.0/16 via 10.1.2.1 metric 77", "route add default via 10.1.2.254")


class Space:
    """A network namespace, kept by a process."""

    def __init__(self) -> None:
        self.holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec sleep 1000"],
                                       stdout=subprocess.PIPE)
        assert self.holder.stdout and self.holder.stdout.readline()
        self.enter = ["nsenter", "-t", str(self.holder.pid), "--net"]
        for words in SETUP:
            self.ip(*words.split())

    def ip(self, *words: str) -> Any:
        done = subprocess.run([*self.enter, "ip", "-json", *words], capture_output=True, text=True, check=True)
        return json.loads(done.stdout or "[]")

    def devices(self) -> set[str]:
        return {link["ifname"] for link in self.ip("link")}

    def close(self) -> None:
        self.holder.kill()
        self.holder.wait()
        assert self.holder.stdout
        self.holder.stdout.close()


@pytest.fixture
def space(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> Iterator[Space]:
    """The runtime is called in this namespace."""
    space = Space()
    argv = runtime.argv
    monkeypatch.setattr(runtime, "argv", lambda *words: [*space.enter, *argv(*words)])
    yield space
    space.close()


def config(devices: dict[str, dict[str, str]], *args: str, **changes: Any) -> bundles.Config:
    return merge(docker_like(process={"args": list(args)}, linux={"netDevices": devices}), changes)


SCRIPT = "ip -o addr show; ip -o -6 addr show; ip route; cat /sys/class/net/$0/address /sys/class/net/$0/mtu"


# config-linux.md#network-devices: "A set of network devices that MUST be made available in the container." "… preserve
# existing network interface attributes, including all permanent IP addresses (IFA_F_PERMANENT flag) of any family with
# global scope"; "The runtime MUST set the network device state to "up" after moving it"
@pytest.mark.spec(CHAPTER, "netDevices", "name", "listed network devices are there", "the device is up",
                  "permanent addresses of global scope stay", "a name with %d gets a number from the kernel")
@pytest.mark.parametrize(("given", "inside"), [({"name": "net0"}, "net0"), ({}, "eth0"), ({"name": "lan%d"}, "lan0")])
def test_from_inside(given: dict[str, str], inside: str, space: Space, runtime: Runtime, place: Path,
                     name: str) -> None:
    bundle = bundles.bundle(place / "bundle", config({"eth0": given}, "sh", "-c", SCRIPT, inside))
    outcome = runtime.run(name, bundle)
    assert outcome.status == 0, outcome.stderr
    said = outcome.stdout
    assert f"inet 10.1.2.3/24 scope global {inside}" in said and "inet6 fd00::5/64 scope global" in said
    assert "169.254.7.7" not in said
    assert f"default via 10.1.2.254 dev {inside}" in said
    assert f"10.50.0.0/16 via 10.1.2.1 dev {inside}  metric 77" in said
    assert said.splitlines()[-2:] == ["02:00:00:00:00:07", "1400"]


# "The runtime MUST NOT actively manage the interface's lifecycle and configuration within the container's network
# namespace."; "The runtime MUST NOT attempt to move the interface out of the namespace before deletion."
@pytest.mark.spec(CHAPTER, "nothing else is done to the device", "devices are not moved back")
def test_what_the_container_does_with_it_is_its_own(space: Space, runtime: Runtime, place: Path, name: str) -> None:
    capabilities = [*bundles.CAPABILITIES, "CAP_NET_ADMIN"]
    bundle = bundles.bundle(place / "bundle", config(
        {"eth0": {}}, "sh", "-c", "ip addr del 10.1.2.3/24 dev eth0; exec sleep 1000",
        process={"capabilities": dict.fromkeys(("bounding", "effective", "permitted"), capabilities)}))
    init = runtime.create(name, bundle)
    assert space.devices() == {"lo", "peer0"}
    runtime.ok("start", name)
    show = ["nsenter", "-t", str(init.pid), "--net", "ip", "-o", "addr", "show", "dev", "eth0",
            "scope", "global"]                        # that of the link comes and settles in its own time
    while "10.1.2.3" in (said := subprocess.run(show, capture_output=True, text=True, check=True).stdout):
        pass
    assert "fd00::5" in said
    runtime.ok("exec", name, "true")
    assert subprocess.run(show, capture_output=True, text=True, check=True).stdout == said
    # It goes with the namespace, as the kernel has it for virtual devices, and does not come back.
    runtime.ok("delete", "--force", name)
    init.wait()
    assert "eth0" not in space.devices()


# "If a network device with the specified name already exists in the container namespace, the runtime MUST generate an
# error"; "The runtime MUST check if moving the network interface to the container namespace is possible."
@pytest.mark.spec(CHAPTER, "whether the move is possible is checked", "a name that is taken is an error")
@pytest.mark.spec("runtime.md#errors", "an error leaves everything as it was")
@pytest.mark.parametrize(("devices", "said"), [
    ({"eth0": {"name": "lo"}}, "file exists"), ({"nosuch": {}}, "no such device"),
    ({"eth0": {}, "nosuch": {}}, "no such device")])
def test_what_cannot_be_moved(devices: dict[str, Any], said: str, space: Space, runtime: Runtime, place: Path,
                              name: str) -> None:
    def seen() -> Any:
        [link] = space.ip("addr", "show", "dev", "eth0")
        return (sorted({*link["flags"]} - {"NO-CARRIER", "LOWER_UP"}), link["mtu"], link["address"],
                sorted(address["local"] for address in link["addr_info"] if address["scope"] == "global"),
                sorted((route["dst"], route.get("gateway"), route.get("metric")) for route in space.ip("route")
                       if route["dst"] != "169.254.0.0/16"))      # of the address that never goes along
    bundle = bundles.bundle(place / "bundle", config(devices, "true"))
    before = seen()
    outcome = runtime("create", "--bundle", bundle, name)
    assert outcome.status == 1 and said in outcome.stderr, outcome.stderr
    assert seen() == before


@pytest.mark.spec(CHAPTER, "whether the move is possible is checked")
def test_into_a_joined_namespace(space: Space, runtime: Runtime, place: Path, name: str) -> None:
    target = Space()
    try:
        spaces = [*namespaces("pid", "mount", "uts", "ipc"),
                  {"type": "network", "path": f"/proc/{target.holder.pid}/ns/net"}]
        bundle = bundles.bundle(place / "bundle", config({"eth0": {}}, "true", linux={"namespaces": spaces}))
        outcome = runtime("create", "--bundle", bundle, name)
        assert outcome.status == 1 and "file exists" in outcome.stderr       # it has an eth0 already
        target.ip("link", "del", "eth0")
        assert runtime.run(name, bundle).status == 0
        assert "eth0" in target.devices() and "eth0" not in space.devices()
    finally:
        target.close()


