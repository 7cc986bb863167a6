/* run.c: run a program with text on its stdin, keep the beginning of what it prints, and give it a time limit.
 *
 * Used for hooks by the runtime and by the last stage, so: no heap, no C library function that loads files, and
 * vfork, because the container's memory limit may not allow a copy of the interpreter's page tables. */
#include "system.h"

#include <poll.h>
#include <stdbool.h>
#include <sys/wait.h>

enum { READ, WRITE };

struct program {
    const char *path;
    char *const *argv, *const *envp;
    int cwd, in, out;
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
    int err = program->err_fd >= 0 ? program->err_fd : program->out;
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
    int in, out;                /* our ends, -1 when closed */
    const char *input;
    size_t input_left;
    char *kept;
    size_t room;                /* bytes that still fit, without the NUL */
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

/* 1 as long as there may be more. What does not fit is read all the same: a full pipe would stop the program. */
static int collect(struct talk *talk)
{
    char rest[4096];
    ssize_t n = talk->room ? read(talk->out, talk->kept, talk->room) : read(talk->out, rest, sizeof rest);
    if (n > 0 && talk->room) {
        talk->kept += n;
        talk->room -= (size_t)n;
    }
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        shut(&talk->out);
    return n > 0;
}

/* The signals that ask a runtime to stop (engine.py): they arrive only while it waits, so none is missed. */
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
    enum { IN, OUT, END };
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
            [OUT] = { .fd = talk->out, .events = POLLIN },
            [END] = { .fd = end, .events = POLLIN },
        };
        if (end < 0 && (left < 0 || left > 10))
            left = 10;
        struct timespec rest = { .tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000 };
        int ready = tied ? ppoll(fds, 3, left < 0 ? NULL : &rest, &mask) : poll(fds, 3, (int)left);
        stopped = tied && ready < 0 && errno == EINTR;
        if (ready <= 0)
            continue;
        if (fds[IN].revents)
            feed(talk);
        if (fds[OUT].revents)
            collect(talk);
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
    while (talk->out >= 0 && talk->room && collect(talk))
        ;
    *talk->kept = 0;
    if (program->error) {
        errno = program->error;
        return -1;
    }
    return 0;
}

int pr_run(const char *path, char *const argv[], char *const envp[], int chdir_fd, int out_fd, int err_fd,
           const char *input, size_t input_len, int timeout_ms, int tied, int *status, char *out, size_t out_size)
{
    int to[2] = { -1, -1 }, from[2] = { -1, -1 }, result = -1;
    struct sigaction ignored = { .sa_handler = SIG_IGN }, before;
    if (out_size == 0) {
        errno = EINVAL;
        return -1;
    }
    *status = 0;
    *out = 0;
    if (sigaction(SIGPIPE, &ignored, &before) < 0)
        return -1;
    if (pipe2(to, O_CLOEXEC) == 0 && above_stdio(to) == 0 && pipe2(from, O_CLOEXEC) == 0 && above_stdio(from) == 0
        && fcntl(to[WRITE], F_SETFL, O_NONBLOCK) == 0 && fcntl(from[READ], F_SETFL, O_NONBLOCK) == 0) {
        struct program program = { path, argv, envp, chdir_fd, to[READ], from[WRITE], out_fd, err_fd,
                                   tied ? getpid() : 0, 0 };
        struct talk talk = { to[WRITE], from[READ], input, input_len, out, out_size - 1 };
        result = run(&program, &talk, timeout_ms, status);
        to[READ] = program.in;
        from[WRITE] = program.out;
        to[WRITE] = talk.in;
        from[READ] = talk.out;
    }
    int cause = errno;
    close_both(to);
    close_both(from);
    sigaction(SIGPIPE, &before, NULL);
    errno = cause;
    return result;
}
