/* seccomp.c: the two things that libseccomp does not offer the way they are wanted here. It is a module of its own
 * (build_seccomp.py), so that libseccomp is loaded only where a profile is compiled. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

/* seccomp_export_bpf_mem is of libseccomp 2.6; the descriptor form is older and works everywhere. */
int pr_seccomp_export(scmp_filter_ctx filter, void *program, size_t size)
{
    int fd = memfd_create("seccomp", MFD_CLOEXEC);
    if (fd < 0)
        return -1;
    int error = seccomp_export_bpf(filter, fd);
    ssize_t length = -1;
    if (error < 0)
        errno = -error;
    else if ((length = pread(fd, program, size, 0)) == (ssize_t)size) {
        errno = E2BIG;
        length = -1;
    }
    int cause = errno;
    close(fd);
    errno = cause;
    return (int)length;
}

/* seccomp(2): with a NULL program the flags are looked at first, EINVAL, and the program second, EFAULT. */
unsigned pr_seccomp_flags(void)
{
    const unsigned flags[] = { SECCOMP_FILTER_FLAG_TSYNC, SECCOMP_FILTER_FLAG_LOG, SECCOMP_FILTER_FLAG_SPEC_ALLOW,
                               SECCOMP_FILTER_FLAG_NEW_LISTENER, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV };
    unsigned known = 0;
    for (unsigned i = 0; i < sizeof flags / sizeof *flags; i++) {
        unsigned with = flags[i];
        if (with == SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
            with |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
        if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, with, NULL) < 0 && errno == EFAULT)
            known |= flags[i];
    }
    return known;
}
