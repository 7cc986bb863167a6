"""The command line of the benchmark; see the package."""
from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from tests import runtimes, world

from .measure import VARIANTS, measure
from .report import machine, numbers, table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Compare the speed of OCI runtimes.")
    parser.add_argument("--runtime", action="append", metavar="PATH", help="repeatable (pyrunc, runc, crun; but time "
                        "an installed pyrunc, for this one looks at its sources); the first is compared with the rest")
    parser.add_argument("--lifecycles", type=int, default=50, help="of each runtime and variant (50)")
    parser.add_argument("--variant", choices=VARIANTS, action="append", help="repeatable (all)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers there")
    options = parser.parse_args()
    paths = [runtimes.find(wanted) for wanted in options.runtime or ("pyrunc", "runc", "crun")]
    world.enter()
    report = {"machine": machine(paths), "lifecycles": options.lifecycles, "variants": {}}
    print("\n".join(report["machine"]["runtimes"].values()))
    for variant in options.variant or VARIANTS:
        place = Path(tempfile.mkdtemp(prefix="pyrunc-bench-", dir="/tmp"))
        world.mount("tmpfs", place, "tmpfs", data="mode=755")       # /run, where engines keep all this, is one, too
        try:
            report["variants"][variant] = numbers(measure(paths, place, variant, options.lifecycles))
        finally:
            world.unmount(place)
            place.rmdir()
        print(f"\n{table(variant, report['variants'][variant])}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


main()
