"""Bind mounts: their attributes, their propagation to and from the host, and what a user namespace cannot undo."""
from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyrunc._native import lib
from pyrunc.engine.facts import Facts
from pyrunc.engine.run import Engine
from pyrunc.engine.step import CHILD, PARENT, Barrier
from pyrunc.errors import PyruncError
from pyrunc.host import Host, real_path
from pyrunc.kernel.linux import Kernel
from pyrunc.kernel.recorder import Recorder
from pyrunc.kernel.recording import FILE
from pyrunc.options import Options
from pyrunc.request import Request
from pyrunc.rootfs.mount_options import MountOptions
from pyrunc.steps import binds, mounts

from ..forked import forked
from .rootfs import CLONE_NEWNS, ROOT, apply, config, enter, inside, mountinfo, own_user_namespace, refused, steps, tree

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_NOATIME = 1, 2, 4, 8, 1024


def bind(source: str | Path, target: str = "/m", *options: str) -> dict[str, Any]:
    return {"destination": target, "source": str(source), "options": ["bind", *options]}


def outcome(act: Callable[[], object]) -> int:
    """The errno that act ends with, 0 for none."""
    try:
        act()
    except OSError as fault:
        return fault.errno or 0
    return 0


def on_host(prepare: Callable[[], None], entries: list[dict[str, Any]], bundle: Path, look: Callable[[], Any],
            **linux: Any) -> Any:
    """Like inside(), after prepare() has mounted something on the host."""
    def act() -> Any:
        prepare()
        facts = Facts()
        apply(steps(config(bundle, entries, **linux), bundle), Kernel(), facts)
        enter(facts.root_fd)
        return look()
    return forked(act, CLONE_NEWNS)


def tmpfs(path: Path, flags: int = 0) -> None:
    path.mkdir(exist_ok=True)
    Kernel().mount("host", str(path), "tmpfs", flags)


# ---- the calls ------------------------------------------------------------------------------------------------

def test_the_source_is_taken_before_the_clone_and_complete_before_it_is_attached(tmp_path: Path) -> None:
    wanted: Any = config(tmp_path, [bind("vol", "/m", "ro", "rnoexec", "rshared")])
    given = Request(wanted, Options(id="t", bundle="/b"), ROOT)
    (source,), (release,), (attach,) = (list(f(given)) for f in (mounts.sources, mounts.release, mounts.all))
    assert [step.side for step in (source, release, attach)] == [PARENT, PARENT, CHILD]
    assert [step.name for step in (source, release, attach)] == ["binds.source", "binds.release", "binds.attach"]
    assert {step.where for step in (source, attach)} == {"mounts[0]"}
    kernel, facts = Recorder(), Facts()
    source.apply(kernel, facts)
    assert kernel.calls == [
        ("open_tree", "/b/vol", 1, -100),
        ("mount_setattr", 100, 0, 0, 1 << 19, True, -1),         # no peer of the host's mount
        ("mount_setattr", 100, 1, 0x20000e, 0, False, -1),       # ro, and nothing else; times as they are
        ("mount_setattr", 100, 8, 0, 0, True, -1),
        ("mount_setattr", 100, 0, 0, 1 << 20, True, -1)]
    assert facts.mount_fds == {0: 100}
    child = Facts()
    child.root_fd, child.mount_fds = 99, dict(facts.mount_fds)
    attach.apply(kernel, child)
    assert [call for call in kernel.calls if call[0] == "move_mount"] == [("move_mount", 100, 101)]
    release.apply(kernel, facts)
    assert facts.mount_fds == {} and kernel.calls[-1] == ("close", 100)


def test_an_undone_source_is_closed_once(tmp_path: Path) -> None:
    wanted: Any = config(tmp_path, [bind("vol")])
    (source,) = mounts.sources(Request(wanted, Options(id="t", bundle="/b"), ROOT))
    kernel, facts = Recorder(), Facts()
    source.apply(kernel, facts)
    source.undo(kernel, facts)
    source.undo(kernel, facts)
    assert kernel.calls[-1] == ("close", 100) and sum(call[0] == "close" for call in kernel.calls) == 1


@pytest.mark.parametrize(("kind", "inherited"), [
    ("", 1 << 19), ("slave", 1 << 19), ("rslave", 1 << 19), ("private", 1 << 18), ("rprivate", 1 << 18),
    ("unbindable", 1 << 18), ("shared", 0), ("rshared", 0)])
