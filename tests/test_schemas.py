"""schemas/: sound, complete, explained, and held against the official ones where Debian's package of them is.

Debian has golang-github-opencontainers-specs-dev 1.0.2+ or 1.2, older than the 1.3 that ours are written for.
PYRUNC_SPEC may name the checkout of another version, whose good and bad examples are then tried, too.
"""
from __future__ import annotations

import json
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft4Validator, Draft202012Validator
from jsonschema.protocols import Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

from pyrunc.config.schema import FOLDER, Schemas, without_nulls
from tests.config.sample import EVERYTHING, Path, paths, pattern, replaced, without

SCHEMAS = Schemas()
CONFIG, STATE, FEATURES = (SCHEMAS.validator(f"{name}.json") for name in ("config", "state", "features"))
DEBIAN = pathlib.Path("/usr/share/gocode/src/github.com/opencontainers/runtime-spec")
OFFICIAL = pathlib.Path(os.environ.get("PYRUNC_SPEC", DEBIAN)) / "schema"
installed = pytest.mark.skipif(not OFFICIAL.is_dir(), reason="golang-github-opencontainers-specs-dev is not installed")
PLATFORMS = ("freebsd", "solaris", "vm", "windows", "zos")


# ---- in themselves ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", [path.name for path in FOLDER.glob("*.json")])
def test_they_are_schemas_of_draft_2020_12_for_runtime_spec_1_3(name: str) -> None:
    schema = SCHEMAS.documents[name]
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["x-spec-version"] == "1.3.0"


def definitions() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for file, document in SCHEMAS.documents.items():
        for name, schema in document["$defs"].items():
            yield file, name, schema


@pytest.mark.parametrize(("file", "name", "schema"), list(definitions()), ids=lambda value: str(value)[:20])
def test_every_property_is_described_and_has_a_chapter(file: str, name: str, schema: dict[str, Any]) -> None:
    for key, member in schema.get("properties", {}).items():
        resolved, _ = SCHEMAS.resolve(member, file)
        assert resolved.get("description", "").endswith("."), key
        chapter = resolved.get("x-spec") or schema["x-spec"]
        assert re.fullmatch(r"(config|config-linux|runtime|features|features-linux)\.md(#[a-z0-9-]+)?", chapter), key


def test_the_sample_has_every_property() -> None:
    """What the sample lacks, no test here would try."""
    have = {pattern(path) for path in paths(EVERYTHING)}
    for path in paths(EVERYTHING):
        schema = SCHEMAS.along("config.json", path)[-1]
        if len(SCHEMAS.along("config.json", path)) == len(path) + 1:
            assert {pattern((*path, key)) for key in schema.get("properties", {})} <= have
    CONFIG.validate(EVERYTHING)


# ---- against the official ones ------------------------------------------------------------------------------
def official(name: str) -> Validator:
    registry: Registry[Any] = Registry().with_resources(
        (path.name, Resource.from_contents(json.loads(path.read_text()), default_specification=DRAFT4))
        for path in OFFICIAL.glob("*.json"))
    return Draft4Validator({"$ref": name}, registry=registry)


VALUES: list[Any] = [True, -2, -1, 0, 1, 2000, 100000, 2**31, 2**32 - 1, 2**63, 2**64, 1.5, "", "x", "/", "a\nb",
                     "RLIMIT_X", [], ["x"], [1], {}, {"x": "y"}, {"x": 1}, {"a/b": "x"}, {"major": 8, "minor": 0}]

