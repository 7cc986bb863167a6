"""The command line as an ordinary user, uid and gid 1000, calls it: own folders, own state root, no privilege."""
from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import IO, Any

from tests import bundles, runtimes
from tests.bundles import Config
from tests.runtimes import Runtime

UID = 1000


class User:
    """A user's folder with a bundle and a runtime directory. Calls return the finished process.

    environment   what calls get besides PATH, HOME and XDG_RUNTIME_DIR, or instead
    outside       a program of root's that runs each call, which is to be made elsewhere: nsenter
    """

    def __init__(self, program: str, place: Path) -> None:
        self.program, self.bundle, self.runtime_dir = runtimes.for_anyone(program), place / "bundle", place / "run"
        self.environment: dict[str, str] = {}
        self.outside: tuple[str, ...] = ()
        self.runtime_dir.mkdir()
        bundles.busybox_root(self.bundle / "rootfs")
        self.give(place)

    @staticmethod
    def give(place: Path) -> None:
        subprocess.run(["chown", "-R", f"{UID}:{UID}", place], check=True)

    def call(self, *argv: str | Path, within: tuple[str, ...] = (), groups: tuple[int, ...] = (),
             cgroup: Path | None = None, output: IO[str] | int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
        """Run the runtime in the bundle: by a program that is given its command line, with groups, from a cgroup."""
        env = {"PATH": os.environ["PATH"], "HOME": "/", "XDG_RUNTIME_DIR": str(self.runtime_dir),
               **{name: os.environ[name] for name in ("PYRUNC_REPORTS",) if name in os.environ}, **self.environment}
        enter = f"cd {self.bundle}; " + (f"echo $$ >{cgroup}/cgroup.procs; " if cgroup else "")
        listed = ",".join(map(str, groups))
        become = f"exec setpriv --reuid {UID} --regid {UID} " + (f"--groups {listed}" if groups else "--clear-groups")
        whole = (*self.outside, "sh", "-c", f'{enter}{become} "$@"', "sh", *within, self.program, *map(str, argv))
        return subprocess.run(whole, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output, text=True,
                              timeout=60, check=False)

    def ok(self, *argv: str | Path, **options: Any) -> str:
        done = self.call(*argv, **options)
        assert done.returncode == 0, f"{argv}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout or ""

    def refused(self, *argv: str | Path, **options: Any) -> str:
        """One line of error, and only that."""
        done = self.call(*argv, **options)
        assert done.returncode not in (0, None), done.stdout
        assert done.stderr.count("\n") == 1 and "level=error" in done.stderr, done.stderr
        return done.stderr

    def detached(self, *argv: str | Path, cgroup: Path | None = None) -> None:
        """A command whose container outlives it: it must not hold a pipe of ours."""
        with (self.bundle.parent / "out").open("w+") as out:
            done = self.call(*argv, output=out, cgroup=cgroup)
            out.seek(0)
            assert done.returncode == 0, out.read()

    def spec(self, script: str, **changes: Any) -> Config:
        """What `spec --rootless` writes, with a script for the process and changes as in bundles.merge."""
        file = self.bundle / "config.json"
        file.unlink(missing_ok=True)
        self.ok("spec", "--rootless")
        config = json.loads(file.read_text())
        config["process"].update(terminal=False, args=["sh", "-c", script])
        config["root"]["readonly"] = False
        config = bundles.merge(config, changes)
        file.write_text(json.dumps(config))
        return config

    def taken_over(self, id: str) -> Path:
        """A state root of root's with a copy of the container's state: root takes the user's word for it, this once."""
        root = self.bundle.parent / "of-root"
        shutil.copytree(self.runtime_dir / "pyrunc" / id, root / id)
        root.chmod(0o700)
        return root


class Users(Runtime):
    """Called by an ordinary user, for root of whom the state root is."""
    def __init__(self, of: Runtime, place: Path) -> None:
        super().__init__(runtimes.for_anyone(of.path), place / "users-state")
        os.chown(self.root, UID, UID)

    def argv(self, *args: str | Path) -> list[str]:
        return ["/usr/bin/setpriv", "--reuid", str(UID), "--regid", str(UID), "--clear-groups", *super().argv(*args)]
