"""completion: shell functions that complete pyrunc's commands, flags and container ids.

    . <(pyrunc completion bash)         source <(pyrunc completion zsh)
"""
from __future__ import annotations

from ..errors import UsageError
from .flags import Command, Flag
from .output import emit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .flags import Call

COMMAND = Command("completion", "print a completion script for a shell", arguments="bash|zsh")

BASH = """\
_pyrunc() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} command= root= i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${{COMP_WORDS[i]}} in
            {valued}) ((i++)); [[ ${{COMP_WORDS[i-1]}} == *-root ]] && root=${{COMP_WORDS[i]}} ;;
            -*) ;;
            *) command=${{COMP_WORDS[i]}}; break ;;
        esac
    done
    COMPREPLY=()
    case "$command $before" in
{values}
    esac
    case "$command $word" in
        " -"*) COMPREPLY=($(compgen -W "{globals}" -- "$word")) ;;
        " "*) COMPREPLY=($(compgen -W "{commands}" -- "$word")) ;;
{flags}
        {withid}) COMPREPLY=($(compgen -W "$(pyrunc ${{root:+--root "$root"}} list -q 2>/dev/null)" -- "$word")) ;;
        *) COMPREPLY=($(compgen -f -- "$word")) ;;
    esac
}}
complete -o filenames -F _pyrunc pyrunc
"""


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
    flags = [f'        "{command.name} -"*) COMPREPLY=($(compgen -W "{_names(command.flags)}" -- "$word")) ;;'
             for command in commands if _names(command.flags)]
    return BASH.format(
        valued="|".join(f"-{flag.name}|--{flag.name}" for flag in GLOBALS if flag.kind is not bool),
        values="\n".join(values), globals=_names(GLOBALS), commands=" ".join(COMMANDS), flags="\n".join(flags),
        withid="|".join(f'"{command.name} "*' for command in commands if "<container-id>" in command.arguments
                        and command.name not in ("create", "run", "restore")))


def _names(flags: Sequence[Flag]) -> str:
    return " ".join(f"--{flag.name}" for flag in flags if not flag.hidden)


def _values(command: str, flags: Sequence[Flag]) -> Iterator[str]:
    """For a flag that takes a value: what may follow it, its choices or a file."""
    for flag in flags:
        if flag.kind is bool or flag.hidden:
            continue
        spellings = [f"-{flag.name}", f"--{flag.name}"] + ([f"-{flag.short}"] if flag.short else [])
        case = "|".join(f'"{command} {spelling}"' for spelling in spellings)
        reply = f'-W "{" ".join(flag.choices)}"' if flag.choices else "-f"
        yield f'        {case}) COMPREPLY=($(compgen {reply} -- "${{COMP_WORDS[COMP_CWORD]}}")); return ;;'
