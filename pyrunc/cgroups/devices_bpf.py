"""linux.resources.devices -> a BPF program that says which device accesses the cgroup's processes may make.

cgroup v2 has no devices files: a program of type BPF_PROG_TYPE_CGROUP_DEVICE is asked at every mknod and open of
a device (bpf(2); kernel/bpf/cgroup.c). The rules keep the meaning that they have in cgroup v1
(security/device_cgroup.c): a list of exceptions to a default.

The default is deny, also when config.json has no rules at all (GHSA-g54h-m393-cpwq: a list that starts from
allow lets a container without rules open every device of the host).
"""
from __future__ import annotations

import sys
from _struct import Struct

from ..errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..config.types import DeviceRule

WHERE = "linux.resources.devices"
BLOCK, CHAR = 1, 2                   # BPF_DEVCG_DEV_*
MKNOD, READ, WRITE = 1, 2, 4         # BPF_DEVCG_ACC_*
ALL = MKNOD | READ | WRITE
ANY = -1                             # wildcard major or minor
TYPES = {"b": BLOCK, "c": CHAR}
LETTERS = {"m": MKNOD, "r": READ, "w": WRITE}

#: What every container may use whatever its rules say: device nodes may be made (opening them is another matter),
#: the default devices of config-linux.md#default-devices, terminals, and tun for the many engines that rely on it.
ALLOWED = ((CHAR, ANY, ANY, MKNOD), (BLOCK, ANY, ANY, MKNOD),
           (CHAR, 1, 3, ALL), (CHAR, 1, 8, ALL), (CHAR, 1, 7, ALL), (CHAR, 5, 0, ALL), (CHAR, 1, 5, ALL),
           (CHAR, 1, 9, ALL), (CHAR, 136, ANY, ALL), (CHAR, 5, 2, ALL), (CHAR, 10, 200, ALL))


class Exceptions:
    """A default, and what is excepted from it: {(type, major, minor): accesses}."""

    def __init__(self) -> None:
        self.allow = False
        self.rules: dict[tuple[int, int, int], int] = {}

    def reset(self, allow: bool) -> None:
        """A rule for all devices: the default becomes that, and no exception is left."""
        self.allow = allow
        self.rules.clear()

    def apply(self, allow: bool, key: tuple[int, int, int], access: int, where: str) -> None:
        """One rule for one device, or for a range of them by wildcards."""
        if allow != self.allow:
            self.rules[key] = self.rules.get(key, 0) | access
            return
        kind, major, minor = key
        for wider in ((kind, ANY, ANY), (kind, ANY, minor), (kind, major, ANY)):
            # An exception for a range cannot lose one member: there is no way to write down the rest.
            if wider != key and self.rules.get(wider, 0) & access:
                raise ConfigError("cannot punch hole in existing wildcard rule: an earlier rule names a whole range "
                                  "and this one takes a part of it back", where)
        left = self.rules.get(key, 0) & ~access
        if left:
            self.rules[key] = left
        else:
            self.rules.pop(key, None)

    @property
    def everything(self) -> bool:
        """Nothing is denied: no program is needed."""
        return self.allow and not self.rules


def exceptions(rules: Sequence[DeviceRule]) -> Exceptions:
    """The rules of config.json in their order, then ALLOWED. Raises ConfigError with the JSON path of a bad rule."""
    state = Exceptions()
    for index, rule in enumerate(rules):
        where = f"{WHERE}[{index}]"
        access = rule.get("access")
        if not access:
            raise ConfigError(f"device access at {index} field cannot be empty", f"{where}.access")
        mask = 0
        for letter in access:
            mask |= LETTERS.get(letter, 0)      # others mean nothing, to runc and crun neither; `check` tells of them
        kind = rule.get("type") or "a"
        if kind == "a":
            state.reset(rule["allow"])
        elif kind not in TYPES:
            raise ConfigError(f'device type "{kind}" is not a, b or c', f"{where}.type")
        else:
            major = _number(rule.get("major"), f"{where}.major")
            minor = _number(rule.get("minor"), f"{where}.minor")
            if mask:
                state.apply(rule["allow"], (TYPES[kind], major, minor), mask, where)
    for device, major, minor, mask in ALLOWED:
        state.apply(True, (device, major, minor), mask, WHERE)
    return state


def _number(value: int | None, where: str) -> int:
    if value is None:
        return ANY
    if not ANY <= value < 1 << 32:
        raise ConfigError(f"device number {value} is out of range", where)
    return value


