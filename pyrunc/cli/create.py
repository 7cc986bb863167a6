"""create: make a container of a bundle; its program waits for `start`."""
from __future__ import annotations

from .. import runtime
from .bundle import FLAGS, prepare
from .flags import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .flags import Call

COMMAND = Command("create", "create a container from a bundle", FLAGS, prefix="pyrunc create failed: ",
                  shares=True)


def run(call: Call) -> int:
    config, options = prepare(call, detach=True, start=False)
    runtime.create(config, options, observers=call.observers(stops=True))
    return 0
