"""What libseccomp is here: its version, and the architectures that it knows.

Loading it takes as long as the rest of --version. So what it told when pyrunc was built is told again, as long as its
file is the one that told it.
"""
from __future__ import annotations

import posix

from ..config.shape import SECCOMP_ARCHITECTURE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def facts() -> tuple[str, Sequence[str]]:
    """(version, names of architectures). ImportError where there is no libseccomp, or no module for it."""
    told = _built()
    if told is not None:
        return told
    from .compile import knows, version
    return version(), [name for name in SECCOMP_ARCHITECTURE[1] if knows(name)]


def _built() -> tuple[str, Sequence[str]] | None:
    """What the build was told (freeze.py), if the library is still the same."""
    try:
        from ..built import LIBSECCOMP
        path, size, changed, version, architectures = LIBSECCOMP
        now = posix.stat(path)
    except (ImportError, TypeError, OSError):        # sources, a build without the library, a host without it
        return None
    return (version, architectures) if (now.st_size, now.st_mtime_ns) == (size, changed) else None
