"""The plans of all commands but create: as `explain` prints them (tests/golden/commands), and run on the Recorder."""
from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from pyrunc import plan
from pyrunc.cli.explain import as_text
from pyrunc.criu.options import Choices
from pyrunc.engine.facts import Facts
from pyrunc.engine.run import Engine, execute
from pyrunc.engine.step import Plan
from pyrunc.host import Host
from pyrunc.kernel.page import MEMBERS, PHASE_EXEC
from pyrunc.kernel.recorder import Recorder
from pyrunc.options import Options
from pyrunc.state.container import Container
from tests.bundles import docker_like
from tests.named_bundles import BUNDLES

GOLDEN = Path(__file__).parent / "golden/commands"
STEPS = Path(__file__).parent.parent / "pyrunc/steps"
ROOT, CGROUP, MARK = "/run/pyrunc", "/sys/fs/cgroup/ID", "ID:NONCE"
HOOK = {"path": "/bin/true"}


def container(**more: Any) -> Container:
    state = {"pid": 4242, "start_time": 77, "boot_id": "", "ociVersion": "1.3.0", "bundle": "/bundle",
             "rootfs": "/bundle/rootfs", "annotations": {}, "cgroup": CGROUP, "mark": MARK, "pid_namespace": True,
             "process": True, "hooks": {}, "streams": ["/dev/null"] * 3, **more}
    return Container(ROOT, "ID", state, True)


RDT = {"resctrl": {"root": "/sys/fs/resctrl", "group": "/sys/fs/resctrl/ID", "own": True, "monitor": ""}}
SCOPE = {"unit": "pyrunc-ID.scope", "user_manager": False}
LIMITS: Any = {"memory": {"limit": 64 << 20}, "cpu": {"quota": 9000, "burst": 5000}, "pids": {"limit": 7}}


def execed(**process: Any) -> Plan:
    config: Any = docker_like(process={"args": ["ps"], **process})
    options = Options(id="ID", bundle="/bundle", root=ROOT, joins=True, init_pid=4242, nonce="NONCE",
                      console_socket="/run/console.sock" if process.get("terminal") else "")
    return plan.exec(config, options, Host(), container().state)


def checkpointed(**choices: Any) -> Plan:
    with patch("pyrunc.steps.checkpoint.find", lambda: "/usr/sbin/criu"):
        config: Any = docker_like()
        return plan.checkpoint(config, Options(id="ID", bundle="/bundle", root=ROOT), container().state,
                               Choices(image_path="/images", **choices))


def restored(**options: Any) -> Plan:
    with patch("pyrunc.steps.restore.find", lambda: "/usr/sbin/criu"):
        config: Any = docker_like(hooks={"createRuntime": [HOOK]}, process={"terminal": bool(options)})
        return plan.restore(config, Options(id="ID", bundle="/bundle", root=ROOT, nonce="NONCE", **options), Host(),
                            Choices(image_path="/images"))


PLANS: dict[str, Callable[[], Plan]] = {
    "checkpoint": checkpointed,
    "checkpoint_pre_dump": lambda: checkpointed(pre_dump=True, work_path="/work"),
    "restore": restored,
    "restore_terminal": lambda: restored(console_socket="/run/console.sock", pid_file="/run/pid"),
    "start": lambda: plan.start(container()),
    "start_hooks": lambda: plan.start(container(hooks={"poststart": [HOOK, HOOK]},
                                                annotations={"run.oci.hooks.stdout": "out"})),
    "kill": lambda: plan.kill(container(), 15, False),
    "kill_all": lambda: plan.kill(container(), 15, True),
    "kill_shared": lambda: plan.kill(container(pid_namespace=False), 9, False),
    "pause": lambda: plan.pause(container()),
    "resume": lambda: plan.resume(container()),
    "update": lambda: plan.update(LIMITS, {"memory": {"checkBeforeUpdate": True}}, Host(), container(), {}),
    "update_scope": lambda: plan.update(LIMITS, {}, Host(), container(**SCOPE, **RDT),
                                        {"l3CacheSchema": "L3:0=1"}),
    "delete": lambda: plan.delete(container()),
    "delete_no_cgroup": lambda: plan.delete(container(cgroup="")),
    "delete_all": lambda: plan.delete(container(**SCOPE, **RDT, hooks={"poststop": [HOOK, HOOK]},
                                                mount_namespace=False)),
    "exec": lambda: execed(),
    "exec_terminal": lambda: execed(terminal=True, noNewPrivileges=True),
}


@pytest.mark.parametrize("which", PLANS)
def test_the_plan_is_the_golden_one(which: str, request: pytest.FixtureRequest) -> None:
    path, text = GOLDEN / f"{which}.txt", as_text(PLANS[which]())
    if request.config.getoption("update"):
        path.write_text(text)
    assert path.exists(), f"no {path.name}: run with --update and read what it writes"
    assert text == path.read_text()


def test_every_golden_file_has_a_plan() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(PLANS)


class Marked(Recorder):
    """Its cgroups are the container's."""

    def getxattr(self, fd: int, name: str) -> bytes:
        super().getxattr(fd, name)
        return MARK.encode()


