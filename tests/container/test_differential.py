"""The same bundle under the runtime under test and under Debian's runc: a process in it sees the same."""
from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import bundles, probe, runtimes, world
from tests.bundles import Config
from tests.console import Console
from tests.container.differential import comparable, differences
from tests.named_bundles import BUNDLES, JOINED, JOINED_TYPES, SHARED
from tests.runtimes import Runtime

#: What Debian's runc 1.1.5 cannot run; each has its own test.
NOT_IN_RUNC = {
    "idmapped_mounts": "came with runc 1.2",
    "bare": "runc wants a /proc in every container",
    "no_process": "runc wants a process at create, the spec only at start",
}
#: Where pyrunc is meant to differ: (bundle, start of the path) -> why.
MEANT = {
    ("user_namespace", "devices./dev/mqueue"): "runc makes it before it has a group of the namespace",
    ("mount_flags", "mounts./m/0[0].super"): "runc 1.1 remounts a tmpfs read-only as it does a bind mount",
    ("cgroups_path", "mounts./sys/fs/cgroup[0].source"): "without a cgroup namespace pyrunc binds the host's mount",
    ("propagation", "mounts."): "runc 1.1 forgets rshared when it switches the root",
    ("many_mounts", "mounts./var[0].super"): "the mode of what a tmpfs with tmpcopyup covers, said at once",
    ("minimal", "status.Cap"): "without process.capabilities runc 1.1 drops all, newer ones leave the sets alone",
    ("minimal", "tried."): "for the same reason",
    ("all_hooks", "hooks[0]"): "prestart hooks are told that the container is created, as crun does it",
    ("all_hooks", "hooks[3]"): "poststart runs when the process does; runc before 1.4 ran it earlier",
    ("all_resources", "cgroup.cpu.weight"): "runc before 1.3.2 has the linear formula",
    ("all_resources", "cgroup.hugetlb.2MB.rsvd.max"): "runc 1.1 does not limit reservations",
}
#: What a host with hybrid cgroups and without CAP_SYS_RESOURCE cannot do.
GUEST_ONLY = {"all_resources", "rootless"}
#: What has to do with controllers, capabilities and cgroups, and may look otherwise where all of them are there.
OTHERWISE_IN_THE_GUEST = ("capabilities", "cgroups_path", "devices", "docker_like", "rlimits", "user_namespace")

COMPARED = [name for name in BUNDLES if name not in NOT_IN_RUNC]


@pytest.fixture(scope="module")
def host_side(private_world: None) -> Iterator[None]:
    """The folders and namespaces that named_bundles.py names, on a file system that only this process has."""
    top = Path(SHARED).parent
    top.mkdir(exist_ok=True)
    world.mount("tmpfs", top, "tmpfs", 0, "mode=755")
    for path in (Path(SHARED, "sub"), Path(JOINED)):
        path.mkdir(parents=True)
    Path(SHARED, "file").write_text("from the host\n")
    for file in JOINED_TYPES.values():
        Path(JOINED, file).touch()
    subprocess.run(["unshare", *(f"--{file}={JOINED}/{file}" for file in JOINED_TYPES.values()), "hostname", "joined"],
                   check=True)
    yield
    for file in JOINED_TYPES.values():
        world.unmount(Path(JOINED, file))
    world.unmount(top)


def with_probe(config: Config) -> Config:
    return bundles.merge(config, {"process": {"args": ["sh", "-c", probe.SCRIPT]}})


