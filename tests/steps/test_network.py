"""Network devices that move in, with all that belongs to them, and back out when create fails."""
from __future__ import annotations

import errno
import json
import os
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from pyrunc.engine.facts import Facts
from pyrunc.errors import ConfigError
from pyrunc.host import Host
from pyrunc.kernel.linux import Kernel
from pyrunc.kernel.recorder import Recorder
from pyrunc.options import Options
from pyrunc.request import Request
from pyrunc.steps import network

from ..forked import forked

CLONE_NEWNET = 0x40000000
ROOT = Host()


def config(*namespaces: dict[str, str], **devices: Any) -> Any:
    return {"linux": {"namespaces": [*namespaces], "netDevices": devices}}


# ---- the plan -----------------------------------------------------------------------------------------------------

def test_lo_goes_up_in_a_new_namespace_only() -> None:
    new, joined = {"type": "network"}, {"type": "network", "path": "/run/netns/x"}
    (step,) = network.loopback(Request(config({"type": "pid"}, new), Options(), ROOT))
    assert (step.name, step.side, step.where) == ("network.loopback", "child", "linux.namespaces[1]")
    kernel = Recorder()
    step.apply(kernel, Facts())
    assert kernel.calls == [("loopback_up",)]
    for without in (config(joined), config()):
        assert [*network.loopback(Request(without, Options(), ROOT))] == []


def test_each_device_is_a_step_that_can_be_undone() -> None:
    given = config({"type": "network"}, eth0={"name": "inside"}, eth1={}, **{"a-b": {"name": ""}})
    made = list(network.devices(Request(given, Options(), ROOT)))
    assert [(step.name, step.side, step.where) for step in made] == [
        ("network.device", "parent", "linux.netDevices.eth0"), ("network.device", "parent", "linux.netDevices.eth1"),
        ("network.device", "parent", 'linux.netDevices["a-b"]')]
    assert made[0].describe() == "move network device eth0 into the container as inside, with its addresses and routes"
    assert made[1].describe() == "move network device eth1 into the container, with its addresses and routes"
    kernel, facts = Recorder(), Facts()
    facts.pid = 4242
    made[0].undo(kernel, facts)
    assert kernel.calls == []                    # what was not done is not undone
    made[0].apply(kernel, facts)
    assert kernel.calls[:3] == [("open", "/proc/self/ns/net", 0, 0, -100), ("open", "/proc/4242/ns/net", 0, 0, -100),
                                ("move_network_device", "eth0", "inside", 100, 101)]
    made[0].undo(kernel, facts)
    made[0].undo(kernel, facts)
    assert [call for call in kernel.calls if call[0] == "move_network_device"][1:] == [
        ("move_network_device", "inside", "eth0", 103, 102)]


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ENODEV, errno.ESRCH])
def test_an_undo_after_the_init_is_gone_is_fine(number: int) -> None:
    (step,) = network.devices(Request(config({"type": "network"}, eth0={}), Options(), ROOT))
    kernel, facts = Recorder(errors={"move_network_device": [0, number]}), Facts()
    step.apply(kernel, facts)
    step.undo(kernel, facts)


def test_only_a_privileged_runtime_moves_devices() -> None:
    for host in (Host(euid=1000), Host(in_userns=True)):
        with pytest.raises(ConfigError, match="privileged") as caught:
            list(network.devices(Request(config({"type": "network"}, eth0={}), Options(), host)))
        assert caught.value.where == "linux.netDevices.eth0"


# ---- on the real kernel ---------------------------------------------------------------------------------------------

def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def with_two_namespaces(act: Callable[[Callable[[str, str], str], Callable[..., Any]], Any]) -> Any:
    """act(move, inside) where move(name, new name) moves between two new namespaces, and inside(command...) runs ip -j
    in the second one. In the first are veth0, with an address and a route of each kind, and its peer veth1."""
    def child() -> Any:
        kernel = Kernel()
        for command in ("link add veth0 type veth peer name veth1",
                        "addr add 10.1.2.3/24 brd + label veth0:7 dev veth0",
                        "addr add 10.9.0.1 peer 10.9.0.2/32 dev veth0", "addr add 169.254.7.7/16 scope link dev veth0",
                        "addr add fd00::5/64 nodad dev veth0", "link set veth0 mtu 1400 address 02:00:00:00:00:07 up",
                        "link set veth1 up", "route add 10.50.0.0/16 via 10.1.2.1 metric 77",
                        "route add default via 10.1.2.254 table 100 mtu 1300", "route add 10.60.0.0/16 dev veth0",
                        "-6 route add fd01::/64 via fd00::1"):
            run("ip", *command.split(" "))
        (ready, tell), (wait, _hold) = os.pipe(), os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(_hold)
            kernel.unshare(CLONE_NEWNET)
            kernel.loopback_up()
            os.write(tell, b"x")
            os.read(wait, 1)
            os._exit(0)
        assert os.read(ready, 1)
        own, there = os.open("/proc/self/ns/net", os.O_RDONLY), os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)

        def inside(*command: str) -> Any:
            return json.loads(run("nsenter", "-t", str(pid), "-n", "ip", "-j", *command) or "[]")
        try:
            return act(lambda name, new, back=False: kernel.move_network_device(  # type: ignore[misc]
                name, new, there if back else own, own if back else there), inside)
        finally:
            assert os.readlink("/proc/self/ns/net") == os.readlink(f"/proc/self/fd/{own}")
            os.close(_hold)
            os.waitpid(pid, 0)
    return forked(child, CLONE_NEWNET)


