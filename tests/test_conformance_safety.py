"""conformance/: whatever a runtime does, the machine it is asked on stays as it was."""
from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from conformance.harness import bundles, guard, isolation, leftovers, shield
from conformance.model import load

CHECKOUT = Path(__file__).resolve().parents[1]
CASES = CHECKOUT / "conformance/cases"


def run(*words: str | Path, module: str = "conformance", seconds: float = 100,
        **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", module, *words], check=False, capture_output=True, text=True,
                          timeout=seconds, cwd=CHECKOUT, env={**os.environ, **env})


def apart(function: Callable[[], None]) -> None:
    """Call this in a process of its own with a mount namespace of its own; what it raises is printed, and an error."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            isolation.enter()
            function()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


# ---- files of the machine are read-only ------------------------------------------------------------------------
@pytest.fixture
def victim(tmp_path: Path) -> Path:
    folder = tmp_path / "victim"
    folder.mkdir()
    (folder / "kept").write_text("as it was")
    return folder


def test_files_of_the_machine_are_read_only(tmp_path: Path) -> None:
    place = tmp_path / "a place"
    place.mkdir()
    (place / "there").touch()
    (tmp_path / "kept").touch()

    def look() -> None:
        shield.protect(place)
        folders = ("/", "/etc", "/usr", "/root", "/home", "/var", "/opt", "/boot", "/dev", CHECKOUT)
        for folder in folders:
            if os.path.isdir(folder):
                with pytest.raises(OSError, match="Read-only"):
                    Path(folder, "new-file-of-a-test").touch()
        (tmp_path / "kept").unlink()
        (tmp_path / "new-file-of-a-test").touch()
        for folder in (place, Path("/run"), Path("/dev/shm")):
            (folder / f"new-{os.getpid()}").touch()
            (folder / f"new-{os.getpid()}").unlink()
        Path("/dev/null").write_text("a device can be written all the same")
        (place / "there").rename(place / "by the case")
    apart(look)
    assert {path.name for path in tmp_path.iterdir()} == {"a place", "kept"}
    assert {path.name for path in place.iterdir()} == {"by the case"}


def test_what_is_mounted_below_tmp_is_seen_and_read_only(tmp_path: Path) -> None:
    """A runtime may be there: a checkout in a virtual machine that has it from its host."""
    place, other = tmp_path / "a place", tmp_path / "mounted"
    for folder in (place, other / "in"):
        folder.mkdir(parents=True)

    def look() -> None:
        for folder, name in ((other, "outer"), (other / "in", "inner")):
            isolation.mount("tmpfs", folder, "tmpfs")
            (folder / "in").mkdir(exist_ok=True)
            (folder / name).write_text(name)
        shield.protect(place)
        for file in (other / "outer", other / "in/inner"):
            assert file.read_text() == file.name
            with pytest.raises(OSError, match="Read-only"):
                file.write_text("another")
        (place / "new").touch()
    apart(look)


@pytest.mark.parametrize("profile", ["spec", "engines", "rootless"])
def test_a_runtime_that_removes_everything_harms_nothing(profile: str, victim: Path, tmp_path: Path) -> None:
    fake = tmp_path / "fake"
    fake.write_text(f"#!/bin/sh\ncase $1 in --root) ;; *) exit 1 ;; esac\n"
                    f"echo called >>/run/called-{os.getpid()}\nrm -rf {victim} {victim}/kept\nexit 1\n")
    fake.chmod(0o755)
    case = {"spec": "config_md.hostname", "engines": "forced_delete_of_no_container"}.get(profile, "owner_of_files")
    try:
        done = run("--runtime", fake, "--profile", profile, "--select", case)
        assert done.returncode == 1, done.stderr
        if profile != "rootless":
            assert Path(f"/run/called-{os.getpid()}").exists()
    finally:
        Path(f"/run/called-{os.getpid()}").unlink(missing_ok=True)
    assert (victim / "kept").read_text() == "as it was"


@pytest.mark.parametrize("profile", shield.HARMFUL)
def test_harmful_profiles_want_a_machine_that_may_be_lost(profile: str, tmp_path: Path) -> None:
    fake = tmp_path / "fake"
    fake.write_text(f"#!/bin/sh\ntouch {tmp_path}/called\n")
    fake.chmod(0o755)
    done = run("--runtime", f"it={fake}", "--profile", profile, "--profile", "spec", CONFORMANCE_THROW_AWAY="")
    (tmp_path / "called").unlink(missing_ok=True)
    assert (done.returncode, done.stdout) == (2, "")
    line, = done.stderr.splitlines()
    assert line.startswith(f"conformance: --profile {profile}: ") and "--throw-away" in line
    done = run("-p", "conformance.plugin", "-p", "no:cacheprovider", "--oci-runtime", f"it={fake}", "--oci-profile",
               profile, module="pytest", CONFORMANCE_THROW_AWAY="")
    assert done.returncode == 4 and "--oci-throw-away" in done.stderr
    assert not (tmp_path / "called").exists()
    assert not shield.refusal([profile], True) and not shield.refusal(["spec", "engines", "rootless"], False)


# ---- what is removed -------------------------------------------------------------------------------------------
def test_no_mount_is_crossed_when_files_are_removed(victim: Path, tmp_path: Path) -> None:
    """A folder and a file bound below, one within the other, and at the folder itself."""
    def look() -> None:
        for at in ("deep/er", "deep/er/below", "."):
            folder = tmp_path / "left behind"
            (folder / at).mkdir(parents=True, exist_ok=True)
            (folder / "file").touch()
            isolation.mount(str(victim), folder / at, flags=isolation.MS_BIND)
            if at != ".":
                (victim / "below").mkdir(exist_ok=True)
                isolation.mount(str(victim / "kept"), folder / "file", flags=isolation.MS_BIND)
            assert shield.remove(folder) == []
            assert not folder.exists()
            assert (victim / "kept").read_text() == "as it was" and (victim / "below").is_dir()
    apart(look)


def test_what_cannot_be_unmounted_stays(victim: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def look() -> None:
        folder = tmp_path / "left"
        (folder / "in").mkdir(parents=True)
        isolation.mount("tmpfs", victim, "tmpfs")
        (victim / "other").write_text("as it was")
        isolation.mount(str(victim), folder / "in", flags=isolation.MS_BIND)
        with monkeypatch.context() as patch:
            patch.setattr(shield, "unmount", lambda place: None)
            assert shield.remove(folder) == [str(folder / "in")]
            patch.setattr(shield, "mounted_below", lambda path: [])
            assert shield.remove(folder) == [str(folder / "in")], "the device of the folder tells"
        assert (victim / "other").read_text() == "as it was"
        assert shield.remove(folder) == [] and (victim / "other").exists()
    apart(look)


def test_what_a_runtime_binds_in_its_state_root_is_not_removed(victim: Path, tmp_path: Path) -> None:
    def look() -> None:
        (tmp_path / "state/conf1x1/mount").mkdir(parents=True)
        isolation.mount(str(victim), tmp_path / "state/conf1x1/mount", flags=isolation.MS_BIND)
        leftovers.forget("conf1x1", tmp_path / "state")
        assert not list((tmp_path / "state").iterdir())
    apart(look)
    assert (victim / "kept").exists()


# ---- what cases hand over --------------------------------------------------------------------------------------
WORDS: dict[str, list[str]] = {
    "id": ["delete", "--force", "/etc"], "climbing id": ["delete", "--force", "../../../etc"],
    "id behind --": ["delete", "--force", "--", "/usr"], "above": ["state", "../.."],
    "pid file": ["create", "--pid-file", "/etc/pid", "id"], "with a sign": ["create", "--pid-file=/etc/pid", "id"],
    "log": ["--log", "/var/log/it", "state", "id"], "process of exec": ["exec", "--process", "/etc/passwd", "id"],
    "images": ["checkpoint", "--image-path", "/var/images", "id"]}
CHANGES: dict[str, dict[str, Any]] = {
    "source": {"mounts": [bundles.bind("/etc", "/mnt")]},
    "source that climbs": {"mounts": [bundles.bind("../" * 12 + "etc", "/mnt")]},
    "source without a type": {"mounts": [{"destination": "/mnt", "source": "/etc"}]},
    "cut by a NUL": {"mounts": [bundles.bind("/etc\0/x", "/mnt")]},
    "hook": {"hooks": {"poststop": [{"path": "/bin/rm"}]}}, "root": {"root": {"path": "/"}},
    "cgroup": {"linux": {"cgroupsPath": "/../../../etc"}}}


@pytest.mark.parametrize("name", WORDS)
def test_a_command_that_names_the_machine_is_not_run(name: str, tmp_path: Path) -> None:
    with pytest.raises(guard.Harmful):
        guard.check(WORDS[name], tmp_path / "state", tmp_path)
    ours = [word.replace("/etc", str(tmp_path)).replace("/usr", str(tmp_path)).replace("/var", str(tmp_path))
            for word in WORDS[name] if ".." not in word]
    guard.check(ours, tmp_path / "state", tmp_path)


@pytest.mark.parametrize("name", CHANGES)
def test_a_bundle_that_names_the_machine_is_not_run(name: str, tmp_path: Path) -> None:
    bundle = bundles.write(tmp_path / "bundle", bundles.config("1.0.2", **CHANGES[name]))
    with pytest.raises(guard.Harmful):
        guard.check(["create", "--bundle", str(bundle), "id"], tmp_path / "state", tmp_path)
    with pytest.raises(guard.Harmful):
        guard.check(["create", "id"], tmp_path / "state", tmp_path, cwd=bundle)
    bundles.write(bundle, bundles.config("1.0.2"))
    guard.check(["create", "--bundle", str(bundle), "id"], tmp_path / "state", tmp_path)


@pytest.mark.parametrize("target", ["/etc", "/etc/passwd", "../" * 12 + "etc/passwd", "/proc/sys", "/"])
def test_a_link_of_an_image_to_the_machine_is_not_handed_over(target: str, tmp_path: Path) -> None:
    bundle = bundles.write(tmp_path / "bundle", bundles.config("1.0.2"))
    (bundle / "rootfs/mnt/link").symlink_to(target)
    with pytest.raises(guard.Harmful):
        guard.check(["run", "--bundle", str(bundle), "id"], tmp_path / "state", tmp_path)


def test_links_that_a_runtime_has_made_are_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a /dev that is a folder of the image they are there when the next container is made."""
    monkeypatch.setattr(os.path, "lexists", lambda path: True)          # as in a kernel that has all of them
    bundle = bundles.write(tmp_path / "bundle", bundles.config("1.0.2"))
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("core", "/proc/kcore"),
                         ("ptmx", "pts/ptmx")):
        (bundle / "rootfs/dev" / name).symlink_to(target)
    guard.check(["create", "--bundle", str(bundle), "id"], tmp_path / "state", tmp_path)


