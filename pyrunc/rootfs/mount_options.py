"""Mount options, parsed once into what the mount API of Linux 5.2 takes. Pure: no effects, no host.

The names are those of config.md#linux-mount-options, which are those of mount(8). What is not known here is
given to the file system. Later options override earlier ones, flag by flag.
"""
from __future__ import annotations

import errno

from ..errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# MOUNT_ATTR_* of <linux/mount.h>; tests compare them with the header.
RDONLY, NOSUID, NODEV, NOEXEC = 0x01, 0x02, 0x04, 0x08
ATIME, RELATIME, NOATIME, STRICTATIME = 0x70, 0x00, 0x10, 0x20     # ATIME is the mask of an enumeration
NODIRATIME, IDMAP, NOSYMFOLLOW = 0x80, 0x00100000, 0x00200000
#: Every attribute that is on or off: all but the access time enumeration and idmapping.
SWITCHES = RDONLY | NOSUID | NODEV | NOEXEC | NODIRATIME | NOSYMFOLLOW
# MS_* of <sys/mount.h>, which mount_setattr(2) takes as propagation
UNBINDABLE, PRIVATE, SLAVE, SHARED = 1 << 17, 1 << 18, 1 << 19, 1 << 20

#: name -> (attribute, whether the name switches it on); each has a recursive form with an r in front
ATTRIBUTES = {
    "ro": (RDONLY, True), "rw": (RDONLY, False),
    "nosuid": (NOSUID, True), "suid": (NOSUID, False),
    "nodev": (NODEV, True), "dev": (NODEV, False),
    "noexec": (NOEXEC, True), "exec": (NOEXEC, False),
    "nodiratime": (NODIRATIME, True), "diratime": (NODIRATIME, False),
    "nosymfollow": (NOSYMFOLLOW, True), "symfollow": (NOSYMFOLLOW, False),
}
#: The same for access times, of which the kernel keeps one of three: strictatime before noatime before relatime.
ACCESS_TIMES = {
    "noatime": (NOATIME, True), "atime": (NOATIME, False),
    "strictatime": (STRICTATIME, True), "nostrictatime": (STRICTATIME, False),
    "relatime": (RELATIME, True), "norelatime": (RELATIME, False),
}
PROPAGATION = {"private": PRIVATE, "slave": SLAVE, "shared": SHARED, "unbindable": UNBINDABLE}
#: Flags of the file system, not of the mount: name -> (flag, on). fsconfig(2) knows them by the name of the option;
#: the number is MS_*, for a reconfiguration by mount(2).
SUPERBLOCK = {
    "sync": (0x10, True), "async": (0x10, False),
    "dirsync": (0x80, True),
    "mand": (0x40, True), "nomand": (0x40, False),
    "lazytime": (1 << 25, True), "nolazytime": (1 << 25, False),
}
#: Without an effect on a mount of our own: `silent` only hushes the kernel's log, i_version is no longer an option
#: of any file system that has it (Linux 6.6), and the rest tells mount(8) when to mount.
NO_EFFECT = frozenset(("defaults", "silent", "loud", "iversion", "noiversion",
                       "auto", "noauto", "nofail", "_netdev", "nouser", "nousers", "nogroup", "noowner"))
#: What mount(8) makes of these names: attributes that later options may take back.
IMPLIED = {"user": NOEXEC | NOSUID | NODEV, "users": NOEXEC | NOSUID | NODEV,
           "group": NOSUID | NODEV, "owner": NOSUID | NODEV}

#: Options of crun that say which end of a bind mount may be a symbolic link: attributes of MountOptions.
LINKS = {"src-nofollow": "source_nofollow", "dest-nofollow": "destination_nofollow", "copy-symlink": "copy_symlink"}
#: What mount(8) itself does to what is mounted, or to where, by the options of any file system.
OF_MOUNT = frozenset(f"X-mount.{name}" for name in ("subdir", "idmap", "owner", "group", "mode", "mkdir"))
#: What would choose what a bind mount shows or where: of file systems and loop devices, which a bind mount ignores, of
#: mount(8), and of Podman, which makes other options of its own before a runtime sees them.
OF_OTHERS = frozenset((
    "loop", "offset", "sizelimit", "encryption", "move", "beneath", "subvol", "subvolid", "lowerdir", "upperdir",
    "workdir", "lowerdir+", "datadir+", "idmap", "ridmap", "verity.hashdevice", "verity.roothash",
    "verity.roothashfile", "verity.hashoffset", "O", "subpath", "no-dereference"))

#: statvfs(3), as in <linux/statfs.h>; the last is MS_STRICTATIME, for a mount that has neither of the others.
ST_NOATIME, ST_NODIRATIME, ST_RELATIME, ST_STRICTATIME = 1024, 2048, 4096, 1 << 24
#: What the kernel locks (mount_namespaces(7)): (in statvfs, attribute, name).
HELD = ((1, RDONLY, "ro"), (2, NOSUID, "nosuid"), (4, NODEV, "nodev"), (8, NOEXEC, "noexec"),
        (ST_NODIRATIME, NODIRATIME, "nodiratime"), (ST_NOATIME, 0, "noatime"), (ST_RELATIME, 0, "relatime"),
        (ST_STRICTATIME, 0, "strictatime"))
