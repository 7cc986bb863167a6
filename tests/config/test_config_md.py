"""config.md: what it demands of config.json itself. The MUSTs about the container are held where they take effect."""
from __future__ import annotations

from typing import Any

import pytest

from tests.bundles import docker_like, minimal, namespaces
from tests.config.test_check import first

BIND = {"destination": "/x", "source": "/y", "options": ["bind"]}
MAP = [{"containerID": 0, "hostID": 1000, "size": 10}]


def refused(config: dict[str, Any], where: str, what: str) -> None:
    fault = first(config)
    assert fault is not None and fault.where == where and what in fault.what, fault


# config.md#specification-version: "ociVersion (string, REQUIRED) MUST be in SemVer v2.0.0 format and specifies the
# version of the Open Container Initiative Runtime Specification with which the bundle complies."
@pytest.mark.spec("config.md#specification-version", "ociVersion is a semantic version")
@pytest.mark.spec("features.md#specification-version", "a config of ociVersionMin is accepted",
                  "a config of ociVersionMax is accepted")
@pytest.mark.spec("config.md#specification-version", "ociVersion")
@pytest.mark.parametrize("version", ["1.0.0", "1.3.0", "1.0.2-dev", "1.0.0-rc5", "1.99.0", "1.1.0+build.007",
                                     "1.1.0-alpha.1.x-y+z", "1.0.0-0A", "1.0.0--"])
def test_semantic_versions_of_the_major_that_is_implemented(version: str) -> None:
    assert first(minimal(ociVersion=version)) is None


@pytest.mark.spec("config.md#specification-version", "ociVersion is a semantic version")
@pytest.mark.spec("config.md#specification-version", "ociVersion")
@pytest.mark.parametrize("version", ["", "1", "1.0", "1.0.0.0", "v1.0.0", "01.0.0", "1.00.0", "1.0.0-", "1.0.0-01",
     "1.0.0+",
                                     "1.0.0-a..b", "1.0.0+a_b", "1.0.0 ", "1.0.x", "\u0661.0.0", "invalid"])
def test_other_versions_are_refused(version: str) -> None:
    refused(minimal(ociVersion=version), "ociVersion", "is not a Semantic Version")


# "... retains forward and backward compatibility within major versions."
@pytest.mark.spec("config.md#specification-version", "ociVersion")
@pytest.mark.parametrize("version", ["0.1.0", "2.0.0", "11.0.0"])
def test_another_major_version_is_refused(version: str) -> None:
    refused(minimal(ociVersion=version), "ociVersion", "is not supported")


# config.md#root: "On all other platforms, this field is REQUIRED." "path (string, REQUIRED)"
@pytest.mark.spec("config.md#root", "root")
def test_a_root_is_required() -> None:
    refused(minimal(root=None), "root", "missing")
    refused(minimal(root={"path": None, "readonly": True}), "root.path", "missing")
    assert first(minimal(root={"path": "/absolute"})) is None


# config.md#mounts: "destination (string, REQUIRED)"; "Linux: ... it MAY be a relative path, in which case it MUST be
# interpreted as relative to "/"."
@pytest.mark.spec("config.md#mounts", "destination")
def test_a_destination_is_required_and_may_be_relative() -> None:
    refused(minimal(mounts=[{"type": "proc"}]), "mounts[0].destination", "missing")
    assert first(minimal(mounts=[{"destination": "proc", "type": "proc"}])) is None


# config.md#posix-platform-mounts: "If specified, it MUST be specified along with gidMappings." (and uidMappings)
@pytest.mark.spec("config.md#posix-platform-mounts", "mappings of a mount come in pairs")
@pytest.mark.spec("config.md#posix-platform-mounts", "uidMappings")
@pytest.mark.spec("config.md#posix-platform-mounts", "gidMappings")
def test_mappings_of_a_mount_come_in_pairs() -> None:
    assert first(minimal(mounts=[{**BIND, "uidMappings": MAP, "gidMappings": MAP}])) is None
    refused(minimal(mounts=[{**BIND, "uidMappings": MAP}]), "mounts[0].gidMappings", "both uid and gid mappings")
    refused(minimal(mounts=[{**BIND, "gidMappings": MAP}]), "mounts[0].uidMappings", "both uid and gid mappings")
    refused(minimal(mounts=[{**BIND, "gidMappings": MAP, "uidMappings": []}]), "mounts[0].uidMappings", "both")


# config.md#linux-mount-options: "If there are no uidMappings and gidMappings specified and the container isn't using
# user namespaces, an error MUST be returned." (idmap and ridmap)
@pytest.mark.spec("config.md#linux-mount-options", "without mappings and user namespace idmap is an error")
@pytest.mark.spec("config.md#linux-mount-options", "idmap")
@pytest.mark.spec("config.md#linux-mount-options", "ridmap")
@pytest.mark.parametrize("option", ["idmap", "ridmap"])
def test_an_idmapped_mount_has_mappings_from_somewhere(option: str) -> None:
    mount = {**BIND, "options": ["rbind", option]}
    refused(minimal(mounts=[mount]), "mounts[0].options[1]", "both uid and gid mappings")
    assert first(minimal(mounts=[{**mount, "uidMappings": MAP, "gidMappings": MAP}])) is None
    assert first(minimal(mounts=[mount], linux={"namespaces": namespaces("user", "mount"), "uidMappings": MAP,
                                                "gidMappings": MAP})) is None


