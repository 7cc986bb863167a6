/* last_stage.c: from pivot_root to execve, in the container's init, without Python.
 *
 * The plan has been made; here it is carried out, one operation after the other, each noted in the journal page
 * before it acts. No heap, no C library function that might open a file or a socket (locale, NSS, iconv): the root
 * belongs to the container now. After OP_SECCOMP an operation makes no system call but those that name it, since
 * the filter may kill for any other: even the clock stops (vDSO or not, it may be one). */
#include "last_stage.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

enum { IOPRIO_WHO_PROCESS = 1, HOOK_OUTPUT = 1024, FD_LIMIT = 1 << 20, BUSY_TRIES = 20 };

struct stage {
    page_t *page;
    const op_t *ops;
    unsigned n;
    const char *blob;
    char **lists;                       /* room for argv and envp of hooks and exec, taken from the front */
    int filtered;                       /* a seccomp filter has been loaded */
    int listener;                       /* its notify descriptor, or -1 */
    int cwd_is_safe;                    /* we are in the configured directory, and it is below the root */
    char found[PATH_MAX];               /* what OP_FIND_EXECUTABLE found */
};

/* ---- failing: everything the parent will know is written before the hint is looked for ---- */

static struct line begin_text(struct stage *stage)
{
    return line_in(stage->page->text, PAGE_TEXT - 1);
}

/* The hint is a second string after the text's NUL. */
static struct line begin_hint(const struct line *text)
{
    return line_in(text->at + 1, (size_t)(text->end - text->at));
}

/* error 0: the text says it all. */
static void record_failure(struct stage *stage, int error)
{
    stage->page->error = error;
    __atomic_store_n(&stage->page->phase, PHASE_FAILED, __ATOMIC_RELEASE);
}

static void __attribute__((noreturn)) give_up(struct stage *stage, int error, const struct line *text, const char *hint)
{
    struct line told = begin_hint(text);
    say(&told, hint);
    record_failure(stage, error);
    _exit(1);
}

static void __attribute__((noreturn)) fail(struct stage *stage, const char *what)
{
    int error = errno;
    struct line text = begin_text(stage);
    say(&text, what);
    give_up(stage, error, &text, "");
}

static void must(struct stage *stage, long result, const char *what)
{
    if (result < 0)
        fail(stage, what);
}

/* ---- descriptors ---- */

static void close_span(unsigned first, unsigned last)
{
    struct rlimit limit;
    if (first > last || pr_close_range(first, last, 0) == 0)
        return;
    getrlimit(RLIMIT_NOFILE, &limit);           /* an outer filter that does not know close_range */
    for (unsigned fd = first; fd <= last && fd < limit.rlim_max && fd < FD_LIMIT; fd++)
        close((int)fd);
}

/* Only what an operation names is still needed. All else from the first descriptor that the container does not get
 * is closed now, while the root is still the host's: a directory of the host must not survive the switch. What is
 * kept is closed by exec at the latest, which is how the runtime sees that the exec succeeded. */
static void close_unnamed(struct stage *stage)
{
    int first = -1;
    for (unsigned i = 0; i < stage->n; i++)
        if (stage->ops[i].code == OP_CLOSE_FROM)
            first = (int)stage->ops[i].a;
    if (first < 0)
        return;
    for (int low = first;;) {
        int next = INT_MAX;                     /* the lowest that is named and not below low */
        for (unsigned i = 0; i < stage->n; i++) {
            int fd = op_fd(&stage->ops[i]);
            if (fd >= low && fd < next)
                next = fd;
        }
        close_span((unsigned)low, next == INT_MAX ? ~0U : (unsigned)next - 1);
        if (next == INT_MAX)
            return;
        fcntl(next, F_SETFD, FD_CLOEXEC);
        low = next + 1;
    }
}

