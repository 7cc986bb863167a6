# PID 1 in the guest's root: cgroup v2 with every controller, then the work; with /job/systemd, systemd is PID 1.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb LANG=C.UTF-8
hostname guest; ip link set lo up
if [ -e /job/systemd ]; then
  units=/etc/systemd/system; mkdir -p $units/multi-user.target.wants
  printf '[Unit]\nAfter=basic.target dbus.service\n[Service]\nType=oneshot\nExecStart=/bin/bash /job/work.sh\n%s\n' \
    'LimitNOFILE=1048576' >$units/work.service
  ln -sf $units/work.service $units/multi-user.target.wants/
  ln -sf /lib/systemd/system/multi-user.target $units/default.target
  for x in console-getty getty@tty1 serial-getty@ttyS0 apt-daily apt-daily-upgrade dpkg-db-backup e2scrub_reap \
           systemd-networkd-wait-online containerd docker docker.socket cron; do
    case $x in *.socket) ;; *) x=$x.service ;; esac
    ln -sf /dev/null $units/$x
  done
  exec /lib/systemd/systemd --log-target=null --show-status=0
fi
mount -t cgroup2 -o nsdelegate,memory_recursiveprot cgroup /sys/fs/cgroup
for x in $(cat /sys/fs/cgroup/cgroup.controllers); do echo "+$x" >/sys/fs/cgroup/cgroup.subtree_control; done
ulimit -n 1048576; ulimit -c 0
bash /job/work.sh
