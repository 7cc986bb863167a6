"""What a word that is no command, or no flag, may have been meant to be. Loaded only when there is such a word."""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def meant(word: str, known: Iterable[str], before: str = "") -> str:
    """ "; did you mean X?" for the known word that is most like it, or "". before: what that is written with."""
    from difflib import get_close_matches
    near = get_close_matches(word, list(known), 1, 0.7)
    return f"; did you mean {before}{near[0]}?" if near else ""
