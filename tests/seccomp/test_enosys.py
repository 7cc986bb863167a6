"""The stub before the filter: newer calls than the profile knows are "not implemented", all else is the filter's."""
from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from pyrunc.seccomp import enosys, profile

from . import oracle
from .oracle import ENOSYS

#: What the filter would answer: a number that nothing else has.
FILTER = 0x00030777
BEHIND = struct.pack("=HBBI", 0x06, 0, 0, FILTER)
X86_64, X32, S390X = enosys.AUDIT_ARCH_X86_64, enosys.X32, enosys.AUDIT_ARCH_S390X
NUMBERS = st.integers(0, 0x3FFFFFFF)


def answer(last: dict[int, int], arch: int, nr: int) -> int:
    return oracle.run(oracle.decode(enosys.stub(last) + BEHIND), arch, nr, [0] * 6)


@given(st.dictionaries(st.integers(0, 2**32 - 1).filter(lambda arch: arch not in (X86_64, X32, 0x16, S390X)), NUMBERS,
                       max_size=200), st.data())
def test_each_architecture_has_its_own_last_call(last: dict[int, int], data: st.DataObject) -> None:
    """Two hundred of them are a thousand instructions: beyond the reach of a conditional jump."""
    nr = data.draw(NUMBERS)
    for arch, highest in last.items():
        assert answer(last, arch, nr) == (ENOSYS if nr > highest else FILTER)
        assert answer(last, arch, highest) == FILTER
        assert answer(last, arch, highest + 1) == ENOSYS


@given(st.integers(0, 500), st.integers(0, 500), st.integers(0, 1000))
def test_x32_is_told_from_x86_64_by_a_bit_of_the_number(own: int, x32: int, nr: int) -> None:
    last = {X86_64: own, X32: enosys.X32_BIT | x32}
    assert answer(last, X86_64, nr) == (ENOSYS if nr > own else FILTER)
    assert answer(last, X86_64, enosys.X32_BIT | nr) == (ENOSYS if nr > x32 else FILTER)


def test_one_of_the_two_alone_leaves_the_other_to_the_filter() -> None:
    assert answer({X86_64: 5}, X86_64, enosys.X32_BIT | 9) == FILTER
    assert answer({X86_64: 5}, X86_64, 6) == ENOSYS
    assert answer({X32: enosys.X32_BIT | 5}, X86_64, 9) == FILTER
    assert answer({X32: enosys.X32_BIT | 5}, X86_64, enosys.X32_BIT | 6) == ENOSYS


def test_setup_of_s390_is_the_way_to_calls_unknown_to_the_kernel() -> None:
    assert answer({S390X: 100}, S390X, 0) == ENOSYS
    assert answer({S390X: 100}, S390X, 1) == FILTER
    assert answer({S390X: 100}, S390X, 101) == ENOSYS


def test_architectures_without_a_section_are_the_filters() -> None:
    assert answer({S390X: 1}, 0xC00000B7, 1000) == FILTER
    assert enosys.stub({}) == b""


def test_profiles_that_get_no_stub() -> None:
    """A permissive default lets new calls pass anyway; an ENOSYS default answers so already."""
    def stub(**seccomp: object) -> bool:
        return profile.read(seccomp).enosys  # type: ignore[arg-type]
    assert [stub(defaultAction=f"SCMP_ACT_{kind}") for kind in ("ALLOW", "LOG", "TRACE")] == [False] * 3
    assert [stub(defaultAction=f"SCMP_ACT_{kind}") for kind in ("ERRNO", "KILL", "KILL_PROCESS", "TRAP")] == [True] * 4
    assert not stub(defaultAction="SCMP_ACT_ERRNO", defaultErrnoRet=38)
    assert stub(defaultAction="SCMP_ACT_ERRNO", defaultErrnoRet=1)