def view(runtime: Runtime, bundle: Path, name: str, config: Config) -> dict[str, Any]:
    """What the probe sees in the bundle under this runtime, through the console socket where it has a terminal."""
    if config["process"].get("terminal"):
        with Console(bundle / "console") as console:
            init = runtime.create(name, bundle, "--console-socket", str(bundle / "console"))
            console.accept()
            runtime.ok("start", name)
            text = console.read()
            init.wait(120)
            runtime.ok("delete", name)
        os.unlink(bundle / "console")
    elif "rootless" in str(bundle):
        text = as_user(runtime, bundle, name)
    else:
        init = runtime.create(name, bundle)
        runtime.ok("start", name)
        init.wait(120)                  # the probe is some hundred processes, and the guest may be an emulated one
        runtime.ok("delete", name)
        text = init.outcome.stdout
    whole = probe.parse(text)
    seen = comparable(whole, config["linux"].get("maskedPaths", []))
    if config["linux"].get("cgroupsPath"):
        seen["cgroup_path"] = [line for line in whole["process"]["cgroup"].splitlines() if line.startswith("0::")]
    if "rootless" in str(bundle):
        seen.pop("fds")                 # in a foreground run runc puts pipes between, pyrunc hands on what it has
    return seen


def as_user(runtime: Runtime, bundle: Path, name: str) -> str:
    """A run by uid 1000, who owns the bundle and the state root."""
    for folder in (bundle, runtime.root):
        subprocess.run(["chown", "-R", "1000:1000", folder], check=True)
    argv = [runtimes.for_anyone(runtime.path), *runtime.argv("run", "--bundle", bundle, name)[1:]]
    done = subprocess.run(argv, user=1000, group=1000, extra_groups=[],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
                          env={"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(runtime.root), "HOME": "/"})
    assert done.returncode == 0, done.stderr
    return done.stdout


def told_to_hooks() -> list[tuple[str, str, list[str]]]:
    """(kind, status, annotations and other keys) of the hooks that ran, in order; the record is removed."""
    record = Path(SHARED, "hooks")
    lines = [line for line in record.read_text().splitlines() if line]
    record.unlink()
    kinds, states = lines[::2], [json.loads(line) for line in lines[1::2]]
    return [(kind, state["status"], [*sorted(state), str(state.get("annotations"))])
            for kind, state in zip(kinds, states, strict=True)]


def compare(which: str, runtime: Runtime, place: Path, name: str, config: Config | None = None) -> None:
    config = with_probe(config or BUNDLES[which])
    bundle = bundles.bundle(place / which, config, host_usr=which == "host_usr")
    reference = Runtime(runtimes.find("runc"), place / "reference")
    seen = {}
    for driven in (reference, runtime):
        seen[driven] = view(driven, bundle, name, config)
        if which == "all_hooks":
            seen[driven]["hooks"] = told_to_hooks()
        shutil.rmtree(bundle)           # what one runtime made in the root (mount points) is not there for the next
        bundles.bundle(bundle, config, host_usr=which == "host_usr")
    found = [line for line in differences(seen[reference], seen[runtime])
             if not any(which == bundle_name and line.startswith(path) for bundle_name, path in MEANT)]
    assert not found, f"runc | {runtime.name}:\n" + "\n".join(found)


@pytest.mark.parametrize("which", [which for which in COMPARED if which not in GUEST_ONLY])
def test_same_view(which: str, runtime: Runtime, place: Path, name: str, host_side: None) -> None:
    compare(which, runtime, place, name)


@pytest.mark.guest
@pytest.mark.timeout(600)           # hundreds of processes, twice; the guest may be an emulated machine
@pytest.mark.parametrize("which", [*sorted(GUEST_ONLY), *OTHERWISE_IN_THE_GUEST])
def test_same_view_with_every_controller(which: str, runtime: Runtime, place: Path, name: str, host_side: None) -> None:
    compare(which, runtime, place, name)


def limits_of_devices(disk: str, rdma: str) -> Config:
    """What runc 1.1 can limit by device: "MAJ:MIN" of a block device with BFQ, and an RDMA device."""
    device = dict(zip(("major", "minor"), map(int, disk.split(":")), strict=True))
    throttles = {f"throttle{kind}Device": [{**device, "rate": rate}] for kind, rate in (
        ("ReadBps", 1048576), ("WriteBps", 2097152), ("ReadIOPS", 100), ("WriteIOPS", 200))}
    return bundles.docker_like(linux={"resources": {
        "blockIO": {"weight": 500, "weightDevice": [{**device, "weight": 700}], **throttles},
        "rdma": {rdma: {"hcaHandles": 3, "hcaObjects": 1000}}}})


@pytest.mark.guest
@pytest.mark.timeout(600)
def test_same_limits_of_devices(runtime: Runtime, place: Path, name: str, host_side: None) -> None:
    subprocess.run(["modprobe", "-a", "null_blk", "bfq"], check=True)
    scheduler = Path("/sys/block/nullb0/queue/scheduler")
    scheduler.write_text("bfq")
    try:
        config = limits_of_devices(Path("/sys/block/nullb0/dev").read_text().strip(), world.rdma_device())
        compare("limits_of_devices", runtime, place, name, config)
    finally:
        scheduler.write_text("none")
        subprocess.run(["modprobe", "-r", "null_blk"], check=True)


@pytest.mark.guest
@pytest.mark.timeout(600)
def test_same_confinement_by_apparmor(apparmor: None, runtime: Runtime, place: Path, name: str,
                                      host_side: None) -> None:
    compare("apparmor", runtime, place, name, bundles.docker_like(process={"apparmorProfile": "pyrunc-test"}))


#: Properties that Debian's runc does not know: newer than its specification 1.0.2, or never taken up.
NEWER = {"domainname", "scheduler", "ioPriority", "execCPUAffinity", "timeOffsets", "netDevices", "memoryPolicy",
         "personality", "burst", "idle", "checkBeforeUpdate", "schemata", "enableMonitoring", "mappings of mounts",
         "commandLine", "username", "freebsd", "solaris", "vm", "windows", "zos"}
#: What it knows and no bundle has, and why.
NOT_COMPARED = {
    "selinuxLabel": "no host of these tests has a policy", "mountLabel": "the same", "intelRdt": "needs the hardware",
    "listenerPath": "tests/container/test_seccomp_listener.py, run with --runtime runc", "listenerMetadata": "the same",
    "kernel": "cgroup v1", "kernelTCP": "cgroup v1", "swappiness": "cgroup v1", "disableOOMKiller": "cgroup v1",
    "useHierarchy": "cgroup v1", "realtimeRuntime": "cgroup v1", "realtimePeriod": "cgroup v1",
    "leafWeight": "cgroup v1", "network": "cgroup v1", "flags": "of seccomp: refused by runc 1.1",
    "defaultErrnoRet": "as errnoRet",
}


def test_every_property_that_runc_knows_is_in_a_bundle() -> None:
    used: set[str] = set()

    def take(value: Any) -> None:
        for member in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            take(member)
        if isinstance(value, dict):
            used.update(value)
    for config in (*BUNDLES.values(), limits_of_devices("8:0", "rxe0"), {"apparmorProfile": "pyrunc-test"}):
        take(config)

    def known(schema: Any, folder: Path) -> set[str]:
        """Names of the properties in a schema, without going into those that runc does not know or nothing compares."""
        if isinstance(schema, list):
            return set().union(*(known(part, folder) for part in schema))
        if not isinstance(schema, dict):
            return set()
        found: set[str] = set()
        for key, part in schema.items():
            if key == "properties":
                for name, member in part.items():
                    found |= {name} if name not in NEWER | set(NOT_COMPARED) else set()
                    if name not in NEWER | set(NOT_COMPARED):
                        found |= known(member, folder)
            elif key == "$ref":
                found |= follow(part, folder)
            elif key != "$defs":
                found |= known(part, folder)
        return found

    def follow(ref: str, folder: Path) -> set[str]:
        file, _, pointer = ref.partition("#")
        document = json.loads((folder / (file or current[-1])).read_text())
        current.append(file or current[-1])
        for step in pointer.split("/")[1:]:
            document = document[step]
        found = known(document, folder)
        current.pop()
        return found
    current = ["config.json"]
    names = follow("config.json", Path(__file__).parents[2] / "schemas")
    assert len(names) > 80 and names - used == set(), sorted(names - used)
