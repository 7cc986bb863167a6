"""update: each limit is a step that remembers what was there, so that a failure at one takes back the ones before."""
from __future__ import annotations

import errno

from ..cgroups import resources, update, write
from ..cgroups.update import merged as merged
from ..cgroups.v2 import Cgroup
from ..engine.step import Step
from ..errors import Refused
from .cgroup import CgroupStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..config.types import Resources
    from ..engine.facts import Facts
    from ..host import Host
    from ..kernel.linux import Kernel
    from ..kernel.posix import PosixKernel
    from ..state.container import Container


class Open(CgroupStep):
    """Find the container's cgroup again."""
    name = "update.open"
    spec = "config-linux.md#cgroups-path"
    path: str
    mark: str
    known: tuple[int, bool]

    def describe(self) -> str:
        return f"open cgroup {self.path}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        facts.cgroup_fd = Cgroup(self.path, self.mark, kernel, *self.known).fd
        if facts.cgroup_fd < 0:
            raise Refused(f"cgroup {self.path} is gone or no longer the container's" if self.known[0] else
                          "the container has no cgroup")


class Change(CgroupStep):
    """One value into one file of the cgroup; undo writes the former one.

    put_off   EINVAL is no failure: the same is tried again after the step that makes it possible
    """
    name = "update.limit"
    setting: resources.Setting
    mount: str
    path: str
    put_off: bool = False

    def describe(self) -> str:
        again = " (if refused, again after cpu.max)" if self.put_off else ""
        return f"{self.setting.file} = {self.setting.value}{again}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        before = update.previous(kernel, facts.cgroup_fd, self.setting)
        try:
            write.put(kernel, facts.cgroup_fd, self.setting, self.mount, self.path)
            facts.keep(self, before)
        except OSError as fault:
            if not self.put_off or fault.errno != errno.EINVAL:
                raise

    def undo(self, kernel: PosixKernel, facts: Facts) -> None:
        nothing: list[tuple[str, str]] = []
        for file, value in facts.kept(self, nothing):
            kernel.write_file(file, value, facts.cgroup_fd)


class Properties(CgroupStep):
    """Tell systemd first: whatever it does to the unit's files later, it does with these values."""
    name = "update.properties"
    unit: str
    user: bool
    settings: list[resources.Setting]
    saved: list[resources.Setting]

    def describe(self) -> str:
        return f"set the properties of {self.unit}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        self._set(kernel, self.settings)

    def undo(self, kernel: Kernel, facts: Facts) -> None:
        self._set(kernel, self.saved)

    def _set(self, kernel: PosixKernel, settings: list[resources.Setting]) -> None:
        from ..cgroups.systemd import properties
        from ..cgroups.systemd.unit import Manager
        manager = Manager(self.user, kernel)
        try:
            version = manager.version() if properties.needs_version(settings) else 0
            manager.set_properties(self.unit, properties.of_settings(settings, version))
        finally:
            manager.close()


def check(new: Resources) -> None:
    """ConfigError for a value that only cgroup v1 can hold."""
    resources.check_convertible(new)


def open(container: Container) -> Iterator[Step]:
    """PARENT: facts.cgroup_fd."""
    yield Open(path=container.state["cgroup"], mark=container.state["mark"], known=container.cgroup_known())


def properties(new: Resources, saved: Resources, container: Container) -> Iterator[Step]:
    """PARENT, before the files are written: of a container whose cgroup systemd has made."""
    if container.state.get("unit"):
        yield Properties(unit=container.state["unit"], user=container.state.get("user_manager", False),
                         settings=update.settings(saved, new), saved=resources.settings(saved))


def limits(new: Resources, saved: Resources, host: Host, container: Container) -> Iterator[Step]:
    """PARENT: one value into one file each."""
    path, settings = container.state["cgroup"], update.settings(saved, new)
    bandwidth = any(setting.file == "cpu.max" for setting in settings)
    for setting in settings:
        # The kernel wants burst <= quota at each moment: when both grow, quota has to be first, else burst.
        early = setting.file == "cpu.max.burst" and bandwidth
        yield Change(setting=setting, mount=host.cgroup_mount, path=path, put_off=early, where=setting.where)
        if setting.file == "cpu.max":
            for burst in settings:
                if burst.file == "cpu.max.burst":
                    yield Change(setting=burst, mount=host.cgroup_mount, path=path, where=burst.where)
