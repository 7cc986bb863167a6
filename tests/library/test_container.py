"""A container as an object: its life, its processes and streams, and the errors that a program can tell apart."""
from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

import pyrunc
from tests import bundles
from tests.bundles import docker_like
from tests.library.conftest import config_of


def test_a_whole_life(library: pyrunc.Runtime, rootfs: Path, name: str) -> None:
    container = library.create(name, config=config_of(rootfs))
    assert container.status == "created" and container.pid > 0 and container.init is not None
    assert [one.id for one in library.containers()] == [name]
    container.start()
    assert container.status == "running" and container.processes() == [container.pid]
    container.pause()
    assert container.status == "paused"
    container.resume()
    container.kill("TERM")                        # the init of a pid namespace ignores what it does not handle
    container.kill(9)
    assert container.wait(20) == -signal.SIGKILL
    assert container.status == "stopped" and container.pid == 0
    container.delete()
    assert library.containers() == []
    with pytest.raises(pyrunc.StateError, match="does not exist"):
        assert container.status


def test_what_it_uses(library: pyrunc.Runtime, rootfs: Path, name: str) -> None:
    with library.create(name, config=config_of(rootfs, "sh", "-c", "while :; do :; done")) as container:
        container.start()
        with container.exec(["sleep", "1000"]) as process:
            assert container.processes() == sorted([container.pid, process.pid])
        before, end = container.stats(), time.monotonic() + 60
        assert set(before) == {"cpu", "cpuset", "memory", "pids", "blkio", "hugetlb"}
        while container.stats()["cpu"]["usage"]["total"] <= before["cpu"]["usage"]["total"]:      # ns
            assert time.monotonic() < end
        container.kill("KILL")
        container.wait(60)
        with pytest.raises(pyrunc.StateError, match="is not running"):
            container.stats()


def test_with_deletes_what_still_runs(library: pyrunc.Runtime, rootfs: Path, name: str) -> None:
    with pytest.raises(ZeroDivisionError), library.create(name, config=config_of(rootfs)) as container:
        container.start()
        pid = container.pid
        raise ZeroDivisionError
    assert library.containers() == [] and not os.path.exists(f"/proc/{pid}")


def test_a_bundle(library: pyrunc.Runtime, place: Path, name: str) -> None:
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["sleep", "1000"]}))
    with library.create(name, bundle=str(bundle)) as container:
        assert container.state()["bundle"] == str(bundle)


def test_a_config_without_a_bundle_lies_where_its_root_does(library: pyrunc.Runtime, rootfs: Path, name: str) -> None:
    with library.create(name, config=config_of(rootfs)) as container:
        assert container.state()["bundle"] == str(rootfs.parent) and container.state()["rootfs"] == str(rootfs)


@pytest.mark.parametrize(("script", "status"), [("exit 0", 0), ("exit 7", 7), ("kill -KILL 0; sleep 9", -9)])
def test_exit_statuses_are_exact(library: pyrunc.Runtime, rootfs: Path, name: str, script: str, status: int) -> None:
    spaces = [{"type": kind} for kind in ("mount", "ipc", "uts", "network")]     # init is no pid 1: any signal ends it
    config = config_of(rootfs, "sh", "-c", script)
    config["linux"]["namespaces"] = spaces
    with library.create(name, config=config) as container:
        container.start()
        assert container.wait(20) == status == container.wait(0)


def test_waiting_has_a_limit(library: pyrunc.Runtime, rootfs: Path, name: str) -> None:
    with library.create(name, config=config_of(rootfs)) as container:
        container.start()
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            container.wait(0.3)
        assert 0.3 <= time.monotonic() - begun < 20


def test_streams_of_the_init(library: pyrunc.Runtime, rootfs: Path, place: Path, name: str) -> None:
    script = "echo out; echo err >&2; read line; echo got $line"
    with (place / "err").open("wb") as err, library.create(
            name, config=config_of(rootfs, "sh", "-c", script), stdin=pyrunc.PIPE, stdout=pyrunc.PIPE,
            stderr=err) as container:
        container.start()
        assert container.init is not None
        assert container.init.communicate(b"this\n", 20) == (b"out\ngot this\n", b"")
        assert container.wait(20) == 0
    assert (place / "err").read_bytes() == b"err\n"


