"""What a process sees from inside a container, as a dictionary: a shell script for busybox or any sh, and its parser.

SCRIPT prints one section after another, "=== name" before each. It reads /proc of the container's own process ($$),
so what it shows is what execve left, not what the shell made of it.
"""
from __future__ import annotations

import re
from typing import Any

#: Files that are shown with their content, below /proc and /sys/fs/cgroup; absent ones are left out.
KERNEL = ("kernel/hostname", "kernel/domainname", "kernel/msgmax", "kernel/shm_rmid_forced", "fs/mqueue/msg_max",
          "net/ipv4/ip_forward", "net/ipv4/ping_group_range", "net/ipv4/ip_unprivileged_port_start")
PROCESS = ("status", "limits", "mountinfo", "cgroup", "uid_map", "gid_map", "setgroups", "oom_score_adj", "personality",
           "timens_offsets", "attr/current")
CGROUP = ("cpu.weight", "cpu.max", "cpu.max.burst", "cpu.idle", "memory.max", "memory.low", "memory.high",
          "memory.swap.max", "pids.max", "cpuset.cpus", "cpuset.mems", "io.weight", "io.bfq.weight", "io.max",
          "hugetlb.2MB.max", "hugetlb.2MB.rsvd.max", "rdma.max", "cgroup.type")

#: What the process may do, beside what it sees: shell commands that succeed or do not. Some containers have the host's
#: network and every capability, so none may do harm there.
TRIED = ("mkdir /tmp/probed", "touch /etc/probed", "touch /sys/probed", "touch /dev/probed", ": </dev/kernel",
         ": >>/dev/kernel", ": </dev/deep/loop", ": </dev/zero", ": >>/proc/sys/net/ipv4/ip_forward",
         ": >>/proc/sysrq-trigger", "head -c 1 /proc/kcore", "cat /etc/passwd", "mount -t tmpfs none /mnt",
         "chown 7:8 /tmp/probed", "chmod 4755 /tmp/probed", "kill -0 1", "ls /root")

SCRIPT = f"""
show() {{ echo "=== $1"; cat "$2" 2>/dev/null; }}
for f in {" ".join(PROCESS)}; do show proc.$f /proc/$$/$f; done
for f in {" ".join(KERNEL)}; do show sys.$f /proc/sys/$f; done
for f in {" ".join(CGROUP)}; do show cgroup.$f /sys/fs/cgroup/$f; done
echo "=== umask"; umask
echo "=== environ"; cat /proc/$$/environ | tr '\\0' '\\n'
echo "=== cwd"; readlink /proc/$$/cwd
echo "=== ns"; for f in /proc/$$/ns/*; do echo "${{f##*/}} $(readlink $f)"; done
echo "=== fd"; for f in /proc/$$/fd/*; do [ -e $f ] && echo "${{f##*/}} $(readlink $f)"; done
echo "=== dev"; find /dev -xdev | while read f; do stat -c '%n %f %t:%T %u:%g' "$f"; done
echo "=== links"; find /dev -xdev -type l | while read f; do echo "$f $(readlink $f)"; done
echo "=== roots"; for f in / /bin /dev /etc /proc /sys /tmp /var /mnt; do stat -c '%n %f %u:%g' $f; done
echo "=== interfaces"; cat /proc/net/dev | tail -n +3 | while IFS=: read name rest; do
  echo $name $(cat /sys/class/net/$name/flags 2>/dev/null); done
echo "=== tried"; while read -r line; do
  (eval "$line") >/dev/null 2>&1 && echo "yes $line" || echo "no $line"; done <<END
{chr(10).join(TRIED)}
END
echo "=== end"
"""


def sections(text: str) -> dict[str, list[str]]:
    """Section -> its lines. AssertionError when the script did not come to its end."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.replace("\r\n", "\n").splitlines():
        if line.startswith("=== "):
            lines = found[line[4:]] = []
        else:
            lines.append(line)
    assert "end" in found, f"the probe did not finish:\n{text[-2000:]}"
    return found


def mount(line: str) -> dict[str, Any]:
    """One line of mountinfo (proc_pid_mountinfo(5)) without ids, which no two containers share."""
    fields, _, tail = line.partition(" - ")
    _, _, _, root, point, options, *optional = fields.split(" ")
    kind, source, superblock = tail.split(" ")
    return {"root": root, "point": point, "type": kind, "source": source, "options": sorted(options.split(",")),
            "super": sorted(superblock.split(",")),
            "propagation": sorted(entry.partition(":")[0] for entry in optional)}


def pairs(lines: list[str], separator: str | None = None) -> dict[str, str]:
    return {key: value for key, _, value in ((line.strip() + " ").partition(separator or " ") for line in lines)}


def parse(text: str) -> dict[str, Any]:
    """The script's output as a view: status, limits, mounts, environ, devices and so on."""
    found = sections(text)

    def files(prefix: str) -> dict[str, str]:
        return {name.removeprefix(prefix): "\n".join(lines) for name, lines in found.items()
                if name.startswith(prefix) and lines}
    return {
        "status": {key: " ".join(value.split()) for key, value in pairs(found["proc.status"], ":").items()},
        "limits": {line[:26].strip(): line[26:].split()[:2] for line in found["proc.limits"][1:]},
        "mounts": [mount(line) for line in found["proc.mountinfo"]],
        "process": {name: value for name, value in files("proc.").items()
                    if name not in ("status", "limits", "mountinfo")},
        "sysctl": files("sys."), "cgroup": files("cgroup."), "umask": found["umask"][0],
        "environ": found["environ"], "cwd": "".join(found["cwd"]), "namespaces": pairs(found["ns"]),
        # 10 and up is the shell's own copy of the script it reads.
        "fds": {name: re.sub(r"\[\d+\]", "[]", target.strip()) for name, target in pairs(found["fd"]).items()},
        "devices": {name: rest.split() for name, rest in pairs(found["dev"]).items()},
        "links": {name: target.strip() for name, target in pairs(found["links"]).items()},
        "roots": {name: rest.split() for name, rest in pairs(found["roots"]).items()},
        "tried": {line.partition(" ")[2]: line.partition(" ")[0] for line in found["tried"]},
        "interfaces": {name: flags.strip() for name, flags in pairs(found["interfaces"]).items()},
    }
