/* seccomp.c: what libseccomp does not offer the way it is wanted here. It is a module of its own
 * (build_seccomp.py), so that libseccomp is loaded only where a profile is compiled. */
#define _GNU_SOURCE
#include <errno.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

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
