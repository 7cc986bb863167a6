"""Configs that no container may come of: what is wrong, where the error must say it is, and with which words.

An entry is (name, config.json as bytes or changes to bundles.docker_like(), JSON path, part of the message).
test_malformed.py holds check.py and `pyrunc create` against each.
"""
from __future__ import annotations

import json
from typing import Any

from tests.bundles import docker_like, namespaces

Case = tuple[str, bytes | dict[str, Any], str, str]

SOUND = json.dumps(docker_like()).encode()


def process(**members: Any) -> dict[str, Any]:
    return {"process": members}


def linux(**members: Any) -> dict[str, Any]:
    return {"linux": members}


def resources(**members: Any) -> dict[str, Any]:
    return {"linux": {"resources": members}}


def seccomp(**members: Any) -> dict[str, Any]:
    return {"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", **members}}}


def mapping(container: Any, host: Any, size: Any) -> dict[str, Any]:
    return {"containerID": container, "hostID": host, "size": size}


def mapped(*uids: dict[str, Any]) -> dict[str, Any]:
    return linux(namespaces=namespaces("user", "mount", "uts"), uidMappings=list(uids), gidMappings=[mapping(0, 0, 1)])


def swapped(before: str, after: str) -> bytes:
    """The sound text with one piece of it replaced."""
    text = SOUND.decode()
    assert text.count(before) == 1, before
    return text.replace(before, after).encode()


TEXTS: list[Case] = [
    ("empty file", b"", "", "the file ends where a value is wanted"),
    ("blanks only", b" \n\t ", "", "the file ends where a value is wanted: line 2"),
    ("not an object", b"[]", "", "an object is wanted, not an array"),
    ("null", b"null", "", "an object is wanted, not null"),
    ("truncated in a string", SOUND[:40], "root.path", "a string has no end"),
    ("truncated between members", SOUND[:SOUND.index(b'"hostname"')], "", "the file ends where"),
    ("truncated by one", SOUND[:-1], "", '"," or "}" is wanted'),
    ("twice", SOUND + SOUND, "", "something follows the value"),
    ("trailing comma", swapped('"TERM=xterm"]', '"TERM=xterm",]'), "process.env[2]", "a value is wanted"),
    ("single quotes", swapped('"box"', "'box'"), "hostname", "a value is wanted"),
    ("comment", b"// config\n" + SOUND, "", "a value is wanted: line 1, column 1"),
    ("byte order mark", b"\xef\xbb\xbf" + SOUND, "", "byte order mark"),
    ("UTF-16", SOUND.decode().encode("utf-16"), "", "UTF-16"),
    ("UTF-16 without a mark", SOUND.decode().encode("utf-16-le"), "", "UTF-16"),
    ("UTF-32", SOUND.decode().encode("utf-32"), "", "UTF-16 or UTF-32"),
    ("Latin-1", swapped('"box"', '"b\u00f6x"').decode().encode("latin-1"), "", "byte 0xf6 is not UTF-8"),
    ("surrogates in UTF-8", SOUND.replace(b'"box"', b'"\xed\xa0\x80"'), "", "byte 0xed is not UTF-8"),
    ("lone surrogate", swapped('"box"', '"\\ud800"'), "hostname", "half of a surrogate pair"),
    ("NUL in a string", swapped('"true"', '"tr\\u0000ue"'), "process.args[0]", "NUL stands in a string"),
    ("NUL in a name", swapped('"hostname"', '"host\\u0000name"'), "", "NUL stands in a string"),
    ("raw NUL", SOUND.replace(b'"box"', b'"b\0x"'), "hostname", "the control character U+0000"),
    ("raw line break", swapped('"box"', '"b\nx"'), "hostname", "the control character U+000A"),
    ("duplicate member", swapped('"hostname"', '"hostname": "a", "hostname"'), "hostname", "is there twice"),
    ("duplicate by escape", swapped('"hostname"', '"h\\u006fstname": "a", "hostname"'), "hostname", "is there twice"),
    ("duplicate deep inside", swapped('"oomScoreAdj": 0', '"oomScoreAdj": 0, "oomScoreAdj": 1'), "process.oomScoreAdj",
     "is there twice"),
    ("NaN", swapped('"oomScoreAdj": 0', '"oomScoreAdj": NaN'), "process.oomScoreAdj", "a value is wanted"),
    ("Infinity", swapped('"oomScoreAdj": 0', '"oomScoreAdj": -Infinity'), "process.oomScoreAdj", "a digit is wanted"),
    ("leading zero", swapped('"oomScoreAdj": 0', '"oomScoreAdj": 007'), "process.oomScoreAdj", "begins with 0"),
    ("thousands of digits", swapped('"oomScoreAdj": 0', f'"oomScoreAdj": {"9" * 5000}'), "process.oomScoreAdj",
     "5000 digits"),
    ("many digits", swapped('"oomScoreAdj": 0', f'"oomScoreAdj": {"9" * 400}'), "process.oomScoreAdj", "many digits"),
    ("fraction", swapped('"oomScoreAdj": 0', '"oomScoreAdj": 0.0'), "process.oomScoreAdj", "with a fraction"),
    ("exponent", swapped('"oomScoreAdj": 0', '"oomScoreAdj": 1e2'), "process.oomScoreAdj", "or an exponent"),
    ("beyond a double", swapped('"oomScoreAdj": 0', '"oomScoreAdj": 1e999'), "process.oomScoreAdj", "or an exponent"),
    ("deep arrays", swapped('"box"', "[" * 5000 + "]" * 5000), "hostname" + "[0]" * 63, "nested more than 64 deep"),
    ("deep objects", swapped('"hostname"', '"x": ' + '{"a":' * 70 + "1" + "}" * 70 + ', "hostname"'), "x" + ".a" * 63,
     "nested more than 64 deep"),
    ("huge", SOUND + b" " * (16 << 20), "", "more than 16 MiB"),
]

