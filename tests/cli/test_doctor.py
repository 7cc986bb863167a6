"""`pyrunc doctor`: what a host has and lacks, with its cost; from facts made up here, and from real hosts."""
from __future__ import annotations

import dataclasses
import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pyrunc import programs
from pyrunc.checks.doctor import calls, survey
from pyrunc.checks.doctor.advice import Finding, able, examine
from pyrunc.checks.doctor.calls import NO, REFUSED, UNKNOWN, YES
from pyrunc.checks.doctor.survey import Facts, look
from pyrunc.cli.doctor import as_json, as_text
from pyrunc.host import Host
from tests import runtimes, world

TREE = Path(__file__).parents[2]
ALL = Host(apparmor=True, selinux=True, resctrl="/sys/fs/resctrl")
USER = Host(euid=1000, egid=1000, apparmor=True, selinux=True, resctrl="/sys/fs/resctrl", capabilities=0)


def changed(**facts: Any) -> Facts:
    return dataclasses.replace(Facts(host=ALL), **facts)


def missing(facts: Facts) -> dict[str, Finding]:
    return {finding.name: finding for finding in examine(facts) if finding.state != YES}


def doctor(*words: str, user: int = 0) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "pyrunc"]
    if user:
        program = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups",
                   runtimes.for_anyone(runtimes.find())]
    return subprocess.run([*program, "doctor", *words], capture_output=True, text=True, check=False, timeout=120,
                          cwd=TREE)


