"""python -m tests.guest [-s] [-t SECONDS] [-m MB] [-c CPUS] [-e K=V] [-q] -- COMMAND [ARG...]"""
from __future__ import annotations

import argparse
import os
import sys

from . import machine


def write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.guest", description="Run a command as root in the guest.")
    parser.add_argument("-s", "--systemd", action="store_true", help="systemd as PID 1")
    parser.add_argument("-t", "--timeout", type=float, default=900, help="seconds (900)")
    parser.add_argument("-m", "--memory", type=int, default=4096, help="MiB (4096)")
    parser.add_argument("-c", "--cpus", type=int, default=2)
    parser.add_argument("-e", "--env", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("-q", "--quiet", action="store_true", help="no line about the time it took")
    parser.add_argument("command", nargs="+", help="one argument with spaces or shell signs is a bash script")
    options = parser.parse_args()
    argv = options.command if len(options.command) > 1 else ["bash", "-c", options.command[0]]
    try:
        result = machine.run(argv, systemd=options.systemd, timeout=options.timeout, memory=options.memory,
                             cpus=options.cpus, cwd=os.getcwd(), write=write,
                             env=dict(entry.split("=", 1) for entry in options.env))
    except machine.GuestError as error:
        print(f"guest: {error}", file=sys.stderr)
        return 125
    if not options.quiet:
        print(f"guest: booted in {result.booted:.1f} s ({result.accelerator}), {result.total:.1f} s in all",
              file=sys.stderr)
    return result.status


sys.exit(main())
