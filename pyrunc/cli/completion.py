"""completion: shell functions that complete pyrunc's commands, flags, container ids, steps and other values.

    . <(pyrunc completion bash)         source <(pyrunc completion zsh)

Steps are those of the plan that would be run: the shell asks `explain` with the words that follow the flag, or for the
bundle that it stands in. Where there is none, they are those of the example config.
"""
from __future__ import annotations

import _signal

from ..errors import UsageError
from ..kernel.constants import CAPABILITIES
from .explain import PLANNED
from .flags import Command, Flag
from .output import emit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from .flags import Call

COMMAND = Command("completion", "print a completion script for a shell", arguments="bash|zsh")

BASH = """\
_pyrunc_ids() {{ REPLY=$(pyrunc ${{root:+--root "$root"}} list -q 2>/dev/null); }}
_pyrunc_kept() {{
    local id
    while read -r _ _ id _; do REPLY+=" $id"; done < <(pyrunc ${{root:+--root "$root"}} why --all 2>/dev/null)
}}
_pyrunc_steps() {{
    local side id
    while IFS=$'\t' read -r side id _; do
        case $id in barrier*) ;; ?*) REPLY+=" $id ${{id%%.*}}" ;; esac
    done < <(pyrunc ${{root:+--root "$root"}} explain --no-check --format lines "$@" 2>/dev/null)
    [[ $REPLY ]]
}}
_pyrunc_stops() {{
    local rest=("${{COMP_WORDS[@]:COMP_CWORD+1}}")
    while [[ ${{rest[0]}} && ! ${{rest[0]}} =~ ^(create|run|exec|restore)$ ]]; do rest=("${{rest[@]:1}}"); done
    [[ ${{rest[0]}} ]] && {{ _pyrunc_steps "${{rest[@]}}" || _pyrunc_steps "${{rest[@]}}" true; }} || _pyrunc_plan
}}
_pyrunc_plan() {{
    local i words=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        [[ ${{COMP_WORDS[i]}} =~ ^(-b|--?bundle|--?config)$ ]] && words+=("${{COMP_WORDS[i]}}" "${{COMP_WORDS[i+1]}}")
    done
    _pyrunc_steps create "${{words[@]}}" || REPLY="{steps}"
}}
_pyrunc() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} command= root= REPLY= i at=1
    [[ $word == = ]] && word=
    [[ $before == = ]] && before=${{COMP_WORDS[COMP_CWORD-2]}}
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${{COMP_WORDS[i]}} in
            {valued}) ((i++)); [[ ${{COMP_WORDS[i-1]}} == *-root ]] && root=${{COMP_WORDS[i]}} ;;
            -*) ;;
            *) if [[ $command ]]; then ((at++)); else command=${{COMP_WORDS[i]}}; fi ;;
        esac
    done
    COMPREPLY=()
    case "$command $before" in
{values}
    esac
    case "$command $word" in
        " -"*) REPLY="{globals}" ;;
        " "*) REPLY="{commands}" ;;
{flags}
        *) case "$command $at" in
{arguments}
            *) COMPREPLY=($(compgen -f -- "$word")); return ;;
        esac ;;
    esac
    COMPREPLY=($(compgen -W "$REPLY" -- "$word"))
}}
complete -o filenames -F _pyrunc pyrunc
"""

#: How bash finds what follows a flag, by what `--help` calls its value; by a function, if it begins so. Of another
#: value (a number, say) there is nothing to offer.
VALUES = {"DIR": "-d", "FILE": "-f", "SOCKET": "-f", "OTHER": "-f", "USER": "-u", "STEP": "_pyrunc_stops",
          "FORMAT": '-W "table json"', "COMMAND": f'-W "{" ".join(PLANNED)}"', "CAP": f'-W "{" ".join(CAPABILITIES)}"'}