#: attribute of the enumeration -> in statvfs
TIMES = {NOATIME: ST_NOATIME, RELATIME: ST_RELATIME, STRICTATIME: ST_STRICTATIME}

#: All names that the `features` command lists.
NAMES = sorted({*ATTRIBUTES, *ACCESS_TIMES, *SUPERBLOCK, *PROPAGATION, "bind", "rbind", "remount", "defaults", "silent",
                "loud", "iversion", "noiversion", "tmpcopyup", "idmap", "ridmap", *LINKS,
                *("r" + name for name in (*ATTRIBUTES, *ACCESS_TIMES, *PROPAGATION))})


class Attributes:
    """What mount_setattr(2) is to do to one mount, or to a tree of them.

    set, clear   MOUNT_ATTR_* that were switched on and off by name; without the access time
    atime        RELATIME, NOATIME or STRICTATIME; None when no option spoke of it
    """

    def __init__(self) -> None:
        self.set = self.clear = 0
        self.atime: int | None = None
        self._noatime = self._strict = self._relatime = self._named = False
        self._without = 0        # of TIMES: switched off by name

    def switch(self, flag: int, on: bool) -> None:
        self.set = self.set | flag if on else self.set & ~flag
        self.clear = self.clear & ~flag if on else self.clear | flag

    def access_time(self, flag: int, on: bool) -> None:
        """Bit by bit as mount(2) does it; `norelatime` alone changes nothing, relatime being the default."""
        self._named = True
        self._without = self._without & ~TIMES[flag] if on else self._without | TIMES[flag]
        if flag == NOATIME:
            self._noatime = on
        elif flag == STRICTATIME:
            self._strict = on
        else:
            self._relatime = on
            if not on:
                return
        self.atime = STRICTATIME if self._strict else NOATIME if self._noatime else RELATIME

    def choose_access_time(self, flag: int, on: bool) -> None:
        """As mount_setattr(2) has it: one of three, and the last choice counts."""
        if on:
            self.atime = flag
        elif flag != RELATIME and self.atime in (None, flag):
            self.atime = RELATIME

    def __bool__(self) -> bool:
        return bool(self.set or self.clear or self.atime is not None or self._named)

    @property
    def chooses_times(self) -> bool:
        """Whether an option asks for a kind of access times, and none has taken that back: `atime`, `diratime` and the
        like ask for nothing, so that a mount keeps what it has (mount(2), MS_REMOUNT)."""
        return self._noatime or self._strict or self._relatime or bool(self.set & NODIRATIME)

    def for_new(self) -> int:
        """fsmount(2)'s attributes: a new mount has no others."""
        return self.set | (self.atime or RELATIME)

    def additive(self) -> tuple[int, int]:
        """(attr_set, attr_clr) that change what was named and leave the rest."""
        if self.atime is None:
            return self.set, self.clear
        return self.set | self.atime, self.clear | ATIME

    def exact(self) -> tuple[int, int]:
        """(attr_set, attr_clr) after which the mount has what was named and nothing else (mount --bind -o ...).
        Access times, those of directories among them, stay as they are unless an option chooses some."""
        if self.chooses_times:
            return self.set | (self.atime or RELATIME), ATIME | SWITCHES & ~self.set
        return self.set, SWITCHES & ~self.set & ~NODIRATIME

    def beside(self, held: int) -> tuple[int, int]:
        """exact(), where the kernel has locked what the mount has (held, ST_* of statvfs(3)): that stays, which is what
        runc makes of it. OSError for an option that names one of them to be cleared, or other access times."""
        if not held & (ST_NOATIME | ST_RELATIME):
            held |= ST_STRICTATIME
        if named := [name for bit, flag, name in HELD if held & bit and (self.clear & flag or self._without & bit)]:
            raise PermissionError(errno.EPERM, "operation not permitted",
                                  f"cannot clear locked flags of the source: {','.join(named)}")
        times = TIMES[self.atime or RELATIME] | ST_NODIRATIME * bool(self.set & NODIRATIME)
        if self.chooses_times and times != held & (ST_NOATIME | ST_NODIRATIME | ST_RELATIME | ST_STRICTATIME):
            raise PermissionError(errno.EPERM, "operation not permitted",
                                  "cannot change locked access times of the source")
        return self.set, NOSYMFOLLOW & ~self.set


