/* last_explain.c: why execve failed, where the kernel does not tell. The files that are looked at are the container's:
 * everything read from them is bounded and only quoted. Without the C library (raw.h). */
#include "last_stage.h"
#include "raw.h"

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

static int look(const char *file, struct stat *found)
{
    return RAW(newfstatat, AT_FDCWD, file, found, 0) == 0;
}

void explain_access(const char *file, struct line *hint)
{
    struct statfs fs;
    if (RAW(statfs, file, &fs) == 0 && fs.f_flags & ST_NOEXEC) {
        say(hint, "it is on a mount with the option noexec");
        return;
    }
    struct stat found;
    if (look(file, &found) && !(found.st_mode & 0111))
        say(hint, "no user may execute it");
}

static void explain_missing(const char *interpreter, const char *of, struct line *hint)
{
    struct stat found;
    if (look(interpreter, &found))
        return;
    say(hint, of);
    say_quoted(hint, interpreter);
    say(hint, " is not in the container");
}

static void explain_script(char *head, const char *after, struct line *hint)
{
    char *end = head;
    while (end < after && *end != '\n')
        end++;
    if (end == after)
        return;
    if (end[-1] == '\r') {
        say(hint, "its first line ends with a carriage return (DOS line ends)");
        return;
    }
    *end = 0;
    char *interpreter = head + 2;
    while (*interpreter == ' ' || *interpreter == '\t')
        interpreter++;
    for (end = interpreter; *end && *end != ' ' && *end != '\t'; end++)
        ;
    *end = 0;
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
        if (RAW(pread64, fd, &program, sizeof program, header->e_phoff + (size_t)i * sizeof program) != sizeof program)
            return;
        if (program.p_type != PT_INTERP)
            continue;
        if (program.p_filesz == 0 || program.p_filesz >= sizeof interpreter || program.p_offset > INT32_MAX)
            return;
        long n = RAW(pread64, fd, interpreter, program.p_filesz, program.p_offset);
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
    long len = RAW(read, fd, head.bytes, HEAD);
    if (len < 0)
        return;
    head.bytes[len] = 0;
    if (len >= (long)sizeof head.elf && raw_begins(head.bytes, ELFMAG))
        explain_elf(fd, &head.elf, hint);
    else if (len > 2 && head.bytes[0] == '#' && head.bytes[1] == '!')
        explain_script(head.bytes, head.bytes + len, hint);
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
    if (!look(file, &found) || !S_ISREG(found.st_mode))
        return;                                 /* opening a device or a FIFO is an act */
    /* Not blocking, because the container may have put a FIFO there meanwhile. */
    int fd = (int)RAW(openat, AT_FDCWD, file, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (RAW(fstat, fd, &found) == 0 && S_ISREG(found.st_mode))
        explain_content(fd, error, hint);
    RAW(close, fd);
}
