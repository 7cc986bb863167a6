"""Every property of config.json seen from inside the container: what a process there finds, not what was asked."""
from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests import bundles, world
from tests.bundles import CAPABILITIES, MOUNTS, docker_like, merge, namespaces
from tests.runtimes import Runtime

#: A device that no container gets, and the capability without which it cannot be opened even where it is allowed.
KERNEL_LOG: dict[str, Any] = {"path": "/dev/kernel", "type": "c", "major": 1, "minor": 11}
_WITH_SYSLOG = [*CAPABILITIES, "CAP_SYSLOG"]
SYSLOG: dict[str, Any] = {"capabilities": dict.fromkeys(("bounding", "effective", "permitted"), _WITH_SYSLOG)}

#: id -> (changes to the Docker-like config, script, what it must print). A list of lines must be the output; a
#: compiled pattern must be found in it.
CASES: dict[str, tuple[dict[str, Any], str, list[str] | re.Pattern[str]]] = {
    # config.md#process: "args … [is] required", "env … SHALL have the same semantics as IEEE Std 1003.1-2008's environ"
    "environment": ({"process": {"env": [bundles.PATH, "A=1", "B=two words", "EMPTY=", "A=2"]}},
                    'echo "$A|$B|${EMPTY-unset}|${LC_CTYPE-none}|$HOME"', ["2|two words||none|/root"]),
    "home_of_the_user": ({"process": {"user": {"uid": 1000, "gid": 1000}}}, "echo $HOME", ["/home/user"]),
    # config.md#process: "cwd … is the working directory that will be set for the executable. This value MUST be an
    # absolute path."
    "cwd": ({"process": {"cwd": "/var"}}, "pwd", ["/var"]),
    "cwd_is_made": ({"process": {"cwd": "/var/made/deep"}}, "pwd; stat -c '%a %u' $PWD", ["/var/made/deep", "755 0"]),
    # config.md#posix-platform-user
    "user": ({"process": {"user": {"uid": 1000, "gid": 1001, "additionalGids": [7, 8]}}},
             "id -u; id -g; id -G", ["1000", "1001", "1001 7 8"]),
    "umask": ({"process": {"user": {"umask": 0o77}}}, "umask; touch /tmp/f; stat -c %a /tmp/f", ["0077", "600"]),
    "umask_default": ({}, "umask", ["0022"]),
    "rlimits": ({"process": {"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
                                         {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
                                         {"type": "RLIMIT_CPU", "soft": 50, "hard": 60}]}},
                "ulimit -n; ulimit -H -n; ulimit -c; ulimit -t", ["100", "200", "0", "50"]),
    "capabilities": ({"process": {"user": {"uid": 1000, "gid": 1000}, "capabilities": {
        "bounding": CAPABILITIES[:5], "permitted": CAPABILITIES[:4], "effective": CAPABILITIES[:2],
        "inheritable": CAPABILITIES[:3], "ambient": CAPABILITIES[:1]}}},
        # What execve makes of them: permitted and effective become the ambient set for a user who is not root.
        "grep Cap /proc/self/status | tr '\\t' ' '",
        ["CapInh: 0000000000000013", "CapPrm: 0000000000000001", "CapEff: 0000000000000001",
         "CapBnd: 000000000800001b", "CapAmb: 0000000000000001"]),
    "no_capabilities": ({"process": {"capabilities": dict.fromkeys(("bounding", "effective", "permitted"))}},
                        "grep Cap /proc/self/status | tr '\\t' ' '",
                        [f"Cap{name}: 0000000000000000" for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")]),
    "no_new_privileges": ({"process": {"noNewPrivileges": True}}, "grep NoNewPrivs /proc/self/status",
                          ["NoNewPrivs:\t1"]),
    "oom_score_adj": ({"process": {"oomScoreAdj": 500}}, "cat /proc/self/oom_score_adj", ["500"]),
    # config.md#root: "If this property is true then the root filesystem MUST be read-only inside the container"
    "readonly_root": ({"root": {"readonly": True}}, "touch /x 2>&1; touch /tmp/x 2>&1; touch /dev/shm/x && echo ok",
                      ["touch: /x: Read-only file system", "touch: /tmp/x: Read-only file system", "ok"]),
    "writable_root": ({}, "touch /x && echo ok", ["ok"]),
    # config.md#hostname
    "hostname": ({"hostname": "a-name"}, "hostname; cat /proc/sys/kernel/hostname", ["a-name", "a-name"]),
    "domainname": ({"domainname": "a.domain"}, "cat /proc/sys/kernel/domainname", ["a.domain"]),
    # config-linux.md#default-filesystems
    "default_filesystems": ({}, "while read _ p t _; do case $p in /proc|/sys|/dev/pts|/dev/shm) echo $p $t;; esac; "
                            "done </proc/self/mounts",
                            ["/proc proc", "/dev/pts devpts", "/dev/shm tmpfs", "/sys sysfs"]),
    # config-linux.md#default-devices and runtime-linux.md#dev-symbolic-links
    "default_devices": ({}, "cd /dev; for f in null zero full random urandom tty; do "
                        "[ -c $f ] && stat -c '%n %t:%T %a %u:%g' $f; done; "
                        "for f in fd stdin stdout stderr ptmx; do echo $f $(readlink $f); done",
                        ["null 1:3 666 0:0", "zero 1:5 666 0:0", "full 1:7 666 0:0", "random 1:8 666 0:0",
                         "urandom 1:9 666 0:0", "tty 5:0 666 0:0", "fd /proc/self/fd", "stdin /proc/self/fd/0",
                         "stdout /proc/self/fd/1", "stderr /proc/self/fd/2", "ptmx pts/ptmx"]),
    "devices": ({"linux": {"devices": [{"path": "/dev/deep/kernel", "type": "c", "major": 1, "minor": 11,
                                        "fileMode": 0o640, "uid": 5, "gid": 6},
                                       {"path": "/dev/pipe", "type": "p", "fileMode": 0o622},
                                       {"path": "/dev/loop", "type": "b", "major": 7, "minor": 3}]}},
                "stat -c '%F %t:%T %a %u:%g' /dev/deep/kernel /dev/pipe /dev/loop",
                ["character special file 1:b 640 5:6", "fifo 0:0 622 0:0", "block special file 7:3 666 0:0"]),
    # config-linux.md#allowed-device-list
    "devices_are_refused": ({"process": SYSLOG, "linux": {"devices": [KERNEL_LOG]}},
                            "head -c 1 /dev/kernel 2>&1; head -c 1 /dev/zero | wc -c; echo x >/dev/null && echo ok",
                            ["head: /dev/kernel: Operation not permitted", "1", "ok"]),
    "devices_are_allowed": ({"process": SYSLOG, "linux": {
        "devices": [KERNEL_LOG],
        "resources": {"devices": [{"allow": False, "access": "rwm"},
                                  {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "r"}]}}},
        "(: </dev/kernel) && echo read; (: >>/dev/kernel) 2>&1 | sed 's/line 0: //'",
        ["read", "sh: can't create /dev/kernel: Operation not permitted"]),
    # config-linux.md#masked-paths: "maskedPaths … will mask over the provided paths inside the container so that they
    # cannot be read. The values MUST be absolute paths in the container namespace."
    "masked_paths": ({"linux": {"maskedPaths": ["/etc/passwd", "/var", "/not/there"]}},
                     "wc -c </etc/passwd; ls /var | wc -l; touch /var/x 2>&1; ls /not 2>&1",
                     ["0", "0", "touch: /var/x: Read-only file system", "ls: /not: No such file or directory"]),
    # config-linux.md#readonly-paths
    "readonly_paths": ({"linux": {"readonlyPaths": ["/proc/sys", "/etc", "/not/there"]}},
                       "touch /etc/x 2>&1; (echo 1 >/proc/sys/kernel/domainname) 2>&1 | sed 's/line 0: //'; "
                       "touch /x && echo ok",
                       ["touch: /etc/x: Read-only file system",
                        "sh: can't create /proc/sys/kernel/domainname: Read-only file system", "ok"]),
    "readonly_paths_name_the_root": ({"linux": {"readonlyPaths": ["/etc/../."]}},
                                     "touch /x 2>&1; touch /etc/x 2>&1; touch /dev/shm/x && echo ok",
                                     ["touch: /x: Read-only file system", "touch: /etc/x: Read-only file system",
                                      "ok"]),
    # config-linux.md#sysctl
    "sysctl": ({"linux": {"sysctl": {"net.ipv4.ip_forward": "1", "net/ipv4/conf/lo/forwarding": "1",
                                     "kernel.msgmax": "4321", "fs.mqueue.msg_max": "13"}}},
               "cd /proc/sys; cat net/ipv4/ip_forward net/ipv4/conf/lo/forwarding kernel/msgmax fs/mqueue/msg_max",
               ["1", "1", "4321", "13"]),
    "loopback_is_up": ({}, "ip addr show lo | grep -o 'inet 127.0.0.1/8'",
                       re.compile(r"^inet 127\.0\.0\.1/8$", re.M)),
    "cgroup_namespace": ({}, "cat /proc/self/cgroup | tail -n 1", ["0::/"]),
    "pid_namespace": ({}, "echo $$; ls /proc | grep -c '^[0-9]'", re.compile(r"^1\n[1-4]$", re.M)),
    # config-linux.md#user-namespace-mappings
    "user_namespace": ({"linux": {"namespaces": namespaces("user", "pid", "network", "ipc", "uts", "mount", "cgroup"),
                                  "uidMappings": [{"containerID": 0, "hostID": 100000, "size": 1000}],
                                  "gidMappings": [{"containerID": 0, "hostID": 200000, "size": 2000}]}},
                       "cd /proc/self; cat uid_map gid_map | tr -s ' '; id -u; stat -c %u:%g /proc/1 /dev/pts/ptmx",
                       [" 0 100000 1000", " 0 200000 2000", "0", "0:0", "0:0"]),
    "time_namespace": ({"linux": {"namespaces": namespaces("time", "pid", "mount", "uts"), "timeOffsets": {
        "monotonic": {"secs": 86400, "nanosecs": 7}, "boottime": {"secs": 172800}}}},
        "tr -s ' ' </proc/self/timens_offsets; [ $(cut -d. -f1 /proc/uptime) -gt 172800 ] && echo later",
        ["monotonic 86400 7", "boottime 172800 0", "later"]),
}

#: id -> what of the specification it holds, as in the marker `spec`.
HOLDS: dict[str, list[tuple[str, ...]]] = {
    "environment": [("config.md#process", "env")],
    "cwd": [("config.md#process", "cwd")],
    "user": [("config.md#posix-platform-user", "user", "uid", "gid", "additionalGids")],
    "umask": [("config.md#posix-platform-user", "umask")],
    "rlimits": [("config.md#posix-process", "rlimits", "rlimits.soft", "rlimits.hard", "rlim_cur is soft",
                 "rlim_max is hard")],
    "capabilities": [("config.md#linux-process", "capabilities", *(f"capabilities.{name}" for name in (
        "effective", "bounding", "inheritable", "permitted", "ambient")))],
    "no_capabilities": [("config.md#linux-process", "capabilities")],
    "no_new_privileges": [("config.md#linux-process", "noNewPrivileges")],
    "oom_score_adj": [("config.md#linux-process", "oomScoreAdj", "oom_score_adj is set to the value")],
    "readonly_root": [("config.md#root", "root.readonly", "a readonly root cannot be written")],
    "writable_root": [("config.md#root", "root", "root.path", "root.readonly")],
    "hostname": [("config.md#hostname", "hostname"), ("config-linux.md#namespaces", "uts")],
    "domainname": [("config.md#domainname", "domainname")],
    "default_filesystems": [("config-linux.md#default-filesystems", "/proc is a procfs", "/sys is a sysfs",
                             "/dev/pts is a devpts", "/dev/shm is a tmpfs")],
    "default_devices": [
        ("config-linux.md#default-devices", *(f"/dev/{name}" for name in (
            "null", "zero", "full", "random", "urandom", "tty", "ptmx"))),
        ("runtime-linux.md#dev-symbolic-links", *(f"/dev/{name}" for name in ("fd", "stdin", "stdout", "stderr")))],
    "devices": [("config-linux.md#devices", "devices", "listed devices are there", "type", "path", "major, minor",
                 "fileMode", "uid", "gid")],
    "devices_are_refused": [("config-linux.md#allowed-device-list", "devices")],
    "devices_are_allowed": [("config-linux.md#allowed-device-list", "devices", "rules apply in the listed order",
                             "allow", "type", "major, minor", "access")],
    "masked_paths": [("config-linux.md#masked-paths", "maskedPaths")],
    "readonly_paths": [("config-linux.md#readonly-paths", "readonlyPaths")],
    "readonly_paths_name_the_root": [("config-linux.md#readonly-paths", "readonlyPaths")],
    "sysctl": [("config-linux.md#sysctl", "sysctl")],
    "loopback_is_up": [("config-linux.md#namespaces", "network")],
    "cgroup_namespace": [("config-linux.md#namespaces", "cgroup")],
    "pid_namespace": [("config-linux.md#namespaces", "pid")],
    "user_namespace": [("config-linux.md#namespaces", "user"),
                       ("config-linux.md#user-namespace-mappings", "uidMappings", "gidMappings", "containerID",
                        "hostID", "size")],
    "time_namespace": [("config-linux.md#namespaces", "time"),
                       ("config-linux.md#offset-for-time-namespace", "timeOffsets", "monotonic", "boottime", "secs",
                        "nanosecs")],
}


def run(runtime: Runtime, place: Path, name: str, changes: dict[str, Any], script: str) -> str:
    config = merge(docker_like(process={"args": ["sh", "-c", script]}), changes)
    bundle = bundles.bundle(place / "bundle", config)
    outcome = runtime.run(name, bundle)
    assert not outcome.stderr, outcome.stderr
    return outcome.stdout


@pytest.mark.parametrize("case", [pytest.param(case, marks=[pytest.mark.spec(*row) for row in HOLDS.get(case, ())])
                                  for case in CASES])
def test_seen_from_inside(case: str, runtime: Runtime, place: Path, name: str) -> None:
    changes, script, expected = CASES[case]
    said = run(runtime, place, name, changes, script)
    if isinstance(expected, list):
        assert said.splitlines() == expected
    else:
        assert expected.search(said), said


# An interpreter ignores some signals; what it executes must not inherit that (signal(7)).
def test_signals_are_as_new(runtime: Runtime, place: Path, name: str) -> None:
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["grep", "^Sig[BI]", "/proc/self/status"]}))
    assert runtime.run(name, bundle).stdout == f"SigBlk:\t{0:016x}\nSigIgn:\t{0:016x}\n"


