"""Buildah 1.28 with isolation oci: what its run and bud do with a runtime, under runc and under pyrunc."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .image import NAME
from .podman import Done, Store, stores
from .terminal import Terminal

pytestmark = [pytest.mark.guest_engines, pytest.mark.timeout(900)]       # under emulation, on a busy machine


@pytest.fixture(scope="module")
def store(private_world: None, request: pytest.FixtureRequest) -> Iterator[Store]:
    for made in stores(request.config.getoption("runtime")):
        yield made
        made.call("buildah", "rm", "--all")


class Buildah:
    """A store's buildah with the runtime of one test."""

    def __init__(self, store: Store, binary: str, folder: Path) -> None:
        self.store, self.binary, self.folder = store, binary, folder

    def __call__(self, command: str, *args: str) -> Done:
        """A command that starts containers."""
        return self.store.call("buildah", command, "--runtime", self.binary, "--isolation", "oci", *args)

    def new(self, image: str = NAME) -> str:
        """A working container's name."""
        return self.store.ok("buildah", "from", image)

    def run(self, container: str, *args: str, network: str = "none") -> Done:
        return self("run", "--network", network, *args[:args.index("--")], container, *args[args.index("--"):])

    def shell(self, container: str, script: str, *flags: str) -> list[str]:
        done = self.run(container, *flags, "--", "sh", "-c", script)
        assert done.status == 0, done
        return done.lines

    def bud(self, text: str, *flags: str) -> Done:
        """Build from these instructions in the test's folder."""
        (self.folder / "Containerfile").write_text(text)
        return self("bud", "--network", "none", "--layers=false", "--pull-never", *flags, str(self.folder))


@pytest.fixture
def buildah(store: Store, binary: str, tmp_path: Path) -> Buildah:
    return Buildah(store, binary, tmp_path)


@pytest.fixture(scope="module")
def container(store: Store) -> str:
    """A working container for the scenarios that leave nothing in it."""
    return store.ok("buildah", "from", NAME)


@pytest.mark.every_time
def test_run_output_and_exit_code(buildah: Buildah, container: str) -> None:
    done = buildah.run(container, "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.status, done.stdout) == (7, "out\n") and done.stderr.startswith("err\n"), done


@pytest.mark.parametrize(("args", "said"), [
    (("nonesuch",), "executable file not found in $PATH"), (("/etc/passwd",), "permission denied")],
    ids=["not found", "not executable"])
def test_a_failing_run_tells_why(args: tuple[str, ...], said: str, buildah: Buildah, container: str) -> None:
    done = buildah.run(container, "--", *args)
    assert done.status != 0 and said in done.stderr, done


@pytest.mark.every_time
def test_bud_and_a_failing_instruction(buildah: Buildah) -> None:
    (buildah.folder / "file").write_text("copied")
    done = buildah.bud(f"FROM {NAME}\nARG A\nENV B=c\nCOPY file /file\nRUN echo $A $B $(cat /file); exit 9\n",
                       "--build-arg", "A=a")
    assert done.status == 9 and "a c copied\n" in done.stdout and "exit status 9" in done.stderr, done


def test_bud_of_two_stages(buildah: Buildah) -> None:
    image = f"localhost/two-{Path(buildah.binary).name}"
    done = buildah.bud(
        f"FROM {NAME} AS one\nWORKDIR /w\nRUN echo built >made && chown 5:6 made\nUSER 1000:1000\nRUN id -u >/tmp/id\n"
        f"FROM {NAME}\nCOPY --from=one /w/made /tmp/id /\nRUN --mount=type=tmpfs,dst=/t touch /t/x\n"
        'CMD ["cat", "/made", "/id"]\n', "--tag", image)
    assert done.status == 0, done
    made = buildah.new(image)
    assert buildah.shell(made, "cat /made /id; stat -c '%u %g' /made; ls /t | wc -l") == ["built", "1000", "5 6", "0"]


def test_user_directory_and_environment(buildah: Buildah, container: str) -> None:
    lines = buildah.shell(container, "id -u; id -g; pwd; echo $A", "--user", "1000:2000", "--workingdir", "/proc/sys",
                          "--env", "A=b")
    assert lines == ["1000", "2000", "/proc/sys", "b"]


def test_volumes_and_mounts(buildah: Buildah, container: str) -> None:
    (buildah.folder / "file").write_text("of the host\n")
    script = "cat /b/file; touch /b/x 2>/dev/null || echo read-only; touch /m/y; grep -c ' /t ' /proc/mounts"
    lines = buildah.shell(container, script, "--volume", f"{buildah.folder}:/b:ro", "--volume", f"{buildah.folder}:/m",
                          "--mount", "type=tmpfs,dst=/t")
    assert lines == ["of the host", "read-only", "1"] and (buildah.folder / "y").exists()


def test_capabilities_and_namespaces(buildah: Buildah, container: str) -> None:
    lines = buildah.shell(container, "grep CapEff /proc/self/status; readlink /proc/self/ns/ipc; hostname",
                          "--cap-drop", "CAP_CHOWN", "--cap-add", "CAP_SYS_TIME", "--ipc", "host",
                          "--hostname", "there")
    effective = int(lines.pop(0).split()[1], 16)
    assert effective & (1 << 25 | 1) == 1 << 25 and lines == [Path("/proc/self/ns/ipc").readlink().name, "there"]


def test_the_network_of_the_host(buildah: Buildah, container: str) -> None:
    done = buildah.run(container, "--", "readlink", "/proc/self/ns/net", network="host")
    assert done.lines == [Path("/proc/self/ns/net").readlink().name], done


def test_limits(buildah: Buildah) -> None:
    done = buildah.bud(f"FROM {NAME}\nRUN cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.weight; ulimit -n\n",
                       "--memory", "32m", "--cpu-shares", "262144", "--ulimit", "nofile=99:100")
    assert done.status == 0 and "33554432\n10000\n99\n" in done.stdout, done


def test_from_scratch(buildah: Buildah) -> None:
    made = buildah.new("scratch")
    root = buildah.store.ok("buildah", "mount", made)
    Path(root, "bin").mkdir()
    buildah.store.ok("buildah", "copy", made, "/bin/busybox", "/bin/sh")
    buildah.store.ok("buildah", "umount", made)
    assert buildah.shell(made, "echo from scratch; echo kept >/file") == ["from scratch"]
    image = f"localhost/scratch-{Path(buildah.binary).name}"
    buildah.store.ok("buildah", "commit", "--quiet", made, image)
    assert buildah.shell(buildah.new(image), "read x </file; echo $x") == ["kept"]


def test_a_terminal(buildah: Buildah, container: str) -> None:
    env = [f"{name}={value}" for name, value in buildah.store.env.items()]
    flags = ["--runtime", buildah.binary, "--isolation", "oci", "--network", "none", "--terminal"]
    with Terminal(["env", *env, "buildah", "run", *flags, container, "sh"], 30, 100) as terminal:
        terminal.ask("tty; stty size", "30 100", 120)
        terminal.write("exit 6\n")
        assert terminal.wait() == 6
