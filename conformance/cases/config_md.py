"""config.md: root, process, hostname, annotations, and what no configuration may say. Mounts, hooks: files beside."""
from __future__ import annotations

import os
import resource
from typing import Any

from ..harness import bundles
from ..harness.trial import Trial, status
from ..model import NotHere, case, each


@each("config.md#specification-version", {
    word: (("ociVersion is a semantic version", "ociVersion"), word) for word in ("invalid", "1.0", "", "01.0.0")})
def version_that_is_none(t: Trial, version: str) -> None:
    """An ociVersion that is no semantic version is an error"""
    t.refused(ociVersion=version)


@case("config.md#specification-version", "ociVersion")
def version_that_is_missing(t: Trial) -> None:
    """Without ociVersion, create is an error"""
    t.refused(ociVersion=None)


@case("config.md#root", "a directory is at root.path", "root", "root.path")
def root_that_is_not_there(t: Trial) -> None:
    """A root.path at which nothing is, or a file: create is an error"""
    t.refused(root={"path": "nowhere"})
    t.refused(root={"path": "config.json"})


@case("config.md#root", "root.path")
def root_by_an_absolute_path(t: Trial) -> None:
    """root.path may be absolute"""
    place = bundles.root(t.place / "elsewhere")
    (place / "mark").write_text("elsewhere")
    t.equal(t.inside("cat /mark", root={"path": str(place)}), "elsewhere", "/mark")


@case("config.md#root", "a readonly root cannot be written", "root.readonly")
def root_that_is_readonly(t: Trial) -> None:
    """With root.readonly nothing can be made in the root; without, it can"""
    script = "touch /made 2>/dev/null && echo made || echo refused"
    t.equal(t.inside(script, root={"readonly": True}), "refused", "a file in a readonly root")
    t.equal(t.inside(script), "made", "a file in an ordinary root")


@case("config.md#process", "cwd")
def working_directory(t: Trial) -> None:
    """The program begins in cwd"""
    t.equal(t.inside("readlink /proc/self/cwd", process={"cwd": "/usr"}), "/usr", "cwd")


@case("config.md#process", "cwd is absolute")
def working_directory_that_is_relative(t: Trial) -> None:
    """A relative cwd is an error"""
    t.refused(process={"cwd": "usr"}, at_start=True)


@case("config.md#process", "cwd")
def working_directory_that_is_missing(t: Trial) -> None:
    """A process without cwd is an error"""
    t.refused(process={"cwd": None}, at_start=True)


@case("config.md#process", "env")
def environment(t: Trial) -> None:
    """The environment is env, and nothing else"""
    env = [bundles.PATH, "ONE=1", "EMPTY=", "SPACE=a b", "EQUAL=a=b"]
    made = t.create(process={"args": ["env"], "env": env}).start()
    made.wait()
    seen = [line for line in made.output.splitlines() if not line.startswith("HOME=")]
    t.equal(sorted(seen), sorted(env), "environment but for HOME")


@case("config.md#process", "args")
def arguments(t: Trial) -> None:
    """Every argument arrives as it is"""
    words = ["a b", "", "$HOME", "'\"", "ü"]
    made = t.create(process={"args": ["sh", "-c", 'for word; do echo "<$word>"; done', "sh", *words]}).start()
    made.wait()
    t.equal(made.output.splitlines(), [f"<{word}>" for word in words], "arguments")


@case("config.md#process", "args", demand="the program is found by PATH of env")
def program_by_path(t: Trial) -> None:
    """A program without a slash is looked for in PATH of env"""
    bundle = t.bundle(process={"args": ["mine"], "env": ["PATH=/nowhere:/opt"]})
    (bundle / "rootfs/opt").mkdir()
    (bundle / "rootfs/opt/mine").write_text("#!/bin/sh\necho mine\n")
    (bundle / "rootfs/opt/mine").chmod(0o755)
    made = t.create(bundle).start()
    made.wait()
    t.equal(made.output.strip(), "mine", "what the program prints")


@case("config.md#process", "args has an entry")
def no_arguments(t: Trial) -> None:
    """An empty args is an error"""
    t.refused(process={"args": []}, at_start=True)


