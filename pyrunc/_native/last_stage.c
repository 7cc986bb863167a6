/* last_stage.c: from pivot_root to execve, in the container's init, without Python.
 *
 * The plan has been made; here it is carried out, one operation after the other, each noted in the journal page
 * before it acts. No heap, no C library function that might open a file or a socket (locale, NSS, iconv): the root
 * belongs to the container now. After OP_SECCOMP an operation makes no system call but those that name it, since
 * the filter may kill for any other: even the clock stops (vDSO or not, it may be one). */
#include "last_stage.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/auxv.h>
#include <sys/socket.h>

enum { IOPRIO_WHO_PROCESS = 1 };

/* ---- failing ---- */

struct line begin_text(struct stage *stage)
{
    return line_in(stage->page->text, PAGE_TEXT - 1);
}

struct line begin_hint(const struct line *text)
{
    return line_in(text->at + 1, (size_t)(text->end - text->at));
}

void record_failure(struct stage *stage, int error)
{
    stage->page->error = error;
    __atomic_store_n(&stage->page->phase, PHASE_FAILED, __ATOMIC_RELEASE);
}

/* --break-on-error: tell the runtime, and wait until it ends this process. */
static void hold(const page_t *page)
{
    char byte = '!';
    ssize_t n;
    if (page->hold > 0 && write(page->hold, &byte, 1) == 1)
        do
            n = read(page->hold, &byte, 1);
        while (n > 0 || (n < 0 && errno == EINTR));
}

void give_up(struct stage *stage, int error, const struct line *text, const char *hint)
{
    struct line told = begin_hint(text);
    say(&told, hint);
    record_failure(stage, error);
    hold(stage->page);
    _exit(1);
}

void fail(struct stage *stage, const char *what)
{
    int error = errno;
    struct line text = begin_text(stage);
    say(&text, what);
    give_up(stage, error, &text, "");
}

void must(struct stage *stage, long result, const char *what)
{
    if (result < 0)
        fail(stage, what);
}

/* ---- meeting the parent ---- */

/* The first time there is something to do while the runtime does its part. */
static void barrier(struct stage *stage, int fd)
{
    char byte = '\n';
    ssize_t n;
    while ((n = write(fd, &byte, 1)) < 0 && errno == EINTR)
        ;
    if (n == 1 && !stage->lean++)
        forget_interpreter();
    if (n == 1)
        while ((n = read(fd, &byte, 1)) < 0 && errno == EINTR)
            ;
    if (n == 1)
        return;
    if (n == 0)
        errno = ECONNRESET;
    fail(stage, "the runtime has ended");
}

/* ---- single operations ---- */

/* To a runtime that may not take it out of this process (pidfd_getfd wants the right to trace). */
static void pass_listener(struct stage *stage, int sync)
{
    char byte = '\n';
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = { .header = { .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS } };
    struct iovec bytes = { &byte, 1 };
    struct msghdr message = { .msg_iov = &bytes, .msg_iovlen = 1, .msg_control = &control,
                              .msg_controllen = sizeof control };
    memcpy(CMSG_DATA(&control.header), &stage->listener, sizeof(int));
    must(stage, sendmsg(sync, &message, MSG_NOSIGNAL), "send the filter's listener");
}

static void load_filter(struct stage *stage, const op_t *op)
{
    const struct sock_filter *filter = (const void *)(stage->blob + op->data);
    size_t count = op->len / sizeof *filter;
    if (stage->secret)
        filter = with_door(stage, filter, &count);
    struct sock_fprog program = { .len = (unsigned short)count, .filter = (struct sock_filter *)filter };
    unsigned long flags = (unsigned long)op->a | (op->b ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0);
    stage->filtered = 1;
    int fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
    must(stage, fd, "load the seccomp filter");
    if (flags & SECCOMP_FILTER_FLAG_NEW_LISTENER)
        stage->page->listener_fd = stage->listener = fd;
    if (op->b == 2)
        pass_listener(stage, (int)op->c);
}

/* Not below our root (CVE-2024-21626): getcwd says "(unreachable)/...". Under a filter of ours it is not asked again:
 * the filter may not know getcwd, and nothing has changed the directory since. */
static void verify_cwd(struct stage *stage)
{
    static char path[PATH_MAX];
    if (stage->filtered && stage->cwd_is_safe)
        return;
    long n = syscall(SYS_getcwd, path, sizeof path);
    if (n < 0 && errno != ENOENT)
        fail(stage, "ask for the current working directory");
    if (n < 0 || path[0] != '/') {
        errno = 0;
        fail(stage, "current working directory is outside of container mount namespace root "
                    "-- possible container breakout detected");
    }
    stage->cwd_is_safe = 1;
}

