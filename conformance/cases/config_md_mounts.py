"""config.md: mounts and their options."""
from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..harness import bundles, isolation
from ..harness.runtime import numbers, reap
from ..harness.trial import Trial
from ..model import Fails, NotHere, NotOffered, case, each

OPTIONS = "config.md#linux-mount-options"


def mounted(t: Trial, *entries: bundles.Config, at: str = "/mnt", mounts: int = 0,
            **changes: Any) -> tuple[list[str], list[str], list[str], str]:
    """Mount options, optional fields, options of the file system and type of the last mount at a place, with these
    entries behind the usual ones. mounts: how many are at this place, 0 for any number."""
    said = t.inside("cat /proc/self/mountinfo", mounts=[*bundles.MOUNTS, *entries], **changes)
    lines = [line for line in said.splitlines() if line.split()[4] == at]
    if not lines:
        raise Fails(f"nothing is mounted at {at}: {said[-500:]}")
    if mounts:
        t.equal(len(lines), mounts, f"mounts at {at}")
    fields, _, tail = lines[-1].partition(" - ")
    _, _, _, _, _, options, *optional = fields.split()
    kind, _, superblock = tail.split()[:3]
    return options.split(","), [field.partition(":")[0] for field in optional], superblock.split(","), kind


@case("config.md#mounts", "mounts", "destination", "source", "options",
      also={"config.md#posix-platform-mounts": ("type",)})
def a_mount(t: Trial) -> None:
    """An entry of mounts is mounted: type, destination and options are as it says"""
    options, _, superblock, kind = mounted(t, bundles.tmpfs("/mnt", "nosuid", "size=64k", "mode=711"))
    t.equal(kind, "tmpfs", "type")
    t.true("nosuid" in options, f"options are {options}")
    t.true("size=64k" in superblock and "mode=711" in superblock, f"options of the file system are {superblock}")


@case("config.md#mounts", "mounts are made in the listed order")
def order_of_mounts(t: Trial) -> None:
    """Mounts are made in the listed order: a later one covers an earlier one, and can be inside it"""
    for number in (1, 2):
        (t.place / f"source{number}").mkdir()
        (t.place / f"source{number}/mark").write_text(str(number))
    bind = [bundles.bind(t.place / f"source{number}", "/mnt") for number in (1, 2)]
    t.equal(t.inside("cat /mnt/mark", mounts=[*bundles.MOUNTS, *bind]), "2", "of two at /mnt, listed 1, 2")
    t.equal(t.inside("cat /mnt/mark", mounts=[*bundles.MOUNTS, *bind[::-1]]), "1", "of two at /mnt, listed 2, 1")
    nested = [bundles.tmpfs("/mnt"), bundles.bind(t.place / "source1", "/mnt/inner")]
    t.equal(t.inside("cat /mnt/inner/mark", mounts=[*bundles.MOUNTS, *nested]), "1", "a mount inside another")


@case("config.md#mounts", "a relative destination counts from /")
def destination_that_is_relative(t: Trial) -> None:
    """A relative destination counts from the root"""
    t.needs_spec("1.1.0")
    t.equal(mounted(t, bundles.tmpfs("mnt"))[3], "tmpfs", "type of what is at /mnt")


@case("config.md#mounts", "destination")
def destination_that_is_missing(t: Trial) -> None:
    """A destination that is not there is made"""
    t.equal(mounted(t, bundles.tmpfs("/made/for/it"), at="/made/for/it")[3], "tmpfs", "type")


@case("config.md#mounts", "source")
def source_that_is_relative(t: Trial) -> None:
    """The source of a bind mount may count from the bundle; a file can be bound, too"""
    bundle = t.bundle()
    (bundle / "file").write_text("of the bundle")
    said = t.inside("cat /etc/bound", bundle, mounts=[*bundles.MOUNTS, bundles.bind("file", "/etc/bound")])
    t.equal(said, "of the bundle", "the file")


@case("config.md#mounts", "unknown options go to the file system")
def options_of_the_file_system(t: Trial) -> None:
    """Options that are none of all file systems go to this one; one that it does not know is an error"""
    t.true("nr_inodes=77" in mounted(t, bundles.tmpfs("/mnt", "nr_inodes=77"))[2], "nr_inodes=77 did not get there")
    t.refused(mounts=[*bundles.MOUNTS, bundles.tmpfs("/mnt", "ofnofilesystem=1")])


FLAGS = {"ro": "ro", "nosuid": "nosuid", "nodev": "nodev", "noexec": "noexec", "noatime": "noatime",
         "nodiratime": "nodiratime", "relatime": "relatime", "nosymfollow": "nosymfollow"}


