/* run.c: run a program with text on its stdin, keep the end of what it prints, and give it a time limit.
 *
 * Used for hooks by the runtime and by the last stage, so: no heap, no C library function that loads files, and
 * vfork, because the container's memory limit may not allow a copy of the interpreter's page tables. */
#include "system.h"

#include <poll.h>
#include <stdbool.h>
#include <sys/wait.h>

enum { READ, WRITE, LAST_READS = 1 << 8 };      /* of 4 KiB: a pipe holds at most 1 MiB */

struct program {
    const char *path;
    char *const *argv, *const *envp;
    int cwd, in, out, err;
    int out_fd, err_fd;         /* of the caller, or -1 */
    pid_t tied_to;              /* dies with this process, or 0 */
    volatile int error;         /* errno of a child that could not execute the path */
};

/* In the child, which has borrowed the parent's memory: only system calls, and nothing of the parent is changed
 * but error. Whatever descriptor the caller forgot to mark is closed by the exec. */
static void __attribute__((noreturn)) become(struct program *program)
{
    pr_signals_reset();
    if (program->tied_to) {
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        if (getppid() != program->tied_to)      /* killed before it could be asked to */
            _exit(127);
    }
    int out = program->out_fd >= 0 ? program->out_fd : program->out;
    int err = program->err_fd >= 0 ? program->err_fd : program->err;
    if ((program->cwd < 0 || fchdir(program->cwd) == 0) && dup2(program->in, 0) == 0 && dup2(out, 1) == 1
        && dup2(err, 2) == 2) {
        pr_close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
        execve(program->path, program->argv, program->envp);
    }
    program->error = errno;
    _exit(127);
}

static pid_t __attribute__((noinline)) start(struct program *program)
{
    pid_t pid = vfork();
    if (pid == 0)
        become(program);
    return pid;
}

/* Descriptors 0 to 2 would be overwritten while they are put in place. */
static int above_stdio(int pipe_fd[2])
{
    for (int end = READ; end <= WRITE; end++)
        if (pipe_fd[end] < 3) {
            int moved = fcntl(pipe_fd[end], F_DUPFD_CLOEXEC, 3);
            if (moved < 0)
                return -1;
            close(pipe_fd[end]);
            pipe_fd[end] = moved;
        }
    return 0;
}

static void close_both(int fds[2])
{
    for (int end = READ; end <= WRITE; end++)
        if (fds[end] >= 0)
            close(fds[end]);
}

static void shut(int *fd)
{
    close(*fd);
    *fd = -1;
}

struct talk {
    int in;                     /* our end, -1 when closed */
    const char *input;
    size_t input_left;
    struct pr_printed *printed[2];
    int from[2];                /* our ends of its stdout and stderr, -1 when closed */
};

