"""Errors on a channel: the class's name and what it was made of, so that the library raises the same one."""
from __future__ import annotations

from ..errors import ConfigError, NoSuchContainer, PyruncError, StateError, StepError, UsageError, describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: class -> the attributes that it is made of, in the order of its parameters
FIELDS: dict[type[PyruncError], tuple[str, ...]] = {
    ConfigError: ("what", "where", "document"),
    StepError: ("what", "errno", "where", "step", "spec", "hint", "id", "document"),
}
PLAIN: dict[str, type[PyruncError]] = {
    kind.__name__: kind for kind in (NoSuchContainer, StateError, UsageError, PyruncError)}
WHOLE: dict[str, type[Any]] = {kind.__name__: kind for kind in FIELDS}


def pack(fault: BaseException) -> list[Any]:
    """[class's name, argument ...] of an error, as plain values."""
    for kind, names in FIELDS.items():
        if type(fault) is kind:
            return [kind.__name__, *(getattr(fault, name) for name in names)]
    if isinstance(fault, PyruncError):
        name = type(fault).__name__
        return [name if name in PLAIN else "StateError" if isinstance(fault, StateError) else "PyruncError", str(fault)]
    if isinstance(fault, OSError):
        return ["PyruncError", describe(fault)]
    return ["PyruncError", f"internal error: {type(fault).__name__}: {fault}"]


def unpack(packed: list[Any]) -> PyruncError:
    """The error that pack() has packed."""
    name, *arguments = packed
    kind: Any = WHOLE.get(name) or PLAIN[name]
    fault: PyruncError = kind(*arguments)
    return fault
