"""startContainer hooks."""
from __future__ import annotations

import errno
import os
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from pyrunc.kernel.last_stage import OP_HOOK, pack_hook

from .stage import Op, execute, op, run, shell

FAILED = "error running startContainer hook #4: /bin/sh: "


def hook(script: str, stdin: bytes = b"", timeout: float | None = None, env: Sequence[str] = (),
         streams: tuple[int, int] = (-1, -1)) -> Op:
    return op(OP_HOOK, 4, *streams, data=pack_hook("/bin/sh", ["hook", "-c", script], env, stdin, timeout))


def test_hooks_run_in_order_with_state_and_environment(tmp_path: Path) -> None:
    log = tmp_path / "log"
    told = run([hook(f"(env; cat; echo) >> {log}", b'{"id":"x"}', env=["KEY=1"]), hook(f"echo second >> {log}"),
                *execute("/bin/cat", str(log))])
    lines = told.out.splitlines()
    assert lines[-2:] == ['{"id":"x"}', "second"]
    assert "KEY=1" in lines
    assert {line.split("=")[0] for line in lines[:-2]} <= {"KEY", "PWD", "SHLVL", "_"}


def test_hook_that_fails_stops_everything() -> None:
    told = run([hook("echo one; echo two >&2; exit 3"), *shell("echo on")])
    assert told.failure == (f"{FAILED}exit status 3, stdout: one , stderr: two ", 0)
    assert told.out == ""


def test_hook_that_is_killed() -> None:
    told = run([hook("kill -TERM $$"), *shell("true")])
    assert told.failure == (f"{FAILED}killed by signal 15 (SIGTERM)", 0)


def test_hook_that_runs_out_of_time() -> None:
    said = "error running startContainer hook #4: /bin/sh: hook ran past its timeout"
    for limit in (0.2, 3, 30):                       # the shell must come to its first command
        told = run([hook("echo slow; sleep 1000", timeout=limit), *shell("true")])
        assert told.failure in ((said, 0), (f"{said}, stdout: slow ", 0))
        if "slow" in told.failure[0]:
            return
    pytest.fail("nothing of its output is told")


def test_hook_that_is_not_there() -> None:
    told = run([op(OP_HOOK, 0, -1, -1, data=pack_hook("/nowhere", [], [], b"", None)), *shell("true")])
    assert told.failure == ("error running startContainer hook #0: /nowhere", errno.ENOENT)


def test_hook_without_arguments_and_with_an_endless_output(tmp_path: Path) -> None:
    script = tmp_path / "hook"
    script.write_text("#!/bin/sh\nyes | head -c 300000\nprintf '\\000FATAL: the reason' >&2; exit 1\n")
    script.chmod(0o755)
    told = run([op(OP_HOOK, 0, -1, -1, data=pack_hook(str(script), ["h"], [], b"", None)), *shell("true")])
    assert told.failure[0].startswith(
        f"error running startContainer hook #0: {script}: exit status 1, stdout: ...")
    assert told.failure[0].endswith("y y , stderr: \\x00FATAL: the reason")
    assert 2000 < len(told.text) < 2048


@pytest.mark.parametrize(("script", "ends"), [
    ("yes | head -c 5000; yes no | head -c 5000 >&2; echo FATAL >&2",
     r"stdout: \.\.\.[ y]{900,}, stderr: \.\.\.[ no]{900,}FATAL $"),
    ("yes | head -c 5000 >&2; echo last >&2", r"exit status 1, stderr: \.\.\.[ y]{1800,}last $"),
    ("yes | head -c 5000; echo last", r"stdout: \.\.\.[ y]{1800,}last $"),
    ("dd if=/dev/zero bs=5000 count=1 2>/dev/null; echo last >&2", r"stdout: \.\.\.(\\x00){400,}, stderr: last $"),
    ("i=0; while test $i -lt 3000; do printf é; i=$((i+1)); done", r"stdout: \.\.\.é{900,}$")])
def test_the_end_of_both_streams_is_told(script: str, ends: str, tmp_path: Path) -> None:
    """Also by a hook whose path takes room."""
    for name in ("short", "long" * 50):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{script}\nexit 1\n")
        program.chmod(0o755)
        told = run([op(OP_HOOK, 0, -1, -1, data=pack_hook(str(program), ["h"], ["PATH=/usr/bin:/bin"], b"", None)),
                    *shell("true")])
        assert re.search(ends.replace("900", "700").replace("1800", "1500"), told.failure[0]), told.failure


def test_hooks_print_into_descriptors_that_the_program_does_not_get(tmp_path: Path) -> None:
    out, err = (os.open(tmp_path / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND) for name in ("out", "err"))
    told = run([hook("echo one; echo two >&2", streams=(out, err)), hook("echo three", streams=(out, -1)),
                *shell("ls /proc/self/fd")])
    assert ((tmp_path / "out").read_text(), (tmp_path / "err").read_text()) == ("one\nthree\n", "two\n")
    assert told.out.split() == ["0", "1", "2", "3"]           # 3 is the directory that ls reads
    told = run([hook("echo five; echo six >&2; exit 1", streams=(out, -1)), *shell("true")])
    assert told.failure == ("error running startContainer hook #4: /bin/sh: exit status 1, stderr: six ", 0)
    os.close(out)
    os.close(err)
