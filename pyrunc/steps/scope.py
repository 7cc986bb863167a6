"""The systemd driver's way: a scope of systemd around the init, which has just been cloned and waits."""
from __future__ import annotations

from ..cgroups import create as creation
from ..cgroups import devices_bpf
from ..cgroups import path as place
from ..cgroups import resources as limit
from ..cgroups.systemd import properties
from ..cgroups.systemd.unit import Manager, Unit
from ..cgroups.v2 import Cgroup
from ..errors import ConfigError, Refused
from ..paths import clean
from .cgroup import END_SECONDS, CgroupStep, of_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..config.types import Resources
    from ..engine.facts import Facts
    from ..engine.step import Step
    from ..kernel.linux import Kernel
    from ..request import Request
    from .join import Cgroup as Joined

SUBGROUP = "run.oci.systemd.subgroup"


class Start(CgroupStep):
    """Ask systemd for the unit, with the init in it and the limits set; then the cgroup is ours to work on."""
    name = "scope.start"
    spec = "config-linux.md#cgroups-path"
    unit: Unit
    properties: dict[str, tuple[str, Any]]
    settings: list[limit.Setting]
    mount: str
    mark: str

    def describe(self) -> str:
        return f"start {self.unit.name} in {self.unit.slice} of the {'user' if self.unit.user else 'system'}'s systemd"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        manager = Manager(self.unit.user, kernel)
        try:
            version = manager.version() if properties.needs_version(self.settings) else 0
            asked = {**self.properties, **properties.of_settings(self.settings, version)}
            manager.start(self.unit.name, self.mark, {**asked, "PIDs": ("au", [facts.pid])})
        finally:
            manager.close()
        found = of_process(kernel, facts.pid)
        if found.strip("/") != self.unit.cgroup:
            raise Refused(f"systemd put the container into {found}, not /{self.unit.cgroup}")
        facts.cgroup_fd = creation.take(kernel, self.mount, f"{self.mount}/{self.unit.cgroup}",
                                        limit.controllers(self.settings), self.mark)

    def undo(self, kernel: Kernel, facts: Facts) -> None:
        if facts.cgroup_fd >= 0:
            kernel.close(facts.cgroup_fd)
            facts.cgroup_fd = -1
        cgroup = Cgroup(f"{self.mount}/{self.unit.cgroup}", self.mark, kernel)
        cgroup.kill()
        cgroup.wait_empty(END_SECONDS)
        manager = Manager(self.unit.user, kernel)
        try:
            cgroup.remove()
            manager.stop(self.unit.name, self.mark)
        finally:
            manager.close()
            cgroup.close()


class Attach(CgroupStep):
    """exec: ask systemd to move the new process into the scope, unless it was born there."""
    name = "scope.attach"
    spec = "config-linux.md#cgroups-path"
    unit: str
    user: bool
    joined: Joined

    def describe(self) -> str:
        return f"make sure that the process is in {self.unit}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        if facts.cgroup_fd < 0:
            manager = Manager(self.user, kernel)
            try:
                manager.attach(self.unit, facts.kept(self.joined, "").removeprefix(self.joined.path), [facts.pid])
            finally:
                manager.close()


class Subgroup(CgroupStep):
    """Move the init into a cgroup below the unit's, so that a systemd in the container finds its own empty parent."""
    name = "scope.subgroup"
    spec = "config-linux.md#cgroups-path"
    subgroup: str

    def describe(self) -> str:
        return f"move the init into {self.subgroup} below the unit's cgroup"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        try:
            kernel.mkdir(self.subgroup, 0o755, facts.cgroup_fd)
        except FileExistsError:
            pass
        kernel.write_file(f"{self.subgroup}/cgroup.procs", str(facts.pid), facts.cgroup_fd)


class Properties(CgroupStep):
    """Tell systemd of limits that are about to be written: it writes what it knows whenever it likes."""
    name = "scope.properties"
    unit: Unit
    settings: list[limit.Setting]

    def describe(self) -> str:
        return f"set {', '.join(sorted(properties.of_settings(self.settings, 0)))} of {self.unit.name}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        manager = Manager(self.unit.user, kernel)
        try:
            manager.set_properties(self.unit.name, properties.of_settings(self.settings, 0))
        finally:
            manager.close()


def set_late(want: Request, settings: list[limit.Setting]) -> Iterator[Step]:
    """PARENT, before these are written into the cgroup."""
    yield Properties(unit=Unit(want.config, want.options, want.host), settings=settings, where=settings[0].where)


def start(want: Request, at_once: bool) -> Iterator[Step]:
    """PARENT, right after the clone: the unit, with what systemd has properties for. at_once: all limits, now."""
    unit = Unit(want.config, want.options, want.host)
    resources: Resources = want.config.get("linux", {}).get("resources") or {}
    annotations = want.config.get("annotations") or {}
    asked: dict[str, tuple[str, Any]] = {
        "Slice": ("s", unit.slice), "Delegate": ("b", True), "DefaultDependencies": ("b", False),
        **{f"{name}Accounting": ("b", True) for name in ("CPU", "Memory", "IO", "Tasks")}}
    if want.host.privileged and not unit.user:
        asked.update(properties.of_devices(devices_bpf.exceptions(resources.get("devices") or [])))
    asked.update(properties.of_annotations(annotations))
    settings = limit.settings(resources)
    properties.of_settings(settings, 0)          # so that a value systemd cannot take is told before the clone
    if not at_once:
        settings = [setting for setting in settings if not limit.waits(setting)]
    yield Start(unit=unit, properties=asked, settings=settings, mount=want.host.cgroup_mount,
                mark=place.mark(want.options), where=place.WHERE)
    subgroup = annotations.get(SUBGROUP) or ""
    if subgroup:
        if clean(subgroup) != subgroup or "/" in subgroup:
            raise ConfigError(f'"{subgroup}" is not the name of a cgroup', f'annotations["{SUBGROUP}"]')
        yield Subgroup(subgroup=subgroup, where=f'annotations["{SUBGROUP}"]')
