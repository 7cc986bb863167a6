"""No Python runs with the container's root: from pivot_root to execve nothing is opened, mapped or imported."""
from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests import bundles
from tests.bundles import docker_like, merge
from tests.container.strace import followed
from tests.runtimes import Runtime
from tests.seccomp_profile import small

RICH = merge(docker_like(), {
    "process": {"user": {"uid": 1000, "gid": 1000}, "noNewPrivileges": True},
    "linux": {"seccomp": small(), "sysctl": {"net.ipv4.ip_forward": "1"}},
    "hooks": {"startContainer": [{"path": "/bin/true"}]},
})
#: What would read code or data by a path in the container's root.
OPENING = re.compile(r"^(open|openat|openat2|creat|uselib|execveat|memfd_create)\(|^mmap\(.*<")


def after_the_switch(processes: list[list[str]], switch: str) -> list[str]:
    """The lines of the one process that switches its root, from there to the successful execve of the container's, be
    it by the one that it clones."""
    trace, = (lines for lines in processes if any(re.match(switch, line) for line in lines))
    start = next(index for index, line in enumerate(trace) if re.match(switch, line))
    if trace[-1] == "+++ exited with 0 +++" and trace[-3].startswith("clone("):
        cloned, = (lines for lines in processes if lines[0].startswith("setsid(") and lines is not trace)
        trace = trace[:-1] + cloned
    end = next(index for index, line in enumerate(trace) if index > start and re.match(r"execve\(.*= 0$", line))
    return trace[start:end]


@pytest.mark.parametrize("path", ["/usr/lib/python3.11", "/usr/lib/python3.12", "/usr/lib/python3.13"])
def test_nothing_is_opened_after_the_switch(path: str, runtime: Runtime, place: Path, name: str) -> None:
    bundle = bundles.bundle(place / "bundle", RICH)
    # An image that lies in wait: were anything imported from the root, it would be this.
    poison = bundle / "rootfs" / path.lstrip("/")
    poison.mkdir(parents=True)
    for module in ("traceback", "warnings", "codecs", "linecache", "encodings", "os"):
        (poison / f"{module}.py").write_text("import posix\nposix.mkdir('/tmp/poisoned')\n")
    lines = after_the_switch(followed(runtime.argv("run", "--bundle", bundle, name), place / "strace"), r"pivot_root\(")
    assert len(lines) > 20
    assert [line for line in lines if OPENING.search(line)] == []
    assert not (bundle / "rootfs/tmp/poisoned").exists()


# CVE-2019-14271 and its kin: who joins a container must not load anything from it either.
def test_nothing_is_opened_after_exec_has_joined(runtime: Runtime, place: Path, name: str) -> None:
    bundle = bundles.bundle(place / "bundle", merge(RICH, {"process": {"args": ["sleep", "1000"]}}))
    runtime.create(name, bundle)
    runtime.ok("start", name)
    lines = after_the_switch(followed(runtime.argv("exec", name, "true"), place / "strace"), r"setns\(.*CLONE_NEWNS")
    assert [line for line in lines if OPENING.search(line)] == []
    assert any(line.startswith("clone(") for line in lines)


@pytest.mark.parametrize(("call", "step"), [
    ("keyctl", "keyring.session"), ("symlinkat", "devices.ptmx"), ("sethostname", "uts.hostname"),
    ("pivot_root", "root.switch"), ("setresuid:when=2", "identity.uid"), ("capset", "capabilities.set")])
def test_the_error_names_the_step_in_which_the_init_was_killed(call: str, step: str, runtime: Runtime, place: Path,
                                                               name: str) -> None:
    bundle = bundles.bundle(place / "bundle", docker_like())
    call, _, when = call.partition(":")
    done = subprocess.run(["strace", "-f", "-o", "/dev/null", f"--trace={call}",
                           f"--inject={call}:signal=SIGKILL:{when or 'when=1'}",
                           *runtime.argv("create", "--bundle", bundle, name)],
                          capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False)
    assert done.returncode == 1, done.stderr
    assert "killed by signal 9" in done.stderr and f": step {step}" in done.stderr
    assert runtime("state", name).status == 1
