"""`restore`: CRIU makes the processes of a checkpoint again, in a container that the runtime prepares around them.

CRIU is started first and waits in the container's cgroup, so that what it makes is born there; its notifications are
the places between which the other steps stand. It works in a mount namespace of its own: the mount of the root that it
needs is nobody else's, and goes with it however it ends.
"""
from __future__ import annotations

import posix

from ..criu import images, mounts
from ..criu.messages import RESTORE, Response, pair
from ..criu.options import OUTSIDE, Choices, common
from ..criu.service import Criu, find
from ..engine.fields import Fields
from ..engine.step import Step
from ..errors import Refused, UsageError
from ..kernel.namespaces import NAMESPACES
from ..paths import absolute
from ..rootfs import destination
from ..state import intent
from . import hooks, terminal
from .cgroup import born_inside, of_process
from .checkpoint import ImageStep, Opened
from .state import Intent, Reserve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ..config.types import Config
    from ..engine.facts import Facts
    from ..formats.protobuf import Value
    from ..kernel.linux import Kernel
    from ..options import Options
    from ..request import Request

LOG = "restore.log"
ROOT = "criu-root"                       # in the state directory: CRIU wants a root that is a mount point
MS_BIND, MS_REC, MS_SLAVE = 4096, 16384, 1 << 19
NEWNS, NEWNET = NAMESPACES["mount"][0], NAMESPACES["network"][0]


class Images(ImageStep):
    """Open the images, and refuse what is none."""
    name = "restore.images"

    def describe(self) -> str:
        return f"open the images in {self.path} and check that they are files"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        fd = kernel.open(self.path, images.DIRECTORY)
        opened = self.opened(kernel, fd, LOG)
        images.check(fd, self.path)
        opened.streams = images.inherited(fd, self.path)
        facts.keep(self, opened)


class MountPoints(Step):
    """A root that is new has not got the places that create made: make them, below no other mount."""
    name = "restore.mount_points"
    spec = "config.md#mounts"
    rootfs: str
    places: Sequence[tuple[str, str]]    # (destination, source of a bind mount or "")

    def describe(self) -> str:
        return "make the mount points that are missing in the root file system"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        root = kernel.open(self.rootfs, posix.O_PATH | posix.O_DIRECTORY)
        for path, source in self.places:
            directory = not source or kernel.stat_path(source).st_mode & destination.S_IFMT == destination.S_IFDIR
            kernel.close(destination.place(kernel, root, path, directory)[0])
        kernel.close(root)


class Started(Fields):
    """criu at work: its root, and descriptors of its own mount namespace, for it mounts in there."""
    criu: Criu
    root: str
    images_fd: int = -1
    work_fd: int = -1


class Service(Step):
    """Start criu: in the container's cgroup, in a mount namespace with the root, and dead when the runtime dies.

    inherit    namespaces that are joined: (CRIU's name of it, path)
    """
    name = "restore.criu"
    program: str
    images: Images
    rootfs: str
    into_cgroup: bool
    inherit: Sequence[tuple[str, str]]

    def describe(self) -> str:
        return f"start {self.program} in a mount namespace of its own, with {self.rootfs} mounted there"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.mkdir(ROOT, 0o700, facts.state_fd)
        root = kernel.fd_path(facts.state_fd) + f"/{ROOT}"

        def prepare() -> None:
            kernel.mount("none", "/", "", MS_REC | MS_SLAVE)
            kernel.mount(self.rootfs, root, "", MS_BIND | MS_REC)

        extra = [kernel.open(path, posix.O_RDONLY) for _, path in self.inherit]
        opened: Opened = facts.results[self.images]
        criu = Criu(self.program, opened.work_fd, self.images.log_place, LOG)
        service = Started(criu=criu, root=root)
        facts.keep(self, service)
        criu.start(kernel, NEWNS, facts.cgroup_fd if self.into_cgroup else -1, True, extra, prepare)
        for fd in extra:
            kernel.close(fd)
        # In its namespace to the end: containerd's work directory lies behind an absolute link.
        there = kernel.open(f"/proc/{criu.pid}/root", posix.O_PATH | posix.O_DIRECTORY)
        service.images_fd = kernel.open_in_root(there, self.images.path, images.DIRECTORY)
        service.work_fd = kernel.open_in_root(there, self.images.log_place, images.DIRECTORY)
        kernel.close(there)
        facts.pid = criu.pid             # systemd makes the scope around it

    def undo(self, kernel: Kernel, facts: Facts) -> None:
        started = facts.results.get(self)
        if started is not None:
            started.criu.end()


