"""Cgroups, devices, parameters and keys of the machine."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ...harness import bundles, isolation, patience
from ...harness.hostile import attempt, capabilities, execute, kept, kill, with_python
from ...harness.runtime import SYSTEMD
from ...harness.trial import Trial
from ...model import NotHere, ask, ask_each

READ = "mknod /tmp/mem c 1 1; head -c 1 /tmp/mem >/dev/null && echo read; head -c 1 /dev/zero | wc -c"
CORE = Path("/proc/sys/kernel/core_pattern")
MAPS = {kind: [{"containerID": 0, "hostID": 100000, "size": 65536}] for kind in ("uidMappings", "gidMappings")}


@ask_each("security", {"create": ("GHSA-g54h-m393-cpwq", False), "exec": ("GHSA-g54h-m393-cpwq", True),
                       "empty resources": ("GHSA-g54h-m393-cpwq", None)})
def devices_that_nothing_allows(t: Trial, by_exec: bool | None) -> None:
    """a device that config.json does not list cannot be used, though CAP_MKNOD can make it"""
    t.needs_cgroups()
    granted = capabilities("CAP_MKNOD", "CAP_SYS_RAWIO", "CAP_DAC_OVERRIDE")
    linux: dict[str, Any] = {"resources": {}} if by_exec is None else {}
    if by_exec:
        made = t.running(process=granted)
        done = execute(t, made, made.id, "sh", "-c", READ)
    else:
        done = attempt(t, process={"args": ["sh", "-c", READ], **granted}, linux=linux)
    t.equal(done.stdout.split(), ["1"], "what a shell reads of c 1:1 and of /dev/zero")


@ask_each("security", {key: ("GHSA-5g49-rx9x-qfc6", key)
                       for key in ("../SIBLING/cgroup.procs", "../SIBLING/cgroup.freeze", "..",
                                   "a/../../SIBLING/cgroup.procs", "/sys/fs/cgroup/SIBLING/cgroup.procs")})
def key_of_unified_that_climbs(t: Trial, key: str) -> None:
    """a key of unified writes no file of another cgroup"""
    t.needs_cgroups(files=True)
    sibling = t.cgroup(f"{t.id}-sibling")
    value = "1" if "freeze" in key else str(os.getpid())
    attempt(t, linux={"cgroupsPath": f"/{t.id}-box", "resources": {
        "unified": {key.replace("SIBLING", sibling.name): value}}})
    t.equal((sibling / "cgroup.procs").read_text(), "", "processes of another cgroup")
    t.true("frozen 0" in (sibling / "cgroup.events").read_text(), "another cgroup is frozen")


@ask_each("security", {size: ("GHSA-5g49-rx9x-qfc6", size) for size in ("../SIBLING/x", "2MB/../../SIBLING/x")})
def page_size_that_climbs(t: Trial, size: str) -> None:
    """a page size of hugepageLimits is no path"""
    t.needs_cgroups()
    done = attempt(t, linux={"resources": {"hugepageLimits": [{"pageSize": size, "limit": 4096}]}})
    t.true(done.status, f"the page size {size!r} is taken")


@ask_each("security", {key or "empty": ("cri-o's CVE-2022-0811", key) for key in (
    "net.ipv4.../../kernel.core_pattern", "net/../kernel/core_pattern", "kernel.core_pattern",
    "net.ipv4.ip_forward/../../../kernel/core_pattern", "fs.mqueue.../../../kernel/core_pattern",
    "kernel.shm_rmid_forced+kernel.core_pattern", "")})
def parameter_of_the_machine(t: Trial, key: str) -> None:
    """no key of sysctl sets a parameter of the machine's kernel"""
    before = CORE.read_text()
    try:
        done = attempt(t, linux={"sysctl": {key: "|/evil"}})
        now = CORE.read_text()
    finally:
        if CORE.read_text() != before:
            CORE.write_text(before)
    t.equal(now, before, "core_pattern of the machine")
    t.true(done.status, f"the key {key!r} is taken")


