"""A look into the init of an ordinary user's container, before its program runs: by exec, and by nsenter at a stop."""
from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
from pathlib import Path

import pytest

from tests import runtimes, world
from tests.container.rootless import UID, User

SECRET = "hunter2-of-the-caller"
LINE = re.compile(r"stopped before step \d+, ([a-z_.]+).*; look around: (nsenter .*?), /proc/(\d+)")


@pytest.fixture
def user(request: pytest.FixtureRequest, private_world: None, place: Path) -> User:
    found = User(runtimes.find(request.config.getoption("runtime")), place)
    found.environment["PASSWORD"] = SECRET
    return found


@pytest.fixture
def created(user: User) -> User:
    user.spec("sleep 1000", process={"noNewPrivileges": True})
    user.detached("create", "c")
    return user


def test_exec_into_a_created_container(created: User) -> None:
    assert json.loads(created.ok("state", "c"))["status"] == "created"
    assert created.ok("exec", "c", "id", "-u") == "0\n"
    assert created.ok("exec", "c", "hostname").strip() == "pyrunc"
    created.ok("start", "c")
    assert created.ok("exec", "c", "id", "-u") == "0\n"
    created.ok("delete", "--force", "c")


def test_what_is_executed_there_finds_nothing_of_the_callers(created: User) -> None:
    """It may look into the init now (so it may in runc's): the environment is forgotten, the descriptors are closed."""
    look = "cat /proc/1/environ; for fd in /proc/1/fd/*; do readlink $fd; done; readlink /proc/1/exe; ls /proc/1/root/"
    out = created.ok("exec", "c", "sh", "-c", look)
    assert SECRET not in out and "XDG_RUNTIME_DIR" not in out
    links = [line for line in out.replace("\0", "").splitlines() if line.startswith("/")]
    assert "/memfd:pyrunc (deleted)" in links or any("pyrunc" in link for link in links)
    streams = {str(created.bundle.parent / "out"), "/dev/null"}
    rest = [link for link in links if link not in streams and "memfd" not in link and not link.endswith("/exec.fifo")]
    assert set(rest) <= {"/"}, rest                                  # the root is the container's
    assert "rootfs" not in out                                       # which the look at it shows
    created.ok("delete", "--force", "c")


def test_the_callers_environment_is_nowhere_in_the_init(created: User) -> None:
    """Root, too, looks in vain: not in /proc/PID/environ, and not elsewhere in the init's memory."""
    pid = json.loads(created.ok("state", "c"))["pid"]
    assert Path(f"/proc/{pid}/environ").read_bytes().strip(b"\0") == b""
    held = b""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in world.lines(f"/proc/{pid}/maps"):
            first, last = (int(part, 16) for part in line.split()[0].split("-"))
            if line.split()[1].startswith("rw") and "[v" not in line:
                memory.seek(first)
                held += memory.read(last - first)
    assert len(held) > 4096 and SECRET.encode() not in held
    created.ok("delete", "--force", "c")


STEPS = ["user.map", "user.root", "namespaces.unshare", "mounts.proc", "uts.hostname", "root.switch",
         "process.no_new_privileges", "state.save", "identity.uid", "process.find_executable"]


@pytest.mark.parametrize("ids", [0, UID], ids=["root of its namespace", "its own id"])
def test_the_command_that_a_stop_prints_works(user: User, ids: int) -> None:
    """At each step, of the runtime's and of the init's: it runs something in the init's namespaces."""
    own = [{"containerID": ids, "hostID": UID, "size": 1}]
    user.spec("sleep 1000", process={"user": {"uid": ids, "gid": ids}}, linux={"uidMappings": own, "gidMappings": own})
    words = [word for step in STEPS for word in ("--break", step)]
    env = {"PATH": os.environ["PATH"], "HOME": "/", "XDG_RUNTIME_DIR": str(user.runtime_dir)}
    become = ["setpriv", "--reuid", str(UID), "--regid", str(UID), "--clear-groups"]
    log, seen = user.bundle.parent / "said", []
    with log.open("wb") as said:
        process = subprocess.Popen([*become, user.program, *words, "create", "c"], cwd=user.bundle, env=env,
                                   stdin=subprocess.DEVNULL, stdout=said, stderr=said)
    while os.WIFSTOPPED(status := os.waitpid(process.pid, os.WUNTRACED)[1]):
        line = log.read_text().splitlines()[-1]
        match = LINE.search(line)
        assert match, line
        looking = subprocess.run([*become, *shlex.split(match[2]), "-c", "/bin/busybox id -u"], capture_output=True,
                                 text=True, env=env, timeout=60, check=False)
        assert looking.returncode == 0, (line, looking.stderr)
        if match[1] != "user.map":                                   # until then nobody has an id there
            assert looking.stdout.strip() == str(ids), line
        seen.append(match[1])
        process.send_signal(signal.SIGCONT)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, log.read_text()
    assert list(dict.fromkeys(seen)) == STEPS
    assert user.ok("exec", "c", "id", "-u").strip() == str(ids)
    user.ok("delete", "--force", "c")
