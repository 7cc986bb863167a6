"""cgroupsPath: where the container's cgroup is."""
from __future__ import annotations

import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrunc.cgroups import path
from pyrunc.config.types import Config
from pyrunc.errors import ConfigError
from pyrunc.host import Host
from pyrunc.options import Options
from pyrunc.paths import clean

HYBRID = "/sys/fs/cgroup/unified"


def config(cgroups_path: str | None) -> Config:
    linux = {} if cgroups_path is None else {"cgroupsPath": cgroups_path}
    return typing.cast(Config, {"ociVersion": "1.3.0", "linux": linux})


def directory(cgroups_path: str | None, own: str = "/user.slice/session-1.scope", **host: typing.Any) -> str:
    return path.directory(config(cgroups_path), Options(id="c1"), Host(cgroup_own=own, **host))


# config-linux.md#cgroups-path: "In the case of an absolute path (starting with /), the runtime MUST take the path to
# be relative to the cgroups mount point."
@pytest.mark.spec("config-linux.md#cgroups-path", "an absolute path counts from the mount point")
@pytest.mark.parametrize(("given_path", "mount", "expected"), [
    ("/a/b", "/sys/fs/cgroup", "/sys/fs/cgroup/a/b"),
    ("/a/b", HYBRID, f"{HYBRID}/a/b"),
    ("//a///b//", "/sys/fs/cgroup", "/sys/fs/cgroup/a/b"),
    ("/a/../b", "/sys/fs/cgroup", "/sys/fs/cgroup/b"),
    ("/../../../etc", "/sys/fs/cgroup", "/sys/fs/cgroup/etc"),
])
def test_absolute(given_path: str, mount: str, expected: str) -> None:
    assert directory(given_path, cgroup_mount=mount) == expected


@pytest.mark.parametrize(("given_path", "own", "expected"), [
    ("a", "/user.slice/session-1.scope", "/sys/fs/cgroup/user.slice/a"),
    ("a/b", "/x", "/sys/fs/cgroup/a/b"),
    ("a", "/", "/sys/fs/cgroup/a"),
    ("../a", "/x/y/z", "/sys/fs/cgroup/x/y/a"),
    ("", "/x/y", "/sys/fs/cgroup/x/c1"),
    (None, "/x/y", "/sys/fs/cgroup/x/c1"),
    (None, "/", "/sys/fs/cgroup/c1"),
])
def test_relative_is_beside_the_runtime(given_path: str | None, own: str, expected: str) -> None:
    assert directory(given_path, own) == expected


# config-linux.md#cgroups-path: "If the value is specified, the runtime MUST consistently attach to the same place in
# the cgroups hierarchy given the same value of cgroupsPath."
@pytest.mark.spec("config-linux.md#cgroups-path", "the same path is the same place")
def test_the_same_value_is_the_same_place_whatever_the_container() -> None:
    host = Host(cgroup_own="/x")
    places = {path.directory(config("a/b"), Options(id=name), host) for name in ("c1", "c2", "c3")}
    assert len(places) == 1


# config-linux.md#cgroups-path: "Runtimes MAY consider certain cgroupsPath values to be invalid, and MUST generate an
# error if this is the case."
@pytest.mark.spec("config-linux.md#cgroups-path", "an invalid path is an error")
@pytest.mark.parametrize("given_path", ["/", ".", "..", "/..", "a/..", "./", "//"])
def test_a_path_to_nowhere_is_refused(given_path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        directory(given_path)
    assert caught.value.where == "linux.cgroupsPath"


def test_no_hierarchy_and_no_manager_are_no_path() -> None:
    assert directory("/a", cgroup_mount="") == ""
    assert path.directory(config("/a"), Options(id="c1", cgroup_manager="disabled"), Host()) == ""


@given(st.lists(st.sampled_from(["..", ".", "", "a", "b..", "...", "c d"]), max_size=12), st.booleans())
def test_nothing_escapes(parts: list[str], absolute: bool) -> None:
    cleaned = clean("/".join(["", *parts] if absolute else parts))
    assert not set(cleaned.split("/")) & {".", ".."}
    assert not cleaned.startswith("/") and "//" not in cleaned
    assert clean(cleaned) == cleaned


def test_a_mark_belongs_to_one_creation() -> None:
    first, second = Options(id="c1"), Options(id="c1")
    assert path.mark(first).startswith("c1:") and path.mark(first) != path.mark(second)
    assert path.mark(Options(id="c1", nonce="n")) == "c1:n"
