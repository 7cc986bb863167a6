"""Checks config.json before anything exists: types and ranges from shape.py, then the rules between properties.

Every fault is a ConfigError with the JSON path. Unknown properties are ignored, as the spec demands, except one
that differs only in case from a known one: runc, in Go, would honour it, and ignoring it could weaken a container.
Members that are null count as absent (Go writes nil so) and are removed. Numbers and booleans that are required and
absent are put in as 0 and false, which is what decoders in Go and C leave there; `check` tells of them.
"""
from __future__ import annotations

from ..errors import ConfigError
from . import shape
from .rules import EVERY, REQUESTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, NoReturn, cast

    from .rules import Rule
    from .types import Config, Process, Resources

    Report = Callable[[ConfigError], object]
else:
    def cast(kind, value):
        return value


#: So many lines about one config are enough.
MOST_IGNORED = 20


def check(config: Config, start: bool = False) -> list[str]:
    """Raise the first fault of a whole config. start: a process is needed, too (runtime.md#start).

    What comes back is worth a line in the log: properties that nobody knows, and required numbers that are not there.
    """
    ignored: list[ConfigError] = []
    _walk(cast("dict[str, Any]", config), shape.CONFIG, [], _refuse, ignored)
    if start and "process" not in config:
        raise ConfigError("process property must not be empty", "process")
    for fault in _rules(config, EVERY):
        raise fault
    for index, device in enumerate(config.get("linux", {}).get("devices", ())):
        if device["type"] != "p" and not ("major" in device and "minor" in device):
            key = "minor" if "major" in device else "major"
            ignored.append(_fault("", "a required property is missing: it counts as "
                                      "0", ["linux", "devices", index, key]))
    return [str(fault) for fault in ignored[:MOST_IGNORED]]


def problems(config: Config) -> list[ConfigError]:
    """All faults of a whole config; rules that read a part with a fault in its types or ranges are left out."""
    found: list[ConfigError] = []
    _walk(cast("dict[str, Any]", config), shape.CONFIG, [], found.append, [])
    sound = [rule for rule in EVERY if not any(_touches(fault.where, part) for fault in found for part in rule[0])]
    return found + list(_rules(config, sound))


def check_process(process: Process, document: str = "process.json") -> None:
    """Raise the first fault of a process object alone, as `exec --process` reads it from the file document."""
    _check_part(process, {"process": process}, "process", document)


def check_resources(resources: Resources, document: str = "resources") -> None:
    """Raise the first fault of a resources object alone, as `update --resources` reads it from document."""
    _check_part(resources, {"linux": {"resources": resources}}, "linux.resources", document)


def check_hooks(hooks: object, document: str = "") -> None:
    """Raise the first fault of a hooks object alone, as state.json has those that run later."""
    _walk({"hooks": hooks}, (dict, {"hooks": shape.HOOKS}, (), None), [], _refuse, [])


def _check_part(value: object, config: dict[str, Any], part: str, document: str) -> None:
    """config has nothing but the value, where part says."""
    if value is None:
        raise ConfigError("must be an object, not null", document=document)
    node = (dict, shape.CONFIG[1], (), None)
    try:
        _walk(config, node, [], _refuse, [])
        for fault in _rules(cast("Config", config), [rule for rule in REQUESTS if part in rule[0]]):
            raise fault
    except ConfigError as fault:
        raise ConfigError(fault.what, fault.where.removeprefix(part).removeprefix("."), document) from None


def _rules(config: Config, rules: list[Rule]) -> Iterator[ConfigError]:
    for _, rule in rules:
        yield from rule(config)


def _refuse(fault: ConfigError) -> NoReturn:
    raise fault


def _touches(where: str, part: str) -> bool:
    """Whether the one is within the other."""
    return (where == part or where.startswith((f"{part}.", f"{part}["))
            or part.startswith((f"{where}.", f"{where}[")))


