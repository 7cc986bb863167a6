"""Checkpoint images: names in them lead to nothing of the machine."""
from __future__ import annotations

from pathlib import Path

from ...harness import bundles
from ...harness.hostile import kept, up
from ...harness.trial import Trial
from ...model import NotHere, ask_each


@ask_each("security", {
    "link": ("CVE-2026-119101, CVE-2026-119614", "/link/inner"),
    "mark": ("CVE-2026-115520", "/data]:/x"),
    "climbing": ("CVE-2026-119101", "/data/../link/inner")}, seconds=60)
def volume_with_a_name_that_leads_out(t: Trial, destination: str) -> None:
    """a volume with such a destination is the same after checkpoint and restore, and shows nothing of the machine"""
    with kept(t) as outside:
        volume = t.place / "volume"
        volume.mkdir()
        bundle = t.bundle(mounts=[*bundles.MOUNTS, bundles.bind(volume, destination, "ro")],
                          process={"args": ["sh", "-c", "exec </dev/null >/dev/null 2>&1; while :; do sleep 1; done"]})
        (bundle / "rootfs/link").symlink_to(up(outside))
        id, images = t.new_id(), t.place / "images"
        if (done := t.runtime("create", "--bundle", bundle, id)).status:
            return                                        # refused: nothing is bound
        t.runtime.ok("start", id)
        done = t.runtime("checkpoint", "--image-path", images, id, seconds=40)
        if done.status:
            raise NotHere(f"no checkpoint is made: {done.stderr.strip()[-200:]}")
        t.runtime("delete", "--force", id)
        again = t.new_id()
        done = t.runtime("restore", "--detach", "--image-path", images, "--bundle", bundle, again, seconds=40)
        if done.status:
            return
        pid = t.runtime.state(again)["pid"]
        lines = [line.split() for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
        found = [line for line in lines if line[3].endswith("/outside")]
        t.equal(found, [], "mounts of a folder of the machine in the restored container")
        flags = [line[5] for line in lines if line[3].endswith("/volume")]
        t.true(flags and all("ro" in flag.split(",") for flag in flags), f"flags of the volume: {flags}")
