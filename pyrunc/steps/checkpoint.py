"""`checkpoint`: CRIU writes the processes of a container into image files, and ends them unless they shall go on."""
from __future__ import annotations

import stat

from ..config.namespaces import Namespaces
from ..criu import images, mounts
from ..criu.messages import DUMP, PRE_DUMP, Response, pair
from ..criu.options import OUTSIDE, Choices, common
from ..criu.service import Criu, find
from ..engine.fields import Fields
from ..engine.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from ..config.types import Config
    from ..engine.facts import Facts
    from ..formats.protobuf import Value
    from ..kernel.linux import Kernel
    from ..options import Options

LOG = "dump.log"


class Opened(Fields):
    """Descriptors of the directories of the images and of the log."""
    fd: int
    work_fd: int
    streams: Mapping[str, int] = {}      # restore: what stands in for the standard streams of then


class ImageStep(Step):
    """Where the images are, and where the log is unless it is beside them. Its result: both, opened."""
    path: str
    work_path: str

    @property
    def log_place(self) -> str:
        return self.work_path or self.path

    def opened(self, kernel: Kernel, fd: int, log: str) -> Opened:
        """The place of the images, which is open, and that of the log, without the log of another time."""
        work_fd = images.make(kernel, self.work_path) if self.work_path else fd
        images.clear(work_fd, log)
        return Opened(fd=fd, work_fd=work_fd)


class Directories(ImageStep):
    """Make them."""
    name = "checkpoint.directories"

    def describe(self) -> str:
        return f"make {self.path} for the images" + (f" and {self.work_path} for the log" if self.work_path else "")

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        facts.keep(self, self.opened(kernel, images.make(kernel, self.path), LOG))


class Mounts(Step):
    """Name the mounts that CRIU is to leave out. Its result: (where, name) of each."""
    name = "checkpoint.mounts"
    pid: int
    config: Config
    options: Options

    def describe(self) -> str:
        return "find the mounts that come from outside the container"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        facts.keep(self, list(mounts.names(kernel, self.pid, self.config, self.options)))


class Streams(Step):
    """Which pipes the init's standard streams were, for the ones that take their place (criu(8), --inherit-fd).

    A fifo or a file of the host's (a shim's, a log) is in no mount of the container, where CRIU would look for it: it
    gets a name by which CRIU leaves it out (--external file[mount:inode]). The result: all the names.
    """
    name = "checkpoint.streams"
    directories: Directories
    streams: list[str]
    pid: int

    def describe(self) -> str:
        return f"write {images.DESCRIPTORS}: what the standard streams are"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        own = {line.partition(" ")[0] for line in kernel.read_file(f"/proc/{self.pid}/mountinfo").splitlines()}
        names = [self._named(kernel, number, link, own) for number, link in enumerate(self.streams)]
        images.write_streams(kernel, facts.results[self.directories].fd, names)
        facts.keep(self, names)

    def _named(self, kernel: Kernel, number: int, link: str, own: set[str]) -> str:
        if not link.startswith("/"):
            return link
        try:
            found = kernel.stat_path(f"/proc/{self.pid}/fd/{number}")
            about = kernel.read_file(f"/proc/{self.pid}/fdinfo/{number}")
        except FileNotFoundError:                        # closed since
            return link
        mount = next((line.split()[1] for line in about.splitlines() if line.startswith("mnt_id:")), "")
        if not mount or mount in own or not (stat.S_ISFIFO(found.st_mode) or stat.S_ISREG(found.st_mode)):
            return link
        return f"{images.FILE}[{int(mount):x}:{found.st_ino:x}]"


class Dump(Step):
    """One dump. With pre_dump memory only, while the processes go on."""
    name = "checkpoint.dump"
    program: str
    directories: Directories
    mounts: Mounts | None
    streams: Streams | None
    pid: int
    choices: Choices
    outside: Sequence[str]               # types of namespaces that the container has joined
    given: Mapping[str, Value | Sequence[Value]]

    def describe(self) -> str:
        if self.choices.pre_dump:
            return f"have criu write the memory of process {self.pid} and its descendants, which keep running"
        then = "keep running" if self.choices.leave_running else "end"
        return f"have criu write process {self.pid} and its descendants, which {then}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        external: list[Value] = []
        for kind in self.outside:
            word, key = OUTSIDE[kind]
            inode = kernel.stat_path(f"/proc/{self.pid}/ns/{word}").st_ino
            external.append(f"{word}[{inode}]:{key}")
        if self.mounts is not None:
            external += [f"mnt[{place}]:{name}" for place, name in facts.results[self.mounts]]
        if self.streams is not None:
            external += {name: None for name in facts.results[self.streams] if name.startswith(images.FILE + "[")}
        at: Opened = facts.results[self.directories]
        criu = Criu(self.program, at.work_fd, self.directories.log_place, LOG)
        criu.start(kernel)
        try:
            criu.ask(PRE_DUMP if self.choices.pre_dump else DUMP, {
                **self.given, "images_dir_fd": at.fd, "work_dir_fd": at.work_fd, "log_file": LOG, "pid": self.pid,
                "external": external})
            criu.until("", lambda response, fd: self._tell(kernel, response))
            criu.finish()
        finally:
            criu.end()

    def _tell(self, kernel: Kernel, response: Response) -> None:
        """Lazy pages: whoever waits at --status-fd may begin to fetch them."""
        if response.script == "status-ready" and self.choices.status_fd >= 0:
            kernel.write(self.choices.status_fd, b"\0")
            kernel.close(self.choices.status_fd)


def dump(config: Config, options: Options, state: Mapping[str, Any], choices: Choices) -> Iterator[Step]:
    """All of checkpoint, PARENT. state: state.json of a container whose init runs. PyruncError without criu."""
    program, pid = find(), state["pid"]
    directories = Directories(path=choices.image_path, work_path=choices.work_path)
    found = streams = None
    yield directories
    if not choices.pre_dump:
        found = Mounts(pid=pid, config=config, options=options)
        yield found
        streams = Streams(directories=directories, streams=list(state.get("streams", ())), pid=pid)
        yield streams
    given: dict[str, Value | Sequence[Value]] = {
        **common(choices, config), "root": state["rootfs"], "leave_running": choices.leave_running,
        "tcp_skip_in_flight": choices.tcp_skip_in_flight, "link_remap": choices.link_remap,
        "parent_img": choices.parent_path, "track_mem": bool(choices.parent_path), "freeze_cgroup": state["cgroup"]}
    if choices.page_server is not None:
        given["ps"] = pair(*choices.page_server)
    yield Dump(program=program, directories=directories, mounts=found, streams=streams, pid=pid,
               choices=choices, given=given, outside=[kind for kind in Namespaces(config).joined if kind in OUTSIDE])
