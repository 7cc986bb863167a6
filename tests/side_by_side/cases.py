"""The command lines, by the state of the container ID they start from. BUNDLE/x is bundle x, FOLDER a fresh one."""
from __future__ import annotations

from dataclasses import dataclass, field

from .bundles_of_cases import CONFIGS, TEXTS


@dataclass(frozen=True)
class Case:
    given: str
    line: str
    differs: dict[str, str] = field(default_factory=dict, hash=False, compare=False)

    @property
    def name(self) -> str:
        return f"{self.given}: {self.line}"


ABSENT = """
--version
--help
help
help state
nonsense
--nonsense state ID
--log-format xml list
--log-format json state ID
--log FOLDER/log state ID
--log FOLDER/log --log-format json state ID
--debug list
--root / list
state
state ID extra
state --help
state --nonsense ID
state ID
start ID
start
kill ID
kill ID KILL
kill
kill ID NONSENSE
delete ID
delete --force ID
delete
pause ID
pause
resume ID
ps ID
ps --format json ID
ps
exec ID true
exec
exec ID
events --stats ID
events
update --pids-limit 5 ID
update
checkpoint ID
checkpoint
restore --bundle BUNDLE/true --image-path FOLDER/missing ID
list
list --quiet
list --format json
list --format nonsense
list extra
spec --bundle FOLDER
spec --bundle FOLDER/missing
spec --rootless --bundle FOLDER
spec --bundle BUNDLE/true
spec extra
features
create --bundle FOLDER/missing ID
create --bundle
create
run
run --bundle BUNDLE/true bad/id
run --bundle BUNDLE/true ..
run --bundle BUNDLE/true a:b
run --bundle BUNDLE/true ID+_.-x
run --bundle BUNDLE/true ID extra
run --bundle=BUNDLE/true ID
run -bundle BUNDLE/true ID
run -b BUNDLE/true ID
run --keep --bundle BUNDLE/true ID
run --detach --bundle BUNDLE/waits ID
run --detach=false --bundle BUNDLE/true ID
run --detach=maybe --bundle BUNDLE/true ID
run --detach --pid-file FOLDER/pid --bundle BUNDLE/waits ID
run --pid-file FOLDER/missing/pid --bundle BUNDLE/true ID
run --no-pivot --bundle BUNDLE/true ID
run --no-new-keyring --bundle BUNDLE/true ID
run --no-subreaper --bundle BUNDLE/true ID
run --preserve-fds 5 --bundle BUNDLE/true ID
run --preserve-fds x --bundle BUNDLE/true ID
run --console-socket FOLDER/socket --bundle BUNDLE/true ID
create --bundle BUNDLE/waits ID
create --pid-file FOLDER/pid --bundle BUNDLE/waits ID
create --console-socket FOLDER/missing --bundle BUNDLE/terminal ID
create --bundle BUNDLE/missing ID
create --bundle BUNDLE/not_in_path ID
run --detach --bundle BUNDLE/terminal ID
"""
#: Against a container in each of these states.
EVERY_STATE = """
state ID
start ID
kill ID
kill ID KILL
kill ID 0
delete ID
delete --force ID
pause ID
resume ID
ps ID
ps --format json ID
exec ID true
exec --detach ID true
events --stats ID
list
list --quiet
list --format json
create --bundle BUNDLE/true ID
run --bundle BUNDLE/true ID
update ID
"""
RUNNING = """
exec --ignore-paused ID true
kill ID TERM
kill ID SIGUSR1
kill ID sigusr1
kill ID 10
kill ID SIGRTMIN+1
kill ID 99
kill ID -1
kill ID NONSENSE
kill ID 9x
exec ID false
exec ID sh -c 'exit 9'
exec ID sh -c 'kill -9 $$'
exec ID echo a b
exec ID missing
exec ID /missing
exec ID /etc
exec ID /etc/passwd
exec --cwd /tmp ID readlink /proc/self/cwd
exec --cwd /missing ID true
exec --cwd missing ID true
exec --env A=b ID sh -c 'echo $A'
exec -e A=b -e A=c ID sh -c 'echo $A'
exec --user 1000 ID id -u
exec --user 1000:7 ID id -g
exec --user nobody ID true
exec --user 1000:x ID true
exec -g 5 -g 6 ID id -G
exec -g x ID true
exec --cap CAP_SYS_ADMIN ID grep CapEff /proc/self/status
exec --cap NONSENSE ID true
exec --no-new-privs ID grep NoNewPrivs /proc/self/status
exec --process FOLDER/missing ID
exec --pid-file FOLDER/pid --detach ID true
exec --detach --tty ID true
exec --console-socket FOLDER/socket ID true
exec --preserve-fds 9 ID true
exec --nonsense ID true
exec ID
exec ID -- true
ps ID -o pid,comm
ps ID --nonsense
ps --format nonsense ID
events --interval 0s ID
events --interval nonsense ID
update --resources FOLDER/missing ID
update --memory nonsense ID
update --pids-limit nonsense ID
update --nonsense ID
"""
STATES = ("created", "running", "paused", "stopped")


def lines(text: str) -> list[str]:
    return text.strip().splitlines()


def all_cases(differences: dict[str, dict[str, str]]) -> list[Case]:
    """Every line once, with what is known to differ: "state: line" -> aspect -> reason."""
    named = [("absent", line) for line in lines(ABSENT)]
    named += [("absent", f"run --bundle BUNDLE/{name} ID") for name in (*CONFIGS, *TEXTS, "no_config")
              if name not in ("waits", "poststart_fails")]
    named += [(state, line) for state in STATES for line in lines(EVERY_STATE)]
    named += [("running", line) for line in lines(RUNNING)]
    return [Case(given, line, differences.get(f"{given}: {line}", {})) for given, line in named]
