"""The session keyring of a container has a name that anybody on the host can give to one of theirs before."""
from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import bundles
from tests.runtimes import Runtime

#: Joins a keyring of that name, lets everybody do everything with it, and stays: keyctl(2) by number.
PLANT = """import ctypes, sys, time
keyctl = lambda *arguments: ctypes.CDLL(None).syscall(250, *arguments)
serial = keyctl(1, sys.argv[1].encode())
assert serial > 0 and keyctl(5, serial, 0x3f3f3f3f) == 0
print(serial, flush=True)
time.sleep(600)
"""


@pytest.fixture
def planted(name: str) -> Iterator[str]:
    """The serial number, in hexadecimal, of a keyring of user 1000 with the name that the container's will have."""
    become = ["setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups"]
    user = subprocess.Popen([*become, "/usr/bin/python3", "-I", "-c", PLANT, f"_ses.{name}"], stdout=subprocess.PIPE,
                            text=True)
    assert user.stdout is not None
    yield f"{int(user.stdout.readline()):08x}"
    user.kill()
    user.wait()
    user.stdout.close()


#: The serial number of the own session keyring, and whose it is.
LOOK = """import ctypes
keyctl = lambda *arguments: ctypes.CDLL(None).syscall(250, *arguments)
serial, about = keyctl(0, -3, 0), ctypes.create_string_buffer(200)
assert keyctl(6, serial, about, 200) > 0
print(f"{serial:08x}", about.value.decode())
"""


def test_the_keyring_of_another_user_is_not_joined(planted: str, runtime: Runtime, place: Path, name: str) -> None:
    bundles.host_root(place / "rootfs")
    look = ["/usr/bin/python3", "-I", "-c", LOOK]
    for args in (look, ["sleep", "600"]):
        (place / "config.json").write_text(json.dumps(bundles.minimal(
            process={"args": args}, mounts=bundles.host_mounts())))
        if args == look:
            said = runtime.run(name, place).stdout
        else:
            runtime.create(name, place)
            runtime.ok("start", name)
            said = runtime.ok("exec", name, *look).stdout
            runtime.ok("delete", "--force", name)
        serial, about = said.split()
        assert serial != planted and about.split(";")[:2] == ["keyring", "0"]
