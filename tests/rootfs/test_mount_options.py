"""Options of config.md#linux-mount-options: what each becomes, in which order, and what is left to the file system."""
from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrunc.errors import ConfigError
from pyrunc.rootfs import mount_options as options
from pyrunc.rootfs.mount_options import ATIME, ATTRIBUTES, NAMES, SWITCHES, Attributes, MountOptions, split

#: name -> (attr_set, attr_clr) of mount_setattr(2), or what else it does. Written down from config.md and mount(8).
#: config.md#linux-mount-options: "Runtimes MUST/SHOULD/MAY implement the following option strings for Linux"
SPEC = {
    "async": "superblock", "atime": (0x00, 0x70), "bind": "bind", "defaults": "nothing", "dev": (0, 4),
    "diratime": (0, 0x80), "dirsync": "superblock", "exec": (0, 8), "iversion": "nothing", "lazytime": "superblock",
    "loud": "nothing", "mand": "superblock", "noatime": (0x10, 0x70), "nodev": (4, 0), "nodiratime": (0x80, 0),
    "noexec": (8, 0), "noiversion": "nothing", "nolazytime": "superblock", "nomand": "superblock",
    "norelatime": (0, 0), "nostrictatime": (0x00, 0x70), "nosuid": (2, 0), "nosymfollow": (0x200000, 0),
    "private": (1 << 18, False), "ratime": (0x00, 0x70), "rbind": "rbind", "rdev": (0, 4), "rdiratime": (0, 0x80),
    "relatime": (0x00, 0x70), "remount": "remount", "rexec": (0, 8), "rnoatime": (0x10, 0x70),
    "rnodiratime": (0x80, 0), "rnoexec": (8, 0), "rnorelatime": "nothing", "rnostrictatime": (0x00, 0x70),
    "rnosuid": (2, 0), "rnosymfollow": (0x200000, 0), "ro": (1, 0), "rprivate": (1 << 18, True),
    "rrelatime": (0x00, 0x70), "rro": (1, 0), "rrw": (0, 1), "rshared": (1 << 20, True), "rslave": (1 << 19, True),
    "rstrictatime": (0x20, 0x70), "rsuid": (0, 2), "rsymfollow": (0, 0x200000), "runbindable": (1 << 17, True),
    "rw": (0, 1), "shared": (1 << 20, False), "silent": "nothing", "slave": (1 << 19, False),
    "strictatime": (0x20, 0x70), "suid": (0, 2), "symfollow": (0, 0x200000), "sync": "superblock",
    "tmpcopyup": "copy_up", "unbindable": (1 << 17, False), "idmap": "idmap", "ridmap": "ridmap", "rnodev": (4, 0),
}
RECURSIVE = {name for name in SPEC if name[0] == "r" and name[1:] in SPEC and name not in ("rbind", "ridmap")}
PROPAGATION = {name for name, meaning in SPEC.items() if isinstance(meaning[1], bool)}


@pytest.mark.parametrize("name", sorted(SPEC))
def test_each_option_of_the_spec(name: str) -> None:
    parsed, meaning = MountOptions([name]), SPEC[name]
    assert parsed.data == []                    # nothing of this is left to the file system
    assert parsed.bind == (name in ("bind", "rbind")) and parsed.recursive_bind == (name == "rbind")
    assert parsed.remount == (name == "remount") and parsed.copy_up == (name == "tmpcopyup")
    assert parsed.idmap == (name if name in ("idmap", "ridmap") else "")
    assert [flag for _, flag in parsed.superblock] == ([name] if meaning == "superblock" else [])
    assert parsed.propagation == ([meaning] if name in PROPAGATION else [])
    changed = parsed.below if name in RECURSIVE - PROPAGATION else parsed.here
    unchanged = parsed.here if changed is parsed.below else parsed.below
    assert not unchanged
    if isinstance(meaning, tuple) and name not in PROPAGATION:
        assert changed.additive() == meaning
    else:
        assert not changed


