"""What a container has sent and received, by interface, as its network namespace counts it (proc_pid_net(5))."""
from __future__ import annotations

import os
from dataclasses import dataclass

#: It leads to nobody else, and every namespace has one.
LOOPBACK = "lo"


@dataclass(frozen=True)
class Interface:
    """One interface; bytes, packets, errors and packets that were dropped, in both directions."""
    name: str
    received_bytes: int
    received_packets: int
    received_errors: int
    received_dropped: int
    sent_bytes: int
    sent_packets: int
    sent_errors: int
    sent_dropped: int


def space(pid: int | str) -> int:
    """What tells the network namespace of a process from others that are there; 0 when it cannot be seen."""
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino
    except OSError:
        return 0


def read(pid: int | str) -> list[Interface]:
    """The interfaces in the namespace of a process, without loopback; none when it has ended."""
    try:
        with open(f"/proc/{pid}/net/dev", "rb", buffering=0) as file:
            return interfaces(file.read().decode(errors="replace"))
    except OSError:
        return []


def interfaces(text: str) -> list[Interface]:
    """Of the text of net/dev: two lines of titles, then eight counters each of what came and of what went."""
    found = []
    for line in text.splitlines()[2:]:
        name, _, fields = line.strip().rpartition(":")
        counters = fields.split()
        if name != LOOPBACK and len(counters) >= 12:
            found.append(Interface(name, *map(int, (*counters[:4], *counters[8:12]))))
    return found
