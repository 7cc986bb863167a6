#!/bin/sh
# make demo: a container from a bundle that needs no download, and the plan that ran with its times.
#
#   tests/demo.sh PYRUNC
#
# The container's /usr is this host's, read-only; everything else it sees is its own. Files go to demo/, state to a
# directory that is removed at the end. An ordinary user gets a container in a user namespace.
set -eu
cd "$(dirname "$0")/.."
pyrunc=$1
bundle=$PWD/demo trace=$PWD/demo/trace.json
rm -rf "$bundle"
mkdir -p "$bundle/rootfs/usr"
for directory in bin sbin lib lib32 lib64; do      # links to /usr since Debian 12; bound where they are not
  if [ -L /$directory ]; then ln -s "$(readlink /$directory)" "$bundle/rootfs/$directory"
  elif [ -d /$directory ]; then mkdir "$bundle/rootfs/$directory"; fi
done

.venv/bin/python - "$bundle" <<'CONFIG'
import json
import os
import sys

bundle = sys.argv[1]
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
config = {
    "ociVersion": "1.3.0",
    "hostname": "demo",
    "root": {"path": "rootfs", "readonly": True},
    "process": {
        "args": ["/bin/sh", "-c", show], "cwd": "/", "user": {"uid": 0, "gid": 0}, "noNewPrivileges": True,
        "env": ["PATH=/usr/bin:/bin"], "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), ["CAP_KILL"]),
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
with open(f"{bundle}/config.json", "w") as file:
    json.dump(config, file, indent=2)
CONFIG

root=$(mktemp -d -p /run 2>/dev/null || mktemp -d)       # a tmpfs, where one may
trap 'rm -rf "$root"' EXIT
echo "\$ pyrunc --trace demo/trace.json run --bundle demo demo"
"$pyrunc" --root "$root" --trace "$trace" run --bundle "$bundle" demo
echo
echo "The plan that ran (pyrunc explain --bundle demo prints it without running it; demo/trace.json has it as JSON):"
[ -t 1 ] || export COLUMNS=160 LC_ALL=C.UTF-8
"$pyrunc" trace show --all demo/trace.json
