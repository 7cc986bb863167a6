"""What a filter answers to a system call, and which rule decides: the program itself is run, by instructions.

So what is told is what the kernel would do, whatever libseccomp has made of the profile.
"""
from __future__ import annotations

from sys import byteorder

from .._native._seccomp import lib
from ..errors import UsageError, strerror
from ..kernel.constants import SECCOMP_ACTIONS
from . import compile, profile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..config.types import Seccomp
    from .profile import Condition, Rule

# <linux/bpf_common.h>: the instructions that libseccomp and enosys.py use
LOAD, RETURN, JUMP, AND = 0x20, 0x06, 0x05, 0x54
CONDITIONS = {0x15: lambda a, k: a == k, 0x25: lambda a, k: a > k, 0x35: lambda a, k: a >= k,
              0x45: lambda a, k: a & k != 0}
ACTION, DATA = 0xFFFF0000, 0x0000FFFF
OPERATORS = {1: "!=", 2: "<", 3: "<=", 4: "==", 5: ">=", 6: ">"}
MASKED = 7
ARGUMENTS = 6
WORDS = {"SCMP_ACT_ALLOW": "allowed", "SCMP_ACT_LOG": "allowed, and logged",
         "SCMP_ACT_KILL_THREAD": "the thread is killed",
         "SCMP_ACT_KILL_PROCESS": "the process is killed", "SCMP_ACT_TRAP": "the process gets SIGSYS",
         "SCMP_ACT_NOTIFY": "the agent at listenerPath answers"}


class Answer:
    """call is a name. value is SECCOMP_RET_* with its data, or None where it depends on arguments that are not known;
    where: the JSON path of what decides ("" for what comes before the profile: enosys.py)."""
    __slots__ = ("arguments", "call", "default", "number", "rules", "value", "where")

    def __init__(self, call: str, number: int, arguments: Sequence[int], value: int | None, where: str,
                 rules: Sequence[Rule], default: int) -> None:
        self.call, self.number, self.arguments, self.value, self.where = call, number, arguments, value, where
        self.rules, self.default = rules, default

    def text(self) -> str:
        """Lines with their newlines: the answer, then each rule that names the call."""
        shown = f"{self.call}({', '.join(map(hex, self.arguments))})" if self.arguments else self.call
        if self.value is None:
            lines = [f"{shown}: it depends on the arguments"]
        else:
            lines = [f"{shown}: {said(self.value)}", f"  decided by {self.where or NEWER}"]
        for rule in self.rules:
            lines.append(f"  {rule.where}: {said(rule.action)}{_where(rule)}")
        if self.value is None or self.where != DEFAULT or self.rules:
            lines.append(f"  {DEFAULT}: {said(self.default)}, where no rule does")
        return "".join(f"{line}\n" for line in lines)

    def record(self) -> dict[str, Any]:
        """For programs. answer and decidedBy are null where the arguments would be needed."""
        return {"call": self.call, "number": self.number, "arguments": list(self.arguments),
                "answer": None if self.value is None else action(self.value),
                "errno": self.value & DATA if self.value is not None and self.value & ACTION == ERRNO else None,
                "decidedBy": None if self.value is None else self.where,
                "rules": [{"where": rule.where, "action": action(rule.action), "conditions": _where(rule)}
                          for rule in self.rules]}


DEFAULT = "linux.seccomp.defaultAction"
NEWER = "no rule: the call is newer than all that the profile names, so it is not implemented (as in runc)"
ERRNO, TRACE = SECCOMP_ACTIONS["SCMP_ACT_ERRNO"], SECCOMP_ACTIONS["SCMP_ACT_TRACE"]


def answer(seccomp: Seccomp, call: str, arguments: Sequence[int] = ()) -> Answer:
    """The filter's answer to a call of this machine, by name or number, with the arguments that are known.

    UsageError for what is no call here, ConfigError for a profile that cannot be compiled.
    """
    name, number = _known(call)
    read = profile.read(seccomp)
    rules = [rule for rule in read.rules if name in rule.names]
    if _needed(rules) > len(arguments):
        return Answer(name, number, arguments, None, "", rules, read.default)
    value = run(compile.program(read), lib.seccomp_arch_native(), number, [*arguments, *[0] * ARGUMENTS][:ARGUMENTS])
    decides = next((rule for rule in rules if rule.action == value and holds(rule, arguments)), None)
    if decides is not None:
        where = decides.where
    else:
        newer = read.enosys and not rules and value == ERRNO | profile.ENOSYS != read.default
        where = "" if newer else DEFAULT
    return Answer(name, number, arguments, value, where, rules, read.default)


