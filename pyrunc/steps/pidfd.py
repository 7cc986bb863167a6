"""--pidfd-socket: the engine gets a descriptor of the process itself, which no recycled pid can ever stand for."""
from __future__ import annotations

from ..engine.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..config.types import Config
    from ..engine.facts import Facts
    from ..host import Host
    from ..kernel.linux import Kernel
    from ..options import Options


class Send(Step):
    """One message on a unix stream socket: runc's payload, and the pidfd with it (SCM_RIGHTS)."""
    name = "pidfd.send"
    spec = "runtime.md#create"
    path: str
    payload: str

    def describe(self) -> str:
        return f"send a pidfd of the process to {self.path}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.send_fd(self.path, self.payload.encode(), facts.pidfd)


def send(config: Config, options: Options, host: Host) -> Iterator[Step]:
    """PARENT, when the process is set up."""
    if options.pidfd_socket:
        yield Send(path=options.pidfd_socket, payload="setns" if options.joins else "standard")
