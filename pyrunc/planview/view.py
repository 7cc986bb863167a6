"""For whom a plan is made, and on which host: the same config.json gives another plan to another user."""
from __future__ import annotations

import posix

from ..errors import UsageError
from ..host import Host, user_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

ALL_OF_ROOT = "/run/pyrunc"
#: What of a Host is written down, and what each is. Of the defaults, for a module in the program has no annotations.
RECORDED = {name: type(default) for name, default in vars(Host).items()
            if not name.startswith("_") and type(default) in (bool, int, str)}


class View:
    """host: what the planner decides by; the rest says whose it is.

    user          its name, or its number where it has none
    name          the host's
    release       the kernel's
    controllers   those of the host's cgroup v2; None: this host, which can be asked
    file          the facts of doctor that this host was read from, "" for this host
    """
    __slots__ = ("controllers", "file", "host", "name", "release", "user")

    def __init__(self, host: Host, user: str, name: str, release: str, controllers: frozenset[str] | None = None,
                 file: str = "") -> None:
        self.host, self.user, self.name, self.release = host, user, name, release
        self.controllers, self.file = controllers, file

    @property
    def rootless(self) -> bool:
        return not self.host.privileged

    def whom(self) -> str:
        """The user in words."""
        if self.host.euid == 0:
            return "root of a user namespace: rootless" if self.rootless else "root"
        number = f"uid {self.host.euid}"
        return f"{self.user} ({number}): rootless" if self.user != str(self.host.euid) else f"{number}: rootless"

    def where(self) -> str:
        """The host in words."""
        mount = self.host.cgroup_mount
        cgroups = f"cgroup v2 at {mount}" if mount else "no cgroup v2"
        if mount and self.host.cgroup_hybrid:
            cgroups += " beside v1"
        said = ", ".join(part for part in (f"Linux {self.release}" if self.release else "", cgroups) if part)
        return f"{self.name} ({said})"

    def record(self) -> dict[str, Any]:
        """For programs."""
        return {"user": self.user, "uid": self.host.euid, "rootless": self.rootless, "host": self.name,
                "kernel": self.release, "cgroupMount": self.host.cgroup_mount, "cgroupHybrid": self.host.cgroup_hybrid,
                "facts": self.file}


def here(host: Host) -> View:
    """This host, as this process sees it."""
    system = posix.uname()
    return View(host, user_name(host.euid), system.nodename, system.release)


def seen_by(view: View, who: str) -> View:
    """The same host for another user: "root", a name, or a number. UsageError for a name that this host has not.

    What only that user's own processes could tell stays as it is: the cgroup that they are in.
    """
    uid, gid = _ids(who)
    facts = dict(view.host.__dict__)
    last = view.host.last_capability
    facts.update(euid=uid, egid=gid, capabilities=(1 << last + 1) - 1 if uid == 0 else 0)
    if uid == 0:
        facts.update(in_userns=False, setgroups=True)
    return View(Host(**facts), user_name(uid) if view.file == "" or uid == 0 or who.isdigit() else who, view.name,
                view.release, view.controllers, view.file)


def state_root(view: View) -> str:
    """Where that user's containers are, unless --root says otherwise."""
    return ALL_OF_ROOT if not view.rootless else f"/run/user/{view.host.euid}/pyrunc"


def _ids(who: str) -> tuple[int, int]:
    import pwd
    if who == "root":
        return 0, 0
    try:
        if who.isascii() and who.isdigit() and len(who) < 11:
            uid = int(who)
            try:
                return uid, pwd.getpwuid(uid).pw_gid
            except KeyError:
                return uid, uid
        found = pwd.getpwnam(who)
    except (KeyError, OverflowError):
        raise UsageError(f"{who}: there is no such user here: give root, a name, or a number") from None
    return found.pw_uid, found.pw_gid


def recorded(document: Mapping[str, Any], file: str) -> View:
    """The host whose facts `pyrunc doctor --format json` has printed. UsageError for another document."""
    facts = document.get("facts")
    known = facts.get("host") if type(facts) is dict else None
    if type(facts) is not dict or type(known) is not dict:
        raise UsageError(f"{file}: it holds no facts of a host, as pyrunc doctor --format json prints them")
    given: dict[str, Any] = {}
    for name, kind in RECORDED.items():
        value = known.get(name)
        if type(value) is not kind:
            why = "it is missing" if value is None else f"not of type {kind.__name__}"
            raise UsageError(f"{file}: facts.host.{name}: {why}")
        given[name] = value
    words = {name: facts.get(name) for name in ("user", "name", "release")}
    for name, value in words.items():
        if type(value) is not str:
            raise UsageError(f"{file}: facts.{name}: not a string")
    controllers = facts.get("controllers")
    if type(controllers) is not list or not all(type(one) is str for one in controllers):
        raise UsageError(f"{file}: facts.controllers: not a list of names")
    return View(Host(**given), str(words["user"]), str(words["name"]), str(words["release"]), frozenset(controllers),
                file)


def plain(facts: Any) -> dict[str, Any]:
    """survey.Facts as JSON has them, with the host's name."""
    def simple(value: Any) -> Any:
        if isinstance(value, Host):
            return {name: getattr(value, name) for name in RECORDED}
        if isinstance(value, (frozenset, set)):
            return sorted(value)
        if isinstance(value, tuple):
            return list(value)
        return dict(value) if hasattr(value, "items") else value
    return {"name": posix.uname().nodename, **{name: simple(value) for name, value in vars(facts).items()}}
