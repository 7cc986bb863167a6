"""Builds the native modules (libseccomp's by cffi, API mode) and the launcher, which pip puts into bin/ as `pyrunc`.

All else that setuptools wants to know is in pyproject.toml. A checkout is built by `make build`.
"""
from __future__ import annotations

import runpy
import shutil
from pathlib import Path

from setuptools import Extension, find_packages, setup  # first: from Python 3.12 on, it is what provides distutils

from distutils.command.build_scripts import build_scripts  # isort: skip

NATIVE = Path("pyrunc/_native")
BUILD = runpy.run_path(str(NATIVE / "build.py"))


class BuildLauncher(build_scripts):
    """The launcher takes the place of the scripts: it is one, in machine code, by two names."""

    def run(self) -> None:
        launcher = runpy.run_path("pyrunc/_native/build_launcher.py")
        work = Path(self.get_finalized_command("build").build_temp, "launcher")
        program = Path(self.build_dir, "pyrunc")
        kind = launcher["build"](program, work)
        shutil.copy2(program, program.with_name("containerd-shim-pyrunc-v2"))      # wheels have no links
        print(f"launcher: {kind} (start: {launcher['start_of'](kind)})")

    def get_source_files(self) -> list[str]:
        return []       # MANIFEST.in has them


setup(
    packages=find_packages(include=["pyrunc", "pyrunc.*"]),
    package_data={"pyrunc": ["py.typed"], "pyrunc.config": ["schemas/*.json"], "pyrunc.serve": ["*.html"]},
    ext_modules=[BUILD["extension"](Path("build/bound"), NATIVE),
                 Extension("pyrunc.formats._jsontext", [str(NATIVE / name) for name in BUILD["JSON"]],
                           depends=[str(NATIVE / "json.h")], py_limited_api=True)],
    cffi_modules=["pyrunc/_native/build_seccomp.py:ffibuilder"],
    scripts=["pyrunc", "containerd-shim-pyrunc-v2"],
    cmdclass={"build_scripts": BuildLauncher},
    zip_safe=False,
)