STRUCTURE: list[Case] = [
    ("no version", {"ociVersion": None}, "ociVersion", "a required property is missing"),
    ("version is a number", {"ociVersion": 1}, "ociVersion", "a string is wanted, not an integer"),
    ("version is a word", {"ociVersion": "invalid"}, "ociVersion", "is not a Semantic Version"),
    ("version of two numbers", {"ociVersion": "1.0"}, "ociVersion", "is not a Semantic Version"),
    ("version 2", {"ociVersion": "2.0.0"}, "ociVersion", "is not supported"),
    ("no root", {"root": None}, "root", "a required property is missing"),
    ("root is a string", {"root": "rootfs"}, "root", "an object is wanted, not a string"),
    ("no path of the root", {"root": {"path": None}}, "root.path", "a required property is missing"),
    ("empty path of the root", {"root": {"path": ""}}, "root.path", "it is empty"),
    ("readonly is a string", {"root": {"readonly": "true"}}, "root.readonly", "a boolean is wanted, not a string"),
    ("process is an array", {"process": []}, "process", "an object is wanted, not an array"),
    ("no args", process(args=None), "process.args", "args must not be empty"),
    ("empty args", process(args=[]), "process.args", "args must not be empty"),
    ("args is a string", process(args="sh -c true"), "process.args", "an array is wanted, not a string"),
    ("a number in args", process(args=["sleep", 5]), "process.args[1]", "a string is wanted, not an integer"),
    ("no cwd", process(cwd=None), "process.cwd", "Cwd must be an absolute path"),
    ("relative cwd", process(cwd="tmp"), "process.cwd", "Cwd must be an absolute path"),
    ("empty cwd", process(cwd=""), "process.cwd", "Cwd must be an absolute path"),
    ("env is an object", process(env={"A": "b"}), "process.env", "an array is wanted, not an object"),
    ("env without =", process(env=["PATH=/bin", "TERM"]), "process.env[1]", "missing '='"),
    ("env without a name", process(env=["=x"]), "process.env[0]", "name cannot be empty"),
    ("terminal is a number", process(terminal=1), "process.terminal", "a boolean is wanted, not an integer"),
    ("console without a width", process(terminal=True, consoleSize={"height": 5}), "process.consoleSize.width", "missing"),
    ("console too high", process(terminal=True, consoleSize={"height": 65536, "width": 80}), "process.consoleSize.height",
     "is more than 65535"),
    ("no uid", process(user={"uid": None}), "process.user.uid", "a required property is missing"),
    ("uid is a string", process(user={"uid": "0"}), "process.user.uid", "an integer is wanted, not a string"),
    ("uid is a boolean", process(user={"uid": True}), "process.user.uid", "an integer is wanted, not a boolean"),
    ("uid -1", process(user={"uid": -1}), "process.user.uid", "-1 is not in the range 0 to 4294967294"),
    ("uid 2^32-1", process(user={"uid": 2**32 - 1}), "process.user.uid", "is not in the range"),
    ("gid 2^32", process(user={"gid": 2**32}), "process.user.gid", "is not in the range"),
    ("a group of 2^64", process(user={"additionalGids": [5, 2**64]}), "process.user.additionalGids[1]", "not in the range"),
    ("umask beyond nine bits", process(user={"umask": 0o1000}), "process.user.umask", "512 is not in the range 0 to 511"),
    ("unknown rlimit", process(rlimits=[{"type": "RLIMIT_TEST", "soft": 1, "hard": 1}]), "process.rlimits[0].type",
     "wrong rlimit value"),
    ("rlimit without hard", process(rlimits=[{"type": "RLIMIT_CPU", "soft": 1}]), "process.rlimits[0].hard", "missing"),
    ("rlimit 2^64", process(rlimits=[{"type": "RLIMIT_CPU", "soft": 1, "hard": 2**64}]), "process.rlimits[0].hard",
     "is not in the range"),
    ("rlimit twice", process(rlimits=[{"type": "RLIMIT_CPU", "soft": 1, "hard": 1}] * 2), "process.rlimits[1].type",
     "is there twice"),
    ("soft above hard", process(rlimits=[{"type": "RLIMIT_CPU", "soft": 2, "hard": 1}]), "process.rlimits[0].soft",
     "is above the hard limit"),
    ("a number as capability", process(capabilities={"bounding": [21]}), "process.capabilities.bounding[0]",
     "a string is wanted"),
    ("oom score out of range", process(oomScoreAdj=1001), "process.oomScoreAdj", "1001 is not in the range -1000 to 1000"),
    ("scheduler without policy", process(scheduler={"nice": 1}), "process.scheduler.policy", "missing"),
    ("unknown policy", process(scheduler={"policy": "SCHED_FAST"}), "process.scheduler.policy", "unknown value"),
    ("nice of 20", process(scheduler={"policy": "SCHED_OTHER", "nice": 20}), "process.scheduler.nice", "invalid scheduler.nice"),
    ("priority of a normal policy", process(scheduler={"policy": "SCHED_BATCH", "priority": 1}),
     "process.scheduler.priority", "SchedFIFO or SchedRR"),
    ("SCHED_FIFO without priority", process(scheduler={"policy": "SCHED_FIFO"}), "process.scheduler.priority", "1 to 99"),
    ("runtime without SCHED_DEADLINE", process(scheduler={"policy": "SCHED_RR", "priority": 1, "runtime": 5}),
     "process.scheduler.runtime", "SchedDeadline"),
    ("deadline before runtime", process(scheduler={"policy": "SCHED_DEADLINE", "runtime": 9, "deadline": 5}),
     "process.scheduler", "runtime <= deadline"),
    ("I/O class", process(ioPriority={"class": "BE", "priority": 1}), "process.ioPriority.class", "unknown value"),
    ("I/O priority 8", process(ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 8}), "process.ioPriority.priority",
     "8 is not in the range 0 to 7"),
    ("CPUs in words", process(execCPUAffinity={"initial": "all"}), "process.execCPUAffinity.initial", "0-3,7"),
    ("CPUs backwards", process(execCPUAffinity={"final": "3-1"}), "process.execCPUAffinity.final", "runs backwards"),
    ("case of a name", {"Hostname": "x"}, "Hostname", 'differs only in case from "hostname"'),
    ("case of a nested name", process(NoNewPrivileges=True), "process.NoNewPrivileges", '"noNewPrivileges"'),
    ("case by Unicode", {"ho\u017ftname": "x"}, '["ho\\u017ftname"]', 'differs only in case from "hostname"'),
    ("annotation is a number", {"annotations": {"a": 1}}, "annotations.a", "a string is wanted"),
    ("annotation without a name", {"annotations": {"": "x"}}, "annotations", "the name of an annotation is empty"),
    ("mounts is an object", {"mounts": {}}, "mounts", "an array is wanted, not an object"),
    ("mount without destination", {"mounts": [{"type": "proc"}]}, "mounts[0].destination", "missing"),
    ("mount with an empty destination", {"mounts": [{"destination": ""}]}, "mounts[0].destination", "it is empty"),
    ("options is a string", {"mounts": [{"destination": "/x", "options": "ro"}]}, "mounts[0].options", "an array is wanted"),
    ("bind without source", {"mounts": [{"destination": "/x", "options": ["rbind"]}]}, "mounts[0].source", "needs a source"),
    ("half an idmap", {"mounts": [{"destination": "/x", "source": "/y", "options": ["bind", "idmap"],
                                   "uidMappings": [mapping(0, 1, 1)]}]}, "mounts[0].gidMappings", "both uid and gid mappings"),
    ("idmap of nothing", {"mounts": [{"destination": "/x", "source": "/y", "options": ["bind", "idmap"]}]},
     "mounts[0].options[1]", "both uid and gid mappings"),
    ("relative hook", {"hooks": {"poststop": [{"path": "bin/hook"}]}}, "hooks.poststop[0].path", "not an absolute path"),
    ("hook without path", {"hooks": {"prestart": [{"args": ["x"]}]}}, "hooks.prestart[0].path", "missing"),
    ("timeout of 0", {"hooks": {"createRuntime": [{"path": "/x", "timeout": 0}]}}, "hooks.createRuntime[0].timeout",
     "0 is not in the range"),
    ("hooks is an array", {"hooks": []}, "hooks", "an object is wanted"),
    ("null in an array", {"mounts": [None]}, "mounts[0]", "an object is wanted, not null"),
]

