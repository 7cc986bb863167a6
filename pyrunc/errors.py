"""The words engines match on, and the four classes of failure.

Engines read one line and search it for substrings (docs/errors.md lists which engine matches what),
so every error is one line in one order:

    <what>: <strerror>: at <JSON path> in config.json: step <name> (<spec chapter>)[; hint: <clause>]
"""
from __future__ import annotations

import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# States and lookups: containerd, CRI-O, Podman and moby match these literally.
ALREADY_EXISTS = "container with given ID already exists"
INVALID_ID = "invalid container ID format"
EMPTY_ID = "container id cannot be empty"
DOES_NOT_EXIST = "container does not exist"
NOT_RUNNING = "container not running"
NOT_PAUSED = "container not paused"
PAUSED = "container paused"
# Executable look-up: exit 127 and 126 of Docker and Podman depend on these.
NOT_FOUND_IN_PATH = "executable file not found in $PATH"
OOM_KILLED = "container init was OOM-killed (memory limit too low?)"


def strerror(number: int) -> str:
    """errno -> the C library's text, lower case as runc prints it ("no such file or directory")."""
    text = posix.strerror(number)
    return text[:1].lower() + text[1:]


def shortened(text: str, most: int) -> str:
    """text with at most so many characters: its beginning, and its end, where the cause and the place stand."""
    if len(text) <= most:
        return text
    return f"{text[:most // 3]} ... {text[len(text) - (most - most // 3 - 5):]}"


def describe(fault: OSError) -> str:
    """An OSError that no step has put into words: what it was about, and the C library's text."""
    if not fault.errno:          # a judgement of the runtime's own: the text says it all
        return str(fault.filename if fault.filename is not None else fault)
    return strerror(fault.errno) if fault.filename is None else f"{fault.filename}: {strerror(fault.errno)}"


def at(fault: OSError, where: str) -> OSError:
    """The fault, at a more exact place in config.json than its step's (an option, not the whole mount)."""
    fault.where = where  # type: ignore[attr-defined]
    return fault


def advise(fault: OSError, hint: str) -> OSError:
    """The fault, with the clause that says what it is or what to do, where whoever raises it knows (else hints.py)."""
    fault.hint = hint  # type: ignore[attr-defined]
    return fault


class PyruncError(Exception):
    """Base of every failure that is reported as one line, without a traceback.

    run   the engine of the plan that failed, if it was one
    """
    run: Any = None


class UsageError(PyruncError):
    """The command line is wrong."""


class StateError(PyruncError):
    """The container is not in a state that allows the command."""


class NoSuchContainer(StateError):
    """There is no container of that id, or none any more."""


class Refused(PyruncError):
    """A judgement about what a step was to do: the kernel, a program or the runtime itself refuses it. The engine makes
    a StepError of it.

    what     the whole sentence, lower case, no full stop
    errno    0 when none says it
    detail   what the sentence is about, if it does not say so itself
    """

    def __init__(self, what: str, errno: int = 0, detail: str = "") -> None:
        self.what, self.errno = what if not detail or detail in what else f"{what} ({detail})", errno
        super().__init__(self.what + (f": {strerror(errno)}" if errno else ""))


class ConfigError(PyruncError):
    """config.json cannot be used; raised before any effect.

    what      the fault, lower case, no full stop
    where     JSON path such as "process.user.uid"; "" for the document itself
    document  the file, when it is another one; "" when the text of `what` names the file
    """

    def __init__(self, what: str, where: str = "", document: str = "config.json") -> None:
        self.what, self.where, self.document = what, where, document
        place = f": at {where} in {document}" if where else f": in {document}" if document else ""
        super().__init__(what + place)


class StepError(PyruncError):
    """A step failed: what it was doing, the errno (0 when none), and the step: its name and its id in the plan.

    document   where the place is, when that is not config.json: "on the command line"
    """

    def __init__(self, what: str, errno: int, where: str, step: str, spec: str, hint: str = "", id: str = "",
                 document: str = "in config.json") -> None:
        self.id, self.document = id or step, document
        self.what, self.errno, self.where, self.step, self.spec, self.hint = what, errno, where, step, spec, hint
        line = what
        if errno:
            line += f": {strerror(errno)}"
        if where:
            line += f": at {where} {document}"
        line += f": step {step}"
        if spec:
            line += f" ({spec})"
        if hint:
            line += f"; hint: {hint}"
        super().__init__(line)

    def of(self, document: str) -> StepError:
        """The same error, of something that is written elsewhere."""
        other = StepError(self.what, self.errno, self.where, self.step, self.spec, self.hint, self.id, document)
        other.run = self.run
        return other
