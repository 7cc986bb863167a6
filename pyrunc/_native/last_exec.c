/* last_exec.c: finding the executable as the container's user in the container, and telling why it cannot run.
 * The files that are looked at are the container's: everything read from them is bounded and only quoted. */
#include "last_stage.h"

#include <elf.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

#if defined __x86_64__
#define NATIVE_MACHINE EM_X86_64
#elif defined __aarch64__
#define NATIVE_MACHINE EM_AARCH64
#else
#define NATIVE_MACHINE EM_NONE      /* not told apart */
#endif

enum { HEAD = 256, PROGRAM_HEADERS = 64 };

/* What Go's os/exec looks at: 0, or -1 with errno; *seen is whether the file is there at all. */
static int usable(const char *file, int *seen)
{
    struct stat found;
    *seen = 0;
    if (stat(file, &found) < 0)
        return -1;
    *seen = 1;
    if (S_ISDIR(found.st_mode)) {
        errno = EISDIR;
        return -1;
    }
    if (syscall(SYS_faccessat2, AT_FDCWD, file, X_OK, AT_EACCESS) == 0)
        return 0;
    if (errno != ENOSYS && errno != EPERM)      /* those two: a filter does not know the call */
        return -1;
    errno = EACCES;
    return found.st_mode & 0111 ? 0 : -1;
}

static void explain_access(const char *file, struct line *hint)
{
    struct statfs fs;
    if (statfs(file, &fs) == 0 && fs.f_flags & ST_NOEXEC) {
        say(hint, "it is on a mount with the option noexec");
        return;
    }
    struct stat found;
    if (stat(file, &found) == 0 && !(found.st_mode & 0111))
        say(hint, "it has no execute permission for anybody");
}

static int no_such_command(const char *name, struct line *text, const char *why)
{
    say(text, "exec: ");
    say_quoted(text, name);
    say(text, why);
    errno = 0;
    return -1;
}

static int find_by_path(const char *name, char found[PATH_MAX], struct line *text, struct line *hint)
{
    int seen;
    if (usable(name, &seen) == 0) {
        size_t len = strlen(name);
        if (len < PATH_MAX) {
            memcpy(found, name, len + 1);
            return 0;
        }
        errno = ENAMETOOLONG;
    }
    int cause = errno;
    say(text, "exec: ");
    say_quoted(text, name);
    if (!seen) {
        say(text, ": stat ");
        say(text, name);
    } else if (cause == EACCES) {
        explain_access(name, hint);
    }
    errno = cause;
    return -1;
}

int find_executable(const char *name, const char *path, char found[PATH_MAX], struct line *text, struct line *hint)
{
    if (strchr(name, '/'))
        return find_by_path(name, found, text, hint);
    size_t name_len = strlen(name);
    int hinted = 0;
    for (const char *entry = path, *next; entry && *path; entry = next) {
        const char *colon = strchr(entry, ':');
        size_t len = colon ? (size_t)(colon - entry) : strlen(entry);
        int seen;
        next = colon ? colon + 1 : NULL;
        if (len + 1 + name_len >= PATH_MAX)
            continue;
        memcpy(found, entry, len);
        if (len)
            found[len++] = '/';                 /* an empty entry is the current directory */
        memcpy(found + len, name, name_len + 1);
        if (usable(found, &seen) == 0) {
            if (*found == '/')
                return 0;
            return no_such_command(name, text, ": cannot run executable found relative to current directory");
        }
        if (seen && errno == EACCES && !hinted++) {
            say(hint, found);
            say(hint, " is there, but may not be executed");
        }
    }
    return no_such_command(name, text, ": executable file not found in $PATH");
}

/* ---- why execve failed ---- */

static void explain_missing(const char *interpreter, const char *of, struct line *hint)
{
    struct stat found;
    if (stat(interpreter, &found) == 0)
        return;
    say(hint, of);
    say_quoted(hint, interpreter);
    say(hint, " is not in the container");
}

static void explain_script(char *head, size_t len, struct line *hint)
{
    char *end = memchr(head, '\n', len);
    if (!end)
        return;
    if (end[-1] == '\r') {
        say(hint, "its first line ends with a carriage return (DOS line ends)");
        return;
    }
    *end = 0;
    char *interpreter = head + 2;
    while (*interpreter == ' ' || *interpreter == '\t')
        interpreter++;
    interpreter[strcspn(interpreter, " \t")] = 0;
    explain_missing(interpreter, "its interpreter ", hint);
}

static void explain_elf(int fd, const Elf64_Ehdr *header, struct line *hint)
{
    if (NATIVE_MACHINE != EM_NONE && header->e_machine != NATIVE_MACHINE) {
        say(hint, "it is built for another processor (ELF machine ");
        say_number(hint, header->e_machine, 10);
        say(hint, ")");
        return;
    }
    if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_phentsize != sizeof(Elf64_Phdr)
        || header->e_phoff > INT32_MAX)
        return;
    for (int i = 0; i < header->e_phnum && i < PROGRAM_HEADERS; i++) {
        Elf64_Phdr program;
        char interpreter[HEAD];
        if (pread(fd, &program, sizeof program, (off_t)(header->e_phoff + (size_t)i * sizeof program)) != sizeof program)
            return;
        if (program.p_type != PT_INTERP)
            continue;
        if (program.p_filesz == 0 || program.p_filesz >= sizeof interpreter || program.p_offset > INT32_MAX)
            return;
        ssize_t n = pread(fd, interpreter, program.p_filesz, (off_t)program.p_offset);
        if (n <= 0)
            return;
        interpreter[n] = 0;
        explain_missing(interpreter, "its dynamic loader ", hint);
        return;
    }
}

static void explain_content(int fd, int error, struct line *hint)
{
    union {
        Elf64_Ehdr elf;
        char bytes[HEAD + 1];
    } head;
    ssize_t len = read(fd, head.bytes, HEAD);
    if (len < 0)
        return;
    head.bytes[len] = 0;
    if (len >= (ssize_t)sizeof head.elf && memcmp(head.bytes, ELFMAG, SELFMAG) == 0)
        explain_elf(fd, &head.elf, hint);
    else if (len > 2 && head.bytes[0] == '#' && head.bytes[1] == '!')
        explain_script(head.bytes, (size_t)len, hint);
    else if (error == ENOEXEC)
        say(hint, len == 0 ? "the file is empty" : "neither a program nor a script that begins with #!");
}

void explain_exec(const char *file, int error, struct line *hint)
{
    if (error == EACCES)
        explain_access(file, hint);
    if (error == EAGAIN)                        /* execve(2): found out here, after a setuid that went through */
        say(hint, "its user has more processes than RLIMIT_NPROC allows");
    if (error == E2BIG)
        say(hint, "arguments and environment are longer than the kernel or a quarter of RLIMIT_STACK allows");
    if (error != ENOENT && error != ENOEXEC)
        return;
    struct stat found;
    if (stat(file, &found) < 0 || !S_ISREG(found.st_mode))
        return;                                 /* opening a device or a FIFO is an act */
    /* Not blocking, because the container may have put a FIFO there meanwhile. */
    int fd = open(file, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (fstat(fd, &found) == 0 && S_ISREG(found.st_mode))
        explain_content(fd, error, hint);
    close(fd);
}