def journal(phase: int) -> str:
    return "".join(chr(phase if name == "phase" else 0) + "\0\0\0" for name in MEMBERS)


FILES = {f"{ROOT}/ID/journal": journal(PHASE_EXEC), "cgroup.procs": "7\n8\n", "./cgroup.procs": "7\n8\n",
         "cgroup.events": "populated 0\nfrozen 1\n", "/sys/fs/resctrl/ID/schemata": "L3:0=f\n"}
#: What each does in the end, in the kernel's words.
ACTS: dict[str, list[tuple[str, Any]]] = {
    "start": [("write", b"0"), ("unlink", f"{ROOT}/ID/exec.fifo")],
    "start_hooks": [("write", b"0"), ("unlink", f"{ROOT}/ID/exec.fifo"), ("close", 9), ("run_program", "/bin/true"),
                    ("run_program", "/bin/true")],
    "kill": [("pidfd_send_signal", 15)],
    "kill_all": [("pidfd_send_signal", 15), ("pidfd_send_signal", 15)],
    "kill_shared": [("write_file", "cgroup.kill")],
    "pause": [("open", "cgroup.freeze"), ("write", b"1")],
    "resume": [("write_file", "cgroup.freeze")],
    "delete": [("write_file", "cgroup.kill"), ("pidfd_send_signal", 9), ("rmdir", CGROUP), ("unlink", "intent.json"),
               ("unlink", "lock"), ("rmdir", f"{ROOT}/ID")],
    "delete_no_cgroup": [("pidfd_send_signal", 9), ("unlink", "intent.json"), ("unlink", "lock"),
                         ("rmdir", f"{ROOT}/ID")],
}


@pytest.mark.parametrize("which", ACTS)
def test_on_the_recorder(which: str) -> None:
    """Nothing acts but the kernel object: here on nothing, without root or a container."""
    kernel, facts = Marked(files=FILES, modes={CGROUP: 0o041755}), Facts()
    facts.lock_fd = 9
    execute(PLANS[which](), kernel, (), facts)
    done = [(call[0], call[1] if call[0] not in ("write", "pidfd_send_signal") else call[2]) for call in kernel.calls]
    acts = iter(done)
    assert all(act in acts for act in ACTS[which]), done
    assert [fd for fd in kernel.fds if fd not in facts.hook_output] == []


def test_update_on_the_recorder_is_undone() -> None:
    files = {**FILES, "pids.max": "max\n", "memory.max": "max\n", "cpu.max": "max 100000\n", "cpu.max.burst": "0\n",
             "memory.current": "1\n", "memory.swap.max": "max\n"}
    changes: Any = {"memory": {"limit": 64 << 20}, "pids": {"limit": 7}}
    kernel = Marked(files=files)
    execute(plan.update(changes, {}, Host(), container(), {}), kernel)
    written = [call[1:3] for call in kernel.calls if call[0] == "write_file"]
    assert written == [("pids.max", "7"), ("memory.max", str(64 << 20))]
    kernel = Marked(files=files, errors={"write_file": [0, 16]})
    with pytest.raises(Exception, match="busy"):
        Engine(plan.update(changes, {}, Host(), container(), {}), kernel).run()
    assert [call[1:3] for call in kernel.calls if call[0] == "write_file"][-1] == ("pids.max", "max")


# ---- names ----------------------------------------------------------------------------------------------------------
def names() -> Iterator[tuple[str, str]]:
    """(file, name) of each step that is written down in steps/, as a class has it or as a planner gives it."""
    for path in sorted(STEPS.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                for line in node.body:
                    if (isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name)
                            and line.targets[0].id == "name" and isinstance(line.value, ast.Constant)):
                        yield path.stem, str(line.value.value)
            elif isinstance(node, ast.keyword) and node.arg == "name" and isinstance(node.value, ast.Constant) \
                    and "." in str(node.value.value):
                yield path.stem, str(node.value.value)


def test_the_part_of_a_name_before_the_dot_is_its_file() -> None:
    found = list(names())
    assert len(found) > 100
    assert [(file, name) for file, name in found if name.partition(".")[0] != file] == []


@pytest.mark.parametrize("which", [*PLANS, *BUNDLES])
def test_a_name_is_found_in_its_file_by_searching_for_it(which: str) -> None:
    """But for file systems that have no class of their own."""
    from tests.test_explain import planned
    names = {step.name for step in (PLANS[which]() if which in PLANS else planned(which))} - {"barrier"}
    assert {name for name in names
            if f'"{name}"' not in (STEPS / f"{name.partition('.')[0]}.py").read_text()} <= {"mounts.devpts"}


@pytest.mark.parametrize("which", [*PLANS, *BUNDLES])
def test_the_names_that_planners_compute_too(which: str) -> None:
    from tests.test_explain import planned
    steps = PLANS[which]() if which in PLANS else planned(which)
    for step in steps:
        file = STEPS / f"{step.name.partition('.')[0]}.py"
        assert step.name == "barrier" or (file.exists() and type(step).__module__ == f"pyrunc.steps.{file.stem}"), step