def numbers(words: Sequence[str]) -> list[int]:
    """Arguments as they are typed: decimal, or with 0x or 0o; a negative one as the kernel sees it. UsageError."""
    found = []
    for word in words:
        try:
            value = int(word, 0)
        except ValueError:
            value = 1 << 64
        if not -1 << 63 <= value < 1 << 64:
            raise UsageError(f"{word}: an argument of a system call is a number of at most 64 bits")
        found.append(value & (1 << 64) - 1)
    if len(found) > ARGUMENTS:
        raise UsageError(f"a system call has at most {ARGUMENTS} arguments")
    return found


def run(program: bytes, architecture: int, number: int, arguments: Sequence[int]) -> int:
    """SECCOMP_RET_* and its data: what the kernel's interpreter makes of a filter (seccomp(2), struct seccomp_data)."""
    data = b"".join((number.to_bytes(4, byteorder), architecture.to_bytes(4, byteorder), bytes(8),
                     *(value.to_bytes(8, byteorder) for value in arguments)))
    accumulator, at = 0, 0
    while True:
        code = int.from_bytes(program[at:at + 2], byteorder)
        yes, no = program[at + 2], program[at + 3]
        value = int.from_bytes(program[at + 4:at + 8], byteorder)
        at += compile.INSTRUCTION
        if code == RETURN:
            return value
        if code == LOAD:
            accumulator = int.from_bytes(data[value:value + 4], byteorder)
        elif code == AND:
            accumulator &= value
        elif code == JUMP:
            at += value * compile.INSTRUCTION
        elif code in CONDITIONS:
            at += (yes if CONDITIONS[code](accumulator, value) else no) * compile.INSTRUCTION
        else:
            raise ValueError(f"an instruction that no filter has here: {code:#x}")


def holds(rule: Rule, arguments: Sequence[int]) -> bool:
    """Whether the rule is for a call with these arguments: all conditions of one of its alternatives are true."""
    return any(all(_true(condition, arguments) for condition in alternative) for alternative in rule.alternatives)


def _true(condition: Condition, arguments: Sequence[int]) -> bool:
    index, operator, value, second = condition
    given = arguments[index]
    return {1: given != value, 2: given < value, 3: given <= value, 4: given == value, 5: given >= value,
            6: given > value, MASKED: given & value == second & value}[operator]


def _needed(rules: Sequence[Rule]) -> int:
    """How many arguments have to be known."""
    return max((condition[0] + 1 for rule in rules for alternative in rule.alternatives for condition in alternative),
               default=0)


def _known(call: str) -> tuple[str, int]:
    number = lib.seccomp_syscall_resolve_name(call.encode())
    if call.isascii() and call.isdigit() and len(call) < 6:
        name = compile._name(lib.seccomp_arch_native(), int(call))
        return name.decode() or call, int(call)
    if number == lib.__NR_SCMP_ERROR:
        raise UsageError(f"libseccomp {compile.version()} does not know the system call {call}")
    if number < 0:
        raise UsageError(f"this machine has no system call {call}")
    return call, number


def action(value: int) -> str:
    """The name of SECCOMP_RET_* as profiles have it."""
    names = {number: name for name, number in SECCOMP_ACTIONS.items() if name != "SCMP_ACT_KILL"}
    return names.get(value & ACTION, hex(value))


def said(value: int) -> str:
    """What an answer means to the caller."""
    name = action(value)
    if name == "SCMP_ACT_ERRNO":
        number = value & DATA
        return f"refused with errno {number} ({strerror(number)})"
    if name == "SCMP_ACT_TRACE":
        return "left to a tracer, and not implemented without one"
    return WORDS.get(name, name)


def _where(rule: Rule) -> str:
    """ " where ..." for a rule with conditions."""
    alternatives = [" and ".join(_condition(condition) for condition in alternative)
                    for alternative in rule.alternatives if alternative]
    return f" where {' or '.join(alternatives)}" if alternatives else ""


def _condition(condition: Condition) -> str:
    index, operator, value, second = condition
    if operator == MASKED:
        return f"argument {index} & {value:#x} == {second:#x}"
    return f"argument {index} {OPERATORS[operator]} {value:#x}"
