"""runtime.md: the state, the operations and their errors."""
from __future__ import annotations

import os
import shlex
import subprocess
import time

import jsonschema

from ..harness import bundles, patience
from ..harness.runtime import reap
from ..harness.trial import Trial, namespace, status
from ..model import Deviates, Fails, NotOffered, case, each

STATE = {
    "type": "object",
    "required": ["ociVersion", "id", "status", "bundle"],
    "properties": {
        "ociVersion": {"type": "string"}, "id": {"type": "string"}, "bundle": {"type": "string"},
        "status": {"type": "string"}, "pid": {"type": "integer", "minimum": 0},
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}}}}
NO_ID = "no-such-container"


@case("runtime.md#state", "ociVersion", "id", "status", "pid", "bundle", "annotations",
      "the state is what its schema says",
      also={"runtime.md#query-state": ("state says the container's state",)})
def state_is_what_its_schema_says(t: Trial) -> None:
    """The state of a created container has every property, and is what its schema says"""
    bundle = t.bundle(annotations={"org.example.key": "a value", "other": ""})
    made = t.create(bundle)
    state = t.runtime.state(made.id)
    try:
        jsonschema.validate(state, STATE)
    except jsonschema.ValidationError as error:
        raise Fails(f"{error.json_path}: {error.message}") from error
    t.equal(state["id"], made.id, "id")
    t.equal(state["status"], "created", "status")
    t.equal(state["pid"], made.pid, "pid")
    t.equal(state["bundle"], str(bundle), "bundle")
    t.equal(state.get("annotations"), {"org.example.key": "a value", "other": ""}, "annotations")
    t.true(state["ociVersion"][:2] == "1.", f"ociVersion is {state['ociVersion']!r}")


@case("runtime.md#state", "bundle")
def bundle_is_absolute(t: Trial) -> None:
    """A bundle that was given as a relative path is absolute in the state"""
    bundle = t.bundle()
    id = t.new_id()
    t.runtime.ok("create", "--bundle", bundle.name, id, cwd=bundle.parent)
    t.equal(t.runtime.state(id)["bundle"], str(bundle), "bundle")


@case("runtime.md#state", "status", "additional states are new ones")
def statuses_in_turn(t: Trial) -> None:
    """A container is created, then running, then stopped; no word of the runtime's own stands for one of these"""
    made = t.create(process={"args": ["sh", "-c", "until test -e /go; do sleep 0.02; done"]})
    t.equal(t.runtime.state(made.id)["status"], "created", "after create")
    made.start()
    t.equal(t.runtime.state(made.id)["status"], "running", "after start")
    (t.place / "bundle-1/rootfs/go").touch()
    made.wait()
    t.runtime.wait_for(made.id, "stopped")


@case("runtime.md#state", "an id is unique",
      also={"runtime.md#create": ("an id that is taken or invalid is an error",)})
def id_that_is_taken(t: Trial) -> None:
    """create of an id that is taken is an error, and the container of that id stays as it is"""
    made = t.create()
    t.error("create", "--bundle", t.bundle(), made.id, what="create of an id that is taken")
    state = t.runtime.state(made.id)
    t.equal((state["status"], state["pid"]), ("created", made.pid), "the first container")
    made.start()
    t.equal(made.wait(), 0, "exit code of the first container")


@each("runtime.md#create", {
    "slash": ("an id that is taken or invalid is an error", "a/b"),
    "dots": ("an id that is taken or invalid is an error", ".."),
    "empty": ("an id that is taken or invalid is an error", "")})
def id_that_is_invalid(t: Trial, id: str) -> None:
    """create with an id that cannot be one is an error, and nothing is made"""
    t.error("create", "--bundle", t.bundle(), id, what=f"create with the id {id!r}")
    made = sorted(path.name for path in t.runtime.root.iterdir()) if t.runtime.root.exists() else []
    t.equal(made, [], "in the state root")


@case("runtime.md#query-state", "state needs an id", "state of no container is an error")
def state_without_a_container(t: Trial) -> None:
    """state without an id, or with one that no container has, is an error"""
    t.all([lambda: void(t.error("state")), lambda: void(t.error("state", NO_ID))])


def void(_: object) -> None:
    """For checks that have a result."""


