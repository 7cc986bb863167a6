"""What holds for every plan, whatever the config: shown on the plans of all named bundles."""
from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

import pytest

from pyrunc.engine.facts import Facts
from pyrunc.engine.step import PARENT, Barrier
from pyrunc.kernel.page import Page
from pyrunc.kernel.recorder import Recorder
from pyrunc.kernel.recording import FIRST_FD
from tests.named_bundles import BUNDLES
from tests.test_explain import planned

if TYPE_CHECKING:
    from pyrunc.engine.step import Plan, Step


#: What the kernel says of itself and of the container's init.
FILES = {"/proc/4242/stat": f"4242 (a) S{' 0' * 18} 77", "cgroup.controllers": "cpuset cpu io memory hugetlb pids",
         "cgroup.subtree_control": "cpuset cpu io memory hugetlb pids",
         "cgroup.type": "domain", "cgroup.events": "populated 0\nfrozen 0\n"}


class Names(dict[int, str]):
    """What each descriptor was opened as, also once it is closed."""

    def __delitem__(self, fd: int) -> None: ...

    def pop(self, fd: int, *_: Any) -> str:
        return self.get(fd, "")


def calls_of(steps: Plan) -> list[tuple[Step, tuple[Any, ...]]]:
    """Each step with the calls that it makes, on one Recorder in the order of the plan. A descriptor is told as what it
    was opened as, so that two steps which open the same thing make the same calls. What the Recorder's made-up answers
    end early is told as far as it came."""
    kernel, facts = Recorder(files=FILES), Facts()
    kernel.fds = Names()
    facts.page, facts.plan = Page(len(steps)), steps
    of_child = facts
    told = []
    for number, step in enumerate(steps):
        kernel.step = number
        before = len(kernel.calls)
        if not isinstance(step, Barrier):
            try:
                step.apply(kernel, facts if step.side == PARENT else of_child)
            except OSError:
                pass
        if step.forks:
            of_child = copy(facts)
            of_child.mount_fds = dict(facts.mount_fds)
        told.append((step, tuple(
            tuple(kernel.fds.get(word, word) if type(word) is int and word >= FIRST_FD else word for word in call)
            for call in kernel.calls[before:])))
    return told


@pytest.mark.parametrize("which", BUNDLES)
def test_no_two_steps_of_a_plan_do_the_same(which: str) -> None:
    done: dict[tuple[Any, ...], Step] = {}
    for step, calls in calls_of(planned(which)):
        key = step.side, step.where, repr(calls)
        if calls:
            assert key not in done, f"{done[key].name} and {step.name}: {calls}"
        done[key] = step
