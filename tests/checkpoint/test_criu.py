"""What is said to CRIU and heard from it, without one: the protocol, its log, its images, the names of mounts."""
from __future__ import annotations

import errno
import json
import os
import socket
import stat
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrunc import plan, programs
from pyrunc.criu import images, log, mounts, service
from pyrunc.criu.messages import DUMP, OPTIONS, Response, options
from pyrunc.criu.options import Choices, common
from pyrunc.criu.service import Criu
from pyrunc.engine.facts import Facts
from pyrunc.errors import PyruncError, Refused, UsageError
from pyrunc.formats import protobuf
from pyrunc.host import Host
from pyrunc.kernel.linux import Kernel
from pyrunc.kernel.recorder import Recorder
from pyrunc.options import Options
from pyrunc.steps.checkpoint import Directories, Opened, Streams
from tests.bundles import MOUNTS, docker_like
from tests.runtimes import find

STATE: dict[str, Any] = {"pid": 77, "rootfs": "/bundle/rootfs", "cgroup": "/sys/fs/cgroup/c", "streams": [
    "/dev/null", "pipe:[123]", "pipe:[124]"]}


# ---- protocol -------------------------------------------------------------------------------------------------------
def test_the_wire_format() -> None:
    # The examples of the protocol buffers documentation: field 1 = 150, field 2 = "testing".
    assert protobuf.encode([(1, 150)]) == b"\x08\x96\x01"
    assert protobuf.encode([(2, "testing")]) == b"\x12\x07testing"
    assert protobuf.encode([(1, -1)]) == b"\x08" + b"\xff" * 9 + b"\x01"        # int32 is sign-extended to 64 bits
    assert protobuf.encode([(1, True)]) == b"\x08\x01"


@given(st.lists(st.tuples(st.integers(1, 2000), st.one_of(st.integers(0, 2 ** 64 - 1), st.binary(max_size=40)))))
def test_what_is_encoded_is_decoded(fields: list[tuple[int, int | bytes]]) -> None:
    assert protobuf.decode(protobuf.encode(fields)) == dict(fields)


@given(st.binary(max_size=60))
def test_anything_else_is_refused_or_a_message(data: bytes) -> None:
    try:
        protobuf.decode(data)
    except ValueError:
        pass


def test_options_that_are_off_are_not_sent() -> None:
    assert options({"leave_running": False, "parent_img": "", "external": []}) == b""
    sent = protobuf.decode(options({"leave_running": True, "external": ["a", "b"], "manage_cgroups_mode": 0}))
    assert sent == {OPTIONS["leave_running"]: 1, OPTIONS["external"]: b"b", OPTIONS["manage_cgroups_mode"]: 0}


def test_responses() -> None:
    note = Response(protobuf.encode([(1, 6), (2, True), (5, protobuf.encode([(1, "post-restore"), (2, 42)]))]))
    assert (note.script, note.pid, note.success) == ("post-restore", 42, True)
    failed = Response(protobuf.encode([(1, 1), (2, False), (7, 3)]))
    assert (failed.success, failed.error, failed.script) == (False, 3, "")


