"""A profile's program, by libseccomp. Importing this module loads the library; the steps do it when they must."""
from __future__ import annotations

import errno
import posix

from .._native._seccomp import ffi, lib
from ..errors import ConfigError, strerror
from ..kernel.constants import BPF_MAXINSNS, SECCOMP_ACTIONS
from . import enosys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from .profile import Profile

INSTRUCTION = 8                      # sizeof(struct sock_filter)
#: From here on a binary tree is worth its extra instructions; libseccomp 2.5 gets one without rules wrong.
MANY_CALLS = 32
BINARY_TREE = 2
ARCHITECTURES = "linux.seccomp.architectures"
PASSING = (SECCOMP_ACTIONS["SCMP_ACT_ALLOW"], SECCOMP_ACTIONS["SCMP_ACT_LOG"])
#: The highest that the kernel has (MAX_ERRNO); libseccomp ends below it.
LAST_ERRNO, ERRNO_MASK = 4095, 0xFFFF
#: On the architectures with multiplexed calls.
HIGHEST_CALL = 1023


def program(profile: Profile) -> bytes:
    """The filter as an array of struct sock_filter. Raises ConfigError when libseccomp or the kernel cannot take it."""
    tokens = _architectures(profile)
    _check_size(profile, tokens[0][1])
    filter = _filter(profile, *tokens[0])
    try:
        for name, token in tokens[1:]:
            other = _filter(profile, name, token)
            result = lib.seccomp_merge(filter, other)      # frees the other one, unless it fails
            if result < 0:
                lib.seccomp_release(other)
                raise ConfigError(f"cannot filter architecture {name} as well: {strerror(-result)}", ARCHITECTURES)
        code = _export(filter)
    finally:
        lib.seccomp_release(filter)
    if profile.enosys:
        code = enosys.stub(_last_calls(profile, [token for _, token in tokens])) + code
    if len(code) > BPF_MAXINSNS * INSTRUCTION:
        raise ConfigError(f"the seccomp filter has {len(code) // INSTRUCTION} instructions, the kernel takes "
                          f"{BPF_MAXINSNS}", "linux.seccomp")
    return code


def _check_size(profile: Profile, token: int) -> None:
    """Refuse what cannot fit before libseccomp, whose time is quadratic, has taken minutes to find that out.

    What a call's argument is compared with takes an instruction at least, however it is arranged; but where the call
    is not known, or has one answer whatever its arguments are.
    """
    compared: set[tuple[str, object]] = set()
    rules = [rule for rule in profile.rules if rule.action != profile.default]
    if sum(len(rule.alternatives) * len(rule.names) for rule in rules) <= BPF_MAXINSNS:
        return
    settled = {name for rule in rules if [] in rule.alternatives for name in rule.names}
    for rule in rules:
        for name in rule.names:
            if name in settled or lib.seccomp_syscall_resolve_name_rewrite(token, name.encode()) < 0:
                continue
            for alternative in rule.alternatives:
                compared.update((name, condition) for condition in alternative)
                if len(compared) > BPF_MAXINSNS:
                    raise ConfigError(f"the seccomp filter has more than {BPF_MAXINSNS} instructions, the kernel takes "
                                      f"{BPF_MAXINSNS}", rule.where)


def unknown_names(profile: Profile, refused: bool = False) -> Iterator[tuple[str, str]]:
    """(system call, JSON path of its rule) of the names that libseccomp does not know: they are left out.

    refused   only those that pass for want of a rule. Every profile names some calls that are newer than the library,
    to
              let them pass, and nothing is lost
    """
    for rule in profile.rules:
        if refused and (rule.action in PASSING or profile.default not in PASSING):
            continue
        for name in rule.names:
            if lib.seccomp_syscall_resolve_name(name.encode()) == lib.__NR_SCMP_ERROR:
                yield name, rule.where


def version() -> str:
    """The version of libseccomp, as features and --version report it."""
    found = lib.seccomp_version()
    return f"{found.major}.{found.minor}.{found.micro}"


def knows(architecture: str) -> bool:
    """Whether libseccomp has an architecture of config.json's."""
    return bool(lib.seccomp_arch_resolve_name(architecture.removeprefix("SCMP_ARCH_").lower().encode()))


