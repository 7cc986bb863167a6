"""Moving a network device between two network namespaces, by rtnetlink(7) through pyroute2.

Loaded only for a config with linux.netDevices: importing pyroute2 takes as long as all the rest of create.
What a move does not keep by itself is read before and put back after: addresses are lost when a device changes its
namespace, routes when it goes down.
"""
from __future__ import annotations

import errno
import posix

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

CLONE_NEWNET = 0x40000000
# <linux/if_addr.h>, <linux/rtnetlink.h>
IFA_F_PERMANENT, RT_SCOPE_UNIVERSE, RT_TABLE_LOCAL, RTN_UNICAST = 0x80, 0, 255, 1
#: Flags of an address that are its owner's wish and not its state: NODAD, HOMEADDRESS, NOPREFIXROUTE, MCAUTOJOIN.
IFA_F_WISHES = 0x02 | 0x10 | 0x200 | 0x400
#: Routes of these origins make themselves: RTPROT_REDIRECT, RTPROT_KERNEL, RTPROT_RA.
SELF_MADE = (1, 2, 9)


def move(setns: Callable[[int, int], None], name: str, new_name: str, source: int, target: int) -> str:
    """Move device name of network namespace source to target, where it is new_name ("%d" in it: a number the kernel
    chooses); returns its name there. The caller's own namespace has to be one of the two, and is when this returns.

    OSError with the kernel's errno: ENODEV no such device, EEXIST the name is taken, EINVAL it cannot be moved.
    """
    try:
        here = IPRoute()                     # a netlink socket belongs to the namespace it was made in
        own = source if posix.fstat(source).st_ino == posix.stat("/proc/self/ns/net").st_ino else target
        setns(target if own == source else source, CLONE_NEWNET)
        try:
            there = IPRoute()
        finally:
            setns(own, CLONE_NEWNET)
        with here, there:
            outside, inside = (here, there) if own == source else (there, here)
            return _move(outside, inside, name, new_name, source, target)
    except NetlinkError as fault:
        number = abs(fault.code)
        raise OSError(number, posix.strerror(number), f"network device {name}") from None


def _move(outside: Any, inside: Any, name: str, new_name: str, source: int, target: int) -> str:
    indexes = outside.link_lookup(ifname=name)
    if not indexes:
        raise OSError(errno.ENODEV, posix.strerror(errno.ENODEV), f"network device {name}")
    # config-linux.md#network-devices: "If a network device with the specified name already exists in the container
    # namespace, the runtime MUST generate an error, unless the user has provided a template by appending %d". The
    # kernel would notice only when the device is there under its old name.
    if "%d" not in new_name and inside.link_lookup(ifname=new_name):
        raise OSError(errno.EEXIST, posix.strerror(errno.EEXIST), f"network device {new_name} in the container")
    index: int = indexes[0]
    addresses = [a for a in outside.get_addr(index=index) if _kept_address(a)]
    routes = [r for r in outside.get_routes() if r.get_attr("RTA_OIF") == index and _kept_route(r)]
    before = {link["index"] for link in inside.get_links()}
    outside.link("set", index=index, state="down")
    try:
        outside.link("set", index=index, net_ns_fd=target, ifname=new_name)
        link = next(link for link in inside.get_links() if link["index"] not in before)
    except NetlinkError:
        for link in inside.get_links():
            if link["index"] not in before:      # moved, but not renamed
                inside.link("set", index=link["index"], net_ns_fd=source, ifname=name)
        _restore(outside, outside.link_lookup(ifname=name)[0], name, addresses, routes)
        raise
    _restore(inside, link["index"], link.get_attr("IFLA_IFNAME"), addresses, routes)
    moved: str = link.get_attr("IFLA_IFNAME")
    return moved


def _kept_address(address: Any) -> bool:
    # config-linux.md#network-devices: "The runtime MUST preserve existing network interface attributes, including all
    # permanent IP addresses (IFA_F_PERMANENT flag) of any family with global scope (RT_SCOPE_UNIVERSE value)"
    flags = address.get_attr("IFA_FLAGS") or address["flags"]
    return bool(flags & IFA_F_PERMANENT) and address["scope"] == RT_SCOPE_UNIVERSE


def _kept_route(route: Any) -> bool:
    table = route.get_attr("RTA_TABLE") or route["table"]
    return table != RT_TABLE_LOCAL and route["type"] == RTN_UNICAST and route["proto"] not in SELF_MADE


def _restore(ip: Any, index: int, name: str, addresses: list[Any], routes: list[Any]) -> None:
    """Addresses, the device up, then its routes: those without a gateway first, for they lead to the gateways."""
    for address in addresses:
        _add_address(ip, index, name, address)
    # config-linux.md#network-devices: "The runtime MUST set the network device state to "up" after moving it"
    ip.link("set", index=index, state="up")
    for route in sorted(routes, key=lambda route: route.get_attr("RTA_GATEWAY") is not None):
        _add_route(ip, index, route)


def _add_address(ip: Any, index: int, name: str, address: Any) -> None:
    wanted: dict[str, Any] = {"index": index, "family": address["family"], "prefixlen": address["prefixlen"],
                              "scope": address["scope"], "address": address.get_attr("IFA_LOCAL")
                              or address.get_attr("IFA_ADDRESS")}
    if address.get_attr("IFA_LOCAL") and address.get_attr("IFA_ADDRESS") != address.get_attr("IFA_LOCAL"):
        wanted["local"], wanted["address"] = address.get_attr("IFA_LOCAL"), address.get_attr("IFA_ADDRESS")
    for key, attribute in (("broadcast", "IFA_BROADCAST"), ("priority", "IFA_RT_PRIORITY")):
        if (value := address.get_attr(attribute)) is not None:
            wanted[key] = value
    label = address.get_attr("IFA_LABEL")
    if label and ":" in label:               # eth0:1; without a number the label is the device's name anyway
        wanted["label"] = f"{name}:{label.partition(':')[2]}"[:15]
    flags = (address.get_attr("IFA_FLAGS") or address["flags"]) & IFA_F_WISHES
    if flags:
        wanted["flags"] = flags
    ip.addr("add", **wanted)


def _add_route(ip: Any, index: int, route: Any) -> None:
    wanted: dict[str, Any] = {"family": route["family"], "oif": index, "dst_len": route["dst_len"],
                              "table": route.get_attr("RTA_TABLE") or route["table"], "proto": route["proto"],
                              "scope": route["scope"], "type": route["type"], "tos": route["tos"],
                              "flags": route["flags"] & 0x4}      # RTNH_F_ONLINK
    for key, attribute in (("dst", "RTA_DST"), ("gateway", "RTA_GATEWAY"), ("prefsrc", "RTA_PREFSRC"),
                           ("priority", "RTA_PRIORITY")):
        if (value := route.get_attr(attribute)) is not None:
            wanted[key] = value
    if metrics := route.get_attr("RTA_METRICS"):
        wanted["metrics"] = {name.removeprefix("RTAX_").lower(): value for name, value in metrics["attrs"]}
    ip.route("add", **wanted)
