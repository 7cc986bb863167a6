"""config-linux.md: file systems, namespaces, mappings, devices, sysctl, paths, propagation, personality."""
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..harness import bundles
from ..harness.trial import Trial, namespace, status
from ..model import Fails, NotHere, case, each

FILES = {"pid": "pid", "network": "net", "mount": "mnt", "ipc": "ipc", "uts": "uts", "user": "user", "cgroup": "cgroup",
         "time": "time"}
NAMESPACES = "config-linux.md#namespaces"
MAPPINGS = {kind: [{"containerID": 0, "hostID": 100000, "size": 65536}] for kind in ("uidMappings", "gidMappings")}


def kinds(*types: str, join: dict[str, str] | None = None) -> list[dict[str, str]]:
    return [*bundles.namespaces(*types), *({"type": kind, "path": path} for kind, path in (join or {}).items())]


@each("config-linux.md#default-filesystems", {
    "proc": ("/proc is a procfs", "/proc", "proc"), "sys": ("/sys is a sysfs", "/sys", "sysfs"),
    "pts": ("/dev/pts is a devpts", "/dev/pts", "devpts"), "shm": ("/dev/shm is a tmpfs", "/dev/shm", "tmpfs")})
def file_systems(t: Trial, place: str, kind: str) -> None:
    """The file systems that programs expect are there when config.json has them"""
    usual = {"/sys": {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]},
             "/dev/shm": bundles.tmpfs("/dev/shm", "mode=1777")}
    said = t.inside("cat /proc/self/mountinfo", mounts=[*bundles.MOUNTS, *usual.values()])
    found = [line.partition(" - ")[2].split()[0] for line in said.splitlines() if line.split()[4] == place]
    t.equal(found, [kind], f"what is mounted at {place}")


def needs_namespace(t: Trial, kind: str) -> None:
    t.needs_file(f"/proc/self/ns/{FILES[kind]}")
    if kind == "time":
        t.needs_spec("1.1.0")


def listed(kind: str) -> list[str]:
    """Types of namespaces with this one, and what it cannot be without."""
    return sorted({"mount", "pid", kind})


@each(NAMESPACES, {kind: (("without path the namespace is new", kind, "namespaces", "type"), kind) for kind in FILES})
def namespace_that_is_new(t: Trial, kind: str) -> None:
    """A namespace without path is new"""
    needs_namespace(t, kind)
    linux: dict[str, Any] = {"namespaces": kinds(*listed(kind)), **(MAPPINGS if kind == "user" else {})}
    made = t.running(linux=linux)
    t.true(namespace(FILES[kind], made.pid) != namespace(FILES[kind]), f"the {kind} namespace is the runtime's")


@each(NAMESPACES, {kind: ("a type that is not listed is inherited", kind)
                   for kind in FILES if kind not in ("mount", "user")})
def namespace_that_is_inherited(t: Trial, kind: str) -> None:
    """A type that is not listed is the runtime's"""
    needs_namespace(t, kind)
    made = t.running(linux={"namespaces": kinds(*({"mount", "pid"} - {kind}))})
    t.equal(namespace(FILES[kind], made.pid), namespace(FILES[kind]), f"the {kind} namespace")


@each(NAMESPACES, {kind: (("the process is in the namespace that path names", "path"), kind)
                   for kind in ("network", "ipc", "uts", "pid", "cgroup", "time")})
def namespace_that_is_joined(t: Trial, kind: str) -> None:
    """The process is in the namespace that path names"""
    needs_namespace(t, kind)
    other = t.running(linux={"namespaces": kinds(*listed(kind))})
    path = f"/proc/{other.pid}/ns/{FILES[kind]}"
    made = t.running(linux={"namespaces": kinds(*({"mount", "pid"} - {kind}), join={kind: path})})
    t.equal(namespace(FILES[kind], made.pid), os.readlink(path), f"the {kind} namespace")


@case(NAMESPACES, "path is absolute")
def path_that_is_relative(t: Trial) -> None:
    """A relative path of a namespace is an error"""
    bundle = t.bundle(linux={"namespaces": kinds("mount", "pid", join={"uts": "uts"})})
    (bundle / "uts").symlink_to("/proc/self/ns/uts")
    t.refused(bundle)