STUB = """#!/bin/sh
# Says yes to everything, so that cases go far, and does nothing.
root=; command=; bundle=; file=; before=
for word; do
  case $before in --root) root=$word ;; --bundle) bundle=$word ;; --pid-file) file=$word ;; esac
  case $word in create|start|state|kill|delete|exec|list|run|features|--version) [ "$command" ] || command=$word ;; esac
  before=$word
done
echo "$command" >>/run/COUNTED
case $command in
  create)
    case $word in *[!a-z0-9x-]*) exit 0 ;; esac
    setsid sleep 8 >/dev/null 2>&1 & pid=$!
    if [ "$file" ]; then echo -n $pid >"$file"; fi
    mkdir -p "$root/$word"; echo $pid >"$root/$word/pid"; echo created >"$root/$word/status"
    grep -q '"sleep' "$bundle/config.json" && touch "$root/$word/long" ;;
  start) echo running >"$root/$word/status"; [ -e "$root/$word/long" ] || kill $(cat "$root/$word/pid") ;;
  kill) kill -9 $(cat "$root"/conf*/pid); for x in "$root"/conf*/status; do echo stopped >$x; done ;;
  state)
    status=$(cat "$root/$word/status") pid=$(cat "$root/$word/pid")
    echo '{"ociVersion": "1.3.0", "id": "'$word'", "status": "'$status'", "pid": '$pid', "bundle": "/b"}' ;;
  list) echo '[]' ;;
  delete) kill -9 $(cat "$root/$word/pid"); rm -f "$root/$word/pid" "$root/$word/status" "$root/$word/long"
    rmdir "$root/$word" ;;
  features) echo '{"ociVersionMin": "1.0.0", "ociVersionMax": "1.3.0", "mountOptions": ["ro", "own"], "linux": {
    "namespaces": ["pid"], "seccomp": {"enabled": true}, "netDevices": {"enabled": true}}}' ;;
esac 2>/dev/null
exit 0
"""


