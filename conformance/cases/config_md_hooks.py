"""config.md: hooks, when each kind runs, where, with what on its standard input, and what a failing one does."""
from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ..harness.trial import Trial, namespace
from ..model import Fails, case, each

KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
CHAPTERS = {"prestart": "prestart", "createRuntime": "createruntime-hooks", "createContainer": "createcontainer-hooks",
            "startContainer": "startcontainer-hooks", "poststart": "poststart", "poststop": "poststop"}
#: The commands until which a hook of this kind must have run, and before which it must not.
DURING = {"prestart": "create", "createRuntime": "create", "createContainer": "create", "startContainer": "start",
          "poststart": "start", "poststop": "delete"}
ROWS = {
    "prestart": ("prestart", "prestart is part of create, before the root is switched"),
    "createRuntime": ("createRuntime", "createRuntime is part of create, before the root is switched"),
    "createContainer": ("createContainer", "createContainer is part of create, before the root is switched"),
    "startContainer": ("startContainer", "startContainer comes before the program"),
    "poststart": ("poststart", "poststart comes after the program has started, before start returns"),
    "poststop": ("poststop", "poststop comes when the container is deleted, before delete returns")}


def record(t: Trial) -> Path:
    """The file that hooks and the program of bundle-1 write to: they find it inside and outside of the container."""
    return t.place / "bundle-1/rootfs/record"


def note(t: Trial, kind: str, words: str = "") -> dict[str, Any]:
    """A hook that appends a line to the record."""
    file = "/record" if kind == "startContainer" else str(record(t))
    return t.hook(f"echo {words or kind} >> {file}")


def lines(t: Trial) -> list[str]:
    return record(t).read_text().split() if record(t).exists() else []


@each("config.md#posix-platform-hooks", {"all": (("hooks", "path"),)})
def when_each_kind_runs(t: Trial) -> None:
    """Hooks of every kind run once, in the order of the lifecycle, within their commands"""
    made = t.create(hooks={kind: [note(t, kind)] for kind in KINDS},
                    process={"args": ["sh", "-c", "echo program >> /record"]})
    t.equal(lines(t), ["prestart", "createRuntime", "createContainer"], "hooks until create returns")
    made.start()
    made.wait()
    seen = lines(t)
    t.equal(sorted(seen[3:]), ["poststart", "program", "startContainer"], "hooks until start returns")
    t.true(seen.index("startContainer") < seen.index("program"), "startContainer comes after the program")
    t.runtime.wait_for(made.id, "stopped")
    t.true("poststop" not in lines(t), "poststop comes before delete")
    made.delete()
    t.equal(lines(t)[6:], ["poststop"], "hooks until delete returns")



def hook_runs_in_its_command(t: Trial, kind: str) -> None:
    """A hook runs within its command, and not before it"""
    made = t.create(hooks={kind: [note(t, kind)]})
    t.equal(kind in lines(t), DURING[kind] == "create", f"whether {kind} ran when create returned")
    made.start()
    made.wait()
    t.equal(kind in lines(t), DURING[kind] != "delete", f"whether {kind} ran when start returned")
    t.runtime.wait_for(made.id, "stopped")
    made.delete()
    t.equal(lines(t), [kind], "hooks that ran")


def hooks_in_the_listed_order(t: Trial, kind: str) -> None:
    """Hooks are called in the listed order, and each gets its args and env"""
    hooks = [note(t, kind, word) for word in ("one", "two", "three")]
    file = "/record" if kind == "startContainer" else str(record(t))
    hooks.append({"path": "/bin/sh", "args": ["sh", "-c", f'cat > /dev/null; echo "$0-$1-$NAME" >> {file}', "x", "y"],
                  "env": ["PATH=/usr/bin:/bin", "NAME=value"]})
    made = t.create(hooks={kind: hooks}).start()
    made.wait()
    t.runtime.wait_for(made.id, "stopped")
    made.delete()
    t.equal(lines(t), ["one", "two", "three", "x-y-value"], f"{kind} hooks")


