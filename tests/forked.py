"""Run a function in a forked child and bring back its result, or its failure with the traceback."""
from __future__ import annotations

import os
import pickle
import sys
import traceback
from collections.abc import Callable
from typing import TypeVar

from pyrunc._native import lib

Result = TypeVar("Result")


class ChildFailed(AssertionError):
    """The child raised, or ended before its function did."""


def forked(act: Callable[[], Result], namespaces: int = 0) -> Result:
    """act() in a child, after unshare(namespaces); mounts of a new mount namespace are private."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            if namespaces:
                os_unshare(namespaces)
            outcome = pickle.dumps((act(), ""))
        except BaseException:
            outcome = pickle.dumps((None, traceback.format_exc()))
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(outcome)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        outcome = pipe.read()
    _, status = os.waitpid(pid, 0)
    if not outcome:
        raise ChildFailed(f"the child ended early: wait status {status}")
    result, trouble = pickle.loads(outcome)
    if trouble:
        raise ChildFailed(trouble)
    returned: Result = result
    return returned


def os_unshare(namespaces: int) -> None:
    """unshare(2), which os has only since Python 3.12."""
    assert lib.pr_unshare(namespaces) == 0
    if namespaces & lib.CLONE_NEWNS:
        assert lib.pr_mount(b"none", b"/", b"none", lib.MS_REC | lib.MS_PRIVATE, b"") == 0
