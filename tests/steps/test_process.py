"""The steps of the process on the Recorder. What C makes of the operations: tests/last_stage; from inside a container:
tests/container/test_inside.py."""
from __future__ import annotations

import errno
import os
import posix
from typing import Any

import pytest

from pyrunc.host import Host
from pyrunc.kernel import last_stage as last
from pyrunc.kernel.last_stage import pack_exec, pack_strings
from pyrunc.kernel.recorder import Recorder
from pyrunc.kernel.recording import FILE, PID
from pyrunc.steps import init, process

from .planned import applied, config, done, facts, plan, story

PASSWD = "root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n"
READING = posix.O_RDONLY | posix.O_NONBLOCK | posix.O_NOCTTY


def queued(code: int, a: int = 0, data: bytes = b"") -> tuple[object, ...]:
    return ("last", code, a, 0, 0, data)


# config.md#linux-process: "If oomScoreAdj is set, the runtime MUST set oom_score_adj to the given value."
def test_oom_score_adj() -> None:
    wanted = config(process={"oomScoreAdj": -500})
    assert story(plan(process.oom_score_adj, wanted)) == [
        ("process.oom_score_adj", "process.oomScoreAdj", "set oom_score_adj -500")]
    assert done(process.oom_score_adj, wanted) == [("write_file", f"/proc/{PID}/oom_score_adj", "-500", -100)]


# config.md#linux-process: "If oomScoreAdj is not set, the runtime MUST NOT change the value of oom_score_adj."
def test_no_oom_score_adj() -> None:
    assert plan(process.oom_score_adj, config()) == plan(process.oom_score_adj, config(process=None)) == []


def test_oom_score_adj_that_may_not_be_written_is_an_error_unless_it_is_so_already() -> None:
    [step] = plan(process.oom_score_adj, config(process={"oomScoreAdj": -500}))
    path = f"/proc/{PID}/oom_score_adj"
    step.apply(Recorder(errors={"write_file": [errno.EACCES]}, files={path: "-500\n"}), facts())
    with pytest.raises(PermissionError):
        step.apply(Recorder(errors={"write_file": [errno.EACCES]}, files={path: "0\n"}), facts())


@pytest.mark.parametrize("namespace, options", [({"type": "user", "path": "/proc/7/ns/user"}, {}),
                                                ({"type": "user"}, {"joins": True})])
def test_a_process_that_joins_a_user_namespace_of_an_ordinary_user_writes_its_own(
        namespace: dict[str, str], options: dict[str, Any]) -> None:
    """Its files below /proc are root's as long as it is not dumpable."""
    wanted = config(process={"oomScoreAdj": 500}, linux={"namespaces": [namespace]})
    assert plan(process.oom_score_adj, wanted, host=Host(euid=1000), **options) == []
    [step] = plan(process.own_oom_score_adj, wanted, host=Host(euid=1000), **options)
    assert (step.side, step.describe()) == ("child", "set oom_score_adj 500")
    assert applied(step) == [("prctl", 4, 1, 0, 0, 0), ("write_file", "/proc/self/oom_score_adj", "500", -100),
                             ("prctl", 4, 0, 0, 0, 0)]
    assert plan(process.own_oom_score_adj, wanted, host=Host(), **options) == []
    assert len(plan(process.oom_score_adj, wanted, host=Host(), **options)) == 1


def test_missing_working_directory_is_made_by_descriptor() -> None:
    wanted = config(process={"cwd": "/srv/app"})
    [step] = plan(process.make_cwd, wanted)
    assert story([step]) == [
        ("process.make_cwd", "process.cwd", "make the working directory /srv/app if it is missing")]
    [call] = applied(step)
    assert call[:3] == ("open_in_root", facts().root_fd, "/srv/app")
    step.apply(Recorder(errors={"open_in_root": [errno.EACCES]}), facts())       # the user may be able to
    with pytest.raises(OSError):
        step.apply(Recorder(errors={"open_in_root": [errno.ENOTDIR]}), facts())
    assert plan(process.make_cwd, config(process={"cwd": "//"})) == plan(process.make_cwd, config(process=None)) == []


@pytest.mark.parametrize("uid, mode, home", [(1000, FILE, "/home/user"), (0, FILE, "/root"), (7, FILE, ""),
                                             (1000, 0o010644, ""), (1000, 0o040755, ""), (1000, None, "")])
def test_home_is_looked_up_in_a_regular_file_of_the_root(uid: int, mode: int | None, home: str) -> None:
    [step] = plan(process.prepare, config(process={"user": {"uid": uid, "gid": 0}}))
    assert story([step]) == [("process.home", "process.env",
                              f"find the home directory of uid {uid} in the container's /etc/passwd")]
    kernel, known = Recorder(files={"etc/passwd": PASSWD}, modes={"etc/passwd": mode}), facts()
    calls = applied(step, kernel, known)
    assert known.home == home and kernel.fds == {}
    assert calls[0] == ("open_in_root", known.root_fd, "etc/passwd", os.O_PATH, 0, 0x12)
    assert (("reopen", 100, READING) in calls) == (("read", 101, 1 << 20) in calls) == (mode == FILE)


@pytest.mark.parametrize("failing", ["open_in_root", "stat", "reopen", "read"])
def test_a_root_without_a_readable_passwd_is_no_error(failing: str) -> None:
    [step] = plan(process.prepare, config())
    kernel, known = Recorder(errors={failing: [errno.EIO]}, modes={"etc/passwd": FILE}), facts()
    step.apply(kernel, known)
    assert known.home == "" and kernel.fds == {}
    for number in (errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EINTR, errno.EPERM):    # of the host
        kernel = Recorder(errors={failing: [number]}, modes={"etc/passwd": FILE})
        with pytest.raises(OSError):
            step.apply(kernel, facts())
        assert kernel.fds == {}