# config.md#posix-process: the arguments arrive as they are
@pytest.mark.spec("config.md#process", "args")
def test_arguments(runtime: Runtime, place: Path, name: str) -> None:
    words = ["sh", "-c", 'printf "%s|" "$0" "$@"', "zero", "one two", "", "*", "ünï", "$HOME", 'quote"']
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": words}))
    assert runtime.run(name, bundle).stdout == "".join(f"{word}|" for word in words[3:])


# config-linux.md#devices: "If a file already exists at path that does not match the requested device, the runtime MUST
# generate an error."
@pytest.mark.spec("config-linux.md#devices", "another file at path is an error")
@pytest.mark.parametrize("what", ["file", "directory", "link", "another device", "the device"])
def test_what_is_at_the_path_of_a_device(what: str, runtime: Runtime, place: Path, name: str) -> None:
    config = docker_like(process={"args": ["stat", "-c", "%t:%T", "/there"]},
                         linux={"devices": [{"path": "/there", "type": "c", "major": 1, "minor": 5}]})
    bundle = bundles.bundle(place / "bundle", config)
    there = bundle / "rootfs/there"
    if what == "file":
        there.write_text("content")
    elif what == "directory":
        there.mkdir()
    elif what == "link":
        there.symlink_to("/dev/zero")
    else:
        os.mknod(there, 0o020600, os.makedev(1, 5 if what == "the device" else 3))
    before = there.lstat()
    outcome = runtime.run(name, bundle)
    if what == "the device":
        assert (outcome.status, outcome.stdout) == (0, "1:5\n")
    else:
        assert outcome.status == 1 and "at linux.devices[0] in config.json" in outcome.stderr
        assert "file exists" in outcome.stderr
    assert (there.lstat().st_ino, there.lstat().st_mode) == (before.st_ino, before.st_mode)


