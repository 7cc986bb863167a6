"""What is handed over: values of any length, texts that are none, files of the caller, output without end."""
from __future__ import annotations

import os
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

from ...harness import bundles, patience
from ...harness.hostile import attempt, kept
from ...harness.trial import Trial
from ...model import Fails, ask, ask_each


@ask_each("security", {str(length): ("CVE-2021-43784", length) for length in (65535, 65536, 65537, 131000)})
def value_of_any_length(t: Trial, length: int) -> None:
    """a long value arrives as it is, and the one behind it, too"""
    value = ("x=\n,:" * length)[:length - 8]
    done = attempt(t, process={"env": [bundles.PATH, f"LONG={value}", "LAST=1"], "args": [
        "sh", "-c", "tr -d '\\n' </proc/self/environ | tr '\\0' '\\n' | grep -c .; echo ${#LONG} $LAST"]})
    t.true(done.status or done.stdout.split()[-2:] == [str(len(value)), "1"],
           f"length, and the value behind it: {done.stdout[:100]!r}")


@ask_each("security", {str(count): ("CVE-2021-43784", count) for count in (340, 3000)})
def mappings_of_any_number(t: Trial, count: int) -> None:
    """as many mappings as are given are made, or it is an error"""
    maps = [{"containerID": number, "hostID": 100000 + number, "size": 1} for number in range(count)]
    id, file = t.new_id(), t.place / "pid"
    bundle = t.bundle(linux={"namespaces": bundles.namespaces("pid", "mount", "user"), "uidMappings": maps,
                             "gidMappings": maps})
    if t.runtime("create", "--bundle", bundle, "--pid-file", file, id).status == 0:
        lines = Path(f"/proc/{file.read_text()}/uid_map").read_text().splitlines()
        t.equal(len(lines), count, "lines of uid_map")


NULS: dict[str, dict[str, Any]] = {
    "args": {"process": {"args": ["sh\0", "-c", "true"]}}, "cwd": {"process": {"cwd": "/tmp\0/x"}},
    "env": {"process": {"env": ["PATH=/bin", "A=1\0B=2"]}}, "hostname": {"hostname": "a\0b"},
    "root": {"root": {"path": "rootfs\0/.."}}, "cgroupsPath": {"linux": {"cgroupsPath": "/a\0b"}},
    "maskedPaths": {"linux": {"maskedPaths": ["/etc\0/x"]}},
    "sysctl": {"linux": {"sysctl": {"net.ipv4.ip_forward\0x": "1"}}},
    "options": {"mounts": [*bundles.MOUNTS, bundles.tmpfs("/mnt", "ro\0,rw")]},
    "destination": {"mounts": [*bundles.MOUNTS, bundles.tmpfs("/mnt\0/other")]},
    "hooks": {"hooks": {"createRuntime": [{"path": "/bin/true\0x"}]}}}


@ask_each("security", {name: ("a NUL cuts a value short", name) for name in NULS})
def value_with_a_nul(t: Trial, name: str) -> None:
    """a string with a NUL is refused, as it would mean two things"""
    done = attempt(t, **NULS[name])
    t.true(not done.ran, f"{name} with a NUL is taken")


def raw(t: Trial, change: Any) -> Path:
    """A bundle whose config.json is changed as text."""
    bundle = t.bundle(process={"args": ["sh", "-c", "echo $VALUE; grep NoNewPrivs /proc/self/status"],
                               "env": [bundles.PATH, "VALUE=first"], "noNewPrivileges": True})
    file = bundle / "config.json"
    file.write_bytes(change(file.read_bytes()))
    return bundle


@ask_each("security", {
    "in another case": ("a name in another case", lambda text: text.replace(b"noNewPrivileges", b"NoNewPrivileges")),
    "twice": ("a name that stands twice", lambda text: text.replace(
        b'"noNewPrivileges": true', b'"noNewPrivileges": true, "noNewPrivileges": false'))})
