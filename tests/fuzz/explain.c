/* The other code that reads what a container controls: files that execve refused. The input is the file. */
#include "last_stage.h"

#include <stdlib.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

unsigned long accepted, executed[64];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    char text[300], quoted[64];
    if (fd < 0)
        fd = memfd_create("file", 0);
    if (ftruncate(fd, 0) < 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
        return 0;
    char path[32];
    struct line link = line_in(path, sizeof path), hint = line_in(text, sizeof text), small = line_in(quoted, sizeof quoted);
    say(&link, "/proc/self/fd/");
    say_number(&link, (uint64_t)fd, 10);
    explain_exec(path, size & 1 ? ENOENT : ENOEXEC, &hint);
    say_quoted(&small, text);
    accepted += *text != 0;
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            abort();                            /* it goes into a log, on one line */
    return 0;
}
