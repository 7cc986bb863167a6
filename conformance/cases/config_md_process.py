"""config.md, what the kernel has for a process beside its ids: deadlines, processors, labels; and other platforms."""
from __future__ import annotations

import ctypes
import os
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

from ..harness import bundles, isolation
from ..harness.trial import Trial
from ..model import NotHere, case, each
from .config_linux_md import cgroup_of

PROCESS = "config.md#linux-process"

# ---- other platforms --------------------------------------------------------------------------------------------
OTHERS: dict[str, dict[str, Any]] = {
    "windows": {"layerFolders": ["C:\\layer"]}, "solaris": {"limitpriv": "default"}, "freebsd": {"devices": []},
    "vm": {"kernel": {"path": "/nowhere/vmlinuz"}}, "zos": {"namespaces": [{"type": "pid"}]}}


@case("config.md#process", "commandLine", also={
    "config.md#windows-user": ("username",), "config.md#platform-specific-configuration": (
        "linux", "freebsd, solaris, vm, windows, zos")})
def properties_of_other_platforms(t: Trial) -> None:
    """What is for other platforms changes nothing on Linux, and what is for Linux is done"""
    changes: dict[str, Any] = {**OTHERS, "process": {
        "commandLine": "C:\\program.exe", "user": {"username": "ContainerUser"}, "oomScoreAdj": 500}}
    said = t.inside("id -u; cat /proc/self/oom_score_adj; readlink /proc/self/ns/uts", **changes)
    uid, score, uts = said.splitlines()
    t.equal((uid, score), ("0", "500"), "user and oom_score_adj")
    t.true(uts != os.readlink("/proc/self/ns/uts"), "the uts namespace is not new: linux is passed over")


# ---- scheduler and processors -------------------------------------------------------------------------------------
#: sched_getattr(2): the C library has no function for it.
SCHED_GETATTR = {"x86_64": 315, "aarch64": 275, "riscv64": 275, "loongarch64": 275, "ppc64le": 356, "s390x": 346}
DEADLINE = {"runtime": 10_000_000, "deadline": 20_000_000, "period": 30_000_000}


def needs_deadlines(sched_setattr: int) -> None:
    """NotHere where the kernel refuses a process with such a deadline, whoever asks."""
    child = os.fork()
    if child == 0:
        attributes = ctypes.create_string_buffer(struct.pack("=IIQiIQQQ", 48, 6, 0, 0, 0, *DEADLINE.values()), 48)
        failed = ctypes.CDLL(None, use_errno=True).syscall(sched_setattr, 0, attributes, 0)
        os._exit(ctypes.get_errno() if failed else 0)
    if errno := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        raise NotHere(f"the kernel gives no deadline: {os.strerror(errno)}")


@case(PROCESS, "scheduler.policy", "scheduler.runtime", "scheduler.deadline", "scheduler.period")
def scheduler_with_a_deadline(t: Trial) -> None:
    """The process has the runtime, deadline and period of SCHED_DEADLINE"""
    t.needs_spec("1.1.0")
    number = SCHED_GETATTR.get(os.uname().machine)
    if number is None:
        raise NotHere(f"the number of sched_getattr on {os.uname().machine} is not known")
    if os.sched_getaffinity(0) != set(range(os.cpu_count() or 1)):
        raise NotHere("the kernel wants a process with a deadline on every processor")
    needs_deadlines(number - 1)
    made = t.create(process={"args": ["sleep", "600"], "scheduler": {"policy": "SCHED_DEADLINE", **DEADLINE}})
    attributes = ctypes.create_string_buffer(56)
    isolation.call("syscall", number, made.pid, attributes, 56, 0)
    _, policy, _, _, _, *times = struct.unpack_from("=IIQiIQQQ", attributes)
    t.equal((policy, times), (6, list(DEADLINE.values())), "policy and its times")


@case(PROCESS, "execCPUAffinity.initial", "without final the affinity is left alone")
def processors_of_exec_before_its_cgroup(t: Trial) -> None:
    """A process of exec begins on the processors of execCPUAffinity.initial, and without final it stays there"""
    t.needs_spec("1.2.0")
    here = sorted(os.sched_getaffinity(0))
    if len(here) < 2:
        raise NotHere("one processor only")
    made = t.running(process={"execCPUAffinity": {"initial": str(here[-1])}})
    said = t.runtime.ok("exec", made.id, "sed", "-n", r"s/^Cpus_allowed_list:\s*//p", "/proc/self/status").stdout
    cpuset = cgroup_of(made.pid) / "cpuset.cpus.effective"
    if said.strip() != str(here[-1]) and cpuset.exists() and cpuset.read_text() == said:
        raise NotHere("the kernel gives a process that joins a cgroup with a cpuset the processors of that")
    t.equal(said.strip(), str(here[-1]), "processors of exec's process")
    t.equal(sorted(os.sched_getaffinity(made.pid)), here, "processors of the container's first process")


