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

/* Before each block: its size, and so the list that it goes to. */
struct head { size_t size, list; };
enum { LISTS = 256, NO_LIST = LISTS };

static void *lists[LISTS];      /* of free blocks; the first word of each is the next */

/* Sizes are multiples of 16 up to 1 KiB, and quarters of powers of two above. Not more than 2^32. */
static size_t list_of(size_t *size)
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

static struct head *head_of(void *block)
{
    return (struct head *)block - 1;
}

static bool in_arena(const void *block)
{
    return (const char *)block >= ARENA && (const char *)block < ARENA + ARENA_ROOM;
}

static void *take(size_t size, size_t alignment, size_t list)
{
    char *block = (char *)(((uintptr_t)snapshot_state.top + sizeof(struct head) + alignment - 1) & -alignment);
    if (size > ARENA_ROOM || block + size > ARENA + ARENA_ROOM) {
        errno = ENOMEM;
        return NULL;
    }
    snapshot_state.top = block + size;
    *head_of(block) = (struct head){ size, list };
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
    size_t list = list_of(&size);
    void *block = lists[list];
    if (!block)
        return take(size, 16, list);
    memcpy(&lists[list], block, sizeof(void *));
    return memset(block, 0, size);              /* nothing that is forgotten goes into the file */
}

void __wrap_free(void *block)
{
    if (!in_arena(block)) {
        __real_free(block);
        return;
    }
    struct head *head = head_of(block);
    if (!snapshot_state.making)
        return;
    memset(block, 0, head->size);
    if (head->list == NO_LIST)
        return;
    memcpy(block, &lists[head->list], sizeof(void *));
    lists[head->list] = block;
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
    return snapshot_state.making ? take(size, alignment < 16 ? 16 : alignment, NO_LIST)
                                 : __real_aligned_alloc(alignment, size);
}
