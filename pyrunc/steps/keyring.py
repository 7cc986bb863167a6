"""A session keyring of the container's own, so that it does not find keys of whoever started it (keyrings(7))."""
from __future__ import annotations

import errno

from ..engine.step import CHILD, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..engine.facts import Facts
    from ..kernel.linux import Kernel
    from ..request import Request

SPEC = "config.md#linux-process"
#: <linux/keyctl.h>: found by processes of its owner, or of anybody. The container's user is not the owner's in a user
#: namespace, and is one of its own otherwise.
KEY_USR_SEARCH, KEY_OTH_SEARCH = 0x00080000, 0x00000008
KEYCREATE = "/proc/thread-self/attr/keycreate"


class Session(Step):
    """keyctl(2) KEYCTL_JOIN_SESSION_KEYRING: exec into the container joins it by the same name.

    So can whoever on the host has made one of that name before, which then is theirs to read: what another user owns is
    left for one without a name.
    """
    name = "keyring.session"
    spec = SPEC
    side = CHILD
    keyring: str
    permission: int

    def describe(self) -> str:
        return f"join session keyring {self.keyring}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        try:
            serial = kernel.join_session_keyring(self.keyring)
        except OSError as fault:
            if fault.errno != errno.ENOSYS:      # a kernel without keys has none to hide
                raise
            return
        try:
            kernel.keyring_permit(serial, self.permission)
        except OSError as fault:
            if fault.errno != errno.EKEYREJECTED:
                raise
            kernel.keyring_permit(kernel.join_session_keyring(""), self.permission)


class Label(Step):
    """SELinux: new keys of this thread get the label, until it is taken back."""
    name = "keyring.label"
    spec = SPEC
    side = CHILD
    label: str

    def describe(self) -> str:
        return f"label new keys {self.label}" if self.label else "stop labelling new keys"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        # On the host's own /proc: the container's mounts do not exist yet.
        kernel.write_file(KEYCREATE, self.label)


def session(want: Request) -> Iterator[Step]:
    """CHILD, in the container's user namespace, which owns the keyring."""
    if want.options.no_new_keyring:
        return
    label = want.config.get("process", {}).get("selinuxLabel", "") if want.host.selinux else ""
    private = want.namespaces.private("user")
    if label:
        yield Label(label=label, where="process.selinuxLabel")
    yield Session(keyring=f"_ses.{want.options.id}", permission=KEY_OTH_SEARCH if private else KEY_USR_SEARCH)
    if label:
        yield Label(label="", where="process.selinuxLabel")