def test_propagation_to_begin_with_is_that_of_the_root(tmp_path: Path, kind: str, inherited: int) -> None:
    wanted: Any = config(tmp_path, [bind("vol")], rootfsPropagation=kind)
    kernel = Recorder()
    (source,) = mounts.sources(Request(wanted, Options(id="t", bundle="/b"), ROOT))
    source.apply(kernel, Facts())
    assert [call[4] for call in kernel.calls if call[0] == "mount_setattr"] == ([inherited] if inherited else [])


def test_an_unprivileged_runtime_leaves_the_sources_to_the_init(tmp_path: Path) -> None:
    wanted: Any = config(tmp_path, [bind("vol"), {"destination": "/t", "type": "tmpfs"}, bind("/x", "/n", "rbind")])
    given = Request(wanted, Options(id="t", bundle="/b"), Host(euid=1000))
    assert [*mounts.sources(given), *mounts.release(given)] == []
    assert [(step.name, step.where) for step in mounts.all(given) if step.side == CHILD] == [
        ("binds.source", "mounts[0]"), ("binds.attach", "mounts[0]"), ("mounts.tmpfs", "mounts[1]"),
        ("binds.source", "mounts[2]"), ("binds.attach", "mounts[2]")]


def test_with_a_user_namespace_sources_come_from_one_locked_view(tmp_path: Path) -> None:
    wanted: Any = config(tmp_path, [bind("a"), bind("b", "/n")], namespaces=("mount", "user"))
    plan = list(mounts.sources(Request(wanted, Options(id="t", bundle="/b"), ROOT)))
    assert [step.name for step in plan] == ["binds.view", "binds.source", "binds.source", "binds.settle"]
    kernel, facts = Recorder(), Facts()
    apply(list(plan), kernel, facts)
    assert [call[1:] for call in kernel.calls if call[0] == "open_tree_in"] == [(100, "/b/a", 1), (100, "/b/b", 1)]
    assert kernel.calls[-1] == ("close", 100) and facts.mount_fds == {0: 101, 1: 102}


# ---- attributes on the real kernel --------------------------------------------------------------------------------

def test_a_read_only_bind_cannot_be_written_and_leaves_the_source_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "vol").mkdir()
    (tmp_path / "vol/f").write_text("old")

    def look() -> Any:
        return [outcome(lambda: os.open("/m/f", os.O_WRONLY)), outcome(lambda: os.mkdir("/m/d")),
                outcome(lambda: os.chmod("/m/f", 0o777))], Path("/m/f").read_text(), mountinfo()["/m"]["flags"]
    refusals, text, flags = inside(config(tmp_path, [bind("vol", "/m", "ro")]), tmp_path, look)
    assert refusals == [errno.EROFS] * 3 and text == "old" and flags == {"ro", "relatime"}
    (tmp_path / "vol/f").write_text("new")


@pytest.mark.spec("config.md#mounts", "source")
def test_a_bind_writes_to_its_source(tmp_path: Path) -> None:
    # config.md#mounts: "Path values for bind mounts are either absolute or relative to the bundle."
    (tmp_path / "vol").mkdir()
    inside(config(tmp_path, [bind("./x/../vol")]), tmp_path, lambda: Path("/m/f").write_text("from inside"))
    assert (tmp_path / "vol/f").read_text() == "from inside"


@pytest.mark.parametrize(("host", "options", "flags"), [
    (MS_NOSUID | MS_NODEV, [], {"rw", "nosuid", "nodev", "relatime"}),             # untouched without an option
    (MS_NOSUID | MS_NODEV, ["ro"], {"ro", "relatime"}),                             # as mount --bind -o ro
    (MS_NOSUID | MS_NODEV, ["suid"], {"rw", "relatime"}), (MS_RDONLY, ["rw"], {"rw", "relatime"}),
    (MS_NOATIME, ["nosuid"], {"rw", "nosuid", "noatime"}), (MS_NOATIME, ["relatime"], {"rw", "relatime"}),
    (0, ["nosuid", "nodev", "noexec", "noatime", "nosymfollow"],
     {"rw", "nosuid", "nodev", "noexec", "noatime", "nosymfollow"})])
