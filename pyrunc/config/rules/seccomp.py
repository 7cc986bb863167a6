"""config-linux.md#seccomp: actions, their errno, and the listener."""
from __future__ import annotations

from ...errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..types import Config

NOTIFY = "SCMP_ACT_NOTIFY"
#: The actions that carry a number; TRACE hands it to the tracer.
WITH_ERRNO = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")


def rules(config: Config) -> Iterator[ConfigError]:
    seccomp = config.get("linux", {}).get("seccomp")
    if not seccomp:
        return
    where, default, listener = "linux.seccomp", seccomp["defaultAction"], seccomp.get("listenerPath")
    if default == NOTIFY:
        yield ConfigError("SCMP_ACT_NOTIFY cannot be used as default action: the calls of the agent would wait, too",
                          f"{where}.defaultAction")
    if "defaultErrnoRet" in seccomp and default not in WITH_ERRNO:
        yield ConfigError(f"{default} takes no errno", f"{where}.defaultErrnoRet")
    if "listenerMetadata" in seccomp and not listener:
        yield ConfigError("listenerMetadata needs a listenerPath", f"{where}.listenerMetadata")
    for index, rule in enumerate(seccomp.get("syscalls", ())):
        action, place = rule["action"], f"{where}.syscalls[{index}]"
        if "errnoRet" in rule and action not in WITH_ERRNO:
            yield ConfigError(f"{action} takes no errno", f"{place}.errnoRet")
        if action == NOTIFY:
            if not listener:
                yield ConfigError("SCMP_ACT_NOTIFY needs a listenerPath", f"{place}.action")
            if "write" in rule["names"]:
                yield ConfigError("SCMP_ACT_NOTIFY cannot be used for the write syscall: the runtime hands over the "
                                  "listener with it", f"{place}.names[{rule['names'].index('write')}]")