@case("config.md#process", "consoleSize without a terminal is ignored", "consoleSize", "consoleSize.height",
      "consoleSize.width")
def console_size_without_a_terminal(t: Trial) -> None:
    """consoleSize is ignored when terminal is not set"""
    said = t.inside("tty || true", process={"consoleSize": {"height": 33, "width": 77}})
    t.equal(said, "not a tty", "standard input")


# The numbers differ from what this process has, and from each other.
LIMITS = {"RLIMIT_NOFILE": ("Max open files", 900, 1100), "RLIMIT_NPROC": ("Max processes", 4321, 5432),
          "RLIMIT_CORE": ("Max core file size", 1048576, 2097152), "RLIMIT_STACK": ("Max stack size", 4194304, 8388608),
          "RLIMIT_CPU": ("Max cpu time", 400, 500), "RLIMIT_FSIZE": ("Max file size", 10485760, 20971520),
          "RLIMIT_MEMLOCK": ("Max locked memory", 65536, 131072), "RLIMIT_NICE": ("Max nice priority", 0, 1),
          "RLIMIT_SIGPENDING": ("Max pending signals", 1000, 2000),
          "RLIMIT_MSGQUEUE": ("Max msgqueue size", 400000, 500000)}


@each("config.md#posix-process", {
    name: (("every rlimit can be read back", "rlim_cur is soft", "rlim_max is hard", "rlimits", "rlimits.type",
            "rlimits.soft", "rlimits.hard"), name) for name in LIMITS})
def limits(t: Trial, name: str) -> None:
    """A limit of the process is what rlimits says, soft and hard"""
    line, soft, hard = LIMITS[name]
    most = resource.getrlimit(getattr(resource, name))[1]
    if most != resource.RLIM_INFINITY and most < hard and not int(status()["CapEff"], 16) >> SYS_RESOURCE & 1:
        raise NotHere(f"{name} is {most} at most, and CAP_SYS_RESOURCE is missing to raise it")
    said = t.inside(f"sed -n 's/^{line}//p' /proc/self/limits",
                    process={"rlimits": [{"type": name, "soft": soft, "hard": hard}]})
    t.equal(said.split()[:2], [str(soft), str(hard)], f"{name}, soft and hard")


@case("config.md#posix-process", "an unknown rlimit is an error")
def limit_that_is_unknown(t: Trial) -> None:
    """An rlimit that no kernel has is an error"""
    t.refused(process={"rlimits": [{"type": "RLIMIT_OF_NOTHING", "soft": 1, "hard": 1}]}, at_start=True)


@case("config.md#posix-process", "a type that stands twice is an error")
def limit_that_stands_twice(t: Trial) -> None:
    """Two rlimits of one type are an error"""
    t.refused(process={"rlimits": [{"type": "RLIMIT_NOFILE", "soft": n, "hard": n} for n in (200, 100)]}, at_start=True)


SETS = {"effective": "CapEff", "bounding": "CapBnd", "inheritable": "CapInh", "permitted": "CapPrm",
        "ambient": "CapAmb"}
KILL, CHOWN, FOWNER, SYS_RESOURCE = 5, 0, 3, 24


def capability_sets(t: Trial, uid: int = 0, **sets: list[str]) -> dict[str, int]:
    said = t.inside("cat /proc/self/status", process={"capabilities": sets, "user": {"uid": uid, "gid": 0}})
    lines = dict(line.split(":\t", 1) for line in said.splitlines() if ":\t" in line)
    return {name: int(lines[field], 16) for name, field in SETS.items()}


@each("config.md#linux-process", {
    name: ((f"capabilities.{name}", "capabilities"), name) for name in SETS})
