"""Boot the guest, run one command in it, hand back its exit status.

Inside: uid 0 with every capability, kernel 6.1 of Debian, cgroup v2 only (cpuset cpu io memory hugetlb pids rdma
misc), AppArmor, user namespaces; / is a writable throw-away overlay of the host's root, /job a folder shared with
the host, /tmp and the engines' folders in /var/lib tmpfs. With systemd=True, systemd is PID 1 and D-Bus is up.
"""
from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import initrd

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "pyrunc-guest")
APPEND = ("console=ttyS0 quiet loglevel=1 panic=-1 cgroup_no_v1=all systemd.unified_cgroup_hierarchy=1 "
          # The host is not the guest's enemy: page table isolation and its kin cost half the speed under emulation.
          # The timer is there, however late a busy machine lets it tick.
          "mitigations=off tsc=reliable no_timer_check")


class GuestError(Exception):
    """The guest did not boot, ended without a status, or ran out of time."""


@dataclass
class Result:
    """status: the command's exit status; booted, total: seconds of wall clock; output: what it printed."""
    status: int
    booted: float
    total: float
    accelerator: str
    output: str


def accelerator() -> str:
    """"kvm" where the processor has the extensions and /dev/kvm opens, else "tcg" (software, some ten times slower)."""
    flags = Path("/proc/cpuinfo").read_text()
    usable = (" vmx" in flags or " svm" in flags) and os.access("/dev/kvm", os.R_OK | os.W_OK)
    return "kvm" if usable else "tcg"


def _command_line(job: Path, memory: int, cpus: int, accel: str, keep: list[Path], security: str) -> list[str]:
    kernel = initrd.newest_kernel()
    (job / "initrd").write_bytes(initrd.build(kernel.name.removeprefix("vmlinuz-"), HERE / "init.sh"))
    engine = ["-accel", "kvm", "-cpu", "host"] if accel == "kvm" else [
        "-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max"]
    # It ends with us, also when we are killed.
    return ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", *engine,
            "-smp", str(cpus), "-m", str(memory), "-display", "none",
            "-serial", f"file:{job}/console", "-monitor", "none", "-no-reboot", "-nic", "none",
            "-kernel", str(initrd.unpacked(kernel, CACHE)), "-initrd", f"{job}/initrd",
            "-append", f"{APPEND} security={security} keep={','.join(map(str, keep))}",
            "-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap",
            "-virtfs", f"local,path={job}/share,mount_tag=job,security_model=none,multidevs=remap"]


class Guest:
    """One boot. start() returns at once; poll() is None until the command has ended; files go through `share`."""

    def __init__(self, argv: Sequence[str], *, systemd: bool = False, env: Mapping[str, str] | None = None,
                 cwd: str | Path | None = None, keep: Sequence[Path] = (), memory: int = 4096, cpus: int = 2,
                 security: str = "apparmor") -> None:
        """keep: folders below /tmp that are to be seen in the guest, whose /tmp is new; the checkout always is.
        security: the kernel's security module; with "selinux" there is no policy until one is loaded."""
        self.job = Path(tempfile.mkdtemp(prefix="pyrunc-guest."))
        self.share = self.job / "share"              # /job in the guest
        self.share.mkdir()
        self.accelerator = accelerator()
        self.booted = 0.0
        self._offset = 0
        self._seen: list[str] = []
        for name in ("boot.sh", "work.sh"):
            shutil.copy(HERE / name, self.share / name)
        lines = [f"export {name}={shlex.quote(value)}" for name, value in (env or {}).items()]
        lines += [f"cd {shlex.quote(str(cwd or CHECKOUT))}", shlex.join(argv)]
        (self.share / "command").write_text("\n".join(lines) + "\n")
        if systemd:
            (self.share / "systemd").touch()
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            _command_line(self.job, memory, cpus, self.accelerator, [CHECKOUT, *keep], security),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=(self.job / "errors").open("wb"))

    def poll(self) -> int | None:
        """The command's exit status, None while it runs. GuestError when the machine ended without one."""
        if not self.booted and (self.share / "booted").exists():
            self.booted = time.monotonic() - self.began
        try:
            return int((self.share / "status").read_text())
        except (FileNotFoundError, ValueError):
            pass
        if self.process.poll() is not None and not (self.share / "status").exists():
            said = "".join((self.job / name).read_text(errors="replace") for name in ("console", "errors"))
            raise GuestError(f"the guest ended without a status: {said[-2000:].strip()}")
        return None

    def output(self) -> str:
        """What the command has printed since the last call."""
        try:
            with (self.share / "output").open("rb") as file:
                file.seek(self._offset)
                new = file.read()
        except FileNotFoundError:
            return ""
        self._offset += len(new)
        text = new.decode(errors="replace")
        self._seen.append(text)
        return text

    def result(self, status: int) -> Result:
        self.output()
        return Result(status, self.booted, time.monotonic() - self.began, self.accelerator, "".join(self._seen))

    def close(self) -> None:
        """End the machine and remove its folder. May be repeated."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.job, ignore_errors=True)


def run(argv: Sequence[str], *, systemd: bool = False, env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None, timeout: float = 900, memory: int = 4096, cpus: int = 2,
        write: Callable[[str], object] = sys.stdout.write) -> Result:
    """Boot, run argv, hand what it prints to write() as it comes. GuestError after timeout seconds."""
    guest = Guest(argv, systemd=systemd, env=env, cwd=cwd, memory=memory, cpus=cpus)
    try:
        while (status := guest.poll()) is None:
            if time.monotonic() - guest.began > timeout:
                write(guest.output())
                raise GuestError(f"out of time ({timeout:.0f} s)")
            write(guest.output())
            time.sleep(0.05)
        write(guest.output())
        return guest.result(status)
    finally:
        guest.close()
