"""Symbolic links at either end of a bind mount (src-nofollow, dest-nofollow, copy-symlink as in crun), and options of
mount(8), crun and Podman that would choose something else to be mounted: an error that names them."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests import bundles
from tests.bundles import PROC, minimal, namespaces
from tests.runtimes import Runtime

#: On the host: directory (with `mark` in it), file, and links to both and to nowhere, named `to ...`. In the root:
#: /directory, /file and links to them, all with `mark` or themselves saying `covered`.
#: case: (source, destination, options, what the container looks at, what it sees)
CASES: dict[str, tuple[str, str, list[str], str, str]] = {
    "links are followed": ("to directory", "/to directory", [], "cat '/directory/mark'", "host's"),
    "a link's directory is not": ("to directory", "/new", ["src-nofollow"], "readlink /new", "directory"),
    "a link's file is not": ("to file", "/new", ["src-nofollow"], "readlink /new; ls /", "file"),
    "a link to nowhere is mounted": ("to nowhere", "/new", ["src-nofollow"], "readlink /new", "nowhere"),
    "a link on a file": ("to file", "/file", ["src-nofollow"], "readlink /file", "file"),
    "a link on what a link leads to": ("to nowhere", "/to file", ["src-nofollow"], "readlink /file", "nowhere"),
    "what is no link is the same": ("directory", "/directory", ["src-nofollow"], "cat /directory/mark", "host's"),
    "a file on a link": ("file", "/to file", ["dest-nofollow"], "cat '/to file' /file", "host's\ncovered"),
    "a link's file on a link": ("to file", "/to file", ["dest-nofollow"], "cat '/to file' /file", "host's\ncovered"),
    "a file on a link to nowhere": ("file", "/to nowhere", ["dest-nofollow"], "cat '/to nowhere'; test -e /nowhere || "
                                    "echo nothing is made", "host's\nnothing is made"),
    "a link on a link": ("to nowhere", "/to file", ["src-nofollow", "dest-nofollow"],
                         "readlink '/to file'; cat /file", "nowhere\ncovered"),
    "a directory that is no link": ("directory", "/directory", ["dest-nofollow"], "cat /directory/mark", "host's"),
    "a destination that is missing": ("file", "/made/here", ["dest-nofollow"], "cat /made/here", "host's"),
    "a link above the destination": ("file", "/to directory/mark", ["dest-nofollow"], "cat /directory/mark", "host's"),
    "a copy of a link": ("to directory", "/new", ["copy-symlink"], "readlink /new; cat /new/mark",
                         "directory\ncovered"),
    "a copy of a link to nowhere": ("to nowhere", "/made/new", ["copy-symlink"], "readlink /made/new", "nowhere"),
    "a copy that is there": ("to file", "/to file", ["copy-symlink"], "cat '/to file'", "covered"),
    "a copy of what is no link": ("directory", "/directory", ["copy-symlink"], "cat /directory/mark", "host's"),
    "read-only": ("file", "/to file", ["dest-nofollow", "ro"], "echo x 2>/dev/null >'/to file' || cat '/to file'",
                  "host's"),
}


def folder(top: Path, says: str) -> Path:
    (top / "directory").mkdir()
    for name in ("directory/mark", "file"):
        (top / name).write_text(f"{says}\n")
    for name in ("directory", "file", "nowhere"):
        (top / f"to {name}").symlink_to(name)
    return top


@pytest.fixture
def made(place: Path) -> Path:
    bundle = bundles.bundle(place / "bundle")
    folder(bundle / "rootfs", "covered")
    (place / "host").mkdir(mode=0o755)
    folder(place / "host", "host's")
    return bundle


def config(bundle: Path, source: str, destination: str, options: list[str], look: str, **linux: Any) -> dict[str, Any]:
    entry = {"destination": destination, "source": str(bundle.parent / "host" / source), "options": ["bind", *options]}
    return minimal(process={"args": ["sh", "-c", look]}, mounts=[PROC, entry], linux=linux)


@pytest.mark.parametrize("case", CASES)
def test_links_at_either_end(case: str, runtime: Runtime, made: Path, name: str) -> None:
    source, destination, options, look, seen = CASES[case]
    bundles.write(made, config(made, source, destination, options, look))
    said = runtime.ok("run", "--bundle", made, name).stdout.strip()
    assert said == seen if "; ls" not in look else said.startswith(seen)


@pytest.mark.parametrize("case", [case for case, (_, _, options, _, _) in CASES.items() if options])
def test_in_a_user_namespace(case: str, runtime: Runtime, made: Path, name: str) -> None:
    source, destination, options, look, seen = CASES[case]
    mapping = [{"containerID": 0, "hostID": 0, "size": 65536}]
    bundles.write(made, config(made, source, destination, options, look, uidMappings=mapping, gidMappings=mapping,
                               namespaces=namespaces("user", "pid", "mount")))
    said = runtime.ok("run", "--bundle", made, name).stdout.strip()
    assert said == seen if "; ls" not in look else said.startswith(seen)


def test_a_link_in_the_root_is_taken_itself(runtime: Runtime, made: Path, name: str) -> None:
    mounts = [PROC, {"destination": "/new", "source": "rootfs/to file", "options": ["bind", "src-nofollow"]},
              {"destination": "/copy", "source": "rootfs/to directory", "options": ["bind", "copy-symlink"]}]
    bundles.write(made, minimal(process={"args": ["sh", "-c", "readlink /new; readlink /copy"]}, mounts=mounts))
    assert runtime.ok("run", "--bundle", made, name).stdout == "file\ndirectory\n"


def test_a_new_file_system_covers_no_link(runtime: Runtime, made: Path, name: str) -> None:
    """One on what the link leads to would be somewhere else than was asked for."""
    entry = {"destination": "/to directory", "type": "tmpfs", "source": "tmpfs", "options": ["dest-nofollow"]}
    bundles.write(made, minimal(mounts=[PROC, entry]))
    outcome = runtime.run(name, made)
    assert outcome.status == 1 and "not a directory: at mounts[1] in config.json" in outcome.stderr


def test_a_copy_does_not_replace_anything(runtime: Runtime, made: Path, name: str) -> None:
    for destination in ("/file", "/to file"):
        bundles.write(made, config(made, "to directory", destination, ["copy-symlink"], "true"))
        outcome = runtime.run(name, made)
        assert outcome.status == 1 and "something other than a link to directory is there" in outcome.stderr
        assert "file exists: at mounts[1] in config.json" in outcome.stderr


#: (options, the index of the one that is named, what is said of it)
REFUSED: list[tuple[list[str], str]] = [
    *((["bind", option], "options[1]") for option in (
        "loop", "loop=/dev/loop0", "offset=4096", "sizelimit=1", "move", "subvol=/x", "subvolid=5", "lowerdir=/a:/b",
        "upperdir=/u", "workdir=/w", "idmap=uids=0-1-10;gids=0-1-10", "O", "subpath=a", "no-dereference",
        "verity.roothash=00", "X-mount.subdir=a", "X-mount.idmap=b:0:0:1", "X-mount.owner=1", "X-mount.group=1",
        "X-mount.mode=700", "X-mount.mkdir=0700")),
    (["rbind", "ro", "subvol=x,offset=1"], "options[2]"),
    *((["rw", option], "options[1]") for option in ("X-mount.subdir=a", "X-mount.owner=1", "loop", "offset=1", "rsync",
                                                    "no-dereference", "subpath=a", "idmap=uids=0-1-1;gids=0-1-1", "O",
                                                    "notmpcopyup", "bind-propagation=slave", "move")),
    (["src-nofollow"], "options"), (["copy-symlink"], "options"), (["bind", "remount", "src-nofollow"], "options"),
    (["bind", "copy-symlink", "dest-nofollow"], "options"), (["bind", "copy-symlink", "src-nofollow"], "options"),
]


@pytest.mark.parametrize(("options", "part"), REFUSED)
def test_what_would_choose_something_else_is_refused_by_its_name(options: list[str], part: str, runtime: Runtime,
                                                                 made: Path, name: str) -> None:
    entry = {"destination": "/directory", "type": "tmpfs", "source": str(made.parent / "host/directory"),
             "options": options}
    bundles.write(made, minimal(mounts=[PROC, entry]))
    outcome = runtime.run(name, made)
    assert outcome.status == 1 and outcome.stderr.count("\n") == 1
    assert f"at mounts[1].{part} in config.json" in outcome.stderr
    named = options[int(part[8])] if part != "options" else next(word for word in options if "-" in word)
    assert named.partition("=")[0] in outcome.stderr


@pytest.mark.parametrize("option", ["x-systemd.automount", "x-gvfs-show", "X-mount.mkdir", "comment=x", "nofail",
                                    "_netdev", "noauto", "X-mount.nocanonicalize"])
def test_what_is_for_mount_and_chooses_nothing_has_no_effect(option: str, runtime: Runtime, made: Path,
                                                             name: str) -> None:
    bundles.write(made, config(made, "directory", "/directory", [option], "cat /directory/mark"))
    assert runtime.ok("run", "--bundle", made, name).stdout == "host's\n"