@case("runtime.md#create", "create needs an id and a bundle")
def create_without_its_arguments(t: Trial) -> None:
    """create without an id, or with a bundle that is not there, is an error"""
    t.all([lambda: void(t.error("create", "--bundle", t.bundle())),
           lambda: void(t.error("create", "--bundle", t.place / "nowhere", t.new_id()))])


@case("runtime.md#create", "create makes a container", "every property but process is applied",
      "args wait for start",
      also={"runtime.md#lifecycle": ("create does not run the program", "create makes what config.json asks for"),
            "runtime.md#start": ("start runs the configured program",)})
def create_prepares_and_start_runs(t: Trial) -> None:
    """create makes namespaces, mounts and hostname; the program runs at start, and not before"""
    bundle = t.bundle(hostname="prepared", mounts=[*bundles.MOUNTS, bundles.tmpfs("/mnt", "size=64k")],
                      process={"args": ["sh", "-c", "echo ran > /ran"]})
    made = t.create(bundle)
    time.sleep(patience.stretched(0.3))
    ran = bundle / "rootfs/ran"
    t.true(not ran.exists(), "the program runs at create")
    for kind in ("pid", "mnt", "uts", "ipc", "net"):
        t.true(namespace(kind, made.pid) != namespace(kind), f"{kind} namespace is the runtime's after create")
    with open(f"/proc/{made.pid}/mountinfo") as file:
        t.true(any(line.split()[4].endswith("/mnt") for line in file), "/mnt is not mounted after create")
    made.start()
    t.equal(made.wait(), 0, "exit code")
    t.true(ran.exists(), "the program did not run at start")


@case("runtime.md#lifecycle", "later changes of config.json do nothing", "start runs the program")
def config_changes_after_create(t: Trial) -> None:
    """config.json is read at create; what is written into it later has no effect, on hooks neither"""
    def hooks(word: str) -> bundles.Config:
        return {kind: [t.hook(f"echo {word} >> {t.place / kind}")] for kind in ("poststart", "poststop")}
    bundle = t.bundle(process={"args": ["sh", "-c", "echo first $VALUE"], "env": [bundles.PATH, "VALUE=one"]},
                      hooks=hooks("first"))
    made = t.create(bundle)
    bundles.write(bundle, t.config(process={"args": ["sh", "-c", "echo second"]}, hooks=hooks("second")))
    made.start()
    made.wait()
    t.equal(made.output.strip(), "first one", "what the program prints")
    t.runtime.wait_for(made.id, "stopped")
    made.delete()
    for kind in ("poststart", "poststop"):
        ran = (t.place / kind).read_text() if (t.place / kind).exists() else ""
        t.equal(ran, "first\n", f"what {kind} hooks write")


@case("runtime.md#create", "what cannot be applied is an error",
      also={"runtime.md#lifecycle": ("what cannot be made is an error",),
            "runtime.md#errors": ("an error leaves everything as it was",)})
def what_cannot_be_mounted(t: Trial) -> None:
    """A mount whose source is not there: create is an error, and no container, process or cgroup is left"""
    t.refused(mounts=[*bundles.MOUNTS, bundles.bind("/no/such/source", "/mnt")])
    left = sorted(path.name for path in t.runtime.root.iterdir()) if t.runtime.root.exists() else []
    t.equal([name for name in left if name.startswith(t.id)], [], "in the state root")


@case("runtime.md#start", "start needs an id")
def start_without_an_id(t: Trial) -> None:
    """start without an id, or with one that no container has, is an error"""
    t.all([lambda: void(t.error("start")), lambda: void(t.error("start", NO_ID))])


@case("runtime.md#start", "only a created container starts")
def start_of_a_running_container(t: Trial) -> None:
    """start of a running container is an error, and it goes on"""
    made = t.running()
    t.error("start", made.id, what="start of a running container")
    t.equal(t.runtime.state(made.id)["status"], "running", "status afterwards")


@case("runtime.md#start", "only a created container starts")
def start_of_a_stopped_container(t: Trial) -> None:
    """start of a stopped container is an error, and it stays stopped"""
    made = t.ended()
    t.error("start", made.id, what="start of a stopped container")
    t.equal(t.runtime.state(made.id)["status"], "stopped", "status afterwards")


@case("runtime.md#start", "start without a process is an error",
      also={"config.md#process": ("start needs a process", "process")})
def start_without_a_process(t: Trial) -> None:
    """Without process, create makes the container, and start is an error"""
    id = t.new_id()
    created = t.runtime("create", "--bundle", t.bundle(process=None), id)
    if created.status:
        raise Fails(f"create wants a process: {created.said}")
    t.error("start", id, what="start without a process")


