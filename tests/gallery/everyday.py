"""Everyday faults that root of the host meets: 44 of the 65."""
from __future__ import annotations

import os
from pathlib import Path

from tests import world
from tests.bundles import MOUNTS, PATH, Config, namespaces

from .fault import Fault
from .first import script, with_mount

#: The beginning of an ELF executable for an AArch64, and of one for this kind of machine with a loader of its own.
FOREIGN = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\0\xb7\0" + bytes(44)


def elf(interpreter: bytes) -> bytes:
    """A program for x86-64 that has nothing but its loader's name."""
    header = bytearray(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\0\x3e\0\x01\0\0\0" + bytes(8))
    header += (64).to_bytes(8, "little") + bytes(8) + bytes(4) + (64).to_bytes(2, "little") + (56).to_bytes(2, "little")
    header += (1).to_bytes(2, "little") + bytes(6)
    size = (len(interpreter) + 1).to_bytes(8, "little")
    segment = (3).to_bytes(4, "little") + (4).to_bytes(4, "little") + (120).to_bytes(8, "little") + bytes(16)
    return bytes(header + segment + size + size + (1).to_bytes(8, "little")) + interpreter + b"\0"


def program(text: str | bytes, mode: int = 0o755, path: str = "bin/run") -> object:
    def prepare(bundle: Path) -> None:
        script(bundle / "rootfs" / path, text, mode)
    return prepare


def noexec(bundle: Path) -> Config:
    script(bundle / "data/run", "#!/bin/sh\n")
    return with_mount({"destination": "/data", "source": "data", "options": ["bind", "noexec"]})


def closed_bin(bundle: Path) -> Config:
    (bundle / "rootfs/bin").chmod(0o700)
    return {"process": {"capabilities": {key: [] for key in ("bounding", "effective", "permitted")}}}


def read_only_source(bundle: Path) -> Config:
    (bundle / "source").mkdir()
    return {"mounts": [*MOUNTS, {"destination": "/data", "source": "source", "options": ["bind", "ro"]},
                       {"destination": "/data/new", "type": "tmpfs", "source": "tmpfs"}]}


def copied_up(bundle: Path) -> Config:
    (bundle / "rootfs/big").mkdir()
    (bundle / "rootfs/big/file").write_bytes(bytes(1 << 20))
    return with_mount({"destination": "/big", "type": "tmpfs", "source": "tmpfs",
                       "options": ["tmpcopyup", "size=64k"]})


def full(bundle: Path) -> Config:
    world.mount("tmpfs", bundle / "rootfs", "tmpfs", data="size=1m,nr_inodes=3")
    for name in ("bin", "proc"):
        (bundle / "rootfs" / name).mkdir()
    return {"process": {"args": ["true"]}}


def read_only(bundle: Path) -> Config:
    world.mount(str(bundle / "rootfs"), bundle / "rootfs", flags=world.MS_BIND)
    world.mount("none", bundle / "rootfs", flags=world.MS_BIND | 32 | 1)
    return with_mount({"destination": "/new/dir", "type": "tmpfs", "source": "tmpfs"})


def unmounted(bundle: Path) -> None:
    world.unmount(bundle / "rootfs")


def root_is_a_file(bundle: Path) -> Config:
    (bundle / "file").write_text("x")
    return {"root": {"path": "file"}}


def loop(bundle: Path) -> Config:
    os.symlink("loop", bundle / "rootfs/loop")
    return with_mount({"destination": "/loop/data", "type": "tmpfs", "source": "tmpfs"})


def plain_file(bundle: Path) -> Config:
    (bundle / "netns").write_text("")
    return {"linux": {"namespaces": [*namespaces("pid", "mount", "ipc", "uts"),
                                     {"type": "network", "path": str(bundle / "netns")}]}}


def seccomp(**members: object) -> Config:
    return {"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", **members}}}


USERNS = [*namespaces("pid", "mount", "ipc", "uts", "network", "user")]
MAPPED = {"namespaces": USERNS, "uidMappings": [{"containerID": 0, "hostID": 100000, "size": 1000}],
          "gidMappings": [{"containerID": 0, "hostID": 100000, "size": 1000}]}