@case(NAMESPACES, "a path of another type is an error")
def path_of_another_type(t: Trial) -> None:
    """A path that leads to a namespace of another type, or to a file that is none, is an error"""
    other = t.running()
    for path in (f"/proc/{other.pid}/ns/ipc", str(t.decoy() / "file"), "/no/such/file"):
        t.refused(linux={"namespaces": kinds("mount", "pid", join={"uts": path})})


@each(NAMESPACES, {kind: ("a type that stands twice is an error", kind) for kind in ("pid", "uts", "mount", "network")})
def type_that_stands_twice(t: Trial, kind: str) -> None:
    """A type of namespace that stands twice is an error"""
    t.refused(linux={"namespaces": kinds("mount", "pid", kind, *([kind] if kind not in ("mount", "pid") else []))})


@case("config-linux.md#user-namespace-mappings", "uidMappings", "gidMappings", "containerID", "hostID", "size")
def mappings(t: Trial) -> None:
    """The maps of a new user namespace are uidMappings and gidMappings"""
    uids = [{"containerID": 0, "hostID": 100000, "size": 1000}, {"containerID": 5000, "hostID": 200000, "size": 7}]
    gids = [{"containerID": 0, "hostID": 300000, "size": 500}]
    made = t.running(linux={"namespaces": kinds("mount", "pid", "user"), "uidMappings": uids, "gidMappings": gids})
    for name, wanted in (("uid_map", uids), ("gid_map", gids)):
        seen = [[int(word) for word in line.split()] for line in
                Path(f"/proc/{made.pid}/{name}").read_text().splitlines()]
        t.equal(seen, [list(entry.values()) for entry in wanted], name)
    t.equal(status(made.pid)["Uid"].split()[0], "100000", "user of the process, outside")


@case("config-linux.md#user-namespace-mappings", "no file changes its owner")
def owners_stay(t: Trial) -> None:
    """No file of the root changes its owner for the mapping"""
    bundle = t.bundle(linux={"namespaces": kinds("mount", "pid", "user"), **MAPPINGS})
    made = t.create(bundle).start()
    made.wait()
    changed = [str(path) for path in (bundle / "rootfs").rglob("*") if path.lstat().st_uid]
    t.equal(changed, [], "files that are no longer root's")


@case("config-linux.md#offset-for-time-namespace", "timeOffsets", "monotonic", "boottime", "secs", "nanosecs")
def time_offsets(t: Trial) -> None:
    """The clocks of a new time namespace are off by timeOffsets"""
    needs_namespace(t, "time")
    offsets = {"monotonic": {"secs": 5000, "nanosecs": 17}, "boottime": {"secs": 700000, "nanosecs": 1}}
    said = t.inside("cat /proc/self/timens_offsets", linux={"namespaces": kinds("mount", "pid", "time"),
                                                            "timeOffsets": offsets})
    t.equal([line.split() for line in said.splitlines()],
            [[name, str(entry["secs"]), str(entry["nanosecs"])] for name, entry in offsets.items()], "offsets")


DEVICES: dict[str, dict[str, Any]] = {
    "character": {"type": "c", "path": "/dev/mine", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 3, "gid": 4},
    "block": {"type": "b", "path": "/dev/disk", "major": 7, "minor": 1, "fileMode": 0o600, "uid": 0, "gid": 6},
    "deep": {"type": "c", "path": "/dev/deep/below", "major": 1, "minor": 3, "fileMode": 0o666, "uid": 0, "gid": 0},
    "fifo": {"type": "p", "path": "/dev/queue", "fileMode": 0o622, "uid": 1, "gid": 2},
    "elsewhere": {"type": "c", "path": "/opt/zero", "major": 1, "minor": 5, "fileMode": 0o444, "uid": 0, "gid": 0}}


@each("config-linux.md#devices", {
    name: (("listed devices are there", "devices", "type", "path", "major, minor", "fileMode", "uid", "gid"), name)
    for name in DEVICES})
def devices(t: Trial, name: str) -> None:
    """A listed device is there: type, numbers, mode and owner are as its entry says"""
    entry = DEVICES[name]
    said = t.inside(f"stat -c '%F|%t:%T|%a|%u:%g' {entry['path']}", linux={"devices": [entry]})
    kind = {"c": "character special file", "b": "block special file", "p": "fifo"}[str(entry["type"])]
    wanted = [kind, f"{entry.get('major', 0):x}:{entry.get('minor', 0):x}", f"{entry['fileMode']:o}",
              f"{entry['uid']}:{entry['gid']}"]
    t.equal(said.split("|"), wanted, str(entry["path"]))


