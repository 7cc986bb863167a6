"""resctrl in the guest, whose processor has none: a module of its own, for the guest's kernel."""
from __future__ import annotations

import hashlib
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from .. import initrd, machine

HERE = Path(__file__).resolve().parent
PLACE = "/sys/fs/resctrl"


def module() -> Path:
    """The module, built unless it has been. GuestError where that cannot be done."""
    release = initrd.newest_kernel().name.removeprefix("vmlinuz-")
    source = HERE / "resctrl.c"
    made = machine.CACHE / f"resctrl-{release}-{hashlib.sha256(source.read_bytes()).hexdigest()[:16]}.ko"
    if made.exists():
        return made
    tree = Path("/lib/modules", release, "build")
    if not tree.exists():
        raise machine.GuestError(f"{tree}: no headers of the guest's kernel: apt-get install linux-headers-{release}")
    with tempfile.TemporaryDirectory(prefix="resctrl-module-") as place:
        for name in ("resctrl.c", "Makefile"):
            shutil.copy(HERE / name, place)
        done = subprocess.run(["make", "-C", tree, f"M={place}", "modules"], check=False, capture_output=True,
                              text=True)
        if done.returncode:
            raise machine.GuestError(f"resctrl.c: {done.stdout[-1000:]}{done.stderr[-2000:]}")
        made.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(place, "resctrl.ko"), made)
    return made


def script() -> str:
    """Words of a shell that mount it, for a root in the guest, which sees this machine's files."""
    return f"insmod {shlex.quote(str(module()))} && mount -t resctrl resctrl {PLACE} || exit 125;"
