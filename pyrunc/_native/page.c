/* page.c: the journal page, a file of the state directory mapped by everyone who takes part. */
#include "system.h"

#include <sys/mman.h>
#include <time.h>

uint64_t pr_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

page_t *pr_page_map(int fd, int create)
{
    struct stat file;
    if (create && ftruncate(fd, sizeof(page_t)) < 0)
        return NULL;
    if (fstat(fd, &file) < 0)
        return NULL;
    if (file.st_size < (off_t)sizeof(page_t)) {     /* reading past the end of a file is a SIGBUS */
        errno = EINVAL;
        return NULL;
    }
    /* Populated here, by the runtime: the init must not be charged for it, nor be killed for touching it. */
    page_t *page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED | (create ? MAP_POPULATE : 0), fd, 0);
    if (page == MAP_FAILED)
        return NULL;
    if (create) {
        page->magic = PAGE_MAGIC;
        page->version = PAGE_VERSION;
        page->parent_step = page->child_step = -1;
    } else if (page->magic != PAGE_MAGIC || page->version != PAGE_VERSION) {
        munmap(page, sizeof *page);
        errno = EINVAL;
        return NULL;
    }
    return page;
}

void pr_page_unmap(page_t *page)
{
    munmap(page, sizeof *page);
}
