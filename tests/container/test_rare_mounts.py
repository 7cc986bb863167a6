"""Ways to put a file system together that few containers take, by the real command line and its bare interpreter."""
from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import bundles, world
from tests.bundles import MOUNTS, docker_like, merge, namespaces
from tests.runtimes import Runtime

MOUNTINFO = Path("/proc/self/mountinfo")
IDS = [{"containerID": 0, "hostID": 100000, "size": 65536}]


def output(runtime: Runtime, bundle: Path, name: str, *flags: str) -> list[str]:
    """What the container prints, after it has left the host's mounts as they were."""
    before = world.text(MOUNTINFO)
    outcome = runtime.run(name, bundle, *flags)
    assert (outcome.status, outcome.stderr) == (0, "")
    assert world.text(MOUNTINFO) == before
    return outcome.stdout.splitlines()


def shell(script: str, *mounts: dict[str, Any], **changes: Any) -> bundles.Config:
    return docker_like(**merge({"process": {"args": ["sh", "-c", script]}, "mounts": [*MOUNTS, *mounts]}, changes))


@pytest.fixture
def disk() -> Iterator[Path]:
    """A folder on a disk: a tmpfs can be id-mapped since Linux 6.3 only."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        os.chmod(name, 0o755)
        (Path(name) / "file").write_text("content\n")
        os.chown(Path(name) / "file", 1234, 4321)
        yield Path(name)


def test_no_pivot(runtime: Runtime, place: Path, name: str) -> None:
    bundle = bundles.bundle(place / "bundle", shell("cut -d' ' -f5 /proc/self/mountinfo; ls /"))
    seen = output(runtime, bundle, name, "--no-pivot")
    assert seen[0] == "/" and {"/proc", "/sys", "/dev/pts"} <= set(seen) and "busybox" not in seen


@pytest.mark.spec("config-linux.md#namespaces", "mount", "path", "the process is in the namespace that path names")
def test_a_joined_mount_namespace(runtime: Runtime, place: Path, name: str) -> None:
    # config-linux.md#namespaces: "The runtime MUST place the container process in the namespace associated with that
    # path."
    holder = subprocess.Popen(["unshare", "-m", "sh", "-c", "echo; exec sleep 100"], stdout=subprocess.PIPE)
    assert holder.stdout and holder.stdout.readline()
    try:
        path = f"/proc/{holder.pid}/ns/mnt"
        (place / "vol").mkdir()
        (place / "vol/file").touch()
        volume = {"destination": "/data", "source": str(place / "vol"), "options": ["rbind", "ro"]}
        bundle = bundles.bundle(place / "bundle", shell("readlink /proc/self/ns/mnt; ls /data", volume, linux={
            "namespaces": [*namespaces("pid", "ipc", "uts", "network"), {"type": "mount", "path": path}]}))
        assert output(runtime, bundle, name) == [os.readlink(path), "file"]
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()


@pytest.mark.spec("config.md#linux-mount-options", "an idmap mount has its mapping", "ridmap")
@pytest.mark.spec("config.md#posix-platform-mounts", "uidMappings", "gidMappings")
def test_id_mapped_sources(runtime: Runtime, place: Path, name: str, disk: Path) -> None:
    mapping = [{"containerID": 1234, "hostID": 7, "size": 1}]
    volume = {"destination": "/data", "source": str(disk), "options": ["rbind", "ridmap", "ro"], "uidMappings": mapping,
              "gidMappings": [{"containerID": 4321, "hostID": 8, "size": 1}]}
    bundle = bundles.bundle(place / "bundle", shell("stat -c %u:%g /data/file", volume))
    assert output(runtime, bundle, name) == ["7:8"]


def test_id_mapped_sources_in_a_user_namespace(runtime: Runtime, place: Path, name: str, disk: Path) -> None:
    """A source that the container's root could not even reach, whose owners become the container's own."""
    os.chmod(disk, 0o700)
    os.chown(disk, 0, 0)
    os.chown(disk / "file", 0, 5)
    volume = {"destination": "/data", "source": str(disk), "options": ["bind", "idmap"]}
    plain = {"destination": "/etc/motd", "source": str(disk / "file"), "options": ["bind", "ro"]}
    bundle = bundles.bundle(place / "bundle", shell(
        "stat -c %u:%g /data /data/file; cat /etc/motd; echo more >>/data/file; stat -c %u:%g /dev/null", volume, plain,
        linux={"namespaces": namespaces("pid", "network", "ipc", "uts", "mount", "cgroup", "user"),
               "uidMappings": IDS, "gidMappings": IDS}))
    for path in (bundle / "rootfs", *(bundle / "rootfs").rglob("*")):
        os.lchown(path, 100000, 100000)
    assert output(runtime, bundle, name) == ["0:0", "0:5", "content", "65534:65534"]
    assert (disk / "file").read_text() == "content\nmore\n"


# config.md#linux-mount-options: "If uidMappings or gidMappings are specified for the mount, the runtime MUST use those
# values for the mount's mapping. If they are not specified, the runtime MAY use the container's user namespace mapping"
@pytest.mark.spec("config.md#linux-mount-options", "the mount's own mappings are used", "idmap", "ridmap")
@pytest.mark.parametrize("option", ["idmap", "ridmap"])
def test_mappings_of_the_mount_and_of_the_container(option: str, runtime: Runtime, place: Path, name: str,
                                                    disk: Path) -> None:
    os.chown(disk / "file", 7, 8)
    volumes: list[dict[str, Any]] = [{"destination": "/theirs", "source": str(disk), "options": ["rbind", option]},
               {"destination": "/own", "source": str(disk), "options": ["rbind", option],
                "uidMappings": [{"containerID": 7, "hostID": 100021, "size": 1}],
                "gidMappings": [{"containerID": 8, "hostID": 100022, "size": 1}]}]
    bundle = bundles.bundle(place / "bundle", shell(
        "stat -c %u:%g /theirs/file /own/file", *volumes,
        linux={"namespaces": namespaces("pid", "network", "ipc", "uts", "mount", "cgroup", "user"),
               "uidMappings": IDS, "gidMappings": IDS}))
    for folder in ("theirs", "own"):
        (bundle / "rootfs" / folder).mkdir()
    assert output(runtime, bundle, name) == ["7:8", "21:22"]


def test_copied_up_remounted_and_with_long_options(runtime: Runtime, place: Path, name: str, disk: Path) -> None:
    layers = [disk / (f"layer{number}" + "x" * 60) for number in range(5)]
    for layer in (*layers, disk / "upper", disk / "work"):
        layer.mkdir()
    (layers[4] / "deep").touch()
    bundle = bundles.bundle(place / "bundle", shell(
        "cat /var/copied; ls /lower; grep ' /var ' /proc/self/mountinfo | cut -d' ' -f6",
        {"destination": "/var", "type": "tmpfs", "source": "t", "options": ["tmpcopyup"]},
        {"destination": "/var", "type": "tmpfs", "source": "t", "options": ["remount", "ro", "nosuid"]},
        {"destination": "/lower", "type": "overlay", "source": "overlay",
         "options": [f"lowerdir={':'.join(map(str, layers))}"]}))
    (bundle / "rootfs/var/copied").write_text("content\n")
    assert output(runtime, bundle, name) == ["content", "deep", "ro,nosuid,relatime"]


def test_a_network_device(runtime: Runtime, place: Path, name: str) -> None:
    bundle = bundles.bundle(place / "bundle", shell(
        "ip addr show dev inside | grep 'inet '; ip route", linux={"netDevices": {"veth0": {"name": "inside"}}}))
    commands = ["ip link add veth0 type veth peer name veth1", "ip addr add 10.1.2.3/24 dev veth0",
                "ip link set veth0 up", "ip link set veth1 up", "ip route add default via 10.1.2.1",
                " ".join(runtime.argv("run", "--bundle", bundle, name))]
    done = subprocess.run(["unshare", "-n", "sh", "-ec", "\n".join(commands)], capture_output=True, text=True,
                          check=False)
    assert (done.returncode, done.stderr) == (0, "")
    address, *routes = [line.split() for line in done.stdout.splitlines()]
    assert address[1] == "10.1.2.3/24"
    assert [route[:3] for route in routes] == [["default", "via", "10.1.2.1"], ["10.1.2.0/24", "dev", "inside"]]


@pytest.mark.parametrize(("mount", "said"), [
    ({"destination": "/m", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "sise=64k"]},
     ['error mounting "tmpfs" to rootfs at "/m"', "option sise=64k", "invalid argument: at mounts[7].options[1] in"]),
    ({"destination": "/m", "type": "bogusfs", "source": "x"}, ["no such device: at mounts[7].type in config.json"]),
    ({"destination": "/m", "source": "/nope", "options": ["bind"]},
     ['error mounting "/nope" to rootfs at "/m"', "no such file or directory: at mounts[7].source in config.json"]),
    ({"destination": "/bin/busybox", "source": "/etc", "options": ["bind"]},
     ["a directory cannot be bound on a file: not a directory: at mounts[7] in config.json"])])
def test_errors_of_create_name_fault_and_place(runtime: Runtime, place: Path, name: str, mount: Any, said: Any) -> None:
    bundle = bundles.bundle(place / "bundle", shell("true", mount))
    outcome = runtime("create", "--bundle", bundle, name)
    assert outcome.status == 1 and outcome.stderr.count("\n") == 1
    text = outcome.stderr.replace('\\"', '"')
    for part in said:
        assert part in text
