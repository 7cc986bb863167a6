"""explain: the plan of a command, without doing any of it; that of create without root, too."""
from __future__ import annotations

import posix

from ..errors import ConfigError, UsageError, describe
from ..paths import absolute
from .bundle import FLAGS as CREATE
from .flags import Call, Command, Flag, check_arguments, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..engine.step import Plan
    from ..planview.subject import Subject
    from ..planview.view import View

#: The commands that are plans. `run` is create's, then start's and delete's.
PLANNED = ("checkpoint", "create", "delete", "exec", "kill", "pause", "restore", "resume", "run", "start", "update")
OF_A_BUNDLE = ("create", "run", "restore")
OWN = (
    Flag("format", str, "text: a table; lines: a line a step for grep and diff, without numbers; json", short="f",
         value="FORMAT", default="text", choices=("text", "json", "lines")),
    Flag("select", list, "show only steps that this names: an id, a name, the part before the dot, a number, or a "
         "place in config.json", value="STEP"),
    Flag("as", str, "for another user of the host: root, a name or a number", value="USER"),
    Flag("host", str, "for the host whose facts `pyrunc doctor --format json` has written to this file", value="FILE"),
    Flag("diff", str, "show only what differs for another bundle (a directory or a config.json), another host (the "
         "facts of doctor), or another user", value="OTHER"),
    Flag("syscall", str, "what the filter of the bundle answers to this system call, and which rule decides; arguments "
         "of the call may follow", value="NAME"),
    Flag("report", str, "the plan of a command that failed, from a report (pyrunc report)", value="FILE"),
    Flag("no-check", bool, "leave out what `pyrunc check` finds: it takes a tenth of a second"),
)
COMMAND = Command(
    "explain", "print what a command would do, step by step",
    (*(flag if flag.name != "config" else Flag("config", str, flag.help, value=flag.value) for flag in CREATE), *OWN),
    arguments="[STEP ...] [container-id] | COMMAND [its flags and arguments]", least=0, most=-1, stop=1)


def run(call: Call) -> int:
    """Print the plan that the command would run here and now. Raises what it would raise before any effect."""
    from .pager import colour, columns, page
    if call.text("report"):
        from .explain_report import show
        return show(call)
    asked = Asked(call)
    if asked.text("syscall"):
        page(syscall(asked))
    elif asked.text("diff"):
        page(difference(asked))
    else:
        subject = asked.subject()
        words = asked.words(subject)
        form = asked.text("format")
        page(subject.json(words) if form == "json" else subject.lines(words) if form == "lines"
             else subject.text(words, columns(0), colour()))
    return 0


