"""Tests of pyrunc. `make test` runs them all; as root, from the checkout:

    python -m pytest tests                              everything: native tests here, guest tests in one or two boots
    python -m pytest tests -m "not guest and not guest_systemd"     without the guest
    python -m pytest tests/container --runtime runc     the same containers under another runtime
    python -m pytest tests/test_explain.py --update     write the golden plans anew, then read the diff
    python -m tests.guest [-s] -- COMMAND               a shell or a script in the guest (-s: systemd as PID 1)
    python -m pytest -m guest --here PATH               inside it: marked tests on this very machine
    python -m tests.bench                               pyrunc, runc and crun side by side
    python -m conformance --runtime PATH                 the demands of the specification, asked of any runtime
    python -m tests.guest.conformance ARG...            the same in the guest

Native container tests move their own process into a private mount namespace with pure cgroup v2 (world.py); what is
marked `guest` or `guest_systemd` runs in QEMU (guest/replay.py). Bundles are made here (bundles.py, named_bundles.py),
and what a container is like is asked from inside it (probe.py).
"""
