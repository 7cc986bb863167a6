"""An AppArmor profile, for kernels that have AppArmor: the guest's."""
from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

PROFILE = """
profile pyrunc-test flags=(attach_disconnected,mediate_deleted) {
  file, capability, network, signal, ptrace, umount, mount,
  deny /etc/passwd r,
}
"""


@pytest.fixture
def apparmor(tmp_path: Path) -> Iterator[None]:
    """The profile pyrunc-test is loaded: it refuses to read /etc/passwd."""
    policy = tmp_path / "profile"
    policy.write_text(PROFILE)
    subprocess.run(["apparmor_parser", "--replace", "--skip-cache", policy], check=True)
    yield
    subprocess.run(["apparmor_parser", "--remove", policy], check=True)