/* Whether a descriptor tells somebody that the exec has happened, by being closed by it. Nothing can be reached
 * through a socket or a FIFO, so it may stay until then (unlike a directory: CVE-2024-21626). */
static int tells_of_exec(const struct stage *stage, int fd)
{
    for (unsigned i = 0; i < stage->n; i++)
        if (stage->ops[i].a == fd && (stage->ops[i].code == OP_BARRIER || stage->ops[i].code == OP_WAIT_START)) {
            struct stat file;
            return fstat(fd, &file) == 0 && (S_ISFIFO(file.st_mode) || S_ISSOCK(file.st_mode));
        }
    return 0;
}

/* close_unnamed has left nothing but named ones, so that this needs no system call but close. */
static void close_from(struct stage *stage, int first)
{
    for (unsigned i = 0; i < stage->n; i++) {
        int fd = op_fd(&stage->ops[i]);
        if (fd >= first && !tells_of_exec(stage, fd))
            close(fd);
    }
    if (stage->listener >= 0)
        close(stage->listener);
}

/* ---- the root ---- */

static void pivot_root(struct stage *stage, int root)
{
    struct stat wanted, is;
    int old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    must(stage, old, "open the old root");
    must(stage, fchdir(root), "change to the new root");
    must(stage, syscall(SYS_pivot_root, ".", "."), "pivot_root");
    /* Now both lie on "/", the old root on top. Slave, so that the unmounting stays ours. */
    must(stage, fchdir(old), "change to the old root");
    must(stage, pr_mount("", ".", "", MS_SLAVE | MS_REC, NULL), "make the old root a slave");
    must(stage, pr_umount(".", MNT_DETACH), "detach the old root");
    must(stage, chdir("/"), "change to the root");
    must(stage, close(old), "close the old root");
    must(stage, fstat(root, &wanted), "look at the new root");
    must(stage, stat("/", &is), "look at the root");
    if (is.st_dev != wanted.st_dev || is.st_ino != wanted.st_ino) {
        errno = EXDEV;
        fail(stage, "the root is not the container's after pivot_root");
    }
}

static void move_root(struct stage *stage, int root)
{
    must(stage, fchdir(root), "change to the new root");
    must(stage, pr_mount(".", "/", NULL, MS_MOVE, NULL), "move the root onto /");
    must(stage, chroot("."), "chroot");
    must(stage, chdir("/"), "change to the root");
}

static void change_root(struct stage *stage, int root)
{
    must(stage, fchdir(root), "change to the new root");
    must(stage, chroot("."), "chroot");
    must(stage, chdir("/"), "change to the root");
}

/* ---- meeting the parent, and `start` ---- */

static void barrier(struct stage *stage, int fd)
{
    char byte = '\n';
    ssize_t n;
    while ((n = write(fd, &byte, 1)) < 0 && errno == EINTR)
        ;
    if (n == 1)
        while ((n = read(fd, &byte, 1)) < 0 && errno == EINTR)
            ;
    if (n == 1)
        return;
    if (n == 0)
        errno = ECONNRESET;
    fail(stage, "the runtime has gone");
}

static void wait_start(struct stage *stage, int fifo)
{
    char byte;
    ssize_t n;
    __atomic_store_n(&stage->page->phase, PHASE_WAITING, __ATOMIC_RELEASE);
    while ((n = read(fifo, &byte, 1)) < 0 && errno == EINTR)
        ;
    if (n == 0)
        errno = EPIPE;
    must(stage, n == 1 ? 0 : -1, "wait for start");
    __atomic_store_n(&stage->page->phase, PHASE_LAST, __ATOMIC_RELEASE);
}

/* ---- single operations ---- */

static void load_filter(struct stage *stage, const op_t *op)
{
    struct sock_fprog program = {
        .len = (unsigned short)(op->len / sizeof(struct sock_filter)),
        .filter = (struct sock_filter *)(stage->blob + op->data),
    };
    unsigned long flags = (unsigned long)op->a | (op->b ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0);
    stage->filtered = 1;
    int fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
    must(stage, fd, "load the seccomp filter");
    if (flags & SECCOMP_FILTER_FLAG_NEW_LISTENER)
        stage->page->value = stage->listener = fd;
}

