"""--version: what engines take apart line by line.

go-runc fills its struct only when the first line begins with "runc version "; moby takes the words around "version"
of the last line that has one, and so shows pyrunc; both look for "commit: ", which is runc's second line, and go-runc
for "spec: ".
"""
from __future__ import annotations

import sys

from .. import __version__
from ..seccomp.library import facts
from ..version import SPEC, commit
from .output import emit


def print_version() -> int:
    emit(f"runc version {__version__}+pyrunc\ncommit: {commit()}\nspec: {SPEC}\n"
         f"python: {sys.version.split()[0]}\nstart: {getattr(sys, '_pyrunc_start', 'from the sources')}\n"
         f"libseccomp: {libseccomp()}\npyrunc version {__version__}\n")
    return 0


def libseccomp() -> str:
    """The version of the library that profiles are compiled with; "none" before the module for it is built."""
    try:
        return facts()[0]
    except ImportError:
        return "none"