/* The directory may be out of reach for root (a network file system) or for the container's user: it is tried as
 * both, a = 1 being the first time. */
static void enter_cwd(struct stage *stage, const op_t *op)
{
    const char *path = stage->blob + op->data;
    if (stage->cwd_is_safe)
        return;
    if (chdir(path) == 0) {
        verify_cwd(stage);
        return;
    }
    int cause = errno;
    if (op->a && (cause == EACCES || cause == EPERM))
        return;
    struct line text = begin_text(stage);
    say(&text, "chdir to cwd (");
    say_quoted(&text, path);
    say(&text, ") set in config.json failed");
    give_up(stage, cause, &text, "");
}

static void verify_all(struct stage *stage, const op_t *op)
{
    struct line text = begin_text(stage);
    if (verify((const void *)(stage->blob + op->data), stage->groups, stage->filtered, &text) < 0)
        give_up(stage, errno, &text, "");
}

/* ---- the interpreter ---- */

/* What a failure of perform() is called; the other operations know more to say. */
static const char *const names[OP_DUMPABLE + 1] = {
    [OP_AMBIENT] = "clear the ambient capabilities",
    [OP_BOUNDING] = "drop bounding capabilities",
    [OP_CAPSET] = "set capabilities",
    [OP_CHOWN_STDIO] = "make the container's user the owner of the standard streams",
    [OP_CLOSE_FD] = "close a descriptor",
    [OP_DUMPABLE] = "become dumpable",
    [OP_IOPRIO] = "set the I/O priority",
    [OP_KEEP_CAPS] = "keep capabilities",
    [OP_MEMPOLICY] = "set the memory policy",
    [OP_NO_NEW_PRIVS] = "set no_new_privs",
    [OP_NO_PDEATHSIG] = "clear the parent death signal",
    [OP_PERSONALITY] = "set the personality",
    [OP_PROPAGATION] = "set the propagation of the root",
    [OP_SCHEDULER] = "set the scheduler",
    [OP_SETGID] = "set the group id",
    [OP_SETGROUPS] = "set the groups",
    [OP_SETNS] = "join a namespace",
    [OP_SETUID] = "set the user id",
    [OP_SIGNALS] = "set the handlers of signals",
    [OP_TERMINAL] = "make the terminal the controlling terminal",
};

/* The operations that are one call: -1 and errno when it fails. */
static long perform(const struct stage *stage, const op_t *op)
{
    const char *data = stage->blob + op->data;
    switch (op->code) {
    case OP_AMBIENT:
        return set_ambient((uint64_t)op->a);
    case OP_BOUNDING:
        return drop_bounding((uint64_t)op->a);
    case OP_CAPSET:
        return set_capabilities((uint64_t)op->a, (uint64_t)op->b, (uint64_t)op->c);
    case OP_CHOWN_STDIO:
        return own_stdio((uint32_t)op->a);
    case OP_CLOSE_FD:
        if (stage->page->hold == (int)op->a)
            stage->page->hold = 0;
        return close((int)op->a);
    case OP_IOPRIO:
        return syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, (int)op->a);
    case OP_KEEP_CAPS:
        return prctl(PR_SET_KEEPCAPS, (unsigned long)op->a, 0, 0, 0);
    case OP_MEMPOLICY:
        /* The kernel takes one off the number of bits it is told. */
        return syscall(SYS_set_mempolicy, (int)op->a, op->len ? data : NULL, op->len ? (unsigned long)op->b + 1 : 0);
    case OP_NO_NEW_PRIVS:
        return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    case OP_NO_PDEATHSIG:
        return prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
    case OP_PERSONALITY:
        return syscall(SYS_personality, (unsigned long)op->a);
    case OP_PROPAGATION:
        return pr_mount(NULL, "/", NULL, (unsigned long)op->a, NULL);
    case OP_SCHEDULER:
        return syscall(SYS_sched_setattr, 0, data, 0);
    case OP_SETGID:
        return pr_setresgid((uint32_t)op->a);
    case OP_SETGROUPS:
        return pr_setgroups((int)(op->len / 4), (const uint32_t *)(const void *)data);
    case OP_SETNS:
        return setns((int)op->a, (int)op->b);
    case OP_SETUID:
        return pr_setresuid((uint32_t)op->a);
    case OP_SIGNALS:
        return end_by_signals();
    case OP_DUMPABLE:
        return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    case OP_TERMINAL:
        return pr_setsid_ctty(STDIN_FILENO);
    case OP_UMASK:
        return umask((mode_t)op->a);
    default:
        errno = ENOSYS;
        return -1;
    }
}

