"""checkpoint and restore of real containers by CRIU, in the guest."""
from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from tests import bundles
from tests.bundles import Config, docker_like, merge
from tests.console import Console
from tests.runtimes import Runtime, reap
from tests.world import Snapshot

pytestmark = [pytest.mark.guest, pytest.mark.timeout(300)]

#: A number in the shell's memory: after a restore it goes on where it was. The file says when to end, and how.
COUNTING = "n=0; while test ! -s /tmp/end; do n=$((n+1)); echo $n; sleep 0.02; done; exit $(cat /tmp/end)"


class Counter:
    """A container that counts into a pipe of ours, as containerd gives containers their streams."""

    def __init__(self, runtime: Runtime, bundle: Path, name: str) -> None:
        self.runtime, self.bundle, self.name = runtime, bundle, name
        self.out, self.pid = -1, 0
        self.images = bundle / "images"

    def streams(self) -> int:
        self.out, theirs = os.pipe()
        return theirs

    def run(self, *command: str) -> None:
        """create and start, or restore; its standard output is a new pipe."""
        theirs = self.streams()
        pid_file = self.bundle / "pid"
        subprocess.run(self.runtime.argv(*command, "--pid-file", pid_file, "--bundle", self.bundle, self.name),
                       stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs if command[0] == "run" else None,
                       check=True, timeout=110)
        os.close(theirs)
        self.pid = int(pid_file.read_text())

    def restore(self, *flags: str) -> None:
        self.run("restore", "--detach", "--image-path", str(self.images), *flags)

    def next(self, after: int = 0) -> int:
        """The next number that it prints."""
        data = b""
        while not data.endswith(b"\n"):
            data += os.read(self.out, 1)
        return int(data)

    def last(self) -> int:
        """The last number that came through a pipe whose writers are gone."""
        data = b""
        while part := os.read(self.out, 65536):
            data += part
        os.close(self.out)
        return int(data.split()[-1])

    def finish(self, code: int) -> None:
        """Let it end, and see its exit code and its deletion."""
        (self.bundle / "rootfs/tmp/end").write_text(str(code))
        assert reap(self.pid) == code
        assert self.runtime.status(self.name) == "stopped"
        self.runtime.ok("delete", self.name)
        (self.bundle / "rootfs/tmp/end").unlink()


def counter(runtime: Runtime, place: Path, name: str, config: Config | None = None) -> Counter:
    made = Counter(runtime, bundles.bundle(place / "bundle", merge(
        docker_like(process={"args": ["sh", "-c", COUNTING]}), config or {})), name)
    made.run("run", "--detach")
    while made.next() < 5:
        pass
    return made


def checkpoint(of: Counter, *flags: str) -> int:
    """Checkpoint, and the last number before it."""
    of.runtime.ok("checkpoint", "--image-path", of.images, *flags, of.name)
    assert reap(of.pid) == 137
    return of.last()


def test_memory_goes_on_where_it_was(runtime: Runtime, place: Path, name: str) -> None:
    before = Snapshot.take(name, runtime.root)
    one = counter(runtime, place, name)
    last = checkpoint(one)
    assert before.settle(name, runtime.root) == before           # the container is gone, whole
    assert (one.images / "dump.log").stat().st_size and (one.images / "descriptors.json").exists()
    one.restore()
    assert one.next() == last + 1
    state = runtime.state(name)
    assert (state["status"], state["pid"]) == ("running", one.pid)
    assert state["bundle"] == str(one.bundle)
    assert (one.images / "restore.log").stat().st_size
    cgroup = Path(f"/proc/{one.pid}/cgroup").read_text().strip()
    assert cgroup == f"0::/{name}"
    assert runtime.ok("exec", name, "hostname").stdout == "box\n"
    one.finish(7)
    assert before.settle(name, runtime.root) == before


def test_directories_behind_absolute_links(runtime: Runtime, place: Path, name: str) -> None:
    """As containerd names them; CRIU mounts in its work directory, which has to be of its own mount namespace."""
    one = counter(runtime, place, name)
    last = checkpoint(one)
    (place / "elsewhere").mkdir()
    (place / "work").symlink_to(place / "elsewhere")
    (place / "images").symlink_to(one.images)
    one.images = place / "images"
    one.restore("--work-path", str(place / "work"))
    assert one.next() == last + 1
    assert (place / "elsewhere/restore.log").stat().st_size
    one.finish(7)


