"""kill: send a signal to a container's init, or to everything in it."""
from __future__ import annotations

import _signal

from ..errors import StateError, UsageError
from ..runtime.kill import kill
from .flags import Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..engine.step import Plan
    from .flags import Call

COMMAND = Command(
    "kill", "send a signal to a container's init (default: SIGTERM)",
    (Flag("all", bool, "send it to every process of the container", short="a"),
     Flag("regex", bool, "take the id as a regular expression, and every container that it matches", short="r")),
    arguments="<container-id> [signal]", most=2, stop=1)


def run(call: Call) -> int:
    number, all = asked(call), call.on("all")
    watching = call.observers() if call.trace or call.log.verbose else ()        # of one step there is else no word
    if not call.on("regex"):
        kill(call.root, call.id, number, all, watching)
        return 0
    from .id_patterns import ids
    for id in ids(call.root, call.id):
        try:
            kill(call.root, id, number, all, watching)
        except StateError:       # it ended meanwhile, or does not run
            continue
    return 0


def plan_of(call: Call) -> Plan:
    """For `explain`."""
    from .. import plan
    from ..state.container import Container
    return plan.kill(Container.load(call.root, call.id), asked(call), call.on("all"))


def asked(call: Call) -> int:
    """The signal."""
    return signal_number(call.arguments[1] if len(call.arguments) > 1 and call.arguments[1] else "SIGTERM")


def signal_number(name: str) -> int:
    """ "9", "KILL", "sigkill", "SIGRTMIN+3", "RTMAX-1" -> the number. UsageError for what is no signal."""
    if name.isascii() and name.isdigit():
        number = _short(name)
    else:
        word = name.upper().removeprefix("SIG")
        base, sign, offset = word.partition("+") if "+" in word else word.partition("-")
        number = getattr(_signal, f"SIG{base}", 0) if base.isascii() and base.isalnum() else 0
        if sign:
            valid = base in ("RTMIN", "RTMAX") and offset.isascii() and offset.isdigit()
            number += (_short(offset) if sign == "+" else -_short(offset)) if valid else -number
            if not _signal.SIGRTMIN <= number <= _signal.SIGRTMAX:
                number = 0
    if not 0 <= number < _signal.NSIG or (number == 0 and name != "0"):
        raise UsageError(f'unknown signal "{name}"')
    return number


def _short(digits: str) -> int:
    """The value of decimal digits; of more than a signal can have, one that is no signal's."""
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) < 4 else _signal.NSIG