# ---- labels ---------------------------------------------------------------------------------------------------------
APPARMOR, SELINUX = Path("/sys/kernel/security/apparmor"), Path("/sys/fs/selinux")
PROFILE = "profile {name} flags=(attach_disconnected) {{\n  file,\n  deny /etc/passwd r,\n}}\n"


def needs_apparmor() -> None:
    """NotHere where the kernel has it not, or nothing that loads profiles is there."""
    file = Path("/sys/module/apparmor/parameters/enabled")
    if not (file.exists() and file.read_text().startswith("Y") and (APPARMOR / ".load").exists()):
        raise NotHere("no AppArmor in this kernel")


@case(PROCESS, "apparmorProfile")
def apparmor_profile(t: Trial) -> None:
    """The process is confined by apparmorProfile, whose rules hold"""
    needs_apparmor()
    if not (parser := shutil.which("apparmor_parser")):
        raise NotHere("no apparmor_parser")
    name = f"conformance-{t.id}"
    rules = PROFILE.format(name=name)
    subprocess.run([parser, "--replace", "--skip-cache"], input=rules, text=True, check=True, capture_output=True)
    try:
        said = t.inside("cat /proc/self/attr/current; cat /etc/passwd >/dev/null 2>&1 && echo read || echo refused",
                        process={"apparmorProfile": name})
        t.equal(said.splitlines(), [f"{name} (enforce)", "refused"], "profile, and what it denies")
    finally:
        subprocess.run([parser, "--remove"], input=rules, text=True, check=False, capture_output=True)


@case(PROCESS, "apparmorProfile", also={"runtime.md#create": ("what cannot be applied is an error",)})
def apparmor_profile_that_is_not_loaded(t: Trial) -> None:
    """A profile that is not loaded, or any where the kernel has no AppArmor, is an error"""
    t.refused(at_start=True, process={"apparmorProfile": "conformance-no-such-profile"})


@case(PROCESS, "selinuxLabel", also={"runtime.md#create": ("what cannot be applied is an error",)})
def selinux_label_that_cannot_be_given(t: Trial) -> None:
    """A label that no policy has, or any where the kernel has no SELinux, is an error"""
    t.refused(at_start=True, process={"selinuxLabel": "none_u:none_r:none_t:s0"})


def given_label(t: Trial, variable: str) -> str:
    """The label that is to be tried: policies have none in common."""
    if not (SELINUX / "enforce").exists():
        raise NotHere("no SELinux in this kernel")
    if not (label := os.environ.get(variable, "")):
        raise NotHere(f"{variable} does not say which label a process or mount may have here")
    return label


@case(PROCESS, "selinuxLabel")
def selinux_label(t: Trial) -> None:
    """The process has the label of selinuxLabel"""
    label = given_label(t, "CONFORMANCE_SELINUX_LABEL")
    said = t.inside("cat /proc/self/attr/current | tr -d '\\0'", process={"selinuxLabel": label})
    t.equal(said.strip(), label, "label of the process")


@case("config-linux.md#mount-label", "mountLabel")
def label_of_mounts(t: Trial) -> None:
    """The container's mounts have the label of mountLabel"""
    label = given_label(t, "CONFORMANCE_MOUNT_LABEL")
    made = t.running(linux={"mountLabel": label}, mounts=[*bundles.MOUNTS, bundles.tmpfs("/mnt")])
    seen = os.getxattr(f"/proc/{made.pid}/root/mnt", "security.selinux").rstrip(b"\0").decode()
    t.equal(seen, label, "label of the tmpfs at /mnt")


@each("config-linux.md#personality", {"flag": ("flags", ["ADDR_NO_RANDOMIZE_OF_NONE"])})
def personality_that_is_unknown(t: Trial, flags: list[str]) -> None:
    """flags may be empty, and one that is not supported is an error"""
    t.needs_spec("1.0.2")
    t.inside("true", linux={"personality": {"domain": "LINUX", "flags": []}})
    t.refused(at_start=True, linux={"personality": {"domain": "LINUX", "flags": flags}})