# config-linux.md#namespaces: "The runtime MUST place the container process in the namespace associated with that
# path."; "If path is not specified, the runtime MUST create a new container namespace of type type."; "If a namespace
# type is not specified in the namespaces array, the container MUST inherit the runtime namespace of that type."
@pytest.mark.spec("config-linux.md#namespaces", "namespaces", "type", "path", "network", "ipc", "uts", "cgroup", "time",
                  "pid", "the process is in the namespace that path names", "without path the namespace is new",
                  "a type that is not listed is inherited")
@pytest.mark.parametrize("kind", ["pid", "network", "ipc", "uts", "cgroup", "time"])
def test_namespaces_new_joined_inherited(kind: str, runtime: Runtime, place: Path, name: str) -> None:
    file = {"network": "net"}.get(kind, kind)
    others = [other for other in ("network", "ipc", "uts") if other != kind]
    base: dict[str, Any] = {"hostname": None, "linux": {"resources": None}}
    script = f"readlink /proc/self/ns/{file}"
    mine = os.readlink(f"/proc/self/ns/{file}")

    def seen(entries: list[dict[str, str]], id: str) -> str:
        changed = merge(base, {"linux": {"namespaces": [*namespaces("mount", *others), *entries]}})
        if kind != "pid":
            changed["linux"]["namespaces"] += namespaces("pid")
        return run(runtime, place / id, id, changed, script).strip()
    place.joinpath(f"{name}-a").mkdir()
    assert seen([{"type": kind}], f"{name}-a") not in ("", mine)
    place.joinpath(f"{name}-b").mkdir()
    assert seen([], f"{name}-b") == mine
    holder = bundles.bundle(place / "holder", docker_like(
        process={"args": ["sleep", "1000"]}, linux={"namespaces": namespaces(*{"pid", "mount", "uts", kind})}))
    init = runtime.create(f"{name}-h", holder)
    place.joinpath(f"{name}-c").mkdir()
    theirs = os.readlink(f"/proc/{init.pid}/ns/{file}")
    assert theirs != mine
    assert seen([{"type": kind, "path": f"/proc/{init.pid}/ns/{file}"}], f"{name}-c") == theirs


