"""Stands in for a runtime and breaks one thing. It is run as a program, and imports little, as it is started often."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

Config = dict[str, Any]


class Mutant:
    """One broken demand: kills is the name of the case that must notice.

    config: changes what create reads. words: changes the arguments behind the command. output: changes what `state` or
    `features` print. swallows: commands whose failure is an exit status of 0. skips: commands that do nothing. before:
    a command of the wrapper's own, (real program and options, id), that is called before the real one.
    """

    def __init__(self, name: str, kills: str, *, config: Callable[[Config], object] | None = None,
                 words: Callable[[str, list[str]], list[str]] | None = None,
                 output: Callable[[str, Config], object] | None = None, swallows: tuple[str, ...] = (),
                 skips: tuple[str, ...] = (), after: Callable[[str, list[str], list[str]], object] | None = None,
                 before: Callable[[str, list[str], list[str]], object] | None = None) -> None:
        self.name, self.kills, self.config, self.words, self.output = name, kills, config, words, output
        self.swallows, self.skips, self.after, self.before = swallows, skips, after, before


def split(argv: list[str]) -> tuple[list[str], str, list[str]]:
    """Options before the command, the command, what is behind it."""
    index = 0
    while index < len(argv) and argv[index].startswith("-"):
        index += 1 if "=" in argv[index] or argv[index] in ("--version", "--help", "--debug") else 2
    return argv[:index], argv[index] if index < len(argv) else "", argv[index + 1:]


def bundle_of(words: list[str]) -> str:
    return words[words.index("--bundle") + 1] if "--bundle" in words else "."


def run(real: str, mutant: Mutant, argv: list[str]) -> int:
    """Call the real runtime, broken in this way. Its exit status."""
    options, command, words = split(argv)
    if command in mutant.skips:
        return 0
    if mutant.words:
        words = mutant.words(command, words)
    if mutant.before:
        mutant.before(command, [real, *options], words)
    call = [real, *options, *([command] if command else []), *words]
    if mutant.output and command in ("state", "features"):
        done = subprocess.run(call, stdout=subprocess.PIPE, check=False, close_fds=False)
        if done.returncode == 0:
            found = json.loads(done.stdout)
            mutant.output(command, found)
            print(json.dumps(found))
        return done.returncode
    status = _with_config(mutant, call, words) if mutant.config and command == "create" else \
        subprocess.run(call, check=False, close_fds=False).returncode
    if mutant.after:
        mutant.after(command, [real, *options], words)
    return 0 if command in mutant.swallows else status


def _with_config(mutant: Mutant, call: list[str], words: list[str]) -> int:
    """create with another config.json, which is there for as long as the command runs."""
    file = os.path.join(bundle_of(words), "config.json")
    try:
        with open(file) as opened:
            text = opened.read()
        config = json.loads(text)
    except (OSError, ValueError):
        return subprocess.run(call, check=False, close_fds=False).returncode
    back = os.open(".", os.O_PATH | os.O_CLOEXEC)
    try:
        assert mutant.config is not None
        os.chdir(os.path.dirname(file) or ".")  # paths of config.json count from the bundle
        mutant.config(config)
    except (KeyError, IndexError, TypeError, AttributeError):
        pass                                    # this container has nothing of what is broken
    finally:
        os.fchdir(back)
    with open(file, "w") as opened:
        json.dump(config, opened)
    try:
        return subprocess.run(call, check=False, close_fds=False).returncode
    finally:
        with open(file, "w") as opened:
            opened.write(text)


def main(real: str, name: str) -> None:
    """The program: breaks the runtime at the path `real` as the mutant of this name does."""
    from .table import MUTANTS
    sys.exit(run(real, next(mutant for mutant in MUTANTS if mutant.name == name), sys.argv[1:]))