#: Arguments that are no container's id; number 1 follows the command.
ARGUMENTS = {
    "completion 1": 'REPLY="bash zsh"', "trace 1": 'REPLY="show diff"', "step 2": 'REPLY="next continue abort shell"',
    "kill 2": "REPLY=SIGNALS", "why 1": "_pyrunc_kept", "report 1": "_pyrunc_kept", "create 1": "", "run 1": "",
    "restore 1": "", "explain 1": f'_pyrunc_plan; REPLY+=" {" ".join(PLANNED)}"'}


def run(call: Call) -> int:
    """zsh understands bash's completion functions once it is told to."""
    shell = call.arguments[0]
    if shell not in ("bash", "zsh"):
        raise UsageError(f'no completion for "{shell}", only for bash and zsh')
    script = bash()
    if shell == "zsh":
        script = "#compdef pyrunc\nautoload -Uz +X compinit bashcompinit && compinit -u && bashcompinit\n" + script
    emit(script)
    return 0


def bash() -> str:
    """The script, from the tables of all commands."""
    from .main import COMMANDS, GLOBALS, module
    commands: list[Command] = [module(name).COMMAND for name in COMMANDS]
    values = [case for command in commands for case in _values(command.name, command.flags)]
    values += _values("", GLOBALS)
    flags = [f'        "{command.name} -"*) REPLY="{_names(command.flags)}" ;;'
             for command in commands if _names(command.flags)]
    arguments = {f"{command.name} 1": "_pyrunc_ids" for command in commands if "<container-id>" in command.arguments}
    arguments |= ARGUMENTS | {"kill 2": f'REPLY="{" ".join(_signals())}"'}
    every = [*GLOBALS, *(flag for command in commands for flag in command.flags)]
    return BASH.format(
        steps=" ".join(_example()), valued="|".join(_valued(every)),
        values="\n".join(values), globals=_names(GLOBALS), commands=" ".join(COMMANDS), flags="\n".join(flags),
        arguments="\n".join(f'            "{place}") {reply} ;;' for place, reply in arguments.items()))


def _names(flags: Sequence[Flag]) -> str:
    return " ".join(f"--{flag.name}" for flag in flags if not flag.hidden)


def _spellings(flag: Flag) -> list[str]:
    return [f"-{flag.name}", f"--{flag.name}"] + ([f"-{flag.short}"] if flag.short else [])


def _valued(flags: Sequence[Flag]) -> list[str]:
    """Every spelling that a value follows, whichever command's it is."""
    switches = {word for flag in flags if flag.kind is bool for word in _spellings(flag)}
    return sorted({word for flag in flags if flag.kind is not bool for word in _spellings(flag)} - switches)


def _values(command: str, flags: Sequence[Flag]) -> Iterator[str]:
    """For a flag that takes a value: what may follow it."""
    for flag in flags:
        if flag.kind is bool or flag.hidden:
            continue
        reply = f'-W "{" ".join(flag.choices)}"' if flag.choices else VALUES.get(flag.value, '-W ""')
        if reply.startswith("_"):
            reply = f'{reply}; COMPREPLY=($(compgen -W "$REPLY" -- "$word"))'
        else:
            reply = f'COMPREPLY=($(compgen {reply} -- "$word"))'
        case = "|".join(f'"{command} {spelling}"' for spelling in _spellings(flag))
        yield f"        {case}) {reply}; return ;;"


def _signals() -> Iterator[str]:
    """Their names, without SIG."""
    for name in dir(_signal):
        if name.startswith("SIG") and name[3:].isalnum() and name[3:].isupper():
            yield name[3:]


def _example() -> list[str]:
    """Names for --break where there is no bundle: the steps of the example config, and what they are about."""
    from .. import plan
    from ..config.example import example
    from ..engine.step import Barrier
    from ..host import probe
    from ..options import Options
    config: Any = example()
    made = plan.create(config, Options(id="ID", bundle="/", console_socket="SOCKET"), probe())
    ids = [id for id, step in zip(made.ids, made.steps) if not isinstance(step, Barrier)]
    return list(dict.fromkeys([*ids, *(id.partition(".")[0] for id in ids)]))
