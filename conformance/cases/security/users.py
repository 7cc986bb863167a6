"""Who a process is: names that are numbers, numbers that are no ids, groups and capabilities of others."""
from __future__ import annotations

from ...harness import bundles
from ...harness.hostile import attempt, capabilities, execute, groups_of_the_caller
from ...harness.trial import Trial
from ...model import ask, ask_each

NUMBERS = "CVE-2016-3697, CVE-2026-30892, CVE-2024-40635, CVE-2026-46680"
WHO = "echo $(id -u) $(id -g)"
SETS = "grep ^Cap /proc/self/status"


@ask_each("security", {repr(user): (NUMBERS, user, who) for user, who in (
    ("1000", "1000 0"), ("1", "1 0"), ("1000:2", "1000 2"), ("1:2", "1 2"), ("0:5", "0 5"))})
def user_of_exec(t: Trial, user: str, who: str) -> None:
    """exec runs as the number that --user is, whatever the image calls so"""
    bundle = t.bundle(process={"args": ["sleep", "600"]})
    (bundle / "rootfs/etc/passwd").write_text("1000:x:0:0::/:/bin/sh\n1:x:0:0::/:/bin/sh\n")
    made = t.create(bundle).start()
    done = execute(t, made, "--user", user, made.id, "sh", "-c", WHO)
    t.equal(done.stdout.split(), who.split(), f"user and group of exec --user {user}: {done.stderr[-200:]}")


@ask_each("security", {repr(user).strip("'") or "empty": (NUMBERS, user) for user in (
    "evil", ":5", "1:", "0x1", " 1", "1_000", "\u0661", "+1", "-1", "4294967295", "4294967296", "1e3", "1,2")})
def user_of_exec_that_is_none(t: Trial, user: str) -> None:
    """exec with a user that is no number of an id is refused, or is not root"""
    bundle = t.bundle(process={"args": ["sleep", "600"]})
    (bundle / "rootfs/etc/passwd").write_text("evil:x:0:0::/:/bin/sh\n")
    made = t.create(bundle).start()
    done = execute(t, made, "--user", user, made.id, "sh", "-c", WHO)
    t.true(done.status or not done.stdout.startswith("0 "), f"exec --user {user!r} is root")


@ask_each("security", {repr(uid): ("CVE-2024-40635, CVE-2026-46680", uid)
                       for uid in (4294967295, 4294967296, -1, 1 << 64, 1.5, True, "1000", None)})
def uid_of_config_that_is_none(t: Trial, uid: object) -> None:
    """a uid of config.json that is no id is refused, or is not root"""
    done = attempt(t, process={"user": {"uid": uid if uid is not None else [], "gid": 0},
                               "args": ["sh", "-c", WHO]})
    t.true(done.status or not done.stdout.startswith("0 "), f"the uid {uid!r} is root")


@ask("security", "CVE-2016-8867: no capability is left to a user without ambient")
def capabilities_of_a_user(t: Trial) -> None:
    """a program of another user, without ambient capabilities, has none"""
    done = attempt(t, process={"user": {"uid": 1000, "gid": 1000}, "args": ["sh", "-c", SETS],
                               **capabilities("CAP_CHOWN", "CAP_KILL")})
    seen = dict(line.split(":\t") for line in done.stdout.splitlines())
    for name in ("CapPrm", "CapEff", "CapAmb", "CapInh"):
        t.equal(seen.get(name), "0" * 16, name)


@ask("security", "CVE-2016-8867: nor to a user of exec")
def capabilities_of_a_user_of_exec(t: Trial) -> None:
    """exec as another user, without ambient capabilities, has none"""
    made = t.running(process=capabilities("CAP_CHOWN", "CAP_KILL"))
    done = execute(t, made, "--user", "1000:1000", made.id, "sh", "-c", SETS)
    seen = dict(line.split(":\t") for line in done.stdout.splitlines())
    for name in ("CapPrm", "CapEff", "CapAmb", "CapInh"):
        t.equal(seen.get(name), "0" * 16, name)


@ask("security", "CVE-2022-24769, CVE-2022-29162: no inheritable capabilities by default")
def inheritable_capabilities(t: Trial) -> None:
    """without inheritable in config.json no capability is inheritable"""
    said = t.inside("sed -n 's/^CapInh:.//p' /proc/self/status", process=capabilities("CAP_CHOWN", "CAP_KILL"))
    t.equal(said, "0" * 16, "CapInh")


@ask_each("security", {"plain": ("CVE-2022-27650, CVE-2025-27612", ()),
                       "--cap": ("CVE-2022-29162", ("--cap", "CAP_NET_RAW"))})
def inheritable_capabilities_of_exec(t: Trial, options: tuple[str, ...]) -> None:
    """exec makes no capability inheritable or ambient"""
    made = t.running(process=capabilities("CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"))
    done = execute(t, made, *options, made.id, "sh", "-c", SETS)
    seen = dict(line.split(":\t") for line in done.stdout.splitlines())
    for name in ("CapInh", "CapAmb"):
        t.equal(seen.get(name), "0" * 16, f"{name} of exec")


@ask_each("security", {"capabilities": ("kata's issue 2828", "CapBnd"), "umask": ("kata's issue 2828", "Umask"),
                       "filter": ("kata's issue 2828", "Seccomp"), "privileges": ("kata's issue 2828", "NoNewPrivs")})
def exec_has_what_the_container_has(t: Trial, field: str) -> None:
    """what an exec leaves out is the container's, not the machine's"""
    script = f"sed -n 's/^{field}:.//p' /proc/1/status /proc/self/status"
    user = {"uid": 0, "gid": 0, **({"umask": 0o77} if field == "Umask" else {})}
    filtered = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["syslog"], "action": "SCMP_ACT_ERRNO"}]}
    made = t.running(process={**capabilities("CAP_CHOWN"), "user": user, "noNewPrivileges": field == "NoNewPrivs"},
                     linux={"seccomp": filtered} if field == "Seccomp" else {})
    done = execute(t, made, made.id, "sh", "-c", script)
    init, _, own = done.stdout.strip().partition("\n")
    t.equal(own, init, f"{field} of exec")


@ask_each("security", {"create": ("the caller's groups", False),
                       "a user namespace": ("the caller's groups", True)})
def groups_of_whoever_called(t: Trial, maps: bool) -> None:
    """the supplementary groups of the caller are not the program's"""
    linux = {"namespaces": bundles.namespaces("pid", "mount", "user"),
             **{kind: [{"containerID": 0, "hostID": 100000, "size": 65536}] for kind in ("uidMappings", "gidMappings")}}
    with groups_of_the_caller(0, 12345):
        bundle = t.bundle(process={"args": ["sleep", "600"]}, **({"linux": linux} if maps else {}))
        made = t.create(bundle).start()
        done = execute(t, made, made.id, "sh", "-c", "sed -n 's/^Groups:.//p' /proc/1/status /proc/self/status")
    t.true(not {"12345", "65534"} & set(done.stdout.split()), f"groups of the program and of exec: {done.stdout!r}")
