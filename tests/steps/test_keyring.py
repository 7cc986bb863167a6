"""Session keyrings. From inside a container: tests/container/test_properties.py."""
from __future__ import annotations

import errno

import pytest

from pyrunc.host import Host
from pyrunc.kernel.recorder import Recorder
from pyrunc.kernel.recording import KEYRING
from pyrunc.steps import keyring

from .planned import applied, config, done, facts, plan, story


def namespaces(*kinds: str) -> dict[str, object]:
    return {"namespaces": [{"type": kind} for kind in kinds]}


def test_a_keyring_of_its_own_named_after_the_container() -> None:
    assert story(plan(keyring.session, config())) == [("keyring.session", "", "join session keyring _ses.c1")]
    assert done(keyring.session, config()) == [("join_session_keyring", "_ses.c1"),
                                               ("keyring_permit", KEYRING, 0x00080000)]


def test_in_a_user_namespace_others_must_find_it() -> None:
    """The container's root is another uid there than the keyring's owner."""
    assert done(keyring.session, config(linux=namespaces("user")))[1] == ("keyring_permit", KEYRING, 0x00000008)


def test_no_new_keyring() -> None:
    assert plan(keyring.session, config(), no_new_keyring=True) == []


def test_a_kernel_without_keys_is_no_error_and_a_full_quota_is_one() -> None:
    [step] = plan(keyring.session, config())
    assert applied(step, Recorder(errors={"join_session_keyring": [errno.ENOSYS]})) == [
        ("join_session_keyring", "_ses.c1")]
    with pytest.raises(OSError, match="quota"):
        step.apply(Recorder(errors={"join_session_keyring": [errno.EDQUOT]}), facts())


def test_a_keyring_of_another_user_is_not_kept() -> None:
    [step] = plan(keyring.session, config())
    kernel = Recorder(errors={"keyring_permit": [errno.EKEYREJECTED]})
    assert [call[:2] for call in applied(step, kernel)] == [
        ("join_session_keyring", "_ses.c1"), ("keyring_permit", KEYRING), ("join_session_keyring", ""),
        ("keyring_permit", KEYRING)]
    with pytest.raises(OSError, match="denied"):
        step.apply(Recorder(errors={"keyring_permit": [errno.EACCES]}), facts())


def test_selinux_label_of_the_key() -> None:
    wanted = config(process={"selinuxLabel": "u:r:t:s0"})
    steps = plan(keyring.session, wanted, host=Host(selinux=True))
    assert [step.name for step in steps] == ["keyring.label", "keyring.session", "keyring.label"]
    assert [applied(step)[0] for step in steps] == [
        ("write_file", "/proc/thread-self/attr/keycreate", "u:r:t:s0", -100), ("join_session_keyring", "_ses.c1"),
        ("write_file", "/proc/thread-self/attr/keycreate", "", -100)]
    assert [step.name for step in plan(keyring.session, wanted)] == ["keyring.session"]