def test_leave_running(runtime: Runtime, place: Path, name: str) -> None:
    one = counter(runtime, place, name)
    runtime.ok("checkpoint", "--leave-running", "--image-path", one.images, "--work-path", place / "work", name)
    assert runtime.status(name) == "running"
    assert (place / "work/dump.log").exists() and not (one.images / "dump.log").exists()
    for _ in range(5):
        one.next()
    one.finish(3)


def test_a_paused_one_stays_paused(runtime: Runtime, place: Path, name: str) -> None:
    one = counter(runtime, place, name)
    runtime.ok("pause", name)                # as containerd does, around a checkpoint to an image
    runtime.ok("checkpoint", "--leave-running", "--image-path", one.images, name)
    assert runtime.status(name) == "paused"
    runtime.ok("resume", name)
    one.finish(0)


def test_a_dump_adds_to_a_pre_dump(runtime: Runtime, place: Path, name: str) -> None:
    one = counter(runtime, place, name)
    runtime.ok("checkpoint", "--pre-dump", "--image-path", one.images / "pre", name)
    assert runtime.status(name) == "running" and not (one.images / "pre/descriptors.json").exists()
    outcome = runtime("checkpoint", "--parent-path", str(one.images), "--image-path", one.images / "rest", name)
    assert outcome.status == 1 and "parent-path must be relative" in outcome.stderr
    outcome = runtime("checkpoint", "--parent-path", "../none", "--image-path", one.images / "rest", name)
    assert outcome.status == 1 and "invalid parent-path" in outcome.stderr
    before = one.images
    one.images = before / "rest"
    last = checkpoint(one, "--parent-path", "../pre")
    assert os.readlink(one.images / "parent") == "../pre"
    one.restore()
    assert one.next() == last + 1
    one.finish(0)


def test_volumes_and_what_is_masked(runtime: Runtime, place: Path, name: str) -> None:
    volume, secret = place / "volume with space", place / "secret"
    volume.mkdir()
    secret.write_text("kept")
    one = counter(runtime, place, name, {"mounts": [
        *bundles.MOUNTS,
        {"destination": "/data/volume", "type": "bind", "source": str(volume), "options": ["rbind", "rw"]},
        {"destination": "/run/secret", "type": "bind", "source": str(secret), "options": ["bind", "ro"]}]})

    def mounted() -> list[tuple[str, ...]]:
        lines = (line.split() for line in runtime.ok("exec", name, "cat", "/proc/self/mountinfo").stdout.splitlines())
        return sorted((line[3], line[4], *sorted(line[5].split(","))) for line in lines if line[4] != "/dev/console")

    before = mounted()
    checkpoint(one)
    # The root is a new one, with none of the mount points, as after a move to another host.
    (one.bundle / "rootfs").rename(one.bundle / "old")
    bundles.busybox_root(one.bundle / "rootfs")
    one.restore()
    after = mounted()
    assert [mount[1:] for mount in after] == [mount[1:] for mount in before]
    assert runtime("exec", name, "sh", "-c", "echo more >> /run/secret").status == 1
    runtime.ok("exec", name, "sh", "-c", "cat /run/secret > /data/volume/copy; test ! -s /proc/kcore")
    assert (volume / "copy").read_text() == "kept"
    one.finish(0)


def test_the_names_of_mounts_in_the_images_are_no_paths(runtime: Runtime, place: Path, name: str) -> None:
    volume = place / "volume"
    volume.mkdir()
    one = counter(runtime, place, name, {"mounts": [
        *bundles.MOUNTS,
        {"destination": "/data", "type": "bind", "source": str(volume), "options": ["bind"]}]})
    refused = place / "refused"
    checkpoint(one)
    images = b"".join(path.read_bytes() for path in one.images.glob("mountpoints-*.img"))
    assert images.count(b"bind-") == 1 and str(volume).encode() not in images
    # What the images ask for is offered under the config's names only: another destination, another name.
    bundles.write(one.bundle, docker_like(process={"args": ["sh", "-c", COUNTING]}, mounts=[
        *bundles.MOUNTS, {"destination": "/elsewhere", "type": "bind", "source": str(volume), "options": ["bind"]}]))
    outcome = runtime("restore", "--detach", "--image-path", one.images, "--work-path", refused, "--bundle",
                      one.bundle, name)
    assert outcome.status == 1 and "criu failed: Error (" in outcome.stderr
    assert str(refused / "restore.log") in outcome.stderr and (refused / "restore.log").stat().st_size


