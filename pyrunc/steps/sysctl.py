"""linux.sysctl: kernel parameters of the container's namespaces. Which are allowed: config/rules/sysctl.py."""
from __future__ import annotations

import posix

from ..engine.step import CHILD, Step
from ..kernel.constants import RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..engine.facts import Facts
    from ..kernel.linux import Kernel
    from ..request import Request

#: For openat2(2): the file is procfs's own, and where it seems.
STRAIGHT = RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH


class Set(Step):
    """One parameter, written through a procfs that no mount of the container can cover (CVE-2025-52881)."""
    name = "sysctl.set"
    spec = "config-linux.md#sysctl"
    side = CHILD
    key: str
    value: str
    path: str

    def describe(self) -> str:
        return f"set {self.key} = {self.value}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        fd = kernel.open_in_root(facts.proc_fd, f"sys/{self.path}", posix.O_WRONLY, 0, STRAIGHT)
        try:
            kernel.write(fd, self.value.encode())
        finally:
            kernel.close(fd)


def all(want: Request) -> Iterator[Step]:
    """CHILD, one step each, in the config's order."""
    parameters = want.config.get("linux", {}).get("sysctl")
    if not parameters:
        return
    from ..config.rules.sysctl import path
    from ..config.where import at
    for key, value in parameters.items():
        yield Set(key=key, value=value, path=path(key), where=at("linux.sysctl", key))
