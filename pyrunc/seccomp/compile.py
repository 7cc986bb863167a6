"""A profile's program, by libseccomp. Importing this module loads the library; the steps do it when they must."""
from __future__ import annotations

import errno
import posix

from .._native._seccomp import ffi, lib
from ..errors import ConfigError, strerror
from ..linux import BPF_MAXINSNS
from . import enosys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .profile import Profile

INSTRUCTION = 8                      # sizeof(struct sock_filter)
#: From here on a binary tree is worth its extra instructions; libseccomp 2.5 gets one without rules wrong.
MANY_CALLS = 32
BINARY_TREE = 2
ARCHITECTURES = "linux.seccomp.architectures"


def program(profile: Profile) -> bytes:
    """The filter as an array of struct sock_filter. Raises ConfigError when libseccomp or the kernel cannot take it."""
    tokens = _architectures(profile)
    filter = lib.seccomp_init(profile.default)
    if filter == ffi.NULL:
        raise MemoryError
    try:
        for name, token in tokens.items():
            _check(lib.seccomp_arch_add(filter, token), f"cannot filter architecture {name}", ARCHITECTURES,
                   (errno.EEXIST,))
        if sum(len(rule.names) for rule in profile.rules) > MANY_CALLS:
            # A library that cannot do this makes a slower program that says the same.
            lib.seccomp_attr_set(filter, lib.SCMP_FLTATR_CTL_OPTIMIZE, BINARY_TREE)
        _add_rules(filter, profile)
        code = _export(filter)
    finally:
        lib.seccomp_release(filter)
    if profile.enosys:
        code = enosys.stub(_last_calls(profile, set(tokens.values()))) + code
    if len(code) > BPF_MAXINSNS * INSTRUCTION:
        raise ConfigError(f"the seccomp filter has {len(code) // INSTRUCTION} instructions, the kernel takes "
                          f"{BPF_MAXINSNS}", "linux.seccomp")
    return code


def unknown_names(profile: Profile) -> Iterator[tuple[str, str]]:
    """(system call, JSON path of its rule) of the names that libseccomp does not know: they are left out."""
    for rule in profile.rules:
        for name in rule.names:
            if lib.seccomp_syscall_resolve_name(name.encode()) == lib.__NR_SCMP_ERROR:
                yield name, rule.where


def version() -> str:
    """The version of libseccomp, as features and --version report it."""
    found = lib.seccomp_version()
    return f"{found.major}.{found.minor}.{found.micro}"


def supported_flags() -> int:
    """SECCOMP_FILTER_FLAG_* that the running kernel takes."""
    flags: int = lib.pr_seccomp_flags()
    return flags


def _architectures(profile: Profile) -> dict[str, int]:
    tokens = {}
    for index, name in enumerate(profile.architectures):
        token = lib.seccomp_arch_resolve_name(name.encode())
        if not token:
            raise ConfigError(f"libseccomp {version()} does not know the architecture {name}",
                              f"{ARCHITECTURES}[{index}]")
        tokens[name] = token
    return tokens


def _add_rules(filter: object, profile: Profile) -> None:
    resolve, add = lib.seccomp_syscall_resolve_name, lib.seccomp_rule_add_array
    unknown = lib.__NR_SCMP_ERROR
    for rule in profile.rules:
        if rule.action == profile.default:
            continue                 # libseccomp refuses what goes without saying
        alternatives = [(len(conditions), ffi.new("struct scmp_arg_cmp[]", conditions))
                        for conditions in rule.alternatives]
        for name in rule.names:
            number = resolve(name.encode())
            if number == unknown:
                continue             # a name of a newer kernel or another architecture: it cannot be called here
            for count, conditions in alternatives:
                result = add(filter, rule.action, number, count, conditions)
                if result < 0:
                    _check(result, f"cannot add a rule for {name}", rule.where)


def _export(filter: object) -> bytes:
    size = 1 << 20
    buffer = ffi.new("char[]", size)
    length = lib.pr_seccomp_export(filter, buffer, size)
    if length < 0:
        raise OSError(ffi.errno, posix.strerror(ffi.errno), "export the seccomp filter")
    return bytes(ffi.buffer(buffer, length))


def _last_calls(profile: Profile, tokens: set[int]) -> dict[int, int]:
    """{architecture: largest number of a system call that the profile names}, whatever it says about it."""
    names = {name.encode() for rule in profile.rules for name in rule.names}
    resolve = lib.seccomp_syscall_resolve_name_arch
    last = {}
    for token in sorted(tokens | {lib.seccomp_arch_native()}):
        number = max((resolve(token, name) for name in names), default=-1)
        if number >= 0:              # negative ones are libseccomp's own, for calls that this architecture has not
            last[token] = number
    return last


def _check(result: int, doing: str, where: str, allowed: tuple[int, ...] = ()) -> None:
    if result < 0 and -result not in allowed:
        raise ConfigError(f"{doing}: {strerror(-result)}", where)
