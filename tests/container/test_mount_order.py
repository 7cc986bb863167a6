"""Bind mounts whose sources are mounts that the same config.json has made before: in every order, as runc and crun."""
from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests import bundles
from tests.bundles import PROC, minimal, namespaces
from tests.runtimes import Runtime

IDS = [{"containerID": 0, "hostID": 100_000, "size": 65536}]
#: A mapping of a mount: what the host's root owns belongs to 7 there.
SHIFTED = [{"containerID": 0, "hostID": 7, "size": 1}]


def bind(source: str, target: str, *options: str, **more: Any) -> dict[str, Any]:
    return {"destination": target, "source": source, "options": [*(options or ["rbind"])], **more}


def tmpfs(target: str, *options: str) -> dict[str, Any]:
    return {"destination": target, "type": "tmpfs", "source": "tmpfs", "options": [*options]}


#: A is a directory of the host with `mark` in it; ROOT is the container's root, where each of /under, /other and /file
#: is, and /under/mark says `underneath`. case: (mounts, what the container looks at, what it sees).
CASES: dict[str, tuple[list[dict[str, Any]], str, str]] = {
    "an rbind of a bind": ([bind("A", "/under"), bind("ROOT/under", "/final")], "cat /final/mark", "of A"),
    "a bind of a bind": ([bind("A", "/under", "bind"), bind("ROOT/under", "/final", "bind")], "cat /final/mark",
                         "of A"),
    "what the first mount makes": ([bind("A", "/made/here"), bind("ROOT/made/here", "/final")], "cat /final/mark",
                                   "of A"),
    "an rbind of the directory above": ([bind("A", "/made/here"), bind("ROOT/made", "/final")],
                                        "cat /final/here/mark", "of A"),
    "a bind of the directory above": ([bind("A", "/made/here"), bind("ROOT/made", "/final", "bind")],
                                      "ls /final/here", ""),
    "a tmpfs": ([tmpfs("/under", "mode=711"), bind("ROOT/under", "/final")], "stat -c %a /final; ls /final", "711"),
    "a procfs": ([bind("ROOT/proc", "/final")], "test -e /final/self && echo a procfs", "a procfs"),
    "a file": ([bind("A/mark", "/file"), bind("ROOT/file", "/other/copy")], "cat /other/copy", "of A"),
    "a file in a mount": ([bind("A", "/under"), bind("ROOT/under/mark", "/other/copy")], "cat /other/copy", "of A"),
    "a chain": ([bind("A", "/made/a"), bind("ROOT/made/a", "/made/b"), bind("ROOT/made/b", "/made/c"),
                 bind("ROOT/made/c", "/final")], "cat /final/mark", "of A"),
    "the source first": ([bind("ROOT/under", "/final"), bind("A", "/under")], "cat /final/mark /under/mark",
                         "underneath\nof A"),
    "covered twice": ([bind("A", "/under"), bind("B", "/under"), bind("ROOT/under", "/final")], "cat /final/mark",
                      "of B"),
    "between two": ([bind("A", "/under"), bind("ROOT/under", "/final"), bind("B", "/under")],
                    "cat /final/mark /under/mark", "of A\nof B"),
    "itself": ([bind("A", "/under"), bind("ROOT/under", "/under")], "cat /under/mark", "of A"),
    "relative": ([bind("A", "/under"), bind("rootfs/under", "/final")], "cat /final/mark", "of A"),
    "with .. in it": ([bind("A", "/under"), bind("ROOT/other/../under", "/final")], "cat /final/mark", "of A"),
    "read-only": ([bind("A", "/under"), bind("ROOT/under", "/final", "rbind", "ro")],
                  "touch /final/new 2>/dev/null || cat /final/mark; touch /under/new && rm /under/new", "of A"),
    "changed in between": ([bind("A", "/under"), bind("ROOT/under", "/under", "bind", "remount", "ro"),
                            bind("ROOT/under", "/final")], "cat /final/mark", "of A"),
    "through a link of the host": ([bind("A", "/under"), bind("LINK/under", "/final")], "cat /final/mark", "of A"),
    "through a link to what is made": ([bind("A", "/made/here"), bind("TO_MADE", "/final")], "cat /final/mark", "of A"),
    "the root itself": ([bind("A", "/under"), bind("ROOT", "/final")], "cat /final/under/mark", "of A"),
}
@pytest.fixture
def made(place: Path) -> Path:
    """A bundle, and A, B, LINK (to the root) and TO_MADE (to /made/here in it) beside it; a user namespace may look."""
    bundle = bundles.bundle(place / "bundle")
    for name in "AB":
        (place / name).mkdir()
        (place / name / "mark").write_text(f"of {name}\n")
    (place / "LINK").symlink_to(bundle / "rootfs")
    (place / "TO_MADE").symlink_to(bundle / "rootfs/made/here")
    for name in ("under", "other", "final"):
        (bundle / "rootfs" / name).mkdir()
    (bundle / "rootfs/under/mark").write_text("underneath\n")
    (bundle / "rootfs/file").write_text("underneath\n")
    for path in (place, bundle, bundle / "rootfs"):
        os.chmod(path, 0o755)
    return bundle


