"""What a fault of the gallery is: how it is made, and what a line about it has to say."""
from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bundles import Config

ROOT, USER, NESTED, GUEST = "root", "user", "nested", "guest"
NOWHERE = ""


@dataclass(frozen=True)
class Fault:
    """cause, fix: patterns of what a line must have for a reader to see what is wrong and what to do about it.

    changes    of the usual config (bundles.merge); prepare, called with the bundle, may make files and give more
    text       what becomes of the text of config.json
    place      the JSON path that the line must have; NOWHERE: it is not a fault of the config
    fix        "": nothing is asked for
    static     whether it can be seen without running anything: then `check` has to find it
    also       another pattern for the cause, in the words of check
    flags      before the command
    """
    name: str
    cause: str
    place: str = NOWHERE
    fix: str = ""
    changes: Config = field(default_factory=dict)
    prepare: Callable[[Path], Config | None] | None = None
    text: Callable[[str], str] | None = None
    where: str = ROOT
    static: bool = True
    also: str = ""
    flags: tuple[str, ...] = ()
    tidy: Callable[[Path], None] | None = None

    def has_cause(self, line: str) -> bool:
        return bool(re.search(f"{self.cause}{f'|{self.also}' if self.also else ''}", line))

    def has_place(self, line: str) -> bool:
        return bool(self.place) and f"{self.place}" in line

    def has_fix(self, line: str) -> bool:
        return bool(self.fix) and bool(re.search(self.fix, line))


@dataclass(frozen=True)
class Line:
    """What one runtime said: its exit status, and the one line (several of crun's are joined)."""
    status: int
    text: str

    def as_json(self) -> list[Any]:
        return [self.status, self.text]