/* Not below our root (CVE-2024-21626): getcwd says "(unreachable)/...". A filter that was loaded since may refuse
 * getcwd itself; the directory has not changed since then. */
static void verify_cwd(struct stage *stage)
{
    static char path[PATH_MAX];
    long n = syscall(SYS_getcwd, path, sizeof path);
    if (n > 0 && path[0] == '/')
        stage->cwd_is_safe = 1;
    else if (n > 0)
        errno = ENOENT;
    if (!stage->cwd_is_safe || (n > 0 && path[0] != '/'))
        fail(stage, "current working directory is outside of container mount namespace root "
                    "-- possible container breakout detected");
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

static int write_once(int fd, const char *data, size_t len)
{
    ssize_t n = write(fd, data, len);
    if (n >= 0 && (size_t)n != len) {
        errno = EIO;
        return -1;
    }
    return n < 0 ? -1 : close(fd);
}

/* Takes count strings from *text into the next free list, which ends with NULL. */
static char **next_list(struct stage *stage, const char **text, uint32_t count)
{
    char **list = stage->lists;
    for (uint32_t i = 0; i < count; i++) {
        list[i] = (char *)*text;
        *text += strlen(*text) + 1;
    }
    list[count] = NULL;
    stage->lists += count + 1;
    return list;
}

static void run_hook(struct stage *stage, const op_t *op)
{
    static char output[HOOK_OUTPUT];
    const struct packed_hook *hook = (const void *)(stage->blob + op->data);
    const char *path = (const char *)(hook + 1), *at = path + strlen(path) + 1;
    char **argv = next_list(stage, &at, hook->argc), **envp = next_list(stage, &at, hook->envc);
    int status;
    if (pr_run(path, argv, envp, -1, at, hook->input_len, (int)hook->timeout_ms, &status, output, sizeof output) < 0)
        status = -1;
    if (status == 0)
        return;
    int cause = status == -1 ? errno : 0;
    struct line text = begin_text(stage);
    say(&text, "hook ");
    say_quoted(&text, path);
    if (status == -1)
        give_up(stage, cause, &text, "");
    if (status == -2) {
        say(&text, " killed after its timeout");
    } else {
        say(&text, WIFEXITED(status) ? " exited with status " : " killed by signal ");
        say_number(&text, (uint64_t)(WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status)), 10);
    }
    if (*output) {
        say(&text, ": ");
        say(&text, output);
    }
    give_up(stage, 0, &text, "");
}

static void look_up(struct stage *stage, const op_t *op)
{
    const char *name = stage->blob + op->data;
    static char hint_buffer[PATH_MAX + 64];
    struct line text = begin_text(stage), hint = line_in(hint_buffer, sizeof hint_buffer);
    if (find_executable(name, name + strlen(name) + 1, stage->found, &text, &hint) == 0)
        return;
    give_up(stage, errno, &text, hint_buffer);
}

static void __attribute__((noreturn)) execute(struct stage *stage, const op_t *op)
{
    const struct packed_exec *exec = (const void *)(stage->blob + op->data);
    const char *at = (const char *)(exec + 1);
    char **argv = next_list(stage, &at, exec->argc), **envp = next_list(stage, &at, exec->envc);
    const char *file = *stage->found ? stage->found : argv[0];
    const struct timespec moment = { .tv_nsec = 1000000 };
    __atomic_store_n(&stage->page->phase, PHASE_EXEC, __ATOMIC_RELEASE);
    execve(file, argv, envp);
    for (int tries = 0; errno == EINTR || (errno == ETXTBSY && tries < BUSY_TRIES); tries++) {
        nanosleep(&moment, NULL);       /* somebody may just be done with writing it */
        execve(file, argv, envp);
    }
    int cause = errno;
    struct line text = begin_text(stage);
    say(&text, "exec ");
    say(&text, file);
    struct line hint = begin_hint(&text);
    record_failure(stage, cause);
    explain_exec(file, cause, &hint);
    _exit(1);
}

