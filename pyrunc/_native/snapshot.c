/* snapshot.c: going on from the memory in the program's own file (snapshot.h).
 *
 * What the loader has written into the program's data for this process is kept, and so are the counts of the compiler's
 * library about this processor. Nothing else in the data belongs to the C library: its own is in a library of its own,
 * and began with this process. */
#define _GNU_SOURCE
#include "snapshot.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct snapshot_state snapshot_state;
static const char *refusal;

/* ---- thread-specific data: a fresh process numbers the keys in the order that they are made in ---- */

int __real_pthread_key_create(pthread_key_t *key, void (*destructor)(void *));
int __real_pthread_key_delete(pthread_key_t key);
int __real_pthread_setspecific(pthread_key_t key, const void *value);
int __wrap_pthread_key_create(pthread_key_t *key, void (*destructor)(void *));
int __wrap_pthread_key_delete(pthread_key_t key);
int __wrap_pthread_setspecific(pthread_key_t key, const void *value);

int __wrap_pthread_key_create(pthread_key_t *key, void (*destructor)(void *))
{
    int error = __real_pthread_key_create(key, destructor);
    struct snapshot_state *state = &snapshot_state;
    if (state->making && !error) {
        if (state->key_count == MOST_KEYS || destructor)
            state->unfit = "more thread-specific data than is known";
        else
            state->keys[state->key_count++] = *key;
    }
    return error;
}

int __wrap_pthread_key_delete(pthread_key_t key)
{
    if (snapshot_state.making)
        snapshot_state.unfit = "thread-specific data is given up";
    return __real_pthread_key_delete(key);
}

int __wrap_pthread_setspecific(pthread_key_t key, const void *value)
{
    for (unsigned i = 0; snapshot_state.making && i < snapshot_state.key_count; i++)
        if (snapshot_state.keys[i] == key)
            snapshot_state.values[i] = value;
    return __real_pthread_setspecific(key, value);
}

static bool make_keys(void)
{
    unsigned made = 0;
    bool same = true;
    for (; same && made < snapshot_place.key_count; made++) {
        pthread_key_t key;
        if (__real_pthread_key_create(&key, NULL))
            return false;
        same = key == snapshot_place.keys[made];
        if (!same)
            __real_pthread_key_delete(key);
    }
    return same;
}

/* ---- the program in memory ---- */

static int note_tls(struct dl_phdr_info *program, size_t size, void *found)
{
    struct iovec { char *at; size_t size; } *block = found;
    (void)size;
    for (unsigned i = 0; i < program->dlpi_phnum; i++)
        if (program->dlpi_phdr[i].p_type == PT_TLS) {
            block->at = program->dlpi_tls_data;
            block->size = program->dlpi_phdr[i].p_memsz;
        }
    return 1;           /* the first is the program, and no other is asked for */
}

char *snapshot_tls(size_t *size)
{
    struct { char *at; size_t size; } block = { NULL, 0 };
    dl_iterate_phdr(note_tls, &block);
    *size = block.size;
    return block.at;
}

extern const ElfW(Ehdr) __ehdr_start;

struct snapshot_part snapshot_data(void)
{
    const ElfW(Phdr) *header = (const void *)((const char *)&__ehdr_start + __ehdr_start.e_phoff);
    uintptr_t from = 0, to = 0, page = (uintptr_t)sysconf(_SC_PAGESIZE);
    for (unsigned i = 0; i < __ehdr_start.e_phnum; i++) {
        if (header[i].p_type == PT_LOAD && header[i].p_flags & PF_W) {
            from = from ? from : header[i].p_vaddr;
            to = header[i].p_vaddr + header[i].p_memsz;
        }
        if (header[i].p_type == PT_GNU_RELRO)
            from = header[i].p_vaddr + header[i].p_memsz;
    }
    from = (from + page - 1) & -page;           /* (the linker lets RELRO end with a page) */
    to = (to + page - 1) & -page;
    return (struct snapshot_part){ .address = from, .size = to - from };
}

/* ---- what stays this process's in the data ---- */

extern char __cpu_model[16] __attribute__((weak)), __cpu_features2[4] __attribute__((weak));

#if defined __x86_64__
enum { COPY = R_X86_64_COPY };
#elif defined __aarch64__
enum { COPY = R_AARCH64_COPY };
#else
enum { COPY = -1 };
#endif