class Begin(Step):
    """Ask for the restore and wait until the init exists in its namespaces, empty as yet."""
    name = "restore.begin"
    service: Service
    images: Images
    given: Mapping[str, Value | Sequence[Value]]
    console: Console

    def describe(self) -> str:
        return "have criu make the init and its namespaces"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        service: Started = facts.results[self.service]
        opened: Opened = facts.results[self.images]
        criu = service.criu
        inherit = [pair(name, 4 + number) for number, (name, _) in enumerate(self.service.inherit)]
        inherit += [pair(name, number) for name, number in opened.streams.items()]
        criu.ask(RESTORE, {**self.given, "images_dir_fd": service.images_fd, "work_dir_fd": service.work_fd,
                           "log_file": LOG, "root": service.root, "inherit_fd": inherit,
                           "cg_root": [pair("", of_process(kernel, criu.pid))]})
        facts.pid = criu.until("setup-namespaces", self.console.taking(kernel, facts)).pid


class Loopback(Step):
    """The network namespace is new and empty: its loopback device is up, as in a created container."""
    name = "restore.loopback"
    spec = "config-linux.md#network"

    def describe(self) -> str:
        return "set lo up in the container's network namespace"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        own, its = kernel.open("/proc/self/ns/net", posix.O_RDONLY), kernel.open(f"/proc/{facts.pid}/ns/net", 0)
        kernel.setns(its, NEWNET)
        try:
            kernel.loopback_up()
        finally:
            kernel.setns(own, NEWNET)
            kernel.close(own)
            kernel.close(its)


class Processes(Step):
    """Let CRIU go on until all processes are there and stand still; the init is a child of the runtime."""
    name = "restore.processes"
    service: Service
    console: Console

    def describe(self) -> str:
        return "have criu make the mounts and the processes, which do not run yet"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        criu = facts.results[self.service].criu
        criu.go_on()
        facts.pid = criu.until("post-restore", self.console.taking(kernel, facts)).pid
        facts.pidfd = kernel.pidfd_open(facts.pid)

    def undo(self, kernel: Kernel, facts: Facts) -> None:
        if facts.pidfd >= 0:
            kernel.kill_and_reap(facts.pid, facts.pidfd)
            facts.pidfd = -1


class CheckMounts(Step):
    """What config.json gives read-only must not have come back writable."""
    name = "restore.check_mounts"
    spec = "config.md#mounts"
    config: Config
    options: Options

    def describe(self) -> str:
        return "check that read-only bind mounts are read-only"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        mounts.check(kernel, facts.pid, self.config, self.options)


class Run(Step):
    """The processes run from here on, and CRIU ends."""
    name = "restore.run"
    service: Service
    console: Console

    def describe(self) -> str:
        return "have criu let the processes run"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        criu = facts.results[self.service].criu
        criu.go_on()
        criu.until("", self.console.taking(kernel, facts))
        criu.finish()
        kernel.rmdir(ROOT, facts.state_fd)


