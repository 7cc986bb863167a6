"""What a plan is made for. Each planner in steps/ takes it, and reads of it what its subject needs."""
from __future__ import annotations

from .cgroups.path import directory
from .config.environment import Environment
from .config.namespaces import Namespaces
from .paths import absolute

TYPE_CHECKING = False
if TYPE_CHECKING:
    from functools import cached_property as once
    from typing import Any

    from .config.types import Config
    from .host import Host
    from .options import Options
    from .rootfs.mount_options import MountOptions
else:
    class once:
        """A property that is found out when it is first asked for. (To import functools takes 5 ms.)"""

        def __init__(self, find):
            self.find, self.name = find, find.__name__

        def __get__(self, owner, kind=None):
            value = owner.__dict__[self.name] = self.find(owner)
            return value


class Request:
    """A configuration, what the caller asked for, and the host: a plan follows from these three and nothing else.

    config    config.json, checked; of exec with the new `process` in the place of the container's
    options   of the command line or the library
    host      what the host offers

    What several planners want to know of them is found out once. Then a ConfigError may come of it.
    """

    def __init__(self, config: Config, options: Options, host: Host) -> None:
        self.config, self.options, self.host = config, options, host

    @once
    def namespaces(self) -> Namespaces:
        """linux.namespaces, sorted into new and joined ones."""
        return Namespaces(self.config)

    @once
    def mounts(self) -> list[tuple[MountOptions, dict[str, Any]]]:
        """mounts: (options, fields of the step) of each entry. The fields are shared: whoever needs others, copies."""
        from .rootfs.mounts import entries  # exec mounts nothing
        return list(entries(self.config))

    @once
    def environment(self) -> Environment:
        """process.env as the program gets it. Only where there is a process."""
        return Environment(self.config, self.options)

    @once
    def rootfs(self) -> str:
        """The root file system's absolute path on the host; root.path counts from the bundle (config.md#root)."""
        return absolute(self.config["root"]["path"], self.options.bundle)

    @once
    def cgroup(self) -> str:
        """The container's cgroup as an absolute path of the host; "" when it gets none."""
        return directory(self.config, self.options, self.host)