def test_images_that_lead_elsewhere_are_refused(runtime: Runtime, place: Path, name: str) -> None:
    before = Snapshot.take(name, runtime.root)
    one = counter(runtime, place, name)
    checkpoint(one)
    secret = place / "secret"
    secret.write_text("secret")
    pages = one.images / "pages-1.img"
    pages.unlink()
    pages.symlink_to(secret)
    (one.images / "restore.log").symlink_to(secret)
    outcome = runtime("restore", "--detach", "--image-path", one.images, "--bundle", one.bundle, name)
    assert outcome.status == 1 and "pages-1.img is neither a file nor a directory" in outcome.stderr
    assert secret.read_text() == "secret"
    assert before.settle(name, runtime.root) == before


# A read-only bind mount: the flags of a restored mount are the images'.
def test_a_read_only_mount_cannot_come_back_writable(runtime: Runtime, place: Path, name: str) -> None:
    volume = place / "volume"
    volume.mkdir()
    mount = {"destination": "/data", "type": "bind", "source": str(volume), "options": ["bind", "rw"]}
    one = counter(runtime, place, name, {"mounts": [*bundles.MOUNTS, mount]})
    checkpoint(one)
    before = Snapshot.take(name, runtime.root)
    bundles.write(one.bundle, docker_like(process={"args": ["sh", "-c", COUNTING]}, mounts=[
        *bundles.MOUNTS, {**mount, "options": ["bind", "ro"]}]))
    outcome = runtime("restore", "--detach", "--image-path", one.images, "--bundle", one.bundle, name)
    assert outcome.status == 1 and f"the images mount {volume} writable at /data" in outcome.stderr
    assert before.settle(name, runtime.root) == before


def test_restore_without_images(runtime: Runtime, place: Path, name: str) -> None:
    bundle = bundles.bundle(place / "bundle")
    outcome = runtime("restore", "--image-path", place / "none", "--bundle", bundle, name)
    assert outcome.status == 1 and f"{place}/none" in outcome.stderr
    (place / "none").mkdir()
    outcome = runtime("restore", "--image-path", place / "none", "--bundle", bundle, name)
    assert outcome.status == 1 and "holds no checkpoint" in outcome.stderr
    assert not list(runtime.root.iterdir())


def cgroup_options() -> list[str]:
    """Of the file system, not of a mount: they hold for the whole machine."""
    line = next(line for line in Path("/proc/self/mountinfo").read_text().splitlines() if " - cgroup2 " in line)
    return sorted(line.split()[-1].split(","))


@pytest.mark.parametrize("how", ["", "--leave-running", "--pre-dump"])
def test_the_options_of_the_machines_cgroups_stay(how: str, runtime: Runtime, place: Path, name: str) -> None:
    """CRIU mounts a cgroup2 without options, which takes nsdelegate from every container."""
    before = cgroup_options()
    assert "nsdelegate" in before
    made = counter(runtime, place, name)
    runtime.ok("checkpoint", *([how] if how else []), "--image-path", made.images, name)
    assert cgroup_options() == before
    if not how:
        runtime("delete", "--force", name)
        made.restore()
        assert cgroup_options() == before
    runtime.ok("delete", "--force", name)


def test_only_what_runs_can_be_checkpointed(runtime: Runtime, place: Path, name: str) -> None:
    init = runtime.create(name, bundles.bundle(place / "bundle"))
    for state in ("created", "stopped"):
        outcome = runtime("checkpoint", "--image-path", place / "images", name)
        assert outcome.status == 1
        assert f"Container cannot be checkpointed in {state} state" in outcome.stderr
        if state == "created":
            runtime.ok("start", name)
            init.wait()
    runtime.ok("delete", name)
    assert "container does not exist" in runtime("checkpoint", "--image-path", place / "images", name).stderr


def test_foreground_restore_and_hooks(runtime: Runtime, place: Path, name: str) -> None:
    before = Snapshot.take(name, runtime.root)
    told = place / "told"
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"cat >> {told}; echo >> {told}"]}
    one = counter(runtime, place, name, {"hooks": {"createRuntime": [hook], "poststop": [hook]}})
    last = checkpoint(one)
    told.unlink()
    theirs = one.streams()
    running = runtime.popen("restore", "--image-path", one.images, "--bundle", one.bundle, name,
                            stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs)
    os.close(theirs)
    assert one.next() == last + 1
    (one.bundle / "rootfs/tmp/end").write_text("9")
    assert running.wait(150) == 9
    states = [json.loads(line) for line in told.read_text().split("\n") if line]
    assert [state["status"] for state in states] == ["creating", "stopped"] and states[0]["pid"] > 0
    assert before.settle(name, runtime.root) == before