class Console(Step):
    """The master of the restored terminal, which CRIU hands out while it works: to the engine, or for us to copy."""
    name = "restore.console"
    spec = terminal.SPEC
    receiver: str

    def describe(self) -> str:
        return f"send the terminal's master to {self.receiver}"

    def taking(self, kernel: Kernel, facts: Facts) -> Callable[[Response, int], None]:
        """What is to be called with every notification: it keeps the master."""
        def take(response: Response, fd: int) -> None:
            if response.script == "orphan-pts-master" and fd >= 0:
                facts.keep(self, fd)
            elif fd >= 0:
                kernel.close(fd)
        return take

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        master = facts.kept(self, -1)
        if master < 0:
            raise Refused("process.terminal is true, and the images have no terminal")
        if facts.console_socket < 0:
            facts.console_fd = master
            return
        kernel.send_on(facts.console_socket, terminal.NAME, master)
        kernel.close(master)
        kernel.close(facts.console_socket)
        facts.console_socket = -1


# ---- planner functions ------------------------------------------------------------------------------------------
def reserve(want: Request) -> Iterator[Step]:
    """PARENT: the container's directory, without a fifo: nobody waits for `start`."""
    yield Reserve(root=want.options.root, id=want.options.id)
    yield Intent(intent=intent.intent(want))


class Restore:
    """The steps of one restore, which share the images, CRIU and the terminal. PyruncError without criu."""

    def __init__(self, want: Request, choices: Choices) -> None:
        self.want, self.choices = want, choices
        self.images = Images(path=choices.image_path, work_path=choices.work_path)
        if "cgroup" in want.namespaces.joined:
            raise UsageError("a container that joins a cgroup namespace cannot be restored: criu cannot do that")
        self.service = Service(
            program=find(), images=self.images, rootfs=want.rootfs, into_cgroup=born_inside(want),
            inherit=[(OUTSIDE[kind][1], path) for kind, (path, _) in want.namespaces.joined.items() if kind in OUTSIDE])
        self.terminal = terminal.wants(want.config)
        self.console = Console(receiver=want.options.console_socket or "the runtime", where="process.terminal")

    def prepare(self) -> Iterator[Step]:
        """PARENT, before anything is made outside the container's directory."""
        yield self.images
        if self.terminal and self.want.options.console_socket:
            yield terminal.Connect(path=self.want.options.console_socket, where="process.terminal")
        places: list[tuple[str, str]] = []
        covered: list[str] = []
        for parsed, fields in self.want.mounts:
            path = fields["path"]
            if fields["kind"] != "cgroup2" and not any(path.startswith(f"{above}/") for above in covered):
                places.append((path, absolute(fields["source"], self.want.options.bundle) if parsed.bind else ""))
            covered.append(path)
        yield MountPoints(rootfs=self.want.rootfs, places=places)

    def start(self) -> Iterator[Step]:
        """PARENT, when the cgroup is there."""
        yield self.service

    def processes(self) -> Iterator[Step]:
        """PARENT, when CRIU is in the cgroup: to processes that stand still."""
        spaces = self.want.namespaces
        joined = [encode_join(kind, path) for kind, (path, _) in spaces.joined.items() if kind not in OUTSIDE]
        yield Begin(service=self.service, images=self.images, console=self.console, given={
            **common(self.choices, self.want.config), "evasive_devices": True, "rst_sibling": True,
            "ext_mnt": [pair(mount.name, mount.source)
                        for mount in mounts.external(self.want.config, self.want.options.bundle)],
            "join_ns": joined, "lsm_profile": self.choices.lsm_profile,
            "lsm_mount_context": self.choices.lsm_mount_context})
        if "network" in spaces.new:
            yield Loopback()
        yield from (step for step in hooks.create_runtime(self.want)
                    if isinstance(step, hooks.Run))       # without the barriers: there is no second walk of the plan
        yield Processes(service=self.service, console=self.console)
        yield CheckMounts(config=self.want.config, options=self.want.options)

    def run(self) -> Iterator[Step]:
        """PARENT, when the state is saved."""
        yield Run(service=self.service, console=self.console)
        if self.terminal:
            yield self.console


def encode_join(kind: str, path: str) -> bytes:
    """CRIU's name of a namespace to join, and where it is."""
    return pair(NAMESPACES[kind][1], path)
