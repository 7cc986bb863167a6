/* last_tail.c: the very end: exec's way into a pid namespace, the wait for `start`, closing the last descriptors, execve.
 *
 * From its first instruction in the container's pid namespace a process can be seized there by one that has
 * CAP_SYS_PTRACE: its credentials, its memory, what it has mapped (CVE-2016-9962 and what came after). So it goes there
 * last of all: it has given up what the container does not have, and has let go of the C library and all else that is
 * mapped from the host's files, which the container could open for writing as /proc/PID/map_files. What is left is
 * this code, without the C library (raw.h), in the sealed image. The same holds for an init: while it waits for `start`,
 * a process of exec or of another container may be in its pid namespace. */
#include "last_stage.h"
#include "raw.h"

#include <linux/sched.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <time.h>

enum { BUSY_TRIES = 20 };

/* ---- failing: as fail() and give_up(), without the C library ---- */

static void __attribute__((noreturn)) end_with(struct stage *stage, int error)
{
    record_failure(stage, error);
    raw_exit(1);
}

static void raw_must(struct stage *stage, long result, const char *what)
{
    if (result >= 0)
        return;
    struct line text = begin_text(stage);
    say(&text, what);
    begin_hint(&text);
    end_with(stage, (int)-result);
}

/* ---- strings ---- */

char **next_list(struct stage *stage, const char **text, uint32_t count)
{
    char **list = stage->lists;
    for (uint32_t i = 0; i < count; i++) {
        list[i] = (char *)*text;
        *text += raw_length(*text) + 1;
    }
    list[count] = NULL;
    stage->lists += count + 1;
    return list;
}

/* ---- descriptors ---- */

/* close_unnamed has left nothing but named ones, so that this needs no system call but close: a filter is in force. */
void close_from(struct stage *stage, int first)
{
    for (unsigned i = 0; i < 2 * stage->n; i++) {
        int fd = op_fd(&stage->ops[i / 2], i % 2);
        if (fd >= first && !tells_of_exec(stage, fd))
            RAW(close, fd);
    }
    if (stage->listener >= 0)
        RAW(close, stage->listener);
}

/* ---- the container's program ---- */

void execute(struct stage *stage, const op_t *op)
{
    const struct packed_exec *exec = (const void *)(stage->blob + op->data);
    const char *at = (const char *)(exec + 1);
    char **argv = next_list(stage, &at, exec->argc), **envp = next_list(stage, &at, exec->envc);
    const char *file = *stage->found ? stage->found : argv[0];
    const struct timespec moment = { .tv_nsec = 1000000 };
    __atomic_store_n(&stage->page->phase, PHASE_EXEC, __ATOMIC_RELEASE);
    long error = RAW(execve, file, argv, envp);
    for (int tries = 0; error == -EINTR || (error == -ETXTBSY && tries < BUSY_TRIES); tries++) {
        RAW(nanosleep, &moment, NULL);  /* somebody may just be done with writing it */
        error = RAW(execve, file, argv, envp);
    }
    struct line text = begin_text(stage);
    say(&text, "exec ");
    say(&text, file);
    struct line hint = begin_hint(&text);
    record_failure(stage, (int)-error);
    explain_exec(file, (int)-error, &hint);
    raw_exit(1);
}

/* ---- meeting the runtime, and `start` ---- */

static void meet(struct stage *stage, int fd, int tell)
{
    char byte = '\n';
    long n = 1;
    while (tell && (n = RAW(write, fd, &byte, 1)) == -EINTR)
        ;
    if (n == 1)
        while ((n = RAW(read, fd, &byte, 1)) == -EINTR)
            ;
    raw_must(stage, n == 1 ? 0 : n ? n : -ECONNRESET, "the runtime has ended");
}

void wait_start(struct stage *stage, int fifo)
{
    char byte;
    long n;
    __atomic_store_n(&stage->page->phase, PHASE_WAITING, __ATOMIC_RELEASE);
    while ((n = RAW(read, fifo, &byte, 1)) == -EINTR)
        ;
    raw_must(stage, n == 1 ? 0 : n ? n : -EPIPE, "wait for start");
    __atomic_store_n(&stage->page->phase, PHASE_LAST, __ATOMIC_RELEASE);
}

/* Under a filter even the clock stops (last_stage.c). */
static void note_time(struct stage *stage, uint32_t step, int at_end)
{
    struct timespec now;
    if (stage->filtered || step >= stage->page->steps || RAW(clock_gettime, CLOCK_MONOTONIC, &now) < 0)
        return;
    uint64_t time = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    if (at_end)
        stage->page->times[step].end = time;
    else
        stage->page->times[step].start = time;
}

/* What is left to do; last_check.c has seen that it is no more than this. */
static void __attribute__((noreturn)) finish(struct stage *stage, const op_t *op)
{
    for (;; op++) {
        stage->page->child_step = (int32_t)op->step;
        note_time(stage, op->step, 0);
        switch (op->code) {
        case OP_BARRIER:
            meet(stage, (int)op->a, 1);
            break;
        case OP_CLOSE_FD:
            raw_must(stage, RAW(close, op->a), "close a descriptor");
            break;
        case OP_WAIT_START:
            wait_start(stage, (int)op->a);
            break;
        case OP_CLOSE_FROM:
            close_from(stage, (int)op->a);
            break;
        default:
            execute(stage, op);
        }
        note_time(stage, op->step, 1);
    }
}

static void unmap(struct stage *stage)
{
    for (struct span *span = stage->spans; LETS_GO && span < stage->spans + stage->span_count; span++)
        raw_must(stage, RAW(munmap, span->from, span->to - span->from, 0, 0, 0, stage->secret), "unmap a library");
}

void let_go(struct stage *stage, const op_t *op)
{
    unmap(stage);
    note_time(stage, op->step, 1);
    if (op->c == 0)
        finish(stage, op + 1);
}

/* ---- into the pid namespace ---- */

/* The process in whose place it goes on is a sibling (the runtime stays the parent), or goes to whoever adopts what the
 * runtime's children leave, when this process ends; and it is the leader of a session. It begins by waiting for the
 * runtime, without which it ends. Of either, a fork has nothing to hand on. The runtime is
 * told the number by the kernel, for a filter may kill this process when it has cloned the other and wants to end.
 *
 * A filter is in force. Where it would refuse these calls it has a door for them: stage->secret (last_stage.c). */
void clone_inside(struct stage *stage, const op_t *op)
{
    page_t *page = stage->page;
    page->child_pid = 0;
    unmap(stage);
    long flags = (op->c & 2 ? SIGCHLD : CLONE_PARENT) | CLONE_PARENT_SETTID;
    long pid = RAW(clone, flags, 0, &page->child_pid, 0, 0, stage->secret);
    raw_must(stage, pid, "clone the process");
    if (pid)
        raw_exit(0);
    raw_must(stage, RAW(setsid, 0, 0, 0, 0, 0, stage->secret), "begin a new session");
    if (op->len)                /* what it inherited has room for the one that cloned it: to lower it takes no privilege */
        raw_must(stage, RAW(prlimit64, 0, RLIMIT_NPROC, stage->blob + op->data, 0, 0, stage->secret),
                 "limit the number of processes");
    if (op->c & 1)
        raw_must(stage, RAW(ioctl, 0, TIOCSCTTY, 0, 0, 0, stage->secret), "make the terminal the controlling terminal");
    meet(stage, (int)op->a, 0);
    finish(stage, op + 1);
}
