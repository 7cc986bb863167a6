"""The process itself: who it is, where it is, what it may use, what it executes.

The init does most of it in C (side LAST), in the order of plan.py: as long as it is root, before it is the container's
user, or after; before the filter, or after.
"""
from __future__ import annotations

from ..config.environment import Environment, home_in
from ..config.namespaces import Namespaces
from ..engine.step import CHILD, LAST, PARENT, Step
from ..kernel import last_stage
from ..kernel.constants import RLIMITS
from ..rootfs import destination
from .namespaces import PR_SET_DUMPABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..config.types import Config
    from ..engine.facts import Facts
    from ..host import Host
    from ..kernel.linux import Kernel
    from ..options import Options

SPEC = "config.md#process"
POSIX_SPEC = "config.md#posix-process"
LINUX_SPEC = "config.md#linux-process"
USER_SPEC = "config.md#posix-platform-user"
#: What runc gives a process without user.umask. The spec would leave the caller's; engines have 0, for their files.
UMASK = 0o022
RLIM_INFINITY = (1 << 64) - 1
#: How much of the container's /etc/passwd is read: it is the container's memory that it is read into.
LONGEST_PASSWD = 1 << 20


class OOMScoreAdj(Step):
    """By the runtime, right after the clone: what the init starts later inherits it."""
    name = "process.oom_score_adj"
    spec = LINUX_SPEC
    side = PARENT
    value: int

    def describe(self) -> str:
        return f"set oom_score_adj {self.value}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        path = f"/proc/{facts.pid}/oom_score_adj"
        try:
            kernel.write_file(path, str(self.value))
        except PermissionError:
            # Lowering it takes privilege. An engine that knows passes the value it has itself.
            if int(kernel.read_file(path)) != self.value:
                raise


class OwnOOMScoreAdj(Step):
    """By the process itself, where the runtime is an ordinary user's and joins a user namespace: the files below /proc
    of a process that is not dumpable are root's. It is dumpable for this moment, in which nobody of the container
    can see it yet."""
    name = "process.oom_score_adj"
    spec = LINUX_SPEC
    side = CHILD
    value: int

    def describe(self) -> str:
        return f"set oom_score_adj {self.value}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.prctl(PR_SET_DUMPABLE, 1)
        kernel.write_file("/proc/self/oom_score_adj", str(self.value))
        kernel.prctl(PR_SET_DUMPABLE, 0)


class MakeDirectory(Step):
    """The spec lets a missing cwd be an error; engines and images rely on runc's making it."""
    name = "process.make_cwd"
    spec = SPEC
    side = CHILD
    cwd: str

    def describe(self) -> str:
        return f"make the working directory {self.cwd} if it is missing"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        try:
            kernel.close(destination.directory(kernel, facts.root_fd, self.cwd))
        except PermissionError:      # the container's user may be able to enter what root may not (NFS): process.cwd
            pass


class Home(Step):
    """HOME from the container's /etc/passwd, read as a file: the C library's way would load code of the container."""
    name = "process.home"
    spec = SPEC
    side = CHILD
    uid: int

    def describe(self) -> str:
        return f"find the home directory of uid {self.uid} in the container's /etc/passwd"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        try:
            place = destination.find(kernel, facts.root_fd, "etc/passwd")
            try:
                fd = destination.open_file(kernel, place)
            finally:
                kernel.close(place)
            if fd < 0:
                return
            try:
                facts.home = home_in(kernel.read(fd, LONGEST_PASSWD), self.uid)
            finally:
                kernel.close(fd)
        except OSError as fault:
            if fault.errno in destination.OF_THE_HOST:
                raise                # the host's fault; any other is the image's


class Umask(Step):
    """umask(2), after the runtime has made its files."""
    name = "process.umask"
    spec = USER_SPEC
    side = LAST
    mask: int

    def describe(self) -> str:
        return f"set umask {self.mask:04o}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.last(last_stage.OP_UMASK, self.mask)


class NoNewPrivileges(Step):
    """prctl(2) PR_SET_NO_NEW_PRIVS: no execve(2) gives more than the process has."""
    name = "process.no_new_privileges"
    spec = LINUX_SPEC
    side = LAST

    def describe(self) -> str:
        return "set no_new_privs"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.last(last_stage.OP_NO_NEW_PRIVS)


class Limit(Step):
    """prlimit(2) from outside, late: the init's own work must not fail for want of files or memory."""
    name = "process.rlimits"
    spec = POSIX_SPEC
    side = PARENT
    kind: str
    soft: int
    hard: int
    spare: bool = False              # room for one more, the clone of the process: namespaces.clone_inside lowers it

    def describe(self) -> str:
        return f"set {self.kind}: soft {limit_text(self.soft)}, hard {limit_text(self.hard)}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        try:
            kernel.prlimit(facts.pid, RLIMITS[self.kind], self.soft, self.hard)
        except PermissionError:
            if not self.spare:       # the runtime's own limit is no higher than the container's then
                raise


