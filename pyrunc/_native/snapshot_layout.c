/* snapshot_layout.c: which of the snapshot's blocks lie together.
 *
 * A command writes to few of the objects that were imported, mostly to count its references to them, and a page that it
 * writes to is copied: so those that commands write to shall lie together, and so shall those that they only read.
 * Which they are is found out by trying (lay_out.py). In a program whose snapshot is spread, each block has a page of its
 * own. A process of it tells at its end which of its pages the kernel has copied or mapped. The next program made of the
 * same sources in the same way takes the same blocks in the same order, so they are known by their number. */
#define _GNU_SOURCE
#include "snapshot.h"
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TOUCHED = 100 };         /* the descriptor of who wants to be told, of a spread program */
enum { PAGE = 4096, PAGES = 512, IN_CHILD = 1U << 31, READ_ONLY = 1U << 30 };
/* Linux lets a process have 65,530; there are 33,000 blocks. */
enum { MOST_MAPPINGS = 50000 };

/* The file: how much room each zone needs, and then the zone of each block. */
static struct { const struct layout { uint64_t room[REST]; unsigned char zones[]; } *file; size_t size; bool spread; } now;

void layout_begin(const char *layout, uint64_t room[REST])
{
    memset(room, 0, REST * sizeof *room);
    now.spread = layout && !strcmp(layout, SPREAD);
    if (!layout || now.spread)
        return;
    struct stat status;
    int fd = open(layout, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status))
        die(layout);
    now.size = (size_t)status.st_size;
    now.file = mmap(NULL, now.size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (now.file == MAP_FAILED || now.size < sizeof *now.file)
        die(layout);
    close(fd);
    memcpy(room, now.file->room, REST * sizeof *room);
}

unsigned layout_zone(uint32_t number)
{
    if (!now.file || number >= now.size - sizeof *now.file || now.file->zones[number] > REST)
        return REST;
    return now.file->zones[number];
}

bool layout_is_spread(void)
{
    return now.spread;
}

void layout_end(void)
{
    if (now.file)
        munmap((void *)now.file, now.size);
    memset(&now, 0, sizeof now);
}

/* What this process has done with a page: nothing, read it, or written to it. Then it has its own copy, which is neither
 * the file's nor another process's (pagemap). */
enum use { UNUSED, SEEN, COPIED };

static enum use use_of(int pagemap, uintptr_t address)
{
    static struct { uintptr_t from; uint64_t list[PAGES]; } known = { .from = 1 };
    if (address - known.from >= PAGES * PAGE) {
        known.from = address & -(uintptr_t)(PAGES * PAGE);
        memset(known.list, 0, sizeof known.list);
        if (pread(pagemap, known.list, sizeof known.list, (off_t)(known.from / PAGE * sizeof *known.list)) < 0)
            return UNUSED;
    }
    uint64_t entry = known.list[(address - known.from) / PAGE];
    return entry >> 63 & 1 ? entry >> 61 & 1 ? SEEN : COPIED : UNUSED;
}

/* The last page of the block that begins at a page, and its head. To look at it maps the page. */
static char *last_page(char *page, const struct snapshot_block **head)
{
    *head = (const void *)page;
    if (!(*head)->size)
        *head = (const void *)(page + PAGE - sizeof **head);
    return (char *)(((uintptr_t)(*head + 1) + (*head)->size - 1) & -(uintptr_t)PAGE);
}

void layout_split(void)
{
    const struct snapshot_block *head;
    char *end = ARENA + snapshot_place.arena.size;
    unsigned count = 0;
    if (!snapshot_place.spread || fcntl(TOUCHED, F_GETFD) < 0)
        return;
    /* With a page that is read the kernel maps its neighbours, but none that is not of the same mapping. */
    for (char *page = ARENA; page < end && count < MOST_MAPPINGS; count++) {
        char *next = last_page(page, &head) + PAGE;
        if (count % 2)
            madvise(page, (size_t)(next - page), MADV_RANDOM);
        page = next;
    }
    madvise(ARENA, snapshot_place.arena.size, MADV_DONTNEED);
}

void layout_tell(bool child)
{
    if (!snapshot_place.spread || fcntl(TOUCHED, F_GETFD) < 0 || (child && !snapshot_state.taken))
        return;
    errno = 0;
    if (!snapshot_state.taken)
        die("which of its objects a command writes to cannot be told: it has not started from the snapshot");
    int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    char *end = ARENA + snapshot_place.arena.size;
    for (char *page = ARENA; pagemap >= 0 && page < end;) {
        const struct snapshot_block *head;
        enum use use = use_of(pagemap, (uintptr_t)page);
        char *last = last_page(page, &head);
        for (uintptr_t at = (uintptr_t)page + PAGE; at <= (uintptr_t)last && use != COPIED; at += PAGE) {
            enum use other = use_of(pagemap, at);
            use = other > use ? other : use;
        }
        uint32_t told[2] = { head->number | (child ? IN_CHILD : 0) | (use == SEEN ? READ_ONLY : 0), (uint32_t)head->size };
        if (use && write(TOUCHED, told, sizeof told) != sizeof told)
            break;
        page = last + PAGE;
    }
    if (pagemap >= 0)
        close(pagemap);
}