class TestMounts:
    """config.md#mounts"""

    def seen(self, runtime: Runtime, place: Path, name: str, mounts: list[dict[str, Any]], script: str) -> list[str]:
        return run(runtime, place, name, {"mounts": [*MOUNTS, *mounts]}, script).splitlines()

    # "The runtime MUST mount entries in the listed order."
    @pytest.mark.spec("config.md#mounts", "mounts", "destination", "mounts are made in the listed order")
    def test_in_the_order_listed(self, runtime: Runtime, place: Path, name: str) -> None:
        listed = [{"destination": "/mnt", "type": "tmpfs", "source": "outer", "options": ["size=1m"]},
                  {"destination": "/mnt/in/side", "type": "tmpfs", "source": "inner", "options": ["size=2m"]},
                  {"destination": "/mnt", "type": "tmpfs", "source": "over", "options": ["size=3m"]}]
        script = "grep /mnt /proc/self/mounts | while read s p _; do echo $s $p; done; ls /mnt | wc -l"
        expected = ["outer /mnt", "inner /mnt/in/side", "over /mnt", "0"]
        assert self.seen(runtime, place, name, listed, script) == expected

    # "… it MAY be a relative path, in which case it MUST be interpreted as relative to "/"."
    @pytest.mark.spec("config.md#mounts", "destination", "a relative destination counts from /")
    def test_a_relative_destination(self, runtime: Runtime, place: Path, name: str) -> None:
        entry = {"destination": "mnt/../var/./here", "type": "tmpfs", "source": "marked"}
        config = {"mounts": [*MOUNTS, entry], "process": {"cwd": "/etc"}}
        assert run(runtime, place, name, config, "grep ^marked /proc/self/mounts").split()[1] == "/var/here"

    @pytest.mark.spec("config.md#mounts", "options", "unknown options go to the file system")
    @pytest.mark.spec("config.md#posix-platform-mounts", "type")
    def test_options(self, runtime: Runtime, place: Path, name: str) -> None:
        options = ["nosuid", "nodev", "noexec", "noatime", "size=64k", "mode=1750"]
        entry = {"destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": ["ro", "rw", *options]}
        line, mode = self.seen(runtime, place, name, [entry], "grep /mnt /proc/self/mounts; stat -c %a /mnt")
        assert set(line.split()[3].split(",")) >= {"rw", *options}
        assert mode == "1750"

    @pytest.mark.spec("config.md#mounts", "source", "options")
    @pytest.mark.parametrize(("options", "expected"), [
        (["bind"], ["from the host", "writable"]), (["bind", "ro"], ["from the host", "read-only"]),
        (["rbind"], ["from the host", "from below", "writable"]),
        # Only the top of a tree is read-only with "ro", all of it with "rro".
        (["rbind", "ro"], ["from the host", "from below", "read-only"]),
    ])
    def test_binds(self, options: list[str], expected: list[str], runtime: Runtime, place: Path, name: str) -> None:
        source = place / "source"
        (source / "below").mkdir(parents=True)
        (source / "file").write_text("from the host\n")
        world.mount("tmpfs", source / "below", "tmpfs")
        (source / "below/file").write_text("from below\n")
        try:
            entry = {"destination": "/mnt/point", "source": str(source), "options": options}
            script = ("cd /mnt/point; cat file; cat below/file 2>/dev/null; "
                      "touch x 2>/dev/null && echo writable || echo read-only")
            assert self.seen(runtime, place, name, [entry], script) == expected
        finally:
            world.unmount(source / "below")

    @pytest.mark.spec("config.md#mounts", "source")
    def test_a_file_and_a_relative_source(self, runtime: Runtime, place: Path, name: str) -> None:
        (place / "bundle").mkdir()
        (place / "bundle/some").write_text("content\n")
        entry = {"destination": "/etc/deep/file", "type": "bind", "source": "some", "options": ["bind", "ro"]}
        script = "cat /etc/deep/file; stat -c %F /etc/deep"
        assert self.seen(runtime, place, name, [entry], script) == ["content", "directory"]

    # What an image may contain must not lead a mount out of the root.
    @pytest.mark.parametrize("target", ["../../../../../../tmp/escape", "/tmp/escape", "../tmp/../../../tmp/escape"])
    def test_symlinks_stay_inside(self, target: str, runtime: Runtime, place: Path, name: str) -> None:
        bundle = bundles.bundle(place / "bundle", docker_like(
            process={"args": ["sh", "-c", "ls /tmp/escape; grep -c escape /proc/self/mounts"]},
            mounts=[*MOUNTS, {"destination": "/link/sub", "type": "tmpfs", "source": "tmpfs", "options": ["size=4k"]}]))
        (bundle / "rootfs/link").symlink_to(target)
        outcome = runtime.run(name, bundle)
        assert outcome.stdout.splitlines() == ["sub", "1"], outcome.stderr
        assert not Path("/tmp/escape").exists() and (bundle / "rootfs/tmp/escape/sub").is_dir()

    @pytest.mark.parametrize(("option", "field"), [("rshared", "shared"), ("rslave", "master"), ("rprivate", ""),
                                                   ("runbindable", "unbindable")])
    def test_propagation(self, option: str, field: str, runtime: Runtime, place: Path, name: str) -> None:
        source = place / "source"
        source.mkdir()
        world.mount("tmpfs", source, "tmpfs")
        world.mount("none", source, "", 1 << 20)              # MS_SHARED
        try:
            entry = {"destination": "/mnt", "source": str(source), "options": ["rbind", option]}
            line, = self.seen(runtime, place, name, [entry], "grep ' /mnt ' /proc/self/mountinfo")
        finally:
            world.unmount(source)
        optional = line.partition(" - ")[0].split()[6:]
        kinds = [entry.partition(":")[0] for entry in optional]
        # A shared one may be a slave of the host's besides: what is mounted there arrives, what is mounted here stays.
        assert kinds == ([field] if field else []) or kinds == [field, "master"] == ["shared", "master"]


    # config.md#posix-platform-mounts: "uidMappings … The mapping to convert UIDs from the source file system to the
    # destination mount point."
    @pytest.mark.parametrize(("option", "below"), [("idmap", "0:0"), ("ridmap", "5000:6000")])
    def test_idmapped(self, option: str, below: str, runtime: Runtime, place: Path, name: str) -> None:
        source = place / "source"
        (source / "below").mkdir(parents=True)
        world.mount(str(place), source / "below", "", 1 << 12)            # MS_BIND: a mount of its own
        (source / "file").touch()
        entry = {"destination": "/mnt", "type": "bind", "source": str(source), "options": ["rbind", option],
                 "uidMappings": [{"containerID": 0, "hostID": 5000, "size": 10}],
                 "gidMappings": [{"containerID": 0, "hostID": 6000, "size": 10}]}
        try:
            script = "stat -c %u:%g /mnt/file /mnt/below"
            assert self.seen(runtime, place, name, [entry], script) == ["5000:6000", below]
            assert (source / "file").stat().st_uid == 0
        finally:
            world.unmount(source / "below")


