/* process.c: ids, signals, limits, namespaces and keyrings of processes. clone.c has the clone, run.c programs. */
#include "system.h"

#include <linux/keyctl.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

int pr_unshare(int flags)
{
    return unshare(flags);
}

int pr_setns(int fd, int nstype)
{
    return setns(fd, nstype);
}

int pr_pidfd_open(int pid, unsigned flags)
{
    return (int)syscall(SYS_pidfd_open, pid, flags);
}

int pr_pidfd_getfd(int pidfd, int fd)
{
    return (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
}

int pr_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
{
    return prctl(option, a, b, c, d);
}

int pr_prlimit(int pid, int resource, uint64_t soft, uint64_t hard)
{
    struct rlimit limit = { .rlim_cur = soft, .rlim_max = hard };
    return prlimit(pid, (enum __rlimit_resource)resource, &limit, NULL);
}

int pr_close_range(unsigned first, unsigned last, unsigned flags)
{
    return (int)syscall(SYS_close_range, first, last, flags);
}

int pr_socketpair(int *fds)
{
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds);
}

/* ---- signals ---- */

int pr_signals_reset(void)
{
    /* The system call and not sigaction(3), which refuses the two signals that the C library keeps for itself. An
     * all-zero struct sigaction of the kernel means SIG_DFL on every architecture. */
    const unsigned char standard[64] = { 0 };
    sigset_t none;
    for (int number = 1; number <= 64; number++)
        if (number != SIGKILL && number != SIGSTOP)
            if (syscall(SYS_rt_sigaction, number, standard, NULL, 8) < 0)
                return -1;
    sigemptyset(&none);
    return sigprocmask(SIG_SETMASK, &none, NULL);
}

int pr_signals_block(void)
{
    sigset_t all;
    sigfillset(&all);
    return sigprocmask(SIG_SETMASK, &all, NULL);
}

int pr_signalfd(void)
{
    sigset_t all;
    sigfillset(&all);
    return signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
}

void pr_forget_environment(void)
{
    for (char **variable = environ; variable && *variable; variable++)
        memset(*variable, 0, strlen(*variable));
}

/* ---- threads ---- */

int pr_tasks(void)
{
    /* The kernel counts the threads into the number of links of /proc/self/task, beside "." and "..". */
    struct stat task;
    return stat("/proc/self/task", &task) < 0 ? -1 : (int)task.st_nlink - 2;
}

/* ---- ids: system calls, because the C library's functions would make other threads follow ---- */

int pr_setgroups(int n, const uint32_t *gids)
{
    return (int)syscall(SYS_setgroups, n, gids);
}

/* A change of ids clears the parent death signal (prctl(2)): it is set again, as the init must not outlive a
 * runtime that is killed before the container is ready. */
static int keeping_death_signal(long call, uint32_t id)
{
    int death = 0;
    prctl(PR_GET_PDEATHSIG, &death, 0, 0, 0);
    if (syscall(call, id, id, id) < 0)
        return -1;
    return death ? prctl(PR_SET_PDEATHSIG, death, 0, 0, 0) : 0;
}

int pr_setresuid(uint32_t uid)
{
    return keeping_death_signal(SYS_setresuid, uid);
}

int pr_setresgid(uint32_t gid)
{
    return keeping_death_signal(SYS_setresgid, gid);
}

/* ---- names ---- */

int pr_sethostname(const char *name, size_t len)
{
    return sethostname(name, len);
}

int pr_setdomainname(const char *name, size_t len)
{
    return setdomainname(name, len);
}

/* ---- keyrings, affinity, network ---- */

int pr_keyctl_join_session(const char *name)
{
    return (int)syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, *name ? name : NULL);
}

int pr_keyctl_setperm(int serial, uint32_t add)
{
    char about[4096 + 64];              /* "keyring;<uid>;<gid>;<permissions, hexadecimal>;<name, at most 4095>" */
    unsigned permissions;
    int owner;
    long len = syscall(SYS_keyctl, KEYCTL_DESCRIBE, serial, about, sizeof about);
    if (len < 0)
        return -1;
    if (len > (long)sizeof about || sscanf(about, "%*[^;];%d;%*d;%x", &owner, &permissions) != 2) {
        errno = EPROTO;
        return -1;
    }
    if (owner != (int)geteuid()) {
        errno = EKEYREJECTED;
        return -1;
    }
    return (int)syscall(SYS_keyctl, KEYCTL_SETPERM, serial, permissions | add);
}

int pr_sched_setattr(int pid, const unsigned char *attr)
{
    return (int)syscall(SYS_sched_setattr, pid, attr, 0);
}

int pr_sched_setaffinity(int pid, const unsigned char *mask, size_t len)
{
    return (int)syscall(SYS_sched_setaffinity, pid, len, mask);
}

int pr_loopback_up(void)
{
    struct ifreq request = { .ifr_name = "lo" };
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);     /* interface ioctls work on any socket */
    if (fd < 0)
        return -1;
    int result = ioctl(fd, SIOCGIFFLAGS, &request);
    if (result == 0) {
        request.ifr_flags |= IFF_UP;
        result = ioctl(fd, SIOCSIFFLAGS, &request);
    }
    int cause = errno;
    close(fd);
    errno = cause;
    return result;
}