/* What the loader writes: copies of variables of the C library, mostly. */
void snapshot_relocated(void (*each)(void *with, char *at, size_t size), void *with)
{
    const ElfW(Rela) *entry = NULL;
    const ElfW(Sym) *symbols = NULL;
    size_t size = 0;
    for (const ElfW(Dyn) *item = _DYNAMIC; item->d_tag != DT_NULL; item++) {
        if (item->d_tag == DT_RELA)
            entry = (const void *)item->d_un.d_ptr;
        if (item->d_tag == DT_RELASZ)
            size = item->d_un.d_val;
        if (item->d_tag == DT_SYMTAB)
            symbols = (const void *)item->d_un.d_ptr;
    }
    for (const ElfW(Rela) *end = entry + size / sizeof *entry; entry < end; entry++)
        each(with, (char *)entry->r_offset,
             ELF64_R_TYPE(entry->r_info) == COPY ? symbols[ELF64_R_SYM(entry->r_info)].st_size : sizeof(void *));
}

struct kept {
    bool put, too_much;
    size_t used;
    char bytes[MOST_KEPT];
};

static void keep_or_put(void *with, char *at, size_t size)
{
    struct kept *kept = with;
    if (!at || (uintptr_t)at - snapshot_place.data.address >= snapshot_place.data.size)
        return;
    if (size > sizeof kept->bytes - kept->used) {
        kept->too_much = true;
        return;
    }
    memcpy(kept->put ? at : kept->bytes + kept->used, kept->put ? kept->bytes + kept->used : at, size);
    kept->used += size;
}

static void own_data(struct kept *kept, bool put)
{
    kept->put = put;
    kept->used = 0;
    snapshot_relocated(keep_or_put, kept);
    keep_or_put(kept, __cpu_model, sizeof __cpu_model);
    keep_or_put(kept, __cpu_features2, sizeof __cpu_features2);
}

static bool refuse(const char *why)
{
    refusal = why;
    return false;
}

const char *snapshot_refusal(void)
{
    return refusal;
}

static void *map(int fd, const struct snapshot_part *part, int how)
{
    return mmap((void *)part->address, part->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | how, fd, (off_t)part->offset);
}

/* Copies one page of 2 MiB, instead of hundreds of small ones one after the other, where the kernel has such pages. */
static bool copy_at_once(int fd)
{
    const struct snapshot_part *data = &snapshot_place.data;
    char *page = (char *)snapshot_place.huge;
    if (!page)
        return true;
    struct snapshot_part part = { snapshot_place.huge, HUGE_PAGE, data->offset + snapshot_place.huge - data->address };
    if (mmap(page, HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == page &&
        !madvise(page, HUGE_PAGE, MADV_HUGEPAGE) && pread(fd, page, HUGE_PAGE, (off_t)part.offset) == HUGE_PAGE)
        return true;
    return map(fd, &part, MAP_FIXED) == page;
}

static void make_anew(void)
{
    struct snapshot_state *state = &snapshot_state;
    size_t size;
    char *tls = snapshot_tls(&size);
    if (size == state->tls_size && size)
        memcpy(tls, state->tls, size);
    for (unsigned i = 0; i < state->key_count; i++)
        __real_pthread_setspecific(state->keys[i], state->values[i]);
    for (unsigned i = 0; i < state->word_count; i++)
        *state->words[i] = (uintptr_t)pthread_self();
}

bool snapshot_take(int fd, bool at_once)
{
    struct snapshot_part data = snapshot_data();
    struct stat file;
    struct kept kept = { .used = 0 };
    if (!snapshot_place.file_size)
        return false;
    if ((uint64_t)sysconf(_SC_PAGESIZE) != snapshot_place.page_size || data.address != snapshot_place.data.address ||
        data.size != snapshot_place.data.size)
        return refuse("it was made for another size of pages");
    if (fd < 0 || fstat(fd, &file) || (uint64_t)file.st_size != snapshot_place.file_size)
        return refuse("the program's file is not as it was built");
    own_data(&kept, false);
    if (kept.too_much || !make_keys())
        return refuse("the C library has begun otherwise");
    if (map(fd, &snapshot_place.arena, MAP_FIXED_NOREPLACE) != ARENA)
        return refuse("there is no room at its address");
    if (map(fd, &snapshot_place.data, MAP_FIXED) != (void *)data.address) {
        munmap(ARENA, snapshot_place.arena.size);
        return refuse("the program's data cannot be mapped");
    }
    layout_split();
    if (at_once && !copy_at_once(fd)) {
        static const char said[] = "pyrunc: out of memory while it starts\n";
        _exit(write(STDERR_FILENO, said, sizeof said - 1) < 0 ? 127 : 1);   /* what Python has is not to be undone */
    }
    own_data(&kept, true);
    make_anew();
    return true;
}

void snapshot_forget(void)
{
    if (snapshot_place.file_size)               /* ENOMEM where it is not mapped */
        madvise(ARENA, snapshot_place.arena.size, MADV_DONTNEED);
}
