"""The names of the container in its uts namespace."""
from __future__ import annotations

from ..engine.step import CHILD, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..config.types import Config
    from ..engine.facts import Facts
    from ..host import Host
    from ..kernel.linux import Kernel
    from ..options import Options


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


def all(config: Config, options: Options, host: Host) -> Iterator[Step]:
    """CHILD. An empty name asks for nothing, as in runc: there is no host without one."""
    if config.get("hostname"):
        yield Hostname(hostname=config["hostname"], where="hostname")
    if config.get("domainname"):
        yield Domainname(domainname=config["domainname"], where="domainname")
