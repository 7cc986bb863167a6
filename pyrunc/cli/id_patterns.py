"""kill --regex and delete --regex: the containers whose id a regular expression matches, as crun does it."""
from __future__ import annotations

import posix
import re

from ..errors import UsageError
from ..state import store


def ids(root: str, pattern: str) -> list[str]:
    """Ids of the containers under root in which the pattern is found, sorted; UsageError for a bad pattern."""
    try:
        found = re.compile(pattern, re.ASCII)
    except (re.error, OverflowError, RecursionError) as fault:
        raise UsageError(f'invalid regular expression "{pattern}": {fault}') from None
    try:
        store.check_root(root)
        names = sorted(posix.listdir(root))
    except FileNotFoundError:
        return []
    return [name for name in names if found.search(name) and store.exists(root, f"{name}/{store.LOCK}")]