# ---- CRIU as a process: a stand-in that speaks its protocol ----------------------------------------------------------
FAKE = """\
#!{python}
import os, socket, sys
sys.path.insert(0, {checkout!r})
from pyrunc.formats import protobuf
assert sys.argv[1:] == ["swrk", "3"], sys.argv
peer = socket.socket(fileno=3)
kind = protobuf.decode(peer.recv(65536))[1]
{body}
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(body: str) -> Criu:
        program = tmp_path / "criu"
        program.write_text(FAKE.format(python=sys.executable, checkout=os.getcwd(), body=textwrap.dedent(body)))
        program.chmod(0o755)
        monkeypatch.setattr(programs, "PATH", f"{tmp_path}:{programs.PATH}")
        assert service.find() == str(program)
        return Criu(service.find(), os.open(tmp_path, os.O_RDONLY), str(tmp_path), "dump.log")
    return make


def test_notifications_are_answered_and_the_end_is_the_end(fake: Any) -> None:
    criu = fake("""
        for script in ("pre-dump", "post-dump"):
            peer.send(protobuf.encode([(1, 6), (2, True), (5, protobuf.encode([(1, script), (2, 5)]))]))
            assert protobuf.decode(peer.recv(100)) == {1: 6, 3: 1}
        peer.send(protobuf.encode([(1, kind), (2, True)]))
        """)
    criu.start(Kernel())
    criu.ask(DUMP, {"pid": 5})
    seen: list[str] = []
    assert criu.until("post-dump", lambda response, fd: seen.append(response.script)).pid == 5
    criu.go_on()
    assert criu.until("").kind == DUMP and seen == ["pre-dump", "post-dump"]
    criu.finish()
    criu.end()


@pytest.mark.parametrize(("body", "said"), [
    ("peer.send(protobuf.encode([(1, kind), (2, False), (7, 22)]))", "Error (criu/x.c:1): No such thing"),
    ("pass", "Error (criu/x.c:1): No such thing"),
    ("os.unlink(os.path.dirname(sys.argv[0]) + '/dump.log'); peer.send(b'\\xff')", "its answer is no message"),
])
def test_a_failure_names_its_cause_first_and_then_the_log(fake: Any, tmp_path: Path, body: str, said: str) -> None:
    criu = fake(body)
    (tmp_path / "dump.log").write_text("(00.1) Error (criu/x.c:1): No such thing\n(00.2) Dumping FAILED.\n")
    criu.start(Kernel())
    criu.ask(DUMP, {})
    with pytest.raises(Refused) as caught:
        criu.until("")
    assert str(caught.value).startswith(f"criu failed: {said}")
    assert str(caught.value).endswith(f": log file {tmp_path}/dump.log")
    assert criu.pid == 0


def test_one_that_was_asked_for_nothing_says_nothing(fake: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """A step fails between its start and the request. (The stand-in says what it thinks of the socket's end.)"""
    criu = fake("pass")
    criu.start(Kernel(), streams=True)
    criu.end()
    assert criu.pid == 0 and capfd.readouterr() == ("", "")


def test_one_that_cannot_be_asked(fake: Any, capfd: pytest.CaptureFixture[str]) -> None:
    class Full:
        def send(self, data: bytes) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def close(self) -> None:
            real.close()

    criu = fake("pass")
    criu.start(Kernel(), streams=True)
    real = criu.socket
    criu.socket = Full()
    with pytest.raises(Refused, match=r"^criu failed: send to it: no space left on device: log file"):
        criu.ask(DUMP, {})
    assert criu.pid == 0 and capfd.readouterr() == ("", "")


def test_no_criu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "criu").mkdir()                      # what has the name, and is no program
    monkeypatch.setattr(programs, "PATH", str(tmp_path))
    with pytest.raises(PyruncError, match="this host has none"):
        plan.checkpoint(docker_like(), Options(id="c"), STATE, Choices())   # type: ignore[arg-type]


# ---- the log --------------------------------------------------------------------------------------------------------
def test_the_cause_is_chosen_from_the_log() -> None:
    text = """\
(00.000001) Version: 3.17.1
(00.002) Error (criu/files-reg.c:1629): Can't lookup mount=30 for fd=0   path=/tmp/x
(00.003) Warn  (criu/kerndat.c:1): something
(00.004) Error (criu/cr-dump.c:1713): Dump files (pid: 8) failed with -1
(00.004) Error (criu/cr-dump.c:1713): Dump files (pid: 8) failed with -1
(00.005) Error (criu/cr-dump.c:2098): Dumping FAILED.
"""
    assert log.chosen(text) == ("Error (criu/files-reg.c:1629): Can't lookup mount=30 for fd=0 path=/tmp/x; "
                                "Error (criu/cr-dump.c:1713): Dump files (pid: 8) failed with -1")
    assert log.chosen("Error (a.c:1): Dumping FAILED.") == "Error (a.c:1): Dumping FAILED."
    assert log.chosen("nothing\n") == ""


