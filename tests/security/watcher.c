/* A process of the container lies in wait: whatever appears in its pid namespace is seized at once, and what it is and
 * has is written down, a line each: "name value". Then it goes on. Ends when there is a file /tmp/stop, or
 * after ten minutes: a test run that is killed must not leave it behind. With an argument:
 * the process of this number, which is there, alone.
 *
 * seize is what CAP_SYS_PTRACE lets it do; the files of /proc/PID tell what a seized process could be made to do. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static FILE *out;

static void copy_lines(int pid, const char *file, const char *prefix)
{
    char path[64], line[4096];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
    FILE *in = fopen(path, "re");
    while (in && fgets(line, sizeof line, in))
        if (*prefix || strchr("CSNUG", *line))      /* of status: Cap*, Seccomp, NoNewPrivs, Uid, Gid and more */
            fprintf(out, "%s%s", prefix, line);
    if (in)
        fclose(in);
}

static void copy_strings(int pid, const char *file)
{
    char path[64], text[65536];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;
    while (fd >= 0 && (n = read(fd, text, sizeof text)) > 0)
        for (ssize_t i = 0; i < n; i += (ssize_t)strnlen(text + i, (size_t)(n - i)) + 1)
            if (text[i])
                fprintf(out, "%s: %.*s\n", file, (int)(n - i), text + i);
    if (fd >= 0)
        close(fd);
}

/* Every mapped file, opened for writing by whoever may: CAP_CHECKPOINT_RESTORE is what that takes. */
static void write_mapped(int pid)
{
    char path[64], at[PATH_MAX], name[PATH_MAX];
    snprintf(path, sizeof path, "/proc/%d/map_files", pid);
    DIR *maps = opendir(path);
    for (struct dirent *entry; maps && (entry = readdir(maps));) {
        if (*entry->d_name == '.')
            continue;
        snprintf(at, sizeof at, "%s/%s", path, entry->d_name);
        ssize_t n = readlink(at, name, sizeof name - 1);
        name[n < 0 ? 0 : n] = 0;
        int fd = open(at, O_RDWR | O_CLOEXEC);
        fprintf(out, "mapped: %s: %s\n", name, fd >= 0 ? "opened for writing" : strerror(errno));
        if (fd >= 0)
            close(fd);
    }
    if (maps)
        closedir(maps);
}

static void write_down(int pid)
{
    char path[64], name[PATH_MAX];
    struct rlimit files;
    fprintf(out, "seized: %d\n", pid);
    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    ssize_t n = readlink(path, name, sizeof name - 1);
    name[n < 0 ? 0 : n] = 0;
    fprintf(out, "exe: %s\n", name);
    copy_lines(pid, "status", "");
    copy_lines(pid, "maps", "maps: ");
    copy_strings(pid, "environ");
    copy_strings(pid, "cmdline");
    write_mapped(pid);
    if (prlimit(pid, RLIMIT_NOFILE, NULL, &files) == 0)
        fprintf(out, "files: %lu\n", (unsigned long)files.rlim_max);
    fflush(out);
}

static int seize(int pid)
{
    int status;
    if (ptrace(PTRACE_SEIZE, pid, 0, 0) < 0)
        return -1;
    ptrace(PTRACE_INTERRUPT, pid, 0, 0);
    waitpid(pid, &status, __WALL);
    if (WIFSTOPPED(status)) {
        write_down(pid);
        ptrace(PTRACE_DETACH, pid, 0, 0);
    }
    return 0;
}

/* The pid that was given out last in this namespace (proc_loadavg(5)). */
static int last_pid(void)
{
    int last = 0;
    FILE *in = fopen("/proc/loadavg", "re");
    if (in && fscanf(in, "%*s %*s %*s %*s %d", &last) != 1)
        last = 0;
    if (in)
        fclose(in);
    return last;
}

int main(int argc, char **argv)
{
    int next = getpid() + 1;
    struct stat stop;
    time_t end = time(NULL) + 600;
    out = fopen("/tmp/seen", "we");
    if (argc > 1)
        return seize(atoi(argv[1])) < 0 || fclose(out);
    close(open("/tmp/ready", O_CREAT | O_WRONLY, 0644));
    for (unsigned turn = 0;; turn++) {
        if (turn % 256 == 0 && (stat("/tmp/stop", &stop) == 0 || time(NULL) > end))
            break;
        if (turn % 256 == 0 && last_pid() >= next + 4)      /* they came and went while this was on no processor */
            next = last_pid();
        for (int pid = next; pid < next + 8; pid++) {
            if (seize(pid) == 0)
                next = pid + 1;
            else if (errno != ESRCH && next == pid && kill(pid, 0) == 0)
                fprintf(out, "refused: %d\n", pid);
        }
    }
    fclose(out);
    return 0;
}
