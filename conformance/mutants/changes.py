"""What a mutant changes: functions for the wrapper, made of paths and values."""
from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

from .wrapper import Config, bundle_of

KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
Change = Callable[[Config], object]


def place(config: Config, path: str) -> tuple[Any, str]:
    """The object that holds the last name of a dotted path, and that name. KeyError when it is not there."""
    *folders, name = path.split(".")
    found: Any = config
    for folder in folders:
        found = found[folder]
    return found, name


def drop(path: str) -> Change:
    """The property is as if it were not there."""
    def change(config: Config) -> None:
        holder, name = place(config, path)
        holder.pop(name, None)
    return change


def put(path: str, value: object) -> Change:
    """The property, where it is set, has another value."""
    def change(config: Config) -> None:
        holder, name = place(config, path)
        if name in holder:
            holder[name] = value
    return change


def force(path: str, value: object) -> Change:
    """The property has this value, set or not."""
    def change(config: Config) -> None:
        holder, name = place(config, path)
        holder[name] = value
    return change


def of(path: str, change: Callable[[Any], object]) -> Change:
    """Call this with the value of the property; what it returns, unless None, is the new value."""
    def changed(config: Config) -> None:
        holder, name = place(config, path)
        value = change(holder[name])
        if value is not None:
            holder[name] = value
    return changed


def entries(path: str, change: Callable[[Any], object]) -> Change:
    """Call this with each entry of a list."""
    return of(path, lambda found: [change(entry) for entry in found] and None)


def mount_options(change: Callable[[list[str]], list[str]]) -> Change:
    """Of every mount that the cases add: those behind /proc, /dev and /dev/pts."""
    def changed(config: Config) -> None:
        for entry in config["mounts"][3:]:
            entry["options"] = change(entry.get("options", []))
    return changed


def without(option: str) -> Change:
    return mount_options(lambda options: [word for word in options if word != option])


def unmapped(entry: Config) -> None:
    """A mount is an ordinary one."""
    for kind in ("uidMappings", "gidMappings"):
        entry.pop(kind, None)
    entry["options"] = [word for word in entry["options"] if word != "idmap"]


def hooks(kind: str, change: Callable[[list[Config]], list[Config]]) -> Change:
    def changed(config: Config) -> None:
        config["hooks"][kind] = change(config["hooks"][kind])
    return changed


def wrapped(start: str, end: str = "") -> Callable[[list[Config]], list[Config]]:
    """Each hook is called by a shell, as its words: start "$@" end."""
    def change(found: list[Config]) -> list[Config]:
        return [{**hook, "path": "/bin/sh", "args": [
            "sh", "-c", f'path=$1; shift 2; {start} "$path" "$@" {end}', "sh", hook["path"], *hook.get("args", ["x"])]}
            for hook in found]
    return change


def namespace(kind: str, change: Callable[[list[Config], Config], object]) -> Change:
    """Call this with the list of namespaces and the entry of a kind."""
    def changed(config: Config) -> None:
        found = config["linux"]["namespaces"]
        change(found, next(entry for entry in found if entry["type"] == kind))
    return changed


def in_root(script: str) -> Change:
    """A createContainer hook more, which does something in the root, as the container will see it."""
    def changed(config: Config) -> None:
        root = os.path.abspath(config["root"]["path"])
        config.setdefault("hooks", {}).setdefault("createContainer", []).append(
            {"path": "/bin/sh", "args": ["sh", "-c", f"cat > /dev/null; cd $ROOT && {script}"],
             "env": [f"ROOT={root}", "PATH=/usr/bin:/bin:/usr/sbin:/sbin"]})
    return changed


def dropped(name: str) -> Change:
    return lambda found: found.pop(name, None)


def updated(values: Config) -> Change:
    return lambda found: found.update(values)


def capability(name: str) -> Change:
    return of("process.capabilities", lambda found: found.pop(name, None) and None)


def starts(command: str, real: list[str], words: list[str]) -> None:
    """The program runs at create."""
    if command == "create":
        subprocess.run([*real, "start", words[-1]], check=False)


def deletes_more(command: str, real: list[str], words: list[str]) -> None:
    if command == "create":
        with open(os.path.join(bundle_of(words), "config.json")) as file:
            for line in file:
                if '"source": "/tmp' in line:
                    for name in os.listdir(line.split('"')[3]):
                        os.unlink(os.path.join(line.split('"')[3], name))