class Directory(Step):
    """chdir(2), tried as root and, where root may not go (NFS), once more as the container's user."""
    name = "process.cwd"
    spec = SPEC
    side = LAST
    cwd: str
    again: bool = False

    def describe(self) -> str:
        return f"change directory to {self.cwd}" + (", as the container's user if root may not" if self.again else "")

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.last(last_stage.OP_CHDIR, int(not self.again), data=last_stage.pack_strings([self.cwd]))


class VerifyDirectory(Step):
    """getcwd(2) must find the way up to the root: else cwd has led to a directory of the host (CVE-2024-21626)."""
    name = "process.verify_cwd"
    spec = SPEC
    side = LAST

    def describe(self) -> str:
        return "check that the working directory is in the container"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.last(last_stage.OP_VERIFY_CWD)


class FindExecutable(Step):
    """As execvp(3), with the container's PATH and as its user: `create` fails for what `start` could not run."""
    name = "process.find_executable"
    spec = SPEC
    side = LAST
    program: str
    path: str

    def describe(self) -> str:
        return f"find {self.program}" + ("" if "/" in self.program else f" in {self.path}")

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.last(last_stage.OP_FIND_EXECUTABLE, data=last_stage.pack_strings([self.program, self.path]))


class Outlive(Step):
    """prctl(2) PR_SET_PDEATHSIG 0: until now a runtime that was killed took the init along."""
    name = "process.outlive"
    spec = "runtime.md#lifecycle"
    side = LAST

    def describe(self) -> str:
        return "clear the parent death signal"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.last(last_stage.OP_NO_PDEATHSIG)


class Dumpable(Step):
    """/proc/PID of an init that is not dumpable belongs to root; an ordinary user's exec needs it (proc(5), ptrace(2)).

    Only where the user has no more privilege than the container: nobody else gains a right by it.
    """
    name = "process.dumpable"
    spec = "runtime.md#operations"
    side = LAST

    def describe(self) -> str:
        return "make the init dumpable: an exec by the same user has to open its namespaces"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.last(last_stage.OP_DUMPABLE)


class Signals(Step):
    """Handlers, because a pid 1 without any would drop what `kill` sends it before `start` (pid_namespaces(7))."""
    name = "process.signals"
    spec = "runtime.md#kill"
    side = LAST

    def describe(self) -> str:
        return "let SIGTERM and its like end the init until it executes the program"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.last(last_stage.OP_SIGNALS)


class LetGo(Step):
    """Of what is mapped from the host's files: whoever is in the init's pid namespace with CAP_SYS_PTRACE and
    CAP_CHECKPOINT_RESTORE could open it for writing as /proc/PID/map_files, while the init waits for `start`.

    Hooks need the C library: it stays, as a copy in memory.
    """
    name = "process.let_go"
    spec = "runtime.md#lifecycle"
    side = LAST
    hooks: bool
    door: bool                # the filter would refuse munmap(2)

    def describe(self) -> str:
        rest = ", but for a copy of the C library" if self.hooks else ""
        door = ", through an exception in the filter" if self.door else ""
        return f"unmap the host's libraries{rest}{door}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.last(last_stage.OP_LET_GO, 0, int(self.door), int(self.hooks))


class WaitStart(Step):
    """The container is `created` until `start` writes to the fifo."""
    name = "process.wait_start"
    spec = "runtime.md#start"
    side = LAST

    def describe(self) -> str:
        return "wait for start"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.last(last_stage.OP_WAIT_START, facts.fifo_fd)


class CloseFrom(Step):
    """Nothing of the runtime is open in the program, only what the caller has asked to pass on."""
    name = "process.close_files"
    spec = SPEC
    side = LAST
    first: int

    def describe(self) -> str:
        return f"close every descriptor from {self.first} on"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        kernel.last(last_stage.OP_CLOSE_FROM, self.first)


class Execute(Step):
    """execve(2), with all signals as they are by default and none blocked."""
    name = "process.exec"
    spec = SPEC
    side = LAST
    args: Sequence[str]
    environment: Environment | None

    def describe(self) -> str:
        if not self.environment:
            return "execute nothing: config.json has no process, so start fails"
        return "execute " + " ".join(self.args)

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        env = self.environment.complete(facts) if self.environment else []
        kernel.last(last_stage.OP_EXEC, data=last_stage.pack_exec(self.args, env))


def limit_text(value: int) -> str:
    """A limit for people."""
    return "unlimited" if value == RLIM_INFINITY else str(value)