@pytest.mark.timeout(900)
def test_no_case_hands_over_what_is_not_its_own(tmp_path: Path) -> None:
    """All cases, with a runtime that says yes: each command is looked at, and none names a file of the machine."""
    counted = f"counted-{os.getpid()}"
    stub = tmp_path / "stub"
    stub.write_text(STUB.replace("COUNTED", counted))
    stub.chmod(0o755)
    # Of `rootless`, only what is not a case of another profile once more.
    cases = [case for case in load().values() if not case.name.startswith("rootless.again.")]
    files = sorted({(case.name.partition("[")[0].rpartition(".")[0], case.profile) for case in cases})

    def ask(file: tuple[str, str]) -> list[dict[str, str]]:
        out = tmp_path / f"{'-'.join(file)}.json"
        done = run("--runtime", stub, "--select", f"{file[0]}.*", "--profile", file[1], "--throw-away",
                   "--timeout", "1", "--json", out, seconds=800)
        assert out.exists(), done.stderr[-2000:]
        found: list[dict[str, str]] = json.loads(out.read_text())["results"]["stub"]
        return found
    try:
        # Most of the time is waiting.
        with ThreadPoolExecutor(8) as workers:
            found = [entry for entries in workers.map(ask, files) for entry in entries]
        commands = Path("/run", counted).read_text().split()
    finally:
        Path("/run", counted).unlink(missing_ok=True)
    assert sorted(entry["case"] for entry in found) == sorted(case.name for case in cases)
    assert [(entry["case"], entry["seen"]) for entry in found if "the case is at fault" in entry["seen"]] == []
    assert commands.count("create") > len(found) / 2


