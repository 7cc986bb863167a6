"""python -m tests.guest.conformance ARG...: `python -m conformance ARG...` in the guest, where nothing can be harmed.

Every profile may run there. Files that are written (--json, --text, --junit, --html) are written here, and those that
are read come from here. --resctrl: with groups of resctrl, by a module.
"""
from __future__ import annotations

import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from . import machine, resctrl

RESCTRL = "--resctrl"
WRITTEN = ("--json", "--text", "--junit", "--html")
#: What lies outside of the checkout and is to be seen inside.
READ = ("--runtime-tools", "--runtime")


def translate(argv: Sequence[str]) -> tuple[list[str], dict[str, Path], list[Path], list[Path]]:
    """The arguments for inside; files there -> files here; folders to keep; files to copy into the share."""
    words, written, keep, read = [], {}, [], []
    before = ""
    for word in argv:
        if before in WRITTEN:
            written[f"written{before}"] = Path(word)
            word = f"/job/written{before}"
        elif before == "--with":
            read.append(Path(word))
            word = f"/job/{Path(word).name}"
        elif before in READ:
            name, equals, path = word.rpartition("=")
            found = Path(shutil.which(path) or path).absolute()
            keep.append(found if before == "--runtime-tools" else found.parent)
            word = f"{name}{equals}{found}"
        words.append(word)
        before = word
    return words, written, keep, read


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status of what ran inside; 125 when the guest does not answer."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))     # the guest ends with us
    given = list(sys.argv[1:] if argv is None else argv)
    words, written, keep, read = translate([word for word in given if word != RESCTRL])
    # A block device, for limits of one, and what weighs it: neither is in the guest otherwise.
    script = f"modprobe -qa loop bfq; {resctrl.script() if RESCTRL in given else ''} exec \"$@\""
    guest = machine.Guest(["sh", "-c", script, "sh", sys.executable, "-m", "conformance", *words], keep=keep,
                          systemd="--systemd-cgroup" in words, env={"CONFORMANCE_THROW_AWAY": "1"})
    try:
        for file in read:
            shutil.copy(file, guest.share / file.name)
        while (status := guest.poll()) is None:
            print(guest.output(), end="", flush=True)
            time.sleep(0.2)
        print(guest.output(), end="", flush=True)
        for inside, here in written.items():
            if (guest.share / inside).exists():
                shutil.copy(guest.share / inside, here)
        return status
    except machine.GuestError as error:
        print(f"guest: {error}", file=sys.stderr)
        return 125
    finally:
        guest.close()


if __name__ == "__main__":
    sys.exit(main())