def signal_to(number: str) -> Callable[[str, list[str]], list[str]]:
    return lambda command, words: [*words[:1], number] if command == "kill" and len(words) > 1 else words


def forced(command: str, words: list[str]) -> list[str]:
    return ["--force", *words] if command == "delete" else words


def state(change: Callable[[Config], object]) -> Callable[[str, Config], object]:
    return lambda command, found: change(found) if command == "state" else None


def hooks_of_now(kind: str, when: str) -> Callable[[str, list[str], list[str]], object]:
    """Before a command, the hooks of a kind are called that the bundle's config.json has by now."""
    def before(command: str, real: list[str], words: list[str]) -> None:
        if command == when:
            done = subprocess.run([*real, "state", words[-1]], stdout=subprocess.PIPE, check=False)
            bundle = json.loads(done.stdout)["bundle"] if done.returncode == 0 else "/none"
            try:
                with open(os.path.join(bundle, "config.json")) as file:
                    found = json.load(file)["hooks"][kind]
            except (OSError, ValueError, KeyError):
                return
            for hook in found:
                subprocess.run([hook["path"], *hook["args"][1:]], stdin=subprocess.DEVNULL, check=False)
    return before


def path_in_root(kind: str) -> Change:
    """The path of a hook counts from the container's root."""
    def changed(config: Config) -> None:
        root = os.path.abspath(config["root"]["path"])
        for hook in config["hooks"][kind]:
            hook["path"] = root + hook["path"]
    return changed


def config_from(name: str) -> Callable[[str, list[str], list[str]], object]:
    """Of a create: config.json is what there is elsewhere; name: a place from the bundle, or a folder."""
    def before(command: str, real: list[str], words: list[str]) -> None:
        if command == "create":
            found = os.path.join(bundle_of(words), name)
            found = os.path.join(found, "config.json") if os.path.isdir(found) else found
            if os.path.exists(found):
                shutil.copy(found, os.path.join(bundle_of(words), "config.json"))
    return before


def decoded(encoding: str) -> Callable[[str, list[str], list[str]], object]:
    """Of a create: config.json is read in this encoding, a name that stands twice counts once, and what cannot be read
    is left out."""
    def before(command: str, real: list[str], words: list[str]) -> None:
        if command == "create":
            file = os.path.join(bundle_of(words), "config.json")
            with open(file, encoding=encoding, errors="ignore") as opened:
                found = json.load(opened)
            with open(file, "w") as written:
                json.dump(found, written)
    return before


def in_runtime(kind: str) -> Change:
    """A hook of the container runs in the runtime's namespaces, on the same files of the container."""
    def changed(config: Config) -> None:
        root = os.path.abspath(config["root"]["path"])
        for hook in config["hooks"].pop(kind):
            args = [word.replace(" /record", f" {root}/record") for word in hook["args"]]
            config["hooks"].setdefault("createRuntime", []).append({**hook, "path": "/bin/sh", "args": args})
    return changed


def _device(*words: str) -> None:
    subprocess.run(["ip", *words], check=False, stderr=subprocess.DEVNULL)


def address_flushed(command: str, real: list[str], words: list[str]) -> None:
    if command == "create":
        _device("address", "flush", "dev", "mine0")


def link_changed(command: str, real: list[str], words: list[str]) -> None:
    if command == "create":
        _device("link", "set", "mine0", "mtu", "1400")


def device_again(command: str, real: list[str], words: list[str]) -> None:
    """After delete there is a device of the name in the runtime's namespace."""
    if command == "delete":
        for kind in ("dummy", "ifb"):
            _device("link", "add", "mine0", "type", kind)


def features(change: Callable[[Config], object]) -> Callable[[str, Config], object]:
    return lambda command, found: change(found) if command == "features" else None


def leaves_a_folder(command: str, real: list[str], words: list[str]) -> None:
    """A create that fails leaves something of the container in the state root."""
    if command == "create":
        os.makedirs(os.path.join(real[real.index("--root") + 1], words[-1]), exist_ok=True)


def later(kind: str, to: str) -> Change:
    """Hooks of one kind are called with those of another one."""
    def changed(config: Config) -> None:
        found = config["hooks"].pop(kind)
        config["hooks"].setdefault(to, []).extend(found)
    return changed
