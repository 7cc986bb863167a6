/* snapshot_memory.c: malloc of all that is linked into the program (ld's --wrap).
 *
 * While the snapshot is made it takes from the arena; otherwise it is the C library's own, with its checks, its random
 * place, and its locks. What a process that has started from the snapshot frees or enlarges of the arena is left there. */
#define _GNU_SOURCE
#include "snapshot.h"

#include <errno.h>
#include <malloc.h>
#include <string.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void __real_free(void *block);
void *__real_aligned_alloc(size_t alignment, size_t size);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
void __wrap_free(void *block);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

const struct snapshot_place snapshot_place __attribute__((section(".snapshot"))) = { .magic = "" };

enum { LISTS = 256, NO_LIST = LISTS };

/* It lies behind CPython's own data and ends where a huge page does (build_launcher.py), which has both. */
char snapshot_hot[HOT_ROOM] __attribute__((aligned(4096)));

/* From top to end there is room; of free blocks, the first word of each is the next. */
static struct zone { char *top, *end; void *lists[LISTS]; } zones[ZONES];
static uint32_t taken;          /* blocks, so far */

/* Puts the zones from first up to last one behind the other; what has no room goes to the rest. The end of the last. */
static char *place_zones(unsigned first, unsigned last, const uint64_t room[REST], char *at, const char *end)
{
    for (unsigned i = first; i < last; i++) {
        uint64_t left = (uint64_t)(end - at);
        zones[i].top = at;
        at += room[i] < left ? room[i] : left;
        zones[i].end = at;
    }
    return at;
}

void memory_begin(const uint64_t room[REST])
{
    place_zones(0, HOT, room, snapshot_hot, snapshot_hot + HOT_ROOM);
    zones[REST].top = place_zones(HOT, REST, room, ARENA, ARENA + ARENA_ROOM);
    zones[REST].end = ARENA + ARENA_ROOM;
}

char *memory_end(void)
{
    return zones[REST].top;
}

/* Sizes are multiples of 16 up to 1 KiB, and quarters of powers of two above. Not more than 2^32. */
static uint32_t list_of(size_t *size)
{
    if (*size <= 1024) {
        size_t units = *size ? (*size + 15) / 16 : 1;
        *size = units * 16;
        return units;
    }
    unsigned log = 63 - (unsigned)__builtin_clzl(*size - 1);
    size_t step = (size_t)1 << (log - 2), steps = (*size - ((size_t)1 << log) + step - 1) / step;
    *size = ((size_t)1 << log) + steps * step;
    return 64 + (log - 10) * 4 + steps;
}

static struct snapshot_block *head_of(void *block)
{
    return (struct snapshot_block *)block - 1;
}

static bool is_hot(const void *block)
{
    return (const char *)block >= snapshot_hot && (const char *)block < snapshot_hot + HOT_ROOM;
}

static bool in_arena(const void *block)
{
    return is_hot(block) || ((const char *)block >= ARENA && (const char *)block < ARENA + ARENA_ROOM);
}

static struct zone *zone_of(const void *block)
{
    struct zone *zone = is_hot(block) ? zones : &zones[HOT];
    while ((const char *)block >= zone->end)
        zone++;
    return zone;
}

char *memory_hot_end(void)
{
    return zones[HOT - 1].end;
}

bool memory_is_cold(const void *block)
{
    return memory_hot_end() > snapshot_hot && in_arena(block) && !is_hot(block);
}

/* A new block. */
static void *take(struct zone *zone, size_t size, size_t alignment, uint32_t list)
{
    uintptr_t top = (uintptr_t)zone->top, page = 4096;
    if (layout_is_spread())             /* its head begins a page, or ends one where the block begins the next */
        top = ((top + page - 1) & -page) + (alignment > 16 ? page - sizeof(struct snapshot_block) : 0);
    char *block = (char *)((top + sizeof(struct snapshot_block) + alignment - 1) & -alignment);
    if (size > ARENA_ROOM || block + size > zone->end) {
        if (zone != &zones[REST])       /* not as it was when the layout was made */
            return take(&zones[REST], size, alignment, list);
        errno = ENOMEM;
        return NULL;
    }
    zone->top = block + size;
    *head_of(block) = (struct snapshot_block){ size, list, taken };
    return block;
}

void *__wrap_malloc(size_t size)
{
    if (!snapshot_state.making)
        return __real_malloc(size);
    if (size > ARENA_ROOM) {
        errno = ENOMEM;
        return NULL;
    }
    uint32_t list = list_of(&size);
    struct zone *zone = &zones[layout_zone(++taken)];
    void *block = zone->lists[list];
    if (!block)
        return take(zone, size, 16, list);
    memcpy(&zone->lists[list], block, sizeof(void *));
    head_of(block)->number = taken;
    return memset(block, 0, size);              /* nothing that is forgotten goes into the file */
}

void __wrap_free(void *block)
{
    if (!in_arena(block)) {
        __real_free(block);
        return;
    }
    struct snapshot_block *head = head_of(block);
    if (!snapshot_state.making)
        return;
    memset(block, 0, head->size);
    if (head->list == NO_LIST)
        return;
    struct zone *zone = zone_of(block);
    memcpy(block, &zone->lists[head->list], sizeof(void *));
    zone->lists[head->list] = block;
}

void *__wrap_calloc(size_t count, size_t size)
{
    size_t whole;
    if (!snapshot_state.making)
        return __real_calloc(count, size);
    if (__builtin_mul_overflow(count, size, &whole)) {
        errno = ENOMEM;
        return NULL;
    }
    return __wrap_malloc(whole);                /* (is zero) */
}

void *__wrap_realloc(void *block, size_t size)
{
    if (!in_arena(block) && !(snapshot_state.making && !block))
        return __real_realloc(block, size);
    size_t had = block ? head_of(block)->size : 0;
    if (block && size <= had && size >= had / 2)
        return block;
    void *other = __wrap_malloc(size);
    if (other && block) {
        memcpy(other, block, had < size ? had : size);
        __wrap_free(block);
    }
    return other;
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return snapshot_state.making
               ? take(&zones[layout_zone(++taken)], size, alignment < 16 ? 16 : alignment, NO_LIST)
               : __real_aligned_alloc(alignment, size);
}