@case("runtime.md#kill", "kill needs an id")
def kill_without_an_id(t: Trial) -> None:
    """kill without an id, or with one that no container has, is an error"""
    t.all([lambda: void(t.error("kill")), lambda: void(t.error("kill", NO_ID, "TERM"))])


@each("runtime.md#kill", {name: ("the signal arrives", name) for name in ("TERM", "USR1", "15", "SIGHUP")})
def kill_sends(t: Trial, signal: str) -> None:
    """kill sends the signal that it is told to a running container"""
    number = {"TERM": 15, "USR1": 10, "15": 15, "SIGHUP": 1}[signal]
    script = "; ".join(f"trap 'exit {100 + n}' {n}" for n in (1, 2, 10, 12, 15))
    made = t.create(process={"args": ["sh", "-c", f"{script}; echo ready; while :; do sleep 0.05; done"]}).start()
    t.true(patience.until(lambda: "ready" in made.output, 20), "the program does not come to its loop")
    t.runtime.ok("kill", made.id, signal)
    t.equal(made.wait(), 100 + number, f"exit code, 100 and the number of the signal that came after {signal}")


@case("runtime.md#kill", "the signal arrives")
def kill_of_a_created_container(t: Trial) -> None:
    """kill ends a container that was not started yet"""
    made = t.create()
    t.runtime.ok("kill", made.id, "KILL")
    t.equal(made.wait(), 137, "exit code")
    t.runtime.wait_for(made.id, "stopped")


@case("runtime.md#kill", "only a created or running container gets a signal")
def kill_of_a_stopped_container(t: Trial) -> None:
    """kill of a stopped container is an error"""
    made = t.ended()
    t.error("kill", made.id, "KILL", what="kill of a stopped container")
    t.equal(t.runtime.state(made.id)["status"], "stopped", "status afterwards")


@case("runtime.md#delete", "delete needs an id")
def delete_without_an_id(t: Trial) -> None:
    """delete without an id, or with one that no container has, is an error"""
    t.all([lambda: void(t.error("delete")), lambda: void(t.error("delete", NO_ID))])


@case("runtime.md#delete", "only a stopped container is deleted")
def delete_of_a_running_container(t: Trial) -> None:
    """delete of a running container is an error, and it goes on"""
    made = t.running()
    t.error("delete", made.id, what="delete of a running container")
    t.equal(t.runtime.state(made.id)["status"], "running", "status afterwards")
    t.true(status(made.pid)["State"][0] != "Z", "its process has ended")


@case("runtime.md#delete", "only a stopped container is deleted")
def delete_of_a_created_container(t: Trial) -> None:
    """delete of a container that was not started is an error, and has no effect"""
    made = t.create()
    done = t.runtime("delete", made.id)
    if done.status:
        t.equal(t.runtime.state(made.id)["status"], "created", "status afterwards")
        t.equal(made.start().wait(), 0, "exit code of the program, which is started afterwards")
        return
    t.error("state", made.id, what="state after delete")
    t.equal(made.wait(), 137, "exit code of the process that waited for start")
    t.equal([path.name for path in t.runtime.root.iterdir() if path.name == made.id], [], "in the state root")
    raise Deviates("delete kills and deletes it; containerd's shim needs that, as it deletes what it never started "
                   "without --force")


@case("runtime.md#delete", "delete deletes what create made",
      also={"runtime.md#lifecycle": ("delete undoes what create made",)})
def delete_takes_everything_away(t: Trial) -> None:
    """After delete there is no state, and the id can be taken again"""
    made = t.ended()
    made.delete()
    t.error("state", made.id, what="state after delete")
    t.equal([path.name for path in t.runtime.root.iterdir() if path.name == made.id], [], "in the state root")
    again = t.create(id=made.id).start()
    t.equal(again.wait(), 0, "exit code of another container with the same id")


