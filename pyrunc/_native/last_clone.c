/* last_clone.c: exec's way into a pid namespace, which only a new process can go. */
#include "last_stage.h"

#include <linux/sched.h>

/* The process in whose place it goes on is a sibling (the runtime stays the parent) and the leader of a session, and
 * dies with the runtime. Of either, a fork has nothing to hand on. */
void clone_inside(struct stage *stage)
{
    struct clone_args args = { .flags = CLONE_PARENT };
    long pid = syscall(SYS_clone3, &args, sizeof args);
    must(stage, pid, "clone the process");
    if (pid) {
        stage->page->child_pid = (int32_t)pid;
        _exit(0);
    }
    must(stage, prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), "set the parent death signal");
    must(stage, setsid(), "begin a new session");
}