# ---- images ---------------------------------------------------------------------------------------------------------
def test_images_build_upon_others_only_beside_them(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pages-1.img").touch()
    link = tmp_path / "second/parent"
    link.symlink_to("../first")
    fd = os.open(tmp_path / "second", os.O_RDONLY)
    images.check(fd, "second")
    (tmp_path / "first/core-1.img").symlink_to("/etc/shadow")
    with pytest.raises(Refused, match=r"core-1\.img is neither a file nor a directory"):
        images.check(fd, "second")
    (tmp_path / "first/core-1.img").unlink()
    os.mkfifo(tmp_path / "first/fifo")
    with pytest.raises(Refused, match="neither a file"):
        images.check(fd, "second")
    (tmp_path / "first/fifo").unlink()
    with socket.socket(socket.AF_UNIX) as daemon:               # of `criu lazy-pages`, and no other
        daemon.bind(str(tmp_path / "first/lazy-pages.socket"))
        images.check(fd, "second")
        (tmp_path / "first/lazy-pages.socket").rename(tmp_path / "first/pages-2.img")
        with pytest.raises(Refused, match="neither a file"):
            images.check(fd, "second")
    (tmp_path / "first/pages-2.img").unlink()
    (tmp_path / "first/parent").symlink_to("../second")
    with pytest.raises(Refused, match="in a circle"):
        images.check(fd, "second")
    for target, said in (("/etc", "absolute path"), ("../none", "no such file")):
        link.unlink()
        link.symlink_to(target)
        with pytest.raises(Refused, match=said):
            images.check(fd, "second")


def test_a_log_is_not_written_through_a_link(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("kept")
    (tmp_path / "restore.log").symlink_to(kept)
    images.clear(os.open(tmp_path, os.O_RDONLY), "restore.log")
    assert not (tmp_path / "restore.log").is_symlink() and kept.read_text() == "kept"


@pytest.mark.parametrize(("text", "said"), [
    ("{}", "not a list"), ("[1]", "not a list"), ('["", "", "", ""]', "not a list"), ("[", "descriptors.json")])
def test_streams_that_are_none(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "descriptors.json").write_text(text)
    with pytest.raises(Refused, match=said):
        images.inherited(os.open(tmp_path, os.O_RDONLY), "images")


def test_streams_are_pipes_and_nothing_that_the_images_make_up(tmp_path: Path) -> None:
    names = ["pipe:[12]", "pipe:[12]", "mnt[]:s"]
    (tmp_path / "descriptors.json").write_text(json.dumps(names))
    fd = os.open(tmp_path, os.O_RDONLY)
    assert images.inherited(fd, "images") == {"pipe:[12]": 0}
    (tmp_path / "descriptors.json").write_text(json.dumps(["/etc/shadow", "pipe:[7]", "pipe:[1]:/x"]))
    assert images.inherited(fd, "images") == {"pipe:[7]": 1}


def test_streams_of_the_host_are_left_out_of_the_images(tmp_path: Path) -> None:
    """A shim's fifo and a log are in no mount of the container; what is, CRIU finds again."""
    os.mkfifo(tmp_path / "fifo")
    fifo, log = os.open(tmp_path / "fifo", os.O_RDWR), os.open(tmp_path / "log", os.O_RDWR | os.O_CREAT)
    pair = os.pipe()
    files = [(Path(f"/proc/self/fdinfo/{fd}").read_text(), os.stat(fd)) for fd in (fifo, log)]

    class Process(Kernel):
        def read_file(self, path: str, dirfd: int = -100, limit: int = 1 << 20) -> str:
            return "7 1 8:1 / / rw - ext4 /dev/sda1 rw\n" if "mountinfo" in path else files[int(path[-1])][0]

        def stat_path(self, path: str, follow: bool = True) -> os.stat_result:
            return files[int(path[-1])][1]
    links = [f"{tmp_path}/fifo", f"{tmp_path}/log", f"pipe:[{pair[0]}]"]
    directories = Directories(path="/images", work_path="")
    step = Streams(directories=directories, pid=77, streams=links)
    facts = Facts()
    facts.keep(directories, Opened(fd=os.open(tmp_path, os.O_RDONLY), work_fd=-1))
    step.apply(Process(), facts)
    mount = files[0][0].split("mnt_id:")[1].split()[0]
    wanted = [f"file[{int(mount):x}:{files[number][1].st_ino:x}]" for number in (0, 1)]
    assert facts.results[step] == [*wanted, f"pipe:[{pair[0]}]"]
    assert images.inherited(os.open(tmp_path, os.O_RDONLY), "images") == {
        wanted[0]: 0, wanted[1]: 1, f"pipe:[{pair[0]}]": 2}
    (tmp_path / "descriptors.json").write_text(json.dumps(["file[]", "file[1:x]", "file[1:2]/etc"]))
    assert images.inherited(os.open(tmp_path, os.O_RDONLY), "images") == {}


def test_directories_are_made_for_root_alone(tmp_path: Path) -> None:
    images.make(Kernel(), str(tmp_path / "a/b"))
    assert stat.S_IMODE((tmp_path / "a/b").stat().st_mode) == 0o700


# ---- mounts ---------------------------------------------------------------------------------------------------------
VOLUME = {"destination": "/data", "type": "bind", "source": "/srv/data", "options": ["bind", "ro"]}
MOUNTINFO = """\
101 1 8:1 / / rw - ext4 /dev/sda1 rw
102 101 0:30 / /dev rw,nosuid - tmpfs tmpfs rw
103 101 8:2 /data {place} ro - ext4 /dev/sda2 rw
"""


def container(place: str) -> Recorder:
    """A container whose root is descriptor 100, and whose first bind mount is 101 as a descriptor and as a mount."""
    text = MOUNTINFO.replace("101 1 ", "100 1 ").replace("103 101", "101 100").format(place=place)
    return Recorder(files={"/proc/77/mountinfo": text})


def config(**changes: Any) -> Any:
    return docker_like(mounts=[*MOUNTS, VOLUME], **changes)


def test_a_mount_is_named_by_a_digest_of_its_destination() -> None:
    (where, name), *others = mounts.names(container("/data"), 77, config(), Options(bundle="/bundle"))
    kind, _, digest = name.partition("-")
    assert (where, kind, len(digest), others) == ("/data", "bind", 32, [])
    assert set(digest) <= set("0123456789abcdef")


def test_what_the_kernel_says_is_mounted_elsewhere_is_another_mount() -> None:
    assert not list(mounts.names(container("/"), 77, config(), Options(bundle="/bundle")))


# CVE-2026-115520: CRIU ends a mount point at "]:", and what follows would be the name.
def test_a_place_that_would_end_early_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = container("/x]:bind-0")
    monkeypatch.setattr(kernel, "fd_path", lambda fd: "/x]:bind-0")
    with pytest.raises(Refused, match="cannot be checkpointed"):
        list(mounts.names(kernel, 77, config(), Options(bundle="/bundle")))


def test_the_identity_of_a_source_is_what_its_bind_mount_shows(tmp_path: Path) -> None:
    device, root = mounts.identity(Kernel(), str(tmp_path))
    shown = subprocess.run(["findmnt", "-n", "-o", "MAJ:MIN,TARGET", "-T", tmp_path], capture_output=True, text=True,
                           check=True).stdout.split()
    assert device == shown[0] and str(tmp_path).endswith(root.strip("/").rpartition("/")[2])


# ---- plans and flags ------------------------------------------------------------------------------------------------
@pytest.fixture
def criu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "criu").write_text("#!/bin/sh\n")
    (tmp_path / "criu").chmod(0o755)
    monkeypatch.setattr(programs, "PATH", str(tmp_path))


def names(steps: Any) -> list[str]:
    return [step.name for step in steps]


def test_the_plan_of_checkpoint(criu: None) -> None:
    choices = Choices(image_path="/images")
    steps = plan.checkpoint(config(), Options(id="c", bundle="/bundle"), STATE, choices)
    assert names(steps) == ["checkpoint.directories", "checkpoint.mounts", "checkpoint.streams", "checkpoint.dump"]
    recorder, facts = Recorder(files={"/proc/77/mountinfo": "101 1 8:1 / / rw - ext4 /dev/sda1 rw\n"}), Facts()
    facts.keep(steps[0], Opened(fd=7, work_fd=8))
    steps[2].apply(recorder, facts)
    assert [call[1] for call in recorder.calls if call[0] == "replace"] == ["descriptors.json"]
    choices.pre_dump = True
    assert names(plan.checkpoint(config(), Options(id="c"), STATE, choices)) == [
        "checkpoint.directories", "checkpoint.dump"]


def test_the_plan_of_restore(criu: None) -> None:
    hook = {"path": "/bin/true"}
    planned = names(plan.restore(config(hooks={"createRuntime": [hook]}), Options(id="c", bundle="/bundle",
                                 pid_file="/pid"), Host(), Choices(image_path="/images")))
    order = ["state.reserve", "state.intent", "restore.images", "cgroup.create", "restore.criu", "restore.begin",
             "hooks.create_runtime", "restore.processes", "restore.check_mounts", "state.prepare", "state.save",
             "restore.run", "state.pid_file"]
    assert [name for name in planned if name in order] == order
    assert "state.fifo" not in planned                                # nobody waits for `start`
    joined = config(linux={"namespaces": [{"type": "cgroup", "path": "/proc/1/ns/cgroup"}]})
    with pytest.raises(UsageError, match="cgroup namespace"):
        plan.restore(joined, Options(id="c", bundle="/bundle"), Host(), Choices())


def test_the_configuration_file_of_criu() -> None:
    assert common(Choices(), config())["config_file"] == "/etc/criu/runc.conf"
    assert common(Choices(), config(annotations={"org.criu.config": ""}))["config_file"] == ""


@pytest.mark.parametrize(("words", "said"), [
    (["restore", "--lsm-mount-context"], "flag needs an argument"),                     # Podman looks for it
    (["restore", "--manage-cgroups-mode", "x", "c"], 'invalid value "x" for flag -manage-cgroups-mode'),
    (["restore", "--empty-ns", "pid", "c"], 'namespace "pid" is not supported'),
    (["checkpoint"], 'pyrunc: "checkpoint" requires exactly 1 argument(s)'),
    (["checkpoint", "none"], "container does not exist"),
])
def test_misuse(words: list[str], said: str, tmp_path: Path) -> None:
    done = subprocess.run([find(), "--root", str(tmp_path), *words], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and said in json.loads(f'"{done.stderr.split("msg=")[1].strip()[1:-1]}"')


@pytest.mark.parametrize("command", ["checkpoint", "restore"])
def test_help_exits_with_0(command: str) -> None:
    assert subprocess.run([find(), command, "--help"], stdout=subprocess.DEVNULL, check=False).returncode == 0
