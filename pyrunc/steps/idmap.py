"""Id-mapped mounts: a source whose owners the container sees shifted, on the detached mount, before it is attached.

The kernel takes the mapping from a user namespace. One is made per distinct mapping, by a child that lives only until
its namespace is open. All of it is the parent's work: MOUNT_ATTR_IDMAP needs privilege over the file system itself. A
source that the init has to take is handed to the parent for that (binds.lend).
"""
from __future__ import annotations

import errno
import posix

from ..config.mappings import map_text
from ..config.namespaces import Namespaces
from ..engine.step import Step
from ..errors import ConfigError
from ..rootfs.mount_options import IDMAP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..config.types import Config, IDMapping
    from ..engine.facts import Facts
    from ..host import Host
    from ..kernel.linux import Kernel
    from ..rootfs.mount_options import MountOptions

SPEC = "config.md#posix-platform-mounts"


class Namespace(Step):
    """A user namespace that exists only to hold a mapping."""
    name = "idmap.namespace"
    spec = SPEC
    key: tuple[str, ...]      # equal for equal mappings
    uids: str = ""            # lines of uid_map
    gids: str = ""

    def describe(self) -> str:
        uids, gids = (", ".join(text.rstrip().split("\n")) for text in (self.uids, self.gids))
        return f"make a user namespace that holds the mapping of uids {uids} and gids {gids}"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        facts.keep(self, kernel.user_namespace(self.uids, self.gids))

    def undo(self, kernel: Kernel, facts: Facts) -> None:
        if (fd := facts.kept(self, -1)) >= 0:
            kernel.close(fd)
            facts.keep(self, -1)


class Existing(Namespace):
    """The user namespace that the container joins: its mapping is the one to use."""
    name = "idmap.existing"
    path: str

    def describe(self) -> str:
        return f"open user namespace {self.path} for its mapping"

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        facts.keep(self, kernel.open(self.path, posix.O_RDONLY))


class Apply(Step):
    """Put the mapping on the detached source; once a mount has been attached, the kernel refuses."""
    name = "idmap.apply"
    spec = SPEC
    index: int                # in config.mounts
    source: str
    namespace: Namespace
    recursive: bool

    def describe(self) -> str:
        return f"map the ids of {self.source}" + (" and the mounts below it" if self.recursive else "")

    def apply(self, kernel: Kernel, facts: Facts) -> None:
        try:
            kernel.mount_setattr(facts.mount_fds[self.index], IDMAP, recursive=self.recursive,
                                 userns_fd=facts.kept(self.namespace, -1))
        except OSError as fault:
            if fault.errno != errno.EINVAL:
                raise
            from ..errors import advise
            from ..rootfs.mountinfo import type_of
            kind = type_of(self.source)              # crun, too, says which it is
            raise advise(fault, f"{kind or 'the file system of the source'} may not support idmapped mounts on this "
                                "kernel") from None


class Mappings:
    """The mappings of one config's mounts, each made once."""

    def __init__(self, config: Config, host: Host) -> None:
        self.config, self.host = config, host
        self.spaces = Namespaces(config)
        self.made: dict[tuple[str, ...], Namespace] = {}

    def steps(self, index: int, options: MountOptions, source: str) -> Iterator[Step]:
        """What maps the ids of mounts[index], after its source was taken; nothing when it is not mapped."""
        mount, where = self.config["mounts"][index], f"mounts[{index}]"
        uids, gids = mount.get("uidMappings") or [], mount.get("gidMappings") or []
        if not (uids or gids or options.idmap):
            return
        place = f"{where}.options[{options.idmap_place}]" if options.idmap else f"{where}.uidMappings"
        if not options.bind:
            raise ConfigError("only a bind mount can be id-mapped", place)
        if not self.host.privileged:
            raise ConfigError("id-mapped mounts need privilege over the file system of the source", place)
        wanted = self._namespace(uids, gids, place)
        namespace = self.made.setdefault(wanted.key, wanted)
        if namespace is wanted:
            yield namespace
        yield Apply(index=index, source=source, namespace=namespace, recursive=options.idmap == "ridmap", where=place)

    def _namespace(self, uids: Sequence[IDMapping], gids: Sequence[IDMapping], place: str) -> Namespace:
        """The mount's own mapping, else the container's."""
        if not uids and "user" in self.spaces.joined:
            path, _ = self.spaces.joined["user"]
            return Existing(key=(path,), path=path, where=place)
        if not uids and "user" in self.spaces.new:
            linux = self.config["linux"]
            uids, gids = linux.get("uidMappings") or [], linux.get("gidMappings") or []
        texts = map_text(uids), map_text(gids)
        return Namespace(key=texts, uids=texts[0], gids=texts[1], where=place)
