"""What docs/properties.md says beside a row: how it was checked where no test can, or what pyrunc does instead.

The rows are those of the conformance suite (conformance/rows). A test says which rows it holds with the marker
`spec(chapter, row, …)`, where row is the property's name or the demand.
"""
from __future__ import annotations

OPTIONS = "config.md#linux-mount-options"
#: (chapter, row) -> note
NOTES = {
    (OPTIONS, "iversion"): "File systems that count versions of files always do (ext4 since Linux 6.1), so that "
                           "nothing is left to see but that the mount is made.",
    (OPTIONS, "noiversion"): "As iversion.",
    (OPTIONS, "loud"): "It is about messages in the kernel's log alone; checked is that the mount is made.",
    (OPTIONS, "silent"): "As loud.",
    (OPTIONS, "mand"): "Linux 5.15 has taken mandatory locks away; checked is that the mount is made.",
    (OPTIONS, "nomand"): "As mand.",
    ("config.md#posix-platform-hooks", "env"): "Without it see docs/spec-and-runc.md.",
    ("config.md#annotations", "annotations of the org.opencontainers namespace are taken as they are"):
        "For images and engines: pyrunc reads none of them and hands all on in the state.",
    ("config-linux.md#memory", "kernel"): "One that is not below limit is accepted: it says nothing more.",
    ("config-linux.md#unified", "what cannot be converted from cgroup v1 is an error"):
        "Values that mean nothing are accepted: engines send them with every container (docs/spec-and-runc.md).",
    ("config-linux.md#intelrdt", "intelRdt"):
        "No machine of the tests has the hardware. Checked: each step on the Recorder and on files like those of "
        "resctrl, and create, exec, update and delete of whole containers with such files; what resctrl itself does "
        "with them, never.",
    ("runtime.md#delete", "only a stopped container is deleted"):
        "A created one is deleted, too: containerd and others count on it (docs/spec-and-runc.md).",
}
