"""Which release of the specification this is for, and which commit was installed."""
from __future__ import annotations

from . import __version__

#: runtime-spec
SPEC = "1.3.0"


def commit() -> str:
    """The commit this was installed from, as install.py wrote it down; the release's name without one."""
    try:
        from .built import COMMIT
    except ImportError:
        return f"v{__version__}"
    return str(COMMIT) or f"v{__version__}"
