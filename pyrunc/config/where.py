"""How messages name places and values of a JSON document: process.args[0], linux.sysctl["net.ipv4.ip_forward"]."""
from __future__ import annotations

from ..formats._jsontext import write

#: A key or a value in a message is cut to so many characters.
LONGEST = 60


def at(where: str, key: str | int) -> str:
    """The path of a member: where is the path of the object or array, "" for the document itself."""
    if isinstance(key, int):
        return f"{where}[{key}]"
    if key.isascii() and key.isidentifier() and len(key) <= LONGEST:
        return f"{where}.{key}" if where else key
    return f"{where}[{quoted(key)}]"


def quoted(text: str) -> str:
    """text as JSON writes it, in one line of ASCII, cut when it is long."""
    return write(text if len(text) <= LONGEST else text[:LONGEST - 3] + "...")


def kind(value: object) -> str:
    """What sort of JSON value this is, with its article."""
    if value is None:
        return "null"
    names = {str: "a string", int: "an integer", bool: "a boolean", list: "an array", dict: "an object"}
    return names.get(type(value), "a number with a fraction or an exponent")