class MountOptions:
    """The options of one mount. An option's place is its index in `mounts[].options`.

    here         attributes of the mount itself
    below        attributes of the whole tree (the r… options)
    propagation  [(MS_SHARED..., recursive)] in order
    superblock   [(place, name)] flags for fsconfig(2); without `ro`, which is here.set & RDONLY too
    data         [(place, key, value or None)] for the file system
    bind, recursive_bind, remount, copy_up
    source_nofollow, destination_nofollow    the link itself, not what it leads to, is taken or covered
    copy_symlink                             a source that is a link is not mounted but made once more
    chooses      [(place, option)] that ask for another thing or place to be mounted than happens here
    idmap        "", "idmap" or "ridmap", and its place
    """

    def __init__(self, options: Sequence[str], where: str = "") -> None:
        self.here, self.below = Attributes(), Attributes()
        self.propagation: list[tuple[int, bool]] = []
        self.superblock: list[tuple[int, str]] = []
        self.data: list[tuple[int, str, str | None]] = []
        self.bind = self.recursive_bind = self.remount = self.copy_up = False
        self.source_nofollow = self.destination_nofollow = self.copy_symlink = False
        self.chooses: list[tuple[int, str]] = []
        self.idmap, self.idmap_place = "", -1
        for place, option in enumerate(options):
            if "\0" in option:
                raise ConfigError("mount field contains null byte", f"{where}.options[{place}]")
            self._take(place, option)

    def _take(self, place: int, name: str) -> None:
        if name in ATTRIBUTES:
            self.here.switch(*ATTRIBUTES[name])
        elif name in ACCESS_TIMES:
            self.here.access_time(*ACCESS_TIMES[name])
        elif name in PROPAGATION:
            self.propagation.append((PROPAGATION[name], False))
        elif name in SUPERBLOCK:
            self.superblock.append((place, name))
        elif name in LINKS:
            setattr(self, LINKS[name], True)
        elif name.partition("=")[0] in OF_MOUNT and name != "X-mount.mkdir":     # a destination is always made
            self.chooses.append((place, name))
        elif name in NO_EFFECT or name[:2] in ("x-", "X-") or name.partition("=")[0] == "comment":
            pass
        elif name in IMPLIED:
            self.here.switch(IMPLIED[name], True)
        elif name in ("bind", "rbind"):
            self.bind, self.recursive_bind = True, self.recursive_bind or name == "rbind"
        elif name == "remount":
            self.remount = True
        elif name == "tmpcopyup":
            self.copy_up = True
        elif name in ("idmap", "ridmap"):
            self.idmap, self.idmap_place = name, place
        elif name[:1] == "r" and name[1:] in ATTRIBUTES:
            self.below.switch(*ATTRIBUTES[name[1:]])
        elif name[:1] == "r" and name[1:] in ACCESS_TIMES:
            self.below.choose_access_time(*ACCESS_TIMES[name[1:]])
        elif name[:1] == "r" and name[1:] in PROPAGATION:
            self.propagation.append((PROPAGATION[name[1:]], True))
        else:
            self.data += [(place, *pair) for pair in split(name)]

    def refused(self) -> tuple[int, str] | None:
        """(place, reason) of the first option without which something else would be mounted, or elsewhere."""
        chooses = self.chooses
        if self.bind:
            chooses = chooses + [(place, key) for place, key, _ in self.data if key in OF_OTHERS]
        if chooses:
            place, option = min(chooses, key=lambda choice: choice[0])
            what, name = "a bind mount has no" if self.bind else "there is no", option.partition("=")[0]
            return place, f"{what} option {name} here, and without it something else would be mounted"
        links = [name for name, attribute in LINKS.items() if getattr(self, attribute)]
        if links and links != ["dest-nofollow"] and not (self.bind and not self.remount):
            return -1, f"{links[0]} is for bind mounts"
        if self.copy_symlink and len(links) > 1:
            return -1, f"copy-symlink excludes {links[0]}"
        return None

    @property
    def readonly(self) -> bool:
        return bool(self.here.set & RDONLY)

    def mount_flags(self) -> int:
        """MS_* for mount(2), where that cannot be avoided. The low attributes have MS_*'s own values."""
        flags = self.here.set & (RDONLY | NOSUID | NODEV | NOEXEC)
        flags |= (1 << 11) * bool(self.here.set & NODIRATIME) | (1 << 8) * bool(self.here.set & NOSYMFOLLOW)
        if self.here.atime is not None:
            flags |= {NOATIME: 1 << 10, STRICTATIME: 1 << 24, RELATIME: 1 << 21}[self.here.atime]
        for _, name in self.superblock:
            flag, on = SUPERBLOCK[name]
            flags = flags | flag if on else flags & ~flag
        return flags


def split(option: str) -> list[tuple[str, str | None]]:
    """One string of data -> its (key, value) pairs, as mount(2) would split it at commas.

    A comma that is escaped (overlay paths) or inside double quotes (SELinux contexts) splits nothing; the quotes
    themselves are dropped, since fsconfig(2) needs none.
    """
    pieces, quoted, escaped = [""], False, False
    for character in option:
        if character == "," and not quoted and not escaped:
            pieces.append("")
            continue
        pieces[-1] += character
        quoted ^= character == '"' and not escaped
        escaped = character == "\\" and not escaped
    pairs: list[tuple[str, str | None]] = []
    for piece in pieces:
        key, equals, value = piece.partition("=")
        if len(value) > 1 and value[0] == value[-1] == '"':
            value = value[1:-1]
        if key:
            pairs.append((key, value if equals else None))
    return pairs
