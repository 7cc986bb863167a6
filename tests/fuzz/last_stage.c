/* The last stage under a fuzzer: its real code, with a kernel that says yes or no at random.
 *
 * Input: one byte n, n op_t, and the rest is the blob. Blob, operations and the room for argument lists are heap
 * blocks of exactly their size, so that AddressSanitizer sees every byte too far. With clang, link it with
 * -fsanitize=fuzzer; otherwise driver.c feeds it mutations of the seeds. */
#include "last_stage.h"

#include <setjmp.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

unsigned long accepted, executed[64];       /* for the driver: how deep the inputs got */

static jmp_buf end;
static uint64_t chance;
static unsigned rate;                       /* how many of 256 calls fail in this run */
static void *kept[16];                      /* the stage's own copies: operations, blob, room for lists, filters */
static unsigned copies;

static int works(int error)
{
    chance = chance * 6364136223846793005u + 1442695040888963407u;
    if (chance >> 56 >= rate)
        return 1;
    errno = error;
    return 0;
}

static size_t walk(char *const list[])
{
    size_t total = 0;
    for (; *list; list++)
        total += strlen(*list);
    return total;
}

static volatile uint8_t sink;
static void touch(const void *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        sink ^= ((const uint8_t *)bytes)[i];
}

/* ---- the kernel (linked with --wrap) ---- */
ssize_t __wrap_write(int fd, const void *data, size_t len);
ssize_t __wrap_read(int fd, void *data, size_t len);
int __wrap_fstat(int fd, struct stat *file);
int __wrap_stat(const char *path, struct stat *file);
void __wrap__exit(int status) { (void)status; longjmp(end, 1); }
int __wrap_execve(const char *path, char *const argv[], char *const envp[])
{
    static const int errors[] = { ENOENT, ENOEXEC, EACCES, EINTR, ETXTBSY, E2BIG };
    sink ^= (uint8_t)(strlen(path) + walk(argv) + walk(envp));
    works(0);
    errno = errors[(chance >> 33) % 6];
    return -1;
}
int __wrap_pr_run(const char *path, char *const argv[], char *const envp[], int chdir_fd, int out_fd, int err_fd,
                  const char *input, size_t input_len, int timeout_ms, int tied, int *status, struct pr_printed *out,
                  struct pr_printed *err)
{
    (void)chdir_fd;
    (void)tied;
    if ((out_fd != -1 && out_fd < 3) || (err_fd != -1 && err_fd < 3))
        abort();
    (void)timeout_ms;
    sink ^= (uint8_t)(strlen(path) + walk(argv) + walk(envp));
    touch(input, input_len);
    memset(out->data, 'x', out->used = out->size);
    memset(err->data, 0, err->used = err->size);
    out->total = out->used;
    err->total = err->used + 1;
    *status = works(0) ? 0 : (int)(chance >> 40 & 0xff00) - 2;
    return works(ENOENT) ? 0 : -1;
}
long __wrap_syscall(long number, long a, long b, long c)
{
    switch (number) {           /* of what runs without the C library: raw.h */
    case SYS_exit_group:
        longjmp(end, 1);
    case SYS_execve:
        return __wrap_execve((const char *)a, (char *const *)b, (char *const *)c);
    case SYS_read:
        return __wrap_read((int)a, (void *)b, (size_t)c);
    case SYS_write:
        return __wrap_write((int)a, (const void *)b, (size_t)c);
    case SYS_pread64:
        return __wrap_read((int)a, (void *)b, (size_t)c);
    case SYS_fstat:
        return __wrap_fstat((int)a, (struct stat *)b);
    case SYS_newfstatat:
        return __wrap_stat((const char *)b, (struct stat *)c);
    case SYS_prlimit64:
        touch((const void *)c, 16);
    }
    if (number == SYS_seccomp)
        touch(((struct { unsigned short len; const void *filter; } *)c)->filter, *(unsigned short *)c * 8u);
    if (number == SYS_setgroups)
        touch((const void *)b, (size_t)a * 4);
    if (number == SYS_set_mempolicy && b)
        touch((const void *)b, (size_t)(c - 1 + 7) / 8);
    if (number == SYS_sched_setattr)
        touch((const void *)b, *(const uint32_t *)b);
    if (number == SYS_getcwd) {
        strcpy((char *)a, works(0) ? "/cwd" : "(unreachable)/");
        return works(EPERM) ? (long)strlen((char *)a) + 1 : -1;
    }
    if (number == SYS_getgroups) {
        ((uint32_t *)b)[0] = 5;
        ((uint32_t *)b)[1] = 6;
        return works(EPERM) ? 2 : -1;
    }
    if (number == SYS_getresuid || number == SYS_getresgid)
        *(uint32_t *)a = *(uint32_t *)b = *(uint32_t *)c = 1000;
    if (number == SYS_capget)
        memset((void *)b, 0, 24), ((uint32_t *)b)[0] = ((uint32_t *)b)[1] = ((uint32_t *)b)[2] = 0x20;
    return works(EPERM) ? 0 : -1;
}
int __wrap_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
{
    (void)b, (void)c, (void)d;
    if (option == PR_GET_NO_NEW_PRIVS || option == PR_GET_SECCOMP)
        return option == PR_GET_SECCOMP ? 2 : 1;
    if (option == PR_CAPBSET_READ)
        return a < 41 ? a == 5 : -1;
    return works(EPERM) - 1;
}
ssize_t __wrap_write(int fd, const void *data, size_t len)
{
    (void)fd;
    touch(data, len);
    return works(EINTR) ? (ssize_t)len : works(0) ? -1 : (ssize_t)len / 2;
}
ssize_t __wrap_read(int fd, void *data, size_t len)
{
    (void)fd;
    memset(data, '#', len);
    return works(EINTR) ? (ssize_t)(len < 200 ? len : 200) : works(0) ? -1 : 0;
}
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    (void)fd, (void)flags;
    touch(message->msg_control, message->msg_controllen);
    return works(EPIPE) ? 1 : -1;
}
void *__wrap_mmap(void *at, size_t len, int protection, int flags, int fd, off_t offset)
{
    (void)at, (void)protection, (void)flags, (void)fd, (void)offset;
    if (copies == sizeof kept / sizeof *kept)
        abort();
    return kept[copies++] = calloc(1, len);
}
int __wrap_madvise(void *at, size_t len, int advice) { (void)at, (void)len, (void)advice; return 0; }
int __wrap_open(const char *path, int flags) { (void)flags; touch(path, strlen(path)); return works(ENOENT) ? 9 : -1; }
int __wrap_close(int fd) { (void)fd; return works(EBADF) - 1; }
int __wrap_fcntl(int fd, int command) { (void)fd, (void)command; return works(EBADF) - 1; }
int __wrap_chdir(const char *path) { touch(path, strlen(path)); return works(EACCES) - 1; }
int __wrap_chroot(const char *path) { (void)path; return works(EPERM) - 1; }
int __wrap_fchdir(int fd) { (void)fd; return works(ENOTDIR) - 1; }
int __wrap_setns(int fd, int kind) { (void)fd, (void)kind; return works(EINVAL) - 1; }
int __wrap_setsid(void) { return works(EPERM) - 1; }
int __wrap_pr_setsid_ctty(int fd) { (void)fd; return works(ENOTTY) - 1; }
int __wrap_unshare(int flags) { (void)flags; return works(EINVAL) - 1; }
int __wrap_fchown(int fd, uid_t uid, gid_t gid) { (void)fd, (void)uid, (void)gid; return works(EIO) - 1; }
int __wrap_fstat(int fd, struct stat *file) { (void)fd; memset(file, 0, sizeof *file); file->st_mode = S_IFIFO; return works(EBADF) - 1; }
int __wrap_stat(const char *path, struct stat *file)
{
    touch(path, strlen(path));
    memset(file, 0, sizeof *file);
    return works(ENOENT) - 1;
}
mode_t __wrap_umask(mode_t mask) { (void)mask; return 0; }
int __wrap_sigprocmask(int how, const sigset_t *set, sigset_t *old) { (void)how, (void)set, (void)old; return 0; }
int __wrap_sigaction(int number, const void *action, void *old) { (void)number, (void)action, (void)old; return works(EINVAL) - 1; }
int __wrap_nanosleep(const void *wanted, void *left) { (void)wanted, (void)left; return 0; }
int __wrap_getrlimit(int resource, struct rlimit *limit) { (void)resource; limit->rlim_max = 64; return 0; }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static page_t page;
    unsigned n = size ? data[0] : 0;
    if (size < 1 + n * sizeof(op_t))
        return 0;
    size_t blob_len = size - 1 - n * sizeof(op_t);
    op_t *ops = malloc(n * sizeof *ops + !n);
    char *blob = malloc(blob_len + !blob_len);
    memcpy(ops, data + 1, n * sizeof *ops);
    memcpy(blob, data + 1 + n * sizeof *ops, blob_len);
    memset(&page, 0, sizeof page);
    copies = 0;
    for (size_t i = 0; i < size; i++)
        chance = chance * 31 + data[i];
    rate = (unsigned[]){ 0, 1, 8, 64 }[chance >> 5 & 3];
    if (setjmp(end) == 0)
        pr_last_stage(&page, ops, n, blob, blob_len);
    if (copies)
        accepted++;
    for (unsigned i = 0; copies && i < n && ops[i].step <= (uint32_t)page.child_step; i++)
        executed[ops[i].code & 63]++;
    /* What the parent is told must be two strings inside the page. */
    if (memchr(page.text, 0, PAGE_TEXT) == NULL || memchr(strchr(page.text, 0) + 1, 0,
            (size_t)(page.text + PAGE_TEXT - strchr(page.text, 0) - 1)) == NULL)
        abort();
    while (copies)
        free(kept[--copies]);
    free(blob);
    free(ops);
    return 0;
}
