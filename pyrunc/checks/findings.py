"""Everything that is wrong, or odd, with a bundle: by the schemas, by the rules, by this host, by the plan itself."""
from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .. import plan
from ..config import check, load
from ..config.schema import Schemas, without_nulls
from ..config.where import at
from ..errors import ConfigError, PyruncError, describe
from ..host import probe
from ..options import Options
from .faultless import Sound, steps

if TYPE_CHECKING:
    from ..config.types import Config
    from ..host import Host

ERROR, WARNING = "error", "warning"
DOCUMENT = "config.json"


@dataclass(frozen=True)
class Finding:
    """level: ERROR, create would fail; WARNING, it would not, but this is hardly what was meant.

    where is the JSON path, spec the chapter of the runtime-spec (filled in by examine), hint a near-miss or a remedy.
    """
    level: str
    where: str
    what: str
    hint: str = ""
    spec: str = ""

    def __str__(self) -> str:
        chapter = f" ({self.spec})" if self.spec else ""
        return f"{self.level}: {self.where or DOCUMENT}: {self.what}{chapter}{f'; {self.hint}' if self.hint else ''}"


def error(where: str, what: str, hint: str = "") -> Finding:
    return Finding(ERROR, where, what, hint)


def warning(where: str, what: str, hint: str = "") -> Finding:
    return Finding(WARNING, where, what, hint)


def examine(bundle: str, file: str = "config.json", options: Options | None = None,
            host: Host | None = None, elsewhere: Collection[str] | None = None) -> list[Finding]:
    """All findings of the bundle in an absolute directory, errors first; the plan is made with the given options.

    elsewhere   the cgroup v2 controllers of a host that is not this one: then only what its facts tell is looked at
    """
    schemas, host = Schemas(), host or probe()
    try:
        config = load.load(bundle, file)
    except ConfigError as fault:
        return [Finding(ERROR, fault.where, fault.what, spec="config.md")]
    except OSError as fault:
        return [Finding(ERROR, "", describe(fault))]
    found = list(_document(config, schemas))
    faulty = [finding.where for finding in found if finding.level == ERROR]
    rest = Sound(config, faulty)
    if rest.config is not None:
        for finding in _here(rest.config, bundle, options, host, elsewhere):
            where = rest.origin(finding.where)
            if not any(place.startswith(where) for place in faulty):      # it is the fault's doing
                found.append(replace(finding, where=where))
    with_chapter = [replace(finding, spec=finding.spec or schemas.chapter(DOCUMENT, steps(finding.where)))
                    for finding in found]
    return sorted(with_chapter, key=lambda finding: finding.level != ERROR)


def _document(config: Config, schemas: Schemas) -> Iterator[Finding]:
    """What can be said of the document alone."""
    from .spelling import misspelt, near_miss
    plain: dict[str, Any] = without_nulls(config)
    places = set()
    for fault in check.problems(config):
        places.add(fault.where)
        what, _, like = fault.what.partition(" (did you mean ")
        yield error(fault.where, what, f"did you mean {like[:-1]}" if like else
                    near_miss(plain, schemas, steps(fault.where)))
    for where, what in _beyond(plain, schemas):
        if not any(place.startswith(where) or where.startswith(place) for place in places):
            places.add(where)
            yield warning(where, what)
    yield from misspelt(plain, schemas)


def _beyond(plain: dict[str, Any], schemas: Schemas) -> Iterator[tuple[str, str]]:
    """(place, text) of what the specification refuses, and create may take nevertheless, as runc and crun do."""
    for problem in schemas.validator(DOCUMENT).iter_errors(plain):
        path = list(problem.absolute_path)
        if problem.validator != "required":
            yield at_path(path), problem.message[:200]
            continue
        for key in problem.validator_value:
            if key not in problem.instance:
                kind = schemas.along(DOCUMENT, (*path, key))[-1].get("type")
                yield at_path([*path, key]), "a required property is missing: " + (
                    "it counts as false" if kind == "boolean" else "it counts as 0")


def at_path(path: Iterable[str | int]) -> str:
    """The JSON path."""
    where = ""
    for key in path:
        where = at(where, key)
    return where


def _here(config: Config, bundle: str, options: Options | None, host: Host,
          elsewhere: Collection[str] | None) -> list[Finding]:
    """What can be said of a sound config on this machine, or on another by what is known of it."""
    from . import cgroup_values, limits, privilege
    from . import on_this_host as here
    options = options or Options(id="ID", bundle=bundle, nonce="NONCE", console_socket="SOCKET" if config.get(
        "process", {}).get("terminal") else "")
    if elsewhere is None:
        found = [*here.findings(config, bundle, host), *limits.findings(config, host),
                 *privilege.findings(config, host), *cgroup_values.findings(config, options, host)]
    else:
        found = [*limits.controllers(config, host, set(elsewhere)), *limits.of_cgroup_v1(config)]
    return found + list(_plan(config, options, host, {finding.where for finding in found}))


def _plan(config: Config, options: Options, host: Host, known: set[str]) -> Iterator[Finding]:
    """What the planner would refuse: it is pure, so it is simply asked."""
    try:
        plan.create(copy.deepcopy(config), options, host)
    except ConfigError as fault:
        if fault.where not in known:
            yield error(fault.where, fault.what)
    except PyruncError as fault:
        yield error("", str(fault))
    except OSError as fault:
        yield error("", describe(fault))
