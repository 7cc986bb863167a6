"""linux.seccomp read: actions, conditions and flags as numbers, or a ConfigError that says where it is wrong."""
from __future__ import annotations

from ..errors import ConfigError
from ..linux import SECCOMP_ACTIONS, SECCOMP_FLAGS, SECCOMP_OPERATORS
from ..step import dataclass_transform

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..config.types import Seccomp, Syscall, SyscallArg

    #: (index of the argument, scmp_compare, value, second value)
    Condition = tuple[int, int, int, int]

ERRNO, TRACE, NOTIFY = (SECCOMP_ACTIONS[f"SCMP_ACT_{name}"] for name in ("ERRNO", "TRACE", "NOTIFY"))
ACTION_MASK = 0xFFFF0000             # the rest is SECCOMP_RET_DATA
EPERM, ENOSYS = 1, 38
MAX_ERRNO = 4095                     # what the kernel cuts an errno of a filter down to
LISTENER, KILLABLE = (SECCOMP_FLAGS[f"SECCOMP_FILTER_FLAG_{name}"] for name in ("NEW_LISTENER", "WAIT_KILLABLE_RECV"))
#: With one thread, and an execve(2) ahead that would end any other, there is nothing to synchronise.
TSYNC = SECCOMP_FLAGS["SECCOMP_FILTER_FLAG_TSYNC"]
#: The last stage tells the runtime that the filter is loaded by write(2), before an agent can be listening.
NEVER_NOTIFY = "write"
CMP_MASKED_EQ = SECCOMP_OPERATORS["SCMP_CMP_MASKED_EQ"]


@dataclass_transform(kw_only_default=True)
class Rule:
    """These names get this action; when there are conditions, only where all of one alternative hold."""
    names: Sequence[str]
    action: int
    alternatives: list[list[Condition]]
    where: str

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)


@dataclass_transform(kw_only_default=True)
class Profile:
    """default and the rules' actions are SECCOMP_RET_* with their data; flags are SECCOMP_FILTER_FLAG_*."""
    default: int
    architectures: list[str]             # libseccomp's names; the native one may be missing
    rules: list[Rule]
    flags: int
    enosys: bool                         # whether calls newer than the profile shall be ENOSYS

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    @property
    def listener(self) -> bool:
        """Some rule asks an agent."""
        return bool(self.flags & LISTENER)


def enabled(seccomp: Seccomp | None) -> bool:
    """An empty object asks for nothing, as in runc."""
    return bool(seccomp) and ("defaultAction" in seccomp or bool(seccomp.get("syscalls")))


def read(seccomp: Seccomp) -> Profile:
    """The profile of linux.seccomp. Raises ConfigError."""
    where = "linux.seccomp"
    if "defaultAction" not in seccomp:
        raise ConfigError("seccomp rules need a default action", f"{where}.defaultAction")
    default = _action(seccomp["defaultAction"], seccomp.get("defaultErrnoRet"), where, "default")
    if default == NOTIFY:
        raise ConfigError("SCMP_ACT_NOTIFY cannot be used as default action", f"{where}.defaultAction")
    rules = [_rule(entry, f"{where}.syscalls[{index}]") for index, entry in enumerate(seccomp.get("syscalls") or ())]
    flags = _flags(seccomp)
    asking = [rule for rule in rules if rule.action == NOTIFY]
    if asking:
        _check_listener(seccomp, asking)
        flags |= LISTENER
    else:
        flags &= ~KILLABLE               # of use, and allowed, only with a listener
    if seccomp.get("listenerMetadata") and not seccomp.get("listenerPath"):
        raise ConfigError("listenerMetadata needs a listenerPath", f"{where}.listenerMetadata")
    permissive = seccomp["defaultAction"] in ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE")
    return Profile(default=default, rules=rules, flags=flags,
                   architectures=[name[len("SCMP_ARCH_"):].lower() for name in seccomp.get("architectures") or ()],
                   enosys=not permissive and seccomp.get("defaultErrnoRet") != ENOSYS)



def _action(name: str, number: int | None, where: str, prefix: str = "") -> int:
    value = SECCOMP_ACTIONS[name]
    key = f"{where}.{prefix}ErrnoRet" if prefix else f"{where}.errnoRet"
    if value not in (ERRNO, TRACE):
        # The spec demands an error where runc looks away: whoever wrote it expects what will not happen.
        if number is not None:
            raise ConfigError(f"{name} takes no errno", key)
        return value
    number = EPERM if number is None else number
    limit = MAX_ERRNO if value == ERRNO else 0xFFFF
    if number > limit:
        raise ConfigError(f"{number} is too large for {name}: at most {limit}", key)
    return value | number


def _rule(entry: Syscall, where: str) -> Rule:
    if not entry["names"]:
        raise ConfigError("a seccomp rule needs at least one name", f"{where}.names")
    conditions = [_condition(arg, f"{where}.args[{index}]") for index, arg in enumerate(entry.get("args") or ())]
    indexes = [condition[0] for condition in conditions]
    # libseccomp takes one condition for each argument. As in runc, a second one for the same argument turns all
    # of them into alternatives.
    if len(set(indexes)) < len(indexes):
        alternatives = [[condition] for condition in conditions]
    else:
        alternatives = [conditions]
    return Rule(names=entry["names"], action=_action(entry["action"], entry.get("errnoRet"), where),
                alternatives=alternatives, where=where)


def _condition(arg: SyscallArg, where: str) -> Condition:
    if arg["index"] > 5:
        raise ConfigError(f"a system call has no argument {arg['index']}: 0 to 5", f"{where}.index")
    operator, second = SECCOMP_OPERATORS[arg["op"]], arg.get("valueTwo", 0)
    return arg["index"], operator, arg["value"], second if operator == CMP_MASKED_EQ else 0


def _flags(seccomp: Seccomp) -> int:
    given = seccomp.get("flags")
    if given is None:
        # As runc: without it every filtered process would pay for Speculative Store Bypass mitigation.
        # Every kernel that has mount_setattr(2) knows this flag.
        return SECCOMP_FLAGS["SECCOMP_FILTER_FLAG_SPEC_ALLOW"]
    flags = 0
    for name in given:
        flags |= SECCOMP_FLAGS[name]
    return flags & ~TSYNC


def _check_listener(seccomp: Seccomp, asking: list[Rule]) -> None:
    for rule in asking:
        if NEVER_NOTIFY in rule.names:
            raise ConfigError(f"SCMP_ACT_NOTIFY cannot be used for the {NEVER_NOTIFY} syscall", f"{rule.where}.names")
    if not seccomp.get("listenerPath"):
        raise ConfigError("SCMP_ACT_NOTIFY needs a listenerPath", asking[0].where)
