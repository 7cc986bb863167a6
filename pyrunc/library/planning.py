"""What needs no container: a config to begin with, the plan of create, and what is wrong with a bundle."""
from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from ..errors import UsageError

if TYPE_CHECKING:
    from types import ModuleType

    from ..checks.findings import Finding
    from ..config.types import Config
    from ..engine.step import Plan
    from ..plan import checkpoint as _checkpoint
    from ..plan import create as _create
    from ..plan import delete as _delete
    from ..plan import exec as _exec
    from ..plan import kill as _kill
    from ..plan import pause as _pause
    from ..plan import restore as _restore
    from ..plan import resume as _resume
    from ..plan import start as _start
    from ..plan import update as _update

    class Orders(ModuleType):
        """pyrunc.plan, which is the module that has the order of every command, and can be called like explain()."""
        def __call__(self, config: Mapping[str, Any], bundle: str = "", systemd: bool = False) -> Plan: ...

        checkpoint = staticmethod(_checkpoint)
        create = staticmethod(_create)
        delete = staticmethod(_delete)
        exec = staticmethod(_exec)
        kill = staticmethod(_kill)
        pause = staticmethod(_pause)
        restore = staticmethod(_restore)
        resume = staticmethod(_resume)
        start = staticmethod(_start)
        update = staticmethod(_update)

    plan: Orders


def spec(rootless: bool | None = None) -> dict[str, Any]:
    """A config like that of `pyrunc spec`, but without a terminal.

    rootless  for a container of the calling user; None: if that is not root
    """
    from ..config.example import example
    from ..config.example import rootless as of_user
    config = example()
    config["process"]["terminal"] = False
    return of_user(config) if (os.geteuid() != 0 if rootless is None else rootless) else config


def explain(config: Mapping[str, Any], bundle: str = "", systemd: bool = False) -> Plan:
    """The plan of create for this config, here and now: its steps, in order. No effects, and no need of root.

    bundle  absolute; what relative paths in the config count from
    Raises ConfigError.
    """
    from .. import plan
    from ..config.check import check as checked
    from ..host import probe
    from ..options import Options
    wanted = cast("Config", dict(config))
    checked(wanted)
    if bundle and not bundle.startswith("/"):
        raise UsageError(f"bundle {bundle} is not an absolute path")
    options = Options(id="ID", bundle=bundle or "/", nonce="NONCE", systemd_cgroup=systemd,
                      cgroup_manager="systemd" if systemd else "cgroupfs",
                      console_socket="SOCKET" if wanted.get("process", {}).get("terminal") else "")
    return plan.create(wanted, options, probe())


def check(bundle: str) -> list[Finding]:
    """All that is wrong with a bundle, by the specification and on this host; errors first, then warnings.

    bundle  its directory
    """
    from ..checks.findings import examine
    return examine(os.path.abspath(bundle))