def capabilities(t: Trial, name: str) -> None:
    """A set of capabilities is what config.json says, and no other one has grown"""
    given: dict[str, list[str]] = {"bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_FOWNER"]}
    if name != "bounding":
        given |= {"permitted": ["CAP_CHOWN", "CAP_KILL"], "effective": ["CAP_KILL"]}
    if name in ("inheritable", "ambient"):
        given |= {"inheritable": ["CAP_KILL"]}
    if name == "ambient":
        given |= {"ambient": ["CAP_KILL"]}
    # As another user than root, execve keeps only what is ambient; the bounding and inheritable sets stay as they are.
    seen = capability_sets(t, 1000 if name in ("ambient", "inheritable") else 0, **given)
    t.equal(seen["bounding"], 1 << CHOWN | 1 << KILL | 1 << FOWNER, "bounding")
    if name in ("ambient", "inheritable"):
        t.equal(seen["inheritable"], 1 << KILL, "inheritable")
        t.equal(seen["ambient"], 1 << KILL if name == "ambient" else 0, "ambient")
        t.equal(seen["effective"], 1 << KILL if name == "ambient" else 0, "effective")
    else:
        # Root gets by execve what the bounding set lets it have.
        t.equal(seen["permitted"], seen["bounding"], "permitted, of root after execve")
        t.equal(seen["inheritable"], 0, "inheritable")


@case("config.md#linux-process", "capabilities that cannot be granted are a warning")
def capability_that_is_unknown(t: Trial) -> None:
    """A capability that cannot be granted is a warning, and the container runs without it"""
    seen = capability_sets(t, bounding=["CAP_KILL", "CAP_OF_NOTHING"])
    t.equal(seen["bounding"], 1 << KILL, "bounding")


@case("config.md#linux-process", "noNewPrivileges")
def no_new_privileges(t: Trial) -> None:
    """no_new_privs is set when noNewPrivileges says so, and only then"""
    script = "sed -n 's/^NoNewPrivs:.//p' /proc/self/status"
    t.equal(t.inside(script, process={"noNewPrivileges": True}), "1", "NoNewPrivs with noNewPrivileges")
    t.equal(t.inside(script, process={"noNewPrivileges": False}), "0", "NoNewPrivs without")


@case("config.md#linux-process", "oom_score_adj is set to the value", "oomScoreAdj")
def oom_score(t: Trial) -> None:
    """oom_score_adj of the process is oomScoreAdj"""
    for value in (100, 901):
        t.equal(t.inside("cat /proc/self/oom_score_adj", process={"oomScoreAdj": value}), str(value), "oom_score_adj")


@case("config.md#linux-process", "oom_score_adj is left alone without it")
def oom_score_without_a_value(t: Trial) -> None:
    """Without oomScoreAdj the process has that of whoever calls create"""
    with open("/proc/self/oom_score_adj", "r+") as file:
        file.write("77")
    t.equal(t.inside("cat /proc/self/oom_score_adj"), "77", "oom_score_adj, 77 outside")


@case("config.md#linux-process", "scheduler", "scheduler.policy", "scheduler.nice")
def scheduler(t: Trial) -> None:
    """The process is scheduled as scheduler says"""
    t.needs_spec("1.1.0")
    nice = min(19, os.nice(0) + 5)          # an ordinary user may not be less nice than before
    said = t.inside("cat /proc/self/stat", process={"scheduler": {"policy": "SCHED_BATCH", "nice": nice}})
    fields = said.rpartition(")")[2].split()
    t.equal((fields[16], fields[38]), (str(nice), "3"), "nice and policy (SCHED_BATCH is 3)")


@case("config.md#posix-platform-user", "user", "uid", "gid", "additionalGids")
def user(t: Trial) -> None:
    """The process has the ids of user, in every one of its four kinds, and the groups"""
    said = t.inside("grep -E '^(Uid|Gid|Groups)' /proc/self/status", process={
        "user": {"uid": 1234, "gid": 2345, "additionalGids": [5, 3456]}})
    seen = dict(line.split(":") for line in said.splitlines())
    t.equal(seen["Uid"].split(), ["1234"] * 4, "user ids")
    t.equal(seen["Gid"].split(), ["2345"] * 4, "group ids")
    t.equal(sorted(seen["Groups"].split()), ["3456", "5"], "groups")


@case("config.md#posix-platform-user", "umask")
def umask(t: Trial) -> None:
    """The umask is that of user"""
    t.equal(int(t.inside("umask", process={"user": {"uid": 0, "gid": 0, "umask": 0o027}}), 8), 0o027, "umask")