# ---- the program ------------------------------------------------------------------------------------------------
_LITTLE = sys.byteorder == "little"
_INSTRUCTION = Struct("=BBhi")       # struct bpf_insn: code, registers, offset, immediate
_CONTEXT, _TYPE, _ACCESS, _MAJOR, _MINOR = 1, 2, 3, 4, 5    # registers; r1 is free once the context is read
_LOAD, _MOVE, _MOVE_REGISTER, _AND, _SHIFT = 0x61, 0xb4, 0xbc, 0x54, 0x74   # 32 bits wide
WIDE = 256                           # the verifier's time is quadratic in these, and 600 are too complex
RULES = 1000                         # of one major number, in one part of the program
_UNLESS_EQUAL, _UNLESS_SAME, _IF_ZERO, _EXIT = 0x56, 0x5e, 0x16, 0x95       # BPF_JMP32 (Linux 5.1)


def _op(code: int, to: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    registers = to | source << 4 if _LITTLE else to << 4 | source
    return _INSTRUCTION.pack(code, registers, offset, value - (1 << 32) if value >> 31 else value)


def _answer(allow: bool) -> bytes:
    return _op(_MOVE, 0, value=int(allow)) + _op(_EXIT)


def program(state: Exceptions) -> bytes:
    """The instructions (struct bpf_insn each): 1 for an access that is allowed, 0 for one that is refused.

    struct bpf_cgroup_dev_ctx is three 32-bit words: accesses << 16 | type, major, minor. All matching exceptions
    give the same answer, so they are asked in the order that leaves the kernel's verifier one path to follow for
    each: by type, wide ones first, then by major number, and an exact match ends it either way. (In the order of
    the rules the time to verify is quadratic, and 700 of them are too complex.)
    """
    code = [_op(_LOAD, _TYPE, _CONTEXT, 0), _op(_AND, _TYPE, value=0xffff),
            _op(_LOAD, _ACCESS, _CONTEXT, 0), _op(_SHIFT, _ACCESS, value=16),
            _op(_LOAD, _MAJOR, _CONTEXT, 4), _op(_LOAD, _MINOR, _CONTEXT, 8)]
    for kind in (CHAR, BLOCK):
        code += _of_type(state, kind)
    code.append(_answer(state.allow))
    return b"".join(code)


def _of_type(state: Exceptions, kind: int) -> Iterator[bytes]:
    """The parts for one type, in order. A jump reaches no further than 32,767 instructions: each part is short."""
    wide: list[bytes] = []
    groups: dict[int, list[bytes]] = {}
    for (device, major, minor), access in sorted(state.rules.items()):     # -1, the wildcard, comes first
        if device == kind:
            match = _covers(access, not state.allow)
            if minor != ANY:
                # With a major number the device is settled; without one, that number's own rules are still to come.
                match = _unless(_MINOR, minor, match if major == ANY else _closed([match], state.allow))
            (wide if major == ANY else groups.setdefault(major, [])).append(match)
    minors = sum(device == kind and major == ANY and minor != ANY for device, major, minor in state.rules)
    if minors > WIDE:
        raise ConfigError(f"{minors} rules for one minor number of every major number; the kernel can check "
                          f"at most {WIDE}", WHERE)
    for part in wide:
        yield _unless(_TYPE, kind, part)
        if part == _answer(not state.allow):        # for every device of the type: what follows cannot be reached
            return
    for major, group in groups.items():
        for first in range(0, len(group), RULES):
            part = b"".join(group[first:first + RULES])
            if first + RULES >= len(group) or group[0] == _answer(not state.allow):
                part = _closed(group[first:], state.allow)
            yield _unless(_TYPE, kind, _unless(_MAJOR, major, part))
            if group[0] == _answer(not state.allow):
                break


def _closed(parts: list[bytes], allow: bool) -> bytes:
    """The parts one after the other, then the default answer. An unconditional answer ends it earlier: the kernel
    refuses a program with instructions that cannot be reached."""
    code = b""
    for part in parts:
        code += part
        if part == _answer(not allow):
            return code
    return code + _answer(allow)


def _unless(register: int, value: int, code: bytes) -> bytes:
    """Jump over the code when the register holds another value."""
    return _op(_UNLESS_EQUAL, register, offset=len(code) // 8, value=value) + code


def _covers(access: int, allow: bool) -> bytes:
    """The answer for an exception whose device matches; it goes on behind it when the accesses do not."""
    if access == ALL:
        return _answer(allow)
    # An allowing exception must cover all that is asked for. A denying one refuses when it covers any of it, as
    # cgroup v1 does: else a device denied for writing could be opened for reading and writing.
    answer = _answer(allow)
    differs = _op(_UNLESS_SAME, _CONTEXT, _ACCESS, len(answer) // 8) if allow else \
        _op(_IF_ZERO, _CONTEXT, offset=len(answer) // 8)
    return _op(_MOVE_REGISTER, _CONTEXT, _ACCESS) + _op(_AND, _CONTEXT, value=access) + differs + answer
