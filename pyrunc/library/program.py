"""The program `pyrunc`, which the library starts as its keeper."""
from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from ..errors import UsageError

#: Of the caller's environment, what the runtime reads: where a user's systemd and runtime directory are, who that is.
READ = ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "USER", "PATH")


def find() -> str:
    """The program's path: $PYRUNC, or what was installed with this package, or in PATH. UsageError without it."""
    package = Path(__file__).resolve().parent.parent
    candidates = [os.environ.get("PYRUNC", ""), str(Path(sys.prefix, "bin/pyrunc")),
                  str(package.parent.parent.parent / "bin/pyrunc")]           # PREFIX/lib/pyrunc/pyrunc
    for candidate in candidates:
        if candidate and os.access(candidate, os.X_OK):
            return candidate
    found = shutil.which("pyrunc")
    if found is None:
        raise UsageError("the program pyrunc was not found: set PYRUNC to its path")
    return found


def environment() -> dict[str, str]:
    """The keeper's environment."""
    return {name: os.environ[name] for name in READ if name in os.environ}
