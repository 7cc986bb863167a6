/* last_signals.c: what the init does with a signal until it executes the program.
 *
 * The kernel drops every signal for a pid 1 that has no handler for it (pid_namespaces(7)), so `kill` of a container
 * that has not been started would do nothing. Here the init has the handlers of a program that waits: it ends by
 * what asks it to, and no other signal ends it, whether it is a pid 1 or not. runc's init, written in Go, does the
 * same. execve(2) takes handlers away, and no system call of ours is needed for that under a seccomp filter. */
#include "last_stage.h"
#include "raw.h"

#include <signal.h>

/* SIGSYS stays as it is: a filter that answers with SCMP_ACT_TRAP ends the init by it. */
static const unsigned char ends[] = { SIGHUP, SIGINT, SIGQUIT, SIGABRT, SIGTERM, SIGSTKFLT };
/* What the kernel sends for a faulty instruction, and anybody by kill(2). */
static const unsigned char faults[] = { SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV };
/* Those that end a process that is no pid 1, though they do not ask it to. */
static const unsigned char passes[] = { SIGUSR1, SIGUSR2, SIGPIPE, SIGALRM, SIGXCPU, SIGXFSZ, SIGVTALRM, SIGPROF,
                                        SIGIO, SIGPWR };

/* With the status that a shell gives to such an end. */
static void end(int number)
{
    raw_exit(128 + number);
}

/* The handler is gone by now (SA_RESETHAND): the instruction faults again, and the kernel ends the process. */
static void end_unless_fault(int number, siginfo_t *about, void *context)
{
    (void)context;
    if (about->si_code <= 0)
        end(number);
}

static void pass(int number)
{
    (void)number;
}

struct action {
    void (*handler)(int);
    void (*about)(int, siginfo_t *, void *);
    int flags;
};

#ifdef __x86_64__
/* A handler returns to code that calls sigreturn(2). The C library's may be unmapped by then. */
void restore(void);
__asm__(".pushsection .text\n.hidden restore\n.type restore, @function\n"
        "restore:\n\tmovl $15, %eax\n\tsyscall\n.size restore, . - restore\n.popsection");

static int handle_one(int number, const struct action *action)
{
    enum { WITH_RESTORER = 0x04000000 };
    const struct {
        void *handler;
        unsigned long flags;
        void (*restorer)(void);
        unsigned long mask;
    } kernels = { action->about ? (void *)action->about : (void *)action->handler,
                  (unsigned long)action->flags | WITH_RESTORER, restore, 0 };
    return (int)syscall(SYS_rt_sigaction, number, &kernels, NULL, sizeof kernels.mask);
}
#else
static int handle_one(int number, const struct action *action)
{
    struct sigaction librarys = { .sa_flags = action->flags };
    if (action->about)
        librarys.sa_sigaction = action->about;
    else
        librarys.sa_handler = action->handler;
    return sigaction(number, &librarys, NULL);
}
#endif

static int handle(const struct action *action, const unsigned char *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (handle_one(numbers[i], action) < 0)
            return -1;
    return 0;
}

int end_by_signals(void)
{
    const struct action ending = { .handler = end };
    const struct action faulting = { .about = end_unless_fault, .flags = SA_SIGINFO | SA_RESETHAND };
    const struct action passing = { .handler = pass, .flags = SA_RESTART };
    if (handle(&ending, ends, sizeof ends) < 0 || handle(&faulting, faults, sizeof faults) < 0)
        return -1;
    if (getpid() == 1)                          /* without a handler, not even sigreturn(2) is called */
        return 0;
    for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
        if (handle_one(number, &passing) < 0)
            return -1;
    return handle(&passing, passes, sizeof passes);
}
