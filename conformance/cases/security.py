"""Published holes of runtimes, tried: the profile `security`. More of them: docs/security.md of pyrunc has the list."""
from __future__ import annotations

import os
from pathlib import Path

from ..harness import bundles
from ..harness.trial import Trial
from ..model import Fails, case


@case("config.md#mounts", profile="security", demand="CVE-2024-21626: no descriptor of the host is open at cwd")
def cwd_through_a_descriptor(t: Trial) -> None:
    """A cwd of /proc/self/fd/N leads to no folder of the host"""
    for number in range(3, 12):
        id = t.new_id()
        bundle = t.bundle(process={"cwd": f"/proc/self/fd/{number}", "args": ["sleep", "100"]})
        if t.runtime("create", "--bundle", bundle, "--pid-file", t.place / "pid", id).status or \
                t.runtime("start", id).status:
            continue
        pid = int((t.place / "pid").read_text())
        # A folder of the host is above the container's root, and no path of the container leads there.
        here = os.readlink(f"/proc/{pid}/cwd")
        root = f"/proc/{pid}/root"
        if not os.path.exists(root + here) or not os.path.samefile(root + here, f"/proc/{pid}/cwd"):
            raise Fails(f"descriptor {number} is {here}, which is outside of the container")


@case("config.md#mounts", profile="security", demand="CVE-2019-19921, CVE-2021-30465: links in the image lead nowhere")
def destination_behind_a_link(t: Trial) -> None:
    """A mount whose destination is a link out of the root is made in the root"""
    bundle = t.bundle(mounts=[*bundles.MOUNTS, bundles.tmpfs("/link/inner")])
    outside = t.place / "outside"
    outside.mkdir()
    (bundle / "rootfs/link").symlink_to("../" * 12 + str(outside))
    id = t.new_id()
    t.runtime("create", "--bundle", bundle, id)
    t.equal([path.name for path in outside.iterdir()], [], "made outside of the root")


@case("config.md#mounts", profile="security", demand="CVE-2019-16884: /proc of the image cannot be in place of procfs")
def proc_behind_a_link(t: Trial) -> None:
    """A /proc of the image that is a link is not mounted elsewhere"""
    bundle = t.bundle()
    (bundle / "rootfs/proc").rmdir()
    (bundle / "rootfs/elsewhere").mkdir()
    (bundle / "rootfs/proc").symlink_to("elsewhere")
    id = t.new_id()
    if t.runtime("create", "--bundle", bundle, "--pid-file", t.place / "pid", id).status == 0:
        pid = (t.place / "pid").read_text()
        lines = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
        t.true(not any(line.split()[4].endswith("/elsewhere") for line in lines), "procfs is mounted at /elsewhere")


@case("config.md#mounts", profile="security", demand="CVE-2022-29162: no inheritable capabilities by default")
def no_inheritable_capabilities(t: Trial) -> None:
    """Without inheritable in config.json no capability is inheritable"""
    sets = {name: ["CAP_CHOWN", "CAP_KILL"] for name in ("bounding", "effective", "permitted")}
    t.equal(t.inside("sed -n 's/^CapInh:.//p' /proc/self/status", process={"capabilities": sets}), "0" * 16, "CapInh")


@case("config.md#mounts", profile="security", demand="CVE-2019-5736: the runtime cannot be overwritten from inside")
def runtime_is_not_writable(t: Trial) -> None:
    """An init that waits for start runs a copy of the runtime, or the runtime on a mount that is read-only"""
    made = t.create()
    exe = f"/proc/{made.pid}/exe"
    t.true(not os.path.samefile(exe, t.program.path) or os.statvfs(exe).f_flag & os.ST_RDONLY,
           "the init runs the runtime's own file, and could write it")


@case("config.md#mounts", profile="security", demand="CVE-2025-31133: a masked path that is a link masks nothing else")
def masked_path_behind_a_link(t: Trial) -> None:
    """A /dev/null that the image has made a link is not what masks"""
    bundle = t.bundle(mounts=[bundles.PROC], linux={"maskedPaths": ["/secret"]}, process={"args": ["cat", "/secret"]})
    (bundle / "rootfs/secret").write_text("secret")
    (bundle / "rootfs/dev/null").symlink_to("/etc/passwd")
    id = t.new_id()
    made = t.runtime("create", "--bundle", bundle, id)
    if made.status == 0 and t.runtime("start", id).status == 0:
        t.true("root:" not in made.stdout and "secret" not in made.stdout, f"cat /secret prints {made.stdout[:100]!r}")