#: Where ours accept what the official ones refuse, and why.
LAXER = {
    "linux.devices[].fileMode": "official: up to 0777, without set-id and sticky bits; engines may pass the type",
    "linux.resources.pids": "limit is OPTIONAL since 1.2.1",
    "linux.resources.pids.limit": "limit is OPTIONAL since 1.2.1",
    "linux.intelRdt.memBwSchema": "an empty string counts as absent",
    "linux.rootfsPropagation": "an empty string counts as absent",
}
#: Where ours refuse what the official ones accept, and why: by the spec's words, the kernel's limits, or sense.
STRICTER = {
    "ociVersion": "MUST be in SemVer v2.0.0 format",
    "root": "REQUIRED on all platforms but Windows",
    "root.path": "a directory MUST exist at the path; the empty string is none",
    "process.consoleSize.height": "uint: 32 bits are more than a terminal has",
    "process.consoleSize.width": "uint: 32 bits are more than a terminal has",
    "process.cwd": "MUST be an absolute path",
    "process.args": "at least one entry is REQUIRED (non-Windows)",
    "process.user": "uid and gid are REQUIRED",
    "process.user.uid": "REQUIRED; 2^32-1 is no id",
    "process.user.gid": "REQUIRED; 2^32-1 is no id",
    "process.user.umask": "umask(2) has nine bits",
    "process.user.additionalGids[]": "2^32-1 is no id",
    "process.rlimits[].type": "MUST generate an error for values that no kernel interface has",
    "process.oomScoreAdj": "the kernel takes -1000 to 1000",
    "process.ioPriority.priority": "REQUIRED, from 0 to 7",
    "mounts[].destination": "the empty string is no path",
    "mounts[].uidMappings": "MUST be specified along with gidMappings",
    "mounts[].gidMappings": "MUST be specified along with uidMappings",
    "hooks.*[].path": "MUST be absolute",
    "hooks.*[].timeout": "seconds of an int",
    "linux.namespaces[].path": "MUST be an absolute path",
    "*Mappings[].containerID": "2^32-1 is no id",
    "*Mappings[].hostID": "2^32-1 is no id",
    "*Mappings[].size": "the kernel refuses an empty mapping",
    "linux.timeOffsets": "the clocks are monotonic and boottime",
    "linux.timeOffsets.*.nanosecs": "below one second",
    "linux.devices[].path": "full path in the container",
    "linux.devices[].major": "REQUIRED unless type is p; 12 bits",
    "linux.devices[].minor": "REQUIRED unless type is p; 20 bits",
    "linux.devices[].uid": "2^32-1 is no id",
    "linux.devices[].gid": "2^32-1 is no id",
    "linux.resources.devices[].access": "a composition of r, w and m",
    "linux.resources.devices[].type": "a, c or b",
    "linux.resources.devices[].major": "nothing is below -1, which means all",
    "linux.resources.devices[].minor": "nothing is below -1, which means all",
    "linux.resources.memory.*": "-1 for unlimited, nothing below; swappiness from 0 to 100",
    "linux.resources.cpu.cpus": "a comma-separated list, with dashes",
    "linux.resources.cpu.mems": "a comma-separated list, with dashes",
    "linux.resources.cpu.idle": "0 or 1",
    "linux.resources.blockIO*weight": "10 to 1000, 0 for absent",
    "linux.resources.blockIO*leafWeight": "10 to 1000, 0 for absent",
    "linux.resources.blockIO*.major": "12 bits",
    "linux.resources.blockIO*.minor": "20 bits",
    "linux.resources.blockIO.throttle*[]": "rate is REQUIRED",
    "linux.resources.blockIO*.rate": "REQUIRED",
    "linux.resources.blockIO.weightDevice[]": "MUST specify at least one of weight and leafWeight",
    "linux.resources.pids.limit": "-1 for no limit, nothing below",
    "linux.resources.rdma.mlx5_1": "MUST specify at least one of hcaHandles and hcaObjects",
    "linux.resources.unified": "names of files",
    "linux.intelRdt.l3CacheSchema": "SHOULD NOT contain newlines; it would write several lines",
    "linux.intelRdt.schemata[]": "MUST NOT contain newlines",
    "linux.memoryPolicy": "mode is REQUIRED",
    "linux.memoryPolicy.mode": "REQUIRED",
    "linux.memoryPolicy.nodes": "a comma-separated list, with dashes",
    "linux.seccomp.defaultErrnoRet": "the kernel's MAX_ERRNO is 4095",
    "linux.seccomp.syscalls[].errnoRet": "the kernel's MAX_ERRNO is 4095",
    "linux.seccomp.syscalls[].args[].index": "a system call has six arguments",
    "linux.seccomp.listenerPath": "a path of the runtime; listenerMetadata MUST NOT be set without it",
    "linux.maskedPaths*": "MUST be absolute paths",
    "linux.readonlyPaths*": "MUST be absolute paths",
    "linux.personality": "domain is REQUIRED",
    "linux.personality.domain": "REQUIRED",
    "linux.personality.flags*": "valid values are those of personality(2)",
}
#: What 1.0.2 did not have: schemas that are older than one of these ignore it.
NEWER = ("process.scheduler", "process.ioPriority", "process.execCPUAffinity", "linux.timeOffsets", "linux.netDevices",
         "linux.memoryPolicy", "linux.intelRdt.schemata", "linux.intelRdt.enableMonitoring", "domainname",
         "linux.resources.memory.checkBeforeUpdate", "linux.resources.cpu.idle", "linux.resources.cpu.burst",
         "mounts[].uidMappings", "mounts[].gidMappings")


