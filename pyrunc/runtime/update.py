"""Changing the limits of a container: for the command line, the library and the shim."""
from __future__ import annotations

from .. import plan
from ..cgroups.update import merged
from ..config.check import check_resources
from ..engine.run import execute
from ..errors import NOT_RUNNING, StateError
from ..host import probe
from ..kernel.posix import PosixKernel
from ..state import store
from ..state.container import STOPPED, Container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ..config.types import Resources
    from ..engine.observer import Observer
    from ..engine.step import Plan
    from ..host import Host

NONE: Mapping[str, str] = {}


def update(root: str, id: str, resources: Resources, observers: Sequence[Observer] = (),
           shares: Mapping[str, str] = NONE, document: str = "the resources") -> None:
    """All or nothing: what was changed before a failure is changed back. What is not given stays as it is.

    resources   as linux.resources of config.json; not checked yet
    shares      l3CacheSchema and memBwSchema of linux.intelRdt, where they are to change
    document    where the resources were, for the errors
    Raises ConfigError, StateError, StepError.
    """
    check_resources(resources, document)
    container = Container.load(root, id)
    with store.Lock(root, id):
        if container.status() == STOPPED:
            raise StateError(NOT_RUNNING)
        config: Any = store.read_config(root, id)
        linux = config.setdefault("linux", {})
        saved: Any = linux.get("resources") or {}
        execute(_planned(container, saved, resources, shares), PosixKernel(), observers)
        if shares:
            linux["intelRdt"].update(shares)
        linux["resources"] = merged(saved, resources)
        store.write(root, id, store.CONFIG, config)


def planned(root: str, id: str, resources: Resources, shares: Mapping[str, str] = NONE,
            document: str = "the resources", host: Host | None = None) -> Plan:
    """The plan that update() would run now; host: not on this one. No effects."""
    check_resources(resources, document)
    container = Container.load(root, id)
    saved = store.read_config(root, id).get("linux", {}).get("resources") or {}
    return _planned(container, saved, resources, shares, host)


def _planned(container: Container, saved: Resources, resources: Resources, shares: Mapping[str, str],
             host: Host | None = None) -> Plan:
    if shares and "resctrl" not in container.state:
        raise StateError("updating a non-existent Intel RDT configuration is not supported")
    return plan.update(resources, saved, host or probe(), container, shares)