def named(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["able"] is (done.returncode == 0), done.stderr
    return {finding["name"]: finding for finding in found["findings"]}


def test_a_host_that_has_everything() -> None:
    for host in (ALL, USER):
        assert missing(changed(host=host)) == {}


CASES: list[tuple[dict[str, Any], str, str, bool]] = [
    ({"built": False}, "pyrunc's native module", "every container", False),
    ({"calls": {**Facts().calls, "mount_setattr": NO}}, "mount_setattr", "every container", False),
    ({"calls": {**Facts().calls, "clone3": REFUSED}}, "clone3", "every container", False),
    ({"calls": {**Facts().calls, "pidfd_getfd": NO}}, "pidfd_getfd", "linux.seccomp.listenerPath", True),
    ({"into_cgroup": NO}, "clone3 into a cgroup", "every container with a cgroup", False),
    ({"namespaces": Facts().namespaces - {"time"}}, "time", 'linux.namespaces with the type "time"', True),
    ({"namespaces": Facts().namespaces - {"mnt"}}, "mount", 'linux.namespaces with the type "mount"', False),
    ({"sysctls": {"user/max_net_namespaces": "0"}}, "network", 'linux.namespaces with the type "network"', True),
    ({"userns": errno.ENOSPC}, "a user namespace can be made", "linux.uidMappings", True),
    ({"userns": errno.ENOSPC, "host": USER}, "a user namespace can be made", "every container without root", False),
    ({"host": Host(apparmor=True, selinux=True, resctrl="/r", capabilities=(1 << 41) - 1 - (1 << 24))},
     "all capabilities", "process.rlimits above", True),
    ({"host": Host(apparmor=True, selinux=True, resctrl="/r", capabilities=(1 << 41) - 1 - (1 << 21))},
     "all capabilities", "every container", False),
    ({"helpers": {"newuidmap": "", "newgidmap": "/usr/bin/newgidmap"}, "host": USER}, "newuidmap",
     "linux.uidMappings with more than one id", True),
    ({"helpers": {"newuidmap": "/usr/bin/newuidmap", "newgidmap": "!/usr/bin/newgidmap"}, "host": USER}, "newgidmap",
     "linux.gidMappings with more than one id", True),
    ({"subordinate": {"uid": 65536, "gid": 0}, "host": USER}, "subordinate gids", "linux.gidMappings", True),
    ({"filesystems": Facts().filesystems - {"mqueue"}}, "file system mqueue", 'mounts with the type "mqueue"', True),
    ({"idmap": {"nfs": NO}}, "id-mapped mounts of nfs", "mounts with uidMappings", True),
    ({"covered": ("/proc/kcore",), "host": USER}, "/proc is not covered", "a new proc", True),
    ({"host": Host(apparmor=True, selinux=True, resctrl="/r", cgroup_mount="")}, "cgroup v2", "every limit", True),
    ({"controllers": Facts().controllers - {"io"}}, "controller io", "linux.resources.blockIO", True),
    ({"delegated": Facts().delegated - {"cpuset"}, "host": USER}, "controller cpuset", "cpu.cpus", True),
    ({"device_filter": errno.EPERM}, "device filters", "linux.resources.devices", True),
    ({"io_weights": False}, "io weights", "linux.resources.blockIO.weight", True),
    ({"pressure": False}, "pressure", "psi in events", True),
    ({"numa": False}, "NUMA", "linux.memoryPolicy", True),
    ({"systemd": 0}, "the system's systemd", "--systemd-cgroup", True),
    ({"systemd": 0, "host": USER}, "the user's systemd", "--systemd-cgroup", True),
    ({"host": Host(apparmor=True, selinux=True)}, "resctrl", "linux.intelRdt", True),
    ({"seccomp_actions": frozenset()}, "seccomp", "linux.seccomp", True),
    ({"libseccomp": ""}, "libseccomp", "linux.seccomp", True),
    ({"seccomp_actions": Facts().seccomp_actions - {"user_notif"}}, "seccomp actions",
     "rules of linux.seccomp with user_notif", True),
    ({"seccomp_flags": Facts().seccomp_flags - {"SECCOMP_FILTER_FLAG_NEW_LISTENER"}}, "seccomp flags",
     "linux.seccomp.listenerPath", True),
    ({"host": Host(selinux=True, resctrl="/r")}, "AppArmor", "process.apparmorProfile", True),
    ({"apparmor_tool": False}, "apparmor_parser", "profiles", True),
    ({"host": Host(apparmor=True, resctrl="/r")}, "SELinux", "process.selinuxLabel", True),
    ({"keys": False}, "keyrings", "nothing", True),
    ({"criu": ""}, "criu", "checkpoint, restore", True),
]


@pytest.mark.parametrize(("facts", "name", "costs", "still"), CASES, ids=[f"{case[1]}-{case[3]}" for case in CASES])
def test_one_thing_missing(facts: dict[str, Any], name: str, costs: str, still: bool) -> None:
    found = examine(changed(**facts))
    [finding] = [finding for finding in found if finding.name == name]
    assert finding.state == NO and costs in finding.costs and finding.remedy
    assert able(found) is still
    text = as_text(found)
    assert f"  {'no     ' if still else 'NEEDED '} {name}" in text and f"costs {finding.costs}\n" in text
    assert text.endswith("containers can be run here\n") is still


@pytest.mark.parametrize(("facts", "reason", "remedy"), [
    ({"sysctls": {"kernel/unprivileged_userns_clone": "0"}}, "kernel.unprivileged_userns_clone is 0",
     "sysctl kernel.unprivileged_userns_clone=1"),
    ({"sysctls": {"kernel/apparmor_restrict_unprivileged_userns": "1"}},
     "kernel.apparmor_restrict_unprivileged_userns is 1", "AppArmor profile"),
    ({"sysctls": {"user/max_user_namespaces": "0"}}, "user.max_user_namespaces is 0",
     "sysctl user.max_user_namespaces=10000")])
def test_why_no_user_namespace_can_be_made(facts: dict[str, Any], reason: str, remedy: str) -> None:
    finding = missing(changed(userns=errno.EPERM, host=USER, **facts))["a user namespace can be made"]
    assert finding.detail == reason and remedy in finding.remedy and finding.needed


def test_a_controller_of_cgroup_v1_is_told_as_such() -> None:
    finding = missing(changed(controllers=frozenset(), delegated=frozenset(), old=frozenset({"io"})))["controller io"]
    assert (finding.detail, finding.remedy) == (
        "it is mounted as cgroup v1", "systemd.unified_cgroup_hierarchy=1 on the kernel's command line")


def test_what_only_root_can_find_out_is_not_missing() -> None:
    found = examine(changed(idmap={"ext4": UNKNOWN}, host=USER))
    [finding] = [finding for finding in found if "ext4" in finding.name]
    assert finding.state == UNKNOWN and "as root" in finding.remedy and able(found)


def test_what_proc_does_not_show_is_not_missing() -> None:
    """Mounted with subset=pid, it has none of the kernel's own files."""
    hidden: dict[str, Any] = {"filesystems": frozenset(), "seccomp_actions": frozenset(), "keys": False,
                              "pressure": False, "idmap": {"ext4": NO}}
    assert {"seccomp", "file system tmpfs", "keyrings"} <= set(missing(changed(**hidden)))
    found = examine(changed(**hidden, only_processes=True))
    assert not [finding for finding in found if finding.state == NO] and able(found)
    assert {finding.remedy for finding in found if finding.state == UNKNOWN} == {
        "a /proc without subset=pid to find out"}


def test_engines_are_only_told() -> None:
    found = {finding.name: finding for finding in examine(changed(engines={"podman": "/usr/bin/podman"}))}
    assert found["podman"].detail == "/usr/bin/podman" and "dockerd" not in found


def test_every_missing_thing_has_its_cost_and_its_remedy() -> None:
    bare = Facts(host=Host(euid=1000, capabilities=0, cgroup_mount=""), built=False,
                 calls=dict.fromkeys(calls.CALLS, NO), into_cgroup=NO, namespaces=frozenset(),
                 userns=errno.EPERM, filesystems=frozenset(), idmap={"ext4": NO}, covered=("/proc/kcore",),
                 controllers=frozenset(), delegated=frozenset(), systemd=0, device_filter=errno.EPERM, lsms=(),
                 apparmor_tool=False, io_weights=False, pressure=False, numa=False,
                 seccomp_actions=frozenset(), seccomp_flags=frozenset(), libseccomp="", keys=False, criu="",
                 helpers={"newuidmap": "", "newgidmap": ""}, subordinate={"uid": 0, "gid": 0})
    found = examine(bare)
    assert {finding.name for finding in found if finding.state == YES} == {"Linux", "caller"}
    assert all(finding.costs and finding.remedy for finding in found if finding.state != YES)
    assert json.loads(as_json(found, bare))["able"] is False


# ---- what is asked of a kernel ----------------------------------------------------------------------------------

def test_calls_that_there_are_and_one_that_there_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(calls.CALLS, "nonsense", (9999, (None, 0)))
    assert calls.calls() == {**dict.fromkeys(calls.CALLS, YES), "nonsense": NO}
    assert calls.clone_into_cgroup() == YES


def test_looking_has_no_effects() -> None:
    def traces() -> tuple[object, ...]:
        return (sorted(os.listdir("/proc/self/fd")), world.text("/proc/self/mountinfo"),
                Path("/proc/self/cgroup").read_text())
    before, children = traces(), world.children()
    look()
    assert traces() == before and world.children() <= children


def test_the_helpers_of_a_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "PATH", str(tmp_path))
    assert survey._helper("newuidmap") == ""
    helper = tmp_path / "newuidmap"
    helper.touch(0o755)
    assert survey._helper("newuidmap") == f"!{helper}"
    helper.chmod(0o4755)
    assert survey._helper("newuidmap") == str(helper)