def name_that_means_two_things(t: Trial, change: Any) -> None:
    """a name that readers of JSON take differently does not switch a protection off in silence"""
    done = attempt(t, raw(t, change))
    t.true(not done.ran or "NoNewPrivs:\t1" in done.stdout, f"the container runs without it: {done.stdout!r}")


@ask_each("security", {
    "no UTF-8": ("text that is none", lambda text: text.replace(b"VALUE=first", b"VALUE=\xff\xfe")),
    "half of a pair": ("text that is none", lambda text: text.replace(b"VALUE=first", b"VALUE=\\ud800")),
    "deep": ("nesting without end", lambda text: b'{"annotations": {"a": ' + b"[" * 200000 + b"]" * 200000 + b"}}"),
    "digits": ("numbers of any length", lambda text: text.replace(b'"uid": 0', b'"uid": ' + b"9" * 100000)),
    "nothing": ("a config that is null", lambda text: b"null"),
    "infinite": ("numbers that are none", lambda text: text.replace(b'"uid": 0', b'"uid": 1e999'))})
def config_that_is_none(t: Trial, change: Any) -> None:
    """such a config.json is refused with a word, and not by a crash"""
    done = attempt(t, raw(t, change), seconds=20)
    for word in ("Traceback (most recent", "goroutine 1", "panicked at", "Segmentation fault", "AddressSanitizer"):
        t.true(word not in done.stderr, f"the runtime crashes: {done.stderr[:300]!r}")
    t.true(not done.ran or "\ufffd" in done.stdout, f"it is taken: {done.stdout!r}")
    t.true(done.status >= 0, f"create ends by signal {-done.status}")


@ask_each("security", {"device": ("files without end", "/dev/zero"), "pipe": ("files without end", "fifo")}, seconds=30)
def config_without_end(t: Trial, kind: str) -> None:
    """a config.json that never ends is not read until memory does"""
    bundle = t.bundle()
    (bundle / "config.json").unlink()
    if kind == "fifo":
        os.mkfifo(bundle / "config.json")
    else:
        (bundle / "config.json").symlink_to(kind)
    argv = ["sh", "-c", 'ulimit -v 8000000; exec "$@"', "sh", *t.runtime.argv("create", "--bundle", bundle, t.new_id())]
    t.runtime.root.mkdir(exist_ok=True)
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False,
                              timeout=patience.stretched(10))
    except subprocess.TimeoutExpired:
        if kind == "fifo":
            return                              # nobody writes: to wait is what one can do, and it costs nothing
        raise Fails("create reads for more than 10 s") from None
    t.true(done.returncode > 0, f"create ends with {done.returncode}")
    t.true(b"out of memory" not in done.stderr and b"MemoryError" not in done.stderr, "create reads until memory ends")


# ---- files of the caller ------------------------------------------------------------------------------------------
@ask_each("security", {kind: ("a pid file where something else lies", kind)
                       for kind in ("link", "device", "fifo", "directory")})
def pid_file_that_is_something_else(t: Trial, kind: str) -> None:
    """a pid file's name that is a link, a device or a fifo harms and stops nothing"""
    with kept(t) as outside:
        file = t.place / "files/pid"
        file.parent.mkdir()
        if kind == "link":
            file.symlink_to(outside / "secret")
        elif kind == "device":
            os.mknod(file, 0o020666, os.makedev(1, 3))
        elif kind == "fifo":
            os.mkfifo(file)
        else:
            file.mkdir()
        t.runtime("create", "--bundle", t.bundle(), "--pid-file", file, t.new_id(), seconds=10)
        t.true(kind != "device" or stat.S_ISCHR(file.lstat().st_mode), "the device is gone")