def _architectures(profile: Profile) -> list[tuple[str, int]]:
    """[(name, libseccomp's token)], each once, the native one first."""
    tokens = {lib.seccomp_arch_native(): "of this machine"}
    for index, name in enumerate(profile.architectures):
        token = lib.seccomp_arch_resolve_name(name.encode())
        if not token:
            raise ConfigError(f"libseccomp {version()} does not know the architecture {name}",
                              f"{ARCHITECTURES}[{index}]")
        tokens[token] = name
    return [(name, token) for token, name in tokens.items()]


def _filter(profile: Profile, architecture: str, token: int) -> Any:
    """The filter of one architecture, with rules only for the calls that it has.

    They could all be in one, and libseccomp would know which calls are whose. But where the first rule is for a call
    that neither x86_64 nor x32 has, libseccomp 2.5 forgets to load the number of the call before it is compared
    with those that come next, and none of them ever matches.
    """
    filter = lib.seccomp_init(profile.default)
    if filter == ffi.NULL:
        if profile.default & ERRNO_MASK == LAST_ERRNO:
            raise ConfigError(_no_last_errno(), "linux.seccomp.defaultErrnoRet")
        raise MemoryError
    try:
        if token != lib.seccomp_arch_native():
            _check(lib.seccomp_arch_add(filter, token), f"cannot filter architecture {architecture}", ARCHITECTURES)
            _check(lib.seccomp_arch_remove(filter, lib.seccomp_arch_native()), "cannot filter", ARCHITECTURES)
        if sum(len(rule.names) for rule in profile.rules) > MANY_CALLS:
            # A library that cannot do this makes a slower program that says the same.
            lib.seccomp_attr_set(filter, lib.SCMP_FLTATR_CTL_OPTIMIZE, BINARY_TREE)
        _add_rules(filter, profile, token)
    except ConfigError:
        lib.seccomp_release(filter)
        raise
    return filter


def _add_rules(filter: Any, profile: Profile, token: int) -> None:
    resolve, here, add = (lib.seccomp_syscall_resolve_name, lib.seccomp_syscall_resolve_name_rewrite,
                          lib.seccomp_rule_add_array)
    for rule in profile.rules:
        if rule.action == profile.default:
            continue                 # libseccomp refuses what goes without saying
        alternatives = [(len(conditions), ffi.new("struct scmp_arg_cmp[]", conditions))
                        for conditions in rule.alternatives]
        for name in rule.names:
            text = name.encode()
            if here(token, text) < 0:
                continue             # a call of a newer kernel or another architecture: it cannot be made here
            number = resolve(text)   # rules go by the native number, or libseccomp's own for what is not native
            for count, conditions in alternatives:
                result = add(filter, rule.action, number, count, conditions)
                if result == -errno.EINVAL and rule.action & ERRNO_MASK == LAST_ERRNO:
                    raise ConfigError(_no_last_errno(), f"{rule.where}.errnoRet")
                if result < 0:
                    _check(result, f"cannot add a rule for {name}", rule.where)


def _no_last_errno() -> str:
    return f"libseccomp {version()} takes no errno above {LAST_ERRNO - 1}"


def _export(filter: Any) -> bytes:
    size = 1 << 20
    buffer = ffi.new("char[]", size)
    length = lib.pr_seccomp_export(filter, buffer, size)
    if length < 0:
        raise OSError(ffi.errno, posix.strerror(ffi.errno), "export the seccomp filter")
    return bytes(ffi.buffer(buffer, length))


def _last_calls(profile: Profile, tokens: Sequence[int]) -> dict[int, int]:
    """{architecture: largest number of a system call that the profile names}, whatever it says about it."""
    names = {name.encode() for rule in profile.rules for name in rule.names}
    last = {}
    for token in tokens:
        numbers = [lib.seccomp_syscall_resolve_name_arch(token, name) for name in names]
        highest = max(numbers, default=-1)
        if min(numbers, default=0) < lib.__NR_SCMP_ERROR:
            # Numbers below that one are libseccomp's own, for calls that the architecture has not, or has twice: on
            # its own and behind socketcall(2) or ipc(2). Then only looking tells the number.
            highest = next((number for number in range(HIGHEST_CALL, highest, -1) if _name(token, number) in names),
                           highest)
        if highest >= 0:
            last[token] = highest
    return last


def _name(token: int, number: int) -> bytes:
    text = lib.seccomp_syscall_resolve_num_arch(token, number)
    if text == ffi.NULL:
        return b""
    name: bytes = ffi.string(text)
    lib.free(text)
    return name


def _check(result: int, doing: str, where: str) -> None:
    if result < 0:
        raise ConfigError(f"{doing}: {strerror(-result)}", where)
