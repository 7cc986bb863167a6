"""Options and fixtures of every test: the runtime under test, the guest, golden files, and where bundles are made."""
from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrunc.kernel.stopping import STOPPING

from . import runtimes, world
from .guest import replay
from .runtimes import Runtime


def pytest_addoption(parser: pytest.Parser) -> None:
    replay.add_options(parser)
    parser.addoption("--runtime", metavar="PATH", default="", help="OCI runtime under test (default: pyrunc)")
    parser.addoption("--engines-from", metavar="FOLDER", default="",
                     help="where packages of containerd and Docker are unpacked (default: those that are installed)")
    parser.addoption("--engines", action="store_true", help="every scenario of tests/engines, not only `every_time`")
    parser.addoption("--faults", action="store_true", help="every fault of each kind of call; 5,000 of each thing")
    parser.addoption("--every-call", action="store_true", help="with --faults, every fault of every system call")
    parser.addoption("--share", metavar="K/N", default="1/1",
                     help="with --faults, of the faults of each test the K-th, the N+K-th ...")
    parser.addoption("--part", metavar="K/N", default="1/1",
                     help="of the tests the K-th, the N+K-th ...; the last part has all that run in the guest")
    os.environ["PYRUNC_REPORTS"] = "0"       # what fails on purpose is to leave nothing; their tests switch them on
    parser.addoption("--update", action="store_true", help="write the golden files anew")


def pytest_configure(config: pytest.Config) -> None:
    replay.configure(config)
    if folder := config.getoption("engines_from"):
        usr = Path(folder).resolve() / "usr"
        os.environ["PATH"] = f"{usr}/bin:{usr}/sbin:{os.environ['PATH']}"
    if config.pluginmanager.has_plugin("hypothesispytest"):         # not in the guest, where the import takes seconds
        from hypothesis import settings
        settings.register_profile("any machine", deadline=None)     # which may be busy with other things
        settings.load_profile("any machine")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep those of --part."""
    mine, parts = map(int, config.getoption("part").split("/"))
    here = [item for item in items if not replay.mark_of(item)]
    kept = {*here[mine - 1::parts], *(item for item in items if replay.mark_of(item) and mine == parts)}
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = [item for item in items if item in kept]


@pytest.fixture(scope="session")
def private_world() -> None:
    """From here on this process lives in a private mount namespace with pure cgroup v2 (world.enter)."""
    world.enter()


@pytest.fixture(scope="session", autouse=True)
def what_is_not_ours() -> Iterator[None]:
    """Folders that every program of the machine uses keep their owner and their mode."""
    before = world.modes()
    yield
    assert world.modes() == before


@pytest.fixture(autouse=True)
def process() -> Iterator[None]:
    """After each test this process is what it was before: pyrunc's main changes handlers of signals, and its directory;
    crun gives away the null device that it has as its standard input.
    """
    handlers, directory = [(number, signal.getsignal(number)) for number in STOPPING], os.getcwd()
    yield
    os.chdir(directory)
    for number, handler in handlers:
        signal.signal(number, handler)
    world.renew_null()


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder for bundles that any user may search; pytest's own tmp_path is root's alone."""
    path = Path(tempfile.mkdtemp(prefix="pyrunc-", dir="/tmp"))
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def name() -> str:
    """A container id that no other test run on this machine has; its cgroups are found by it."""
    return f"t{os.getpid()}-{next(_numbers)}"


_numbers = iter(range(1 << 30))


@pytest.fixture
def runtime(request: pytest.FixtureRequest, private_world: None, place: Path) -> Iterator[Runtime]:
    """The runtime under test with an empty state root of its own; containers that a failed test left are deleted."""
    driven = Runtime(runtimes.find(request.config.getoption("runtime")), place / "state")
    yield driven
    for left in driven.root.iterdir():
        driven("delete", "--force", left.name)
