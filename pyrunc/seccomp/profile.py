"""linux.seccomp in the kernel's numbers. What config.json may say is checked before (config/rules/seccomp.py)."""
from __future__ import annotations

from ..engine.fields import Fields
from ..kernel.constants import SECCOMP_ACTIONS, SECCOMP_FLAGS, SECCOMP_OPERATORS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..config.types import Config, Seccomp, Syscall, SyscallArg

    #: (index of the argument, scmp_compare, value, second value)
    Condition = tuple[int, int, int, int]

ALLOWING = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG")
NOTIFY = "SCMP_ACT_NOTIFY"
WITH_ERRNO = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
EPERM, ENOSYS = 1, 38
KILLABLE = SECCOMP_FLAGS["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]
#: With one thread, and an execve(2) ahead that would end any other, there is nothing to synchronise.
TSYNC = SECCOMP_FLAGS["SECCOMP_FILTER_FLAG_TSYNC"]


class Rule(Fields):
    """These names get this action (SECCOMP_RET_* and its data); if there are conditions, where all of one list hold."""
    names: Sequence[str]
    action: int
    alternatives: list[list[Condition]]
    where: str


class Profile(Fields):
    """What makes the program. default is SECCOMP_RET_* and its data."""
    default: int
    architectures: list[str]         # libseccomp's names; the native one may be missing
    rules: list[Rule]
    enosys: bool                     # calls newer than the profile get ENOSYS (enosys.py)


def read(seccomp: Seccomp) -> Profile:
    """The profile of linux.seccomp."""
    default = seccomp["defaultAction"]
    return Profile(
        default=_action(default, seccomp.get("defaultErrnoRet")),
        architectures=[name[len("SCMP_ARCH_"):].lower() for name in seccomp.get("architectures", ())],
        rules=[_rule(entry, f"linux.seccomp.syscalls[{index}]")
               for index, entry in enumerate(seccomp.get("syscalls", ()))],
        enosys=default not in (*ALLOWING, "SCMP_ACT_TRACE") and seccomp.get("defaultErrnoRet") != ENOSYS)


def asks_agent(seccomp: Seccomp) -> bool:
    """Some rule leaves the answer to the listener."""
    return any(entry["action"] == NOTIFY for entry in seccomp.get("syscalls", ()))


def flags(seccomp: Seccomp) -> int:
    """SECCOMP_FILTER_FLAG_* to load the program with, apart from NEW_LISTENER."""
    given = seccomp.get("flags")
    if given is None:
        # As runc: otherwise every filtered process pays for Speculative Store Bypass mitigation. A kernel that has
        # mount_setattr(2), without which there is no container here, knows this flag.
        return SECCOMP_FLAGS["SECCOMP_FILTER_FLAG_SPEC_ALLOW"]
    number = 0
    for name in given:
        number |= SECCOMP_FLAGS[name]
    # The kernel refuses this one without a listener, where it means nothing.
    unwanted = TSYNC if asks_agent(seccomp) else TSYNC | KILLABLE
    return number & ~unwanted


def allows(config: Config, calls: Iterable[str]) -> bool:
    """Whether the container's filter, if it has one, lets these calls pass whatever their arguments are."""
    seccomp = config.get("linux", {}).get("seccomp")
    if not seccomp:
        return True
    passing, refused = set(), set()
    for entry in seccomp.get("syscalls", ()):
        if entry["action"] in ALLOWING and not entry.get("args"):
            passing.update(entry["names"])
        elif entry["action"] not in ALLOWING:
            refused.update(entry["names"])
    return all(call not in refused if seccomp["defaultAction"] in ALLOWING else call in passing for call in calls)


def lets_pass(seccomp: Seccomp, call: str, first: int | None = None) -> bool:
    """Whether the filter surely lets this call pass. first: its first argument, if that is known."""
    entries = [entry for entry in seccomp.get("syscalls", ()) if call in entry["names"]]
    if any(entry["action"] not in ALLOWING for entry in entries):
        return False
    return seccomp["defaultAction"] in ALLOWING or any(
        all(first is not None and _holds(_condition(arg), first) for arg in entry.get("args", ())) for entry in entries)


def _holds(condition: Condition, first: int) -> bool:
    """Whether the condition is one for the first argument, and surely true."""
    index, operator, value, second = condition
    found = {SECCOMP_OPERATORS["SCMP_CMP_EQ"]: first == value, SECCOMP_OPERATORS["SCMP_CMP_NE"]: first != value,
             SECCOMP_OPERATORS["SCMP_CMP_MASKED_EQ"]: first & value == second}
    return index == 0 and found.get(operator, False)


def _action(name: str, number: int | None) -> int:
    value = SECCOMP_ACTIONS[name]
    return value | (EPERM if number is None else number) if name in WITH_ERRNO else value


def _rule(entry: Syscall, where: str) -> Rule:
    conditions = [_condition(arg) for arg in entry.get("args", ())]
    # libseccomp takes one condition for each argument. As in runc, a second one for the same argument turns all of
    # them into alternatives.
    repeated = len({index for index, *_ in conditions}) < len(conditions)
    return Rule(names=entry["names"], action=_action(entry["action"], entry.get("errnoRet")), where=where,
                alternatives=[[condition] for condition in conditions] if repeated else [conditions])


def _condition(arg: SyscallArg) -> Condition:
    second = arg.get("valueTwo", 0) if arg["op"] == "SCMP_CMP_MASKED_EQ" else 0
    return arg["index"], SECCOMP_OPERATORS[arg["op"]], arg["value"], second