def sections(old: bool) -> Iterator[dict[str, Any]]:
    """The sample in pieces, each a config of its own: validating is quick then, and nothing hides behind another.

    old: without the time namespace, which is new in 1.1.
    """
    head = {"ociVersion": EVERYTHING["ociVersion"], "root": EVERYTHING["root"]}
    for key in EVERYTHING.keys() - set(PLATFORMS) - {"linux"}:
        yield {**head, key: EVERYTHING[key]}
    for key, value in EVERYTHING["linux"].items():
        if key == "resources":
            yield from ({**head, "linux": {key: {inner: value[inner]}}} for inner in value)
        elif key == "namespaces" and old:
            yield {**head, "linux": {key: [entry for entry in value if entry["type"] != "time"]}}
        else:
            yield {**head, "linux": {key: value}}


def mutations(old: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every property of the sample replaced by every value, and left out; of like items only the first."""
    seen: set[str] = set()
    for section in sections(old):
        for path in paths(section):
            name = pattern(path)
            if path and name not in seen:
                seen.add(name)
                yield from ((name, replaced(section, path, value)) for value in VALUES)
                yield name, without(section, path)


def listed(name: str, table: dict[str, str]) -> bool:
    return any(re.fullmatch(re.escape(key).replace(r"\*", ".*"), name) for key in table)


@installed
def test_they_agree_with_the_official_schemas_but_for_known_differences() -> None:
    theirs = official("config-schema.json")
    old = '"time"' not in (OFFICIAL / "defs-linux.json").read_text()
    unexpected, met, count = [], set(), 0
    known = {name for name, config in mutations(old) if name in NEWER and not theirs.is_valid(config)}
    newer = tuple(name for name in NEWER if name not in known)
    for name, config in mutations(old):
        count += 1
        ours, other = CONFIG.is_valid(config), theirs.is_valid(config)
        if ours != other:
            table = STRICTER if other else LAXER
            if listed(name, table):
                met.add(name)
            elif not (other and name.startswith(newer)):
                unexpected.append((name, "stricter" if other else "laxer", config))
    assert not unexpected[:5]
    assert count > 3000
    for table in (STRICTER, LAXER):       # a difference that went away must leave the list
        assert [key for key in table if not any(listed(name, {key: ""}) for name in met)] == []


EXAMPLES = OFFICIAL / "test"


@pytest.mark.skipif(not EXAMPLES.is_dir(), reason="only a checkout (PYRUNC_SPEC) has examples, Debian has none")
@pytest.mark.parametrize("kind", ["config", "state", "features"])
def test_they_judge_the_official_examples_alike(kind: str) -> None:
    for verdict in ("good", "bad"):
        for path in (EXAMPLES / kind / verdict).glob("*.json"):
            if path.name.startswith(("zos", "freebsd")):
                continue
            try:
                value = json.loads(path.read_text())
            except ValueError:
                assert verdict == "bad"
                continue
            assert SCHEMAS.validator(f"{kind}.json").is_valid(value) == (verdict == "good"), path.name


# ---- state and features -------------------------------------------------------------------------------------
GOOD_STATE: dict[str, Any] = {"ociVersion": "1.3.0", "id": "box", "status": "running", "pid": 4422, "bundle": "/b",
                              "annotations": {"a.b": ""}}


@pytest.mark.spec("runtime.md#state", "status")
def test_state_of_every_status() -> None:
    STATE.validate(GOOD_STATE)
    STATE.validate({**GOOD_STATE, "rootfs": "/b/rootfs", "created": "2026-01-02T03:04:05Z", "owner": ""})
    for status in ("creating", "stopped", "paused"):
        STATE.validate({**without(GOOD_STATE, ("pid",)), "status": status})
    STATE.validate({**GOOD_STATE, "status": "stopped", "pid": 0})


# runtime.md#state: "pid (int, REQUIRED when status is created or running on Linux ...)"
@pytest.mark.spec("runtime.md#state", "pid")
@pytest.mark.parametrize("bad", [
    *(without(GOOD_STATE, (key,)) for key in ("ociVersion", "id", "status", "pid", "bundle")),
    without({**GOOD_STATE, "status": "created"}, ("pid",)),
    *(replaced(GOOD_STATE, (key,), value) for key, value in (
        ("ociVersion", "1.3"), ("id", ""), ("id", 5), ("status", 1), ("status", ""), ("pid", "4422"), ("pid", 0),
        ("pid", -1), ("bundle", "relative"), ("annotations", {"a": 1}), ("annotations", []),
        ("annotations", {"": ""}))),
], ids=lambda bad: json.dumps(bad)[:60])
def test_bad_states(bad: dict[str, Any]) -> None:
    assert not STATE.is_valid(bad)


@installed
def test_state_against_the_official_schema() -> None:
    theirs = official("state-schema.json")
    laxer, stricter = {"status": "additional values MAY be defined by the runtime"}, {
        "ociVersion": "a version", "id": "not empty", "pid": "REQUIRED when created or running; a process has a number",
        "bundle": "the absolute path", "annotations": "keys not empty"}
    for path in paths(GOOD_STATE):
        for state in ([replaced(GOOD_STATE, path, value) for value in VALUES] + [without(GOOD_STATE, path)]
                      if path else []):
            ours, other = STATE.is_valid(state), theirs.is_valid(state)
            assert ours == other or str(path[0]) in (stricter if other else laxer), state


GOOD_FEATURES: dict[str, Any] = {
    "ociVersionMin": "1.0.0", "ociVersionMax": "1.3.0", "hooks": ["prestart"], "mountOptions": [],
    "linux": {"namespaces": None, "capabilities": ["CAP_KILL"],
              "cgroup": {"v1": False, "v2": True, "systemd": True, "systemdUser": None, "rdma": True},
              "seccomp": {"enabled": True, "actions": ["SCMP_ACT_ALLOW"], "operators": [], "archs": [],
                          "knownFlags": [], "supportedFlags": []},
              "apparmor": {"enabled": True}, "selinux": None, "memoryPolicy": {"modes": [], "flags": []},
              "intelRdt": {"enabled": True, "schemata": True, "monitoring": True},
              "mountExtensions": {"idmap": {"enabled": True}}, "netDevices": {"enabled": True}},
    "annotations": {"a.b": "c"}, "potentiallyUnsafeConfigAnnotations": ["a.b."],
}


# features.md: "All properties in the Features structure except ociVersionMin and ociVersionMax MAY either be absent
# or have the null value."
@pytest.mark.spec("features.md#features-structure", "null is not an empty value")
def test_features_may_be_null_or_absent() -> None:
    FEATURES.validate(GOOD_FEATURES)
    for path in paths(GOOD_FEATURES):
        if path and "annotations" not in path[:-1] and not isinstance(path[-1], int):
            optional = path[0] not in ("ociVersionMin", "ociVersionMax")
            assert FEATURES.is_valid(replaced(GOOD_FEATURES, path, None)) == optional
            assert FEATURES.is_valid(without(GOOD_FEATURES, path)) == optional
            assert not FEATURES.is_valid(replaced(GOOD_FEATURES, path, 1))


def test_nulls_count_as_absent() -> None:
    assert without_nulls({"a": None, "b": [{"c": None}, None]}) == {"b": [{}, None]}


def test_chapters_along_a_path() -> None:
    cases: list[tuple[Path, str]] = [
        ((), "config.md"), (("process", "user", "uid"), "config.md#posix-platform-user"),
        (("process", "rlimits", 0, "type"), "config.md#posix-process"),
        (("linux", "resources", "memory", "limit"), "config-linux.md#memory"),
        (("linux", "uidMappings", 0, "size"), "config-linux.md#user-namespace-mappings"),
        (("linux", "unknown"), "config-linux.md"), (("unknown", "below"), "config.md"),
        (("annotations", "a"), "config.md#annotations"),
    ]
    for path, chapter in cases:
        assert SCHEMAS.chapter("config.json", path) == chapter
