"""The bundles that the command lines name, one fault or trait each."""
from __future__ import annotations

import json
from pathlib import Path

from tests import bundles
from tests.bundles import docker_like


def hook(script: str) -> list[bundles.Config]:
    return [{"path": "/bin/sh", "args": ["sh", "-c", script]}]


def process(*args: str, **rest: object) -> bundles.Config:
    return docker_like(process={"args": list(args), **rest})


CONFIGS = {
    "waits": process("sleep", "1000"),
    "true": process("true"),
    "seven": process("sh", "-c", "echo out; exit 7"),
    "killed": process("sh", "-c", "sh -c 'kill -9 $PPID'; sleep 1", user={"uid": 0, "gid": 0}),
    "prints": process("sh", "-c", "echo hello; echo error >&2"),
    "missing": process("/missing"),
    "not_in_path": process("missing"),
    "folder": process("/etc"),
    "not_executable": process("/etc/passwd"),
    "new_cwd": process("pwd", cwd="/a/b"),
    "relative_cwd": process("true", cwd="a"),
    "no_args": process(),
    "terminal": process("true", terminal=True),
    "user": process("id", user={"uid": 1000, "gid": 1000, "additionalGids": [5, 7]}),
    "bad_capability": process("true", capabilities={"bounding": ["CAP_MISSING"]}),
    "bad_rlimit": process("true", rlimits=[{"type": "RLIMIT_MISSING", "soft": 1, "hard": 1}]),
    "rlimit_twice": process("true", rlimits=[{"type": "RLIMIT_CORE", "soft": 1, "hard": 1}] * 2),
    "soft_above_hard": process("true", rlimits=[{"type": "RLIMIT_CORE", "soft": 2, "hard": 1}]),
    "bad_oom_score": process("true", oomScoreAdj=2000),
    "read_only": docker_like(root={"readonly": True}, process={"args": ["touch", "/file"]}),
    "no_root": docker_like(root={"path": "missing"}),
    "bad_mount": docker_like(mounts=[*bundles.MOUNTS, {"destination": "/mnt", "type": "missing", "source": "x"}]),
    "no_source": docker_like(mounts=[*bundles.MOUNTS, {"destination": "/mnt", "type": "bind", "source": "/missing",
                                                       "options": ["bind"]}]),
    "hostname_of_host": docker_like(linux={"namespaces": bundles.namespaces("pid", "mount")}),
    "bad_namespace": docker_like(linux={"namespaces": [*bundles.namespaces("pid", "mount", "uts"),
                                                       {"type": "ipc", "path": "/missing"}]}),
    "twice_the_namespace": docker_like(linux={"namespaces": bundles.namespaces("pid", "pid", "mount", "uts")}),
    "foreign_sysctl": docker_like(linux={"sysctl": {"kernel.panic": "1"}}),
    "own_sysctl": docker_like(linux={"sysctl": {"kernel.msgmax": "8000"}}, process={
        "args": ["cat", "/proc/sys/kernel/msgmax"]}),
    "bad_sysctl": docker_like(linux={"sysctl": {"kernel.msgmax": "x"}}),
    "prestart_fails": docker_like(hooks={"prestart": hook("exit 3")}),
    "create_runtime_fails": docker_like(hooks={"createRuntime": hook("exit 3")}),
    "create_container_fails": docker_like(hooks={"createContainer": hook("exit 3")}),
    "start_container_fails": docker_like(hooks={"startContainer": hook("exit 3")}),
    "poststart_fails": docker_like(hooks={"poststart": hook("exit 3")}, process={"args": ["sleep", "1000"]}),
    "poststop_fails": docker_like(hooks={"poststop": hook("exit 3")}),
    "hook_missing": docker_like(hooks={"prestart": [{"path": "/missing"}]}),
}
#: Files that are no configuration at all.
TEXTS = {"no_json": "{", "no_object": "[]", "empty": ""}


def make(place: Path) -> None:
    """All of them below place, sharing one root file system, and one bundle without config.json."""
    bundles.busybox_root(place / "rootfs")
    shared = {"root": {"path": "../rootfs"}}
    texts = {name: json.dumps(bundles.merge(config, {} if name == "no_root" else shared))
             for name, config in CONFIGS.items()} | TEXTS
    for name in (*texts, "no_config"):
        bundle = place / name
        bundle.mkdir()
        if name in texts:
            (bundle / "config.json").write_text(texts[name])