static void dispatch(struct stage *stage, const op_t *op)
{
    switch (op->code) {
    case OP_BARRIER:
        barrier(stage, (int)op->a);
        break;
    case OP_CHDIR:
        enter_cwd(stage, op);
        break;
    case OP_CHROOT:
        change_root(stage, (int)op->a);
        break;
    case OP_CLONE:
        clone_inside(stage, op);
    case OP_CLOSE_FROM:
        close_from(stage, (int)op->a);
        break;
    case OP_EXEC:
        execute(stage, op);
    case OP_FIND_EXECUTABLE:
        look_up(stage, op);
        break;
    case OP_HOOK:
        run_hook(stage, op);
        break;
    case OP_LET_GO:
        let_go(stage, op);
        break;
    case OP_MOVE_ROOT:
        move_root(stage, (int)op->a);
        break;
    case OP_PIVOT_ROOT:
        pivot_root(stage, (int)op->a);
        break;
    case OP_SECCOMP:
        load_filter(stage, op);
        break;
    case OP_VERIFY:
        verify_all(stage, op);
        break;
    case OP_VERIFY_CWD:
        verify_cwd(stage);
        break;
    case OP_WAIT_START:
        wait_start(stage, (int)op->a);
        break;
    default:
        must(stage, perform(stage, op), names[op->code]);
    }
}

static void __attribute__((noreturn)) refuse(struct stage *stage, unsigned index, const char *fault)
{
    struct line text = begin_text(stage);
    say(&text, "operation ");
    say_number(&text, index, 10);
    say(&text, " of the last stage: ");
    say(&text, fault);
    give_up(stage, EINVAL, &text, "");
}

/* The command line and the environment of the runtime's caller lie at the end of the stack, below them what Python has
 * left there; /proc/PID/environ and a debugger would show them in the container. The name stays, for ps(1). from: where
 * the last stage's own part begins; it never returns to what lies beyond. */
static void forget_stack(char *from)
{
    (void)from;
#ifndef PYRUNC_FUZZ
    char name[64] = { 0 }, *end = (char *)getauxval(AT_EXECFN), *named = program_invocation_name;
    if (!end || end < from)
        return;
    end += strlen(end);
    strncpy(name, named, sizeof name - 1);
    memset(from, 0, (size_t)(end - from));
    if (named >= from && named + sizeof name < end)
        strcpy(named, name);
#endif
}

/* What OP_CLONE or OP_LET_GO will need, while the root is the host's and no filter is in force. */
static void prepare_tail(struct stage *stage)
{
    for (unsigned i = 0; i < stage->n; i++)
        if (stage->ops[i].code == OP_CLONE || stage->ops[i].code == OP_LET_GO) {
            note_libraries(stage, stage->ops[i].code == OP_LET_GO && stage->ops[i].c);
            if (!stage->ops[i].b)
                continue;
            must(stage, syscall(SYS_getrandom, &stage->secret, sizeof stage->secret, 0), "ask for a random number");
            stage->secret |= 1;
        }
}

/* After it nothing of the caller's memory is used: the stage has its own copy of what it was handed. */
static void prepare(struct stage *stage, size_t blob_len)
{
    unsigned index;
    const char *fault;
    int64_t pointers = last_check(stage->ops, stage->n, stage->blob, blob_len, &index, &fault);
    if (pointers < 0)
        refuse(stage, index, fault);
    stage->ops = keep(stage, stage->ops, stage->n * sizeof *stage->ops);
    stage->blob = keep(stage, stage->blob, blob_len);
    stage->lists = keep(stage, NULL, (size_t)pointers * sizeof(char *) + ROOM_FOR_GROUPS);
    stage->groups = (uint32_t *)(stage->lists + pointers);
    must(stage, pr_signals_reset(), "reset the signals");
    close_unnamed(stage);
    prepare_tail(stage);
}

void pr_last_stage(page_t *page, const op_t *ops, unsigned n, const char *blob, size_t blob_len)
{
    struct stage stage = { .page = page, .ops = ops, .n = n, .blob = blob, .listener = -1 };
    uint32_t steps = page->steps;
    page->phase = PHASE_LAST;
    tell_layout();
    prepare(&stage, blob_len);
    forget_stack(__builtin_dwarf_cfa());
    for (const op_t *op = stage.ops; op < stage.ops + n; op++) {
        page->child_step = (int32_t)op->step;
        if (!stage.filtered && op->step < steps)
            page->times[op->step].start = pr_now();
        dispatch(&stage, op);
        if (!stage.filtered && op->step < steps)
            page->times[op->step].end = pr_now();
    }
    _exit(1);                           /* not reached: the last operation is OP_EXEC */
}
