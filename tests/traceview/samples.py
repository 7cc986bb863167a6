"""Traces made by hand, so that a test can say what is in them."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def record(step: str, at: float, took: float | None, **more: Any) -> dict[str, Any]:
    """One record; at and took in microseconds, at less than a second."""
    return {"time": f"2026-01-02T03:04:05.{round(at):06}Z", "duration": took, "side": "parent", "zone": "parent",
            "pid": 10, "step": step, "where": "", "what": f"do {step}", "outcome": "ok", **more}


def create(container: str = "c1", plan: str = "p1", slow: float = 0.0) -> list[dict[str, Any]]:
    """A create of five steps: one of them twice, one waiting, one in C; slow: microseconds more for mounts.proc."""
    base: dict[str, Any] = {"container": container, "command": "create", "plan": plan, "version": "1.2.3"}
    child: dict[str, Any] = {"side": "child", "zone": "child", "pid": 11}
    return [
        record("state.reserve", 0, 100.0, **base),
        record("mounts.proc", 150, 50.0 + slow, where="mounts[0]", spec="config.md#mounts", **base, **child),
        record("barrier", 160, 800.0 + slow, side="barrier", zone="barrier", **base),
        record("mounts.tmpfs", 300 + slow, 20.0, id="mounts.tmpfs", **base, **child),
        record("mounts.tmpfs", 400 + slow, 30.0, id="mounts.tmpfs#2", **base, **child),
        record("root.switch", 900 + slow, 100.0, side="child", zone="last", pid=11, **base),
    ]


def failed() -> list[dict[str, Any]]:
    """The same, but mounts.tmpfs#2 fails."""
    records = create("bad", "p2")
    records[4]["outcome"] = "no space left on device: at mounts[2] in config.json: step mounts.tmpfs"
    return records[:5]


def write(path: Path, *runs: list[dict[str, Any]]) -> str:
    """A trace file of these runs."""
    path.write_text("".join(json.dumps(one) + "\n" for run in runs for one in run))
    return str(path)
