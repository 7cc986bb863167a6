"""Two views from inside a container, made comparable: what differs between any two runs is taken out, no more."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

#: Fields of /proc/PID/status that the runtime decides.
STATUS = ("Umask", "Pid", "PPid", "Uid", "Gid", "Groups", "NSpid", "NSpgid", "NSsid",
          "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters",
          "Threads", "Cpus_allowed", "Mems_allowed")


def comparable(view: dict[str, Any], masked: list[str]) -> dict[str, Any]:
    """The view without what is each container's own; masked paths are compared by their kind, not by their cover."""
    mounts: dict[str, Any] = {}
    for entry in view["mounts"]:
        if entry["point"] in masked:
            entry = {"masked": "file" if entry["root"] == "/null" else entry["type"]}
        mounts.setdefault(entry.get("point", f"masked {len(mounts)}"), []).append(entry)
    own = {"mounts": {point: entries for point, entries in mounts.items() if not point.startswith("masked")},
           "masked": sorted(entry["masked"] for entries in mounts.values() for entry in entries if "masked" in entry)}
    result = {**view, **own}
    result["status"] = {key: view["status"].get(key) for key in STATUS}
    # Which namespaces are new is compared by the test, against its own; their inode numbers are nobody's choice.
    result.pop("namespaces")
    result["process"] = {key: value for key, value in view["process"].items() if key != "cgroup"}
    result["fds"] = {key: target for key, target in view["fds"].items()
                     if int(key) < 10 and not target.startswith("/tmp/")}
    return result


def differences(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Lines "path: one | other" for every leaf that is not the same."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}, key=str):
            yield from differences(one.get(key), other.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (mine, theirs) in enumerate(zip(one, other, strict=True)):
            yield from differences(mine, theirs, f"{path}[{index}]")
    elif one != other:
        yield f"{path}: {one} | {other}"