@each(OPTIONS, {option: (option, option) for option in FLAGS})
def flag_of_a_mount(t: Trial, option: str) -> None:
    """An option of a mount is its flag"""
    if option == "nosymfollow":
        t.needs_spec("1.1.0")
    options = mounted(t, bundles.tmpfs("/mnt", option))[0]
    t.true(FLAGS[option] in options, f"{option}: the options are {options}")
    # relatime is the kernel's default: it is seen where the source has another kind, which only root can make.
    if option == "relatime" and os.geteuid() == 0:
        source = t.place / "source"
        source.mkdir()
        isolation.mount("tmpfs", source, "tmpfs", isolation.MS_NOATIME)
        try:
            options = mounted(t, bundles.bind(source, "/mnt", option))[0]
        finally:
            isolation.unmount(source)
        t.true("relatime" in options, f"{option}, where the source has noatime: the options are {options}")


@each(OPTIONS, {option: (option, option) for option in FLAGS if option in ("ro", "nosuid", "nodev", "noexec")})
def flag_of_a_bind_mount(t: Trial, option: str) -> None:
    """An option of a bind mount is its flag, and the source keeps what it has"""
    source = t.place / "source"
    source.mkdir()
    options = mounted(t, bundles.bind(source, "/mnt", option))[0]
    t.true(FLAGS[option] in options, f"{option}: the options are {options}")
    (source / "written").touch()


POSITIVE = {"rw": ("ro", "ro"), "suid": ("nosuid", "nosuid"), "dev": ("nodev", "nodev"), "exec": ("noexec", "noexec"),
            "atime": ("noatime", "noatime"), "diratime": ("nodiratime", "nodiratime"),
            "strictatime": ("relatime", "relatime"), "defaults": ("", "noexec"), "norelatime": ("relatime", "relatime"),
            "symfollow": ("nosymfollow", "nosymfollow")}


@each(OPTIONS, {option: (option, option) for option in POSITIVE})
def flag_that_is_taken_back(t: Trial, option: str) -> None:
    """A later option takes an earlier one back"""
    before, flag = POSITIVE[option]
    options = mounted(t, bundles.tmpfs("/mnt", *([before] if before else []), option))[0]
    if option == "norelatime":
        return                      # relatime is the kernel's default: that the mount is made is all there is to see
    t.true(flag not in options, f"{before},{option}: the options are {options}")


#: What these take back is seen in mountinfo; what loud, silent, iversion and noiversion do is not.
TAKES_BACK = {"async": "sync", "nolazytime": "lazytime", "nostrictatime": "strictatime"}


@each(OPTIONS, {option: (option, option) for option in (
    "async", "loud", "silent", "iversion", "noiversion", "lazytime", "nolazytime", "nostrictatime", "sync", "dirsync")})
def option_of_the_superblock(t: Trial, option: str) -> None:
    """An option of the superblock is known; where mountinfo shows it, it is there, or what it takes back is not"""
    superblock = mounted(t, bundles.tmpfs("/mnt", option))[2]
    if option in ("sync", "dirsync", "lazytime"):
        t.true(option in superblock, f"{option}: the options of the file system are {superblock}")
    elif before := TAKES_BACK.get(option):
        options, _, superblock, _ = mounted(t, bundles.tmpfs("/mnt", before, option))
        told = f"{before},{option}: the options are {options}, those of the file system {superblock}"
        t.true("relatime" in options if option == "nostrictatime" else before not in superblock, told)


@each(OPTIONS, {"bind": ("bind", "bind", False), "rbind": ("rbind", "rbind", True)})
def bind_and_rbind(t: Trial, option: str, whole: bool) -> None:
    """bind mounts the one file system, rbind what is mounted below it as well"""
    source = t.place / "source"
    (source / "below").mkdir(parents=True)
    isolation.mount("tmpfs", source / "below", "tmpfs")
    (source / "below/mark").touch()
    entry = {"destination": "/mnt", "type": "none", "source": str(source), "options": [option]}
    try:
        said = t.inside("test -e /mnt/below/mark && echo there || echo absent", mounts=[*bundles.MOUNTS, entry])
    finally:
        isolation.unmount(source / "below")
    t.equal(said, "there" if whole else "absent", f"a mount below the source, with {option}")


PROPAGATION = {"private": [], "rprivate": [], "shared": ["shared"], "rshared": ["shared"], "slave": ["master"],
               "rslave": ["master"], "unbindable": ["unbindable"], "runbindable": ["unbindable"]}