# ---- types and ranges ---------------------------------------------------------------------------------------
def _walk(value: Any, node: shape.Node, path: list[str | int], report: Report,
          ignored: list[ConfigError]) -> None:
    """Hold an object or an array against its node (shape.py); path is where it is. ignored: what is no fault, to be
    added to."""
    if node[0] is list:
        _, item_node, least, text = node
        if len(value) < least:
            report(_fault(text, "must not be empty", path))
        if item_node[0] is str and item_node[1] is None and {*map(type, value)} <= {str}:
            return                               # most arrays: strings without conditions
        for index, item in enumerate(value):
            _value(item, item_node, path, index, report, ignored)
        return
    _, members, required, others = node
    if not members and others is None:
        return                                   # the object of another platform
    absent = []
    for key, member in value.items():
        inner = members.get(key) or others
        if member is None and key in members:
            absent.append(key)
        elif inner:
            _value(member, inner, path, key, report, ignored)
        else:
            _unknown(key, node, path, report, ignored, value)
    for key in absent:
        del value[key]
    for key in required:
        if key not in value:
            inner = members[key]
            if inner[0] is bool:
                value[key] = False
            elif inner[0] is int and inner[1] <= 0 <= inner[2]:
                value[key] = 0
                ignored.append(_fault("", "a required property is missing: it counts as 0", [*path, key]))
            else:
                text = inner[-1] if inner[0] in (str, list) else ""
                report(_fault(text, "a required property is missing", [*path, key]))


def _value(value: Any, node: shape.Node, path: list[str | int], key: str | int, report: Report,
           ignored: list[ConfigError]) -> None:
    kind = type(value)
    if kind is not node[0]:
        from .where import kind as name
        text = node[-1] if node[0] in (str, list) else ""
        report(_fault(text, f"must be {name(node[0]())}, not {name(value)}", [*path, key]))
    elif kind is str:
        allowed = node[1]
        if allowed is not None and not (value in allowed if type(allowed) is tuple
                                        else value[:1] == "/" or (not value and allowed == "/?")
                                        or (value and allowed == "+")):
            report(_string_fault(value, node, [*path, key]))
    elif kind is int:
        if not node[1] <= value <= node[2]:
            number = repr(value) if -10**24 < value < 10**24 else "a number with many digits"
            report(_fault("", f"{number} is not in the range {node[1]} to {node[2]}", [*path, key]))
    elif kind is not bool:
        path.append(key)
        _walk(value, node, path, report, ignored)
        path.pop()


# ---- messages -----------------------------------------------------------------------------------------------
def _fault(text: str, what: str, path: list[str | int]) -> ConfigError:
    """The fault with the text of runc, if it has one, in front."""
    from .where import at
    where = ""
    for key in path:
        where = at(where, key)
    return ConfigError(f"{text}: {what}" if text else what, where)


def _string_fault(value: str, node: shape.Node, path: list[str | int]) -> ConfigError:
    from .where import quoted
    _, allowed, text = node
    if allowed == "+":
        return _fault(text, "must not be empty", path)
    if type(allowed) is tuple:
        from .near import meant
        known = meant(value, allowed) or f"; known are {', '.join(sorted(filter(None, allowed)))}"
        return _fault(text, f"unknown value {quoted(value)}{known}", path)
    return _fault(text, quoted(value) if text else f"{quoted(value)} is not an absolute path", path)


def _unknown(key: str, node: shape.Node, path: list[str | int], report: Report, ignored: list[ConfigError],
             value: dict[str, Any]) -> None:
    """A property that no schema has: ignored, unless its name is too close to that of another."""
    from .where import quoted
    _, members, _, others = node
    for name in members:
        if _folded(name) == _folded(key):
            report(_fault("", f"the name {quoted(key)} differs only in case from {quoted(name)}", [*path, key]))
            return
    if others is None and len(ignored) < MOST_IGNORED:
        from .near import meant
        like = meant(key, members.keys() - value.keys())
        ignored.append(_fault("", f"unknown property, ignored{like}", [*path, key]))
    if others is False:
        report(_fault("", f"unknown name; known are {', '.join(sorted(members))}", [*path, key]))


def _folded(name: str) -> str:
    """As Go's encoding/json folds names: the long s and the Kelvin sign are letters of ASCII, too."""
    return name.replace("\u017f", "s").replace("\u212a", "k").lower()
