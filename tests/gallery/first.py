"""The 24 faults that the gallery began with."""
from __future__ import annotations

from pathlib import Path

from tests.bundles import CAPABILITIES, MOUNTS, Config, namespaces

from .fault import Fault


def script(path: Path, text: str | bytes, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return path


def hook(**members: object) -> Config:
    return {"hooks": {"createRuntime": [{"path": "/bin/true"}, members]}}


def with_mount(mount: Config) -> Config:
    return {"mounts": [*MOUNTS, mount]}


def source(folder: bool) -> object:
    """A source for a bind mount below the bundle."""
    def prepare(bundle: Path) -> None:
        (bundle / "source").mkdir() if folder else (bundle / "source").write_text("x")
    return prepare


def killed(bundle: Path) -> Config:
    return hook(path=str(script(bundle / "hook", "#!/bin/sh\nkill -ILL $$\n")))


def failing(bundle: Path) -> Config:
    return hook(path=str(script(bundle / "hook", "#!/bin/sh\necho no such card >&2; exit 3\n")))


def no_interpreter(bundle: Path) -> None:
    script(bundle / "rootfs/bin/run", "#!/usr/bin/nosuch\n")


FAULTS = (
    Fault("truncated JSON", "a string has no end", "",
          text=lambda text: text[:len(text) // 2]),
    Fault('uid "root"', r"must be an? (integer|number)", "process.user.uid", r"must be an? (integer|number)",
          {"process": {"user": {"uid": "root"}}}),
    Fault("unknown type of file system", r"no such file system|not in /proc/filesystems", "mounts[7]",
          "/proc/filesystems|modprobe|kernel module",
          with_mount({"destination": "/data", "type": "nosuchfs", "source": "none"})),
    Fault("tmpfs with sise=64k", "sise=64k.*(Unknown parameter|unknown|does not know)|unknown option "
                                 "\"sise", "mounts[7].options[0]", "did you mean",
          with_mount({"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": ["sise=64k"]})),
    Fault("directory onto a file", "(must both be|is a directory, but)", "mounts[7]", "must both be",
          with_mount({"destination": "/etc/passwd", "source": "source", "options": ["bind"]}),
          prepare=source(True)),  # type: ignore[arg-type]
    Fault("file onto a directory", "(must both be|is a file, but)", "mounts[7]", "must both be",
          with_mount({"destination": "/etc", "source": "source", "options": ["bind"]}),
          prepare=source(False)),  # type: ignore[arg-type]
    Fault("hook ends with status 3", "exit status 3.*no such card", "createRuntime", prepare=failing, static=False),
    Fault("hook killed by SIGILL", "SIGILL|signal 4|illegal instruction", "createRuntime", prepare=killed,
          static=False),
    Fault("hook that is not there", "/no/such/hook.*no such file", "createRuntime",
          changes=hook(path="/no/such/hook")),
    Fault("hook past its timeout", r"timeout of 1|longer than its timeout", "hooks.createRuntime[1]", "timeout",
          changes=hook(path="/bin/sleep", args=["sleep", "5"], timeout=1)),
    Fault("seccomp refuses execve", r"syscalls\[0\].*execve|execve.*syscalls\[0\]", "linux.seccomp.syscalls[0]",
          "execve",
          {"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
              {"names": ["execve", "execveat"], "action": "SCMP_ACT_ERRNO"}]}}}),
    Fault("interpreter of a script not there", '"/usr/bin/nosuch".*(is not in the container|does not exist)',
          "process.args", "is not in the container",
          {"process": {"args": ["run"]}}, prepare=no_interpreter),
    Fault("AppArmor profile not "
          "there", "AppArmor", "process.apparmorProfile", "apparmor|CONFIG_SECURITY_APPARMOR|AppArmor is not enabled",
          {"process": {"apparmorProfile": "nosuch"}}),
    Fault("sysctl kernel.msgmaxx", "kernel.msgmaxx.*(not in a separate kernel namespace|no "
                                   "such)", "linux.sysctl", "did you mean",
          {"linux": {"sysctl": {"kernel.msgmaxx": "1"}}}),
    Fault("path of a network namespace not there", "no such file or directory", "linux.namespaces[1].path",
          changes={"linux": {"namespaces": [{"type": "pid"}, {"type": "network", "path": "/run/netns/nosuch"},
                                            *namespaces("ipc", "uts", "mount")]}}),
    Fault("rootfsPropogation", "unknown property", "linux.rootfsPropogation", "did you mean",
          {"linux": {"rootfsPropogation": "slave"}}),
    Fault("unknown system call", "nosuchcall", "linux.seccomp.syscalls[0]", "",
          {"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
              {"names": ["nosuchcall"], "action": "SCMP_ACT_ERRNO"}]}}}),
    Fault("working directory not there", "made|does not "
                                         "exist", "process.cwd", "", {"process": {"cwd": "/no/such/dir"}}),
    Fault("unknown capability", "CAP_NET_ADMN", "process.capabilities.bounding[0]", "did you mean",
          {"process": {"capabilities": {"bounding": ["CAP_NET_ADMN", *CAPABILITIES]}}}),
    Fault("source of a bind mount not there", "/no/such/source.*no such file", "mounts[7].source",
          changes=with_mount({"destination": "/data", "source": "/no/such/source", "options": ["bind"]})),
    Fault("program not there", r"executable file not found in \$PATH", "process.args[0]", "PATH",
          {"process": {"args": ["nosuch"]}}),
    Fault("namespace twice", "duplicated", "linux.namespaces[1].type",
          changes={"linux": {"namespaces": namespaces("pid", "pid", "mount", "uts")}}),
    Fault("RLIMIT_NOFIL", "RLIMIT_NOFIL", "process.rlimits[0].type", "did you mean|known are|one of",
          {"process": {"rlimits": [{"type": "RLIMIT_NOFIL", "soft": 1, "hard": 1}]}}),
    Fault("ociVersion no version", "not a Semantic Version", "ociVersion", "such as", {"ociVersion": "latest"}),
)
