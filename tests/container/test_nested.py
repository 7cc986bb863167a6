"""pyrunc in a container of pyrunc: what a builder or an engine in a container does."""
from __future__ import annotations

from pathlib import Path

import pytest

from pyrunc.kernel.constants import CAPABILITIES
from tests import bundles
from tests.bundles import docker_like
from tests.runtimes import Runtime

#: The inner container is told apart by its hostname and its limit; afterwards nothing of it is left in the outer one.
SCRIPT = """
set -e
mkdir -p /run /tmp /sys/fs/cgroup/outer
echo $$ >/sys/fs/cgroup/outer/cgroup.procs
$PYRUNC --root /run/inner run --bundle /inner box
test -z "$($PYRUNC --root /run/inner list --quiet)"
test ! -d /sys/fs/cgroup/box
echo left nothing
"""


@pytest.mark.guest
def test_a_container_in_a_container(runtime: Runtime, place: Path, name: str) -> None:
    show = ["sh", "-c", "hostname; cat /sys/fs/cgroup/pids.max; id -u"]
    inner = docker_like(hostname="inner", process={"args": show},
                        linux={"resources": {"pids": {"limit": 7}}})
    mounts = [{**mount, "options": [option for option in mount["options"] if option != "ro"]}
              for mount in bundles.host_mounts()]
    checkout = str(Path(__file__).parents[2])           # and with it the runtime, whether frozen or not
    mounts.append({"destination": checkout, "type": "bind", "source": checkout, "options": ["rbind", "ro"]})
    outer = docker_like(mounts=mounts, process={"args": ["sh", "-c", SCRIPT], "capabilities": dict.fromkeys(
        ("bounding", "effective", "permitted"), CAPABILITIES), "env": [bundles.PATH, f"PYRUNC={runtime.path}"]},
        linux={"resources": {"devices": [{"allow": True, "access": "rwm"}]}, "maskedPaths": [], "readonlyPaths": []})
    bundle = bundles.bundle(place / "outer", outer, host_usr=True)
    bundles.bundle(bundle / "rootfs/inner", inner)
    outcome = runtime.ok("run", "--bundle", bundle, name)
    assert outcome.stdout.splitlines() == ["inner", "7", "0", "left nothing"]