def entries(bundle: Path, mounts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The mounts with the paths that the capital words stand for."""
    paths = {"ROOT": bundle / "rootfs", **{name: bundle.parent / name for name in ("A", "B", "LINK", "TO_MADE")}}
    done = [PROC]
    for mount in mounts:
        first, slash, rest = mount["source"].partition("/")
        done.append({**mount, "source": f"{paths.get(first, first)}{slash}{rest}"})
    return done


def sees(runtime: Runtime, bundle: Path, name: str, mounts: list[dict[str, Any]], look: str, **linux: Any) -> str:
    bundles.write(bundle, minimal(process={"args": ["sh", "-c", look]}, mounts=entries(bundle, mounts), linux=linux))
    return runtime.ok("run", "--bundle", bundle, name).stdout.strip()


@pytest.mark.spec("config.md#mounts", "mounts are made in the listed order")
@pytest.mark.parametrize("case", CASES)
def test_a_source_is_what_the_mounts_before_have_made_of_it(case: str, runtime: Runtime, made: Path, name: str) -> None:
    mounts, look, seen = CASES[case]
    assert sees(runtime, made, name, mounts, look) == seen


@pytest.mark.parametrize("case", CASES)
def test_in_a_user_namespace(case: str, runtime: Runtime, made: Path, name: str) -> None:
    mounts, look, seen = CASES[case]
    subprocess.run(["chown", "-Rh", "100000:100000", made / "rootfs", made.parent / "A"], check=True)
    assert sees(runtime, made, name, mounts, look, namespaces=namespaces("user", "pid", "mount"), uidMappings=IDS,
                gidMappings=IDS) == seen


@pytest.mark.parametrize("user", [False, True])
@pytest.mark.parametrize("mounts", [
    [bind("A", "/under"), bind("ROOT/under", "/final", "bind", uidMappings=SHIFTED, gidMappings=SHIFTED)],
    [bind("A", "/under"), bind("ROOT/under", "/other"),
     bind("ROOT/other", "/final", "rbind", "ridmap", uidMappings=SHIFTED, gidMappings=SHIFTED)],
    [bind("A", "/under"), bind("ROOT/under", "/other", "bind", uidMappings=SHIFTED, gidMappings=SHIFTED),
     bind("B", "/under"), bind("ROOT/under", "/final", "bind", uidMappings=SHIFTED, gidMappings=SHIFTED)]])
def test_an_id_mapped_one(mounts: list[dict[str, Any]], user: bool, runtime: Runtime, made: Path, name: str) -> None:
    """The runtime maps the ids, which an init in a user namespace may not, of what the init has taken."""
    linux: dict[str, Any] = {"namespaces": namespaces("pid", "mount", *(["user"] if user else []))}
    mapping = [{"containerID": 0, "hostID": 0, "size": 65536}]
    if user:
        linux |= {"uidMappings": mapping, "gidMappings": mapping}
    last = [mount for mount in mounts if mount["source"] in "AB"][-1]["source"]
    assert sees(runtime, made, name, mounts, "cat /final/mark; stat -c %u:%g /final/mark", **linux) == f"of {last}\n7:7"


def test_a_source_that_is_never_there(runtime: Runtime, made: Path, name: str) -> None:
    bundles.write(made, minimal(mounts=entries(made, [bind("A", "/under"), bind("ROOT/nowhere", "/final")])))
    outcome = runtime.run(name, made)
    assert outcome.status == 1 and "no such file or directory: at mounts[2] in config.json" in outcome.stderr
    assert f'{made}/rootfs/nowhere' in outcome.stderr and outcome.stderr.count("\n") == 1


def test_links_in_the_root_are_the_containers(runtime: Runtime, made: Path, name: str) -> None:
    """A link of the image, or of what is mounted in it, leads to nothing of the host (as CVE-2017-1002101)."""
    secret = made.parent / "secret"
    secret.mkdir()
    (secret / "mark").write_text("of the host\n")
    (made.parent / "A/link").symlink_to(secret)
    (made / "rootfs/absolute").symlink_to("/under")
    bundles.write(made, minimal(mounts=entries(made, [bind("A", "/under"), bind("ROOT/under/link", "/final")])))
    outcome = runtime.run(name, made)
    assert outcome.status == 1 and "no such file or directory" in outcome.stderr
    mounts = [bind("A", "/under"), bind("ROOT/absolute", "/final")]
    assert sees(runtime, made, name, mounts, "cat /final/mark") == "of A"