def constants() -> list[tuple[str, str, str]]:
    """(place, kind, path) of each absolute path that stands in a case as the source of a mount or the end of a link."""
    found = []
    for file in CASES.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            values: list[tuple[str, ast.expr]] = []
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                values += [("source", node.args[0])] if name == "bind" and node.args else []
                values += [("target", node.args[-1])] if name in ("symlink_to", "link") and node.args else []
            elif isinstance(node, ast.Dict):
                values += [(str(key.value), value) for key, value in zip(node.keys, node.values, strict=True)
                           if isinstance(key, ast.Constant) and key.value == "source"]
            found += [(f"{file.name}:{value.lineno}", kind, str(value.value)) for kind, value in values
                      if isinstance(value, ast.Constant) and str(value.value).startswith(("/", ".."))]
    return found


def test_no_case_has_a_path_of_the_machine_in_its_source() -> None:
    """Also where the case does not come so far under a runtime that does nothing."""
    found = constants()
    assert len(found) > 5
    allowed = {"source": guard.SOURCES, "target": guard.TARGETS}
    assert [entry for entry in found if entry[2] not in allowed[entry[1]] and os.path.lexists(entry[2])] == []


@pytest.mark.parametrize(("line", "options"), [
    ("42 32 0:27 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot",
     "nsdelegate,memory_recursiveprot"),
    ("42 32 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw", ""), ("1 1 0:1 / / rw - ext4 /dev/vda rw", "")])
def test_the_options_of_the_machines_cgroups_stay(line: str, options: str) -> None:
    """A cgroup2 that is mounted without nsdelegate takes it from the whole machine."""
    assert isolation.options_of_cgroups(f"1 1 0:1 / / rw - ext4 /dev/vda rw\n{line}\n") == options