# config.md#process: "This property is REQUIRED when start is called." runtime.md#create: "All of the properties
# configured in config.json except for process MUST be applied."
@pytest.mark.spec("config.md#process", "start needs a process")
@pytest.mark.spec("config.md#process", "process")
def test_a_process_is_required_when_start_is_called() -> None:
    assert first(minimal(process=None)) is None
    fault = first(minimal(process=None), start=True)
    assert fault is not None and fault.where == "process" and fault.what == "process property must not be empty"


# config.md#process: "Runtimes MUST ignore consoleSize if terminal is false or unset."
@pytest.mark.spec("config.md#process", "consoleSize without a terminal is ignored")
@pytest.mark.spec("config.md#process", "consoleSize")
def test_a_console_size_without_a_terminal_is_ignored() -> None:
    size = {"height": 100000, "width": 1}
    assert first(minimal(process={"consoleSize": size})) is None
    assert first(minimal(process={"consoleSize": size, "terminal": False})) is None
    refused(minimal(process={"consoleSize": size, "terminal": True}), "process.consoleSize.height", "more than 65535")
    assert first(minimal(process={"consoleSize": {"height": 1}, "terminal": True})) is None


# config.md#process: "cwd (string, REQUIRED) ... This value MUST be an absolute path."
@pytest.mark.spec("config.md#process", "cwd is absolute")
@pytest.mark.spec("config.md#process", "cwd")
@pytest.mark.parametrize("cwd", [None, "", "tmp", "./tmp", "../tmp"])
def test_the_working_directory_is_absolute(cwd: str | None) -> None:
    refused(minimal(process={"cwd": cwd}), "process.cwd", "Cwd must be an absolute path")


# config.md#process: "at least one entry is REQUIRED (non-Windows)"
@pytest.mark.spec("config.md#process", "args has an entry")
@pytest.mark.spec("config.md#process", "args")
@pytest.mark.parametrize("args", [None, []])
def test_there_is_a_program_to_run(args: list[str] | None) -> None:
    refused(minimal(process={"args": args}), "process.args", "args must not be empty")


# config.md#posix-process: "The runtime MUST generate an error for any values which cannot be mapped to a relevant
# kernel interface."
@pytest.mark.spec("config.md#posix-process", "rlimits.type", "an unknown rlimit is an error")
@pytest.mark.spec("config.md#posix-process", "rlimits")
@pytest.mark.parametrize("kind", ["RLIMIT_TEST", "rlimit_nofile", "NOFILE", ""])
def test_an_unknown_resource_limit_is_refused(kind: str) -> None:
    refused(minimal(process={"rlimits": [{"type": kind, "soft": 1, "hard": 1}]}), "process.rlimits[0].type",
            "wrong rlimit value")


# config.md#posix-process: "If rlimits contains duplicated entries with same type, the runtime MUST generate an error."
@pytest.mark.spec("config.md#posix-process", "a type that stands twice is an error")
@pytest.mark.spec("config.md#posix-process", "rlimits")
def test_a_resource_limit_stands_once() -> None:
    limit = {"type": "RLIMIT_NOFILE", "soft": 1, "hard": 1}
    refused(minimal(process={"rlimits": [limit, {**limit, "type": "RLIMIT_CPU"}, limit]}), "process.rlimits[2].type",
            "RLIMIT_NOFILE is listed twice")


# config.md#linux-process: "Any value which cannot be mapped to a relevant kernel interface, or cannot be granted
# otherwise MUST be logged as a warning by the runtime. Runtimes SHOULD NOT fail ..."
@pytest.mark.spec("config.md#linux-process", "capabilities")
def test_an_unknown_capability_is_no_error() -> None:
    assert first(docker_like(process={"capabilities": {"bounding": ["CAP_TEST", "CAP_KILL"]}})) is None


# config.md#linux-process: "The value should be an integer ranging from 0 (highest) to 7 (lowest)."
@pytest.mark.spec("config.md#linux-process", "ioPriority")
@pytest.mark.parametrize("priority", [-1, 8])
def test_io_priorities(priority: int) -> None:
    refused(minimal(process={"ioPriority": {"class": "IOPRIO_CLASS_RT", "priority": priority}}),
            "process.ioPriority.priority", "is not in the range 0 to 7")


