"""docs/engines.md: the configurations in it can be read, and say what an engine needs to hear."""
from __future__ import annotations

import json
import re
import tomllib
from typing import Any

from tests.guest.machine import CHECKOUT

PROGRAM = "/usr/local/bin/pyrunc"


def snippet(first: str) -> str:
    """The indented block that has this text in its first line."""
    page = (CHECKOUT / "docs/engines.md").read_text()
    for block in re.findall(r"(?:^    .*\n|^\n(?=    ))+", page, re.M):
        lines: list[str] = [line[4:] for line in block.strip("\n").splitlines()]
        if first in lines[0]:
            return "\n".join(lines)
    raise AssertionError(f"no block begins with {first}")


def test_containerd() -> None:
    config: dict[str, Any] = tomllib.loads(snippet("/etc/containerd/config.toml"))
    assert config["version"] == 2
    runtime = config["plugins"]["io.containerd.grpc.v1.cri"]["containerd"]["runtimes"]["pyrunc"]
    assert runtime == {"runtime_type": "io.containerd.runc.v2",
                       "options": {"BinaryName": PROGRAM, "SystemdCgroup": True}}


def test_docker() -> None:
    _, _, text = snippet("/etc/docker/daemon.json").partition("\n")
    assert json.loads(text)["runtimes"]["pyrunc"] == {"path": PROGRAM}


def test_podman() -> None:
    engine = tomllib.loads(snippet("/etc/containers/containers.conf"))["engine"]
    assert engine["runtime"] == "pyrunc" and engine["runtimes"]["pyrunc"] == [PROGRAM]
    assert "pyrunc" in engine["runtime_supports_json"]


def test_crio() -> None:
    runtime = tomllib.loads(snippet("/etc/crio/"))["crio"]["runtime"]["runtimes"]["pyrunc"]
    assert runtime == {"runtime_path": PROGRAM, "runtime_type": "oci", "runtime_root": "/run/pyrunc",
                       "monitor_path": "/usr/bin/conmon"}


def test_kubernetes() -> None:
    """Both manifests as paths and values; a parser of YAML for these few lines is not worth a dependency."""
    manifests = []
    for text in snippet("pyrunc.yaml").split("---\n"):
        paths: dict[str, str] = {}
        above: list[str] = []
        for line in text.splitlines():
            if match := re.fullmatch(r"( *)(?:- )?(\w+): *(.*)", line):
                depth = len(match[1]) // 2
                above[depth:] = [match[2]]
                paths[".".join(above)] = match[3]
            else:
                assert line.startswith("#"), line
        manifests.append(paths)
    runtime_class, pod = manifests
    assert runtime_class == {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": "",
                             "metadata.name": "pyrunc", "handler": "pyrunc"}
    assert (pod["apiVersion"], pod["kind"]) == ("v1", "Pod")
    assert pod["spec.runtimeClassName"] == runtime_class["metadata.name"]