@ask("security", "a pid file: what lies beside it is not removed")
def what_lies_beside_the_pid_file(t: Trial) -> None:
    """files beside the pid file that are called like a temporary one stay"""
    folder = t.place / "files"
    folder.mkdir()
    for name in (".pid", "pid.tmp", ".pid.tmp", "pid~", "pid.new"):
        (folder / name).write_text("kept")
    t.runtime.ok("create", "--bundle", t.bundle(), "--pid-file", folder / "pid", t.new_id())
    t.equal(sorted(path.name for path in folder.iterdir() if path.read_text() == "kept"),
            [".pid", ".pid.tmp", "pid.new", "pid.tmp", "pid~"], "files beside the pid file")


@ask("security", "a log where a fifo lies", seconds=30)
def log_that_is_a_fifo(t: Trial) -> None:
    """a log that is a fifo which no process reads is not waited for"""
    os.mkfifo(t.place / "log")
    t.runtime("--log", t.place / "log", "state", "no-such-container", seconds=10)


# ---- output, messages ---------------------------------------------------------------------------------------------
@ask("security", "cri-o's CVE-2022-1708, containerd's CVE-2022-31030: output without end", seconds=60)
def hook_that_prints_without_end(t: Trial) -> None:
    """a hook that prints 48 MiB does not fill the runtime's memory with it"""
    quiet, loud = (memory_with_a_hook(t, f"yes x | head -c {size} >&2; exit 1") for size in (0, 48 << 20))
    t.true(loud - quiet < 24 << 10, f"the runtime takes {loud - quiet >> 10} MiB more for a hook that prints 48 MiB")


def memory_with_a_hook(t: Trial, script: str) -> int:
    """The most that create takes while this hook runs, in KiB."""
    argv = t.runtime.argv("create", "--bundle", t.bundle(hooks={"createRuntime": [t.hook(script)]}), t.new_id())
    t.runtime.root.mkdir(exist_ok=True)
    with open(t.place / "out", "wb") as out:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        most = 0
        while process.poll() is None:
            try:
                lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
                most = max([most, *(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))])
            except OSError:
                break
            time.sleep(0.004)
        process.wait()
    return most


@ask_each("security", {
    "args": ("control characters on a terminal", {"process": {"args": ["/no/\x1b[2J\x1b]0;evil\x07"]}}),
    "cwd": ("control characters on a terminal", {"process": {"cwd": "no\x1b[2J"}}),
    "mount": ("control characters on a terminal", {"mounts": [
        *bundles.MOUNTS, bundles.bind("/no/\x1b[2J", "/mnt")]}),
    "hostname": ("control characters on a terminal", {"linux": {"namespaces": [{"type": "\x1b[2J"}]}})})
def message_with_control_characters(t: Trial, changes: dict[str, Any]) -> None:
    """control characters of a config are shown in a message, and not sent to the terminal"""
    done = attempt(t, **changes)
    t.true(not done.ran, "it is taken")
    t.true("\x1b" not in done.stderr, f"the message has an escape sequence: {done.stderr[-200:]!r}")


@ask("security", "values of the environment in logs")
def secrets_in_logs(t: Trial) -> None:
    """values of env are in no message and no log, also with --debug"""
    log = t.place / "log"
    bundle = t.bundle(process={"env": [bundles.PATH, "PASSWORD=hunter2hunter2"], "args": ["/no/such/program"]})
    done = t.runtime("--debug", "--log", log, "create", "--bundle", bundle, t.new_id())
    said = done.stderr + (log.read_text(errors="replace") if log.exists() else "")
    t.true("hunter2" not in said, "a value of env is in a message")


@ask("security", "containerd's CVE-2026-53488: nothing that an annotation names is run")
def annotations_that_name_programs(t: Trial) -> None:
    """annotations that name programs run none"""
    program = t.place / "evil"
    program.write_text(f"#!/bin/sh\ntouch {t.place}/ran\n")
    program.chmod(0o755)
    names = ("run.oci.hooks.stdout", "run.oci.handler", "io.containerd.logger", "org.opencontainers.hook", "logger")
    attempt(t, annotations=dict.fromkeys(names, f"binary://{program}"))
    t.true(not (t.place / "ran").exists(), "a program that an annotation names was run")
