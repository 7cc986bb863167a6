"""Modules that a plan imports only when it needs them: what is not imported must have had nothing to plan."""
from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrunc import plan
from pyrunc.engine.lazy import Seldom, given
from pyrunc.host import Host
from pyrunc.options import Options
from pyrunc.request import Request
from pyrunc.state.container import Container
from tests.bundles import docker_like
from tests.named_bundles import BUNDLES, hooks
from tests.seccomp_profile import small

SELDOM = {name: value for name, value in vars(plan).items() if isinstance(value, Seldom)}
HOST = Host(apparmor=True, selinux=True, resctrl="/sys/fs/resctrl")
PLAIN, SOCKET = Options(id="ID", bundle="/bundle"), Options(id="ID", bundle="/bundle", pidfd_socket="/socket")
#: Something to do for each of them.
RICH = docker_like(hooks=hooks(), annotations={"run.oci.hooks.stdout": "/file"},
                   process={"apparmorProfile": "p", "noNewPrivileges": True}, linux={
    "intelRdt": {"closID": "c"}, "memoryPolicy": {"mode": "MPOL_LOCAL"}, "personality": {"domain": "LINUX32"},
    "seccomp": small(), "sysctl": {"net.core.somaxconn": "9"}})
#: The other place of the filter: without noNewPrivileges.
ALLOWED: Any = docker_like(linux={"seccomp": small()})
RICH_STATE = {"resctrl": {"root": "/sys/fs/resctrl", "group": "/sys/fs/resctrl/c", "own": True, "monitor": ""},
              "mark": "c:n", "hooks": hooks(), "ociVersion": "1.3.0", "bundle": "/bundle", "annotations": {}}
CONTAINER = Container("/root", "c", RICH_STATE, True)
PLAIN_STATE: dict[str, Any] = {"hooks": {}}


def planners() -> set[tuple[str, str]]:
    """(module, planner function) wherever plan.py names one."""
    return {(node.value.id, node.attr) for node in ast.walk(ast.parse(Path(str(plan.__file__)).read_text()))
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in SELDOM}


def every_argument(planner: str) -> Iterator[tuple[Any, ...]]:
    if planner in ("enter", "delete"):                  # of exec and delete: state.json
        yield from ((PLAIN_STATE,), (RICH_STATE,))
    elif planner == "update":
        yield from ((PLAIN_STATE, {}), (RICH_STATE, {"l3CacheSchema": "L3:0=1"}))
    elif planner in ("poststart", "poststop"):
        yield from ((PLAIN_STATE, CONTAINER), (RICH_STATE, CONTAINER))
    else:
        configs: list[Any] = [RICH, ALLOWED, *BUNDLES.values()]
        yield from ((Request(config, options, HOST),) for config in configs for options in (PLAIN, SOCKET))


@pytest.mark.parametrize(("module", "planner"), sorted(planners()))
def test_what_is_not_imported_has_nothing_to_plan(module: str, planner: str) -> None:
    seldom, planned = SELDOM[module], 0
    for arguments in every_argument(planner):
        steps = [type(step) for step in getattr(seldom.load(), planner)(*arguments)]
        assert [type(step) for step in getattr(seldom, planner)(*arguments)] == steps
        planned += len(steps)
    assert planned


def test_properties() -> None:
    assert given({"a": {"b": {}}}, "a.b") and given({"a": {"b": [1]}}, "a")
    nothing: list[Any] = [{}, {"a": None}, {"a": {"b": None}}, {"a": {"b": ""}}, {"a": []}]
    for document in nothing:
        assert not given(document, "a.b") and not given(Request(document, SOCKET, HOST), "a.b")
    assert given(Request({"a": {"b": 1}}, PLAIN, HOST), "a.b")                 # type: ignore[typeddict-unknown-key, typeddict-item]
    assert given(Request(ALLOWED, SOCKET, HOST), "pidfd_socket")
    assert not given(Request(ALLOWED, PLAIN, HOST), "pidfd_socket")


@pytest.mark.parametrize("asked", [None, PLAIN, HOST, CONTAINER, ()])
def test_what_is_neither_a_request_nor_a_state_is_an_error(asked: Any) -> None:
    """And not an answer, by which a plan would be without its seccomp filter."""
    with pytest.raises(AttributeError):
        SELDOM["seccomp"].compile(asked)


def test_an_ordinary_plan_imports_none() -> None:
    script = ("import sys; from pyrunc import plan; from pyrunc.host import Host; from pyrunc.options import Options; "
              "from tests.bundles import docker_like; plan.create(docker_like(), Options(id='c'), Host()); "
              "print(*(name for name in sys.argv[1:] if f'pyrunc.steps.{name}' in sys.modules))")
    done = subprocess.run([sys.executable, "-c", script, *SELDOM], capture_output=True, text=True, check=True,
                          cwd=Path(__file__).parents[2])
    assert done.stdout == "\n"
