"""The container's cgroup: made before the init, which is born in it, limited, and given away where it is delegated.

With the systemd driver it is the other way round: a scope needs a process to start with, so the init is cloned
first and waits (join). A runtime without permission for cgroups does without one when nothing needs it (--rootless).
"""
from __future__ import annotations

import errno
import posix

from ..cgroups import create as creation
from ..cgroups import path as place
from ..cgroups import resources as limit
from ..cgroups import write
from ..cgroups.v2 import Cgroup
from ..config.mappings import host_id
from ..config.namespaces import Namespaces
from ..engine.step import CHILD, PARENT, Barrier, Step
from ..errors import OOM_KILLED, ConfigError, Refused
from ..paths import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..config.types import Config, Memory, Resources
    from ..engine.facts import Facts
    from ..host import Host
    from ..kernel.linux import Kernel
    from ..options import Options
    from ..request import Request

SPEC = "config-linux.md#control-groups"
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
END_SECONDS = 10.0


class CgroupStep(Step):
    spec = SPEC


class Create(CgroupStep):
    """Make it and mark it as this container's."""
    name = "cgroup.create"
    spec = "config-linux.md#cgroups-path"
    mount: str
    path: str
    own: str                         # the runtime's own cgroup; "" when it may move processes everywhere
    wanted: Sequence[str]            # controllers that limits need
    mark: str
    spare: bool                      # without permission, do without

    def describe(self) -> str:
        return f"make cgroup {self.path}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        try:
            facts.cgroup_fd = creation.make(kernel, self.mount, self.path, self.wanted, self.mark)
            if self.own:
                creation.may_enter(kernel, self.mount, self.own, self.path)
        except OSError as fault:
            if self.spare and fault.errno in (*REFUSED, errno.ENOENT):
                self.undo(kernel, facts)
                return
            if fault.errno == errno.ENOENT:
                creation.check_mount(kernel, self.mount)
            raise

    def failure(self, fault: OSError) -> str:
        text = super().failure(fault)
        return f"{text}, which is not delegated to this user" if fault.errno in REFUSED else text

    def undo(self, kernel: Kernel, facts: Facts) -> None:
        if facts.cgroup_fd >= 0:
            kernel.close(facts.cgroup_fd)
            facts.cgroup_fd = -1
        with Cgroup(self.path, self.mark, kernel) as cgroup:
            cgroup.kill()
            cgroup.wait_empty(END_SECONDS)
            cgroup.remove()


class LikeSystemd(CgroupStep):
    """A warning: the engine has systemd's driver, and its runtime has not. crun and runc make a directory of that name,
    and the limits of slices are nobody's."""
    name = "cgroup.like_systemd"
    path: str

    def describe(self) -> str:
        return f"take {self.path} for a path of directories, although it has systemd's form"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        facts.warnings.append(f"{place.LIKE_SYSTEMD}: at {self.where} in config.json")


class CheckUsage(CgroupStep):
    """memory.checkBeforeUpdate: a limit below what is in use is refused, not left to the OOM killer."""
    name = "cgroup.usage"
    limit: int
    swap: int

    def describe(self) -> str:
        return f"check that memory in use is below {self.limit if self.limit > 0 else self.swap}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        write.check_usage(kernel, facts.cgroup_fd, self.limit, self.swap)


class Limit(CgroupStep):
    """One value into one file of the cgroup."""
    name = "cgroup.limit"
    setting: limit.Setting
    mount: str
    path: str

    def describe(self) -> str:
        text = f"{self.setting.file} = {self.setting.value}"
        if self.setting.otherwise:
            text += " (or {} = {})".format(*self.setting.otherwise)
        return text

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        write.put(kernel, facts.cgroup_fd, self.setting, self.mount, self.path)


class LateLimit(Limit):
    """A limit of memory. Where it is below what is in use, and cannot be had back, the kernel kills the init."""
    name = "cgroup.late_limit"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kills = kernel.oom_kills(facts.cgroup_fd)
        try:
            usage = kernel.read_file("memory.current", facts.cgroup_fd).strip()
        except FileNotFoundError:
            pass                     # memory.max is missing, too, and writing it reports why
        super().apply(kernel, facts)
        if kernel.oom_kills(facts.cgroup_fd) > kills:
            raise Refused(f"{OOM_KILLED}: {self.describe()}, and {usage} bytes were in use")


