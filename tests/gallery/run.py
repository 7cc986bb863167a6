"""Runs one fault with a runtime, as root or as an ordinary user, and takes the line that it says."""
from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests import bundles, runtimes
from tests.container.rootless import User
from tests.runtimes import Runtime

from .fault import NESTED, USER, Fault, Line

RUNTIMES = ("runc", "crun", "pyrunc")
CHECK = "check"
SILENT = "(silent)"
_numbers = itertools.count()


def lines(fault: Fault, place: Path, wanted: tuple[str, ...] = (*RUNTIMES, CHECK)) -> dict[str, Line]:
    """Runtime, or CHECK -> what it said. place is an empty folder that any user may search."""
    return {name: (_as_user if fault.where in (USER, NESTED) else _as_root)(fault, place / name, name)
            for name in wanted}


def _as_root(fault: Fault, place: Path, name: str) -> Line:
    bundle = bundles.bundle(place / "bundle")
    id = f"g{os.getpid()}-{next(_numbers)}"
    changes = fault.changes
    try:
        if fault.prepare is not None and (more := fault.prepare(bundle)):
            changes = bundles.merge(changes, more)
        _write(fault, bundle, bundles.docker_like(**changes), id)
        runtime = Runtime(runtimes.find("pyrunc" if name == CHECK else name), place / "state")
        if name == CHECK:
            done = runtime("check", "--bundle", bundle)
            return Line(done.status, plain(findings(done.stdout), {str(bundle): "/bundle", id: "ID"}))
        log = place / "log"
        done = runtime("--log", log, "--log-format", "json", *fault.flags, "run", "--bundle", bundle, id)
        runtime("delete", "--force", id)
        return Line(done.status, plain(said(log, done.status, done.stderr), {
            str(bundle): "/bundle", id: "ID", str(place / "state"): "/run/state"}))
    finally:
        if fault.tidy is not None:
            fault.tidy(bundle)
        shutil.rmtree(place)


def _as_user(fault: Fault, place: Path, name: str) -> Line:
    place.mkdir()
    user = User(runtimes.find(), place)
    config = user.spec("true", **fault.changes)
    config["ociVersion"] = "1.0.2"
    (user.bundle / "config.json").write_text(json.dumps(config))
    if fault.where == NESTED:
        user.outside = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc/sys; exec "$@"', "sh")
    user.give(place)
    names = {str(user.bundle): "/bundle", str(user.runtime_dir): "/run/user/1000"}
    try:
        if name == CHECK:
            done = user.call("check", "--bundle", user.bundle)
            return Line(done.returncode, plain(findings(done.stdout), names))
        if name != "pyrunc":
            user.program = runtimes.find(name)
        log = user.runtime_dir / "log"
        flags = fault.flags if name == "pyrunc" else ("--cgroup-manager=disabled",) if name == "crun" else ()
        done = user.call("--log", log, "--log-format", "json", *flags, "run", "--bundle", user.bundle, "box")
        user.call("delete", "--force", "box")
        return Line(done.returncode, plain(said(log, done.returncode, done.stderr), names))
    finally:
        subprocess.run(["rm", "-rf", place], check=True)


def _write(fault: Fault, bundle: Path, config: bundles.Config, id: str) -> None:
    text = json.dumps(config, indent=2).replace("/ID", f"/{id}").replace(":ID", f":{id}")
    (bundle / "config.json").write_text(fault.text(text) if fault.text else text)


def said(log: Path, status: int, stderr: str) -> str:
    """The last error of a log; of a command that succeeded its warnings; else what went to standard error."""
    records = []
    for line in log.read_text(errors="replace").splitlines() if log.exists() else ():
        try:
            records.append(json.loads(line))
        except ValueError:
            records.append({"level": "error", "msg": line})
    of = {level: [record["msg"] for record in records if record.get("level", "error") == level]
          for level in ("error", "warning")}
    if of["error"]:
        return " | ".join(of["error"][-1].splitlines())
    if of["warning"]:
        return "warning: " + " | ".join(of["warning"])
    if not status or not stderr.strip():
        return SILENT
    try:
        told: str = json.loads(stderr)["msg"]              # crun's way, once the program is to be executed
        return told
    except ValueError:
        return " | ".join(stderr.strip().splitlines())


def findings(text: str) -> str:
    """Of `check`: what it found, most of it one line."""
    found = text.splitlines()[:-1]
    return " | ".join(found) or SILENT


def plain(text: str, names: Mapping[str, str]) -> str:
    """Without what is another in the next run: folders, ids, numbers of processes and descriptors."""
    for name, stands_for in sorted(names.items(), key=lambda pair: -len(pair[0])):
        text = text.replace(name, stands_for)
    text = re.sub(r"/proc/\d+/", "/proc/PID/", text)
    text = re.sub(r"newuidmap: newuidmap: [^)]*", "newuidmap: ...", text)
    text = re.sub(r"granted to [\w ]+ \(", "granted to USER (", text)
    text = re.sub(r"/fd/\d+", "/fd/N", text)
    return re.sub(r"(pid|process) \d{2,}", r"\1 PID", text)