@pytest.mark.spec("config.md#linux-process", "scheduler")
@pytest.mark.parametrize("scheduler", [
    {"policy": "SCHED_OTHER", "nice": -20}, {"policy": "SCHED_BATCH", "nice": 19}, {"policy": "SCHED_IDLE"},
    {"policy": "SCHED_FIFO", "priority": 99}, {"policy": "SCHED_RR", "priority": 1,
     "flags": ["SCHED_FLAG_RESET_ON_FORK"]},
    {"policy": "SCHED_DEADLINE", "runtime": 1, "deadline": 2, "period": 3},
    {"policy": "SCHED_DEADLINE", "runtime": 2, "deadline": 2}])
def test_schedulers_that_the_kernel_takes(scheduler: dict[str, Any]) -> None:
    assert first(minimal(process={"scheduler": scheduler})) is None


# config.md#posix-platform-hooks: "This specification extends the IEEE standard in that path MUST be absolute." "If
# set, timeout MUST be greater than zero."
@pytest.mark.spec("config.md#posix-platform-hooks", "the path of a hook is absolute", "a timeout is greater than zero")
@pytest.mark.spec("config.md#posix-platform-hooks", "path")
@pytest.mark.spec("config.md#posix-platform-hooks", "timeout")
@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer", "startContainer", "poststart",
                                  "poststop"])
def test_hooks_of_every_kind(kind: str) -> None:
    assert first(minimal(hooks={kind: [{"path": "/bin/x", "timeout": 1}]})) is None
    refused(minimal(hooks={kind: [{"path": "/x"}, {"path": "bin/x"}]}), f"hooks.{kind}[1].path", "not an absolute path")
    for timeout in (0, -1):
        refused(minimal(hooks={kind: [{"path": "/x", "timeout": timeout}]}), f"hooks.{kind}[0].timeout",
                "not in the range")


# config.md#annotations: "Annotations MUST be a key-value map." "Keys MUST NOT be an empty string." "Values MUST be
# strings. Values MAY be an empty string."
@pytest.mark.spec("config.md#annotations", "annotations are a map", "keys are strings and not empty",
                  "values are strings")
@pytest.mark.spec("config.md#annotations", "annotations")
def test_annotations() -> None:
    assert first(minimal(annotations={"a": "", "org.opencontainers.image.os": "linux", "unknown": "x"})) is None
    assert first(minimal(annotations={})) is None
    refused(minimal(annotations=["a"]), "annotations", "must be an object")
    refused(minimal(annotations={"": "a"}), "annotations", "is empty")
    refused(minimal(annotations={"a.b": 1}), 'annotations["a.b"]', "must be a string")


# config.md#extensibility: "Runtimes MAY log unknown properties but MUST otherwise ignore them. That includes not
# generating errors if they encounter an unknown property."
@pytest.mark.spec("config.md#extensibility", "unknown properties are ignored")
def test_unknown_properties_are_ignored_everywhere() -> None:
    odd: Any = {"new": [1.5, None, {"deep": True}]}
    config = docker_like(**odd, process=odd, root=odd, linux={**odd, "resources": odd}, hooks=odd)
    config["mounts"] = [{**mount, **odd} for mount in config["mounts"]]
    config["linux"]["namespaces"] = [{**entry, **odd} for entry in config["linux"]["namespaces"]]
    assert first(config) is None


# Go, and so runc, matches names without regard to case: ignoring "NoNewPrivileges" would weaken a container
@pytest.mark.spec("config.md#extensibility", "unknown properties are ignored")
def test_a_name_in_another_case_is_not_ignored() -> None:
    refused(minimal(process={"NONEWPRIVILEGES": True}), "process.NONEWPRIVILEGES", 'differs only in case')
    refused(minimal(linux={"\u017feccomp": {}}), 'linux["\\u017feccomp"]', 'from "seccomp"')
    assert first(minimal(annotations={"A": "1", "a": "2"}, linux={"sysctl": {}})) is None


# config.md#valid-values: "Runtimes MUST generate an error when invalid or unsupported values are encountered."
@pytest.mark.spec("config.md#valid-values", "invalid and unsupported values are errors")
@pytest.mark.parametrize(("change", "where"), [
    ({"process": {"scheduler": {"policy": "SCHED_NEW"}}}, "process.scheduler.policy"),
    ({"process": {"ioPriority": {"class": "IOPRIO_CLASS_NEW", "priority": 0}}}, "process.ioPriority.class"),
    ({"linux": {"rootfsPropagation": "new"}}, "linux.rootfsPropagation"),
    ({"linux": {"personality": {"domain": "NEW"}}}, "linux.personality.domain"),
    ({"linux": {"memoryPolicy": {"mode": "MPOL_NEW"}}}, "linux.memoryPolicy.mode"),
    ({"linux": {"devices": [{"type": "n", "path": "/dev/n"}]}}, "linux.devices[0].type"),
    ({"linux": {"resources": {"devices": [{"allow": True, "type": "n", "access": "r"}]}}},
     "linux.resources.devices[0].type")])
def test_values_that_nobody_knows_are_refused(change: dict[str, Any], where: str) -> None:
    refused(minimal(**change), where, "unknown value")
