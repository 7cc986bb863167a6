"""What a runtime's program cannot do is an error before anything is done: by its `features` and its help."""
from __future__ import annotations

import asyncio
import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

import pyrunc
from pyrunc.keeper import foreign
from pyrunc.manager import Manager
from pyrunc.manager.binary import Binary, _Console, entries
from tests.forked import forked
from tests.manager.conftest import config_of

HELP = """NAME:
   toy - a runtime with few commands

COMMANDS:
   create    create a container
   start     start a container
   features  show what there is
"""


def test_a_program_has_the_signals_of_any_other(tmp_path: Path) -> None:
    """Of which the keeper and its workers ignore two, as Python does: its containers would, too."""
    def act() -> dict[str, str]:
        foreign.run(["/bin/sh", "-c", f"exec cat /proc/self/status >{tmp_path}/status"], "")
        return dict(line.split(":\t", 1) for line in (tmp_path / "status").read_text().splitlines() if ":\t" in line)
    found = forked(act)
    assert [found[name] for name in ("SigBlk", "SigIgn")] == ["0" * 16] * 2


@pytest.fixture
def toy(place: Path, m: Manager) -> Path:
    """A handler `toy`: a program that notes what it is asked for, and makes no container. The note is the fixture."""
    note, program = place / "asked", place / "toy"
    known = {"hooks": ["prestart", "poststop"], "linux": {"namespaces": ["mount", "pid", "ipc", "uts", "network"]}}
    program.write_text(f"""#!/bin/sh
echo "$@" >>{note}
case "$*" in
--help) cat <<'EOF'
{HELP}
EOF
;;
features) echo '{json.dumps(known)}' ;;
*) exit 1 ;;
esac
""")
    program.chmod(0o755)
    m.programs["toy"] = str(program)
    return note


@pytest.mark.parametrize(("changes", "said"), [
    ({"linux": {"namespaces": [{"type": "mount"}, {"type": "time"}]}},
     r"handler toy has no time namespaces: at linux\.namespaces\[1\] in config\.json"),
    ({"hooks": {"prestart": [], "createContainer": [{"path": "/bin/true"}]}},
     r"handler toy has no createContainer hooks: at hooks\.createContainer in config\.json")])
async def test_what_it_does_not_know_is_refused_beforehand(m: Manager, toy: Path, rootfs: Path, name: str,
                                                           changes: dict[str, Any], said: str) -> None:
    config = config_of(rootfs)
    config["linux"]["namespaces"] = [{"type": "mount"}, {"type": "pid"}]
    config.update({key: {**config.get(key, {}), **value} for key, value in changes.items()})
    with pytest.raises(pyrunc.UsageError, match=said):
        await m.create(name, config, handler="toy")
    assert sorted(toy.read_text().split()) == ["--help", "features"]
    assert m.containers() == [] and os.listdir(m.directory.path / "containers") == []


@pytest.mark.parametrize("command", ["checkpoint", "restore", "pause", "resume", "update"])
async def test_a_command_that_it_does_not_have(m: Manager, toy: Path, rootfs: Path, place: Path, name: str,
                                               command: str) -> None:
    handler = m.handler("toy")
    with pytest.raises(pyrunc.UsageError, match=f"handler toy cannot {command}: .*/toy has no such command"):
        await handler.able(command)
    await handler.able("start")
    if command == "restore":
        with pytest.raises(pyrunc.UsageError, match="cannot restore"):
            await m.restore(name, place / "images", config_of(rootfs), handler="toy")
    assert sorted(toy.read_text().split()) == ["--help", "features"]         # it is asked once


async def test_no_program(m: Manager, rootfs: Path, name: str) -> None:
    m.programs["toy"] = "/there/is/none"
    with pytest.raises(pyrunc.UsageError, match="handler toy: there is no program /there/is/none"):
        await m.create(name, config_of(rootfs), handler="toy")
    assert m.containers() == []


@pytest.mark.parametrize(("text", "wanted"), [
    ('{"level":"warning","msg":"a"}\n{"level":"error","msg":"b {c}"}\n', ["a", "b {c}"]),
    ('{\n  "msg": "a `\\/b`",\n  "level": "error"\n}\n\n{\n  "msg": "c"\n}\n', ["a `/b`", "c"]),
    ('words\n{"msg": "a"}\n{"msg": "half', ["a"]), ("{{{", []), ("", [])],
    ids=["a line each", "several lines each", "half of one", "none", "nothing"])
def test_logs_of_runtimes(text: str, wanted: list[str]) -> None:
    assert [entry["msg"] for entry in entries(text)] == wanted


@pytest.mark.parametrize("name_of_it", ["runc", "crun"])
async def test_real_ones_are_understood(m: Manager, name_of_it: str) -> None:
    handler = m.handler(name_of_it)
    assert isinstance(handler, Binary) and handler.direct
    for command in ("create", "start", "exec", "kill", "pause", "resume", "update", "delete", "state"):
        await handler.able(command)
    with pytest.raises(pyrunc.UsageError, match="no such command"):
        await handler.able("teleport")


async def test_the_loop_goes_on_while_a_terminal_is_waited_for(place: Path) -> None:
    """A runtime has connected, and takes its time."""
    console = _Console(place / "console")
    waiting = asyncio.ensure_future(console.master())
    with socket.socket(socket.AF_UNIX) as runtime, open("/dev/null", "rb") as terminal:
        runtime.connect(str(console.path))
        for _ in range(3):
            await asyncio.sleep(0.05)
        assert not waiting.done()
        socket.send_fds(runtime, [b"/dev/null"], [terminal.fileno()])
        master = await waiting
        assert os.path.sameopenfile(master, terminal.fileno()) and master != terminal.fileno()
        os.close(master)
    console.close()


@pytest.mark.parametrize("says", [b"", b"no terminal"])
async def test_a_runtime_that_sends_no_terminal(place: Path, says: bytes) -> None:
    console = _Console(place / "console")
    with socket.socket(socket.AF_UNIX) as runtime:
        runtime.connect(str(console.path))
        if says:
            runtime.sendall(says)
    with pytest.raises(pyrunc.PyruncError, match="has sent no terminal"):
        await console.master()
    console.close()
