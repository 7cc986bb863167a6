/* last_memory.c: the interpreter's memory is given back, while the runtime is waited for.
 *
 * What a forked child has written is its own, and charged to the container: more than a mebibyte of objects whose
 * reference counts Python has touched. What it has not written it shares with the runtime, and keeps alive for as long
 * as the container waits for `start`: some six mebibytes. Nothing of it is needed any more. The operations and their
 * data have been copied out of it, our own state is on the stack, and everything that we call is in the C library, whose
 * data stays. The execve has that much less to do. */
#include "last_stage.h"

#include <link.h>
#include <sys/mman.h>

enum { OBJECTS = 64 };          /* more than a runtime loads; of any beyond, the data just stays */

struct spans {
    unsigned count;
    struct span list[OBJECTS];
};

/* What the C library and its loader need to go on. */
int is_c_library(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    return strncmp(name, "libc.", 5) == 0 || strncmp(name, "libc-", 5) == 0 || strncmp(name, "ld", 2) == 0;
}

/* Whether this code is the object's. */
static int is_ours(const struct dl_phdr_info *object)
{
    uintptr_t here = (uintptr_t)is_ours;
    for (unsigned i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        if (part->p_type == PT_LOAD && here - (object->dlpi_addr + part->p_vaddr) < part->p_memsz)
            return 1;
    }
    return 0;
}

/* Of a loaded object, the data that may be forgotten. It then reads as it was in the file, before relocation: so of our
 * own object the part that is read-only since (PT_GNU_RELRO), with the addresses of all functions, is not among it. In a
 * shared libpython that part alone is 170 KiB. */
static int note_data(struct dl_phdr_info *object, size_t size, void *found)
{
    struct spans *spans = found;
    uintptr_t from = 0, to = 0, page = (uintptr_t)sysconf(_SC_PAGESIZE);
    int ours = is_ours(object);
    (void)size;
    if (is_c_library(object->dlpi_name) || spans->count == OBJECTS)
        return 0;
    for (unsigned i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        uintptr_t first = object->dlpi_addr + part->p_vaddr, end = first + part->p_memsz;
        if (part->p_type == PT_LOAD && part->p_flags & PF_W && end > to)
            from = from > first ? from : first & -page, to = end;       /* (its first page is no other segment's) */
        if (part->p_type == PT_GNU_RELRO && ours && end > from)
            from = end;
    }
    /* malloc's memory lies behind the program's own data: the first object is the program. */
    if (spans->count == 0 && to)
        to = (uintptr_t)sbrk(0);
    if (to)
        spans->list[spans->count++] = (struct span){ (char *)from, (char *)to };
    return 0;
}

void *keep(struct stage *stage, const void *bytes, size_t len)
{
    void *kept = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(stage, kept == MAP_FAILED ? -1 : 0, "make room for the last operations");
    return bytes ? memcpy(kept, bytes, len) : kept;
}

/* The launcher's (snapshot.h), where this is linked into it. */
extern void snapshot_forget(void) __attribute__((weak, visibility("default")));
extern void layout_tell(_Bool child) __attribute__((weak, visibility("default")));

void tell_layout(void)
{
    if (layout_tell)
        layout_tell(1);
}

void forget_interpreter(void)
{
    /* Looked up first: the loader's list of objects is in the memory that is given back. */
    struct spans spans = { 0 };
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    dl_iterate_phdr(note_data, &spans);
    if (snapshot_forget)
        snapshot_forget();
    for (struct span *span = spans.list; span < spans.list + spans.count; span++) {
        uintptr_t from = ((uintptr_t)span->from + page - 1) & -page, to = ((uintptr_t)span->to + page - 1) & -page;
        if (from >= to)
            continue;
        madvise((void *)from, to - from, MADV_DONTNEED);        /* a gap in it is passed over, with ENOMEM */
        madvise((void *)from, to - from, MADV_NOHUGEPAGE);      /* what is written from here on is a word in a page */
    }
}