class Devices(CgroupStep):
    """The program that decides which devices may be used; an older one of the same cgroup goes."""
    name = "cgroup.devices"
    spec = "config-linux.md#allowed-device-list"
    program: bytes
    rules: int
    allow: bool

    def describe(self) -> str:
        return f"attach a device filter: {'allow' if self.allow else 'deny'} everything, with {self.rules} exceptions"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        if facts.cgroup_fd < 0:
            return                   # spared: no cgroup, by --rootless
        old = [kernel.bpf_by_id(number) for number in kernel.bpf_query(facts.cgroup_fd)]
        new = kernel.bpf_load_device(self.program)
        if len(old) == 1:
            kernel.bpf_attach(facts.cgroup_fd, new, old[0])
        else:
            kernel.bpf_attach(facts.cgroup_fd, new)
            for program in old:
                kernel.bpf_detach(facts.cgroup_fd, program)
        for program in (new, *old):
            kernel.close(program)


class Delegate(CgroupStep):
    """Let the container's user manage what is below: the directory and the files meant for that, nothing else."""
    name = "cgroup.delegate"
    spec = "config-linux.md#cgroup-ownership"
    uid: int

    def describe(self) -> str:
        return f"delegate the cgroup to uid {self.uid}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        if facts.cgroup_fd < 0:
            return
        try:
            files = kernel.read_file("/sys/kernel/cgroup/delegate").split()
        except FileNotFoundError:
            # config-linux.md#cgroup-ownership: "If the /sys/kernel/cgroup/delegate file does not exist, the runtime
            # MUST fall back to using the following list of files"
            files = ["cgroup.procs", "cgroup.subtree_control", "cgroup.threads"]
        kernel.chown(facts.cgroup_fd, self.uid, -1)
        for name in files:
            try:
                fd = kernel.open(name, posix.O_PATH | posix.O_NOFOLLOW, 0, facts.cgroup_fd)
            except FileNotFoundError:
                continue             # "Not all files listed ... necessarily exist in every cgroup."
            kernel.chown(fd, self.uid, -1)
            kernel.close(fd)


def of_process(kernel: Kernel, pid: int) -> str:
    """The cgroup that a process is in, below the mount point."""
    return place.of_process(kernel.read_file(f"/proc/{pid}/cgroup")) or "/"


# ---- planner functions ------------------------------------------------------------------------------------------
def create(want: Request) -> Iterator[Step]:
    """PARENT, before anything that is charged to the container or has to be killed with it; well before the clone."""
    path = want.cgroup
    wanted = limit.settings(_resources(want.config))
    for setting in wanted:
        if setting.file == "memory.max" and 0 <= limit.size(setting.value) < limit.LEAST:
            raise ConfigError(f"memory limit too low: no program starts with {setting.value} bytes, 1 MiB is enough "
                              f"for "
                              "a small one", setting.where)
    limit.check_convertible(_resources(want.config))
    required = [setting for setting in wanted if not setting.optional]
    if path and not place.systemd_driver(want.options) and place.like_systemd(_cgroups_path(want.config)):
        yield LikeSystemd(path=_cgroups_path(want.config), where=place.WHERE)
    spare = _rootless(want.options, want.host) and not required and not _cgroups_path(want.config)
    if not path:
        disabled = want.options.cgroup_manager == "disabled"
        without = "cgroups are disabled" if disabled else "no cgroup v2 hierarchy is mounted"
        if required:
            raise ConfigError(f"{required[0].file} cannot be set: {without}", required[0].where)
        if not disabled and not spare:
            # Without a cgroup nothing keeps a privileged container from the host's devices.
            raise ConfigError(f"{without}; --cgroup-manager disabled does without a cgroup", place.WHERE)
    elif not place.systemd_driver(want.options):
        yield Create(mount=want.host.cgroup_mount, path=path, own="" if want.host.privileged else want.host.cgroup_own,
                     wanted=limit.controllers(wanted), mark=place.mark(want.options), spare=spare,
                     where=place.WHERE if _cgroups_path(want.config) else required[0].where if required else "")


def limits(want: Request, at_once: bool = False) -> Iterator[Step]:
    """PARENT, before the clone: the init is born limited. at_once: late_limits() will not be called."""
    path = want.cgroup
    if path and not place.systemd_driver(want.options):
        yield from _limits(want.config, want.host, path, at_once)


