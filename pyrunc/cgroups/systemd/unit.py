"""The systemd driver: the container is a unit of systemd, which makes and removes its cgroup.

org.freedesktop.systemd1(5) for the calls, systemd.scope(5) for what a scope is: a cgroup around processes that
another process started, so that it can only be made with the container's init already there. Every wait ends after
30 s (an overloaded systemd otherwise leaves the init waiting for ever).
"""
from __future__ import annotations

import errno
import posix
from _signal import SIGKILL

from ...errors import ConfigError, Refused
from .dbus import Bus, BusError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ...config.types import Config
    from ...host import Host
    from ...kernel.posix import PosixKernel
    from ...options import Options
    from .properties import Properties

WHERE = "linux.cgroupsPath"
NAME = "org.freedesktop.systemd1"
OBJECT = "/org/freedesktop/systemd1"
MANAGER = f"{NAME}.Manager"
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@"     # of unit names
RECONNECTS = 3
GONE = (f"{NAME}.NoSuchUnit", "org.freedesktop.DBus.Error.UnknownObject")


class Unit:
    """The unit that a container's cgroupsPath names: slice:prefix:name.

    name     "prefix-name.scope"; without a prefix "name.scope"
    slice    the slice it is in ("a-b.slice")
    user     whether the user's systemd has it, not the system's
    cgroup   its path below the mount point ("a.slice/a-b.slice/prefix-name.scope")
    """

    def __init__(self, config: Config, options: Options, host: Host) -> None:
        self.user = user_manager(options, host)
        given = config.get("linux", {}).get("cgroupsPath") or ""
        parts = given.split(":") if given else ["", "pyrunc", escape(options.id)]
        if len(parts) != 3 or not parts[2]:
            raise ConfigError(f'cgroupsPath "{given}" is not slice:prefix:name, which the systemd driver needs', WHERE)
        slice_name, prefix, name = parts
        self.slice = slice_name or ("user.slice" if self.user else "system.slice")
        above = expand(self.slice)
        if name.endswith(".slice"):
            raise ConfigError(f'"{name}" is a slice, which holds units and no processes', WHERE)
        self.name = f"{prefix}-{name}.scope" if prefix else f"{name}.scope"
        path = f"{above}/{self.name}" if above else self.name
        if len(self.name) > 255 or any(letter not in LETTERS for letter in self.name):
            raise ConfigError(f'"{self.name}" cannot be the name of a unit', WHERE)
        self.cgroup = f"{_user_root(host)}/{path}" if self.user else path


def user_manager(options: Options, host: Host) -> bool:
    """Whether the container belongs to the user's own systemd: for a user, also one who is root in a user namespace."""
    if options.rootless != "auto":
        return options.rootless == "true"
    return host.euid != 0 or (host.in_userns and bool(_runtime_dir()))


def _runtime_dir() -> str:
    return posix.environ.get(b"XDG_RUNTIME_DIR", b"").decode()


def _user_root(host: Host) -> str:
    """The cgroup of the user's manager: seen in the runtime's own path, or asked for."""
    parts = host.cgroup_own.strip("/").split("/")
    for index, part in enumerate(parts):
        if part.startswith("user@") and part.endswith(".service"):
            return "/".join(parts[:index + 1])
    for index, part in enumerate(parts):
        if part.startswith("user-") and part.endswith(".slice"):
            return "/".join([*parts[:index + 1], f"user@{part[5:-6]}.service"])
    from ...kernel.posix import PosixKernel
    manager = Manager(True, PosixKernel())
    try:
        return str(manager.get("ControlGroup")).strip("/")
    finally:
        manager.close()


def escape(text: str) -> str:
    """A container's id as part of a unit's name: what that may not hold as \\xNN (systemd.unit(5))."""
    return "".join(letter if letter in LETTERS else f"\\x{ord(letter):02x}" for letter in text)


def expand(name: str) -> str:
    """A slice's cgroup: "a-b.slice" is a.slice/a-b.slice; "-.slice" is the root, ""."""
    stem = name.removesuffix(".slice")
    if stem == name or not stem or "/" in name:
        raise ConfigError(f'"{name}" is not the name of a slice', WHERE)
    if stem == "-":
        return ""
    parts = stem.split("-")
    if "" in parts:
        raise ConfigError(f'"{name}" is not the name of a slice', WHERE)
    return "/".join("-".join(parts[:count]) + ".slice" for count in range(1, len(parts) + 1))


def describe(mark: str) -> str:
    """The unit's Description, which nobody else's unit has."""
    return f"pyrunc container {mark}"


