"""What a few tests need and do not bring along. It is the same for every runtime, and changes no check.

The suite's executables are run as they are: only what they find around them is made good.
"""
from __future__ import annotations

import shlex
import shutil
import subprocess
import tarfile
from pathlib import Path

#: Test -> what is wrong with its bundle. runtimetest is put into it.
WITHOUT_PROGRAM = {"misc_props": "its bundle lacks /runtimetest, the program that its config.json names"}
#: Test -> the AppArmor profile that it takes for granted. Loaded where AppArmor is, unless this machine is to stay as
#: it is.
PROFILES = {"linux_process_apparmor_profile": "acme_secure_profile"}
LOADED = Path("/sys/kernel/security/apparmor/profiles")
RULES = "profile {name} flags=(attach_disconnected) {{\n  file,\n  capability,\n  mount,\n  signal,\n  ptrace,\n}}\n"

OLDER = """\
#!/bin/sh
# Stands in for a runtime that knows no newer specification than {version}: bundles claim to follow that one.
if [ "$1" = create ]; then
    for word; do
        [ "$before" = --bundle ] && sed -i 's/"ociVersion": *"1\\.[^"]*"/"ociVersion":"{version}"/' "$word/config.json"
        before=$word
    done
fi
exec {runtime} "$@"
"""


def folder_of(test: str, suite: Path, place: Path) -> Path:
    """The directory to run a test in: the suite's own, or one in `place` whose root file system has runtimetest."""
    if test not in WITHOUT_PROGRAM:
        return suite
    made = place / "with-program"
    if not made.exists():
        made.mkdir()
        (made / "runtimetest").symlink_to(suite / "runtimetest")
        for archive in suite.glob("rootfs-*.tar.gz"):
            with tarfile.open(archive) as old, tarfile.open(made / archive.name, "w:gz", compresslevel=1) as new:
                for member in old:
                    new.addfile(member, old.extractfile(member) if member.isreg() else None)
                new.add(suite / "runtimetest", "runtimetest")
    return made


def load_profile(test: str) -> None:
    """Load the AppArmor profile a test needs, unless one of that name is loaded, or AppArmor is not here."""
    name, parser = PROFILES.get(test), shutil.which("apparmor_parser")
    if name is None or parser is None or not LOADED.exists() or f"{name} (" in LOADED.read_text():
        return
    subprocess.run([parser, "--replace", "--skip-cache"], input=RULES.format(name=name), text=True, check=True)


def older(runtime: Path, version: str, place: Path) -> Path:
    """A program in `place` that is the runtime, but hands it bundles of an older version of the specification."""
    program = place / runtime.name
    program.parent.mkdir(exist_ok=True)
    program.write_text(OLDER.format(version=version, runtime=shlex.quote(str(runtime))))
    program.chmod(0o755)
    return program