class Asked:
    """The command line: which command is to be explained, by which flags of its own, and how.

    name       of the command
    selected   words that may be steps, or the container's id
    """

    def __init__(self, call: Call) -> None:
        from .main import module
        self.call, self.name, words = call, "create", list(call.arguments)
        named = bool(words) and words[0] in PLANNED
        if named:
            self.name = words.pop(0)
        elif len(words) == 1 and words[0] in others():
            raise UsageError(f"{words[0]} has no plan: it changes no container")
        self.command: Command = module(self.name).COMMAND
        self.values: dict[str, Any] = dict(call.values)
        flags = (*self.command.flags, *OWN) if named else COMMAND.flags
        self.arguments = parse(flags, words, self.values, self.command.stop if named else -1)
        self.selected: list[str] = []
        self.doubt = ""
        self.own = {flag.name: self.values.pop(flag.name, flag.default) for flag in OWN}
        form = OWN[0]
        if self.own["format"] not in form.choices:
            raise UsageError(f'invalid value "{self.own["format"]}" for flag -format: one of {", ".join(form.choices)}')
        if self.text("syscall"):
            return
        if not named:
            self.selected, self.arguments = self.arguments, []
        if self.name in OF_A_BUNDLE and not self.arguments:
            self.arguments = ["ID"]
        check_arguments(self.command, self.arguments)

    def text(self, flag: str) -> str:
        return str(self.own[flag])

    def words(self, subject: Subject) -> list[str]:
        """The steps to show. UsageError for a word that names none."""
        from ..planview import selection
        words, records = [*self.own["select"], *self.selected], subject.records()
        for word in words:
            if not any(selection.names(record, word) for record in records):
                near = selection.near(records, word)
                raise UsageError(f"{subject.title} has no step {word}" + (f"; did you mean {near}?" if near else ""))
        return words

    def view(self) -> View:
        """For whom, and where. UsageError for what there is not."""
        from ..host import probe
        from ..planview import view
        found = facts(self.text("host")) if self.text("host") else view.here(probe())
        return view.seen_by(found, self.text("as")) if self.text("as") else found

    def subject(self, view: View | None = None, values: dict[str, Any] | None = None) -> Subject:
        """The plans, for this user and host, or for another; values: with other flags of the command."""
        from ..planview.subject import Subject
        view = view or self.view()
        given = self.values if values is None else values
        elsewhere = bool(view.file or view.host.euid != posix.geteuid())
        sub = self.sub_call(view, given, elsewhere)
        plans = self.plans(sub)
        bundle = absolute(sub.text("bundle")) if self.name in OF_A_BUNDLE else ""
        quick = self.own["no-check"] or self.text("diff") or self.text("format") == "lines" or not bundle
        found = [] if quick else self.findings(sub, view)
        title = f"{self.name} {sub.id}" if sub.id != "ID" else self.name
        return Subject(title, view, bundle, sub.root, plans, found, self.doubt)

    def sub_call(self, view: View, values: dict[str, Any], elsewhere: bool) -> Call:
        """The command's own call, as that user would make it."""
        from ..planview.view import state_root
        call, arguments = self.call, list(self.arguments)
        root = call.root if not elsewhere or "root" in call.settings else state_root(view)
        made = Call(self.command, values, arguments, call.settings, root, call.log, "")
        made.host = view.host
        if self.name == "create" and len(self.selected) == 1 and not self._is_step(made, self.selected[0]):
            made.arguments = [self.selected[0]]
            self.arguments, self.selected = made.arguments, []
        return made

    def _is_step(self, made: Call, word: str) -> bool:
        """Whether a word names a step of create, and not the container."""
        from ..planview import selection
        from ..state.store import check_id
        from .create import plan_of
        try:
            check_id(word)
        except UsageError:
            return True                          # "mounts[3]": what it does not name is told later
        records = list(plan_of(made).records())
        if any(selection.names(record, word) for record in records):
            return True
        if near := selection.near(records, word):
            self.doubt = f"no step is named {word} (did you mean {near}?): it is taken as the container's id"
        return False

    def plans(self, sub: Call) -> list[Plan]:
        """What the command runs, one after the other."""
        from .main import module
        first: Plan = module(self.name).plan_of(sub)
        return [first, *afterwards(sub)] if self.name == "run" else [first]

    def findings(self, sub: Call, view: View) -> list[Any]:
        from ..checks.findings import examine
        from .bundle import explained
        detach = self.name == "create" or sub.on("detach")
        _, options = explained(sub, detach, start=self.name != "create")
        return examine(options.bundle, absolute(sub.text("config")) if sub.given("config") else "config.json", options,
                       view.host, view.controllers)


def others() -> tuple[str, ...]:
    from .main import COMMANDS
    return tuple(name for name in COMMANDS if name not in PLANNED)


def afterwards(call: Call) -> list[Plan]:
    """What `run` does besides create: start, and delete in the end, unless the container is to stay."""
    from .. import plan
    from ..request import Request
    from ..state.container import Container
    from ..state.intent import intent
    from .bundle import explained
    config, options = explained(call, call.on("detach"), start=True)
    made = Container(call.root, call.id, intent(Request(config, options, call.planned_for())), True)
    plans = [plan.start(made)]
    if not (call.on("detach") or call.on("keep")):
        plans.append(plan.delete(made))
    return plans


