"""`pyrunc check`: every problem of a bundle, with its path, its chapter and what was probably meant."""
from __future__ import annotations

import json
import os
import pathlib
import socket
import subprocess
import sys
from typing import Any

import pytest

from pyrunc.checks.faultless import Sound, steps
from pyrunc.checks.findings import ERROR, WARNING, Finding, examine
from pyrunc.checks.in_root import Hidden, find, find_program
from pyrunc.config.where import at
from pyrunc.host import Host
from tests import runtimes
from tests.bundles import bundle, docker_like, merge, minimal, namespaces
from tests.config.sample import EVERYTHING, paths

HERE = Host(capabilities=0, cgroup_mount="/nowhere")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A bundle whose root file system is shared by all tests here, which write their own config.json."""
    return bundle(tmp_path_factory.mktemp("bundle"))


def look(root: pathlib.Path, config: dict[str, Any] | bytes, host: Host = HERE) -> list[Finding]:
    (root / "config.json").write_bytes(config if isinstance(config, bytes) else json.dumps(config).encode())
    return examine(str(root), host=host)


def only(found: list[Finding]) -> Finding:
    assert len(found) == 1, found
    return found[0]


def plain(**changes: Any) -> dict[str, Any]:
    """A config that nothing is to be said of."""
    return merge(minimal(process={"args": ["/bin/true"]}), changes)


def test_nothing_to_say_of_a_sound_bundle(root: pathlib.Path) -> None:
    assert look(root, plain()) == []
    assert look(root, docker_like(linux={"resources": None})) == []


def test_every_problem_is_listed_errors_first(root: pathlib.Path) -> None:
    found = look(root, plain(process={"cwd": "x", "user": {"uid": -1}}, rootfsPropogation="slave",
                             linux={"namespaces": namespaces("pid", "utz")}))
    assert [(finding.level, finding.where, finding.spec) for finding in found] == [
        (ERROR, "process.cwd", "config.md#process"),
        (ERROR, "process.user.uid", "config.md#posix-platform-user"),
        (ERROR, "linux.namespaces[1].type", "config-linux.md#namespaces"),
        (WARNING, "rootfsPropogation", "config.md"),
    ]
    assert found[2].hint == 'did you mean "uts"?'


def test_mistakes_in_the_document_hide_none_that_this_machine_shows(root: pathlib.Path) -> None:
    bound = {"destination": "/x", "source": "/not/there", "options": ["rbind"]}
    found = look(root, plain(
        process={"args": ["/bin/nonesuch"], "rlimits": [{"type": "RLIMIT_X", "soft": 1, "hard": 1}]},
        mounts=[{"type": "proc"}, *minimal()["mounts"], {"destination": ""}, bound],
        linux={"namespaces": [*namespaces("pid", "mount", "uts", "utz"), {"type": "ipc", "path": "/no/where"}],
               "intelRdt": {}}))
    assert {finding.where for finding in found} == {
        "process.rlimits[0].type", "mounts[0].destination", "mounts[2].destination",
        "linux.namespaces[3].type", "process.args[0]", "mounts[3].source", "linux.namespaces[4].path", "linux.intelRdt"}
    found = look(root, plain(ociVersion="x", process={"cwd": "x", "user": {"gid": None}, "args": ["/bin/nonesuch"]}))
    assert {finding.where for finding in found} == {"ociVersion", "process.cwd", "process.user.gid", "process.args[0]"}
    assert [finding.where for finding in look(root, plain(process={"args": None}))] == ["process.args"]


@pytest.mark.parametrize(("places", "left"), [
    (["a[0]", "a[2].b"], {"a": [1, {"c": 3}, 4]}), (["a[1]", "a[1]", "a[1].x"], {"a": [0, {"b": 2, "c": 3}, 4]}),
    (["a[2].missing"], {"a": [0, 1, 4]}), (["d.e"], None), ([""], None)])
def test_what_is_left_without_its_faults(places: list[str], left: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyrunc.config.check.problems", lambda config: [])
    config: Any = {"a": [0, 1, {"b": 2, "c": 3}, 4]}
    rest = Sound(config, places)
    assert rest.config == left
    if left is not None:
        assert rest.origin(f"a[{len(left['a']) - 1}]") == "a[3]"


def test_a_text_that_is_no_json(root: pathlib.Path) -> None:
    finding = only(look(root, b'{"ociVersion": "1.0.0",\n"root": }'))
    assert (finding.level, finding.where) == (ERROR, "root") and "line 2, column 9" in finding.what
    missing = only(examine("/nonexistent"))
    assert missing.what == "JSON specification file config.json not found in /nonexistent"


# config.md#extensibility: "Runtimes MAY log unknown properties but MUST otherwise ignore them."
@pytest.mark.spec("config.md#extensibility", "unknown properties are ignored")
@pytest.mark.parametrize(("change", "where", "hint"), [
    ({"linux": {"rootfsPropogation": "slave"}}, "linux.rootfsPropogation", "rootfsPropagation"),
    ({"linux": {"maskPaths": []}}, "linux.maskPaths", "maskedPaths"),
    ({"process": {"noNewPriviledges": True}}, "process.noNewPriviledges", "noNewPrivileges"),
    ({"linux": {"resources": {"memory": {"limits": 5}}}}, "linux.resources.memory.limits", "limit"),
    ({"process": {"capabilities": {"ambient": ["CAP_NET_ADMN"]}}}, "process.capabilities.ambient[0]", "CAP_NET_ADMIN"),
])
def test_a_misspelt_name_is_a_warning_with_a_near_miss(root: pathlib.Path, change: dict[str, Any], where: str,
                                                       hint: str) -> None:
    finding = only(look(root, plain(**change)))
    assert (finding.level, finding.where, finding.hint) == (WARNING, where, f'did you mean "{hint}"?')


@pytest.mark.parametrize(("mount", "where", "hint"), [
    ({"destination": "/tmp", "type": "tmpfs", "source": "t", "options": ["nosuid", "sise=64k"]}, "options[1]",
     'did you mean "size"?'),
    ({"destination": "/tmp", "type": "tmpfs", "source": "t", "options": ["nosiud"]}, "options[0]",
     'did you mean "nosuid"?'),
    ({"destination": "/tmp", "type": "none", "source": "/tmp", "options": ["bind", "mode=755"]}, "options[1]", ""),
])
def test_an_unknown_mount_option(root: pathlib.Path, mount: dict[str, Any], where: str, hint: str) -> None:
    found = look(root, plain(mounts=[mount]))
    warned = only([finding for finding in found if finding.level == WARNING])
    assert warned.where == f"mounts[0].{where}" and "unknown option" in warned.what
    assert warned.hint == hint


def test_the_root(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(root / "rootfs")
    for path, what in (("absent", "no such file or directory"), ("file", "not a directory"), ("link", "a symlink")):
        found = [f for f in look(root, plain(root={"path": str(tmp_path / path)})) if f.where == "root.path"]
        assert found and what in found[0].what


def test_sources_of_bind_mounts(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")

    def bind(source: str, destination: str) -> list[Finding]:
        return look(root, plain(mounts=[{"destination": destination, "source": source, "options": ["rbind"]}]))

    assert bind(str(tmp_path), "/mnt") == [] and bind(str(tmp_path / "file"), "/etc/passwd") == []
    assert bind("rootfs/etc", "/new") == []
    assert "no such file or directory" in only(bind(f"{tmp_path}/absent", "/mnt")).what
    for source, destination, what in (
            (tmp_path, "/etc/passwd", 'is a directory, but "/etc/passwd" in the root is a file'),
            (tmp_path / "file", "/etc", 'is a file, but "/etc" in the root is a directory')):
        finding = only(bind(str(source), destination))
        assert finding.where == "mounts[0].source" and what in finding.what and "not a directory" in finding.what


def test_file_systems_and_destinations(root: pathlib.Path) -> None:
    found = look(root, plain(mounts=[{"destination": "tmp", "type": "nosuchfs", "source": "x"}]))
    warned = {finding.where: finding.what for finding in found}
    assert "deprecated" in warned["mounts[0].destination"]
    assert "not in /proc/filesystems" in warned["mounts[0].type"]


def test_the_program(root: pathlib.Path) -> None:
    def program(*args: str, **more: Any) -> list[Finding]:
        return look(root, plain(process={"args": list(args), **more}))

    assert program("sh", env=["PATH=/bin"]) == [] and program("sh") == [] and program("bin/true", cwd="/") == []
    assert "executable file not found in $PATH" in only(program("sh", env=["PATH=/etc:/var"])).what
    assert "executable file not found in $PATH" in only(program("no-such-program")).what
    assert only(program("/no/such")).what == 'exec: "/no/such": stat /no/such: no such file or directory'
    useless = 'no user may execute "/etc/passwd"'
    for args, what, hint in ((["/etc/passwd"], "permission denied", useless),
                             (["/etc"], "is a directory", '"/etc" is a directory'),
                             (["etc/passwd"], "permission denied", useless)):
        found = only(program(*args))
        assert (found.where, found.what, found.hint) == ("process.args[0]", f'exec: "{args[0]}": {what}', hint)
    found = only(program("passwd", env=["PATH=/bin:/etc"]))
    assert found.what == 'exec: "passwd": executable file not found in $PATH' and useless in found.hint
    mounted = plain(process={"args": ["/usr/bin/anything"]}, mounts=[
        {"destination": "/usr", "source": "/usr", "type": "bind", "options": ["bind"]}])
    assert look(root, mounted) == []


@pytest.mark.parametrize("program", ["/no/such", "/etc/passwd", "/etc", "passwd", "/bin/loop", "/bin/sh/below",
                                     "/bin/loop/below"])
def test_what_is_said_of_the_program_is_what_create_says(private_world: None, root: pathlib.Path,
                                                         tmp_path: pathlib.Path, program: str,
                                                         request: pytest.FixtureRequest) -> None:
    """check and create use the same words, so that a search for the one finds the other."""
    loop = root / "rootfs/bin/loop"
    loop.symlink_to("loop")
    request.addfinalizer(loop.unlink)
    found = only(look(root, plain(process={"args": [program], "env": ["PATH=/bin:/etc"]})))
    done = subprocess.run([runtimes.find(), "--root", tmp_path / "state", "create", "-b", root, "x"], check=False,
                          capture_output=True, text=True)
    assert done.returncode == 1 and found.what.replace('"', '\\"') in done.stderr


def test_a_right_value_in_a_wrong_place_is_not_its_own_near_miss(root: pathlib.Path) -> None:
    """Of a value that the schema knows, something else is wrong."""
    for changes, where in (
            ({"linux": {"namespaces": namespaces("pid", "mount", "pid")}}, "linux.namespaces[2].type"),
            ({"process": {"rlimits": [{"type": "RLIMIT_CORE", "soft": 1, "hard": 1}] * 2}}, "process.rlimits[1].type"),
            ({"linux": {"seccomp": {"defaultAction": "SCMP_ACT_NOTIFY"}}}, "linux.seccomp.defaultAction")):
        found = only(look(root, plain(**changes)))
        assert (found.where, found.level, found.hint) == (where, ERROR, "")


def test_limits_of_cgroup_v1(root: pathlib.Path) -> None:
    """Each that create would refuse, not the first one only."""
    memory = {"kernel": 1 << 20, "kernelTCP": 1 << 20, "swappiness": 60, "disableOOMKiller": True,
              "useHierarchy": False}
    block = {"leafWeight": 100, "weightDevice": [{"major": 8, "minor": 0, "leafWeight": 100}]}
    network = {"classID": 1, "priorities": [{"name": "lo", "priority": 1}]}
    resources = {"memory": memory, "blockIO": block, "network": network,
                 "cpu": {"realtimeRuntime": 1000, "realtimePeriod": 5000}}
    found = look(root, plain(linux={"resources": resources}))
    assert {finding.where for finding in found if finding.what.startswith("cgroup v2 ")} == {
        f"linux.resources.{name}" for name in (
            *(f"memory.{key}" for key in memory), "blockIO.leafWeight", "blockIO.weightDevice[0].leafWeight",
            "network.classID", "network.priorities", "cpu.realtimeRuntime", "cpu.realtimePeriod")}
    assert {finding.level for finding in found} == {ERROR}


def test_devices_whose_place_is_taken(tmp_path: pathlib.Path) -> None:
    root = bundle(tmp_path / "bundle")
    os.mkfifo(root / "rootfs/fifo")
    null: dict[str, Any] = {"type": "c", "major": 1, "minor": 3}
    sound = [{"type": "p", "path": "/fifo"}, {**null, "path": "/not/there"}]
    assert look(root, plain(linux={"devices": sound})) == []
    taken = [{**null, "path": "/etc/passwd"}, {"type": "p", "path": "/etc"}, {**null, "path": "/fifo"}]
    found = look(root, plain(linux={"devices": [*sound, *taken]}))
    assert [(finding.level, finding.where) for finding in found] == [
        (ERROR, f"linux.devices[{index}].path") for index in (2, 3, 4)]


@pytest.mark.parametrize(("changes", "where"), [
    ({"linux": {"memoryPolicy": {"mode": "MPOL_BIND", "nodes": "1000-1001"}}}, "linux.memoryPolicy.nodes"),
    ({"linux": {"memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0,1001"}}}, ""),
    ({"process": {"execCPUAffinity": {"initial": "0", "final": "8000"}}}, "process.execCPUAffinity.final")])
def test_nodes_and_cpus(changes: dict[str, Any], where: str, root: pathlib.Path) -> None:
    assert [finding.where for finding in look(root, plain(**changes))] == ([where] if where else [])


def test_a_config_without_a_process(root: pathlib.Path) -> None:
    finding = only(look(root, plain(process=None)))
    assert (finding.level, finding.where) == (WARNING, "process")


def test_hooks_that_cannot_be_run(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "plain").write_text("#!/bin/sh\n")
    hooks = {"prestart": [{"path": "/bin/true"}, {"path": f"{tmp_path}/absent"}],
             "poststop": [{"path": f"{tmp_path}/plain"}],
             "createRuntime": [{"path": str(tmp_path)}, {"path": "/bin/true", "env": ["V=" + "x" * 200000]}],
             "startContainer": [{"path": "/only/in/the/container"}]}
    found = {finding.where: finding.what for finding in look(root, plain(hooks=hooks))}
    assert found.keys() == {"hooks.prestart[1].path", "hooks.poststop[0].path", "hooks.createRuntime[0].path",
                            "hooks.createRuntime[1].env[0]"}
    assert "argument list too long" in found["hooks.createRuntime[1].env[0]"]
    assert "no such file or directory" in found["hooks.prestart[1].path"]
    assert "permission denied" in found["hooks.poststop[0].path"]


# config-linux.md#namespaces: "The runtime MUST generate an error if path is not associated with a namespace of type
# type."
@pytest.mark.spec("config-linux.md#namespaces", "path")
def test_namespace_files(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    def joined(path: str) -> list[Finding]:
        return [finding for finding in look(root, plain(linux={"namespaces": [{"type": "uts", "path": path}]}))
                if finding.where == "linux.namespaces[0].path"]

    (tmp_path / "file").write_text("")
    assert joined("/proc/self/ns/uts") == []
    assert "another type" in only(joined("/proc/self/ns/ipc")).what
    assert "it is not a namespace" in only(joined(f"{tmp_path}/file")).what
    assert "no such file or directory" in only(joined(f"{tmp_path}/absent")).what


def test_security_modules(root: pathlib.Path) -> None:
    config = plain(process={"apparmorProfile": "profile", "selinuxLabel": "a:b:c"})
    found = {finding.where for finding in look(root, config) if finding.level == ERROR}
    assert found >= {"process.apparmorProfile", "process.selinuxLabel"}


def test_limits_without_their_controllers(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory\n")
    config = plain(linux={"resources": {"memory": {"limit": 1 << 30}, "pids": {"limit": 5},
                                        "unified": {"misc.max": "a 1"}}})
    found = [finding for finding in look(root, config, Host(cgroup_mount=str(tmp_path))) if finding.level == ERROR]
    assert [finding.where for finding in found] == ["linux.resources.pids.limit", 'linux.resources.unified["misc.max"]']
    assert "controller pids is not available" in found[0].what


def test_what_this_machine_does_not_have(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu cpuset hugetlb\n")
    config = plain(linux={
        "namespaces": namespaces("mount", "network"), "netDevices": {"absent0": {}}, "sysctl": {"net.no_such": "1"},
        "intelRdt": {"closID": "x"},
        "resources": {"cpu": {"cpus": "8191"}, "hugepageLimits": [{"pageSize": "3KB", "limit": 0}]}})
    found = {finding.where: finding.level for finding in look(root, config, Host(cgroup_mount=str(tmp_path)))}
    expected = {"linux.netDevices.absent0": ERROR, 'linux.sysctl["net.no_such"]': WARNING, "linux.intelRdt": ERROR,
                "linux.resources.cpu.cpus": ERROR, "linux.resources.hugepageLimits[0].pageSize": ERROR}
    assert expected.items() <= found.items()


def test_limits_that_this_process_may_not_raise(root: pathlib.Path) -> None:
    config = plain(process={"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 1 << 40}]})
    assert only(look(root, config, Host(capabilities=0))).where == "process.rlimits[0].hard"
    assert look(root, config, Host()) == []


def test_ids_that_a_user_may_not_map(root: pathlib.Path) -> None:
    user = 65534
    config = plain(linux={"namespaces": namespaces("user", "mount"),
                          "uidMappings": [{"containerID": 0, "hostID": user, "size": 1},
                                          {"containerID": 1, "hostID": 0, "size": 2}],
                          "gidMappings": [{"containerID": 0, "hostID": user, "size": 1}]})
    found = [finding for finding in look(root, config, Host(euid=user, egid=user, in_userns=False))
             if finding.where.startswith("linux.uid")]
    finding = only(found)
    assert finding.where == "linux.uidMappings[1].hostID" and "/etc/subuid" in finding.hint


def test_the_listener_of_seccomp(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "agent"
    seccomp = {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": str(path),
               "syscalls": [{"names": ["mount", "no_such_call"], "action": "SCMP_ACT_NOTIFY"}]}
    found = {finding.where: finding.what for finding in look(root, plain(linux={"seccomp": seccomp}))}
    assert "is not a socket" in found["linux.seccomp.listenerPath"]
    assert any("no_such_call" in what for what in found.values())
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(path))
        assert not any(f.where.endswith("listenerPath") for f in look(root, plain(linux={"seccomp": seccomp})))


def test_what_only_the_planner_sees(root: pathlib.Path) -> None:
    holes = [{"allow": True, "type": "c", "major": 1, "access": "rwm"},
             {"allow": False, "type": "c", "major": 1, "minor": 3, "access": "rwm"}]
    found = look(root, plain(linux={"resources": {"devices": holes}}))
    assert any(finding.level == ERROR and finding.where.startswith("linux.resources.devices") for finding in found)


def test_json_paths_are_taken_apart_again() -> None:
    for path in paths(EVERYTHING):
        where = ""
        for key in path:
            where = at(where, key)
        assert steps(where) == path
    assert steps('a["\\u00e9\\"]x"][3].b') == ("a", 'é"]x', 3, "b")


def test_looking_things_up_in_the_root(tmp_path: pathlib.Path) -> None:
    root = tmp_path / "root"
    (root / "usr/bin").mkdir(parents=True)
    (root / "bin").symlink_to("usr/bin")
    (root / "up").symlink_to("../../../../usr")
    (root / "abs").symlink_to("/usr/bin")
    (root / "loop").symlink_to("loop")
    (root / "usr/bin/x").write_text("")
    expected = str(root / "usr/bin/x")
    for path in ("/usr/bin/x", "/bin/x", "/up/bin/x", "/abs/x", "/../../bin/./x", "bin//x"):
        assert find(str(root), path) == expected
    for path in ("/loop", "/bin/y", "/up/y"):
        assert find(str(root), path) is None
    with pytest.raises(Hidden):
        find(str(root), "/bin/x", {"/usr"})
    assert find_program(str(root), "x", "/nowhere:/bin", ()) == (None, [expected])         # not executable
    os.chmod(expected, 0o755)
    assert find_program(str(root), "x", "/nowhere:/bin", ()) == (expected, [])


# ---- the command --------------------------------------------------------------------------------------------
def run(*words: str, cwd: pathlib.Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "pyrunc", "check", *words], capture_output=True, text=True, cwd=cwd,
                          env={**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[2])})


def test_the_command_says_it_in_text_and_json(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    look(root, plain(process={"cwd": "x"}, linux={"maskPaths": []}))
    result = run("--bundle", str(root), cwd=tmp_path)
    assert result.returncode == 1 and result.stderr == ""
    assert result.stdout.splitlines() == [
        'error: process.cwd: Cwd must be an absolute path: "x" (config.md#process)',
        'warning: linux.maskPaths: unknown property, ignored (config-linux.md); did you mean "maskedPaths"?',
        "1 error and 1 warning"]
    as_json = json.loads(run("-b", str(root), "--format=json", cwd=tmp_path).stdout)
    assert as_json[1] == {"level": "warning", "where": "linux.maskPaths", "what": "unknown property, ignored",
                          "hint": 'did you mean "maskedPaths"?', "spec": "config-linux.md"}


def test_warnings_alone_are_no_failure(root: pathlib.Path) -> None:
    look(root, plain(linux={"maskPaths": []}))
    result = run(cwd=root)
    assert result.returncode == 0 and result.stdout.endswith("1 warning\n")
    (root / "other.json").write_text(json.dumps(plain()))
    result = run("--config", "other.json", cwd=root)
    assert (result.returncode, result.stdout) == (0, "nothing to complain about\n")
