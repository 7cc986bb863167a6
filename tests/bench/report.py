"""Samples as numbers, a table and JSON."""
from __future__ import annotations

import os
import platform
import statistics
import subprocess
from typing import Any

from .measure import COMMANDS, LIFECYCLE, Samples

ROWS = (*COMMANDS, "lifecycle")


def with_sum(samples: Samples, taken: dict[str, list[float]]) -> dict[str, list[float]]:
    """Seconds by row; "lifecycle" is the sum of create, start, state, kill and delete of one container.

    taken: samples.seconds or samples.cpu
    """
    sums = [sum(values) for values in zip(*(taken[command] for command in LIFECYCLE), strict=True)]
    return {**{command: taken[command] for command in COMMANDS if command not in samples.missing}, "lifecycle": sums}


def numbers(measured: dict[str, Samples]) -> dict[str, Any]:
    """{runtime: {row: {"median_ms", "min_ms", "cpu_ms", "peak_kib", "private_kib", and by other runtime "ratio" and
    "cpu_ratio", of the medians}}}. The row of create has "init_kib", of an init that waits for `start`, as well."""
    result: dict[str, Any] = {}
    for name, samples in measured.items():
        cpu = with_sum(samples, samples.cpu)
        result[name] = {row: {"median_ms": round(statistics.median(values) * 1e3, 3),
                              "min_ms": round(min(values) * 1e3, 3),
                              "cpu_ms": round(statistics.median(cpu[row]) * 1e3, 3),
                              "samples": len(values),
                              "peak_kib": samples.peak.get(row, max(samples.peak.values())),
                              "private_kib": samples.private.get(row, max(samples.private.values()))}
                        for row, values in with_sum(samples, samples.seconds).items()}
        result[name]["create"]["init_kib"] = samples.private["init"]
    for name, rows in result.items():
        for row, cells in rows.items():
            for ratio, kind in (("ratio", "median_ms"), ("cpu_ratio", "cpu_ms")):
                cells[ratio] = {other: round(cells[kind] / theirs[row][kind], 3)
                                for other, theirs in result.items() if other != name and row in theirs}
    return result


def table(variant: str, measured: dict[str, Any]) -> str:
    """Text: a line for each row, for each runtime median (minimum) and peak memory, then the first one's ratios."""
    names = list(measured)
    first = names[0]
    count = measured[first]["lifecycle"]["samples"]
    lines = [f"{variant}: {count} lifecycles, median (minimum) in ms, median of the CPU's ms, MiB: peak, own",
             f"{'':10}" + "".join(f"{name:>41}" for name in names)
             + "".join(f"{first + '/' + other + ' (CPU)':>20}" for other in names[1:])]
    for row in ROWS:
        line = f"{row:10}"
        for name in names:
            if cells := measured[name].get(row):
                shown = (f"{cells['median_ms']:8.1f} ({cells['min_ms']:6.1f}) {cells['cpu_ms']:6.1f} "
                         f"{cells['peak_kib'] / 1024:6.1f} {cells['private_kib'] / 1024:5.2f}")
            else:
                shown = "-"
            line += f"{shown:>41}"
        cells = measured[first].get(row, {})
        for other in names[1:]:
            known = other in cells.get("ratio", {})
            line += f"{cells['ratio'][other]:13.2f} ({cells['cpu_ratio'][other]:4.2f})" if known else f"{'-':>20}"
        lines.append(line.rstrip())
    lines.append("an init that waits for start has to itself, MiB: " + ", ".join(
        f"{name} {rows['create']['init_kib'] / 1024:.2f}" for name, rows in measured.items()))
    return "\n".join(lines)


def machine(paths: list[str]) -> dict[str, Any]:
    """What was measured, and where."""
    versions = {}
    for path in paths:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
        versions[path] = said.splitlines()[0]
    return {"kernel": platform.release(), "cpus": os.cpu_count(), "load": os.getloadavg(), "runtimes": versions,
            "python": platform.python_version()}
