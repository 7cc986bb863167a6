"""--pidfd-socket: the engine gets a descriptor of the process itself, which no recycled pid can ever stand for."""
from __future__ import annotations

from ..engine.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..engine.facts import Facts
    from ..kernel.linux import Kernel
    from ..request import Request


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


def send(want: Request) -> Iterator[Step]:
    """PARENT, when the process is set up."""
    if want.options.pidfd_socket:
        yield Send(path=want.options.pidfd_socket, payload="setns" if want.options.joins else "standard")