def test_stdio_in_one(library: pyrunc.Runtime, rootfs: Path, name: str) -> None:
    shown = config_of(rootfs, "sh", "-c", "cat; echo told >&2")
    with library.create(name, config=shown, stdio=pyrunc.PIPE) as container:
        container.start()
        assert container.init is not None
        assert container.init.communicate(b"said\n") == (b"said\n", b"told\n")
    with library.create(name, config=config_of(rootfs)) as container:
        container.start()
        with container.exec(["sh", "-c", "echo out; echo err >&2"], stdio=(None, pyrunc.PIPE, None)) as process:
            assert process.communicate() == (b"out\n", b"") and process.stdin is process.stderr is None
        with container.exec(["sh", "-c", "echo err >&2"], stdio=pyrunc.PIPE, stdin=0) as process:
            assert process.communicate() == (b"", b"err\n") and process.stdin is None
        with pytest.raises(pyrunc.UsageError, match="three streams"):
            container.exec(["true"], stdio=(None, None))  # type: ignore[arg-type]


def test_exec(library: pyrunc.Runtime, rootfs: Path, name: str) -> None:
    with library.create(name, config=config_of(rootfs)) as container:
        container.start()
        script = "cat; echo err >&2; exit 5"
        with container.exec(["sh", "-c", script], stdin=pyrunc.PIPE, stdout=pyrunc.PIPE, stderr=pyrunc.PIPE) as process:
            assert process.communicate(b"x" * 300_000, 20) == (b"x" * 300_000, b"err\n")
            assert process.wait(20) == 5
        given = {"args": ["sh", "-c", "id -u; pwd; echo $A"], "cwd": "/tmp", "user": {"uid": 7, "gid": 8},
                 "env": ["PATH=/bin", "A=1"]}
        with container.exec(given, stdout=pyrunc.PIPE) as process:
            assert process.communicate(timeout=20)[0] == b"7\n/tmp\n1\n"
        with container.exec(["sleep", "1000"]) as process:
            assert not process.ended()
            process.kill("KILL")
            assert process.wait(20) == -9 and process.ended()


def test_a_terminal(library: pyrunc.Runtime, rootfs: Path, name: str) -> None:
    config = config_of(rootfs, "sh", "-c", "tty; read line; echo got $line")
    config["process"]["terminal"] = True
    with library.create(name, config=config) as container:
        container.start()
        assert container.init is not None and container.init.terminal is not None
        terminal = container.init.terminal
        terminal.write(b"this\n")
        seen = b""
        while b"got this" not in seen:
            seen += terminal.read(1000)
        assert b"/dev/pts/0" in seen
        assert container.wait(20) == 0


def test_limits_are_changed(library: pyrunc.Runtime, rootfs: Path, name: str) -> None:
    with library.create(name, config=config_of(rootfs)) as container:
        container.start()
        container.update({})
        with pytest.raises(pyrunc.ConfigError) as wrong:
            container.update({"pids": {"limit": "many"}})
        assert wrong.value.where.endswith("pids.limit")


def test_containers_of_the_command_line(library: pyrunc.Runtime, rootfs: Path, place: Path, name: str) -> None:
    """What this program did not make it can still use, but it does not know how it ended."""
    with pyrunc.Runtime(root=library.root) as other:
        other.create(name, config=config_of(rootfs)).start()
    container = library.container(name)
    assert container.status == "running" and container.init is None
    with container.exec(["echo", "x"], stdout=pyrunc.PIPE) as process:
        assert process.communicate(timeout=20)[0] == b"x\n"
    with pytest.raises(TimeoutError):
        container.wait(0.2)
    container.kill("KILL")
    assert container.wait(20) is None
    container.delete()


# ---- what goes wrong ----------------------------------------------------------------------------------------------
def test_errors_are_those_of_the_command_line_and_leave_nothing(library: pyrunc.Runtime, rootfs: Path,
                                                                name: str) -> None:
    with pytest.raises(pyrunc.ConfigError) as config:
        library.create(name, config=config_of(rootfs, hostname=7))
    assert config.value.where == "hostname"
    broken = config_of(rootfs)
    broken["mounts"].append({"destination": "/x", "type": "bind", "source": "/no/such", "options": ["bind"]})
    with pytest.raises(pyrunc.StepError) as step:
        library.create(name, config=broken)
    assert (step.value.step, step.value.errno) == ("binds.source", 2)
    assert step.value.where.startswith("mounts[") and "no such file or directory" in str(step.value)
    with pytest.raises(pyrunc.UsageError):
        library.create("a/b", config=config_of(rootfs))
    with pytest.raises(pyrunc.UsageError, match="create needs a bundle or a config"):
        library.create(name)
    with pytest.raises(pyrunc.UsageError, match=r"root\.path of the config must be absolute"):
        library.create(name, config={**config_of(rootfs), "root": {"path": "rootfs"}})
    with pytest.raises(pyrunc.StateError, match="does not exist"):
        library.container(name)
    assert library.containers() == [] and os.listdir(library.root) == []


