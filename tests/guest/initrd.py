"""The guest's first file system: busybox and the few kernel modules that reach the host's root over 9p."""
from __future__ import annotations

import gzip
import lzma
import os
import stat
from pathlib import Path

#: What stands between the kernel and the host's files; everything else is loaded by the guest when it needs it.
MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
DIRECTORIES = ("bin", "proc", "sys", "dev", "host", "upper", "new", "modules")


def newest_kernel() -> Path:
    """Debian's newest /boot/vmlinuz-*-amd64 (not the cloud flavour: it lacks 9p). FileNotFoundError without one."""
    found = [path for path in Path("/boot").glob("vmlinuz-*-amd64") if "cloud" not in path.name]
    if not found:
        raise FileNotFoundError("no /boot/vmlinuz-*-amd64: apt-get install linux-image-amd64")
    return max(found, key=lambda path: [int(part) for part in path.name.replace("-", ".").split(".") if part.isdigit()])


def unpacked(kernel: Path, cache: Path) -> Path:
    """The ELF image inside a bzImage, kept in the cache directory.

    QEMU starts it by its PVH entry: under emulation that saves the 2.5 s the kernel needs to unpack itself.
    A kernel that is not packed by xz is returned as it is.
    """
    image = cache / f"{kernel.name}-{kernel.stat().st_mtime_ns}.elf"
    if image.exists():
        return image
    packed = kernel.read_bytes()
    at = packed.find(b"\xfd7zXZ\0")
    if at < 0:
        return kernel
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = image.with_suffix(f".{os.getpid()}")
    part.write_bytes(lzma.LZMADecompressor().decompress(packed[at:]))
    part.rename(image)
    return image


def module_files(release: str) -> list[Path]:
    """Paths of MODULES and what they need, in the order to load them (modules.dep(5))."""
    top = Path("/lib/modules", release)
    needs: dict[str, list[str]] = {}
    for line in (top / "modules.dep").read_text().splitlines():
        path, _, others = line.partition(":")
        needs[path] = others.split()
    by_name = {Path(path).name.split(".")[0].replace("-", "_"): path for path in needs}
    order: list[str] = []
    for name in MODULES:
        if name not in by_name:             # built into the kernel
            continue
        path = by_name[name]
        order += [other for other in (*reversed(needs[path]), path) if other not in order]
    return [top / path for path in order]


def _entry(name: str, mode: int, data: bytes, inode: int) -> bytes:
    """One member of a "newc" archive (Documentation/driver-api/early-userspace/buffer-format.rst)."""
    raw = name.encode() + b"\0"
    fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + raw
    return head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)


def build(release: str, init: Path) -> bytes:
    """A gzipped cpio archive with init as /init."""
    members = [(name, stat.S_IFDIR | 0o755, b"") for name in DIRECTORIES]
    members.append(("bin/busybox", stat.S_IFREG | 0o755, Path("/bin/busybox").read_bytes()))
    members.append(("init", stat.S_IFREG | 0o755, init.read_bytes()))
    for index, path in enumerate(module_files(release)):
        members.append((f"modules/{index:02}_{path.name}", stat.S_IFREG | 0o644, path.read_bytes()))
    archive = b"".join(_entry(*member, inode) for inode, member in enumerate(members, 1))
    return gzip.compress(archive + _entry("TRAILER!!!", 0, b"", 0), 1)
