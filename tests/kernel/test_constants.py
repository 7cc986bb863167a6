"""linux.py against the kernel's headers: a number that differs would be applied without a word."""
from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from pyrunc.kernel import constants

HEADERS = ("linux/capability.h", "asm-generic/resource.h", "linux/sched.h", "linux/openat2.h", "linux/ioprio.h",
           "linux/mempolicy.h", "linux/personality.h", "linux/bpf_common.h", "linux/seccomp.h", "seccomp.h")
#: Names whose header spelling is another one than the config's.
SPELLING = {"SCHED_OTHER": "SCHED_NORMAL", "LINUX": "PER_LINUX", "LINUX32": "PER_LINUX32",
            "SCMP_ACT_ERRNO": "SCMP_ACT_ERRNO(0)", "SCMP_ACT_TRACE": "SCMP_ACT_TRACE(0)"}
#: Newer than Debian 12's headers, from Linux 6.9 and 5.19; reserved in a comment of linux/sched.h.
YOUNG = {"MPOL_WEIGHTED_INTERLEAVE", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", "SCHED_ISO"}

SINGLE = ("IOPRIO_CLASS_SHIFT", "BPF_MAXINSNS",
          *(name for name in vars(constants) if name.startswith(("RESOLVE_", "CLONE_"))))
TABLES = {
    "CAPABILITIES": {name: number for number, name in enumerate(constants.CAPABILITIES)},
    **{name: table for name, table in vars(constants).items() if isinstance(table, dict) and name.isupper()},
    "single": {name: getattr(constants, name) for name in SINGLE},
}


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """{name as in the config: its number in the headers}, for the names that the headers have."""
    text = "".join((Path("/usr/include") / header).read_text() for header in HEADERS)
    words = set(re.findall(r"\w+", text))
    names = [name for table in TABLES.values() for name in table
             if re.split(r"\W", SPELLING.get(name, name))[0] in words and name not in YOUNG]
    place = tmp_path_factory.mktemp("headers")
    includes = "".join(f"#include <{header}>\n" for header in (*HEADERS, "stdio.h"))
    prints = "".join(f'printf("{name} %llu\\n", (unsigned long long)(unsigned)({SPELLING.get(name, name)}));\n'
                     for name in names)
    source = f"{includes}int main(void) {{\n{prints}}}"
    (place / "a.c").write_text(source)
    subprocess.run(["cc", "-o", place / "a", place / "a.c"], check=True)
    lines = subprocess.run([place / "a"], check=True, capture_output=True, text=True).stdout.splitlines()
    return {name: int(number) for name, number in map(str.split, lines)}


@pytest.mark.parametrize("table", TABLES)
def test_numbers(table: str, known: dict[str, int]) -> None:
    numbers = TABLES[table]
    wrong = {name: (number, known[name]) for name, number in numbers.items() if known.get(name, number) != number}
    assert not wrong
    assert set(numbers) - set(known) <= YOUNG


def test_every_capability_is_in_the_table(known: dict[str, int]) -> None:
    text = Path("/usr/include/linux/capability.h").read_text()
    defined = re.findall(r"^#define (CAP_(?!LAST_CAP|TO_)\w+)\s+\d+$", text, re.MULTILINE)
    assert set(defined) == set(constants.CAPABILITIES)
