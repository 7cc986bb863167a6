"""explain: the plan of any command, by the command's own flags; and its numbers are those that the command stops at."""
from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pyrunc.cli.main import main
from pyrunc.engine.step import Plan
from tests import bundles
from tests.bundles import docker_like

from ..state.made import World


def explained(capfd: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    capfd.readouterr()
    assert main(list(words)) == 0
    steps: list[dict[str, Any]] = json.loads(capfd.readouterr().out)["steps"]
    return steps


def printed(capfd: pytest.CaptureFixture[str], *words: str | Path) -> str:
    capfd.readouterr()
    assert main([str(word) for word in words]) == 0
    return capfd.readouterr().out


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return bundles.bundle(tmp_path / "bundle", docker_like(process={"args": ["true"]}))


@pytest.mark.parametrize("words", [(), ("--pid-file", "/p"), ("--pidfd-socket", "/s"), ("--no-new-keyring",),
                                   ("--no-pivot",), ("--preserve-fds", "0"), ("NOTIFY_SOCKET=/n",),
                                   ("--pid-file", "/p", "--pidfd-socket", "/s", "NOTIFY_SOCKET=/n")])
@pytest.mark.parametrize("command", ["create", "run"])
def test_its_numbers_are_the_commands(command: str, words: tuple[str, ...], bundle: Path, tmp_path: Path,
                                      capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What changes a plan besides config.json: the caller's notify socket, the pidfd socket, the pid file."""
    flags = [word for word in words if "=" not in word]
    for name, _, value in (word.partition("=") for word in words if "=" in word):
        monkeypatch.setenv(name, value)
        monkeypatch.setitem(os.environb, name.encode(), value.encode())
        import posix
        monkeypatch.setitem(posix.environ, name.encode(), value.encode())
    ran: list[Plan] = []

    def execute(plan: Plan, *_: object) -> None:
        ran.append(plan)
        raise KeyboardInterrupt

    monkeypatch.setattr("pyrunc.runtime.create.execute", execute)
    root = ["--root", str(tmp_path / "root")]
    terminal = [] if command == "create" else ["--detach"]
    main([*root, command, *terminal, *flags, "--bundle", str(bundle), "ID"])
    [plan] = ran
    for asked in ([command, *terminal, *flags, "--bundle", str(bundle), "--format", "json", "ID"],
                  *([[*flags, "--bundle", str(bundle), "--format", "json", "ID"]] if command == "create" else [])):
        found = explained(capfd, *root, "explain", *asked)
        assert [(step["index"], step["id"]) for step in found if step["command"] == "create"] == list(
            enumerate(plan.ids))


def test_the_plans_of_a_containers_commands(made: World, capfd: pytest.CaptureFixture[str]) -> None:
    made.created("c", hooks={"poststart": [{"path": "/bin/true"}], "poststop": [{"path": "/bin/true"}]})
    root = ["--root", str(made.root)]
    for words, ids in ((["start", "c"], ["start.release", "start.unlock", "hooks.poststart"]),
                       (["kill", "c", "KILL"], ["kill.send"]), (["pause", "c"], ["pause.freeze"]),
                       (["resume", "c"], ["resume.thaw"]), (["update", "--pids-limit", "7", "c"],
                                                            ["update.open", "update.limit"]),
                       (["delete", "--force", "c"], ["delete.kill", "hooks.poststop", "delete.forget"])):
        command, *rest = words
        assert [step["id"] for step in explained(capfd, *root, "explain", command, "--format", "json", *rest)] == ids
    assert [process.poll() for process in made.processes] == [None]         # and nothing has been done


def test_exec_by_its_own_flags(made: World, capfd: pytest.CaptureFixture[str]) -> None:
    directory = made.running("c")
    (directory / "config.json").write_text(json.dumps(docker_like(process={"args": ["true"]})))
    words = ["explain", "exec", "--format", "json", "-t", "-d", "c", "ls", "-t"]
    found = explained(capfd, "--root", str(made.root), *words)
    assert [step["what"] for step in found if step["id"] == "process.exec"] == ["execute ls -t"]
    assert "terminal.open" in [step["id"] for step in found]


@pytest.mark.parametrize(("words", "why"), [
    (["explain", "list"], "list has no plan"), (["explain", "start", "none"], "container does not exist"),
    (["explain", "start"], "requires exactly 1 argument"),
    (["explain", "kill", "--nonesuch"], "not defined: -nonesuch"),
    (["explain", "create", "--format", "xml", "c"], "for flag -format: one of text, json, lines")])
def test_what_cannot_be_explained(words: list[str], why: str, tmp_path: Path,
                                  capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "root").mkdir(0o700)
    assert main(["--root", str(tmp_path / "root"), *words]) == 1
    assert why in capfd.readouterr().err


# ---- what is shown, and of what --------------------------------------------------------------------------------------
def test_the_head_says_for_whom_and_where(bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    first, second, third, empty, *steps = printed(capfd, "explain", "--no-check", "-b", bundle, "c1").splitlines()
    assert first == f"create c1: {len(steps)} steps"
    rootless = "" if os.geteuid() == 0 else "rootless"
    assert second.startswith("for ") and rootless in second and os.uname().nodename in second
    assert f"Linux {os.uname().release}" in second
    assert (third, empty) == (f"bundle {bundle}", "")


@pytest.mark.parametrize(("words", "steps"), [
    (["mounts"], {"mounts"}), (["mounts[3]"], {"mounts"}), (["root.switch"], {"root"}), (["linux.namespaces"], None),
    (["devices", "root.switch"], {"devices", "root"}), (["devices.node#3"], {"devices"}), (["0"], {"state"})])
def test_a_selection(words: list[str], steps: set[str] | None, bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    every = explained(capfd, "explain", "-f", "json", "--no-check", "-b", str(bundle))
    few = explained(capfd, "explain", "-f", "json", "--no-check", "-b", str(bundle), *words)
    assert 0 < len(few) < len(every) and all(step in every for step in few)
    if steps:
        assert {step["step"].partition(".")[0] for step in few} == steps
    else:
        assert all(step["where"].startswith("linux.namespaces") for step in few)
    assert few == explained(capfd, "explain", *(word for chosen in words for word in ("--select", chosen)),
                            "create", "-f", "json", "--no-check", "-b", str(bundle))


def test_a_word_that_is_no_step(bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Alone it is the container's id, as in create's own command line; with a doubt if it is nearly a step."""
    assert "create demo: " in (plain := printed(capfd, "explain", "-b", bundle, "demo")) and "did you mean" not in plain
    assert "no step is named mouts (did you mean mounts?)" in printed(capfd, "explain", "-b", bundle, "mouts")
    assert main(["explain", "-b", str(bundle), "--select", "mouts"]) == 1
    assert "create has no step mouts; did you mean mounts?" in capfd.readouterr().err


def test_no_line_is_wider_than_the_terminal(bundle: Path, capfd: pytest.CaptureFixture[str],
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    import posix
    for columns in (60, 80, 120, 200):
        monkeypatch.setitem(posix.environ, b"COLUMNS", b"%d" % columns)
        head, _, table = printed(capfd, "explain", "-b", bundle).partition("\n\n")
        assert head.startswith("create: ") and max(map(len, table.splitlines())) <= columns
        assert ("config.md#mounts" in table) is (columns == 200)
    monkeypatch.delitem(posix.environ, b"COLUMNS")
    assert "…" not in printed(capfd, "explain", "-b", bundle)


def test_lines_are_the_same_whatever_stands_before(bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    lines = printed(capfd, "explain", "-f", "lines", "-b", bundle).splitlines()
    assert "child\tmounts.proc\tmounts[0]\tmount proc on /proc: nosuid,noexec,nodev" in lines
    assert all(line.count("\t") == 3 for line in lines)


def test_what_check_finds_stands_below_its_step(bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = json.loads((bundle / "config.json").read_text())
    config["mounts"].append({"destination": "/data", "type": "bind", "source": "/no/such", "options": ["bind"]})
    config["nosuch"] = 1
    bundles.write(bundle, config)
    index = len(config["mounts"]) - 1
    lines = printed(capfd, "explain", "-b", bundle).splitlines()
    place = next(number for number, line in enumerate(lines) if "! error" in line)
    assert f"mounts[{index}]" in lines[place - 1] and f"mounts[{index}]" in lines[place] and "/no/such" in lines[place]
    assert "1 error and " in lines[0] and lines[0].endswith("(see !)")
    assert "nosuch" in lines[-1]                                  # it belongs to no step
    chosen = printed(capfd, "explain", "-b", bundle, "mounts.proc").splitlines()
    assert "error" not in chosen[0] and "1 warning (see !)" in chosen[0], "the head counts what is to be seen below it"
    assert not any("!" in line for line in printed(capfd, "explain", "--no-check", "-b", bundle).splitlines()[:1])
    found = json.loads(printed(capfd, "explain", "-f", "json", "-b", bundle))["findings"]
    assert {"error", "warning"} == {finding["level"] for finding in found}


def test_run_is_three_plans(bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for words, commands in (([], ["create", "start", "delete"]), (["--keep"], ["create", "start"]),
                            (["--detach"], ["create", "start"])):
        found = explained(capfd, "explain", "run", "-f", "json", "--no-check", *words, "-b", str(bundle), "c1")
        assert list(dict.fromkeys(step["command"] for step in found)) == commands
    assert [step["id"] for step in found if step["command"] == "start"] == ["start.release"]


# ---- another user, another host, another bundle --------------------------------------------------------------------
def rootless(bundle: Path) -> None:
    config = json.loads((bundle / "config.json").read_text())
    config["linux"]["namespaces"].append({"type": "user"})
    config["linux"].update({kind: [{"containerID": 0, "hostID": 1234, "size": 1}]
                            for kind in ("uidMappings", "gidMappings")})
    config["process"]["user"].pop("additionalGids", None)
    config["linux"].pop("resources", None)
    bundles.write(bundle, config)


def test_for_another_user(bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A laptop's user reads the plan of the node's root, and root that of a user."""
    rootless(bundle)
    roots = printed(capfd, "explain", "--no-check", "--as", "root", "-b", bundle)
    users = printed(capfd, "explain", "--no-check", "--as", "1234", "-b", bundle)
    assert "\nfor root, on " in roots and "state in /run/pyrunc\n" in roots
    assert "\nfor uid 1234: rootless, on " in users and "state in /run/user/1234/pyrunc\n" in users
    assert "\nnetwork" not in roots and roots.splitlines()[4:] != users.splitlines()[4:]


def test_the_difference_is_only_what_differs(bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other"
    config = json.loads((bundle / "config.json").read_text())
    config["mounts"].insert(1, {"destination": "/scratch", "type": "tmpfs", "source": "tmpfs"})
    config["hostname"] = "elsewhere"
    bundles.bundle(other, config)
    text = printed(capfd, "explain", "--diff", other, "-b", bundle)
    changes = [line for line in text.splitlines()[3:] if line[:2] in ("- ", "+ ")]
    assert any(line.startswith("+ ") and "mount tmpfs on /scratch" in line for line in changes)
    assert any(line.startswith("- ") and "set hostname box" in line for line in changes)
    assert not any("mount proc" in line or "rootfs" in line or "state.reserve" in line for line in changes)
    same = printed(capfd, "explain", "--diff", bundle, "-b", bundle)
    assert "no difference in " in same
    one = json.loads(printed(capfd, "explain", "-f", "json", "--diff", other, "--select", "uts", "-b", bundle))
    assert [step["what"] for step in one["onlyFirst"]] == ["set hostname box"]
    assert [step["what"] for step in one["onlySecond"]] == ["set hostname elsewhere"] and one["same"] == 0


def test_the_difference_between_users(bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rootless(bundle)
    text = printed(capfd, "explain", "--as", "root", "--diff", "1234", "-b", bundle)
    first, second = text.splitlines()[:2]
    assert first.startswith("- create: ") and "for root, on" in first
    assert second.startswith("+ create: ") and "for uid 1234: rootless, on" in second
    assert "+ child" in text and " steps are the same\n" in text


def test_on_the_host_that_doctor_has_seen(bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    main(["doctor", "--format", "json"])
    document = json.loads(capfd.readouterr().out)
    here = tmp_path / "here.json"
    here.write_text(json.dumps(document))
    assert "no difference in " in printed(capfd, "explain", "--diff", here, "-b", bundle)
    document["facts"].update(name="node7", release="6.1.0", controllers=["cpu"])
    document["facts"]["host"].update(cgroup_mount="/cg2", euid=0, egid=0, in_userns=False, cgroup_hybrid=False)
    there = tmp_path / "there.json"
    there.write_text(json.dumps(document))
    config = json.loads((bundle / "config.json").read_text())
    config["linux"]["resources"] = {"pids": {"limit": 7}}
    config["mounts"].append({"destination": "/data", "type": "bind", "source": "/only/there", "options": ["bind"]})
    bundles.write(bundle, config)
    text = printed(capfd, "explain", "--host", there, "-b", bundle)
    assert f"for root, on node7 (Linux 6.1.0, cgroup v2 at /cg2), by {there}, state in " in text
    assert "make cgroup /cg2/" in text
    assert "controller pids is not available in the cgroup v2 hierarchy at /cg2" in text
    assert "/only/there: no such" not in text              # that is for the other host to say


@pytest.mark.parametrize(("change", "why"), [
    ({"facts": None}, "holds no facts"), ({"facts": {"host": {}}}, "facts.host.euid: it is missing"),
    ({"host": {"euid": True}}, "facts.host.euid: not of type int"), ({"name": 7}, "facts.name: not a string"),
    ({"controllers": [1]}, "facts.controllers: not a list of names")])
def test_facts_that_are_none(change: dict[str, Any], why: str, bundle: Path, tmp_path: Path,
                             capfd: pytest.CaptureFixture[str]) -> None:
    from pyrunc.checks.doctor.survey import Facts
    from pyrunc.planview.view import plain
    document: dict[str, Any] = {"facts": plain(Facts())}
    if "facts" in change:
        document = change
    else:
        document["facts"].update({name: {**document["facts"]["host"], **value} if name == "host" else value
                                  for name, value in change.items()})
    file = tmp_path / "facts.json"
    file.write_text(json.dumps(document))
    assert main(["explain", "--host", str(file), "-b", str(bundle)]) == 1
    assert why in capfd.readouterr().err


# ---- the filter ----------------------------------------------------------------------------------------------------
def test_what_the_filter_answers(bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = json.loads((bundle / "config.json").read_text())
    config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["chmod"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}]}
    bundles.write(bundle, config)
    text = printed(capfd, "explain", "--syscall", "chmod", "-b", bundle)
    assert text.splitlines()[:2] == ["chmod: refused with errno 13 (permission denied)",
                                     "  decided by linux.seccomp.syscalls[0]"]
    assert "chmod" in printed(capfd, "explain", "--bundle", bundle, "--syscall", "chmod", "0", "0x1ff").splitlines()[0]
    found = json.loads(printed(capfd, "explain", "-f", "json", "--syscall", "read", "-b", bundle))
    assert (found["answer"], found["decidedBy"]) == ("SCMP_ACT_ALLOW", "linux.seccomp.defaultAction")
    for word, why in (("nosuch", "does not know the system call nosuch"),):
        assert main(["explain", "--syscall", word, "-b", str(bundle)]) == 1 and why in capfd.readouterr().err


def test_without_a_filter(bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = json.loads((bundle / "config.json").read_text())
    config["linux"].pop("seccomp", None)
    bundles.write(bundle, config)
    assert "no filter" in printed(capfd, "explain", "--syscall", "read", "-b", bundle)
