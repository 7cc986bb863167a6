"""What a case is, what comes of one, and the register of all.

    @case("runtime.md#start", "start without a process is an error")
    def no_process(t: Trial) -> None:
        ...

A case holds its rows when its function returns; it says otherwise by raising Fails, Deviates, NotHere or NotOffered.
"""
from __future__ import annotations

import fnmatch
import functools
import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from .rows import Row, rows

if TYPE_CHECKING:
    from .harness.trial import Trial

#: holds; not what the words demand, but what engines need; fails; what the machine lacks; what the runtime says it has
#: not; a command or the case was not at its end in time; the case itself broke.
HOLDS, DEVIATES, FAILS, NOT_HERE, NOT_OFFERED, OUT_OF_TIME, BROKEN = (
    "holds", "deviates", "fails", "not here", "not offered", "out of time", "broken")
VERDICTS = (HOLDS, DEVIATES, FAILS, NOT_HERE, NOT_OFFERED, OUT_OF_TIME, BROKEN)

PROFILES = {
    "spec": "what runtime-spec 1.3 demands",
    "engines": "what engines count on and the specification leaves open",
    "security": "published holes of runtimes, tried",
    "crash": "a runtime that is killed at any moment",
    "race": "files exchanged below a runtime, and commands at the same time",
    "rootless": "an ordinary user",
}


class Ended(Exception):
    """Why a case does not hold; the text is what was seen, or what is missing."""
    verdict = BROKEN


class Fails(Ended):
    verdict = FAILS


class Deviates(Ended):
    """A demand that is clear and not met, as engines need the opposite; the text says what is done and who needs it."""
    verdict = DEVIATES


class NotHere(Ended):
    verdict = NOT_HERE


class NotOffered(Ended):
    verdict = NOT_OFFERED


class OutOfTime(Ended):
    """A command goes on: it hangs, or the machine is slow, and nobody can tell which."""
    verdict = OUT_OF_TIME


@dataclass(frozen=True)
class Case:
    """name: file of the case, its function and, of several like it, which. rows: what it holds; of the profiles beside
    `spec` it may hold none, and `demand` says what is asked then. seconds: how long it may take."""
    name: str
    function: Callable[[Trial], None]
    rows: tuple[Row, ...]
    profile: str
    demand: str
    seconds: float = 60

    @property
    def must(self) -> bool:
        return any(row.must for row in self.rows)

    @property
    def asks(self) -> str:
        """What it asks, in one line."""
        return self.demand or "; ".join(row.name for row in self.rows)

    def matches(self, pattern: str) -> bool:
        """Whether a shell pattern fits the name, what is asked, or a row's chapter; plain words fit anywhere in it."""
        texts = [self.name, self.demand, *(row.chapter for row in self.rows)]
        return any(fnmatch.fnmatchcase(text, pattern) or pattern in text for text in texts)


@dataclass
class Result:
    """One case under one runtime. seen: what made it fail, or what is missing. left: what the runtime left behind.
    log: its commands and their output, cut to what fits. bundles: what each config.json has beside the usual one.
    tries: how many were made, of a case that makes as many as it has time for, and how many there would be."""
    case: str
    verdict: str
    seen: str = ""
    seconds: float = 0.0
    left: list[str] = field(default_factory=list)
    log: str = ""
    bundles: list[str] = field(default_factory=list)
    tries: tuple[int, int] = (0, 0)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, entry: dict[str, Any]) -> Result:
        """What as_dict made, after a way as JSON."""
        return cls(**{**entry, "tries": tuple(entry.get("tries", (0, 0)))})

    @property
    def failed(self) -> bool:
        return self.verdict in (FAILS, OUT_OF_TIME, BROKEN)


CASES: dict[str, Case] = {}


def _add(function: Callable[[Trial], None], name: str, keys: Iterable[tuple[str, str]], profile: str, demand: str,
         module: str, seconds: float = 60) -> None:
    name = f"{module.partition('.cases.')[2]}.{name}"
    if name in CASES:
        raise ValueError(f"two cases are named {name}")
    CASES[name] = Case(name, function, tuple(rows()[key] for key in keys), profile, demand, seconds)


def case(chapter: str, *names: str, also: Mapping[str, tuple[str, ...]] | None = None, profile: str = "spec",
         demand: str = "") -> Callable[[Callable[[Trial], None]], Callable[[Trial], None]]:
    """Register a case that holds these rows of a chapter, and of other ones. KeyError for a row that is none."""
    keys = [(chapter, name) for name in names]
    keys += [(other, name) for other, more in (also or {}).items() for name in more]

    def register(function: Callable[[Trial], None]) -> Callable[[Trial], None]:
        _add(function, function.__name__, keys, profile, demand or _first_line(function), function.__module__)
        return function
    return register


def each(chapter: str, values: Mapping[str, tuple[Any, ...]], profile: str = "spec",
         also: Mapping[str, tuple[str, ...]] | None = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """As case, for several cases of one function: label -> (row or rows of the chapter, further argument, ...)."""
    others = [(other, name) for other, more in (also or {}).items() for name in more]

    def register(function: Callable[..., None]) -> Callable[..., None]:
        for label, (names, *rest) in values.items():
            keys = [(chapter, name) for name in ((names,) if isinstance(names, str) else names)] + others
            _add(functools.partial(_called, function, tuple(rest)), f"{function.__name__}[{label}]", keys, profile,
                 _first_line(function), function.__module__)
        return function
    return register


def ask(profile: str, demand: str = "", seconds: float = 60) -> Callable[[Callable[[Trial], None]],
                                                                         Callable[[Trial], None]]:
    """As case, for what the specification says nothing of."""
    def register(function: Callable[[Trial], None]) -> Callable[[Trial], None]:
        _add(function, function.__name__, (), profile, demand or _first_line(function), function.__module__, seconds)
        return function
    return register


def ask_each(profile: str, values: Mapping[str, tuple[Any, ...]],
             seconds: float = 60) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """As ask, for several cases of one function: label -> (what is asked, further argument, ...)."""
    def register(function: Callable[..., None]) -> Callable[..., None]:
        for label, (demand, *rest) in values.items():
            _add(functools.partial(_called, function, tuple(rest)), f"{function.__name__}[{label}]", (), profile,
                 f"{demand}: {_first_line(function)}", function.__module__, seconds)
        return function
    return register


def again(name: str, profile: str, module: str) -> None:
    """Register a case once more, for another profile, by a module of that."""
    known = CASES[name]
    name = f"{module.partition('.cases.')[2]}.{name}"
    CASES[name] = replace(known, name=name, profile=profile)


def _called(function: Callable[..., None], rest: tuple[Any, ...], trial: Trial) -> None:
    function(trial, *rest)


def _first_line(function: Callable[..., None]) -> str:
    return (function.__doc__ or "").strip().partition("\n")[0]


def load() -> dict[str, Case]:
    """All cases by name, in the order of their files."""
    from . import cases
    for module in pkgutil.walk_packages(cases.__path__, f"{cases.__name__}."):
        importlib.import_module(module.name)
    return CASES


def chosen(patterns: Iterable[str], profiles: Iterable[str]) -> list[Case]:
    """The cases of these profiles that one of the patterns fits; without patterns, all of them."""
    wanted, among = list(patterns), set(profiles)
    return [case for case in load().values() if case.profile in among
            and (not wanted or any(case.matches(pattern) for pattern in wanted))]