def routes(ip: Callable[..., Any]) -> list[str]:
    """Static routes as text, sorted."""
    return sorted(f"{r['dst']} {r.get('gateway', '-')} {r.get('metric', '-')} {r.get('metrics', '-')}"
                  for arguments in (("route",), ("route", "show", "table", "100"), ("-6", "route"))
                  for r in ip(*arguments) if r.get("protocol") != "kernel")


def addresses(ip: Callable[..., Any], device: str) -> list[str]:
    (link,) = ip("addr", "show", "dev", device)
    return sorted(f"{a.get('label')} {a['local']}/{a['prefixlen']} {a.get('address')} {a.get('broadcast')}"
                  for a in link["addr_info"] if a["scope"] == "global")


def ip_here(*arguments: str) -> Any:
    return json.loads(run("ip", "-j", *arguments) or "[]")


@pytest.mark.spec("config-linux.md#network-devices", "permanent addresses of global scope stay", "the device is up")
def test_addresses_routes_and_attributes_move_along() -> None:
    # config-linux.md#network-devices: "The runtime MUST preserve existing network interface attributes, including all
    # permanent IP addresses of any family with global scope" and "MUST set the network device state to "up""
    def act(move: Any, inside: Any) -> Any:
        before = addresses(ip_here, "veth0"), routes(ip_here)
        assert len(before[0]) == 3 and len(before[1]) == 4
        name = move("veth0", "eth0")
        (link,) = inside("link", "show", "dev", "eth0")
        assert "veth0" not in run("ip", "link").replace("veth1@veth0", "")
        return name, before, (addresses(inside, "eth0"), routes(inside)), link
    name, before, after, link = with_two_namespaces(act)
    assert name == "eth0" and "UP" in link["flags"] and link["mtu"] == 1400 and link["address"] == "02:00:00:00:00:07"
    assert after == ([line.replace("veth0", "eth0") for line in before[0]], before[1])


def test_there_and_back_again_is_as_before() -> None:
    def act(move: Any, inside: Any) -> Any:
        before = addresses(ip_here, "veth0"), routes(ip_here)
        move("veth0", "eth0")
        move("eth0", "veth0", True)
        return before, (addresses(ip_here, "veth0"), routes(ip_here)), [link["ifname"] for link in inside("link")]
    before, after, left = with_two_namespaces(act)
    assert before == after and left == ["lo"]


@pytest.mark.spec("config-linux.md#network-devices", "permanent addresses of global scope stay")
def test_addresses_of_other_scopes_stay_behind() -> None:
    def act(move: Any, inside: Any) -> Any:
        move("veth0", "veth0")
        (link,) = inside("addr", "show", "dev", "veth0")
        return [a["local"] for a in link["addr_info"] if a["family"] == "inet"]
    assert sorted(with_two_namespaces(act)) == ["10.1.2.3", "10.9.0.1"]


@pytest.mark.spec("config-linux.md#network-devices", "a name with %d gets a number from the kernel")
def test_a_template_lets_the_kernel_choose_the_name() -> None:
    # config-linux.md#network-devices: "In that case, the runtime MUST allow the move, and the kernel will generate a
    # unique name for the interface within the container's network namespace."
    def act(move: Any, inside: Any) -> Any:
        return move("veth0", "eth%d"), move("veth1", "eth%d"), sorted(link["ifname"] for link in inside("link"))
    assert with_two_namespaces(act) == ("eth0", "eth1", ["eth0", "eth1", "lo"])


@pytest.mark.spec("config-linux.md#network-devices", "whether the move is possible is checked",
                  "a name that is taken is an error")
@pytest.mark.parametrize(("name", "new", "number", "said"), [
    ("veth0", "lo", errno.EEXIST, "network device lo in the container"),
    ("nope", "x", errno.ENODEV, "network device nope"), ("lo", "lo2", errno.EINVAL, "network device lo")])
def test_what_cannot_be_moved_stays_as_it_is(name: str, new: str, number: int, said: str) -> None:
    # config-linux.md#network-devices: "If a network device with the specified name already exists in the container
    # namespace, the runtime MUST generate an error"
    def act(move: Any, inside: Any) -> Any:
        before = addresses(ip_here, "veth0"), routes(ip_here), [link["ifname"] for link in ip_here("link")]
        with pytest.raises(OSError) as caught:
            move(name, new)
        after = addresses(ip_here, "veth0"), routes(ip_here), [link["ifname"] for link in ip_here("link")]
        return caught.value.errno, caught.value.filename, before == after, [link["ifname"] for link in inside("link")]
    assert with_two_namespaces(act) == (number, said, True, ["lo"])


def test_a_device_that_moved_but_could_not_be_renamed_comes_back() -> None:
    """An alternative name is taken, too, and the kernel finds out when the device is over there already."""
    def act(move: Any, inside: Any) -> Any:
        inside("link", "property", "add", "dev", "lo", "altname", "taken")
        before = addresses(ip_here, "veth0"), routes(ip_here)
        with pytest.raises(FileExistsError):
            move("veth0", "taken")
        return before == (addresses(ip_here, "veth0"), routes(ip_here)), [link["ifname"] for link in inside("link")]
    assert with_two_namespaces(act) == (True, ["lo"])
