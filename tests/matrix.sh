#!/bin/sh
# make matrix: pyrunc on each release of Debian, with the CPython and the libpython that come with it.
#
#   tests/matrix.sh ROOTS LOGS SUITE...
#
# Each SUITE gets a root by debootstrap in ROOTS (root is needed; one that is there already is used again). In it the files
# of this checkout are built, the demo runs, then the tests of the launcher and of containers, then the benchmark. STEPS
# names fewer of these. A log for each goes to LOGS, and at the end one line for each is printed.
set -eu
cd "$(dirname "$0")/.."
roots=$1 logs=$2
shift 2
steps=${STEPS:-demo test bench}
mkdir -p "$roots" "$logs"

# What is run in a root, in a mount namespace of its own: it sees this machine's /proc, /sys and /dev.
# shellcheck disable=SC2016
ENTER='
mount --bind "$1" "$1"
cd "$1"
for each in proc sys dev; do mount --rbind /$each $each; done
mount -t tmpfs -o mode=755 run run
mkdir -p run/lock old.root
pivot_root . old.root
cd /root/matrix
umount -l /old.root
HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME PATH
exec sh -c "$2"
'
inside() { unshare -m --propagation private sh -ec "$ENTER" sh "$@"; }

command_of() {
  case $1 in
    demo) echo 'make demo && .venv/bin/pyrunc --version' ;;
    test) echo 'make build apt-test .venv/.test &&
      .venv/bin/python -m pytest -q -m "not guest and not guest_systemd" tests/launcher tests/native tests/container' ;;
    bench) echo 'make bench LIFECYCLES=20' ;;
    *) echo "matrix: no such step: $1" >&2; exit 1 ;;
  esac
}

results=
for suite; do
  root=$(realpath "$roots")/$suite
  if ! [ -e "$root/etc/debian_version" ]; then
    debootstrap --variant=minbase --include=ca-certificates,git,make,python3 "$suite" "$root" >"$logs/$suite.root.log" 2>&1
    cp /etc/resolv.conf "$root/etc/resolv.conf"
  fi
  rm -rf "$root/root/matrix"
  mkdir -p "$root/root/matrix"
  git ls-files -z | tar --create --null --files-from=- | tar --extract --directory="$root/root/matrix"
  for step in $steps; do
    log=$logs/$suite.$step.log
    if inside "$root" "$(command_of "$step")" >"$log" 2>&1 </dev/null; then outcome=passed; else outcome="FAILED, $log"; fi
    start=$(grep -h '^start: ' "$log" | tail -n 1 || true)
    results="$results$suite $step: $outcome${start:+ ($start)}
"
  done
done
printf '%s' "$results"
case $results in *FAILED*) exit 1 ;; esac
