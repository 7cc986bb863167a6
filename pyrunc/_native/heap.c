/* heap.c: memory in huge pages.
 *
 * A command touches a thousand pages, most of them once. Page by page that takes 1.5 ms, and the fork and the end have
 * their share of it; in huge pages, which the kernel gives to who asks for them (madvise(2), MADV_HUGEPAGE), it is a
 * fifth. A forked child that writes copies small pages, as ever. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "launcher.h"

#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { HUGE_PAGE = 2 << 20, HEAP = 4 * HUGE_PAGE };

static void *take_arena(void *context, size_t size)
{
    return aligned_alloc(4096, size);
}

static void return_arena(void *context, void *arena, size_t size)
{
    free(arena);
}

void place_arenas(void)
{
    PyObjectArenaAllocator arenas = { NULL, take_arena, return_arena };
    PyObject_SetArenaAllocator(&arenas);
}

void place_heap(void)
{
    place_arenas();

    /* malloc's memory is what lies below the break. Let it begin at a huge page and be asked for in large portions. */
    char *heap = (char *)(((uintptr_t)sbrk(0) + HUGE_PAGE - 1) & -(uintptr_t)HUGE_PAGE);
    mallopt(M_TOP_PAD, HEAP);
    mallopt(M_MMAP_THRESHOLD, HUGE_PAGE);
    sbrk(heap - (char *)sbrk(0));
    /* malloc writes into its first portion at once, and a huge page must be asked for before. So move the break without
     * its knowledge; when it moves it to the same place, the memory has been marked. */
    syscall(SYS_brk, heap + HEAP);
    madvise(heap, HEAP, MADV_HUGEPAGE);
}
