"""A small slice of `make soak-shim`."""
from __future__ import annotations

from . import soak
from .driver import Shim


def test_no_probe_of_a_few_pods_is_lost(private_world: None) -> None:
    result = soak.run([f"pyrunc={Shim.program()}"], 4, 3, [5])["pyrunc"]
    assert result["probes"] == result["ended"] == result["told"] >= 4 and not result["wrong"], result
    # a shim has none more for what has ended: its worker has let go of them, too
    assert result["descriptors settled"] <= result["descriptors last"], result
