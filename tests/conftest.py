"""Options and fixtures of every test: the runtime under test, the guest, golden files."""
from __future__ import annotations

import pytest

from .guest import replay


def pytest_addoption(parser: pytest.Parser) -> None:
    replay.add_options(parser)
    parser.addoption("--runtime", metavar="PATH", default="", help="OCI runtime under test (default: pyrunc)")
    parser.addoption("--update", action="store_true", help="write the golden files anew")


def pytest_configure(config: pytest.Config) -> None:
    replay.configure(config)
