"""What is an ordinary user's own: ids, groups, helpers, devices, cgroups, and what the user must not reach."""
from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path

from ...harness import bundles, isolation
from ...harness.hostile import attempt, execute
from ...harness.trial import Trial, namespace, status
from ...model import Fails, NotHere, ask, ask_each


@ask("rootless", "root inside is the user outside")
def who_it_is(t: Trial) -> None:
    """The program is root in its user namespace, and the user on the machine; exec is, too"""
    made = t.running()
    t.equal(status(made.pid)["Uid"].split(), [str(os.geteuid())] * 4, "user of the program, outside")
    t.equal(status(made.pid)["Gid"].split(), [str(os.getegid())] * 4, "group of the program, outside")
    t.true(namespace("user", made.pid) != namespace("user"), "the user namespace is the caller's")
    for command in (["id", "-u"], ["id", "-g"]):
        t.equal(execute(t, made, made.id, *command).stdout.strip(), "0", " ".join(command))


@ask("rootless", "the whole life of a container")
def life(t: Trial) -> None:
    """create, state, start, exec, kill and delete all work, and leave nothing"""
    made = t.create(process={"args": ["sleep", "600"]})
    t.equal(t.runtime.state(made.id)["status"], "created", "status")
    made.start()
    t.runtime.ok("exec", made.id, "true")
    t.runtime.ok("kill", made.id, "KILL")
    t.equal(made.wait(), 137, "exit code")
    t.runtime.wait_for(made.id, "stopped")
    made.delete()
    t.equal([path.name for path in t.runtime.root.iterdir() if path.name == made.id], [], "in the state root")


@ask("rootless", "CVE-2014-8989: a group is not given up to get what it is kept from")
def groups_stay(t: Trial) -> None:
    """a user who maps one group cannot give up the others: setgroups is denied"""
    made = t.running()
    t.equal(Path(f"/proc/{made.pid}/setgroups").read_text().strip(), "deny", "setgroups of the user namespace")


@ask_each("rootless", {"uid": ("ids that are not the user's", "uidMappings"),
                       "gid": ("ids that are not the user's", "gidMappings")})
def ids_of_others(t: Trial, kind: str) -> None:
    """a mapping to an id of another user, root's say, is an error"""
    linux = bundles.of_a_user(os.geteuid(), os.getegid())
    linux[kind] = [{"containerID": 0, "hostID": 0, "size": 1}]
    done = attempt(t, linux=linux)
    t.true(not done.ran, f"{kind} of root are made")


@ask("rootless", "the ids of /etc/subuid, by newuidmap")
def more_ids(t: Trial) -> None:
    """mappings of ids that /etc/subuid and /etc/subgid give to the user are made by newuidmap and newgidmap"""
    for helper in ("newuidmap", "newgidmap"):
        if not shutil.which(helper):
            raise NotHere(f"no {helper}")
    linux = bundles.of_a_user(os.geteuid(), os.getegid())
    for kind, file in (("uidMappings", "/etc/subuid"), ("gidMappings", "/etc/subgid")):
        first, size = _given(file)
        linux[kind].append({"containerID": 1, "hostID": first, "size": min(size, 1000)})
    made = t.running(linux=linux, process={"user": {"uid": 5, "gid": 5}})
    outside = str(linux["uidMappings"][1]["hostID"] + 4)
    t.equal(status(made.pid)["Uid"].split()[0], outside, "user of the program, outside")


def _given(file: str) -> tuple[int, int]:
    """The first range of ids that a file gives to this user."""
    try:
        names = {str(os.geteuid()), pwd.getpwuid(os.geteuid()).pw_name}
    except KeyError:
        names = {str(os.geteuid())}
    for line in Path(file).read_text().splitlines() if Path(file).exists() else ():
        name, first, size = line.split(":")
        if name in names:
            return int(first), int(size)
    raise NotHere(f"{file} gives nothing to user {os.geteuid()}")


@ask_each("rootless", {name: ("devices that the user cannot make", name)
                       for name in ("null", "zero", "full", "random", "urandom", "tty")})
def devices_of_the_machine(t: Trial, name: str) -> None:
    """the default devices are there all the same, bound from the machine"""
    numbers = {"null": "1:3", "zero": "1:5", "full": "1:7", "random": "1:8", "urandom": "1:9", "tty": "5:0"}
    t.equal(t.inside(f"stat -c %t:%T /dev/{name}"), numbers[name], f"/dev/{name}")