def test_terminal(runtime: Runtime, place: Path, name: str) -> None:
    text = "n=0; while read line; do n=$((n+1)); echo $n $line; done"
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["sh", "-c", text], "terminal": True}))
    with Console(place / "socket") as console:
        init = runtime.create(name, bundle, "--console-socket", str(place / "socket"))
        console.accept()
        runtime.ok("start", name)
        console.write("first\n")
        console.read("1 first")
        runtime.ok("checkpoint", "--image-path", bundle / "images", name)
        assert init.wait() == 137
    with Console(place / "again") as console:
        runtime.ok("restore", "--detach", "--image-path", bundle / "images", "--pid-file", bundle / "pid",
                   "--console-socket", place / "again", "--bundle", bundle, name)
        console.accept()
        console.write("second\n")
        console.read("2 second")
    runtime.ok("delete", "--force", name)


def test_in_a_user_namespace(runtime: Runtime, place: Path, name: str) -> None:
    line: list[Config] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    changes = {"linux": {"namespaces": bundles.namespaces("user", "pid", "network", "ipc", "uts", "mount", "cgroup"),
                         "uidMappings": line, "gidMappings": line}}
    bundle = bundles.bundle(place / "bundle", docker_like(process={"args": ["sh", "-c", COUNTING]}, **changes))
    subprocess.run(["chown", "-R", "100000:100000", bundle / "rootfs"], check=True)
    one = Counter(runtime, bundle, name)
    one.run("run", "--detach")
    while one.next() < 5:
        pass
    last = checkpoint(one)
    one.images.chmod(0o755)             # CRIU's processes read them as the container's root
    for image in one.images.iterdir():
        image.chmod(0o644)
    one.restore()
    assert one.next() == last + 1
    assert runtime.ok("exec", name, "cat", "/proc/self/uid_map").stdout.split() == ["0", "100000", "65536"]
    assert Path(f"/proc/{one.pid}").stat().st_uid == 100000
    one.finish(0)


def test_a_killed_restore_leaves_nothing(runtime: Runtime, place: Path, name: str) -> None:
    before = Snapshot.take(name, runtime.root)
    one = counter(runtime, place, name)
    checkpoint(one)
    slow = {"path": "/bin/sh", "args": ["sh", "-c", "exec sleep 1000"]}
    bundles.write(one.bundle, docker_like(process={"args": ["sh", "-c", COUNTING]}, hooks={"createRuntime": [slow]}))
    running = runtime.popen("restore", "--image-path", one.images, "--bundle", one.bundle, name)
    deadline = time.monotonic() + 150
    while not (one.images / "restore.log").exists() or "setup-namespaces" not in (
            one.images / "restore.log").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.2)
    running.kill()
    running.wait()
    assert (one.bundle / "rootfs/bin/busybox").exists()
    runtime.ok("delete", "--force", name)
    assert (one.bundle / "rootfs/bin/busybox").exists()
    after = before.settle(name, runtime.root, 5)
    assert (after.mounts, after.cgroups, after.files) == (before.mounts, before.cgroups, before.files)


# The container's scope is made anew, with its limits, and goes with the container.
@pytest.mark.guest_systemd
def test_in_a_scope_of_systemd(runtime: Runtime, place: Path, name: str) -> None:
    runtime.options = ["--systemd-cgroup"]
    before, unit = Snapshot.take(name, runtime.root), f"box-{name}.scope"

    def unit_is() -> str:
        return subprocess.run(["systemctl", "show", "-P", "ActiveState", unit], capture_output=True, text=True,
                              check=True).stdout.strip()

    one = counter(runtime, place, name, {"linux": {"cgroupsPath": f"system.slice:box:{name}",
                                                   "resources": {"pids": {"limit": 17}}}})
    last = checkpoint(one)
    assert unit_is() == "inactive" and before.settle(name, runtime.root) == before
    one.restore()
    assert one.next() == last + 1
    assert Path(f"/proc/{one.pid}/cgroup").read_text().strip() == f"0::/system.slice/{unit}"
    assert unit_is() == "active"
    assert Path(f"/sys/fs/cgroup/system.slice/{unit}/pids.max").read_text() == "17\n"
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    assert one.next() > last and runtime.ok("exec", name, "cat", "/proc/self/cgroup").stdout == "0::/\n"
    runtime.ok("update", "--pids-limit", "18", name)
    assert subprocess.run(["systemctl", "show", "-P", "TasksMax", unit], capture_output=True, text=True,
                          check=True).stdout == "18\n"
    one.finish(0)
    assert unit_is() == "inactive" and before.settle(name, runtime.root) == before