@case("runtime.md#delete", "delete leaves what create did not make")
def delete_leaves_the_rest(t: Trial) -> None:
    """delete leaves the bundle, the sources of bind mounts, and a namespace that the container joined"""
    source = t.place / "source"
    source.mkdir()
    (source / "kept").write_text("kept")
    other = t.running()
    bundle = t.bundle(mounts=[*bundles.MOUNTS, bundles.bind(source, "/mnt", "rw")], process={"args": ["touch", "/new"]},
                      linux={"namespaces": [*bundles.namespaces("pid", "mount", "uts"),
                                            {"type": "ipc", "path": f"/proc/{other.pid}/ns/ipc"}]})
    made = t.create(bundle).start()
    made.wait()
    made.delete()
    t.equal([path.name for path in source.iterdir()], ["kept"], "files of a bind mount")
    t.true((bundle / "rootfs/new").exists() and (bundle / "config.json").exists(), "the bundle is gone")
    t.equal(t.runtime.state(other.id)["status"], "running", "the container whose namespace was joined")


@case("runtime.md#scope-of-a-container", "who creates a container can do all operations on it",
      also={"runtime.md#operations": ("all operations are there",)})
def all_operations(t: Trial) -> None:
    """create, state, start, kill and delete can all be done with one container"""
    made = t.running()
    t.runtime.state(made.id)
    t.runtime.ok("kill", made.id, "KILL")
    made.wait()
    t.runtime.wait_for(made.id, "stopped")
    made.delete()


@case("runtime.md#warnings", "a warning changes nothing")
def a_warning_changes_nothing(t: Trial) -> None:
    """A capability that no kernel has is at most a warning: the container runs"""
    sets = {name: ["CAP_KILL", "CAP_OF_A_LATER_KERNEL"] for name in ("bounding", "effective", "permitted")}
    said = t.inside("sed -n 's/^CapEff:.//p' /proc/self/status", process={"capabilities": sets})
    t.equal(int(said, 16), 1 << 5, "effective capabilities")


@case("runtime-linux.md#file-descriptors", "only the standard streams are kept open")
def open_descriptors(t: Trial) -> None:
    """A descriptor of whoever calls create is not open in the container"""
    fd = os.open(t.decoy(), os.O_RDONLY)
    os.set_inheritable(fd, True)
    # The shell has closed its own of the folder when it looks whether a name is there.
    script = "for fd in /proc/1/fd/*; do test -e $fd && echo ${fd##*/}; done; true"
    made = t.create(pass_fds=[fd], process={"args": ["sh", "-c", script]}).start()
    made.wait()
    # 10 and up is a shell's own.
    t.equal([word for word in made.output.split() if int(word) < 10], ["0", "1", "2"], "descriptors of the program")


@case("runtime-linux.md#file-descriptors", "descriptors for socket activation are passed on")
def descriptors_for_socket_activation(t: Trial) -> None:
    """With LISTEN_FDS, the descriptors from 3 on are the program's"""
    file, out, pid = t.place / "passed", t.place / "printed", t.place / "pid"
    file.write_text("passed on\n")
    script = "test -e /proc/self/fd/3 && cat <&3"
    bundle, id = t.bundle(process={"args": ["sh", "-c", script]}), t.new_id()
    t.runtime.root.mkdir(mode=0o700)
    # As systemd calls a service: LISTEN_PID is its own.
    call = f'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@" 3<{shlex.quote(str(file))}'
    with out.open("wb") as printed:
        done = subprocess.run(["sh", "-c", call, "sh", *t.runtime.argv(
            "create", "--bundle", bundle, "--pid-file", pid, id)], check=False, stdout=printed,
            stderr=printed, stdin=subprocess.DEVNULL, timeout=patience.stretched(30))
    t.true(done.returncode == 0, f"create ends with {done.returncode}: {out.read_text()[-300:]}")
    t.runtime.ok("start", id)
    reap(int(pid.read_text()))
    if not out.read_text():
        raise NotOffered("no descriptor is passed on with LISTEN_FDS")
    t.equal(out.read_text(), "passed on\n", "what descriptor 3 has")


@each("runtime-linux.md#dev-symbolic-links", {
    "fd": ("/dev/fd", "/proc/self/fd"), "stdin": ("/dev/stdin", "/proc/self/fd/0"),
    "stdout": ("/dev/stdout", "/proc/self/fd/1"), "stderr": ("/dev/stderr", "/proc/self/fd/2")})
def links_in_dev(t: Trial, target: str) -> None:
    """/dev/fd, /dev/stdin, /dev/stdout and /dev/stderr are links to what is in /proc"""
    name = {"fd": "fd", "0": "stdin", "1": "stdout", "2": "stderr"}[target.rpartition("/")[2]]
    t.equal(t.inside(f"readlink /dev/{name}"), target, f"/dev/{name}")
