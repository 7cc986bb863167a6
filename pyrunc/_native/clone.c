/* clone.c: clone3 of a Python process, after which both processes go on in Python. */
#define Py_LIMITED_API 0x030b0000
#include <Python.h>

#include "system.h"

#include <linux/sched.h>
#include <poll.h>
#include <stdbool.h>

/* The child's first system calls: die with the parent, who may have died before the child could say so. A new pid
 * namespace hides the parent's pid, so that is asked of a descriptor of the parent. */
static void tie_to_parent(int parent, int signal)
{
    struct pollfd ended = { .fd = parent, .events = POLLIN };
    if (prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0) < 0 || (parent >= 0 && poll(&ended, 1, 0) > 0))
        _exit(1);
}

/* Whether this process has been cloned here, for a container: nothing may be loaded in it (libm.c). */
bool pr_cloned;

static int clone_python(struct clone_args *args, int parent, int pdeathsig)
{
    /* binding.c has let go of the interpreter around this call. The hooks want to be called with it held, in both
     * processes; PyOS_AfterFork_Child makes new locks for the one thread that is left, with this thread as their
     * holder, so that giving back what was taken works in the child just as in the parent. */
    PyGILState_STATE gil = PyGILState_Ensure();
    PyOS_BeforeFork();
    int pid = (int)syscall(SYS_clone3, args, sizeof *args);
    int cause = errno;
    if (pid == 0) {
        pr_cloned = true;
        if (pdeathsig)
            tie_to_parent(parent, pdeathsig);
        PyOS_AfterFork_Child();
    } else {
        PyOS_AfterFork_Parent();
    }
    PyGILState_Release(gil);
    errno = cause;
    return pid;
}

int pr_clone3(uint64_t flags, int cgroup_fd, int *pidfd, int pdeathsig)
{
    struct clone_args args = {
        .flags = flags | (pidfd ? CLONE_PIDFD : 0),
        .pidfd = (uint64_t)(uintptr_t)pidfd,
        .exit_signal = flags & CLONE_PARENT ? 0 : SIGCHLD,
    };
    if (cgroup_fd >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)cgroup_fd;
    }
    int tasks = pr_tasks();
    if (tasks != 1) {       /* the other threads' locks would stay locked for ever in the child */
        errno = tasks < 0 ? errno : EDEADLK;
        return -1;
    }
    int parent = -1;
    if (pdeathsig && !(flags & CLONE_PARENT)) {
        parent = pr_pidfd_open(getpid(), 0);
        if (parent < 0)
            return -1;
    }
    int pid = clone_python(&args, parent, pdeathsig);
    if (parent >= 0) {
        int cause = errno;
        close(parent);
        errno = cause;
    }
    return pid;
}
