"""explain: the plan of create, without doing any of it and without root."""
from __future__ import annotations

import posix

from .. import plan
from ..absolute import absolute
from ..config.check import check
from ..config.dump import dumps
from ..config.load import load
from ..host import probe
from ..options import Options
from .flags import Command, Flag
from .log import visible
from .output import emit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..step import Plan
    from .flags import Call

COMMAND = Command(
    "explain", "print what create would do with a bundle, step by step",
    (Flag("bundle", str, "the bundle's directory (default: the current one)", short="b", value="DIR"),
     Flag("config", str, "another file than the bundle's config.json", value="FILE"),
     Flag("format", str, "text or json", short="f", value="FORMAT", default="text", choices=("text", "json"))),
    arguments="[container-id]", least=0)


def run(call: Call) -> int:
    """Print the plan that create would run here and now. Raises what create would raise before any effect."""
    bundle = absolute(call.text("bundle")) if call.text("bundle") else posix.getcwd()
    config = load(bundle, absolute(call.text("config")) if call.text("config") else "config.json")
    check(config)
    systemd = call.settings.get("systemd-cgroup", False)
    options = Options(
        id=call.id if call.arguments else "ID", root=call.root, bundle=bundle, nonce="NONCE", systemd_cgroup=systemd,
        cgroup_manager="systemd" if systemd else call.settings.get("cgroup-manager", "cgroupfs"),
        rootless=call.settings.get("rootless", "auto"),
        # A terminal needs a holder; which one does not change the steps before the init waits.
        console_socket="SOCKET" if config.get("process", {}).get("terminal") else "")
    steps = plan.create(config, options, probe())
    emit(as_json(steps) if call.text("format") == "json" else as_text(steps))
    return 0


def as_text(plan: Plan) -> str:
    """One line a step: its number, who does it, its id, its place in config.json, and what it does."""
    rows = [(str(step["index"]), step["side"], step["id"], visible(step["where"]), visible(step["what"]))
            for step in plan.records()]
    widths = [max(map(len, column), default=0) for column in zip(*rows)]
    return "".join(f"{number:>{widths[0]}}  {side:<{widths[1]}}  {id:<{widths[2]}}  {where:<{widths[3]}}  {what}\n"
                   for number, side, id, where, what in rows)


def as_json(plan: Plan) -> str:
    """An array with an object for each step: index, id, side, step, spec, where, what."""
    return dumps(list(plan.records()), 2) + "\n"