def test_an_id_is_given_once(library: pyrunc.Runtime, rootfs: Path, name: str) -> None:
    with library.create(name, config=config_of(rootfs)) as container:
        with pytest.raises(pyrunc.StateError, match="already exists"):
            library.create(name, config=config_of(rootfs))
        with pytest.raises(pyrunc.StateError):
            container.resume()
        container.start()
        with pytest.raises(pyrunc.StateError):
            container.start()
        with pytest.raises(pyrunc.StateError):
            container.delete()
        with pytest.raises(pyrunc.StepError, match="executable file not found"):
            container.exec(["no-such-program"])
        assert container.status == "running"


def test_a_program_that_cannot_be_executed_is_an_error_of_start(library: pyrunc.Runtime, rootfs: Path,
                                                                name: str) -> None:
    (rootfs / "broken").write_text("#!/no/such\n")
    (rootfs / "broken").chmod(0o755)
    for number in range(20):                    # its init closes the fifo a moment before it has ended
        with library.create(f"{name}-{number}", config=config_of(rootfs, "/broken")) as container:
            with pytest.raises(pyrunc.StepError) as failed:
                container.start()
            assert failed.value.errno == 2 and container.status == "stopped"


@pytest.mark.parametrize("root", ["relative", "./x"])
def test_a_root_is_absolute(root: str) -> None:
    with pytest.raises(pyrunc.UsageError):
        pyrunc.Runtime(root=root)


def test_large_configs_go_through(library: pyrunc.Runtime, rootfs: Path, name: str) -> None:
    """More than a packet of the channel holds."""
    config = config_of(rootfs, "sh", "-c", "echo ${#LONG}")
    config["process"]["env"].append("LONG=" + "x" * 100_000)
    config["annotations"] = {f"key{number}": "v" * 1000 for number in range(500)}
    with library.create(name, config=config, stdout=pyrunc.PIPE) as container:
        container.start()
        assert container.init is not None and container.init.communicate(timeout=20)[0] == b"100000\n"


@pytest.mark.parametrize(("given", "number"), [("TERM", 15), ("SIGHUP", 1), ("kill", 9), (2, 2), (0, 0)])
def test_signals_by_name_or_number(given: Any, number: int) -> None:
    from pyrunc.library.process import number_of
    assert number_of(given) == number


@pytest.mark.parametrize("given", ["NOSUCH", "", 1000, -1])
def test_signals_that_are_none(given: Any) -> None:
    from pyrunc.library.process import number_of
    with pytest.raises(ValueError):
        number_of(given)


# ---- who watches --------------------------------------------------------------------------------------------------
class Notes(pyrunc.Observer):
    def __init__(self) -> None:
        self.steps: list[str] = []
        self.plans = 0
        self.failures: list[str] = []

    def after_step(self, container: str, record: Any) -> None:
        self.steps.append(f"{container} {record['id']} {record['outcome'][:20]}")

    def failed(self, container: str, error: pyrunc.PyruncError) -> None:
        self.failures.append(str(error))

    def after_plan(self, container: str, records: Any) -> None:
        self.plans += 1


def test_observers_are_told_of_every_step(private_world: None, place: Path, rootfs: Path, name: str) -> None:
    notes = Notes()
    with pyrunc.Runtime(root=str(place / "state"), observers=[notes]) as library:
        with library.create(name, config=config_of(rootfs)) as container:
            planned = pyrunc.explain(config_of(rootfs), bundle=str(place))
            assert notes.steps[0] == f"{name} state.reserve ok"
            told = {line.split()[1] for line in notes.steps}
            assert {id for id in planned.ids if id.startswith(("mounts.", "devices.", "namespaces."))} <= told
            container.start()
        assert notes.steps[-1] == f"{name} delete.forget ok" and notes.plans == 3 and not notes.failures
        broken = config_of(rootfs)
        broken["mounts"].append({"destination": "/x", "type": "bind", "source": "/no/such", "options": ["bind"]})
        with pytest.raises(pyrunc.StepError):
            library.create(name, config=broken)
        assert len(notes.failures) == 1 and "step binds.source" in notes.failures[0]
        assert "binds.source" in notes.steps[-1] and not notes.steps[-1].endswith(" ok")
