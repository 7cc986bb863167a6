"""Pdb on descriptors 0 and 1 as they are, whatever the interpreter has made of its standard streams."""
from __future__ import annotations

import _signal
import io
import linecache
import pdb
import sys
from types import CodeType, FrameType

import pyrunc

from .run import Interrupted

FROZEN = "<pyrunc>/"


class TerminalPdb(pdb.Pdb):
    """No readline, no signal handlers, no files of the user's: the process may be one that has another root soon."""

    def __init__(self) -> None:
        super().__init__(stdin=io.TextIOWrapper(io.FileIO(0, closefd=False)),
                         stdout=io.TextIOWrapper(io.FileIO(1, "w", closefd=False), write_through=True), nosigint=True,
                         readrc=False)
        self.prompt = "(pyrunc) "

    def until(self, code: CodeType) -> None:
        """Go on from here, and stop at the first line of this function when it is called."""
        file = self.canonic(code.co_filename)
        first = next(line for _, _, line in code.co_lines() if line and line > code.co_firstlineno)
        linecache.checkcache(file)
        if told := self.set_break(file, first, temporary=True):
            self.message(told)
        self.reset()
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            frame.f_trace, self.botframe = self.trace_dispatch, frame
            frame = frame.f_back
        self.set_continue()
        sys.settrace(self.trace_dispatch)

    def canonic(self, filename: str) -> str:
        """The source of code that is frozen into the program, whose file has no name (_native/freeze.py)."""
        if filename.startswith(FROZEN):
            path = f"{pyrunc.__path__[0]}/{filename[len(FROZEN):]}"
            if filename not in linecache.cache:
                lines = linecache.getlines(path)
                linecache.cache[filename] = sum(map(len, lines)), None, lines, path
            return path
        return super().canonic(filename)

    def do_quit(self, arg: str) -> bool:
        """End the command, which is undone."""
        sys.settrace(None)
        raise Interrupted(_signal.SIGTERM)

    do_q = do_exit = do_EOF = do_quit
