"""Finds what is wrong with a JSON text: reads it again, slowly, keeping line, column and JSON path.

Only loaded when load.py's fast reader gave up; tests hold that the two agree on every text.
"""
from __future__ import annotations

from ..errors import ConfigError
from .load import MAX_DEPTH, MAX_MEMBERS, MAX_SIZE
from .where import at, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

MAX_DIGITS = 4300        # where the interpreter's int() stops, too
BLANKS = " \t\n\r"
DIGITS = "0123456789"
ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def diagnose(data: bytes, document: str, limit: int = MAX_SIZE) -> None:
    """Raise the ConfigError for the first fault of data; return when there is none."""
    if len(data) > limit:
        raise ConfigError(f"more than {limit >> 20} MiB", document=document)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data[:2]:
        raise ConfigError("invalid JSON: it is UTF-16 or UTF-32, not UTF-8: line 1, column 1", document=document)
    try:
        text = data.decode()
    except UnicodeDecodeError as fault:
        before = data[:fault.start].decode()
        Reader(before, document).fail(f"byte 0x{data[fault.start]:02x} is not UTF-8", fault.start)
    Reader(text, document).document_()


class Reader:
    """A recursive descent over the text; where is the JSON path of the value being read."""

    def __init__(self, text: str, document: str) -> None:
        self.text, self.document, self.where, self.i = text, document, "", 0

    def fail(self, what: str, i: int) -> NoReturn:
        """The fault is at text[i]."""
        i = min(i, len(self.text))
        line, column = self.text.count("\n", 0, i) + 1, i - self.text.rfind("\n", 0, i)
        rest = self.text[i:i + 20].partition("\n")[0]
        near = f" near {quoted(rest)}" if rest else " at the end of the line" if self.text[i:] else ""
        if ".env" in self.where.lower():             # a value of an environment variable is nobody else's business
            near = ""
        raise ConfigError(f"invalid JSON: {what}: line {line}, column {column}{near}", self.where, self.document)

    def next(self) -> str:
        """The next character that is not blank, "" at the end; i stays on it."""
        while (char := self.text[self.i:self.i + 1]) and char in BLANKS:
            self.i += 1
        return char

    def wanted(self, what: str) -> NoReturn:
        if self.i >= len(self.text):
            self.fail(f"the file ends where {what} is expected", self.i)
        self.fail(f"expected {what}", self.i)

    def document_(self) -> None:
        if self.text.startswith("\ufeff"):
            self.fail("it begins with a byte order mark", 0)
        self.value(1)
        if self.next():
            self.fail("something follows the value", self.i)

    def value(self, depth: int) -> None:
        match self.next():
            case "{" | "[" if depth > MAX_DEPTH:
                self.fail(f"nested more than {MAX_DEPTH} deep", self.i)
            case "{":
                self.object(depth)
            case "[":
                self.array(depth)
            case '"':
                self.string()
            case char if char and char in "-0123456789":
                self.number()
            case _:
                self.word()

    def object(self, depth: int) -> None:
        outer, seen = self.where, set[str]()
        self.i += 1
        if self.next() == "}":
            self.i += 1
            return
        while True:
            if seen and self.next() == "}":
                self.fail('a comma before "}"', self.i)
            if self.next() != '"':
                self.wanted("a string as the name of a member" if seen else 'a string as the name of a member, or "}",')
            start = self.i
            key = self.string()
            self.where = at(outer, key)
            if key in seen:
                self.fail(f"the member {quoted(key)} is listed twice", start)
            seen.add(key)
            if len(seen) > MAX_MEMBERS:
                self.fail(f"an object has more than {MAX_MEMBERS} members", start)
            if self.next() != ":":
                self.wanted('":"')
            self.i += 1
            self.value(depth + 1)
            self.where = outer
            char = self.next()
            if char not in (",", "}"):
                self.wanted('"," or "}"')
            self.i += 1
            if char == "}":
                return

    def array(self, depth: int) -> None:
        outer, index = self.where, 0
        self.i += 1
        if self.next() == "]":
            self.i += 1
            return
        while True:
            self.where = at(outer, index)
            if index and self.next() == "]":
                self.fail('a comma before "]"', self.i)
            self.value(depth + 1)
            self.where = outer
            char = self.next()
            if char not in (",", "]"):
                self.wanted('"," or "]"')
            self.i += 1
            index += 1
            if char == "]":
                return

    def string(self) -> str:
        start, parts = self.i, []
        self.i += 1
        while (char := self.text[self.i:self.i + 1]) != '"':
            if not char:
                self.fail("a string has no end", start)
            if char < " ":
                self.fail(f"the control character U+{ord(char):04X} stands in a string", self.i)
            parts.append(self.escape() if char == "\\" else char)
            self.i += 1
        self.i += 1
        return "".join(parts)

    def escape(self) -> str:
        """The character of the escape at i, which is left on its last character."""
        start = self.i
        self.i += 1
        char = self.text[self.i:self.i + 1]
        if char != "u":
            if char not in ESCAPES:
                self.fail("an escape that JSON does not have", start)
            return ESCAPES[char]
        code = self.hexadecimal(start)
        if code == 0:
            self.fail("NUL stands in a string", start)
        if 0xDC00 <= code < 0xE000:
            self.fail("half of a surrogate pair stands in a string", start)
        if 0xD800 <= code < 0xDC00:
            self.i += 1
            if self.text[self.i:self.i + 2] != "\\u":
                self.fail("half of a surrogate pair stands in a string", start)
            self.i += 1
            low = self.hexadecimal(start)
            if not 0xDC00 <= low < 0xE000:
                self.fail("half of a surrogate pair stands in a string", start)
            code = 0x10000 + ((code - 0xD800) << 10 | low - 0xDC00)
        return chr(code)

    def hexadecimal(self, start: int) -> int:
        """The value of uXXXX at i, which is left on its last character."""
        digits = self.text[self.i + 1:self.i + 5]
        if len(digits) != 4 or digits.strip("0123456789abcdefABCDEF"):
            self.fail("an escape that JSON does not have", start)
        self.i += 4
        return int(digits, 16)

    def number(self) -> None:
        start = self.i
        self.i += self.text[self.i] == "-"
        whole = self.digits()
        if not whole:
            self.wanted("a digit")
        if whole > 1 and self.text[self.i - whole] == "0":
            self.fail("a number begins with 0", start)
        fraction = self.text[self.i:self.i + 1] == "."
        if fraction:
            self.i += 1
            if not self.digits():
                self.wanted("a digit")
        exponent = self.text[self.i:self.i + 1] in ("e", "E")
        if exponent:
            self.i += 1
            self.i += self.text[self.i:self.i + 1] in ("+", "-")
            if not self.digits():
                self.wanted("a digit")
        if whole > MAX_DIGITS and not fraction and not exponent:
            self.fail(f"a number has {whole} digits", start)

    def digits(self) -> int:
        """Go over the digits at i; how many."""
        start = self.i
        while (char := self.text[self.i:self.i + 1]) and char in DIGITS:
            self.i += 1
        return self.i - start

    def word(self) -> None:
        for word in ("true", "false", "null"):
            if self.text.startswith(word, self.i):
                self.i += len(word)
                return
        if self.text.startswith(("//", "/*", "#"), self.i):
            self.fail("a comment, which JSON does not have", self.i)
        self.wanted("a value")
