"""sd_notify(3) through the runtime: the container gets a socket of its own to say that it is ready on.

The socket's folder, <root>/<id>/notify, is bound on /run/notify like any mount of config.json, after all of them; the
socket is made in it when the container is started (pyrunc/runtime/sd_notify.py).
"""
from __future__ import annotations

import posix

from ..engine.step import Step
from ..request import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..config.types import Mount
    from ..engine.facts import Facts
    from ..kernel.linux import Kernel

FOLDER = "notify"
DESTINATION = "/run/notify"


class Folder(Step):
    """Every process of the container may reach what is in it, whoever the user is there."""
    name = "sd_notify.folder"
    spec = "runtime-linux.md#linux-runtime"

    def describe(self) -> str:
        return f"make a directory for the container's notify socket, which is bound on {DESTINATION}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.mkdir(FOLDER, 0o755, facts.state_fd)
        fd = kernel.open(FOLDER, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW, 0, facts.state_fd)
        kernel.chmod(fd, 0o755)              # whatever the caller's umask is
        kernel.close(fd)


def folder(want: Request) -> Iterator[Step]:
    """PARENT, once the container has a directory."""
    if want.options.notify_socket:
        yield Folder()


def mounted(want: Request) -> Request:
    """The same with the mount, if the caller has a notify socket and nothing is mounted there already."""
    mounts, options = want.config.get("mounts") or [], want.options
    if not options.notify_socket or any(mount["destination"] == DESTINATION for mount in mounts):
        return want
    mount: Mount = {"destination": DESTINATION, "source": f"{options.root}/{options.id}/{FOLDER}",
                    "options": ["bind", "nosuid", "noexec", "nodev", "ro"]}
    return Request({**want.config, "mounts": [*mounts, mount]}, options, want.host)
