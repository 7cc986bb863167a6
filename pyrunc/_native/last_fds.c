/* last_fds.c: which descriptors the last stage keeps, and until when. */
#include "last_stage.h"

#include <sys/resource.h>

enum { FD_LIMIT = 1 << 20 };

static void close_span(unsigned first, unsigned last)
{
    struct rlimit limit;
    if (first > last || pr_close_range(first, last, 0) == 0)
        return;
    getrlimit(RLIMIT_NOFILE, &limit);           /* an outer filter that does not know close_range */
    for (unsigned fd = first; fd <= last && fd < limit.rlim_max && fd < FD_LIMIT; fd++)
        close((int)fd);
}

/* Whether a descriptor tells somebody that the exec has happened, by being closed by it. */
int tells_of_exec(const struct stage *stage, int fd)
{
    for (unsigned i = 0; i < stage->n; i++)
        if (stage->ops[i].a == fd && (stage->ops[i].code == OP_BARRIER || stage->ops[i].code == OP_WAIT_START
                                      || stage->ops[i].code == OP_CLONE))
            return 1;
    return 0;
}

/* What stays open until exec must lead nowhere, as a directory would (CVE-2024-21626), or a file. */
static void check_channel(struct stage *stage, int fd)
{
    struct stat file;
    must(stage, fstat(fd, &file), "look at a descriptor");
    if (!S_ISFIFO(file.st_mode) && !S_ISSOCK(file.st_mode)) {
        errno = ENOTSOCK;
        fail(stage, "neither a socket nor a fifo to wait at");
    }
}

/* Only what an operation names is still needed. All else from the first descriptor that the container does not get
 * is closed now, while the root is still the host's: a directory of the host must not survive the switch. What is
 * kept is closed by exec at the latest, which is how the runtime sees that the exec succeeded. */
void close_unnamed(struct stage *stage)
{
    int first = -1;
    for (unsigned i = 0; i < stage->n; i++)
        if (stage->ops[i].code == OP_CLOSE_FROM)
            first = (int)stage->ops[i].a;
    if (first < 0)
        return;
    for (int low = first;;) {
        int next = INT_MAX;                     /* the lowest that is named and not below low */
        for (unsigned i = 0; i < 2 * stage->n; i++) {
            int fd = op_fd(&stage->ops[i / 2], i % 2);
            if (fd >= low && fd < next)
                next = fd;
        }
        close_span((unsigned)low, next == INT_MAX ? ~0U : (unsigned)next - 1);
        if (next == INT_MAX)
            return;
        fcntl(next, F_SETFD, FD_CLOEXEC);
        if (tells_of_exec(stage, next))
            check_channel(stage, next);
        low = next + 1;
    }
}
