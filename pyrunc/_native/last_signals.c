/* last_signals.c: what the init does with a signal until it executes the program.
 *
 * The kernel drops every signal for a pid 1 that has no handler for it (pid_namespaces(7)), so `kill` of a container
 * that has not been started would do nothing. Here the init has the handlers of a program that waits: it ends by
 * what asks it to, and no other signal ends it, whether it is a pid 1 or not. runc's init, written in Go, does the
 * same. execve(2) takes handlers away, and no system call of ours is needed for that under a seccomp filter. */
#include "last_stage.h"

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
    _exit(128 + number);
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

static int handle(const struct sigaction *action, const unsigned char *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (sigaction(numbers[i], action, NULL) < 0)
            return -1;
    return 0;
}

int end_by_signals(void)
{
    const struct sigaction ending = { .sa_handler = end };
    const struct sigaction faulting = { .sa_sigaction = end_unless_fault, .sa_flags = SA_SIGINFO | SA_RESETHAND };
    const struct sigaction passing = { .sa_handler = pass, .sa_flags = SA_RESTART };
    if (handle(&ending, ends, sizeof ends) < 0 || handle(&faulting, faults, sizeof faults) < 0)
        return -1;
    if (getpid() == 1)                          /* without a handler, not even sigreturn(2) is called */
        return 0;
    for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
        if (sigaction(number, &passing, NULL) < 0)
            return -1;
    return handle(&passing, passes, sizeof passes);
}
