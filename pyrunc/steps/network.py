"""The network namespace: lo goes up, and the configured devices of the host move in."""
from __future__ import annotations

import errno
import posix

from ..engine.step import CHILD, Step
from ..errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..engine.facts import Facts
    from ..kernel.linux import Kernel
    from ..request import Request


class Loopback(Step):
    """A new network namespace has a lo that is down."""
    name = "network.loopback"
    spec = "config-linux.md#namespaces"
    side = CHILD

    def describe(self) -> str:
        return "set lo up"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.loopback_up()


class Move(Step):
    """Move a device of the host with its global addresses and its routes, and set it up.

    The undo moves it back while the init still lives. When the init is gone, the kernel has done so with a physical
    device already (under its new name), and there is no virtual one any more (network_namespaces(7)).
    """
    name = "network.device"
    spec = "config-linux.md#network-devices"
    device: str               # its name on the host
    inside: str               # its name in the container; may have %d

    def describe(self) -> str:
        name = f" as {self.inside}" if self.inside != self.device else ""
        return f"move network device {self.device} into the container{name}, with its addresses and routes"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        own, there = self.namespaces(kernel, facts)
        facts.keep(self, kernel.move_network_device(self.device, self.inside, own, there))
        kernel.close(own)
        kernel.close(there)

    def undo(self, kernel: Kernel, facts: Facts) -> None:
        if moved := facts.kept(self, ""):       # the name it got
            try:
                own, there = self.namespaces(kernel, facts)
                kernel.move_network_device(moved, self.device, there, own)
            except OSError as fault:
                if fault.errno not in (errno.ENOENT, errno.ESRCH, errno.ENODEV):
                    raise
            facts.keep(self, "")

    def namespaces(self, kernel: Kernel, facts: Facts) -> tuple[int, int]:
        """(the runtime's network namespace, the container's)."""
        return (kernel.open("/proc/self/ns/net", posix.O_RDONLY),
                kernel.open(f"/proc/{facts.pid}/ns/net", posix.O_RDONLY))


def loopback(want: Request) -> Iterator[Step]:
    """CHILD; a namespace that is joined is its owner's."""
    if "network" in (new := want.namespaces.new):
        yield Loopback(where=new["network"])


def devices(want: Request) -> Iterator[Step]:
    """PARENT, after the clone: only here are both namespaces in reach."""
    wanted = want.config.get("linux", {}).get("netDevices")
    if not wanted:
        return
    from ..config.where import at
    for device, entry in wanted.items():
        where = at("linux.netDevices", device)
        if not want.host.privileged:
            raise ConfigError("network devices can only be moved by a privileged runtime", where)
        yield Move(device=device, inside=entry.get("name") or device, where=where)