@case("config-linux.md#devices", "another file at path is an error")
def device_where_another_file_is(t: Trial) -> None:
    """A file at path that is not the requested device is an error"""
    bundle = t.bundle(linux={"devices": [DEVICES["elsewhere"]]})
    (bundle / "rootfs/opt").mkdir()
    (bundle / "rootfs/opt/zero").write_text("a file")
    t.refused(bundle)
    t.equal((bundle / "rootfs/opt/zero").read_text(), "a file", "the file that was there")


NUMBERS = {"null": "1:3", "zero": "1:5", "full": "1:7", "random": "1:8", "urandom": "1:9", "tty": "5:0"}


@each("config-linux.md#default-devices", {name: (f"/dev/{name}", name) for name in NUMBERS})
def default_devices(t: Trial, name: str) -> None:
    """The default devices are there for anyone, and are what they are called"""
    said = t.inside(f"stat -c '%F|%t:%T|%a' /dev/{name}")
    t.equal(said, f"character special file|{NUMBERS[name]}|666", f"/dev/{name}")


@case("config-linux.md#default-devices", "/dev/ptmx")
def dev_ptmx(t: Trial) -> None:
    """/dev/ptmx is a link to, or a mount of, the ptmx of the container's own /dev/pts"""
    said = t.inside("stat -L -c '%F|%t:%T' /dev/ptmx; stat -L -c %d /dev/ptmx /dev/pts/ptmx")
    lines = said.splitlines()
    t.equal(lines[0], "character special file|5:2", "/dev/ptmx")
    t.equal(lines[1], lines[2], "file system of /dev/ptmx, and that of /dev/pts")


@each("config-linux.md#sysctl", {
    "net": ("sysctl", "net.ipv4.ip_forward", "1"), "ipc": ("sysctl", "kernel.msgmax", "16384"),
    "shm": ("sysctl", "kernel.shm_rmid_forced", "1")})
def sysctl(t: Trial, name: str, value: str) -> None:
    """A kernel parameter of the container's namespaces has its value"""
    path = name.replace(".", "/")
    before = Path(f"/proc/sys/{path}").read_text()
    t.equal(t.inside(f"cat /proc/sys/{path}", linux={"sysctl": {name: value}}), value, name)
    t.equal(Path(f"/proc/sys/{path}").read_text(), before, f"{name} outside")


@case("config.md#valid-values", "invalid and unsupported values are errors",
      also={"config-linux.md#sysctl": ("sysctl",)})
def sysctl_of_the_whole_machine(t: Trial) -> None:
    """A kernel parameter that no namespace has is an error"""
    with open("/proc/sys/vm/swappiness") as file:
        value = file.read().strip()
    t.refused(linux={"sysctl": {"vm.swappiness": value}})


@case("config-linux.md#masked-paths", "maskedPaths")
def masked_paths(t: Trial) -> None:
    """A masked file reads as empty, a masked folder has nothing in it, and one that is not there is no error"""
    bundle = t.bundle()
    (bundle / "rootfs/secret").write_text("secret")
    (bundle / "rootfs/folder/inner").mkdir(parents=True)
    script = "cat /secret 2>/dev/null; ls -A /folder 2>/dev/null; echo end"
    t.equal(t.inside(script, bundle, linux={"maskedPaths": ["/secret", "/folder", "/not/there"]}), "end",
            "what can be read of masked paths")


@case("config-linux.md#readonly-paths", "readonlyPaths")
def readonly_paths(t: Trial) -> None:
    """A read-only file or folder can be read and not written, and one that is not there is no error"""
    bundle = t.bundle()
    (bundle / "rootfs/file").write_text("text")
    (bundle / "rootfs/folder").mkdir()
    script = ("cat /file; (echo x > /file) 2>/dev/null && echo written; touch /folder/new 2>/dev/null && echo made; "
              "touch /beside && echo beside")
    t.equal(t.inside(script, bundle, linux={"readonlyPaths": ["/file", "/folder", "/not/there"]}), "textbeside",
            "what can be done with read-only paths, and beside them")


def paths_that_are_relative(t: Trial, kind: str) -> None:
    """A masked or read-only path that is relative is an error"""
    bundle = t.bundle(linux={kind: ["secret"]}, process={"args": ["sh", "-c", "cat secret"], "cwd": "/tmp"})
    (bundle / "rootfs/secret").write_text("s")
    (bundle / "rootfs/tmp/secret").write_text("t")
    t.refused(bundle, at_start=True)