def difference(asked: Asked) -> str:
    """What is not the same for the other bundle, host or user."""
    from ..formats.json_text import dumps
    from ..planview import difference as compared
    from ..planview.selection import chosen
    from .pager import colour, columns
    view = asked.view()
    first = asked.subject(view)
    try:
        second = asked.subject(*other(asked, view))
    except ConfigError as fault:
        raise UsageError(f"for {asked.text('diff')}: {fault}") from None
    words = asked.words(first)
    one, two = (compared.keys(chosen(side.records(), words), side.own()) for side in (first, second))
    found = list(compared.changes(one, two))
    same = len(one) - sum(sign == "-" for sign, _ in found)
    if asked.text("format") == "json":
        names = ("side", "step", "where", "what")
        return dumps({"first": first.view.record() | {"bundle": first.bundle},
                      "second": second.view.record() | {"bundle": second.bundle}, "same": same,
                      **{key: [dict(zip(names, step)) for sign, step in found if sign == of]
                         for key, of in (("onlyFirst", "-"), ("onlySecond", "+"))}}, 2) + "\n"
    heads = "".join(f"{sign} {', '.join(side.head().splitlines())}\n" for sign, side in (("-", first), ("+", second)))
    if not found:
        return f"{heads}\nno difference in {same} steps\n"
    return f"{heads}\n{compared.lines(found, columns(0), colour())}\n{same} steps are the same\n"


def other(asked: Asked, view: View) -> tuple[View, dict[str, Any]]:
    """(for whom, flags of the command) on the other side of --diff."""
    from ..planview.view import seen_by
    word, values = asked.text("diff"), asked.values
    path = absolute(word)
    kind = _kind(path)
    if kind == "directory":
        return view, {name: value for name, value in {**values, "bundle": word}.items() if name != "config"}
    if kind == "file":
        document = _document(path)
        if "ociVersion" in document:
            return view, {**values, "config": word}
        found = facts(word)
        return (seen_by(found, asked.text("as")) if asked.text("as") else found), values
    if "/" in word:
        raise UsageError(f"{word}: no such file or directory")
    return seen_by(view, word), values


def facts(file: str) -> View:
    """The host of a file that doctor has written."""
    from ..planview.view import recorded
    return recorded(_document(absolute(file)), file)


def syscall(asked: Asked) -> str:
    """What the filter says to one call."""
    from ..formats.json_text import dumps
    from ..seccomp.answer import answer, numbers
    from .bundle import options_of, read
    sub = Call(asked.command, asked.values, ["ID"], asked.call.settings, asked.call.root, asked.call.log, "")
    config = read(sub, options_of(sub, detach=True), start=False)
    arguments = numbers(asked.arguments)
    seccomp = config.get("linux", {}).get("seccomp")
    call = asked.text("syscall")
    if not seccomp:
        return dumps(None) + "\n" if asked.text("format") == "json" else (
            f"{call}: no filter: this config.json has no linux.seccomp, so the kernel alone answers\n")
    found = answer(seccomp, call, arguments)
    return dumps(found.record(), 2) + "\n" if asked.text("format") == "json" else found.text()


def _kind(path: str) -> str:
    try:
        return {0o040000: "directory"}.get(posix.stat(path).st_mode & 0o170000, "file")
    except FileNotFoundError:
        return ""
    except OSError as fault:
        raise UsageError(describe(fault)) from None


def _document(path: str) -> dict[str, Any]:
    from ..config.load import loads, read_all
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK)
        try:
            data = read_all(fd, 16 << 20, path)
        finally:
            posix.close(fd)
    except OSError as fault:
        raise UsageError(describe(fault)) from None
    found = loads(data, path)
    if type(found) is not dict:
        raise UsageError(f"{path}: must be an object")
    return found


def as_text(plan: Plan) -> str:
    """The table of a plan, as wide as it gets."""
    from ..planview.table import table
    return table(list(plan.records()))
