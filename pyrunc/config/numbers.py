"""Lists of numbers as the kernel writes them for CPUs and memory nodes: "0-3,7"."""
from __future__ import annotations

#: One more than the highest number that is taken; the kernel's own limits are lower.
LIMIT = 8192


def parse_numbers(text: str) -> list[int]:
    """The numbers of a list, in order, each once; blanks around them do not count. ValueError says what is wrong."""
    numbers: set[int] = set()
    for part in text.split(",") if text.strip() else ():
        first, dash, last = (word.strip() for word in part.partition("-"))
        low = _number(first)
        high = _number(last) if dash else low
        if low > high:
            raise ValueError(f"the range {part.strip()} runs backwards")
        numbers.update(range(low, high + 1))
    return sorted(numbers)


def format_numbers(numbers: list[int]) -> str:
    """The shortest list of these numbers, which ascend."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ",".join(f"{low}-{high}" if low < high else str(low) for low, high in ranges)


def _number(word: str) -> int:
    if not (word.isascii() and word.isdigit()):
        raise ValueError("numbers and ranges such as 0-3,7 are wanted")
    if len(word) > 4 or int(word) >= LIMIT:
        raise ValueError(f"{word[:20]} is more than {LIMIT - 1}")
    return int(word)
