"""restore: make a container again from the images of a checkpoint, and run it."""
from __future__ import annotations

from ..runtime.restore import planned, restore
from ..runtime.run import adopt_orphans, forget, let_go
from .bundle import FLAGS, explained, prepare
from .checkpoint import COMMON, choices_of
from .flags import Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..criu.options import Choices
    from ..engine.step import Plan
    from .flags import Call

COMMAND = Command(
    "restore", "make a container from a checkpoint",
    (*FLAGS, *COMMON,
     Flag("detach", bool, "return as soon as the processes run", short="d"),
     Flag("keep", bool, "keep the container after its program has ended"),
     Flag("no-subreaper", bool, "do not become the parent of the container's orphans"),
     Flag("lsm-profile", str, "use this AppArmor profile or SELinux label instead", value="TYPE:NAME"),
     Flag("lsm-mount-context", str, "use this SELinux context for the mounts that have one", value="CONTEXT")),
    prefix="pyrunc restore failed: ", shares=True)


def run(call: Call) -> int:
    """The exit status is that of the restored init; 0 when detached."""
    detach = call.on("detach")
    choices = of_restore(call)
    config, options = prepare(call, detach, start=True)
    if not detach:
        from .foreground import hold_signals
        hold_signals()
    if not call.on("no-subreaper"):
        adopt_orphans()
    facts = restore(config, options, choices, call.observers(stops=True))
    if detach:
        return 0
    try:
        from .foreground import hold_all, stay
        hold_all()
        let_go(facts)
        return stay(facts, call.log)
    finally:
        if not call.on("keep"):
            forget(call.root, call.id, facts, call.observers())


def plan_of(call: Call) -> Plan:
    """For `explain`."""
    config, options = explained(call, call.on("detach"), start=True)
    return planned(config, options, of_restore(call), call.planned_for())


def of_restore(call: Call) -> Choices:
    """All flags of restore that CRIU is told of. UsageError."""
    choices = choices_of(call)
    choices.lsm_profile, choices.lsm_mount_context = call.text("lsm-profile"), call.text("lsm-mount-context")
    return choices