def test_home_that_is_set_is_not_looked_up() -> None:
    assert plan(process.prepare, config(process={"env": ["HOME=/x"]})) == []
    assert plan(process.prepare, config(process=None)) == []


# config.md#posix-platform-user: "umask (int, OPTIONAL) specifies the umask of the user. If unspecified, the umask
# should not be changed from the calling process' umask." Engines call with umask 0, so it is runc's 0022 then.
@pytest.mark.parametrize("user, mask, where", [({}, 0o22, ""), ({"umask": 63}, 0o77, "process.user.umask"),
                                               ({"umask": 0}, 0, "process.user.umask")])
def test_umask(user: dict[str, int], mask: int, where: str) -> None:
    wanted = config(process={"user": {"uid": 0, "gid": 0, **user}})
    assert story(plan(process.umask, wanted)) == [("process.umask", where, f"set umask {mask:04o}")]
    assert done(process.umask, wanted) == [queued(last.OP_UMASK, mask)]
    assert done(process.umask, config(process=None)) == [queued(last.OP_UMASK, 0o22)]


# config.md#linux-process: "setting noNewPrivileges to true prevents the process from gaining additional privileges."
def test_no_new_privileges() -> None:
    assert done(process.no_new_privileges, config(process={"noNewPrivileges": True})) == [queued(last.OP_NO_NEW_PRIVS)]
    assert plan(process.no_new_privileges, config(process={"noNewPrivileges": False})) == []


# config.md#posix-process: "rlim.rlim_cur MUST match the configured value." "rlim.rlim_max MUST match the configured
# value."
def test_rlimits_one_step_each() -> None:
    wanted = config(process={"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 256, "hard": 1024},
                                         {"type": "RLIMIT_CORE", "soft": 0, "hard": 2**64 - 1}]})
    assert story(plan(process.rlimits, wanted)) == [
        ("process.rlimits", "process.rlimits[0]", "set RLIMIT_NOFILE: soft 256, hard 1024"),
        ("process.rlimits", "process.rlimits[1]", "set RLIMIT_CORE: soft 0, hard unlimited")]
    assert done(process.rlimits, wanted) == [("prlimit", PID, 7, 256, 1024), ("prlimit", PID, 4, 0, 2**64 - 1)]


# config.md#process: "cwd (string, REQUIRED) is the working directory that will be set for the executable."
def test_working_directory() -> None:
    wanted = config(process={"cwd": "/srv"})
    assert story(plan(process.directory, wanted)) == [("process.cwd", "process.cwd", "change directory to /srv")]
    assert done(process.directory, wanted) == [queued(last.OP_CHDIR, 1, pack_strings(["/srv"]))]


# config.md#process: "at least one entry is REQUIRED, and that entry is used with the same semantics as execvp's file."
@pytest.mark.parametrize("env, args, path, text", [
    (["PATH=/a:/b"], ["prog", "x"], "/a:/b", "find prog in /a:/b"),
    (["PATH=/a", "PATH=/b"], ["prog"], "/b", "find prog in /b"),
    ([], ["prog"], "/bin:/usr/bin", "find prog in /bin:/usr/bin"),
    (["PATH=/a"], ["./prog"], "/a", "find ./prog")])
def test_executable(env: list[str], args: list[str], path: str, text: str) -> None:
    wanted = config(process={"env": env, "args": args})
    assert story(plan(process.find_executable, wanted)) == [("process.find_executable", "process.args[0]", text)]
    assert done(process.find_executable, wanted) == [queued(last.OP_FIND_EXECUTABLE, 0, pack_strings([args[0], path]))]


def test_it_outlives_the_runtime() -> None:
    assert done(process.outlive, config()) == [queued(last.OP_NO_PDEATHSIG)]


@pytest.mark.parametrize("options, first",
                         [({}, 3), ({"preserve_fds": 2}, 5), ({"preserve_fds": 1, "listen_fds": 2}, 6)])
def test_execution(options: dict[str, Any], first: int) -> None:
    wanted = config(process={"env": ["A=1", "HOME=/h"], "args": ["echo", "a b", ""]})
    env = ["A=1", "HOME=/h"] + (["LISTEN_FDS=2", "LISTEN_PID=1"] if "listen_fds" in options else [])
    assert story(plan(process.execute, wanted, **options)) == [
        ("process.close_files", "", f"close every descriptor from {first} on"),
        ("process.exec", "process.args", "execute echo a b ")]
    assert done(process.execute, wanted, **options) == [queued(last.OP_CLOSE_FROM, first),
                                                        queued(last.OP_EXEC, 0, pack_exec(["echo", "a b", ""], env))]


def test_home_that_was_found_is_in_the_environment() -> None:
    known = facts()
    known.home = "/home/user"
    _, step = plan(process.execute, config())
    assert applied(step, known=known) == [queued(last.OP_EXEC, 0, pack_exec(["true"], ["HOME=/home/user"]))]


# config.md#process: "This property is REQUIRED when start is called." runtime.md#create: "The remaining process
# properties MAY be applied by this operation."
def test_without_a_process_there_is_an_init_that_waits_all_the_same() -> None:
    wanted = config(process=None)
    none: list[Any] = []
    for planner in (process.directory, process.find_executable, process.no_new_privileges, process.rlimits):
        assert plan(planner, wanted) == none
    assert [step.name for step in plan(init.wait_start, wanted)] == ["init.wait_start"]
    assert story(plan(process.execute, wanted))[-1] == (
        "process.exec", "", "execute nothing: config.json has no process, so start fails")