@each(OPTIONS, {option: (option, option) for option in PROPAGATION})
def propagation_of_a_mount(t: Trial, option: str) -> None:
    """A mount has the propagation that its options name"""
    source = t.place / "source"
    source.mkdir()
    isolation.mount("tmpfs", source, "tmpfs")
    isolation.mount("none", source, flags=isolation.MS_SHARED)
    # What is shared may be a slave of the source's peers as well.
    wanted = PROPAGATION[option]
    beside = {"propagate_from", *(["master"] if wanted == ["shared"] else [])}
    try:
        # Without the option a mount is private, or a slave, with some runtimes; with none where the root is shared.
        for linux in ({}, {"rootfsPropagation": "shared"}):
            optional = mounted(t, bundles.bind(source, "/mnt", option), linux=linux)[1]
            t.equal([word for word in optional if word not in beside], wanted, f"propagation with {option} and {linux}")
    finally:
        isolation.unmount(source)


RECURSIVE = {"rro": "ro", "rnosuid": "nosuid", "rnodev": "nodev", "rnoexec": "noexec", "rnoatime": "noatime",
             "rnodiratime": "nodiratime", "rnosymfollow": "nosymfollow", "rrelatime": "relatime"}
#: Option that takes something back -> what it takes back, and the flag that is not there then.
RECURSIVE_BACK = {"rrw": ("rro", "ro"), "rsuid": ("rnosuid", "nosuid"), "rdev": ("rnodev", "nodev"),
                  "rexec": ("rnoexec", "noexec"), "ratime": ("rnoatime", "noatime"),
                  "rdiratime": ("rnodiratime", "nodiratime"), "rsymfollow": ("rnosymfollow", "nosymfollow"),
                  "rstrictatime": ("rnoatime", "relatime")}


def below(t: Trial, *options: str, flags: int = 0) -> list[str]:
    """Flags of a mount below a source that is mounted with rbind and these options. flags: those it has there."""
    t.needs_spec("1.1.0")
    for option in options:
        t.needs_feature("mountOptions", value=option)
    source = t.place / "source"
    (source / "below").mkdir(parents=True)
    isolation.mount("tmpfs", source / "below", "tmpfs", flags)
    entry = {"destination": "/mnt", "type": "none", "source": str(source), "options": ["rbind", *options]}
    try:
        return mounted(t, entry, at="/mnt/below")[0]
    finally:
        isolation.unmount(source / "below")


@each(OPTIONS, {option: (option, option) for option in RECURSIVE})
def recursive_option(t: Trial, option: str) -> None:
    """A recursive option is that of every mount below, too"""
    options = below(t, option, flags=isolation.MS_NOATIME if option == "rrelatime" else 0)
    t.true(RECURSIVE[option] in options, f"{option}: the options of the mount below are {options}")


@each(OPTIONS, {option: (option, option) for option in RECURSIVE_BACK})
def recursive_option_that_takes_back(t: Trial, option: str) -> None:
    """A later recursive option takes an earlier one back, at every mount below, too"""
    before, flag = RECURSIVE_BACK[option]
    options = below(t, before, option)
    t.true(not {flag, before[1:]} & {*options}, f"{before},{option}: the options of the mount below are {options}")


@each(OPTIONS, {option: (option, option) for option in ("rnorelatime", "rnostrictatime")})
def recursive_option_that_is_known(t: Trial, option: str) -> None:
    """A recursive option that leaves the kernel's default is known"""
    below(t, option)


@case(OPTIONS, "remount")
def remount(t: Trial) -> None:
    """remount changes what is mounted already"""
    entry = {"destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": ["remount", "ro"]}
    options = mounted(t, bundles.tmpfs("/mnt"), entry, mounts=1)[0]
    t.true("ro" in options, f"the options are {options}")


@case(OPTIONS, "tmpcopyup")
def tmpcopyup(t: Trial) -> None:
    """With tmpcopyup a tmpfs begins with what its destination held"""
    t.needs_feature("mountOptions", value="tmpcopyup")
    said = t.inside("cat /etc/passwd | head -n 1; touch /etc/new",
                    mounts=[*bundles.MOUNTS, bundles.tmpfs("/etc", "tmpcopyup")])
    t.true(said.startswith("root:"), f"/etc/passwd holds {said!r}")
    t.true(not Path(t.place, "bundle-1/rootfs/etc/new").exists(), "/etc is not a tmpfs")


@case("config.md#posix-platform-mounts", "mappings of a mount come in pairs", "uidMappings", "gidMappings")
def mapping_without_its_pair(t: Trial) -> None:
    """uidMappings of a mount without gidMappings are an error"""
    t.needs_spec("1.1.0")
    entry = bundles.bind(t.place, "/mnt", "idmap")
    entry["uidMappings"] = [{"containerID": 0, "hostID": 1000, "size": 10}]
    t.refused(mounts=[*bundles.MOUNTS, entry])