@ask("security", "CVE-2023-25809: the machine's cgroups are not writable in a user namespace")
def cgroups_in_a_user_namespace(t: Trial) -> None:
    """without a cgroup namespace, a mount of cgroups keeps its `ro`, and nothing is made below"""
    t.needs_cgroups()
    mount = {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
             "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]}
    name = f"{t.id}-new"
    bundle = t.bundle(
        mounts=[*bundles.MOUNTS, {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]}, mount],
        process={"args": ["sh", "-c", f"mount -o remount,bind,rw /sys/fs/cgroup; mkdir /sys/fs/cgroup/{name}; "
                                      "for f in $(find /sys/fs/cgroup -name cgroup.procs); do echo 1 >$f && echo $f; "
                                      "done; true"]},
        linux={"namespaces": bundles.namespaces("pid", "network", "ipc", "uts", "mount", "user"), **MAPS})
    done = attempt(t, bundle)
    t.true(not (isolation.CGROUP / name).exists(), "a cgroup of the machine was made from inside")
    t.equal(done.stdout.split(), [], "files of the machine's cgroups that could be written")


@ask("security", "runc 1.5.3: without a mount namespace of its own nothing of the machine's mounts changes")
def propagation_of_the_machine(t: Trial) -> None:
    """a container without a mount namespace leaves the propagation of the machine's mounts as it is"""
    isolation.mount("none", Path("/"), flags=isolation.MS_REC | isolation.MS_SHARED)
    try:
        with kept(t):
            attempt(t, root={"path": "rootfs"}, mounts=[], linux={"namespaces": bundles.namespaces("pid")})
    finally:
        isolation.mount("none", Path("/"), flags=isolation.MS_REC | isolation.MS_PRIVATE)


@ask("security", "flags of the machine's mounts are locked in a user namespace")
def flags_of_the_machines_mounts(t: Trial) -> None:
    """a program in a user namespace does not take `ro` back from what was bound"""
    source = t.place / "locked"
    source.mkdir()
    isolation.mount("tmpfs", source, "tmpfs")
    (source / "file").write_text("as it was")
    isolation.mount("none", source, flags=0x20 | isolation.MS_BIND | 1)          # MS_REMOUNT, MS_RDONLY
    try:
        script = "mount -o remount,bind,rw /mnt; echo changed >/mnt/file; true"
        attempt(t, mounts=[*bundles.MOUNTS, bundles.bind(source, "/mnt")],
                process={"args": ["sh", "-c", script], **capabilities("CAP_SYS_ADMIN")},
                linux={"namespaces": bundles.namespaces(*bundles.NAMESPACES, "user"),
                       **{kind: [{**entries[0], "hostID": 0}] for kind, entries in MAPS.items()}})
        t.equal((source / "file").read_text(), "as it was", "a file on a mount that is read-only")
    finally:
        isolation.unmount(source)


# ---- keys ----------------------------------------------------------------------------------------------------
#: keyctl(2) by number. PLANT joins a keyring of a name, lets anyone do anything with it, and stays.
CALL = "import ctypes, sys, time; keyctl = lambda *a: ctypes.CDLL(None).syscall(250, *a); "
PLANT = CALL + "n = keyctl(1, sys.argv[1].encode()); assert n > 0 and keyctl(5, n, 0x3f3f3f3f) == 0; " \
    "print(n, flush=True); time.sleep(600)"
LOOK = CALL + "print(keyctl(0, -3, 0))"


def session_of_the_program(t: Trial) -> str:
    return attempt(t, with_python(t, LOOK)).stdout.strip()


@ask("security", "a local user has made the keyring _ses.ID before, and reads what the container puts there")
def keyring_of_another_user(t: Trial) -> None:
    """a session keyring that another user has made before is not the container's"""
    become = {"user": 1000, "group": 1000, "extra_groups": []}
    user = subprocess.Popen([sys.executable, "-I", "-c", PLANT, f"_ses.{t.id}"], stdout=subprocess.PIPE, text=True,
                            **become)       # type: ignore[call-overload]
    try:
        assert user.stdout is not None
        planted = user.stdout.readline().strip()
        if not planted:
            raise NotHere("the kernel has no keyrings")
        t.true(session_of_the_program(t) != planted, "the program's keys are in a keyring of another user")
    finally:
        kill(user)


