/* last_libraries.c: what is mapped from files of the host, so that last_tail.c can let go of it.
 *
 * Of every loaded object but the program: that is the sealed image, which /proc/PID/exe shows anyway. When this code
 * itself is in a module of its own (the interpreter runs it), it goes on in a copy. So do the pages around the thread
 * pointer: the kernel writes into them (rseq(2)) as long as there is a thread, and the loader may have had room for them
 * at the end of its own data. */
#include "last_stage.h"
#include "raw.h"

#include <link.h>
#include <sys/auxv.h>
#include <sys/mman.h>

enum { AROUND_THREAD = 8192 };

static uintptr_t page_size(void)
{
    return (uintptr_t)sysconf(_SC_PAGESIZE);
}

/* Put a copy without a file in the place of a mapping. The code that does it may be what is copied. */
static int copy_in_place(uintptr_t from, uintptr_t to, int protection)
{
    void *copy = mmap(NULL, to - from, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (copy == MAP_FAILED)
        return -1;
    memcpy(copy, (const void *)from, to - from);
    if (mprotect(copy, to - from, protection) < 0)
        return -1;
    return mremap(copy, to - from, to - from, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)from) == MAP_FAILED ? -1 : 0;
}

static int copy_own(const struct dl_phdr_info *object)
{
    uintptr_t page = page_size();
    for (unsigned i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        uintptr_t from = (object->dlpi_addr + part->p_vaddr) & -page;
        uintptr_t to = (object->dlpi_addr + part->p_vaddr + part->p_memsz + page - 1) & -page;
        int protection = (part->p_flags & PF_R ? PROT_READ : 0) | (part->p_flags & PF_W ? PROT_WRITE : 0)
                         | (part->p_flags & PF_X ? PROT_EXEC : 0);
        if (part->p_type == PT_LOAD && copy_in_place(from, to, protection) < 0)
            return -1;
    }
    return 0;
}

struct search {
    struct stage *stage;
    unsigned objects;
};

static void note(struct stage *stage, uintptr_t from, uintptr_t to)
{
    if (from < to)
        stage->spans[stage->span_count++] = (struct span){ (char *)from, (char *)to };
}

static int note_object(struct dl_phdr_info *object, size_t size, void *found)
{
    struct search *search = found;
    struct stage *stage = search->stage;
    uintptr_t from = UINTPTR_MAX, to = 0, page = page_size(), own = (uintptr_t)&note_libraries;
    (void)size;
    for (unsigned i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        uintptr_t first = object->dlpi_addr + part->p_vaddr;
        if (part->p_type != PT_LOAD)
            continue;
        from = first < from ? first & -page : from;
        to = first + part->p_memsz > to ? (first + part->p_memsz + page - 1) & -page : to;
    }
    if (search->objects++ == 0 || object->dlpi_addr == getauxval(AT_SYSINFO_EHDR))   /* the program; the vDSO */
        return 0;
    if (from <= own && own < to)
        return copy_own(object);
    if (stage->span_count + 2 > SPANS) {
        errno = E2BIG;
        return -1;
    }
    uintptr_t thread = (uintptr_t)__builtin_thread_pointer();
    uintptr_t low = (thread - AROUND_THREAD) & -page, high = (thread + AROUND_THREAD + page - 1) & -page;
    low = low > from ? low : from;
    high = high < to ? high : to;
    if (low >= high) {
        note(stage, from, to);
        return 0;
    }
    note(stage, from, low);
    note(stage, high, to);
    return copy_in_place(low, high, PROT_READ | PROT_WRITE);
}

void note_libraries(struct stage *stage)
{
    struct search search = { stage, 0 };
    if (LETS_GO)
        must(stage, dl_iterate_phdr(note_object, &search), "prepare to let go of the libraries");
}
