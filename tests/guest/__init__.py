"""The project's own machine: boots Debian's kernel in QEMU over the host's root, as root, with pure cgroup v2.

    python -m tests.guest [-s] -- COMMAND [ARG...]

The guest's / is a throw-away overlay of the host's, so the checkout, its virtual environment and every
installed package are there at the same paths. See machine.py for what is inside and replay.py for how pytest
runs the tests marked `guest` and its kin in it.
"""
