"""Cases of the specification and of engines that hold of an ordinary user's containers, too."""
from __future__ import annotations

import fnmatch

from ...model import CASES, again
from .. import (
    config_linux_md,
    config_linux_md_listener,
    config_linux_md_seccomp,
    config_md,
    config_md_hooks,
    config_md_mounts,
    engines,
    runtime_md,
)

MODULES = (config_linux_md, config_linux_md_listener, config_linux_md_seccomp, config_md, config_md_hooks,
           config_md_mounts, engines, runtime_md)
#: Not for a user: what has namespaces or mappings of its own, other ids than one, nodes of devices, a cgroup, or mounts
#: on the machine.
NOT = ("config_linux_md.namespace_*", "config_linux_md.path*", "config_linux_md.type*", "config_linux_md.mappings",
       "config_linux_md.owners_stay", "config_linux_md.time_offsets", "config_linux_md.devices*",
       "config_linux_md*cgroup*", "config_linux_md*limit*", "config_linux_md*unified*", "config_linux_md.burst*",
       "config_linux_md.device_rules*", "config_linux_md.intel*", "config_linux_md.propagation*", "config_md.limits*",
       "config_md.capabilities*", "config_md.user*", "config_md_mounts.bind_and*", "config_md_mounts.propagation*",
       "config_md_mounts.recursive*", "config_md_mounts.idmap*", "runtime_md.delete_leaves*",
       "runtime_md.open_descriptors")
_files = {module.__name__.partition(".cases.")[2] for module in MODULES}

for _name in list(CASES):
    if _name.partition(".")[0] in _files and not any(fnmatch.fnmatchcase(_name, word.replace("[", "[[]"))
                                                     for word in NOT):
        again(_name, "rootless", __name__)