def late_limits(want: Request) -> Iterator[Step]:
    """PARENT, when the init has only C's memory left: the limits that the runtime's own would have broken.

    Until then it could have more than its limit, and so could its createContainer hooks; the program never can.
    """
    path = want.cgroup
    if not path or not has_little(want.config):
        return
    settings = [setting for setting in limit.settings(_resources(want.config)) if limit.waits(setting)]
    yield Barrier(label="the init has given the runtime's memory back", waits=PARENT)
    yield from check_usage(_resources(want.config).get("memory") or {}, _resources(want.config))
    if place.systemd_driver(want.options):
        from .scope import set_late
        yield from set_late(want, settings)
    for setting in settings:
        yield LateLimit(setting=setting, mount=want.host.cgroup_mount, path=path, where=setting.where)
    yield Barrier(label="the limit of memory is in force", waits=CHILD)


def has_little(config: Config) -> bool:
    """Whether the container has so little memory that no copy of the runtime may be in its cgroup under the limit."""
    return any(limit.waits(setting) for setting in limit.of_memory(_resources(config)))


def born_inside(want: Request) -> bool:
    """Whether the clone puts the init into facts.cgroup_fd (CLONE_INTO_CGROUP; -1 there: nowhere)."""
    return bool(want.cgroup) and not place.systemd_driver(want.options)


def joins_later(want: Request) -> bool:
    """Whether join() has steps, for which the init has to wait."""
    return bool(want.cgroup) and place.systemd_driver(want.options)


def join(want: Request, at_once: bool = False) -> Iterator[Step]:
    """PARENT, right after the clone and before the init's cgroup namespace: systemd's scope starts with the init."""
    if joins_later(want):
        from .scope import start
        yield from start(want, at_once)
        yield from _limits(want.config, want.host, want.cgroup, at_once)


def _limits(config: Config, host: Host, path: str, at_once: bool) -> Iterator[Step]:
    resources = _resources(config)
    if at_once or not has_little(config):
        yield from check_usage(resources.get("memory") or {}, resources)
    for setting in limit.settings(resources):
        if at_once or not limit.waits(setting):
            yield Limit(setting=setting, mount=host.cgroup_mount, path=path, where=setting.where)
    if host.privileged:
        # In a user namespace nobody may load a program, nor make or open device nodes that the outside did not give.
        from ..cgroups import devices_bpf
        state = devices_bpf.exceptions(resources.get("devices") or [])
        if not state.everything:
            yield Devices(program=devices_bpf.program(state), rules=len(state.rules), allow=state.allow,
                          where=devices_bpf.WHERE if resources.get("devices") else "")
    uid = _owner(config)
    if uid is not None and uid != host.euid:
        yield Delegate(uid=uid, where="process.user.uid")


def check_usage(memory: Memory, resources: Resources) -> Iterator[Step]:
    """PARENT. memory has the limits to come; resources says whether they are to be checked before."""
    ceiling, swap = memory.get("limit") or 0, memory.get("swap") or 0
    if (resources.get("memory") or {}).get("checkBeforeUpdate") and (ceiling > 0 or swap > 0):
        yield CheckUsage(limit=ceiling, swap=swap, where=f"{limit.WHERE}.memory.checkBeforeUpdate")


def _resources(config: Config) -> Resources:
    return config.get("linux", {}).get("resources") or {}


def _cgroups_path(config: Config) -> str:
    return config.get("linux", {}).get("cgroupsPath") or ""


def _rootless(options: Options, host: Host) -> bool:
    """--rootless: cgroup permission errors are forgiven where nothing depends on the cgroup."""
    return options.rootless == "true" or (options.rootless == "auto" and not host.privileged)


def _owner(config: Config) -> int | None:
    """The host's uid of the container's user, when the cgroup is to be that user's.

    config-linux.md#cgroup-ownership: with a cgroup namespace of its own and a cgroup mount that can be written.
    """
    linux = config.get("linux", {})
    spaces = Namespaces(config)
    if "cgroup" not in spaces.new:
        return None
    if not any(mount.get("source") == "cgroup" and clean(mount["destination"]) == "sys/fs/cgroup"
               and "ro" not in (mount.get("options") or []) for mount in config.get("mounts") or []):
        return None
    process = config.get("process")
    uid = process["user"]["uid"] if process and "user" in process else 0
    if not spaces.private("user"):
        return uid
    return host_id(linux.get("uidMappings") or [], uid)
