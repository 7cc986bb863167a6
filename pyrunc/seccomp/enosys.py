"""The ENOSYS stub: what goes before libseccomp's program.

A profile lists the system calls of its day. To a call that was added to the kernel since, its default action
answers EPERM or worse, and a C library that tries the new call before the old one takes that for a refusal and
gives up. So numbers above the largest one that the profile names get ENOSYS, the answer of a kernel that has no
such call, and the library falls back. runc does this since 1.0; the other runtimes do not.

For each architecture, by the architecture that the kernel reports (seccomp(2), struct seccomp_data):

         ld  arch
         jeq ARCH, 0, next      not this one: look at the next
         ld  nr
         jgt LAST, 0, 1         newer than the profile?
         ret ENOSYS
         ja  filter             32-bit distance, while the conditional jumps reach 255 instructions only
    next: ...
"""
from __future__ import annotations

from sys import byteorder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# <linux/bpf_common.h>, <linux/filter.h>
LOAD, JUMP, EQUAL, GREATER, ANY_BIT, RETURN = 0x20, 0x05, 0x15, 0x25, 0x45, 0x06
NUMBER, ARCHITECTURE = 0, 4          # offsets in struct seccomp_data
RETURN_ENOSYS = 0x00050000 | 38
# <linux/audit.h>; a process of the x32 ABI reports the same architecture and sets a bit in its call numbers.
AUDIT_ARCH_X86_64 = 0xC000003E
X32 = 0x4000003E                     # libseccomp's token: it is no AUDIT_ARCH
X32_BIT = 0x40000000
AUDIT_ARCH_S390, AUDIT_ARCH_S390X = 0x00000016, 0x80000016

Instruction = tuple[int, int, int, int]


def stub(last: Mapping[int, int]) -> bytes:
    """The instructions to put before the filter.

    last    {architecture as libseccomp numbers it: largest system call number that the profile names}
    """
    sections = [_section(arch, number) for arch, number in last.items() if arch not in (AUDIT_ARCH_X86_64, X32)]
    if AUDIT_ARCH_X86_64 in last or X32 in last:
        sections.append(_x86_64(last.get(AUDIT_ARCH_X86_64), last.get(X32)))
    code: list[Instruction] = [(LOAD, 0, 0, ARCHITECTURE)] if sections else []
    length = len(code) + sum(map(len, sections))
    for section in sections:
        for operation, yes, no, value in section:
            # "To the filter" is written as -1 in a section, which does not know what follows it.
            target = length - len(code) - 1 if value < 0 else value
            code.append((operation, yes, no, target))
    return b"".join(operation.to_bytes(2, byteorder) + bytes((yes, no)) + value.to_bytes(4, byteorder)
                    for operation, yes, no, value in code)


def _section(arch: int, last: int) -> list[Instruction]:
    body = [(LOAD, 0, 0, NUMBER)]
    if arch in (AUDIT_ARCH_S390, AUDIT_ARCH_S390X):
        # Numbers too large for the instruction go through call 0, and stay 0 when the kernel does not know them.
        body += [(EQUAL, 0, 1, 0), (RETURN, 0, 0, RETURN_ENOSYS)]
    body += _newer(last)
    return [(EQUAL, 0, len(body), arch), *body]


def _x86_64(last: int | None, last_x32: int | None) -> list[Instruction]:
    own, x32 = _newer(last), _newer(last_x32)
    body = [(LOAD, 0, 0, NUMBER), (ANY_BIT, len(own), 0, X32_BIT), *own, *x32]
    return [(EQUAL, 0, len(body), AUDIT_ARCH_X86_64), *body]


def _newer(last: int | None) -> list[Instruction]:
    """With the number loaded: ENOSYS above last, else to the filter. None: the profile names none, ask the filter."""
    to_filter = (JUMP, 0, 0, -1)
    return [to_filter] if last is None else [(GREATER, 0, 1, last), (RETURN, 0, 0, RETURN_ENOSYS), to_filter]

