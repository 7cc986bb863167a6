"""report: pack what is known of a failure into one file, to be read elsewhere (explain --report)."""
from __future__ import annotations

import posix

from ..errors import describe
from ..formats.json_text import dumps
from ..paths import absolute
from .flags import Command, Flag
from .output import emit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .flags import Call

COMMAND = Command(
    "report", "pack a failure into one file, without values of the environment",
    (Flag("output", str, "write to this file, which must not be there; - is standard output (default: "
          "pyrunc-report-ID.json)", short="o", value="FILE"),
     Flag("no-doctor", bool, "leave out what `pyrunc doctor` finds on this host now")),
    arguments="[container-id|pod|name]", least=0, most=1)


def run(call: Call) -> int:
    """Of the newest failure that is kept, or of the container that is named."""
    from ..checks.kept import find
    report = find(call.arguments[0] if call.arguments else "", call.root if "root" in call.settings else "")
    data = dict(report.data)
    if not call.on("no-doctor"):
        from ..checks.doctor.advice import examine
        from ..checks.doctor.survey import look
        data["doctor"] = [vars(finding) for finding in examine(look()) if finding.state != "yes"]
    text = dumps(data, 1) + "\n"
    name = call.text("output") or f"pyrunc-report-{report.container.replace('/', '_') or 'container'}.json"
    if name == "-":
        emit(text)
        return 0
    path = absolute(name)
    try:
        fd = posix.open(path, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW | posix.O_CLOEXEC, 0o600)
    except OSError as fault:
        raise OSError(0, "", f"write the report: {describe(fault)}") from None
    try:
        rest = text.encode(errors="backslashreplace")
        while rest:
            rest = rest[posix.write(fd, rest):]
    finally:
        posix.close(fd)
    emit(f"{path}\n")
    return 0