def state_on_standard_input(t: Trial, kind: str) -> None:
    """The state of the container is on the standard input of the hook"""
    file = "/record" if kind == "startContainer" else str(record(t))
    made = t.create(hooks={kind: [t.hook(f"cat > {file}", reads=True)]}, annotations={"key": "value"}).start()
    made.wait()
    t.runtime.wait_for(made.id, "stopped")
    made.delete()
    text = record(t).read_text() if record(t).exists() else ""
    try:
        state = json.loads(text)
    except ValueError as error:
        raise Fails(f"{kind}: standard input is no JSON: {text[:200]!r}") from error
    t.equal((state.get("id"), state.get("bundle"), state.get("annotations")),
            (made.id, str(t.place / "bundle-1"), {"key": "value"}), f"{kind}: id, bundle and annotations")
    t.true(isinstance(state.get("ociVersion"), str), f"{kind}: no ociVersion")
    # Runtimes differ in what they call a container whose creation goes on: creating or created.
    wanted = {"create": ("creating", "created"), "start": ("created", "running"), "delete": ("stopped",)}[DURING[kind]]
    t.true(state.get("status") in wanted, f"{kind}: status is {state.get('status')}, not one of {wanted}")
    if kind in ("prestart", "createRuntime", "poststart"):
        t.equal(state.get("pid"), made.pid, f"{kind}: pid")


def where_it_runs(t: Trial, kind: str) -> None:
    """A hook runs in its namespace, and its path counts there"""
    file = "/record" if kind == "startContainer" else str(record(t))
    hook = t.hook(f"for kind in uts net ipc pid mnt; do readlink /proc/self/ns/$kind; done > {file}")
    if kind == "startContainer":
        hook["path"] = "/hooks/only-here"
    else:
        outside = t.place / "only-there"
        outside.symlink_to("/bin/sh")
        hook["path"] = str(outside)
    bundle = t.bundle(hooks={kind: [hook]})
    (bundle / "rootfs/hooks").mkdir()
    (bundle / "rootfs/hooks/only-here").symlink_to("/bin/sh")
    made = t.create(bundle)
    of_the_container = {name: namespace(name, made.pid) for name in ("uts", "net", "ipc", "mnt")}
    made.start()
    made.wait()
    t.runtime.wait_for(made.id, "stopped")
    made.delete()
    told = lines(t)
    t.equal(len(told), 5, f"{kind}: namespaces that the hook has written down")
    seen = dict(zip(("uts", "net", "ipc", "pid", "mnt"), told, strict=True))
    inside = kind in ("createContainer", "startContainer")
    for name in ("uts", "net", "ipc", *(["mnt"] if inside else [])):
        wanted = of_the_container[name] if inside else namespace(name)
        t.equal(seen[name], wanted, f"{kind}: {name} namespace, {'the container' if inside else 'the runtime'}'s")


def failing_hook(t: Trial, kind: str) -> None:
    """A hook that fails: create or start is an error, the program does not go on, and poststop hooks run"""
    program = {"args": ["sh", "-c", "echo program >> /record; sleep 600"]}
    hooks: dict[str, Any] = {kind: [note(t, kind, "first"), t.hook("exit 3"), note(t, kind, "third")]}
    hooks["poststop"] = [note(t, "poststop")]
    bundle, id = t.bundle(hooks=hooks, process=program), t.new_id()
    if DURING[kind] == "create":
        t.error("create", "--bundle", bundle, id, what=f"create with a {kind} hook that fails")
        t.true(t.runtime("state", id).status, "there is a container after create has failed")
    else:
        made = t.create(bundle, id=id)
        t.error("start", id, what=f"start with a {kind} hook that fails")
        made.wait()
        if t.runtime("state", id).status == 0:
            t.runtime.wait_for(id, "stopped")
            t.runtime.ok("delete", id)
    seen = lines(t)
    t.true("first" in seen, "the hook before it did not run")
    t.true("third" not in seen, "the hook after it ran")
    if kind != "poststart":
        t.true("program" not in seen, "the program ran")
    # Step 12 of the lifecycle undoes create, and step 13 is next.
    t.equal(seen.count("poststop"), 1, "how often the poststop hook ran")