@ask("security", "keys of whoever started it")
def keyring_of_the_caller(t: Trial) -> None:
    """the caller's session keyring is not the program's"""
    own = subprocess.run([sys.executable, "-I", "-c", LOOK], capture_output=True, text=True, check=True).stdout.strip()
    if own.startswith("-"):
        raise NotHere("the kernel has no keyrings")
    t.true(session_of_the_program(t) != own, "the program's session keyring is the caller's")


# ---- names that a container gives ----------------------------------------------------------------------------
@ask_each("security", {repr(name): ("a process's name is no UTF-8, or looks like a line of the kernel's", name)
                       for name in (b"\xff\xfe", b") Z 0 (", b"\xe2\x80\xa80::/", b"a\nb")})
def name_of_a_process(t: Trial, name: bytes) -> None:
    """a process whose name is no text is seen, killed and deleted all the same"""
    printed = "".join(f"\\{byte:03o}" for byte in name)
    made = t.create(process={"args": ["sh", "-c", f"printf '{printed}' >/proc/self/comm; exec 1>&-; "
                                                  "while :; do sleep 1; done"]}).start()
    t.true(patience.until(lambda: Path(f"/proc/{made.pid}/comm").read_bytes() == name + b"\n", 10),
           "the process does not get its name")
    t.equal(t.runtime.state(made.id)["status"], "running", "status")
    t.runtime.ok("exec", made.id, "true")
    t.runtime.ok("kill", made.id, "KILL")
    made.wait()
    t.runtime.wait_for(made.id, "stopped")
    made.delete()


@ask_each("security", {repr(name): ("a cgroup's name looks like a line of the kernel's", name)
                       for name in (b"\xff\xfe", b"\xe2\x80\xa80::", b"a\n0::")})
def name_of_a_cgroup(t: Trial, name: bytes) -> None:
    """an init that has moved into a cgroup with such a name leads exec and delete nowhere else"""
    t.needs_cgroups(files=True)
    made = t.running(linux={"cgroupsPath": f"/{t.id}"})
    inner = os.fsencode(isolation.CGROUP / t.id) + b"/" + name + b"/unified"
    try:
        os.makedirs(inner)
    except OSError as error:
        raise NotHere(f"the kernel makes no such cgroup: {error.strerror}") from error
    Path(os.fsdecode(inner), "cgroup.procs").write_text(str(made.pid))
    done = execute(t, made, made.id, "cat", "/proc/self/cgroup")
    seen = [line[3:] for line in done.stdout.splitlines() if line.startswith("0::")]
    t.true(done.status or (len(seen) == 1 and not seen[0].startswith("/..")), f"exec is in {done.stdout!r}")
    t.runtime.ok("delete", "--force", made.id)
    t.true(not (isolation.CGROUP / t.id).exists(), "the cgroup is there after delete --force")


@ask_each("security", {repr(name): ("LXC's CVE-2017-5985, CVE-2022-47952, CVE-2026-39402", name)
                       for name in ("../lo", "a/b", "a b", "lo%d", "x" * 16, ".", "..", "")})
def name_of_a_network_device(t: Trial, name: str) -> None:
    """a name of a network device that the kernel would not take is an error"""
    t.needs_spec("1.3.0")
    t.needs_feature("linux", "netDevices", "enabled")
    done = attempt(t, linux={"netDevices": {name: {}}})
    t.true(done.status, f"the name {name!r} is taken")


@ask_each("security", {key: ("CVE-2024-3154", key) for key in ("ExecStartPre", "Slice", "Delegate")})
def property_of_the_unit(t: Trial, key: str) -> None:
    """an annotation sets no property of the container's systemd unit that runs or frees something"""
    if not Path("/run/systemd/system").is_dir():
        raise NotHere("no systemd")
    t.needs_cgroups()
    value = f"[('/bin/touch', ['touch', '{t.place}/ran'], false)]" if key == "ExecStartPre" else "'system.slice'"
    bundle, id = t.bundle(annotations={f"org.systemd.property.{key}": value},
                          linux={"cgroupsPath": f"system.slice:conf:{t.id}"}), t.new_id()
    done = t.runtime(*([] if t.program.systemd else [SYSTEMD]), "create", "--bundle", bundle, id)
    t.true(done.status, f"the annotation org.systemd.property.{key} is taken")
    t.true(not (t.place / "ran").exists(), "a program of an annotation was run")