LINUX: list[Case] = [
    ("linux is a boolean", {"linux": True}, "linux", "an object is wanted, not a boolean"),
    ("unknown namespace", linux(namespaces=namespaces("pid", "disk")), "linux.namespaces[1].type", "unknown value"),
    ("namespace without type", linux(namespaces=[{"path": "/x"}]), "linux.namespaces[0].type", "missing"),
    ("namespace twice", linux(namespaces=namespaces("uts", "mount", "uts")), "linux.namespaces[2].type", "duplicated ns"),
    ("relative namespace", linux(namespaces=[{"type": "uts", "path": "ns/uts"}]), "linux.namespaces[0].path",
     "not an absolute path"),
    ("hostname of the host", linux(namespaces=namespaces("mount")), "hostname",
     "unable to set hostname without a private UTS namespace"),
    ("domainname of the host", {"hostname": None, "domainname": "x", **linux(namespaces=namespaces("mount"))},
     "domainname", "unable to set domainname without a private UTS namespace"),
    ("hostname of 65 bytes", {"hostname": "x" * 65}, "hostname", "longer than 64 bytes"),
    ("masked paths of the host", linux(namespaces=namespaces("uts")), "linux.maskedPaths", "without a private MNT namespace"),
    ("relative masked path", linux(maskedPaths=["proc/kcore"]), "linux.maskedPaths[0]", "not an absolute path"),
    ("relative read-only path", linux(readonlyPaths=["sys"]), "linux.readonlyPaths[0]", "not an absolute path"),
    ("mappings without user namespace", linux(uidMappings=[mapping(0, 1, 1)]), "linux.uidMappings",
     "user namespace isn't enabled"),
    ("user namespace without mappings", linux(namespaces=namespaces("user", "mount", "uts")), "linux.uidMappings",
     "nor mappings to apply"),
    ("user namespace without gids", linux(namespaces=namespaces("user", "mount", "uts"), uidMappings=[mapping(0, 1, 1)]),
     "linux.gidMappings", "no gid mappings found"),
    ("mapping of -1", mapped(mapping(0, -1, 1)), "linux.uidMappings[0].hostID", "not in the range"),
    ("mapping of nothing", mapped(mapping(0, 1, 0)), "linux.uidMappings[0].size", "0 is not in the range"),
    ("mapping without size", mapped({"containerID": 0, "hostID": 0}), "linux.uidMappings[0].size", "missing"),
    ("overlapping mappings", mapped(mapping(0, 1000, 10), mapping(5, 5000, 10)), "linux.uidMappings[1].containerID",
     "overlap with those of linux.uidMappings[0]"),
    ("mapping past the last id", mapped(mapping(0, 2**32 - 5, 10)), "linux.uidMappings[0].size", "more than there are"),
    ("too many mappings", mapped(*(mapping(i, i, 1) for i in range(341))), "linux.uidMappings", "more than 340"),
    ("offsets without time namespace", linux(timeOffsets={"boottime": {"secs": 1}}), "linux.timeOffsets",
     "time namespace isn't enabled"),
    ("offsets of a joined namespace", linux(namespaces=[*namespaces("mount", "uts"), {"type": "time", "path": "/x"}],
                                            timeOffsets={"monotonic": {"secs": 1}}), "linux.timeOffsets", "only provide one"),
    ("unknown clock", linux(timeOffsets={"realtime": {"secs": 1}}), "linux.timeOffsets.realtime", "unknown name"),
    ("a second of nanoseconds", linux(timeOffsets={"boottime": {"nanosecs": 10**9}}), "linux.timeOffsets.boottime.nanosecs",
     "not in the range 0 to 999999999"),
    ("unknown type of device", linux(devices=[{"type": "a", "path": "/dev/x"}]), "linux.devices[0].type", "unknown value"),
    ("device without path", linux(devices=[{"type": "c", "major": 1, "minor": 3}]), "linux.devices[0].path", "missing"),
    ("device without minor", linux(devices=[{"type": "b", "path": "/dev/x", "major": 8}]), "linux.devices[0].minor", "needs it"),
    ("major of 13 bits", linux(devices=[{"type": "c", "path": "/dev/x", "major": 4096, "minor": 0}]),
     "linux.devices[0].major", "4096 is not in the range 0 to 4095"),
    ("mode of another type", linux(devices=[{"type": "c", "path": "/dev/x", "major": 1, "minor": 3, "fileMode": 0o100666}]),
     "linux.devices[0].fileMode", "no permissions"),
    ("sysctl is a number", linux(sysctl={"net.ipv4.ip_forward": 1}), 'linux.sysctl["net.ipv4.ip_forward"]', "a string is wanted"),
    ("sysctl of the host", linux(sysctl={"kernel.panic": "1"}), 'linux.sysctl["kernel.panic"]',
     "is not in a separate kernel namespace"),
    ("sysctl of the host's network", linux(namespaces=namespaces("mount", "uts"), sysctl={"net.core.somaxconn": "1"}),
     'linux.sysctl["net.core.somaxconn"]', "not allowed in host network namespace"),
    ("sysctl of the host's ipc", linux(namespaces=namespaces("mount", "uts"), sysctl={"kernel.shmmax": "1"}),
     'linux.sysctl["kernel.shmmax"]', "hosts ipc namespace"),
    ("sysctl up and away", linux(sysctl={"net/../kernel/core_pattern": "|/x"}),
     'linux.sysctl["net/../kernel/core_pattern"]', "is not a path below /proc/sys"),
    ("sysctl for the hostname", linux(sysctl={"kernel.hostname": "x"}), 'linux.sysctl["kernel.hostname"]', "conflicts"),
    ("network device without namespace", linux(namespaces=namespaces("mount", "uts"), netDevices={"eth0": {}}),
     "linux.netDevices", "without a NET namespace"),
    ("long name of a network device", linux(netDevices={"eth0": {"name": "x" * 16}}), "linux.netDevices.eth0.name",
     "invalid network device name"),
    ("network device with a slash", linux(netDevices={"a/b": {}}), 'linux.netDevices["a/b"]', "invalid network device name"),
    ("two network devices of one name", linux(netDevices={"a": {"name": "x"}, "b": {"name": "x"}}),
     "linux.netDevices.b.name", "gets the name"),
    ("propagation", linux(rootfsPropagation="sahred"), "linux.rootfsPropagation", "unknown value"),
    ("class of service above", linux(intelRdt={"closID": ".."}), "linux.intelRdt.closID", "invalid intelRdt.ClosID"),
    ("schema of two lines", linux(intelRdt={"schemata": ["L3:0=f\nMB:0=1"]}), "linux.intelRdt.schemata[0]", "a line break"),
    ("bandwidth of a cache", linux(intelRdt={"memBwSchema": "L3:0=f"}), "linux.intelRdt.memBwSchema", "MB:"),
    ("policy without mode", linux(memoryPolicy={"nodes": "0"}), "linux.memoryPolicy.mode", "missing"),
    ("MPOL_BIND to nothing", linux(memoryPolicy={"mode": "MPOL_BIND"}), "linux.memoryPolicy.nodes", "at least one node"),
    ("MPOL_LOCAL to a node", linux(memoryPolicy={"mode": "MPOL_LOCAL", "nodes": "0"}), "linux.memoryPolicy.nodes",
     "requires 0 nodes"),
    ("unknown domain", linux(personality={"domain": "BSD"}), "linux.personality.domain", "unknown value"),
    ("unknown persona", linux(personality={"domain": "LINUX", "flags": ["X"]}), "linux.personality.flags[0]", "unknown value"),
    ("memory of -2", resources(memory={"limit": -2}), "linux.resources.memory.limit", "-2 is not in the range"),
    ("memory in words", resources(memory={"limit": "64m"}), "linux.resources.memory.limit", "an integer is wanted"),
    ("swap without memory", resources(memory={"swap": 1 << 30}), "linux.resources.memory.swap",
     "unable to set swap limit without memory limit"),
    ("swap below memory", resources(memory={"limit": 1 << 30, "swap": 1 << 20}), "linux.resources.memory.swap",
     "memory+swap limit should be >= memory limit"),
    ("burst above quota", resources(cpu={"quota": 1000, "burst": 2000}), "linux.resources.cpu.burst", "larger than quota"),
    ("shares of 2^64", resources(cpu={"shares": 2**64}), "linux.resources.cpu.shares", "not in the range"),
    ("CPUs of the future", resources(cpu={"cpus": "0-99999"}), "linux.resources.cpu.cpus", "more than 8191"),
    ("pids limit is null in an array", resources(pids=[None]), "linux.resources.pids", "an object is wanted"),
    ("weight of 5", resources(blockIO={"weight": 5}), "linux.resources.blockIO.weight", "less than 10"),
    ("weight of 1001", resources(blockIO={"weight": 1001}), "linux.resources.blockIO.weight", "not in the range"),
    ("device without weight", resources(blockIO={"weightDevice": [{"major": 8, "minor": 0}]}),
     "linux.resources.blockIO.weightDevice[0]", "neither weight nor leafWeight"),
    ("rate without device", resources(blockIO={"throttleReadBpsDevice": [{"rate": 1}]}),
     "linux.resources.blockIO.throttleReadBpsDevice[0].major", "missing"),
    ("page size in bytes", resources(hugepageLimits=[{"pageSize": "2097152", "limit": 0}]),
     "linux.resources.hugepageLimits[0].pageSize", "is not a size"),
    ("RDMA of nothing", resources(rdma={"mlx5_1": {}}), "linux.resources.rdma.mlx5_1", "neither hcaHandles nor hcaObjects"),
    ("unified path", resources(unified={"../cgroup.procs": "1"}), 'linux.resources.unified["../cgroup.procs"]', "no slashes"),
    ("unified without controller", resources(unified={"limit": "1"}), "linux.resources.unified.limit", "CONTROLLER.PARAMETER"),
    ("rule without allow", resources(devices=[{"access": "rwm"}]), "linux.resources.devices[0].allow", "missing"),
    ("rule without access", resources(devices=[{"allow": False}]), "linux.resources.devices[0].access",
     "device access at 0 field cannot be empty"),
    ("rule for execution", resources(devices=[{"allow": True, "access": "rx"}]), "linux.resources.devices[0].access",
     "not made of r, w and m"),
    ("seccomp without default", linux(seccomp={"syscalls": []}), "linux.seccomp.defaultAction", "missing"),
    ("unknown action", seccomp(defaultAction="SCMP_ACT_DENY"), "linux.seccomp.defaultAction", "unknown value"),
    ("unknown architecture", seccomp(architectures=["SCMP_ARCH_Z80"]), "linux.seccomp.architectures[0]", "unknown value"),
    ("unknown flag", seccomp(flags=["SECCOMP_FILTER_FLAG_X"]), "linux.seccomp.flags[0]", "unknown value"),
    ("default of NOTIFY", seccomp(defaultAction="SCMP_ACT_NOTIFY", listenerPath="/x"), "linux.seccomp.defaultAction",
     "cannot be used as default action"),
    ("NOTIFY without listener", seccomp(syscalls=[{"names": ["mount"], "action": "SCMP_ACT_NOTIFY"}]),
     "linux.seccomp.syscalls[0].action", "needs a listenerPath"),
    ("NOTIFY for write", seccomp(listenerPath="/x", syscalls=[{"names": ["read", "write"], "action": "SCMP_ACT_NOTIFY"}]),
     "linux.seccomp.syscalls[0].names[1]", "cannot be used for the write syscall"),
    ("metadata without listener", seccomp(listenerMetadata="x"), "linux.seccomp.listenerMetadata", "without listenerPath"),
    ("errno of ALLOW", seccomp(syscalls=[{"names": ["read"], "action": "SCMP_ACT_ALLOW", "errnoRet": 1}]),
     "linux.seccomp.syscalls[0].errnoRet", "takes no errno"),
    ("default errno of ALLOW", seccomp(defaultErrnoRet=1), "linux.seccomp.defaultErrnoRet", "takes no errno"),
    ("rule without names", seccomp(syscalls=[{"names": [], "action": "SCMP_ACT_LOG"}]), "linux.seccomp.syscalls[0].names",
     "it is empty"),
    ("seventh argument", seccomp(syscalls=[{"names": ["read"], "action": "SCMP_ACT_LOG",
                                            "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}]),
     "linux.seccomp.syscalls[0].args[0].index", "6 is not in the range 0 to 5"),
    ("unknown comparison", seccomp(syscalls=[{"names": ["read"], "action": "SCMP_ACT_LOG",
                                              "args": [{"index": 0, "value": 0, "op": "=="}]}]),
     "linux.seccomp.syscalls[0].args[0].op", "unknown value"),
]

MALFORMED: list[Case] = TEXTS + STRUCTURE + LINUX


def text(config: bytes | dict[str, Any]) -> bytes:
    """The config.json of a case."""
    return config if isinstance(config, bytes) else json.dumps(docker_like(**config)).encode()