static void verify_all(struct stage *stage, const op_t *op)
{
    struct line text = begin_text(stage);
    if (verify((const void *)(stage->blob + op->data), stage->filtered, &text) < 0)
        give_up(stage, errno, &text, "");
}

/* ---- the interpreter ---- */

/* What a failure of perform() is called; the other operations know more to say. */
static const char *const names[] = {
    [OP_AMBIENT] = "clear the ambient capabilities",
    [OP_BOUNDING] = "drop bounding capabilities",
    [OP_CAPSET] = "set capabilities",
    [OP_CHOWN_STDIO] = "give the standard streams to the container's user",
    [OP_CLOSE_FD] = "close a descriptor",
    [OP_IOPRIO] = "set the I/O priority",
    [OP_KEEP_CAPS] = "keep capabilities",
    [OP_MEMPOLICY] = "set the memory policy",
    [OP_NO_NEW_PRIVS] = "set no_new_privs",
    [OP_NO_PDEATHSIG] = "clear the parent death signal",
    [OP_PERSONALITY] = "set the personality",
    [OP_PROPAGATION] = "set the propagation of the root",
    [OP_SCHEDULER] = "set the scheduler",
    [OP_SETATTR_ROOT] = "set the mount attributes of the root",
    [OP_SETGID] = "set the group id",
    [OP_SETGROUPS] = "set the groups",
    [OP_SETNS] = "join a namespace",
    [OP_SETUID] = "set the user id",
    [OP_WRITE] = "write",
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
    case OP_SETATTR_ROOT:
        return pr_mount_setattr((int)op->a, 0, (uint64_t)op->b, (uint64_t)op->c, 0, -1);
    case OP_SETGID:
        return pr_setresgid((uint32_t)op->a);
    case OP_SETGROUPS:
        return pr_setgroups((int)(op->len / 4), (const uint32_t *)(const void *)data);
    case OP_SETNS:
        return setns((int)op->a, (int)op->b);
    case OP_SETUID:
        return pr_setresuid((uint32_t)op->a);
    case OP_UMASK:
        return umask((mode_t)op->a);
    case OP_WRITE:
        return write_once((int)op->a, data, op->len);
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

static void prepare(struct stage *stage, size_t blob_len)
{
    unsigned index;
    const char *fault;
    int64_t pointers = last_check(stage->ops, stage->n, stage->blob, blob_len, &index, &fault);
    if (pointers < 0)
        refuse(stage, index, fault);
    stage->lists = mmap(NULL, (size_t)pointers * sizeof(char *), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                        -1, 0);
    must(stage, stage->lists == MAP_FAILED ? -1 : 0, "make room for arguments and environment");
    must(stage, pr_signals_reset(), "reset the signals");
    close_unnamed(stage);
}

void pr_last_stage(page_t *page, const op_t *ops, unsigned n, const char *blob, size_t blob_len)
{
    static struct stage stage;          /* static for the sake of its PATH_MAX bytes */
    stage = (struct stage){ .page = page, .ops = ops, .n = n, .blob = blob, .listener = -1 };
    page->phase = PHASE_LAST;
    prepare(&stage, blob_len);
    for (const op_t *op = ops; op < ops + n; op++) {
        page->child_step = (int32_t)op->step;
        if (!stage.filtered)
            page->times[op->step].start = pr_now();
        dispatch(&stage, op);
        if (!stage.filtered)
            page->times[op->step].end = pr_now();
    }
    _exit(1);                           /* not reached: the last operation is OP_EXEC */
}