def test_attributes_of_a_bind(tmp_path: Path, host: int, options: list[str], flags: set[str]) -> None:
    seen = on_host(lambda: tmpfs(tmp_path / "vol", host), [bind("vol", "/m", *options)], tmp_path, mountinfo)
    assert seen["/m"]["flags"] == flags


@pytest.mark.parametrize(("options", "top", "below"), [
    (["rbind", "ro"], "ro", "rw"), (["rbind", "rro"], "ro", "ro"), (["rbind", "ro", "rrw"], "rw", "rw"),
    (["rbind", "rnosuid", "rnodev", "rnoexec"], "nosuid,nodev,noexec", "nosuid,nodev,noexec"),
    (["rbind", "rnoatime"], "noatime", "noatime"), (["rbind", "rstrictatime", "rrelatime"], "relatime", "relatime"),
    (["rbind", "rnosymfollow", "rnodiratime"], "nosymfollow,nodiratime", "nosymfollow,nodiratime"),
    (["bind", "rro"], "ro", "")])
def test_recursive_attributes(tmp_path: Path, options: list[str], top: str, below: str) -> None:
    # config.md#linux-mount-options: "These AT_RECURSIVE options need kernel 5.12 or later."
    def prepare() -> None:
        tmpfs(tmp_path / "vol")
        tmpfs(tmp_path / "vol/sub")
    entry = {"destination": "/m", "source": "vol", "options": options}
    seen = on_host(prepare, [entry], tmp_path, mountinfo)
    assert set(top.split(",")) <= seen["/m"]["flags"]
    assert ("/m/sub" in seen) == bool(below)
    if below:
        assert set(below.split(",")) <= seen["/m/sub"]["flags"]