EXECUTABLE = "no (user may execute|execute permission)|has no execute permission|may not be executed"

FAULTS = (
    Fault("mouts", "unknown property", "mouts", "did you mean", {"mounts": None, "mouts": MOUNTS}),
    Fault("args is a string", "an array", "process.args", "must be an array", {"process": {"args": "true"}}),
    Fault("program of another processor", "another processor|for AArch64|machine", "process.args", "processor|AArch64",
          {"process": {"args": ["run"]}}, prepare=program(FOREIGN)),  # type: ignore[arg-type]
    Fault("dynamic loader not there", "dynamic loader.*is not in the container", "process.args",
          "is not in the container", {"process": {"args": ["run"]}},
          prepare=program(elf(b"/lib/ld-musl-x86_64.so.1"))),  # type: ignore[arg-type]
    Fault("script with DOS line ends", "carriage return", "process.args", "DOS line ends",
          {"process": {"args": ["run"]}}, prepare=program("#!/bin/sh\r\necho\r\n")),  # type: ignore[arg-type]
    Fault("script without #!", "#!", "process.args", "#!", {"process": {"args": ["run"]}},
          prepare=program("echo hello\n")),  # type: ignore[arg-type]
    Fault("program that no user may execute", EXECUTABLE, "process.args", "chmod|execute",
          {"process": {"args": ["/bin/run"]}}, prepare=program("#!/bin/sh\n", 0o644)),  # type: ignore[arg-type]
    Fault("the same in PATH", EXECUTABLE, "process.args", "chmod|execute", {"process": {"args": ["run"]}},
          prepare=program("#!/bin/sh\n", 0o644)),  # type: ignore[arg-type]
    Fault("program is a directory", "is a directory", "process.args[0]", changes={"process": {"args": ["/etc"]}}),
    Fault("program on a noexec mount", "noexec", "process.args", "noexec", {"process": {"args": ["/data/run"]}},
          prepare=noexec),
    Fault("the user cannot enter /bin", "may not be searched|Permission denied", "process.args[0]", "by uid 1000",
          {"process": {"user": {"uid": 1000, "gid": 1000}}}, prepare=closed_bin),
    Fault("uid without a mapping", "unmapped user", "process.user.uid", "is not in linux.uidMappings",
          changes={"process": {"user": {"uid": 5000}}, "linux": MAPPED}),
    Fault("user namespace without mappings", "[mM]appings", "linux", "[mM]appings", {"linux": {"namespaces": USERNS}}),
    Fault("mount point below a read-only bind mount", "mount point.*(missing|not there|does not exist)",
          "mounts[8].destination", "mount point|make it", prepare=read_only_source),
    Fault("mount point below a file", "not a directory", "mounts[7].destination", "is a file|not a directory",
          with_mount({"destination": "/etc/passwd/data", "type": "tmpfs", "source": "tmpfs"})),
    Fault("tmpfs on a file", "file.*(not a directory|directory)|not a directory", "mounts[7]", "",
          with_mount({"destination": "/etc/passwd", "type": "tmpfs", "source": "tmpfs"})),
    Fault("unknown action of seccomp", "SCMP_ACT_DENY", "linux.seccomp.defaultAction", "did you mean|one of|known are",
          seccomp(defaultAction="SCMP_ACT_DENY")),
    Fault("unknown architecture of seccomp", "SCMP_ARCH_AMD64", "linux.seccomp.architectures[0]",
          "did you mean|one of|known are", seccomp(architectures=["SCMP_ARCH_AMD64"])),
    Fault("controller cpuset missing", "controller cpuset is not available|cpuset.*cgroup "
                                       "v1", "linux.resources.cpu.cpus",
          "", {"linux": {"resources": {"cpu": {"cpus": "0"}}}}),
    Fault("cgroupsPath in systemd's form", "systemd", "linux.cgroupsPath", "--systemd-cgroup",
          {"linux": {"cgroupsPath": "system.slice:docker:ID"}}),
    Fault("unknown file in unified", 'cgroup.nosuch.*no such file|has no file|no such parameter',
          "linux.resources.unified", "", {"linux": {"resources": {"unified": {"cgroup.nosuch": "1"}}}}),
    Fault("path of a namespace of another type", "another type|not a namespace of this type|is (a|an) \\w+ namespace",
          "linux.namespaces[4].path", "",
          {"linux": {"namespaces": [*namespaces("pid", "mount", "ipc", "uts"),
                                    {"type": "network", "path": "/proc/self/ns/ipc"}]}}),
    Fault("path of a namespace is a plain file", "is not a namespace|no namespace", "linux.namespaces[4].path", "",
          prepare=plain_file),
    Fault("tmpcopyup too large", "tmpcopyup.*no space", "mounts[7]", "size", prepare=copied_up, static=True,
          also="larger than"),
    Fault("root without room", "no space left on device", "mounts[1].destination", "mount point|inode", prepare=full,
          tidy=unmounted, static=False),
    Fault("root that is read-only", "mount point.*(missing|not there|does not exist).*|read-only file system",
          "mounts[7].destination", "mount point|make it|in the image", prepare=read_only, tidy=unmounted),
    Fault("tmpfs with size=64q", "size=64q|bad value", "mounts[7].options[0]", "",
          with_mount({"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": ["size=64q"]})),
    Fault("bind mount with nosuidd", "nosuidd", "mounts[7].options[1]", "did you mean",
          with_mount({"destination": "/data", "source": "/tmp", "options": ["bind", "nosuidd"]})),
    Fault("empty destination", "destination.*empty|must not be empty", "mounts[7].destination", "",
          with_mount({"destination": "", "type": "tmpfs", "source": "tmpfs"})),
    Fault("hostname without a uts namespace", "UTS namespace", "hostname", "UTS namespace",
          {"linux": {"namespaces": namespaces("pid", "mount", "ipc", "network")}}),
    Fault("bad value of a sysctl", "kernel.msgmax = many.*invalid argument|is no number", "linux.sysctl", "",
          {"linux": {"sysctl": {"kernel.msgmax": "many"}}}),
    Fault("sysctl without a namespace", "not in a separate kernel namespace|namespace", "linux.sysctl", "namespace",
          {"linux": {"sysctl": {"kernel.pid_max": "100"}}}),
    Fault("device without major", "major.*(missing|needs|counts as 0)|a required property is missing",
          "linux.devices[0].major", "",
          {"linux": {"devices": [{"type": "c", "path": "/dev/x", "minor": 3}]}}),
    Fault("device of type x", '"x"', "linux.devices[0].type", "one of|known are",
          {"linux": {"devices": [{"type": "x", "path": "/dev/x", "major": 1, "minor": 3}]}}),
    Fault("idmapped mount of sysfs", "sysfs.*idmapped|idmapped.*sysfs", "mounts[7]", "sysfs",
          {"linux": MAPPED, **with_mount({
              "destination": "/data", "source": "/sys/kernel", "options": ["bind"],
              "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}],
              "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}]})}),
    Fault("SELinux is off", "selinux is disabled", "process.selinuxLabel", "selinux=1|disabled or not supported",
          {"process": {"selinuxLabel": "system_u:system_r:container_t:s0"}}),
    Fault("variable without =", '"PATHX".*(no|without) =|NAME=|no "="|has no =|=', "process.env[1]", "=",
          {"process": {"env": [PATH, "PATHX"]}}),
    Fault("no process", "process property must not be empty|has no process", "process", "",
          {"process": None}),
    Fault("terminal without a terminal", "terminal", "process.terminal", "process.terminal.*false|--console-socket",
          {"process": {"terminal": True}}, static=False),
    Fault("oomScoreAdj 5000", "-1000 to 1000|1000", "process.oomScoreAdj", "-1000 to 1000|1000",
          {"process": {"oomScoreAdj": 5000}}),
    Fault("root is a file", "not a directory", "root.path", "", prepare=root_is_a_file),
    Fault("comment in the JSON", "a comment", "", "", text=lambda text: "// mine\n" + text),
    Fault("comma before }", "a comma before", "", "comma", text=lambda text: text.rstrip()[:-1].rstrip() + ",}"),
    Fault("loop of symbolic links", "too many levels of symbolic links|symbolic links", "mounts[7].destination", "",
          prepare=loop),
)