@pytest.mark.spec("features.md#mount-options", "mountOptions", "each option is recognized",
                  "no option of a file system is there")
def test_the_features_list_is_the_specs() -> None:
    # features-linux.md says nothing more of it than features.md#mount-options: the names that are recognized. Those of
    # crun that say which links are followed are there, too: engines send them.
    assert set(NAMES) == {*SPEC, *options.LINKS}
    assert sorted(set(NAMES)) == NAMES


def test_numbers_are_those_of_the_kernel_headers() -> None:
    text = Path("/usr/include/linux/mount.h").read_text()
    defined = {name: int(value, 0) for name, value in re.findall(r"#define MOUNT_ATTR_(\w+)\s+(0x[0-9A-Fa-f]+)", text)}
    here = {name: getattr(options, name) for name in ("RDONLY", "NOSUID", "NODEV", "NOEXEC", "RELATIME", "NOATIME",
                                                      "STRICTATIME", "NODIRATIME", "IDMAP", "NOSYMFOLLOW")}
    assert {**here, "_ATIME": ATIME} == {name: defined[name] for name in (*here, "_ATIME")}
    shifts = dict(re.findall(r"#define MS_(\w+)\s+\(1<<(\d+)\)", text))
    for name in ("UNBINDABLE", "PRIVATE", "SLAVE", "SHARED"):
        assert getattr(options, name) == 1 << int(shifts[name])


@pytest.mark.spec("config.md#mounts", "unknown options go to the file system")
def test_what_is_unknown_is_for_the_file_system_in_order_with_its_place() -> None:
    # config.md#linux-mount-options: "Runtimes SHOULD treat unknown options as filesystem-specific ones and pass those
    # as a comma-separated string to the fifth argument of mount(2)"
    parsed = MountOptions(["nosuid", "mode=755", "size=64k,nr_inodes=5", "x-systemd.automount", "usrquota", "sise="])
    assert parsed.data == [(1, "mode", "755"), (2, "size", "64k"), (2, "nr_inodes", "5"), (4, "usrquota", None),
                           (5, "sise", "")]


@pytest.mark.parametrize(("names", "set_", "clear"), [
    (["ro", "rw"], 0, 1), (["rw", "ro"], 1, 0), (["nosuid", "suid", "nosuid"], 2, 0), (["nodev", "noexec"], 12, 0),
    (["noatime", "relatime"], 0x10, 0x70),           # mount(2): MS_NOATIME wins over MS_RELATIME
    (["noatime", "strictatime"], 0x20, 0x70), (["strictatime", "nostrictatime"], 0, 0x70),
    (["noatime", "atime"], 0, 0x70), (["strictatime", "noatime", "nostrictatime"], 0x10, 0x70),
    (["user"], 14, 0), (["user", "exec"], 6, 8), (["owner"], 6, 0)])
def test_later_options_override_earlier_ones_flag_by_flag(names: list[str], set_: int, clear: int) -> None:
    assert MountOptions(names).here.additive() == (set_, clear)
    assert MountOptions(names).here.for_new() == set_


@pytest.mark.parametrize(("names", "set_", "clear"), [
    (["rstrictatime", "rrelatime"], 0, 0x70), (["rnoatime", "rstrictatime"], 0x20, 0x70),
    (["rnoatime", "ratime"], 0, 0x70),
    (["rstrictatime", "ratime"], 0x20, 0x70), (["rro", "rrw", "rnoexec"], 8, 1)])
def test_recursive_access_times_are_one_choice_the_last(names: list[str], set_: int, clear: int) -> None:
    assert MountOptions(names).below.additive() == (set_, clear)


