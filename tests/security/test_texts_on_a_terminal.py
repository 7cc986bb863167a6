"""An error text goes to an operator's terminal: what an image or a hook has put in it must not be obeyed there."""
from __future__ import annotations

import os
import pty
import subprocess
import unicodedata
from pathlib import Path

import pytest

from pyrunc.log import visible
from tests import bundles
from tests.bundles import docker_like
from tests.runtimes import Runtime

#: A title, an answerback, colours by a C1 byte, another direction of writing, another line.
STEERING = "\x1b]0;title\x07\x1b[6n\u009b31m\u202e\x7f\r\u2028"


def on_a_terminal(argv: list[str], **environment: str) -> str:
    """What a command prints at a terminal of its own, without the colours and the pager that it would have there."""
    ours, its = pty.openpty()
    process = subprocess.Popen(argv, stdin=its, stdout=its, stderr=its,
                               env={**os.environ, "LC_ALL": "C.UTF-8", "NO_COLOR": "1", "PAGER": "cat", **environment})
    os.close(its)
    printed = b""
    try:
        while part := os.read(ours, 4096):
            printed += part
    except OSError:                                # EIO: the last one has closed it
        pass
    os.close(ours)
    process.wait()
    return printed.decode().replace("\r\n", "\n")


@pytest.mark.parametrize(("config", "said"), [
    (docker_like(process={"args": ["/bin/script"]}), "its interpreter"),
    (docker_like(process={"args": [f"/bin/{STEERING}"]}), "no such file or directory"),
    (docker_like(process={"cwd": f"/bin/busybox/{STEERING}"}), "not a directory"),
    (docker_like(hooks={"createRuntime": [{"path": "/bin/sh", "args": [
        "sh", "-c", f"printf '{STEERING}'; exit 3"]}]}), "exit status 3"),
], ids=["an image's script", "a program", "a directory", "a hook"])
def test_is_shown_and_not_obeyed(config: bundles.Config, said: str, runtime: Runtime, place: Path, name: str) -> None:
    bundle = bundles.bundle(place / "bundle", config)
    script = bundle / "rootfs/bin/script"
    script.write_text(f"#!/bin/{STEERING.replace(chr(13), '')}\n")
    script.chmod(0o755)
    printed = on_a_terminal(runtime.argv("run", "--bundle", bundle, name))
    assert said in printed and "title" in printed and printed.count("\n") == 1
    assert {letter for letter in printed if unicodedata.category(letter) in ("Cc", "Cf", "Zl", "Zp")} == {"\n"}
    runtime("delete", "--force", name)
    # With a log file the text goes to standard error as well, which is whatever the engine has there.
    outcome = runtime("--log", place / "log", "run", "--bundle", bundle, name)
    assert outcome.stderr.rstrip("\n").isprintable() and outcome.stderr.count("\n") == 1
    assert (place / "log").read_text().isascii()


def test_what_is_listed_is_shown_and_not_obeyed(runtime: Runtime, place: Path, name: str) -> None:
    bundle = bundles.bundle(place / f"bundle{STEERING}", docker_like(process={"cwd": f"/{STEERING}"}, **{STEERING: {}}))
    assert runtime("create", "--bundle", bundle, name).status == 0
    for command in (["list"], ["explain", "--bundle", bundle], ["check", "--bundle", bundle]):
        printed = on_a_terminal(runtime.argv(*command))
        assert "title" in printed
        assert {letter for letter in printed if unicodedata.category(letter) in ("Cc", "Cf", "Zl", "Zp")} == {"\n"}


@pytest.mark.parametrize("locale", ["C", "de_DE@euro", ""])
def test_a_letter_is_no_order_where_the_terminal_takes_no_utf_8(locale: str, runtime: Runtime, place: Path,
                                                                name: str) -> None:
    """One byte of a letter may be 0x9b, which begins an order in every ISO 8859: the number is shown."""
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["/bin/Û31m中"]}, hostname="Û31m中"))
    for command in (["run", "--bundle", str(bundle), name], ["explain", "--bundle", str(bundle), "uts", "process"]):
        printed = on_a_terminal(runtime.argv(*command), LC_ALL=locale, LC_CTYPE="", LANG="", COLUMNS="70")
        assert printed.isascii() and r"\xdb31m\u4e2d" in printed, printed
        assert "Û31m中" in on_a_terminal(runtime.argv(*command))
    piped = runtime("explain", "--bundle", bundle, env={**os.environ, "LC_ALL": locale})
    assert "Û31m中" in piped.stdout, "that is no terminal"


def test_visible() -> None:
    assert visible("Straße /bin/ls: 不") == "Straße /bin/ls: 不"
    assert visible("a\x1bb\nc\u202ed\udcff") == r"a\x1bb\x0ac\u202ed\udcff"
