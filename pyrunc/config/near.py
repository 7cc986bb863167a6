"""The known name that a misspelt one was probably meant to be. Loaded only when there is an unknown one."""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

#: What other tools and people call things, where no likeness of letters would tell.
OTHERWISE = {
    "SCMP_ARCH_AMD64": "SCMP_ARCH_X86_64", "SCMP_ARCH_X64": "SCMP_ARCH_X86_64", "SCMP_ARCH_ARM64": "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_I386": "SCMP_ARCH_X86", "SCMP_ACT_DENY": "SCMP_ACT_ERRNO", "SCMP_ACT_BLOCK": "SCMP_ACT_ERRNO",
    "net": "network", "mnt": "mount", "pids": "pid", "users": "user",
}
#: Longer names are nobody's slip of the finger.
LONGEST = 64


def likely(name: str, known: Iterable[str]) -> str:
    """The known name that looks most like this one, "" when none does or it is itself known."""
    names = [candidate for candidate in known if candidate]
    if name in names or len(name) > LONGEST:
        return ""
    if (other := OTHERWISE.get(name, OTHERWISE.get(name.upper(), ""))) in names:
        return other
    best, least = "", 0.0
    for candidate in names:
        one, other = _different(name.lower(), candidate.lower())
        length = max(len(one), len(other), 1)
        slips = distance(one, other)
        # One slip in a short part of a name, two in a longer one; less by the likeness of the whole.
        if slips <= max(1, length // 3) and (likeness := 1 - slips / max(len(name), len(candidate))) > max(least, 0.6):
            best, least = candidate, likeness
    return best


def meant(name: str, known: Iterable[str]) -> str:
    """" (did you mean "X"?)", or ""."""
    from .where import quoted
    found = likely(name, known)
    return f" (did you mean {quoted(found)}?)" if found else ""


def _different(one: str, other: str) -> tuple[str, str]:
    """The two without the words that both begin with: SCMP_ARCH_, RLIMIT_, memory."""
    start = 0
    for index, (left, right) in enumerate(zip(one, other)):
        if left != right:
            break
        if left in "_.":
            start = index + 1
    return one[start:], other[start:]


def distance(one: str, other: str) -> int:
    """How many letters are left out, put in, exchanged with another or with their neighbour (optimal string
    alignment)."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, left in enumerate(one, 1):
        before, above, row = row, before, [i] + [0] * len(other)
        for j, right in enumerate(other, 1):
            row[j] = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (left != right))
            if i > 1 and j > 1 and left == other[j - 2] and one[i - 2] == right:
                row[j] = min(row[j], above[j - 2] + 1)
    return row[-1]
