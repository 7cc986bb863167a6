/* inject: run a command and let one system call of one of its processes fail.
 *
 *   inject LOG COMMAND...                                 write down every call: process, number, occurrence, result,
 *                                                         first argument (a file, where it is a descriptor; a small number,
 *                                                         else -), text
 *   inject LOG PROCESS:NUMBER:OCCURRENCE:ERROR COMMAND... and let that one fail
 *
 * PROCESS 0 is the command itself, 1 the first process that any of them made, and so on; OCCURRENCE counts from 1 the
 * calls with this NUMBER of this process. ERROR is an errno: the call is not made and that is its result; -1: of what
 * is to be written only half is. The LOG then has a line when that came to pass. A process that another one has made is
 * followed until it executes a program: a container's own is let alone; and all are when the fault has come to pass.
 * Ends with the command, with its exit status, or
 * with 200 and the number of the signal that killed it.
 *
 * strace can do nearly that; but it counts the calls of each process alike, so that a child's cannot be told from its
 * parent's, and "half of it" it cannot do. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef __x86_64__
#error "the registers are those of x86-64"
#endif

enum { PROCESSES = 64, CALLS = 512, KILLED = 200, HALF = -1 };
enum { OPTIONS = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
                 PTRACE_O_TRACEEXEC };

static struct process {
    pid_t pid;
    int begun;                  /* of the first one, that it has executed the command */
    int failing;                /* the call it is in is the one */
    unsigned number, count[CALLS];
    char first[128], text[128];
} processes[PROCESSES];
static int known;
static int over;                /* what was wanted has come to pass */
static FILE *out;
static struct { int process, error; unsigned number, occurrence; } wanted = { -1, 0, 0, 0 };

static void must(long result, const char *what)
{
    if (result < 0) {
        perror(what);
        exit(125);
    }
}

static struct process *find(pid_t pid)
{
    for (int i = 0; i < known; i++)
        if (processes[i].pid == pid)
            return &processes[i];
    if (known == PROCESSES)
        exit(125);
    processes[known].pid = pid;
    processes[known].begun = known > 0;
    return &processes[known++];
}

/* The first path or text that the call is handed, for whoever reads the log. */
static void note_text(struct process *process, const struct __ptrace_syscall_info *info)
{
    int most = process->number == SYS_newfstatat ? 2 : 3;       /* its third is to be filled */
    process->text[0] = 0;
    for (int i = 0; i < most && !process->text[0]; i++) {
        struct iovec to = { process->text, sizeof process->text - 1 };
        struct iovec from = { (void *)info->entry.args[i], sizeof process->text - 1 };
        ssize_t n = info->entry.args[i] > 1 << 20 ? process_vm_readv(process->pid, &to, 1, &from, 1, 0) : 0;
        process->text[n > 0 ? n : 0] = 0;
        for (char *at = process->text; *at; at++)
            if (*at < ' ' || *at > '~')
                *at = 0;
    }
}

/* The first argument, if it tells what the call is on: the file that a descriptor is of, or what prctl(2) is to do. */
static void note_first(struct process *process, const struct __ptrace_syscall_info *info)
{
    unsigned long long first = info->entry.args[process->number == SYS_mmap ? 4 : 0];
    char path[64];
    ssize_t n = -1;
    if (first < 4096 && process->number != SYS_prctl) {
        snprintf(path, sizeof path, "/proc/%d/fd/%llu", process->pid, first);
        n = readlink(path, process->first, sizeof process->first - 1);
    }
    if (n > 0)
        process->first[n] = 0;
    else
        snprintf(process->first, sizeof process->first, first < 4096 ? "%llu" : "-", first);
    for (char *at = process->first; *at; at++)
        if (*at <= ' ' || *at > '~')
            *at = '_';
}

