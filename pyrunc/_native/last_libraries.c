/* last_libraries.c: what is mapped from files of the host, so that last_tail.c can let go of it.
 *
 * The C library is needed by an init that has hooks to run (last_programs.c). It goes on in a copy, too: two megabytes.
 *
 * Of every loaded object but the program: that is the sealed image, which /proc/PID/exe shows anyway. When this code
 * itself is in a module of its own (the interpreter runs it), it goes on in a copy. So do the pages around the thread
 * pointer: the kernel writes into them (rseq(2)) as long as there is a thread, and the loader may have had room for them
 * at the end of its own data. */
#include "last_stage.h"
#include "raw.h"

#include <link.h>
#include <stdlib.h>
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

static int copy_object(const struct dl_phdr_info *object)
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
    int keep_c;
    unsigned objects;
    uintptr_t from[2], to[2];           /* what stays: the program, and the module with this code */
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
    int program = search->objects++ == 0, module = from <= own && own < to;
    if (program || module) {
        search->from[!program] = from;
        search->to[!program] = to;
        return program ? 0 : copy_object(object);
    }
    if (object->dlpi_addr == getauxval(AT_SYSINFO_EHDR))
        return 0;
    if (search->keep_c && is_c_library(object->dlpi_name))
        return copy_object(object);
    if (stage->span_count + 2 > SPANS / 2) {
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

/* A line of /proc/self/maps: a file that is none of these objects is data of the C library's (locales, gconv). */
static void note_mapping(const struct search *search, const char *line, const char *end)
{
    char *at;
    const page_t *journal = search->stage->page;
    uintptr_t page = (uintptr_t)journal;
    uintptr_t from = strtoul(line, &at, 16), to = *at == '-' ? strtoul(at + 1, &at, 16) : 0;
    if (*at != ' ' || !memchr(at, '/', (size_t)(end - at)))
        return;
    if (from >= page && from < page + journal->steps * sizeof journal->times[0] + sizeof *journal)
        return;                                 /* it is shared with the runtime, and with `start` */
    for (int i = 0; i < 2; i++)
        if (from >= search->from[i] && to <= search->to[i])
            return;
    for (struct span *span = search->stage->spans; span < search->stage->spans + search->stage->span_count; span++)
        if (from >= (uintptr_t)span->from && to <= (uintptr_t)span->to)
            return;
    if (search->stage->span_count < SPANS)
        note(search->stage, from, to);
}

static void note_mappings(const struct search *search)
{
    char *text = (char *)search->stage->groups;
    size_t used = 0;
    ssize_t n;
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && (n = read(fd, text + used, ROOM_FOR_GROUPS - used)) > 0)
        used += (size_t)n;
    for (char *line = text, *end; (end = memchr(line, '\n', (size_t)(text + used - line))); line = end + 1)
        note_mapping(search, line, end);
    if (fd >= 0)
        close(fd);
}

void note_libraries(struct stage *stage, int keep_c)
{
    struct search search = { .stage = stage, .keep_c = keep_c };
    if (!LETS_GO)
        return;
    must(stage, dl_iterate_phdr(note_object, &search), "find the libraries to unmap");
    note_mappings(&search);
}