@ask("rootless", "files that the user may not read are not shown")
def files_of_others(t: Trial) -> None:
    """root inside reads no file that the user may not read"""
    folder = t.place / isolation.OF_ANOTHER
    if not folder.exists():
        raise NotHere("an ordinary user has no file of another one: root can make it, who runs the cases as the user")
    t.true(not os.access(folder / "file", os.R_OK), "the file can be read outside")
    done = attempt(t, mounts=[*bundles.MOUNTS, bundles.bind(folder, "/mnt", "ro")],
                   process={"args": ["sh", "-c", "ls /mnt; cat /mnt/file"]})
    t.equal(done.stdout, "file\n", "seen inside")


@ask("rootless", "CVE-2023-25809: the machine's cgroups are not writable")
def cgroups_of_the_machine(t: Trial) -> None:
    """no cgroup that is not the user's can be written from inside"""
    mount = {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", "nosuid"]}
    sys = {"destination": "/sys", "type": "bind", "source": "/sys", "options": ["rbind", "ro"]}
    name = f"{t.id}-new"
    done = attempt(t, mounts=[*bundles.MOUNTS, sys, mount], process={"args": [
        "sh", "-c", f"mount -o remount,bind,rw /sys/fs/cgroup; mkdir /sys/fs/cgroup/{name} && echo made; "
                    "echo 0 >/sys/fs/cgroup/cgroup.procs && echo written; true"]})
    if not done.ran:
        raise NotHere(f"a mount of cgroups is refused here: {done.stderr.strip()[-200:]}")
    t.true(not (isolation.CGROUP / name).exists() and "made" not in done.stdout, "a cgroup of the machine was made")


@ask("rootless", "a limit that the user cannot set is told")
def limits_without_cgroups(t: Trial) -> None:
    """a limit of memory is set, or create is an error or a warning: it is not passed over in silence"""
    bundle, id, file = t.bundle(linux={"resources": {"memory": {"limit": 64 << 20}}}), t.new_id(), t.place / "pid"
    done = t.runtime("create", "--bundle", bundle, "--pid-file", file, id)
    if done.status or done.stderr.strip():
        return
    lines = Path(f"/proc/{file.read_text()}/cgroup").read_text().splitlines()
    place = next((line[3:] for line in lines if line.startswith("0::")), "/nowhere")
    limit = isolation.CGROUP / place.lstrip("/") / "memory.max"
    t.true(limit.exists() and limit.read_text().strip() == str(64 << 20), "there is no limit, and no word about it")


@ask("rootless", "files that the program makes are the user's")
def owner_of_files(t: Trial) -> None:
    """a file that root makes inside is the user's, and the user can remove it"""
    bundle = t.bundle(process={"args": ["touch", "/made"]})
    t.equal(attempt(t, bundle).status, 0, "exit code of touch")
    t.equal((bundle / "rootfs/made").stat().st_uid, os.geteuid(), "owner of the file")
    (bundle / "rootfs/made").unlink()


@ask("rootless", "the state root is the user's, and closed to others")
def state_is_closed(t: Trial) -> None:
    """the state of a container is the user's, and other users write nothing of it"""
    t.running()
    for path in (t.runtime.root, *t.runtime.root.rglob("*")):
        found = path.lstat()
        if found.st_uid != os.geteuid():
            raise Fails(f"{path} is of user {found.st_uid}")
        t.true(path.is_symlink() or not found.st_mode & 0o002 or path.is_socket(), f"{path} is {found.st_mode:o}")


@ask("rootless", "hooks run as the user")
def hooks_run_as_the_user(t: Trial) -> None:
    """a createRuntime hook runs as the user, with no capability on the machine"""
    out = t.place / "hook"
    t.create(hooks={"createRuntime": [t.hook(f"id -u >{out}")]})
    t.true(out.read_text().strip() in (str(os.geteuid()), "0"), f"user of the hook: {out.read_text()!r}")
    t.equal(out.stat().st_uid, os.geteuid(), "owner of what the hook has written")


@ask("rootless", "a namespace of the machine is not joined")
def namespaces_of_the_machine(t: Trial) -> None:
    """a namespace that the user has no rights in is an error"""
    linux = bundles.of_a_user(os.geteuid(), os.getegid())
    linux["namespaces"] = [entry for entry in linux["namespaces"] if entry["type"] != "uts"] + [
        {"type": "uts", "path": "/proc/self/ns/uts"}]
    done = attempt(t, hostname="evil", linux=linux)
    t.true(not done.ran, "a uts namespace of the machine is joined, and its name changed")