@case(OPTIONS, "an idmap mount has its mapping", "the mount's own mappings are used", "idmap",
      also={"config.md#posix-platform-mounts": ("uidMappings", "gidMappings")})
def idmapped_mount(t: Trial) -> None:
    """Files of an id-mapped mount belong to whom the mount's mappings say"""
    t.needs_feature("linux", "mountExtensions", "idmap", "enabled")
    t.needs_spec("1.1.0")
    t.equal(owners(t, "idmap"), ["4000:4000"], "owner of root's file")


@case(OPTIONS, "ridmap maps recursively", "ridmap")
def recursively_idmapped_mount(t: Trial) -> None:
    """With ridmap so do the files of what is mounted below; without, they stay whose they are"""
    t.needs_feature("linux", "mountExtensions", "idmap", "enabled")
    t.needs_feature("mountOptions", value="ridmap")
    t.needs_spec("1.2.0")
    t.equal(owners(t, "rbind", "ridmap", below=True), ["4000:4000"] * 2, "owners of root's files")
    t.equal(owners(t, "rbind", "idmap", below=True), ["4000:4000", "0:0"], "owners of root's files with idmap")


@case(OPTIONS, "idmap without mappings takes the user namespace's", "idmap")
def idmap_of_the_user_namespace(t: Trial) -> None:
    """idmap without mappings of its own takes those of the container's user namespace, or is an error"""
    t.needs_feature("linux", "mountExtensions", "idmap", "enabled")
    t.needs_spec("1.1.0")
    linux = {"namespaces": bundles.namespaces(*bundles.NAMESPACES, "user"), **{
        kind: [{"containerID": 0, "hostID": 100000, "size": 65536}] for kind in ("uidMappings", "gidMappings")}}
    with source_of_a_mount(t, False) as source:
        bundle = t.bundle(mounts=[*bundles.MOUNTS, bundles.bind(source, "/mnt", "idmap")], linux=linux,
                          process={"args": ["stat", "-c", "%u:%g", "/mnt/file"]})
        made = t.runtime("create", "--bundle", bundle, "--pid-file", t.place / "pid", id := t.new_id())
        if made.status:
            return
        t.runtime.ok("start", id)
        reap(int((t.place / "pid").read_text()))
        t.equal(made.stdout.strip(), "0:0", "owner of root's file, in the container")


@contextmanager
def source_of_a_mount(t: Trial, below: bool) -> Iterator[Path]:
    """A tmpfs with root's file in it, and another one on its folder `below`. NotHere where no tmpfs can be mapped."""
    if numbers(os.uname().release)[:2] < (6, 3):
        raise NotHere("Linux 6.3 is needed for a tmpfs that is id-mapped")
    source = t.place / "source"
    places = [source, *([source / "below"] if below else [])]
    source.mkdir(exist_ok=True)
    for number, place in enumerate(places):
        if number:
            place.mkdir()
        isolation.mount("tmpfs", place, "tmpfs", data="mode=755")
        (place / "file").touch()
    try:
        yield source
    finally:
        for place in reversed(places):
            isolation.unmount(place)


def owners(t: Trial, *options: str, below: bool = False) -> list[str]:
    """Of the files in an id-mapped mount, by which root's are 4000's."""
    with source_of_a_mount(t, below) as source:
        entry = bundles.bind(source, "/mnt", *options)
        for kind in ("uidMappings", "gidMappings"):
            entry[kind] = [{"containerID": 0, "hostID": 4000, "size": 10}]
        files = ["/mnt/file", *(["/mnt/below/file"] if below else [])]
        return t.inside(f"stat -c %u:%g {' '.join(files)}", mounts=[*bundles.MOUNTS, entry]).splitlines()


@each(OPTIONS, {word: (word, word) for word in ("mand", "nomand")})
def mandatory_locks(t: Trial, option: str) -> None:
    """mand and nomand, which later kernels pass over, are known where features names them"""
    if option not in ((t.program.features or {}).get("mountOptions") or [option]):
        raise NotOffered(f"features: mountOptions has no {option}")
    t.inside("touch /mnt/file", mounts=[*bundles.MOUNTS, bundles.tmpfs("/mnt", option)])


@case(OPTIONS, "without mappings and user namespace idmap is an error")
def idmap_of_nothing(t: Trial) -> None:
    """idmap without mappings and without a user namespace is an error"""
    t.needs_spec("1.1.0")
    t.refused(mounts=[*bundles.MOUNTS, bundles.bind(t.place, "/mnt", "idmap")])
