"""`check` where there is much to look at: its time grows with the config, and mounts elsewhere do not count."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from pyrunc.checks import mount_points
from pyrunc.host import Host
from tests import cpu
from tests.bundles import minimal

HERE = Host(capabilities=0, cgroup_mount="/nowhere")


def found(bundle: Path, mounts: list[dict[str, Any]]) -> list[str]:
    config: Any = minimal(mounts=mounts)
    return [finding.where for finding in mount_points.findings(config, str(bundle), str(bundle / "rootfs"), HERE)]


def test_a_mount_elsewhere_whose_name_is_as_long_hides_nothing(tmp_path: Path) -> None:
    """Below a read-only bind mount on /data: one on /abcd/new was once taken for one on /data/new."""
    for folder in ("rootfs/data", "rootfs/abcd", "source"):
        (tmp_path / folder).mkdir(parents=True)
    outer = {"destination": "/data", "source": str(tmp_path / "source"), "options": ["bind", "ro"]}
    elsewhere = {"destination": "/abcd/new", "type": "tmpfs", "source": "tmpfs"}
    inner = {"destination": "/data/new/dir", "type": "tmpfs", "source": "tmpfs"}
    assert found(tmp_path, [outer, inner]) == ["mounts[1].destination"]
    assert found(tmp_path, [outer, elsewhere, inner]) == ["mounts[2].destination"]
    there = {"destination": "/data/new", "type": "tmpfs", "source": "tmpfs"}
    assert found(tmp_path, [outer, there, inner]) == ["mounts[1].destination"], "what is mounted there hides the rest"


def test_its_time_grows_with_the_number_of_mounts_not_with_its_square(tmp_path: Path) -> None:
    (tmp_path / "rootfs/tmp").mkdir(parents=True)
    (tmp_path / "source").mkdir()

    def least(count: int) -> float:
        mounts = [{"destination": "/tmp", "source": str(tmp_path / "source"), "options": ["bind"]}, *(
            {"destination": f"/tmp/{number}", "source": str(tmp_path / "source"), "options": ["bind"]}
            for number in range(count))]
        assert found(tmp_path, mounts) == []
        return min(cpu.seconds(lambda: found(tmp_path, mounts)) for _ in range(3))
    assert least(4000) < 60 * least(250), "sixteen times as many; by the square it were 256 times as long"