def failing_poststop(t: Trial) -> None:
    """A poststop hook that fails is a warning: the remaining hooks run, and the container is deleted"""
    made = t.create(hooks={"poststop": [t.hook("exit 3"), note(t, "poststop", "second")]}).start()
    made.wait()
    t.runtime.wait_for(made.id, "stopped")
    t.runtime("delete", made.id)
    t.equal(lines(t), ["second"], "hooks behind the one that fails")
    t.error("state", made.id, what="state after delete")


for _name in KINDS:
    _chapter = f"config.md#{CHAPTERS[_name]}"
    _inside = _name in ("createContainer", "startContainer")
    each(_chapter, {_name: (ROWS[_name], _name)})(hook_runs_in_its_command)
    each("config.md#posix-platform-hooks", {
        _name: (("hooks run in the listed order", "args", "env"), _name)})(hooks_in_the_listed_order)
    each("config.md#posix-platform-hooks", {
        _name: ("the state is on a hook's standard input", _name)})(state_on_standard_input)
    _place = "container" if _name == "startContainer" else "runtime"
    _where = "container" if _inside else "runtime"
    each(_chapter, {_name: ((f"the path is of the {_place} namespace", f"it runs in the {_where} namespace"),
                            _name)})(where_it_runs)
    if _name != "poststop":
        each("runtime.md#lifecycle", {
            _name: (f"{_name} hooks run, and one that fails ends the container", _name)})(failing_hook)
case("runtime.md#lifecycle", "poststop hooks run, and one that fails is a warning")(failing_poststop)


@case("config.md#prestart", "prestart comes before createRuntime",
      also={"config.md#createcontainer-hooks": ("createContainer comes after createRuntime",)})
def order_of_kinds(t: Trial) -> None:
    """prestart comes before createRuntime, and createContainer after it"""
    t.create(hooks={kind: [note(t, kind)] for kind in ("createContainer", "createRuntime", "prestart")})
    t.equal(lines(t), ["prestart", "createRuntime", "createContainer"], "order")


@each("config.md#posix-platform-hooks", {
    kind: ("the path of a hook is absolute", kind) for kind in KINDS})
def hook_with_a_relative_path(t: Trial, kind: str) -> None:
    """A hook whose path is relative is an error"""
    bundle = t.bundle(hooks={kind: [t.hook("true", path="here")]})
    # Wherever a runtime looks, the program is there and ends well: what is refused is the path.
    for folder in (t.place, bundle, bundle / "rootfs"):
        (folder / "here").symlink_to("/bin/sh")
    os.chdir(t.place)
    t.refused(bundle, at_start=DURING[kind] == "start")


@each("config.md#posix-platform-hooks", {
    str(seconds): (("a timeout is greater than zero", "timeout"), seconds) for seconds in (0, -1)})
def timeout_of_nothing(t: Trial, seconds: int) -> None:
    """A timeout that is not greater than zero is an error"""
    t.refused(hooks={"createRuntime": [{"path": "/bin/true", "timeout": seconds}]})


@case("config.md#posix-platform-hooks", "timeout")
def timeout(t: Trial) -> None:
    """A hook that takes longer than its timeout is ended, and that is a failure"""
    t.refused(hooks={"createRuntime": [t.hook("exec sleep 50", timeout=1)]})


@case("config.md#posix-platform-hooks", "env")
def hook_without_env(t: Trial) -> None:
    """A hook has the environment of its env, and no other word of config.json"""
    hook = t.hook(f"/usr/bin/env > {record(t)}", env=["PATH=/bin", "ONLY=this"])
    t.create(hooks={"createRuntime": [hook]}, process={"args": ["/bin/true"], "env": ["OF=process"]})
    seen = sorted(line for line in lines(t) if not line.startswith(("_=", "PWD=", "SHLVL=", "OLDPWD=")))
    t.equal(seen, ["ONLY=this", "PATH=/bin"], "environment")
