/* seccomp_flags.c: which flags of filters the kernel takes. */
#include "system.h"

#include <linux/seccomp.h>

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

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
