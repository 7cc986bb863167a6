"""Every option of config.md#linux-mount-options in one container: what its process finds mounted there.

An option is tried where its opposite holds: on a file system that was given the opposite first, or on a bind mount of a
tree whose two mounts have it. What an option is for shows in mountinfo, in a file, or in a refusal.
"""
from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrunc.rootfs.mount_options import LINKS
from pyrunc.runtime.features import features
from tests import bundles, probe, runtimes, world
from tests.bundles import MOUNTS, docker_like
from tests.runtimes import Runtime

CHAPTER = "config.md#linux-mount-options"
MS_SHARED = 1 << 20
#: The attributes of the two trees on the host: all there are, or none.
RESTRICTED = ["ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "nosymfollow"]
FREE = ["rw", "suid", "dev", "exec", "strictatime"]

#: option -> (options of a new tmpfs that end with it, what mountinfo then has, what it has not). "super:" stands before
#: what belongs to the file system.
NEW: dict[str, tuple[list[str], set[str], set[str]]] = {
    "async": (["sync", "async"], set(), {"super:sync"}), "sync": (["sync"], {"super:sync"}, set()),
    "dirsync": (["dirsync"], {"super:dirsync"}, set()),
    "lazytime": (["lazytime"], {"super:lazytime"}, set()),
    "nolazytime": (["lazytime", "nolazytime"], set(), {"super:lazytime"}),
    "defaults": (["defaults"], {"rw", "relatime"}, {"nosuid", "nodev", "noexec"}),
    "iversion": (["iversion"], {"rw"}, set()), "noiversion": (["noiversion"], {"rw"}, set()),
    "loud": (["loud"], {"rw"}, set()), "silent": (["silent"], {"rw"}, set()),
    "nomand": (["nomand"], {"rw"}, {"super:mand"}), "mand": (["mand"], {"rw"}, set()),
    "ro": (["rw", "ro"], {"ro"}, set()), "rw": (["ro", "rw"], {"rw"}, set()),
    "noatime": (["noatime"], {"noatime"}, {"relatime"}), "atime": (["noatime", "atime"], {"relatime"}, {"noatime"}),
    "relatime": (["strictatime", "nostrictatime", "relatime"], {"relatime"}, {"noatime"}),
    "norelatime": (["norelatime"], {"rw"}, {"noatime"}),
    "strictatime": (["strictatime"], set(), {"relatime", "noatime"}),
    "nostrictatime": (["strictatime", "nostrictatime"], {"relatime"}, set()),
    **{f"no{name}": ([name, f"no{name}"], {f"no{name}"}, set()) for name in (
        "suid", "dev", "exec", "diratime", "symfollow")},
    **{name: ([f"no{name}", name], {"rw"}, {f"no{name}"}) for name in ("suid", "dev", "exec", "diratime", "symfollow")},
}
#: option -> (which tree, attributes that both mounts of it then have, that neither has)
RECURSIVE: dict[str, tuple[str, set[str], set[str]]] = {
    **{f"rno{name}": ("free", {f"no{name}"}, set()) for name in (
        "suid", "dev", "exec", "diratime", "symfollow", "atime")},
    **{f"r{name}": ("restricted", {"ro"}, {f"no{name}"}) for name in ("suid", "dev", "exec", "diratime", "symfollow")},
    "ratime": ("restricted", {"relatime"}, {"noatime"}), "rrelatime": ("restricted", {"relatime"}, {"noatime"}),
    "rro": ("free", {"ro"}, set()), "rrw": ("restricted", {"rw"}, {"ro"}),
    "rstrictatime": ("restricted", set(), {"noatime", "relatime"}), "rnostrictatime": ("free", {"relatime"}, set()),
    "rnorelatime": ("free", set(), {"relatime", "noatime"}),
}
#: option -> fields of mountinfo that the top and what is below it then have. The source is shared on the host, so what
#: no option speaks of is its slave ("master"), and what is shared here is that besides.
SLAVE, BOTH = ["master"], ["master", "shared"]
PROPAGATION: dict[str, tuple[list[str], list[str]]] = {
    "shared": (BOTH, SLAVE), "slave": (SLAVE, SLAVE), "private": ([], SLAVE), "unbindable": (["unbindable"], SLAVE),
    "rshared": (BOTH, BOTH), "rslave": (SLAVE, SLAVE), "rprivate": ([], []),
    "runbindable": (["unbindable"], ["unbindable"]),
}
OWNER, MAPPED = 1234, 7
IDS = [{"containerID": OWNER, "hostID": MAPPED, "size": 1}]


def new(option: str, options: list[str], kind: str = "tmpfs") -> dict[str, Any]:
    return {"destination": f"/m/{option}", "type": kind, "source": option, "options": options}


def bind(option: str, source: Path, *options: str, **more: Any) -> dict[str, Any]:
    return {"destination": f"/m/{option}", "source": str(source), "options": list(options), **more}


def mounts(top: Path, disk: Path) -> list[dict[str, Any]]:
    """One mount for each option, below /m."""
    found = [new(option, options) for option, (options, _, _) in NEW.items()]
    found += [bind(option, top / tree, "rbind", option) for option, (tree, _, _) in RECURSIVE.items()]
    found += [bind(option, top / "shared", "rbind", option) for option in PROPAGATION]
    found += [bind("bind", top / "restricted", "bind"), bind("rbind", top / "restricted", "rbind"),
              new("remount", ["size=1m"]), new("remount", ["remount", "ro", "size=2m"]),
              {**new("tmpcopyup", ["tmpcopyup"]), "destination": "/etc"},
              bind("idmap", disk, "rbind", "idmap", uidMappings=IDS, gidMappings=IDS),
              bind("ridmap", disk, "rbind", "ridmap", uidMappings=IDS, gidMappings=IDS)]
    return found


@pytest.fixture(scope="module")
def tree() -> Iterator[Path]:
    """Three trees of two mounts each: restricted, free and shared; and on a disk, where ids can be mapped, a fourth."""
    top, disk = Path(tempfile.mkdtemp(prefix="pyrunc-")), Path(tempfile.mkdtemp(dir="/var/tmp"))
    for folder in (top, disk):
        os.chmod(folder, 0o755)
    made = []

    def mount(*words: str | Path) -> None:
        subprocess.run(["mount", *words], check=True)
        made.append(Path(words[-1]))
    for name, options in (("restricted", RESTRICTED), ("free", FREE), ("shared", FREE)):
        for place in (top / name, top / name / "below"):
            place.mkdir(exist_ok=True)
            mount("-t", "tmpfs", "tmpfs", place)
            (place / "file").write_text(place.name)
            (place / "below").mkdir()
        for place in (top / name / "below", top / name):
            subprocess.run(["mount", "-o", f"remount,bind,{','.join(options)}", place], check=True)
            if name == "shared":
                world.mount("none", place, "", MS_SHARED)
    (disk / "below").mkdir()
    (disk / "other").mkdir()
    mount("--bind", disk / "other", disk / "below")
    for file in (disk / "file", disk / "below/file"):
        file.touch()
        os.chown(file, OWNER, OWNER)
    (top / "disk").symlink_to(disk)
    yield top
    for place in reversed(made):
        world.unmount(place)
    shutil.rmtree(top)
    shutil.rmtree(disk)


@pytest.fixture(scope="module")
def seen(private_world: None, tree: Path, request: pytest.FixtureRequest) -> dict[str, Any]:
    """What one container with all these mounts finds: its mountinfo by destination, and what a script says."""
    runtime = Runtime(runtimes.find(request.config.getoption("runtime")), tree / "state")
    script = ("cat /proc/self/mountinfo; echo; for t in bind rbind; do cat /m/$t/file /m/$t/below/file; echo; done; "
              "cat /etc/passwd | head -c 4; stat -c ' %U' /etc/passwd; for t in idmap ridmap; do "
              "stat -c %u /m/$t/file /m/$t/below/file; done")
    config = docker_like(process={"args": ["sh", "-c", script]},
                         mounts=[*MOUNTS, *mounts(tree, (tree / "disk").resolve())])
    outcome = runtime.run(f"t{os.getpid()}-options", bundles.bundle(tree / "bundle", config))
    assert outcome.status == 0, outcome.stderr
    table, _, said = outcome.stdout.partition("\n\n")
    found: dict[str, Any] = {"said": said.splitlines()}
    for line in table.splitlines():
        entry = probe.mount(line)
        entry["all"] = {*entry["options"], *(f"super:{option}" for option in entry["super"])}
        found[entry["point"]] = entry
    return found


def marked(options: Any) -> list[Any]:
    return [pytest.param(option, marks=pytest.mark.spec(CHAPTER, option)) for option in options]


@pytest.mark.parametrize("option", marked(NEW))
def test_of_a_new_mount(option: str, seen: dict[str, Any]) -> None:
    _, has, has_not = NEW[option]
    found = seen[f"/m/{option}"]["all"]
    assert found >= has and not found & has_not, found


@pytest.mark.parametrize("option", marked(RECURSIVE))
def test_of_a_whole_tree(option: str, seen: dict[str, Any]) -> None:
    _, has, has_not = RECURSIVE[option]
    for point in (f"/m/{option}", f"/m/{option}/below"):
        found = seen[point]["all"]
        assert found >= has and not found & has_not, (point, found)


@pytest.mark.parametrize("option", marked(PROPAGATION))
def test_propagation(option: str, seen: dict[str, Any]) -> None:
    for point, fields in zip((f"/m/{option}", f"/m/{option}/below"), PROPAGATION[option], strict=True):
        assert seen[point]["propagation"] == fields, point


# features.md#mount-options: "The runtime MUST recognize the elements in this array as the options of mounts objects"
@pytest.mark.spec("features.md#mount-options", "mountOptions", "each option is recognized")
def test_every_option_that_features_lists_was_among_them(seen: dict[str, Any]) -> None:
    tried = {*NEW, *RECURSIVE, *PROPAGATION, "bind", "rbind", "remount", "tmpcopyup", "idmap", "ridmap",
             *LINKS}                                     # test_mount_links.py
    assert set(features()["mountOptions"]) == tried


@pytest.mark.spec(CHAPTER, "bind", "rbind")
def test_binds(seen: dict[str, Any]) -> None:
    assert "/m/bind/below" not in seen and "/m/rbind/below" in seen
    assert seen["said"][:2] == ["restricted", "restrictedbelow"]     # what is below comes only with rbind


@pytest.mark.spec(CHAPTER, "remount")
def test_remount(seen: dict[str, Any]) -> None:
    found = seen["/m/remount"]
    assert "super:size=2048k" in found["all"] and "super:ro" in found["all"]


@pytest.mark.spec(CHAPTER, "tmpcopyup")
def test_tmpcopyup(seen: dict[str, Any]) -> None:
    assert seen["/etc"]["type"] == "tmpfs" and seen["said"][2] == "root root"


@pytest.mark.spec(CHAPTER, "idmap", "an idmap mount has its mapping")
@pytest.mark.spec(CHAPTER, "ridmap", "ridmap maps recursively")
def test_mapped_owners(seen: dict[str, Any]) -> None:
    assert seen["said"][3:] == [str(MAPPED), str(OWNER), str(MAPPED), str(MAPPED)]
