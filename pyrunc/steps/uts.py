"""The names of the container in its uts namespace."""
from __future__ import annotations

from ..engine.step import CHILD, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..engine.facts import Facts
    from ..kernel.linux import Kernel
    from ..request import Request


class Hostname(Step):
    """sethostname(2)."""
    name = "uts.hostname"
    spec = "config.md#hostname"
    side = CHILD
    hostname: str

    def describe(self) -> str:
        return f"set hostname {self.hostname}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.sethostname(self.hostname)


class Domainname(Step):
    """setdomainname(2): the NIS name, not that of DNS."""
    name = "uts.domainname"
    spec = "config.md#domainname"
    side = CHILD
    domainname: str

    def describe(self) -> str:
        return f"set domainname {self.domainname}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.setdomainname(self.domainname)


def all(want: Request) -> Iterator[Step]:
    """CHILD. An empty name asks for nothing, as in runc: there is no host without one."""
    if want.config.get("hostname"):
        yield Hostname(hostname=want.config["hostname"], where="hostname")
    if want.config.get("domainname"):
        yield Domainname(domainname=want.config["domainname"], where="domainname")