@case("config.md#hostname", "hostname")
def hostname(t: Trial) -> None:
    """The host name of the uts namespace is hostname"""
    t.equal(t.inside("hostname", hostname="a-name-of-its-own"), "a-name-of-its-own", "hostname")


@case("config.md#domainname", "domainname")
def domainname(t: Trial) -> None:
    """The domain name of the uts namespace is domainname"""
    t.needs_spec("1.1.0")
    t.equal(t.inside("cat /proc/sys/kernel/domainname", domainname="example.org"), "example.org", "domainname")


@case("config.md#annotations", "annotations are a map", "unknown annotations are ignored", "annotations",
      "annotations of the org.opencontainers namespace are taken as they are")
def annotations_are_handed_on(t: Trial) -> None:
    """Unknown annotations are no error, and the state has them"""
    given = {"com.example.unknown": "x", "org.opencontainers.image.os": "linux", "plain": ""}
    made = t.create(annotations=given)
    t.equal(t.runtime.state(made.id).get("annotations"), given, "annotations of the state")


@each("config.md#annotations", {
    "list": ("annotations are a map", ["a"]), "number": ("values are strings", {"a": 1}),
    "null": ("values are strings", {"a": [None]}),
    "empty key": ("keys are strings and not empty", {"": "x"})})
def annotations_that_are_none(t: Trial, value: Any) -> None:
    """Annotations that are no map of strings with names are an error"""
    t.refused(annotations=value)


@case("config.md#extensibility", "unknown properties are ignored")
def unknown_properties(t: Trial) -> None:
    """Properties that the specification does not have are no error, wherever they stand"""
    said = t.inside("echo ran", ofALaterVersion={"a": [1]}, process={"ofALaterVersion": True},
                    linux={"ofALaterVersion": "x"})
    t.equal(said, "ran", "what the program prints")


@each("config.md#valid-values", {
    "cwd of a wrong type": ("invalid and unsupported values are errors", {"process": {"cwd": 7}}),
    "args of a wrong type": ("invalid and unsupported values are errors", {"process": {"args": "true"}}),
    "uid below zero": ("invalid and unsupported values are errors", {"process": {"user": {"uid": -1, "gid": 0}}}),
    "uid above 32 bits": ("invalid and unsupported values are errors",
                          {"process": {"user": {"uid": 1 << 32, "gid": 0}}}),
    "mounts of a wrong type": ("invalid and unsupported values are errors", {"mounts": "proc"}),
    "root of a wrong type": ("invalid and unsupported values are errors", {"root": "rootfs"}),
    "file system that no kernel has": ("invalid and unsupported values are errors", {"mounts": [
        {"destination": "/mnt", "type": "nosuchfs", "source": "none"}]}),
    "namespace of no kind": ("invalid and unsupported values are errors", {"linux": {"namespaces": [
        {"type": "mount"}, {"type": "nothing"}]}}),
    "propagation of no kind": ("invalid and unsupported values are errors", {"linux": {"rootfsPropagation": "some"}}),
    "oomScoreAdj out of range": ("invalid and unsupported values are errors", {"process": {"oomScoreAdj": 2000}})})
def values_that_are_invalid(t: Trial, changes: dict[str, Any]) -> None:
    """A value that is invalid or not supported is an error"""
    t.refused(at_start=True, **changes)


@case("config.md#process", "process", demand="config.json that is no JSON is an error")
def config_that_is_no_json(t: Trial) -> None:
    """A config.json that is cut off is an error"""
    bundle = t.bundle()
    text = (bundle / "config.json").read_text()
    (bundle / "config.json").write_text(text[:-5])
    t.refused(bundle)


@case("config.md#process", "process")
def signals_are_as_by_default(t: Trial) -> None:
    """No signal is ignored or blocked in the program"""
    made = t.running()
    found = status(made.pid)
    t.equal((int(found["SigIgn"], 16), int(found["SigBlk"], 16)), (0, 0), "ignored and blocked signals")
