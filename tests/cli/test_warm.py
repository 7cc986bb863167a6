"""What is done before the snapshot is made has no effect, and nothing of it is seen later."""
from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from pyrunc.kernel.stopping import STOPPING
from tests import runtimes

ACTING = "%file,%process,kill,tgkill,pidfd_send_signal,write,pwrite64,ioctl,mount,prctl,setns,unshare,socket,bpf"
#: What a process asks about itself, and looks up in vain.
READING = ("readlink", "newfstatat", "stat", "lstat", "access")


def test_it_has_no_effect() -> None:
    code = "from pyrunc.cli import warm; warm._once(); open('/dev/zero').close(); warm.warm()"
    told = subprocess.run(["strace", "-f", "-e", f"trace={ACTING}", sys.executable, "-c", code], capture_output=True,
                          text=True, check=True).stderr
    calls = told[told.index('"/dev/zero"'):].splitlines()[1:]
    done = [call for call in calls if " = -1 " not in call and not call.startswith((*READING, "exit_group", "+++"))]
    assert sum("/random/boot_id" in call for call in done) >= 12        # the list is not empty for another reason
    assert [call for call in done if "O_RDONLY" not in call and "/dev/null" not in call
            and not call.startswith("write(2")] == []


def test_signals_are_as_they_were() -> None:
    code = ("from pyrunc.cli import warm; import signal; warm.ROUNDS = 1; warm.warm(); "
            f"print([signal.getsignal(number).value for number in {STOPPING!r}])")
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == f"{[signal.SIG_DFL.value] * len(STOPPING)}\n"
    assert told.stderr == ""


def test_the_program_holds_nothing_of_the_host_that_built_it() -> None:
    held = Path(runtimes.find()).read_bytes()
    assert b"pyrunc.cli.warm" in held
    assert Path("/proc/sys/kernel/random/boot_id").read_bytes().strip() not in held
