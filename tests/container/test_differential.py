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
    ("propagation", "mounts."): "runc 1.1 forgets rshared when it switches the root",
    ("many_mounts", "mounts./var[0].super"): "the mode of what a tmpfs with tmpcopyup covers, said at once",
    ("minimal", "status.Cap"): "without process.capabilities runc 1.1 drops all, newer ones leave the sets alone",
    ("all_hooks", "hooks[3]"): "poststart runs when the process does; runc before 1.4 ran it earlier",
    ("all_resources", "cgroup.cpu.weight"): "runc before 1.3.2 has the linear formula",
    ("all_resources", "cgroup.hugetlb.2MB.rsvd.max"): "runc 1.1 does not limit reservations",
}
#: What a host with hybrid cgroups and without CAP_SYS_RESOURCE cannot do.
GUEST_ONLY = {"all_resources", "rootless"}

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
            init.wait()
            runtime.ok("delete", name)
        os.unlink(bundle / "console")
    elif "rootless" in str(bundle):
        text = as_user(runtime, bundle, name)
    else:
        _, text = runtime.whole_life(name, bundle)
    seen = comparable(probe.parse(text), config["linux"].get("maskedPaths", []))
    if "rootless" in str(bundle):
        seen.pop("fds")                 # in a foreground run runc puts pipes between, pyrunc hands on what it has
    return seen


def as_user(runtime: Runtime, bundle: Path, name: str) -> str:
    """A run by uid 1000, who owns the bundle and the state root."""
    for folder in (bundle, runtime.root):
        subprocess.run(["chown", "-R", "1000:1000", folder], check=True)
    done = subprocess.run(runtime.argv("run", "--bundle", bundle, name), user=1000, group=1000, extra_groups=[],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
                          env={"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(runtime.root), "HOME": "/"})
    assert done.returncode == 0, done.stderr
    return done.stdout


def told_to_hooks() -> list[tuple[str, str, list[str]]]:
    """(kind, status, other keys) of the hooks that ran, in order; the record is removed."""
    record = Path(SHARED, "hooks")
    lines = [line for line in record.read_text().splitlines() if line]
    record.unlink()
    kinds, states = lines[::2], [json.loads(line) for line in lines[1::2]]
    return [(kind, state["status"], sorted(state)) for kind, state in zip(kinds, states, strict=True)]


def compare(which: str, runtime: Runtime, place: Path, name: str) -> None:
    config = with_probe(BUNDLES[which])
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
@pytest.mark.parametrize("which", COMPARED)
def test_same_view_with_every_controller(which: str, runtime: Runtime, place: Path, name: str, host_side: None) -> None:
    compare(which, runtime, place, name)