static void at_entry(struct process *process, const struct __ptrace_syscall_info *info)
{
    unsigned number = (unsigned)info->entry.nr;
    struct user_regs_struct registers;
    process->number = number;
    if (!process->begun || number >= CALLS)
        return;
    process->count[number]++;
    if (wanted.process < 0) {
        note_first(process, info);
        note_text(process, info);
    }
    if (process - processes != wanted.process || number != wanted.number
        || process->count[number] != wanted.occurrence)
        return;
    must(ptrace(PTRACE_GETREGS, process->pid, NULL, &registers), "read the registers");
    if (wanted.error == HALF && registers.rdx < 2)
        return;                 /* there is no half of it */
    if (wanted.error == HALF) {
        registers.rdx /= 2;
    } else {
        process->failing = 1;
        registers.orig_rax = (unsigned long long)-1;
    }
    must(ptrace(PTRACE_SETREGS, process->pid, NULL, &registers), "write the registers");
    fprintf(out, "done\n");
    over = wanted.error == HALF;
}

static void at_exit(struct process *process, const struct __ptrace_syscall_info *info)
{
    struct user_regs_struct registers;
    if (process->failing) {
        must(ptrace(PTRACE_GETREGS, process->pid, NULL, &registers), "read the registers");
        registers.rax = (unsigned long long)-wanted.error;
        must(ptrace(PTRACE_SETREGS, process->pid, NULL, &registers), "write the registers");
        process->failing = 0;
        over = 1;
    } else if (process->begun && wanted.process < 0 && process->number < CALLS) {
        fprintf(out, "%d %u %u %lld %s %s\n", (int)(process - processes), process->number,
                process->count[process->number], (long long)info->exit.rval, process->first, process->text);
    }
}

static void at_call(struct process *process)
{
    struct __ptrace_syscall_info info;
    if (ptrace(PTRACE_GET_SYSCALL_INFO, process->pid, (void *)sizeof info, &info) < 0)
        return;                 /* it has just been killed */
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
        at_entry(process, &info);
    else if (info.op == PTRACE_SYSCALL_INFO_EXIT)
        at_exit(process, &info);
}

/* A process has stopped: let it go on. */
static void stopped(struct process *process, int status)
{
    int signal = WSTOPSIG(status), event = status >> 16;
    unsigned long made;
    if (signal == (SIGTRAP | 0x80)) {
        at_call(process);
        signal = 0;
    } else if (event == PTRACE_EVENT_STOP && signal != SIGTRAP) {
        ptrace(PTRACE_LISTEN, process->pid, NULL, NULL);        /* it is to stand still until a SIGCONT */
        return;
    } else if (event == PTRACE_EVENT_EXEC) {
        process->begun = 1;
        if (process != processes) {
            ptrace(PTRACE_DETACH, process->pid, NULL, NULL);
            return;
        }
        signal = 0;
    } else if (event) {
        if (event != PTRACE_EVENT_STOP && ptrace(PTRACE_GETEVENTMSG, process->pid, NULL, &made) == 0)
            find((pid_t)made);
        signal = 0;
    }
    ptrace(over ? PTRACE_DETACH : PTRACE_SYSCALL, process->pid, NULL, (void *)(long)signal);
}

static void end_all(int signal)
{
    (void)signal;
    for (int i = 0; i < known; i++)
        kill(processes[i].pid, SIGKILL);
    _exit(124);
}

int main(int argc, char **argv)
{
    int at = 2, status, gate[2];
    char byte;
    if (argc > 2 && sscanf(argv[2], "%d:%u:%u:%d", &wanted.process, &wanted.number, &wanted.occurrence,
                           &wanted.error) == 4)
        at = 3;
    else
        wanted.process = -1;
    if (at >= argc || !(out = fopen(argv[1], "we")))
        return 125;
    must(pipe2(gate, O_CLOEXEC), "pipe");
    pid_t command = fork();
    must(command, "fork");
    if (!command) {
        close(gate[1]);
        if (read(gate[0], &byte, 1) < 0)
            _exit(125);
        execv(argv[at], argv + at);
        _exit(125);
    }
    find(command);
    must(ptrace(PTRACE_SEIZE, command, NULL, (void *)OPTIONS), "seize the command");
    must(ptrace(PTRACE_INTERRUPT, command, NULL, NULL), "interrupt the command");
    signal(SIGTERM, end_all);
    close(gate[1]);
    for (pid_t pid; (pid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR;) {
        if (pid <= 0)
            continue;
        if (WIFSTOPPED(status))
            stopped(find(pid), status);
        else if (pid == command)
            break;
        else
            find(pid)->pid = 0;
    }
    fclose(out);
    return WIFEXITED(status) ? WEXITSTATUS(status) : KILLED + WTERMSIG(status);
}