static void feed(struct talk *talk)
{
    ssize_t n = talk->input_left ? write(talk->in, talk->input, talk->input_left) : 0;
    if (n > 0) {
        talk->input += n;
        talk->input_left -= (size_t)n;
    }
    if (talk->input_left == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        shut(&talk->in);        /* all is written, or it does not care to read it */
}

/* Of all that comes, the end stays: what matters is said last. */
static void keep(struct pr_printed *printed, const char *data, size_t n)
{
    printed->total += n;
    if (n >= printed->size) {
        data += n - printed->size;
        n = printed->size;
    }
    size_t over = printed->used + n > printed->size ? printed->used + n - printed->size : 0;
    memmove(printed->data, printed->data + over, printed->used - over);
    printed->used -= over;
    memcpy(printed->data + printed->used, data, n);
    printed->used += n;
}

/* Of one stream: 1 as long as there may be more. Everything is read: a full pipe would stop the program. */
static int collect(struct talk *talk, int stream)
{
    char data[4096];
    ssize_t n = read(talk->from[stream], data, sizeof data);
    if (n > 0)
        keep(talk->printed[stream], data, (size_t)n);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        shut(&talk->from[stream]);
    return n > 0;
}

/* The signals that ask a runtime to stop (engine/stopping.py): they arrive only while it waits, so none is missed. */
static void stopping_arrive(sigset_t *mask)
{
    sigprocmask(SIG_BLOCK, NULL, mask);
    sigdelset(mask, SIGTERM);
    sigdelset(mask, SIGINT);
    sigdelset(mask, SIGHUP);
}

enum ending { ENDED, LATE, STOPPED, FAILED };

/* Until the program ends. Its end counts, not that of the pipe, which something it has started may hold for much
 * longer. A signal that the caller has a handler for ends the wait for a program that is tied to it. */
static enum ending converse(struct talk *talk, pid_t pid, int timeout_ms, bool tied, int *status)
{
    enum { IN, OUT, ERR, END };
    uint64_t deadline = timeout_ms > 0 ? pr_now() + (uint64_t)timeout_ms * 1000000u : 0;
    int end = pr_pidfd_open(pid, 0);            /* a seccomp filter may refuse it: then look every 10 ms */
    pid_t ended;
    bool stopped = false;
    sigset_t mask;
    if (tied)
        stopping_arrive(&mask);
    while (!stopped && (ended = waitpid(pid, status, WNOHANG)) == 0) {
        int64_t left = deadline ? ((int64_t)(deadline - pr_now()) + 999999) / 1000000 : -1;
        if (deadline && left <= 0)
            break;
        struct pollfd fds[] = {
            [IN] = { .fd = talk->in, .events = POLLOUT },
            [OUT] = { .fd = talk->from[0], .events = POLLIN },
            [ERR] = { .fd = talk->from[1], .events = POLLIN },
            [END] = { .fd = end, .events = POLLIN },
        };
        if (end < 0 && (left < 0 || left > 10))
            left = 10;
        struct timespec rest = { .tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000 };
        int ready = tied ? ppoll(fds, 4, left < 0 ? NULL : &rest, &mask) : poll(fds, 4, (int)left);
        stopped = tied && ready < 0 && errno == EINTR;
        if (ready <= 0)
            continue;
        if (fds[IN].revents)
            feed(talk);
        for (int stream = 0; stream < 2; stream++)
            if (fds[OUT + stream].revents)
                collect(talk, stream);
    }
    int cause = errno;
    if (end >= 0)
        close(end);
    errno = cause;
    return stopped ? STOPPED : ended == 0 ? LATE : ended < 0 ? FAILED : ENDED;
}

static int run(struct program *program, struct talk *talk, int timeout_ms, int *status)
{
    pid_t pid = start(program);
    shut(&program->in);
    shut(&program->out);
    shut(&program->err);
    if (pid < 0)
        return -1;
    enum ending ending = converse(talk, pid, timeout_ms, program->tied_to != 0, status);
    if (ending == FAILED)
        return -1;
    if (ending != ENDED) {
        kill(pid, SIGKILL);
        while (waitpid(pid, status, 0) < 0 && errno == EINTR)
            ;
        *status = ending == LATE ? -2 : -3;
    }
    for (int stream = 0; stream < 2; stream++)          /* as much as a pipe holds: what it has started may go on */
        for (int reads = 0; reads < LAST_READS && talk->from[stream] >= 0 && collect(talk, stream); reads++)
            ;
    if (program->error) {
        errno = program->error;
        return -1;
    }
    return 0;
}

/* A pipe whose ends are above 2, ours not blocking. */
static int make_pipe(int ends[2], int ours)
{
    return pipe2(ends, O_CLOEXEC) == 0 && above_stdio(ends) == 0 ? fcntl(ends[ours], F_SETFL, O_NONBLOCK) : -1;
}

int pr_run(const char *path, char *const argv[], char *const envp[], int chdir_fd, int out_fd, int err_fd,
           const char *input, size_t input_len, int timeout_ms, int tied, int *status, struct pr_printed *out,
           struct pr_printed *err)
{
    int to[2] = { -1, -1 }, from[2] = { -1, -1 }, errors[2] = { -1, -1 }, result = -1;
    struct sigaction ignored = { .sa_handler = SIG_IGN }, before;
    *status = 0;
    out->used = err->used = 0;
    out->total = err->total = 0;
    if (sigaction(SIGPIPE, &ignored, &before) < 0)
        return -1;
    if (make_pipe(to, WRITE) == 0 && make_pipe(from, READ) == 0 && make_pipe(errors, READ) == 0) {
        struct program program = { path, argv, envp, chdir_fd, to[READ], from[WRITE], errors[WRITE], out_fd, err_fd,
                                   tied ? getpid() : 0, 0 };
        struct talk talk = { to[WRITE], input, input_len, { out, err }, { from[READ], errors[READ] } };
        result = run(&program, &talk, timeout_ms, status);
        to[READ] = program.in;
        from[WRITE] = program.out;
        errors[WRITE] = program.err;
        to[WRITE] = talk.in;
        from[READ] = talk.from[0];
        errors[READ] = talk.from[1];
    }
    int cause = errno;
    close_both(to);
    close_both(from);
    close_both(errors);
    sigaction(SIGPIPE, &before, NULL);
    errno = cause;
    return result;
}