# config-linux.md#rootfs-mount-propagation: "shared: the rootfs mount belongs to a new peer group. … slave: the rootfs
# mount receives propagation events from the host … but not the other way around. private: the rootfs mount doesn't
# receive mount propagation events from the host … unbindable: the rootfs mount is a private mount that cannot be
# bind-mounted."
@pytest.mark.spec("config-linux.md#rootfs-mount-propagation", "rootfsPropagation")
@pytest.mark.parametrize(("value", "fields", "arrives"), [
    ("shared", ["shared"], False), ("slave", ["master"], True), ("private", [], False),
    ("unbindable", ["unbindable"], False)])
def test_rootfs_propagation(value: str, fields: list[str], arrives: bool, runtime: Runtime, place: Path,
                            name: str) -> None:
    shared = place / "shared"
    shared.mkdir()
    world.mount("tmpfs", shared, "tmpfs")
    world.mount("none", shared, "", 1 << 20)                  # MS_SHARED: what is mounted on it is told to its slaves
    try:
        bundle = bundles.bundle(shared / "bundle", docker_like(process={"args": ["sleep", "1000"]},
                                                               linux={"rootfsPropagation": value}))
        init = runtime.create(name, bundle)
        before = world.text("/proc/self/mountinfo")
        enter = ["nsenter", "-t", str(init.pid), "--mount", "--root"]
        subprocess.run([*enter, "/bin/mount", "-t", "tmpfs", "inside", "/run"], check=True)
        assert world.text("/proc/self/mountinfo") == before, "what is mounted inside stays there"
        bound = subprocess.run([*enter, "/bin/mount", "-o", "bind", "/etc", "/var"], capture_output=True)
        assert (bound.returncode != 0) == (value == "unbindable")
        world.mount("tmpfs", bundle / "rootfs/mnt", "tmpfs")
        found = {line.split()[4]: line for line in world.lines(f"/proc/{init.pid}/mountinfo")}
        assert [entry.partition(":")[0] for entry in found["/"].partition(" - ")[0].split()[6:]] == fields
        assert ("/mnt" in found) == arrives
        world.unmount(bundle / "rootfs/mnt")
        runtime.ok("delete", "--force", name)
        init.wait()
    finally:
        world.unmount(shared)
