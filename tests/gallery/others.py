"""The rest of the everyday faults: 10 of an ordinary user's and of a nested one's, and 11 for the guest."""
from __future__ import annotations

from pathlib import Path

from tests.bundles import Config

from .everyday import MAPPED
from .fault import GUEST, NESTED, USER, Fault
from .first import with_mount

OF_USERS = (
    Fault("user maps root of the host", "not granted|subuid", "linux.uidMappings", "/etc/subuid",
          {"linux": {"uidMappings": [{"containerID": 0, "hostID": 0, "size": 1}]}}, where=USER),
    Fault("user without a user namespace", "user namespace", "linux.namespaces", "--rootless|user namespace",
          {"linux": {"namespaces": [{"type": name} for name in ("pid", "mount", "ipc", "uts")],
                     "uidMappings": None, "gidMappings": None}}, where=USER),
    Fault("sysfs without a network namespace", "network namespace", "mounts", "network namespace",
          {"linux": {"namespaces": [{"type": name} for name in ("pid", "mount", "ipc", "uts", "user")]},
           "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
                      {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]}]}, where=USER),
    Fault("ext4 in a user namespace", "user namespace", "mounts[1].type", "user namespace",
          {"mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
                      {"destination": "/mnt", "type": "ext4", "source": "/dev/vda"}]}, where=USER),
    Fault("user 1000 not mapped", "unmapped user", "process.user.uid", "is not in linux.uidMappings",
          {"process": {"user": {"uid": 1000, "gid": 0}}}, where=USER),
    Fault("additionalGids of a user", "unmapped", "process.user.additionalGids", "is not in linux.gidMappings",
          {"process": {"user": {"uid": 0, "gid": 0, "additionalGids": [5]}}}, where=USER),
    Fault("memory limit without delegation", "delegat|no "
                                             "cgroup|cgroup", "linux.resources", "Delegate|delegat|--rootless",
          {"linux": {"resources": {"memory": {"limit": 100 << 20}}}}, where=USER),
    Fault("oomScoreAdj -500 of a user", "CAP_SYS_RESOURCE", "process.oomScoreAdj", "CAP_SYS_RESOURCE|lowest",
          {"process": {"oomScoreAdj": -500}}, where=USER),
    Fault("rlimit above the user's", "CAP_SYS_RESOURCE", "process.rlimits[0]", "CAP_SYS_RESOURCE",
          {"process": {"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1 << 24, "hard": 1 << 24}]}}, where=USER),
    Fault("proc below masked paths", "masked paths|is covered here", "mounts[0]", "unmask", where=NESTED),
)


def busy(bundle: Path) -> Config:
    """A parent cgroup with a process in it."""
    import subprocess
    parent = Path("/sys/fs/cgroup/gallery-busy")
    parent.mkdir(exist_ok=True)
    process = subprocess.Popen(["sleep", "600"])
    (bundle / "busy").write_text(str(process.pid))
    (parent / "cgroup.procs").write_text(str(process.pid))
    return {"linux": {"cgroupsPath": "/gallery-busy/ID", "resources": {"memory": {"limit": 100 << 20}}}}


def free(bundle: Path) -> None:
    import os
    import signal
    pid = int((bundle / "busy").read_text())
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    for folder, folders, _ in os.walk("/sys/fs/cgroup/gallery-busy", topdown=False):
        for name in folders:
            os.rmdir(os.path.join(folder, name))
    os.rmdir("/sys/fs/cgroup/gallery-busy")


def nine(bundle: Path) -> Config:
    """The guest's /usr is on 9p."""
    return {"linux": MAPPED, **with_mount({
        "destination": "/data", "source": "/usr/share", "options": ["bind"],
        "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}],
        "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}]})}


def limited(**resources: object) -> Config:
    return {"linux": {"resources": resources}}


OF_THE_GUEST = (
    Fault("memory limit of 1000 bytes", "too low|less than|at least|too small", "linux.resources.memory.limit",
          "MiB|bytes", limited(memory={"limit": 1000}), where=GUEST),
    Fault("cpus 0-99", "not online|is not there|99", "linux.resources.cpu.cpus", "online|0-", limited(
        cpu={"cpus": "0-99"}), where=GUEST),
    Fault("cpu quota 10", "1000", "linux.resources.cpu.quota", "1000", limited(cpu={"quota": 10, "period": 100000}),
          where=GUEST),
    Fault("cpu period 10", "1000", "linux.resources.cpu.period", "1000", limited(cpu={"quota": 100000, "period": 10}),
          where=GUEST),
    Fault("unified memory.nosuch", "memory.nosuch.*no such file|has no file", "linux.resources.unified",
          "did you mean|no such file", limited(unified={"memory.nosuch": "1"}), where=GUEST),
    Fault("unified memory.high = abc", "memory.high.*(invalid argument|not a)", "linux.resources.unified",
          "number|max|bytes", limited(unified={"memory.high": "abc"}), where=GUEST),
    Fault("huge pages of 3MB", "3MB", "linux.resources.hugepageLimits[0]", "",
          limited(hugepageLimits=[{"pageSize": "3MB", "limit": 1 << 20}]), where=GUEST),
    Fault("parent cgroup has processes", "processes are in it|has processes|no internal processes|processes sit",
          "linux", "", prepare=busy, tidy=free, where=GUEST),
    Fault("swap less than the limit", "memory\\+swap limit should be >= memory limit", "linux.resources.memory.swap",
          ">= memory limit", limited(memory={"limit": 200 << 20, "swap": 100 << 20}), where=GUEST),
    Fault("AppArmor profile not loaded", "not loaded", "process.apparmorProfile", "apparmor_parser",
          {"process": {"apparmorProfile": "nosuch"}}, where=GUEST),
    Fault("idmapped mount of 9p", "9p", "mounts[7]", "9p", prepare=nine, where=GUEST),
)
