"""explain: the plan of a command, without doing any of it; that of create without root, too."""
from __future__ import annotations

from ..errors import UsageError
from ..formats.json_text import dumps
from ..log import visible
from .bundle import FLAGS
from .flags import Call, Command, Flag, check_arguments, parse
from .output import emit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..engine.step import Plan

#: The commands that are plans. `run` is create's, then start's and delete's.
PLANNED = ("checkpoint", "create", "delete", "exec", "kill", "pause", "restore", "resume", "run", "start", "update")
FORMAT = Flag("format", str, "text or json", short="f", value="FORMAT", default="text", choices=("text", "json"))
COMMAND = Command(
    "explain", "print what a command would do, step by step",
    (*(flag if flag.name != "config" else Flag("config", str, flag.help, value=flag.value) for flag in FLAGS), FORMAT),
    arguments="[container-id] | COMMAND [its flags and arguments]", least=0, most=-1, stop=1)


def run(call: Call) -> int:
    """Print the plan that the command would run here and now. Raises what it would raise before any effect."""
    name, words = "create", list(call.arguments)
    if words and words[0] in PLANNED:
        name = words.pop(0)
    elif words and words[0] in others():
        raise UsageError(f"{words[0]} has no plan: it changes no container")
    explained, format = sub_call(call, name, words, bool(call.arguments) and call.arguments[0] == name)
    from .main import module
    plan: Plan = module(name).plan_of(explained)
    emit(as_json(plan) if format == "json" else as_text(plan))
    return 0


def others() -> tuple[str, ...]:
    from .main import COMMANDS
    return tuple(name for name in COMMANDS if name not in PLANNED)


def sub_call(call: Call, name: str, words: list[str], named: bool) -> tuple[Call, str]:
    """The call of the command itself, by its own flags, and the format. Flags of create may stand before its name, or
    without it."""
    from .main import module
    command: Command = module(name).COMMAND
    values = dict(call.values)
    flags = (*command.flags, Flag("format", str, "", choices=FORMAT.choices)) if named else COMMAND.flags
    arguments = parse(flags, words, values, command.stop)
    format = str(values.pop("format", FORMAT.default))
    if format not in FORMAT.choices:
        raise UsageError(f'invalid value "{format}" for flag -format: one of {", ".join(FORMAT.choices)}')
    if name in ("create", "run", "restore") and not arguments:
        arguments = ["ID"]
    check_arguments(command, arguments)
    return Call(command, values, arguments, call.settings, call.root, call.log, ""), format


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
