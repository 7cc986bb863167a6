# PID 1 in the guest's root: cgroup v2 with every controller, then the work; with /job/systemd, systemd is PID 1.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb LANG=C.UTF-8
hostname guest; ip link set lo up
if [ -e /job/systemd ]; then
  # Not multi-user.target: whatever services the host has enabled are not wanted here.
  units=/etc/systemd/system; mkdir -p $units
  printf '[Unit]\nAfter=basic.target dbus.service\n[Service]\nType=oneshot\nExecStart=/bin/bash /job/work.sh\n%s\n' \
    'LimitNOFILE=1048576' >$units/work.service
  printf '[Unit]\nRequires=basic.target\nWants=%s %s\nAfter=basic.target\n' 'dbus.service systemd-logind.service' \
    'systemd-user-sessions.service work.service' >$units/work.target
  ln -sf $units/work.target $units/default.target
  for x in default sysinit sockets timers; do rm -rf $units/$x.target.wants; done
  ln -sf /dev/null $units/proc-sys-fs-binfmt_misc.automount     # a mount that would come in the middle of a test
  exec /lib/systemd/systemd --log-target=null --show-status=0
fi
mount -t cgroup2 -o nsdelegate,memory_recursiveprot cgroup /sys/fs/cgroup
for x in $(cat /sys/fs/cgroup/cgroup.controllers); do echo "+$x" >/sys/fs/cgroup/cgroup.subtree_control; done
ulimit -n 1048576; ulimit -c 0
bash /job/work.sh