class Manager:
    """systemd's manager, of the system or of the user. Raises OSError: without errno, what systemd answered."""

    def __init__(self, user: bool, kernel: PosixKernel) -> None:
        self.user, self.kernel = user, kernel
        self.bus: Bus | None = None

    def close(self) -> None:
        """Let go of the connection."""
        if self.bus is not None:
            self.bus.close()
            self.bus = None

    # ---- units ------------------------------------------------------------------------------------------------
    def start(self, name: str, mark: str, properties: Properties) -> None:
        """StartTransientUnit, and wait until it is there. One of that name that has failed makes way.

        mark   path.mark() of the creation: the unit's description says whose it is
        """
        asked = list({**properties, "Description": ("s", describe(mark))}.items())
        try:
            try:
                self._job(name, "StartTransientUnit", "ssa(sv)a(sa(sv))", name, "replace", asked, [])
            except BusError as fault:
                if fault.name != f"{NAME}.UnitExists":
                    raise
                self.reset_failed(name)
                self._job(name, "StartTransientUnit", "ssa(sv)a(sa(sv))", name, "replace", asked, [])
        except BusError as fault:
            raise Refused(f"systemd does not start {name}: {fault.text}") from None

    def stop(self, name: str, mark: str) -> None:
        """Kill what is in it, StopUnit, and wait until it is gone, as it may be already. Another's is left alone."""
        try:
            unit = self._call("GetUnit", "s", name)[0]
            if self._get(unit, f"{NAME}.Unit", "Description") != describe(mark):
                return
            self._call("KillUnit", "ssi", name, "all", SIGKILL)     # StopUnit alone asks nicely first, for 90 s
            self._job(name, "StopUnit", "ss", name, "replace")
        except BusError as fault:
            if fault.name not in GONE:
                raise Refused(f"systemd does not stop {name}: {fault.text}") from None
        self.reset_failed(name)

    def reset_failed(self, name: str) -> None:
        """Let systemd forget a failed unit; fine when there is none."""
        try:
            self._call("ResetFailedUnit", "s", name)
        except BusError:
            pass

    def set_properties(self, name: str, properties: Properties) -> None:
        """SetUnitProperties until the next boot."""
        try:
            self._call("SetUnitProperties", "sba(sv)", name, True, list(properties.items()))
        except BusError as fault:
            raise Refused(f"systemd does not change {name}: {fault.text}") from None

    def attach(self, name: str, below: str, pids: list[int]) -> None:
        """AttachProcessesToUnit: move processes into the unit's cgroup, or one below it ("/sub")."""
        try:
            self._call("AttachProcessesToUnit", "ssau", name, below, pids)
        except BusError as fault:
            raise Refused(f"systemd does not put processes into {name}: {fault.text}") from None

    def get(self, name: str) -> Any:
        """A property of the manager, such as ControlGroup."""
        try:
            return self._get(OBJECT, MANAGER, name)
        except BusError as fault:
            raise Refused(f"systemd does not return its {name}: {fault.text}") from None

    def version(self) -> int:
        """systemd's version: 252 of "252.22-1~deb12u1"; 0 when it cannot be read."""
        digits = ""
        for letter in str(self.get("Version")).lstrip("v"):
            if not letter.isdigit():
                break
            digits += letter
        return int(digits or 0)

    # ---- the connection ---------------------------------------------------------------------------------------
    def _call(self, member: str, signature: str, *values: Any) -> list[Any]:
        return self._ask(OBJECT, MANAGER, member, signature, *values)

    def _get(self, path: str, interface: str, name: str) -> Any:
        return self._ask(path, "org.freedesktop.DBus.Properties", "Get", "ss", interface, name)[0]

    def _ask(self, path: str, interface: str, member: str, signature: str, *values: Any) -> list[Any]:
        """One call; again when the connection broke, as it does when systemd re-executes itself."""
        for left in range(RECONNECTS, -1, -1):
            try:
                return self._connected().call(NAME, path, interface, member, signature, *values)
            except OSError as fault:
                self.close()
                if fault.errno not in (errno.ECONNRESET, errno.EPIPE) or not left:
                    raise
        raise AssertionError

    def _job(self, name: str, member: str, signature: str, *values: Any) -> None:
        """A call that gives a job, and the job's end."""
        job = self._call(member, signature, *values)[0]
        # JobRemoved(u id, o job, s unit, s result)
        *_, result = self._connected().wait_signal(MANAGER, "JobRemoved", lambda body: bool(body[1] == job))
        if result != "done":
            self.reset_failed(name)
            raise Refused(f"systemd's job for {name} ended with: {result}")

    def _connected(self) -> Bus:
        if self.bus is None:
            self.bus = self._connect()
            if not self.bus.direct:
                self.bus.call(NAME, OBJECT, MANAGER, "Subscribe")
                self.bus.match(MANAGER, "JobRemoved")
        return self.bus

    def _connect(self) -> Bus:
        number = errno.ECONNREFUSED
        for path, direct in self._addresses():
            try:
                return Bus(self.kernel.connect(path), direct)
            except OSError as fault:
                # ENOENT's text would make engines look for a missing executable.
                if fault.errno != errno.ENOENT:
                    number = fault.errno or number
        raise OSError(number, posix.strerror(number), f"connect to the {'user' if self.user else 'system'}'s systemd")

    def _addresses(self) -> list[tuple[str, bool]]:
        """(socket, whether systemd itself is there), in the order to try them."""
        if not self.user:
            return [("/run/systemd/private", True), ("/run/dbus/system_bus_socket", False)]
        runtime = _runtime_dir() or f"/run/user/{posix.geteuid()}"
        found = [(f"{runtime}/systemd/private", True)]
        for address in posix.environ.get(b"DBUS_SESSION_BUS_ADDRESS", b"").decode().split(";"):
            for part in address.removeprefix("unix:").split(","):
                if part.startswith("path="):
                    found.append((part[5:], False))
        return [*found, (f"{runtime}/bus", False)]