each("config-linux.md#masked-paths", {"masked": ("masked paths are absolute", "maskedPaths")})(paths_that_are_relative)
each("config-linux.md#readonly-paths", {
    "read-only": ("read-only paths are absolute", "readonlyPaths")})(paths_that_are_relative)

ROOT_PROPAGATION = {"shared": "shared", "slave": "master", "private": "", "unbindable": "unbindable"}


@each("config-linux.md#rootfs-mount-propagation", {kind: ("rootfsPropagation", kind) for kind in ROOT_PROPAGATION})
def propagation_of_the_root(t: Trial, kind: str) -> None:
    """The mount of the root has the propagation that rootfsPropagation says"""
    said = t.inside("cat /proc/self/mountinfo", linux={"rootfsPropagation": kind})
    line = [line for line in said.splitlines() if line.split()[4] == "/"][-1]
    fields = [word.partition(":")[0] for word in line.partition(" - ")[0].split()[6:]]
    # A slave of a mount that nobody shares is private.
    wanted = ROOT_PROPAGATION[kind]
    if kind == "slave":
        t.true("shared" not in fields, f"the root is {fields}")
    else:
        seen = [field for field in fields if field != "propagate_from"]
        t.equal(seen, [wanted] if wanted else [], "propagation of /")


@each("config-linux.md#personality", {"LINUX32": (("personality", "domain"), "LINUX32", 8)})
def personality(t: Trial, domain: str, number: int) -> None:
    """The execution domain of the process is that of personality"""
    made = t.running(linux={"personality": {"domain": domain}})
    seen = Path(f"/proc/{made.pid}/personality").read_text()
    t.equal(int(seen, 16) & 0xff, number, f"personality with {domain}")


# ---- cgroups --------------------------------------------------------------------------------------------------
def cgroup_of(pid: int) -> Path:
    """The folder of a process in cgroup v2."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            return Path("/sys/fs/cgroup" + line[3:])
    raise NotHere("no cgroup v2")


@case("config-linux.md#cgroups-path", "an absolute path counts from the mount point", "cgroupsPath",
      "the same path is the same place", "a path is absolute or relative",
      also={"runtime.md#delete": ("delete deletes what create made",)})
def cgroups_path(t: Trial) -> None:
    """The container is in the cgroup of an absolute cgroupsPath, each time; it goes with the container"""
    t.needs_cgroups()
    path = wanted = f"/{t.id}-above/box"
    if t.program.systemd:           # a unit is meant then: slice, prefix and name
        path, wanted = f"system.slice:conformance:{t.id}", f"/system.slice/conformance-{t.id}.scope"
    for _ in range(2):
        made = t.create(linux={"cgroupsPath": path})
        place = cgroup_of(made.pid)
        t.equal(str(place), f"/sys/fs/cgroup{wanted}", "cgroup of the process")
        made.start().wait()
        t.runtime.wait_for(made.id, "stopped")
        made.delete()
        t.true(not place.exists(), "the cgroup is there after delete")


@case("config-linux.md#cgroups-path", "a path is absolute or relative", "the same path is the same place")
def cgroups_path_that_is_relative(t: Trial) -> None:
    """A relative cgroupsPath counts from a place that the runtime chooses, the same each time"""
    t.needs_cgroups(files=True)
    places = []
    for _ in range(2):
        made = t.create(linux={"cgroupsPath": f"{t.id}-above/box"})
        places.append(str(cgroup_of(made.pid)))
        made.start().wait()
        t.runtime.wait_for(made.id, "stopped")
        made.delete()
    t.true(places[0].endswith(f"/{t.id}-above/box"), f"the cgroup of the process is {places[0]}")
    t.equal(places[1], places[0], "cgroup of another container with the same path")


LIMITS: dict[str, tuple[Any, ...]] = {
    "memory": ("config-linux.md#memory", "memory", {"memory": {"limit": 64 << 20}}, "memory.max", str(64 << 20)),
    "low": ("config-linux.md#memory", "memory", {"memory": {"reservation": 32 << 20}}, "memory.low", str(32 << 20)),
    "swap": ("config-linux.md#memory", "memory", {"memory": {"limit": 64 << 20, "swap": 96 << 20}}, "memory.swap.max",
             str(32 << 20)),
    "pids": ("config-linux.md#pids", "pids", {"pids": {"limit": 77}}, "pids.max", "77"),
    "quota": ("config-linux.md#cpu", "cpu", {"cpu": {"quota": 25000, "period": 50000}}, "cpu.max", "25000 50000"),
    "cpus": ("config-linux.md#cpu", "cpuset", {"cpu": {"cpus": "0"}}, "cpuset.cpus", "0"),
    "mems": ("config-linux.md#cpu", "cpuset", {"cpu": {"mems": "0"}}, "cpuset.mems", "0"),
    "unified": ("config-linux.md#unified", "pids", {"unified": {"pids.max": "88"}}, "pids.max", "88"),
}
#: Each is a property of `resources`, too.
LIMIT_ROWS = {"memory": ("memory", "limit"), "low": ("reservation",), "swap": ("swap",), "pids": ("pids", "limit"),
              "quota": ("cpu", "quota", "period"), "cpus": ("cpus",), "mems": ("mems",),
              "unified": ("unified", "controllers that are needed are enabled")}


def limit(t: Trial, name: str) -> None:
    """A limit is in the file of the container's cgroup"""
    _, controller, resources, file, value = LIMITS[name]
    t.needs_controller(controller)
    made = t.running(linux={"resources": resources})
    try:
        seen = (cgroup_of(made.pid) / file).read_text().strip()
    except FileNotFoundError as error:
        if file == "memory.swap.max":
            raise NotHere("the kernel does not account swap") from error
        raise Fails(f"no {file} in the container's cgroup") from error
    t.equal(seen, value, file)


