/* system.h: what every C file here needs from the C library and the kernel's headers.
 *
 * Debian 12 (kernel 6.1 headers, glibc 2.36) is enough: newer system call numbers are named here. All of them
 * are the same number on every architecture since 5.1. <sys/mount.h> is left out on purpose: glibc 2.36
 * defines there what <linux/mount.h> defines too. */
#ifndef PYRUNC_SYSTEM_H
#define PYRUNC_SYSTEM_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif
#ifndef MNT_DETACH           /* the flags of umount2 are in no header of the kernel */
#define MNT_DETACH 2
#define UMOUNT_NOFOLLOW 8
#endif

#include "native.h"

#endif
