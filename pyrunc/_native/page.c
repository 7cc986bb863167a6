/* page.c: the journal page, a file of the state directory mapped by everyone who takes part, and behind it, in memory
 * that they share, the times of the steps. */
#include "system.h"

#include <sys/mman.h>
#include <time.h>

uint64_t pr_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* A file with holes in it is a promise only: to write to a mapped page that the file system then has no room for is a
 * SIGBUS. So the room is taken here, where a lack of it is an error. */
static int take_room(int fd)
{
    int error;
    while ((error = posix_fallocate(fd, 0, PAGE_FILE)) == EINTR)
        ;
    errno = error;
    return error ? -1 : 0;
}

page_t *pr_page_map(int fd, unsigned steps)
{
    size_t size = sizeof(page_t) + steps * sizeof(((page_t *)0)->times[0]);
    _Static_assert(offsetof(page_t, times) == PAGE_FILE, "the times begin where the file ends");
    if (fd >= 0 && take_room(fd) < 0)
        return NULL;
    /* Populated here, by the runtime: the init must not be charged for it, nor be killed for touching it. */
    page_t *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (page == MAP_FAILED)
        return NULL;
    if (fd >= 0 && mmap(page, PAGE_FILE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, 0) != page) {
        int cause = errno;
        munmap(page, size);
        errno = cause;
        return NULL;
    }
    page->magic = PAGE_MAGIC;
    page->version = PAGE_VERSION;
    page->steps = steps;
    page->parent_step = page->child_step = page->listener_fd = -1;
    return page;
}

void pr_page_unmap(page_t *page, unsigned steps)
{
    munmap(page, sizeof *page + steps * sizeof page->times[0]);
}