def test_exact_attributes_clear_what_was_not_asked_for_and_leave_access_times_alone() -> None:
    assert MountOptions(["ro"]).here.exact() == (1, SWITCHES & ~0x81)
    assert MountOptions(["suid"]).here.exact() == (0, SWITCHES & ~0x80)
    assert MountOptions(["nodiratime"]).here.exact() == (0x80, SWITCHES & ~0x80 | ATIME)
    for names in (["atime", "dev"], ["noatime", "atime"], ["diratime"], ["norelatime"], ["nostrictatime"]):
        assert MountOptions(names).here.exact() == (0, SWITCHES & ~0x80)
    assert MountOptions(["ro", "noatime"]).here.exact() == (0x11, SWITCHES & ~1 | ATIME)


def test_flags_for_mount_2() -> None:
    names = ["ro", "nodiratime", "nosymfollow", "strictatime", "sync", "dirsync", "lazytime"]
    assert MountOptions(names).mount_flags() == 1 | 2048 | 256 | (1 << 24) | 16 | 128 | (1 << 25)
    assert MountOptions(["sync", "async", "relatime", "nosuid", "nodev", "noexec"]).mount_flags() == (1 << 21) | 14
    assert MountOptions(["noatime"]).mount_flags() == 1024


def test_a_nul_byte_is_refused_with_its_place() -> None:
    with pytest.raises(ConfigError, match="mount field contains null byte") as caught:
        MountOptions(["ro", "mode=7\0"], "mounts[3]")
    assert caught.value.where == "mounts[3].options[1]"


@pytest.mark.parametrize(("option", "pairs"), [
    ("mode=755", [("mode", "755")]), ("a,b=1,,c", [("a", None), ("b", "1"), ("c", None)]), ("", []), (",", []),
    ("k=", [("k", "")]), ("k==", [("k", "=")]),
    ('context="u:r:t:s0:c1,c2",x', [("context", "u:r:t:s0:c1,c2"), ("x", None)]),
    ("lowerdir=/a\\,b:/c,upperdir=/u", [("lowerdir", "/a\\,b:/c"), ("upperdir", "/u")]), ('k="', [("k", '"')]),
    ("k=\\", [("k", "\\")])])
def test_splitting_data(option: str, pairs: list[tuple[str, str | None]]) -> None:
    assert split(option) == pairs


@given(st.lists(st.sampled_from(sorted(ATTRIBUTES)), max_size=12))
def test_the_last_word_about_each_attribute_counts(names: list[str]) -> None:
    last = {ATTRIBUTES[name][0]: ATTRIBUTES[name][1] for name in names}
    attributes = MountOptions(names).here
    assert attributes.set == sum(flag for flag, on in last.items() if on)
    assert attributes.clear == sum(flag for flag, on in last.items() if not on)
    assert attributes.for_new() == attributes.set


@given(st.lists(st.sampled_from(NAMES), max_size=20))
def test_no_attribute_is_both_set_and_cleared_but_the_access_time(names: list[str]) -> None:
    parsed = MountOptions(names)
    for attributes in (parsed.here, parsed.below):
        set_, clear = attributes.additive()
        assert set_ & clear & ~ATIME == 0
        assert clear & ATIME in (0, ATIME)      # mount_setattr(2): EINVAL for a part of the enumeration
        assert bool(attributes) == bool(set_ or clear or (attributes is parsed.here and "norelatime" in names))
    assert parsed.data == []


@given(st.text(alphabet=st.characters(exclude_characters=",\\\"=\0", exclude_categories=["Cs"]), min_size=1),
       st.text(alphabet=st.characters(exclude_characters=",\\\"\0", exclude_categories=["Cs"])))
def test_a_key_and_its_value_come_out_as_they_went_in(key: str, value: str) -> None:
    assert split(f"{key}={value}") == [(key, value)]
    assert split(f"a,{key}={value},b") == [("a", None), (key, value), ("b", None)]


def test_no_options_change_nothing() -> None:
    assert not Attributes()
    assert not MountOptions([]).here and MountOptions([]).here.for_new() == 0