def test_what_breaks_most_comes_first_and_a_remedy_once() -> None:
    found = examine(changed(controllers=frozenset({"rdma"}), delegated=frozenset({"rdma"}), old=frozenset(
        {"cpu", "cpuset", "memory", "pids", "io"}), criu="", filesystems=frozenset({"proc", "sysfs", "tmpfs"})))
    text = as_text(found)
    assert text.count("systemd.unified_cgroup_hierarchy=1") == 1 and "get these 5 by: " in text
    places = [text.index(f"  no      {name}") for name in ("controller cpu", "file system overlay", "criu")]
    assert places == sorted(places)
    assert text.index("engines ask for it") < text.index("only some containers") < places[-1] < text.index("there is:")
    needed = as_text(examine(changed(built=False, criu="")))
    assert needed.index("NEEDED  pyrunc's native module") < needed.index("criu")
    assert all(len(line) <= 100 for line in text[text.index("there is:"):].splitlines())


def test_this_host_as_root_and_as_an_ordinary_user() -> None:
    for user in (0, 12345):
        found = named(doctor("--format", "json", user=user))
        assert found["clone3"]["state"] == found["mount"]["state"] == YES
        assert found["caller"]["detail"] == ("root" if user == 0 else "12345: rootless")
        assert (UNKNOWN in {finding["state"] for finding in found.values()}) is (user != 0)
    done = doctor()
    assert done.returncode == 0 and "there is:\n  kernel      Linux (" in done.stdout
    assert done.stdout.endswith("containers can be run here\n") and done.stderr == ""


@pytest.mark.guest
def test_a_host_with_cgroup_v2_alone() -> None:
    found = named(doctor("-f", "json"))
    controllers = [f"controller {name}" for name in survey.CONTROLLERS]
    for name in ("cgroup v2", *controllers, "device filters", "AppArmor", "all capabilities", "time", "criu"):
        assert found[name]["state"] == YES, found[name]
    assert found["id-mapped mounts of tmpfs"]["state"] == (YES if world.kernel() >= (6, 3) else NO)
    assert found["cgroup v2"]["detail"] == "/sys/fs/cgroup"


@pytest.mark.guest
def test_a_user_without_user_namespaces_can_run_nothing() -> None:
    limit = Path("/proc/sys/user/max_user_namespaces")
    before = limit.read_text()
    assert doctor(user=12345).returncode == 0
    limit.write_text("0")
    try:
        done = doctor("--format=json", user=12345)
    finally:
        limit.write_text(before)
    finding = named(done)["a user namespace can be made"]
    assert done.returncode == 1
    assert (finding["state"], finding["detail"]) == (NO, "user.max_user_namespaces is 0")
