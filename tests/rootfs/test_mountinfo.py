"""/proc/PID/mountinfo, whose names a container may choose."""
from __future__ import annotations

from pyrunc.rootfs.mountinfo import parse

TEXT = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
31 22 8:1 /a\\040b /c\\134d rw,nosuid shared:1 master:2 - xfs /dev/x rw
40 31 0:30 / /e\x0cf\x1cg\u2028h ro - tmpfs none rw
"""


def test_fields_without_the_kernels_escapes() -> None:
    mount = parse(TEXT)[31]
    assert (mount.parent, mount.device, mount.root, mount.point) == (22, "8:1", "/a b", r"/c\d")
    assert (mount.options, mount.kind) == (["rw", "nosuid"], "xfs")


def test_only_a_newline_ends_a_line() -> None:
    assert list(parse(TEXT)) == [22, 31, 40]
    assert parse(TEXT)[40].point == "/e\x0cf\x1cg\u2028h"