@pytest.mark.spec("config.md#mounts", "source")
def test_a_single_file(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("127.0.0.1")
    wanted = config(tmp_path, [bind("hosts", "/etc/hosts", "ro"), bind("hosts", "/dangling")])
    (tmp_path / "rootfs/dangling").symlink_to("/run/made")
    assert inside(wanted, tmp_path, lambda: (Path("/etc/hosts").read_text(), Path("/run/made").read_text())) \
        == ("127.0.0.1", "127.0.0.1")
    made = tmp_path / "rootfs/etc/hosts"
    assert made.read_text() == "" and made.stat().st_mode == FILE


def test_what_a_bind_mount_cannot_have_is_ignored_with_a_warning(tmp_path: Path) -> None:
    # runtime-tools' mounts test and crun; runc refuses
    wanted: Any = config(tmp_path, [bind("/etc", "/m", "mode=755", "size=1k", "sync", "nosuid")])
    for host in (ROOT, Host(euid=1000)):            # the runtime's own warning, whoever takes the source
        step = next(mounts.sources(Request(wanted, Options(id="t", bundle="/b"), host)))
        facts = Facts()
        step.apply(Recorder(), facts)
        assert step.side == PARENT
        assert facts.warnings == [
            f"a bind mount cannot have its own {name}: at mounts[0].options[{number}] in config.json"
            for name, number in (("sync", 3), ("mode", 1), ("size", 2))]
    assert inside(wanted, tmp_path, mountinfo)["/m"]["flags"] == {"rw", "nosuid", "relatime"}


def test_remounting_a_bind_changes_its_attributes(tmp_path: Path) -> None:
    (tmp_path / "vol").mkdir()
    entries = [bind("vol", "/m", "nosuid"), bind("vol", "/m", "remount", "ro", "noexec")]
    seen = inside(config(tmp_path, entries), tmp_path, mountinfo)
    assert seen["/m"]["flags"] == {"ro", "noexec", "relatime"}


def test_remounting_a_bind_without_a_word_takes_its_attributes(tmp_path: Path) -> None:
    """As mount(2) does."""
    (tmp_path / "vol").mkdir()
    entries = [bind("vol", "/m", "nosuid", "ro"), bind("vol", "/m", "remount")]
    seen = inside(config(tmp_path, entries), tmp_path, mountinfo)
    assert seen["/m"]["flags"] == {"rw", "relatime"}


@pytest.mark.parametrize("options", [(), ("ro",), ("nosuid", "private"), ("rro",), ("rshared",), ("slave",)])
def test_remounting_what_is_no_mount_is_an_error(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Without another option nothing was done, and nothing said: not even the bind mount was there."""
    wanted = config(tmp_path, [bind("vol", "/vol", "remount", *options)])
    for directory in (tmp_path, tmp_path / "rootfs"):
        (directory / "vol").mkdir()
    error = refused(wanted, tmp_path)
    assert 'error mounting "vol" to rootfs at "/vol"' in error and "invalid argument" in error, error


# ---- what goes wrong, and how it is told ---------------------------------------------------------------------------

@pytest.mark.parametrize(("entry", "said"), [
    (bind("/nope/x"), ['error mounting "/nope/x" to rootfs at "/m"', "no such file or "
                                                                     "directory", "at mounts[0].source in"]),
    (bind("dir", "/file"), ['error mounting "dir" to rootfs at "/file": a directory cannot be bound on a file',
                            "not a directory"]),
    (bind("file", "/dir"), ['error mounting "file" to rootfs at "/dir": a file cannot be bound on a directory']),
    (bind("dir", "/proc"), ['"/proc" cannot be mounted because it is not of type proc']),
    (bind("/proc/self", "/proc"), ['"/proc" cannot be mounted because it is not of type proc'])])
def test_errors_name_the_fault(tmp_path: Path, entry: dict[str, Any], said: list[str]) -> None:
    wanted = config(tmp_path, [entry])
    for directory in (tmp_path, tmp_path / "rootfs"):
        (directory / "dir").mkdir()
        (directory / "file").touch()
    error = refused(wanted, tmp_path)
    assert "\n" not in error and "is a directory" not in error      # Docker would make exit code 126 of that
    for part in said:
        assert part in error


def test_a_procfs_may_be_bound_on_proc(tmp_path: Path) -> None:
    assert inside(config(tmp_path, [bind("/proc", "/proc", "rbind")]), tmp_path, mountinfo)["/proc"]["type"] == "proc"


def test_a_bind_follows_no_link_out_of_the_root(tmp_path: Path) -> None:
    # CVE-2024-45310: files and directories made on the host
    (tmp_path / "hosts").touch()
    (tmp_path / "outside").mkdir()
    wanted = config(tmp_path, [bind("hosts", "/a/file"), bind("outside", "/b/dir")])
    for name in "ab":
        (tmp_path / "rootfs" / name).symlink_to(tmp_path / "outside")
    inside(wanted, tmp_path, lambda: None)
    assert tree(tmp_path / "outside") == []


# ---- the host and the container, as two mount namespaces -----------------------------------------------------------

def two_sides(bundle: Path, wanted: Any, host_does: Callable[[], object], look: Callable[[], Any]) -> tuple[Any, Any]:
    """The steps in two processes as the engine runs them, with a host that is shared, as systemd makes it.

    host_does() runs on the host when the container is there; returns what look() then sees inside, and how the host's
    mounts have changed by the container.
    """
    def act() -> tuple[Any, Any]:
        kernel, facts = Kernel(), Facts()
        kernel.mount("none", "/", "", lib.MS_REC | lib.MS_SHARED)
        tmpfs(bundle / "vol")
        (bundle / "vol/sub").mkdir()
        before = mountinfo()
        plan = list(steps(wanted, bundle))
        apply([step for step in plan if step.side == PARENT], kernel, facts)

        (ready, tell_ready), (go, tell_go) = os.pipe(), os.pipe()
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            assert lib.pr_unshare(CLONE_NEWNS) == 0      # as clone3 does: the copies are peers of the host's mounts
            apply([step for step in plan if step.side == CHILD], kernel, facts)
            enter(facts.root_fd)
            os.write(tell_ready, b"x")
            os.read(go, 1)
            os.write(writer, repr(look()).encode())
            os._exit(0)
        os.close(tell_ready)
        assert os.read(ready, 1)
        changed = {point for point in mountinfo() if mountinfo()[point] != before.get(point)}
        host_does()
        os.write(tell_go, b"x")
        os.close(writer)
        with os.fdopen(reader) as pipe:
            seen = pipe.read()
        os.waitpid(pid, 0)
        return eval(seen), changed
    return forked(act, CLONE_NEWNS)


@pytest.mark.parametrize(("rootfs", "options", "arrives"), [
    ("", [], True), ("", ["rprivate"], False), ("", ["private"], False), ("", ["rslave"], True),
    ("", ["rshared"], True), ("rprivate", [], False), ("rslave", ["slave"], True), ("rshared", ["rshared"], True),
    ("shared", ["rprivate"], False)])
def test_what_the_host_mounts_later(tmp_path: Path, rootfs: str, options: list[str], arrives: bool) -> None:
    wanted = config(tmp_path, [bind("vol", "/m", "rbind", *options)], rootfsPropagation=rootfs)
    seen, changed = two_sides(tmp_path, wanted, lambda: tmpfs(tmp_path / "vol/sub"), lambda: "/m/sub" in mountinfo())
    assert seen == arrives
    assert changed == set()


@pytest.mark.parametrize(("rootfs", "options", "leaks"), [
    ("", [], False), ("", ["rshared"], False), ("rprivate", [], False), ("rslave", ["rshared"], False),
    ("shared", ["rprivate"], False), ("rshared", ["rshared"], True), ("rshared", [], True)])
def test_what_the_container_mounts_below_a_volume(tmp_path: Path, rootfs: str, options: list[str], leaks: bool) -> None:
    """Only a container that asks for it on both sides (Docker's bind-propagation=rshared) mounts on the host, too."""
    wanted = config(tmp_path, [bind("vol", "/m", "rbind", *options), {"destination": "/m/sub", "type": "tmpfs"}],
                    rootfsPropagation=rootfs)
    _, changed = two_sides(tmp_path, wanted, lambda: None, lambda: None)
    assert changed == ({f"{tmp_path}/vol/sub"} if leaks else set())


# ---- user namespaces ----------------------------------------------------------------------------------------------

def as_userns_root(act: Callable[[], Any]) -> Any:
    """act() as root of a new user namespace."""
    def inner() -> Any:
        own_user_namespace()
        return act()
    return forked(inner)


@pytest.mark.parametrize("options", [["rbind"], ["bind", "ro"], ["bind", "rro", "nosuid"]])
def test_the_flags_of_the_hosts_mount_are_locked(tmp_path: Path, options: list[str]) -> None:
    # mount_namespaces(7): a less privileged mount namespace may not clear them
    def act() -> Any:
        kernel, facts = Kernel(), Facts()
        tmpfs(tmp_path / "vol", MS_NODEV | MS_NOSUID | MS_RDONLY)
        entry = {"destination": "/m", "source": "vol", "options": options}
        wanted: Any = config(tmp_path, [entry], namespaces=("mount", "user"))
        cwd = os.getcwd()
        apply(mounts.sources(Request(wanted, Options(id="t", bundle=str(tmp_path)), ROOT)), kernel, facts)
        assert os.getcwd() == cwd and mountinfo()[str(tmp_path / "vol")]
        fd = facts.mount_fds[0]
        flags = kernel.fs_flags(fd) & (MS_RDONLY | MS_NOSUID | MS_NODEV)

        def container() -> Any:
            place = os.open(tmp_path / "rootfs", os.O_PATH)
            kernel.move_mount(fd, place)
            return [outcome(lambda flag=flag: kernel.mount_setattr(fd, clear=flag))  # type: ignore[misc]
                    for flag in (MS_RDONLY, MS_NOSUID, MS_NODEV)]
        return flags, as_userns_root(container)
    flags, refusals = forked(act, CLONE_NEWNS)
    assert flags == MS_RDONLY | MS_NOSUID | MS_NODEV     # kept, though none but ro was asked for
    assert refusals == [errno.EPERM] * 3


def test_a_part_of_a_locked_tree_is_not_bound_and_the_hint_says_why(tmp_path: Path) -> None:
    def act() -> Any:
        tmpfs(tmp_path / "vol")
        tmpfs(tmp_path / "vol/sub")
        found = []
        for option in ("bind", "rbind"):
            entry = {"destination": "/m", "source": "vol", "options": [option]}
            wanted: Any = config(tmp_path, [entry], namespaces=("mount", "user"))
            want = Request(wanted, Options(id="t", bundle=str(tmp_path)), ROOT)
            engine = Engine(list(mounts.sources(want)), Kernel())
            try:
                engine.run()
                found.append("")
            except PyruncError as error:
                found.append(str(error))
        return found
    part, whole = forked(act, CLONE_NEWNS)
    assert whole == ""
    assert "invalid argument: at mounts[0] in config.json" in part and "hint: " in part and "(rbind)" in part


@pytest.mark.parametrize("option", ["rw", "dev", "atime"])
def test_an_option_that_asks_to_clear_a_locked_flag_is_an_error(tmp_path: Path, option: str) -> None:
    def act() -> str:
        tmpfs(tmp_path / "vol", MS_NODEV | MS_RDONLY | MS_NOATIME)
        wanted: Any = config(tmp_path, [bind("vol", "/m", option)], namespaces=("mount", "user"))
        try:
            apply(mounts.sources(Request(wanted, Options(id="t", bundle=str(tmp_path)), ROOT)), Kernel(), Facts())
        except Exception as error:
            return str(error)
        return ""
    error = forked(act, CLONE_NEWNS)
    assert "cannot clear locked flags" in error and "operation not permitted" in error


def test_the_init_of_an_unprivileged_runtime_takes_its_sources_itself(tmp_path: Path) -> None:
    (tmp_path / "vol").mkdir()
    wanted = config(tmp_path, [bind("vol", "/m", "ro"), {"destination": "/t", "type": "tmpfs", "options": ["ro"]}],
                    namespaces=("mount", "user"))

    def act() -> Any:
        facts = Facts()
        apply(steps(wanted, tmp_path, Host(in_userns=True)), Kernel(), facts)
        enter(facts.root_fd)
        return mountinfo()
    seen = as_userns_root(act)
    assert "ro" in seen["/m"]["flags"] and "ro" in seen["/t"]["flags"]


# ---- sources in the root --------------------------------------------------------------------------------------

@pytest.mark.parametrize(("source", "inside"), [
    ("/b/rootfs", "/"), ("/b/rootfs/", "/"), ("rootfs/a/b", "/a/b"), ("/b/x/../rootfs/a", "/a"), ("/b/rootfs/../c", ""),
    ("/b/rootfs2", ""), ("/b", ""), ("/", ""), ("/link/a", "/a"), ("/elsewhere", "")])
def test_what_lies_in_the_root(source: str, inside: str) -> None:
    wanted: Any = {"root": {"path": "rootfs"}}
    host = Host(real=lambda path: path.replace("/link", "/b/rootfs"))
    fields = {"source": source, "options": MountOptions([])}
    assert binds.inside(Request(wanted, Options(id="t", bundle="/b"), host), fields) == inside


def test_a_source_in_the_root_is_the_inits_to_take_and_its_ids_are_the_runtimes_to_map(tmp_path: Path) -> None:
    mapped = {**bind("rootfs/a", "/n"), "uidMappings": [{"containerID": 0, "hostID": 1, "size": 1}],
              "gidMappings": [{"containerID": 0, "hostID": 1, "size": 1}]}
    wanted: Any = {**config(tmp_path, [bind("/x"), mapped]), "root": {"path": "rootfs"}}
    given = Request(wanted, Options(id="t", bundle="/b"), ROOT)
    assert [(step.name, step.where) for step in mounts.sources(given)] == [("binds.source", "mounts[0]")]
    made = list(mounts.all(given))
    assert [(step.name, step.side) for step in made if not isinstance(step, Barrier)] == [
        ("binds.attach", CHILD), ("binds.source_in_root", CHILD), ("binds.lend", CHILD), ("binds.borrow", PARENT),
        ("idmap.namespace", PARENT), ("idmap.apply", PARENT), ("binds.settle", PARENT), ("binds.release", PARENT),
        ("binds.attach", CHILD)]
    kernel, facts = Recorder(), Facts()
    facts.root_fd = 99
    made[1].apply(kernel, facts)
    assert kernel.calls[0][:3] == ("open_in_root", 99, "/a")
    assert ("open_tree", "", 0x1001, 100) in kernel.calls


def test_the_real_path(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "dangling").symlink_to(tmp_path / "link/b/not yet")
    (tmp_path / "loop").symlink_to("loop")
    for given, real in (("link/b", "a/b"), ("link/b/c/d", "a/b/c/d"), ("dangling/x", "a/b/not yet/x"), ("a", "a"),
                        ("loop/x", "loop/x"), ("no/such", "no/such")):
        assert real_path(f"{tmp_path}/{given}") == f"{tmp_path.resolve()}/{real}"
    assert (real_path("/"), real_path("/no such")) == ("", "/no such")
