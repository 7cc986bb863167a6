"""The process itself: who it is, where it is, what it may use, what it executes.

The init does most of it in C (side LAST), in the order of plan.py: as long as it is root, before it is the container's
user, or after; before the filter, or after.
"""
from __future__ import annotations

from ..config.environment import Environment, home_in
from ..engine.step import CHILD, LAST, PARENT, Step
from ..kernel import last_stage
from ..kernel.constants import RLIMITS
from ..rootfs import destination
from .namespaces import PR_SET_DUMPABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..engine.facts import Facts
    from ..kernel.linux import Kernel
    from ..request import Request

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


def oom_score_adj(want: Request) -> Iterator[Step]:
    """PARENT, right after the clone."""
    process = want.config.get("process", {})
    if "oomScoreAdj" in process and not _writes_own_score(want):
        yield OOMScoreAdj(value=process["oomScoreAdj"], where="process.oomScoreAdj")


def own_oom_score_adj(want: Request) -> Iterator[Step]:
    """CHILD, before it joins a user namespace."""
    process = want.config.get("process", {})
    if "oomScoreAdj" in process and _writes_own_score(want):
        yield OwnOOMScoreAdj(value=process["oomScoreAdj"], where="process.oomScoreAdj")


def _writes_own_score(want: Request) -> bool:
    spaces = want.namespaces
    return want.host.euid != 0 and ("user" in spaces.joined or (want.options.joins and spaces.private("user")))


def make_cwd(want: Request) -> Iterator[Step]:
    """CHILD, of create, before mounts and the root become read-only; exec finds the container as it is."""
    process = want.config.get("process")
    if process is not None and process["cwd"].strip("/"):
        yield MakeDirectory(cwd=process["cwd"], where="process.cwd")


def prepare(want: Request) -> Iterator[Step]:
    """CHILD: what has to be looked up in the root while that can be done by descriptor."""
    process = want.config.get("process")
    if process is not None and want.environment.needs_home:
        yield Home(uid=process.get("user", {}).get("uid", 0), where="process.env")


def umask(want: Request) -> Iterator[Step]:
    """LAST."""
    mask = want.config.get("process", {}).get("user", {}).get("umask")
    yield Umask(mask=UMASK if mask is None else mask, where="" if mask is None else "process.user.umask")


def no_new_privileges(want: Request) -> Iterator[Step]:
    """LAST."""
    if want.config.get("process", {}).get("noNewPrivileges"):
        yield NoNewPrivileges(where="process.noNewPrivileges")


def rlimits(want: Request, cloned_later: bool = False) -> Iterator[Step]:
    """PARENT, one step each, while the init waits."""
    for index, limit in enumerate(want.config.get("process", {}).get("rlimits", ())):
        spare = cloned_later and limit["type"] == "RLIMIT_NPROC"
        soft, hard = (min(value + spare, RLIM_INFINITY) for value in (limit["soft"], limit["hard"]))
        yield Limit(kind=limit["type"], soft=soft, hard=hard, spare=spare, where=f"process.rlimits[{index}]")


def directory(want: Request) -> Iterator[Step]:
    """LAST, as root, and before a filter may refuse to tell where that is: C asks at once."""
    process = want.config.get("process")
    if process is not None:
        yield Directory(cwd=process["cwd"], where="process.cwd")


def find_executable(want: Request) -> Iterator[Step]:
    """LAST."""
    process = want.config.get("process")
    if process is not None:
        yield FindExecutable(program=process["args"][0], path=want.environment.path,
                             where="process.args[0]")


def outlive(want: Request) -> Iterator[Step]:
    """LAST, the last privilege-free call before a filter that might refuse it."""
    yield Outlive()


def execute(want: Request) -> Iterator[Step]:
    """LAST: the end of every plan. Without a process the container can be created, and start refuses."""
    yield CloseFrom(first=3 + want.options.listen_fds + want.options.preserve_fds)
    process = want.config.get("process")
    if process is None:
        yield Execute(args=["-"], environment=None)
    else:
        yield Execute(args=process["args"], environment=want.environment, where="process.args")
