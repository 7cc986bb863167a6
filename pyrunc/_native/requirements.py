"""Prints the requirements of pyproject.toml that are not installed here; no network.

    python pyrunc/_native/requirements.py build|test|lint

Versions are compared as far as pyproject.toml uses them: at least that, in numbers.
"""
from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def numbers(text: str) -> list[int]:
    """The release number of a version."""
    return [int(part) for part in re.findall(r"\d+", text.partition("+")[0])]


def met(requirement: str) -> bool:
    """Whether "name>=1.2" is installed; without a version, whether any is."""
    name, _, least = requirement.partition(">=")
    try:
        return numbers(version(name)) >= numbers(least)
    except PackageNotFoundError:
        return False


def requirements(group: str) -> list[str]:
    """Those of a group: "build" is what pyrunc is built with and what it needs to run."""
    settings = tomllib.loads((Path(__file__).parent.parent.parent / "pyproject.toml").read_text())
    if group == "build":
        return [*settings["build-system"]["requires"], *settings["project"]["dependencies"]]
    extra: list[str] = settings["project"]["optional-dependencies"][group]
    return extra


if __name__ == "__main__":
    print(*(requirement for requirement in requirements(sys.argv[1]) if not met(requirement)))
