"""explain --report FILE: the plan of a command that failed, here or elsewhere, as it was then."""
from __future__ import annotations

from ..paths import absolute
from .pager import page

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .flags import Call


def show(call: Call) -> int:
    """Print the ten lines of `why`, and the plan with the time of each step. StateError for what is no report."""
    from ..checks.kept import load
    from ..checks.why import table
    page(table(load(absolute(call.text("report")))))
    return 0