def oom_score_adj(config: Config, options: Options, host: Host) -> Iterator[Step]:
    """PARENT, right after the clone."""
    process = config.get("process", {})
    if "oomScoreAdj" in process and not _writes_own_score(config, options, host):
        yield OOMScoreAdj(value=process["oomScoreAdj"], where="process.oomScoreAdj")


def own_oom_score_adj(config: Config, options: Options, host: Host) -> Iterator[Step]:
    """CHILD, before it joins a user namespace."""
    process = config.get("process", {})
    if "oomScoreAdj" in process and _writes_own_score(config, options, host):
        yield OwnOOMScoreAdj(value=process["oomScoreAdj"], where="process.oomScoreAdj")


def _writes_own_score(config: Config, options: Options, host: Host) -> bool:
    spaces = Namespaces(config)
    return host.euid != 0 and ("user" in spaces.joined or (options.joins and spaces.private("user")))


def make_cwd(config: Config, options: Options, host: Host) -> Iterator[Step]:
    """CHILD, of create, before mounts and the root become read-only; exec finds the container as it is."""
    process = config.get("process")
    if process is not None and process["cwd"].strip("/"):
        yield MakeDirectory(cwd=process["cwd"], where="process.cwd")


def prepare(config: Config, options: Options, host: Host) -> Iterator[Step]:
    """CHILD: what has to be looked up in the root while that can be done by descriptor."""
    process = config.get("process")
    if process is not None and Environment(config, options).needs_home:
        yield Home(uid=process.get("user", {}).get("uid", 0), where="process.env")


def umask(config: Config, options: Options, host: Host) -> Iterator[Step]:
    """LAST."""
    mask = config.get("process", {}).get("user", {}).get("umask")
    yield Umask(mask=UMASK if mask is None else mask, where="" if mask is None else "process.user.umask")


def no_new_privileges(config: Config, options: Options, host: Host) -> Iterator[Step]:
    """LAST."""
    if config.get("process", {}).get("noNewPrivileges"):
        yield NoNewPrivileges(where="process.noNewPrivileges")


def rlimits(config: Config, options: Options, host: Host, cloned_later: bool = False) -> Iterator[Step]:
    """PARENT, one step each, while the init waits."""
    for index, limit in enumerate(config.get("process", {}).get("rlimits", ())):
        spare = cloned_later and limit["type"] == "RLIMIT_NPROC"
        soft, hard = (min(value + spare, RLIM_INFINITY) for value in (limit["soft"], limit["hard"]))
        yield Limit(kind=limit["type"], soft=soft, hard=hard, spare=spare, where=f"process.rlimits[{index}]")


def directory(config: Config, options: Options, host: Host) -> Iterator[Step]:
    """LAST, as root, and before a filter may refuse to tell where that is: C asks at once."""
    process = config.get("process")
    if process is not None:
        yield Directory(cwd=process["cwd"], where="process.cwd")


def find_executable(config: Config, options: Options, host: Host) -> Iterator[Step]:
    """LAST."""
    process = config.get("process")
    if process is not None:
        yield FindExecutable(program=process["args"][0], path=Environment(config, options).path,
                             where="process.args[0]")


def outlive(config: Config, options: Options, host: Host) -> Iterator[Step]:
    """LAST, the last privilege-free call before a filter that might refuse it."""
    yield Outlive()


def signals(config: Config, options: Options, host: Host) -> Iterator[Step]:
    """LAST, of create: a process of exec is no pid 1, and has nothing to wait for."""
    yield Signals()


def dumpable(config: Config, options: Options, host: Host) -> Iterator[Step]:
    """LAST, of create, when all privileges are given up; before a filter may refuse the call."""
    if host.euid != 0 and not options.joins:
        yield Dumpable()


def let_go(config: Config, options: Options, host: Host) -> Iterator[Step]:
    """LAST. A copy of the C library would not go into little memory."""
    from .cgroup import has_little
    hooks = bool(config.get("process") and config.get("hooks", {}).get("startContainer"))
    if hooks and has_little(config):
        return
    seccomp, door = config.get("linux", {}).get("seccomp"), False
    if seccomp:
        from ..seccomp.profile import lets_pass
        door = not lets_pass(seccomp, "munmap")
    yield LetGo(hooks=hooks, door=door)


def wait_start(config: Config, options: Options, host: Host) -> Iterator[Step]:
    """LAST, of create."""
    yield WaitStart()


def execute(config: Config, options: Options, host: Host) -> Iterator[Step]:
    """LAST: the end of every plan. Without a process the container can be created, and start refuses."""
    yield CloseFrom(first=3 + options.listen_fds + options.preserve_fds)
    process = config.get("process")
    if process is None:
        yield Execute(args=["-"], environment=None)
    else:
        yield Execute(args=process["args"], environment=Environment(config, options), where="process.args")
