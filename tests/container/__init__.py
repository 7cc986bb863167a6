"""Containers on a real kernel: natively as root in a private mount namespace, and in the guest."""
