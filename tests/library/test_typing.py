"""A user's program is checked by mypy --strict against the package as it is installed (PEP 561)."""
from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

TREE = Path(__file__).parents[2]

#: Every part of the library once; assert_type is an error for another type than the one it names.
PROGRAM = '''
import asyncio
import threading
from collections.abc import Mapping
from typing import Any, assert_type

import pyrunc
from pyrunc.manager import Exit, Manager


class Told(pyrunc.Observer):
    def after_step(self, container: str, record: Mapping[str, Any]) -> None:
        print(container, record["id"])


config = pyrunc.spec()
config["root"]["path"] = "/rootfs"
with pyrunc.Runtime(root="/run/x", systemd=True, observers=[Told()]) as runtime:
    with runtime.create("c1", config=config, stdio=(None, pyrunc.PIPE, 2)) as container:
        assert_type(container, pyrunc.Container)
        container.start()
        process = container.exec(["ps"], stdout=pyrunc.PIPE)
        assert_type(process.communicate(b"", timeout=3.0), tuple[bytes, bytes])
        assert_type(process.wait(1.5), int)
        container.kill("TERM", all=True)
        container.pause()
        container.resume()
        container.update({"pids": {"limit": 7}})
        assert_type(container.stats(), dict[str, Any])
        assert_type(container.state(), dict[str, Any])
        assert_type(container.status, str)
        assert_type(container.pid, int)
        assert_type(container.processes(), list[int])
        assert_type(container.wait(10), int | None)
        container.checkpoint("/images", leave_running=True, page_server=("::1", 27))
        container.delete(force=True)
    assert_type(runtime.restore("c1", "/images", config=config, tcp_established=True).init, pyrunc.Process | None)
    assert_type(runtime.containers(), list[pyrunc.Container])
    threading.Thread(target=runtime.container("c1").start).start()
try:
    plan = pyrunc.plan(config)
    assert_type(plan, pyrunc.Plan)
    print([(step.name, step.where, step.describe()) for step in plan])
except pyrunc.ConfigError as error:
    assert_type(error.where, str)
except pyrunc.StepError as error:
    assert_type(error.errno, int)
assert_type(pyrunc.explain(config, bundle="/b").ids, tuple[str, ...])
for finding in pyrunc.check("/bundle"):
    print(finding)


async def many() -> None:
    async with Manager(root="/run/y") as manager:
        one = await manager.create("c1", config=config)
        await one.start()
        assert_type(await one.wait(3.0), Exit)


asyncio.run(many())
'''

#: Each is one mistake, which a package without types would let pass.
MISTAKES = {
    "runtime.create(7, bundle='/b')": "arg-type", "runtime.make('c1')": "attr-defined",
    "container.start(True)": "call-arg", "container.wait('long')": "arg-type", "container.pid + 'x'": "operator",
    "container.checkpoint('/images', leave=True)": "call-arg", "pyrunc.plan([])": "arg-type",
    "pyrunc.no_such_name": "attr-defined", "pyrunc.Runtime(observers=[object()])": "list-item"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that has the package, as setup.py puts it into a wheel, and nothing else."""
    place = tmp_path_factory.mktemp("environment")
    venv.create(place, symlinks=True)
    [packages] = place.glob("lib/python*/site-packages")
    subprocess.run([sys.executable, "-W", "ignore", "setup.py", "-q", "build_py", "--build-lib", packages], cwd=TREE,
                   check=True, capture_output=True)
    return place / "bin/python"


def strict(installed: Path, program: Path) -> str:
    """What mypy --strict says of a program that is run by that interpreter."""
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", "", "--cache-dir", installed.parent / "cache",
         "--python-executable", installed, "--show-error-codes", "--no-pretty", program.name],
        cwd=program.parent, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def test_a_program_passes(installed: Path, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    assert strict(installed, program) == "Success: no issues found in 1 source file\n"


def test_each_mistake_is_found(installed: Path, tmp_path: Path) -> None:
    program = tmp_path / "mistakes.py"
    head = "import pyrunc\nruntime = pyrunc.Runtime()\ncontainer = runtime.container('c1')\n"
    program.write_text(head + "".join(f"{mistake}\n" for mistake in MISTAKES))
    said = strict(installed, program)
    for line, (mistake, code) in enumerate(MISTAKES.items(), head.count("\n") + 1):
        assert f"mistakes.py:{line}: error:" in said and f"[{code}]" in said, f"{mistake}\n{said}"