for _name, (_chapter, *_) in LIMITS.items():
    each(_chapter, {_name: (LIMIT_ROWS[_name], _name)}, also={"config-linux.md#control-groups": ("resources",)})(limit)


@case("config-linux.md#unified", "a controller that is not there is an error")
def unified_of_no_controller(t: Trial) -> None:
    """A file of a controller that the machine does not have is an error"""
    t.needs_cgroups()
    t.refused(linux={"resources": {"unified": {"nosuchcontroller.max": "1"}}})


@case("config-linux.md#unified", "unknown files are written, too")
def unified_of_an_unknown_file(t: Trial) -> None:
    """A file that the runtime knows nothing of is written"""
    t.needs_controller("memory")
    made = t.running(linux={"resources": {"unified": {"memory.oom.group": "1"}}})
    t.equal((cgroup_of(made.pid) / "memory.oom.group").read_text().strip(), "1", "memory.oom.group")


@case("config-linux.md#cpu", "burst is not larger than a positive quota", "quota is not smaller than burst")
def burst_above_quota(t: Trial) -> None:
    """A burst above the quota is an error"""
    t.needs_controller("cpu")
    t.needs_spec("1.1.0")
    t.refused(linux={"resources": {"cpu": {"quota": 10000, "period": 50000, "burst": 20000}}})


KERNEL_LOG = {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "rw"}


@each("config-linux.md#allowed-device-list", {
    "denied": (("allow", "type", "major, minor", "access", "devices"), [
        {"allow": False, "access": "rwm"}], False),
    "allowed": (("allow", "type", "major, minor", "access", "devices"), [
        {"allow": False, "access": "rwm"}, KERNEL_LOG], True),
    "allowed, then denied": ("rules apply in the listed order", [
        {"allow": False, "access": "rwm"}, KERNEL_LOG,
        {"allow": False, "type": "c", "major": 1, "minor": 11, "access": "rw"}], False)})
def device_rules(t: Trial, rules: list[dict[str, Any]], opens: bool) -> None:
    """A device opens when the last rule that is about it allows it"""
    t.needs_cgroups()
    entry = {"type": "c", "path": "/dev/kernel", "major": 1, "minor": 11, "fileMode": 0o666, "uid": 0, "gid": 0}
    said = t.inside("(: >> /dev/kernel) 2>/dev/null && echo opens || echo refused",
                    linux={"devices": [entry], "resources": {"devices": rules}})
    t.equal(said, "opens" if opens else "refused", "the device 1:11")


@case("config-linux.md#intelrdt", "an error where resctrl is not mounted")
def intel_rdt_without_resctrl(t: Trial) -> None:
    """intelRdt where no resctrl is mounted is an error"""
    if any(" resctrl " in line for line in Path("/proc/self/mountinfo").read_text().splitlines()):
        raise NotHere("resctrl is mounted")
    t.refused(linux={"intelRdt": {"closID": "box", "l3CacheSchema": "L3:0=f"}})
