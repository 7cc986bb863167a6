"""The bundle of `make demo`, which needs no download: config.json waits until it is ended, show.json shows itself.

    python tests/demo_bundle.py DIRECTORY
"""
from __future__ import annotations

import json
import os
import sys
from typing import Any

bundle = sys.argv[1]
os.makedirs(f"{bundle}/rootfs/usr")
for name in ("bin", "sbin", "lib", "lib32", "lib64"):      # links to /usr since Debian 12; bound where they are not
    if os.path.islink(f"/{name}"):
        os.symlink(os.readlink(f"/{name}"), f"{bundle}/rootfs/{name}")
    elif os.path.isdir(f"/{name}"):
        os.mkdir(f"{bundle}/rootfs/{name}")
show = r"""
echo "  I am $(id -u):$(id -g), process $$ on host $(hostname), cgroup $(sed -n s/^0:://p /proc/self/cgroup)"
echo "  and may: $(grep CapEff /proc/self/status)"
echo "  My mounts:"
while read -r id parent device root point options rest; do
  echo "    $point ${rest#*- } ($options)" | cut -c 1-110
done </proc/self/mountinfo
echo "  My processes:"
for status in /proc/[0-9]*/comm; do process=${status%/comm}; echo "    ${process#/proc/} $(cat $status)"; done
echo "  And writing to /usr: $(touch /usr/mine 2>&1)"
"""
#: Until somebody says TERM: pid 1 of a pid namespace gets no signal that it has not asked for.
wait = "trap 'exit 0' TERM; sleep infinity & wait"
config: dict[str, Any] = {
    "ociVersion": "1.3.0",
    "hostname": "demo",
    "root": {"path": "rootfs", "readonly": True},
    "process": {
        "cwd": "/", "user": {"uid": 0, "gid": 0}, "noNewPrivileges": True,
        "env": ["PATH=/usr/bin:/bin"],
        "capabilities": {kind: ["CAP_KILL"] for kind in ("bounding", "effective", "permitted")},
    },
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "nodev", "noexec"]},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]},
        {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "size=1m"]},
        *({"destination": path, "type": "bind", "source": path, "options": ["rbind", "ro", "nosuid"]}
          for path in ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
          if os.path.isdir(path) and not os.path.islink(path)),
    ],
    "linux": {
        "namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "network", "cgroup")],
        "maskedPaths": ["/proc/kcore", "/proc/keys", "/sys/firmware"],
        "readonlyPaths": ["/proc/sys", "/proc/sysrq-trigger"],
    },
}
for path in ("proc", "dev", "tmp"):
    os.makedirs(f"{bundle}/rootfs/{path}")
if os.geteuid() != 0:
    config["linux"]["namespaces"].append({"type": "user"})
    for kind, mine in (("uidMappings", os.geteuid()), ("gidMappings", os.getegid())):
        config["linux"][kind] = [{"containerID": 0, "hostID": mine, "size": 1}]
else:
    config["linux"]["cgroupsPath"] = "/pyrunc-demo"
for name, script in (("show.json", show), ("config.json", wait)):
    config["process"]["args"] = ["/bin/sh", "-c", script]
    with open(f"{bundle}/{name}", "w") as file:
        json.dump(config, file, indent=2)
