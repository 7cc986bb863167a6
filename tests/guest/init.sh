#!/bin/busybox sh
# PID 1 in the initramfs: lay a throw-away overlay over the host's root (9p, read-only) and switch to it.
# The job's share is mounted on /job; the folders after `keep=` on the kernel's command line stay visible in a new /tmp.
/bin/busybox --install -s /bin; export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for module in /modules/*; do insmod "$module"; done
keep=
for word in $(cat /proc/cmdline); do case $word in keep=*) keep=$(echo "${word#keep=}" | tr , ' ') ;; esac; done
p9=trans=virtio,version=9p2000.L,msize=512000 n=/new
mount -t 9p -o $p9,cache=loose,ro host /host || poweroff -f
mount -t tmpfs -o size=80%,mode=755 upper /upper; mkdir -p /upper/up /upper/work /upper/tmp
mount -t overlay overlay -o lowerdir=/host,upperdir=/upper/up,workdir=/upper/work $n || poweroff -f
mount -t proc proc $n/proc; mount -t sysfs sys $n/sys; mount -t devtmpfs dev $n/dev
mkdir -p $n/dev/pts $n/dev/shm $n/dev/mqueue
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts $n/dev/pts
mount -t tmpfs -o mode=1777 shm $n/dev/shm; mount -t mqueue mqueue $n/dev/mqueue
ln -sf /proc/self/fd $n/dev/fd
for x in 0:stdin 1:stdout 2:stderr; do ln -sf /proc/self/fd/${x%:*} $n/dev/${x#*:}; done
mount -t tmpfs -o mode=755 run $n/run; mkdir -p $n/run/lock $n/run/user $n/job
# A tmpfs, since an overlay can be neither the upper layer of another overlay nor the home of some sockets.
mount -t tmpfs -o mode=1777,size=80% tmp /upper/tmp
for x in $keep; do
  case $x in /tmp/*) mkdir -p "/upper$x"; mount -o bind "$n$x" "/upper$x" ;; esac
done
mount -o move /upper/tmp $n/tmp
for x in containerd docker containers buildah; do
  mkdir -p $n/var/lib/$x; mount -t tmpfs -o size=80% $x $n/var/lib/$x
done
mount -t 9p -o $p9,cache=none job $n/job || poweroff -f
mount -t securityfs securityfs $n/sys/kernel/security; mount -t bpf bpf $n/sys/fs/bpf
umount /proc /sys /dev; rm -f $n/.dockerenv
exec switch_root /new /bin/bash /job/boot.sh
