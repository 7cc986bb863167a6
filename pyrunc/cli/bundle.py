"""What create and run share: their flags, and the config and the options they make a plan of."""
from __future__ import annotations

import errno
import posix

from ..errors import UsageError, strerror
from ..options import Options
from ..paths import absolute
from ..runtime import create
from .flags import Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..config.types import Config
    from .flags import Call

FLAGS = (
    Flag("bundle", str, "the bundle's directory (default: the current one)", short="b", value="DIR"),
    Flag("config", str, "use this file instead of the bundle's config.json", short="f", value="FILE"),
    Flag("console-socket", str, "send the master end of the terminal to this unix socket", value="SOCKET"),
    Flag("pidfd-socket", str, "send a pidfd of the container's init to this unix socket", value="SOCKET"),
    Flag("pid-file", str, "write the init's pid to this file", value="FILE"),
    Flag("no-pivot", bool, "move the root mount instead of calling pivot_root: for a root file system on a ramdisk"),
    Flag("no-new-keyring", bool, "keep the caller's session keyring"),
    Flag("preserve-fds", int, "pass N descriptors to the container, after 0, 1, 2 and those of LISTEN_FDS", value="N"),
)


STICKY = 0o1000


def prepare(call: Call, detach: bool, start: bool) -> tuple[Config, Options]:
    """Go to the bundle, as hooks and relative paths expect, and read what is asked for.

    detach: nobody stays with the container. start: its program is run, so there has to be one.
    Raises UsageError, ConfigError.
    """
    options = options_of(call, detach)
    if call.given("config"):             # it counts from where the caller is
        call.values["config"] = absolute(call.text("config"))
    create.enter(options.bundle)
    config = read(call, options, start)
    if "root" not in call.settings and call.root != "/run/pyrunc":
        keep_runtime_directory(call.root)
    return config, options


def read(call: Call, options: Options, start: bool) -> Config:
    """The configuration, checked. No effects. Raises UsageError, ConfigError."""
    file = absolute(call.text("config")) if call.given("config") else "config.json"
    odd: list[str] = []
    config = create.read(call.id, options.bundle, file, start, odd=odd)
    for text in odd:
        call.log.note(text)
    if "break-annotation" in call.settings:
        from .stopping import narrow as narrow_stops
        narrow_stops(call, config.get("annotations") or {})
        options.inspected = bool(call.stops)
    if "trace-annotation" in call.settings:
        from .tracing import narrow
        narrow(call, config.get("annotations") or {})
    check_descriptors(options)
    return config


def explained(call: Call, detach: bool, start: bool) -> tuple[Config, Options]:
    """As prepare(), for `explain`: a terminal needs a holder, and which one it is changes no step."""
    options = options_of(call, detach)
    config = read(call, options, start)
    if detach and not options.console_socket and config.get("process", {}).get("terminal"):
        options.console_socket = "SOCKET"
    return config, options


def options_of(call: Call, detach: bool) -> Options:
    """The flags as the planner takes them: paths absolute, environment looked up."""
    settings = call.settings
    path = {name: absolute(call.text(name)) if call.text(name) else ""
            for name in ("bundle", "console-socket", "pidfd-socket", "pid-file")}
    systemd = settings.get("systemd-cgroup", False) or settings.get("cgroup-manager") == "systemd"
    return Options(
        id=call.id, root=call.root, bundle=path["bundle"] or posix.getcwd(),
        console_socket=path["console-socket"], pidfd_socket=path["pidfd-socket"], pid_file=path["pid-file"],
        preserve_fds=call.number("preserve-fds"), listen_fds=listen_fds(),
        notify_socket=posix.environ.get(b"NOTIFY_SOCKET", b"").decode(errors="surrogateescape"),
        no_pivot=call.on("no-pivot"), no_new_keyring=call.on("no-new-keyring"), detach=detach,
        systemd_cgroup=systemd, cgroup_manager="systemd" if systemd else settings.get("cgroup-manager", "cgroupfs"),
        inspected=bool(call.stops), rootless=settings.get("rootless", "auto"))


def listen_fds() -> int:
    """How many sockets the caller passes from descriptor 3 on (sd_listen_fds(3)), if they are for this process."""
    count = posix.environ.get(b"LISTEN_FDS", b"")
    if posix.environ.get(b"LISTEN_PID") != str(posix.getpid()).encode() or not count.isdigit() or len(count) > 9:
        return 0                 # more than an int, of which sd_listen_fds(3) says EINVAL
    return int(count)


def check_descriptors(options: Options) -> None:
    """Every descriptor that is to be handed on must be open."""
    first = 3 + options.listen_fds
    for index in range(options.preserve_fds):
        try:
            callers = posix.get_inheritable(first + index)
        except OSError:
            callers = False
        if not callers:          # closed, or opened by us since: the log's, say
            raise UsageError(f"unable to stat preserved-fd {index} (of {options.preserve_fds}): "
                             f"{strerror(errno.EBADF)}")


def keep_runtime_directory(root: str) -> None:
    """The state root below $XDG_RUNTIME_DIR: sticky, so that it is not tidied away (XDG base directories). What is no
    directory of the caller's own is left alone: create will say what is wrong with it."""
    try:
        posix.mkdir(root, 0o700)
    except FileExistsError:
        pass
    try:
        fd = posix.open(root, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC)
    except OSError:
        return
    try:
        found = posix.fstat(fd)
        if found.st_uid == posix.geteuid():
            posix.fchmod(fd, found.st_mode & 0o7777 | STICKY)
    finally:
        posix.close(fd)
