/* snapshot_write.c: the program, and behind it its memory, as a new program; and what must not be in it.
 *
 * Every word of the memory is looked at: an address of the stack, of the C library, its heap or the kernel's page would
 * be another's in the next process. So a mistake is found when pyrunc is built. */
#define _GNU_SOURCE
#include "snapshot.h"
#include "launcher.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_STACK = 64 << 20, MOST_MAPPINGS = 256, MOST_TOLD = 20, MAPS = 1 << 16 };

struct range { uintptr_t from, to; };
static struct { unsigned count; struct range list[MOST_MAPPINGS]; } foreign;

void snapshot_begin(const char *layout)
{
    uint64_t room[REST];
    char *arena = mmap(ARENA, ARENA_ROOM, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE, -1, 0);
    if (arena != ARENA)
        die("no room for a snapshot");
    /* The C library's own heap shall not lie behind the program: its addresses there are so small that code looks like
     * them. Where the break cannot be moved it takes mappings. */
    mmap((void *)(((uintptr_t)sbrk(0) + 4095) & -4096UL), 4096, PROT_NONE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    layout_begin(layout, room);
    memory_begin(room);
    snapshot_state.making = true;
}

/* All mappings but the program's own and the arena. */
static void find_foreign(struct snapshot_part data)
{
    size_t used = 0;
    ssize_t count;
    /* (Not in the program's data: the paths would be in the snapshot.) */
    char *text = mmap(NULL, MAPS, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    while (text != MAP_FAILED && fd >= 0 && (count = read(fd, text + used, MAPS - 1 - used)) > 0)
        used += (size_t)count;
    if (!used || used == MAPS - 1)
        die("cannot read /proc/self/maps");
    close(fd);
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        char *at;
        uintptr_t from = strtoul(line, &at, 16), to = strtoul(at + 1, NULL, 16);
        if (to <= data.address + data.size || from == (uintptr_t)ARENA)
            continue;
        if (foreign.count == MOST_MAPPINGS)
            die("too many mappings for a snapshot");
        if (end - line > 7 && !strncmp(end - 7, "[stack]", 7))
            from -= MOST_STACK, to++;           /* its lowest end is only thought of, and its highest is the next byte */
        foreign.list[foreign.count++] = (struct range){ from, to };
    }
    munmap(text, MAPS);
}

static bool is_foreign(uintptr_t word)
{
    for (unsigned i = 0; i < foreign.count; i++)
        if (word - foreign.list[i].from < foreign.list[i].to - foreign.list[i].from)
            return true;
    return false;
}

/* Notes where the thread's identity is written, and counts the words that mean nothing in another process. The loader
 * writes its own into the data again: addresses of what it has copied there (skip). */
static unsigned inspect(uintptr_t from, uintptr_t to, bool (*skip)(uintptr_t))
{
    struct snapshot_state *state = &snapshot_state;
    uintptr_t self = (uintptr_t)pthread_self();
    unsigned found = 0;
    for (uintptr_t *word = (uintptr_t *)from; word < (uintptr_t *)to; word++) {
        if (*word == self) {
            if (state->word_count == MOST_WORDS)
                die("a snapshot has too many words that name the thread");
            state->words[state->word_count++] = word;
        } else if (is_foreign(*word) && !skip((uintptr_t)word) && found++ < MOST_TOLD) {
            dprintf(STDERR_FILENO, "pyrunc: snapshot: %p holds %#lx, an address of this process\n", (void *)word, *word);
        }
    }
    return found;
}

struct lookup { uintptr_t word; bool found; };

static void compare(void *with, char *at, size_t size)
{
    struct lookup *lookup = with;
    lookup->found |= lookup->word - (uintptr_t)at < size;
}

static bool is_relocated(uintptr_t word)
{
    struct lookup lookup = { .word = word };
    compare(&lookup, (char *)&foreign, sizeof foreign);         /* what is looked for itself */
    snapshot_relocated(compare, &lookup);
    return lookup.found;
}

static bool never(uintptr_t word)
{
    (void)word;
    return false;
}

static void put(int fd, const void *bytes, size_t size)
{
    for (ssize_t count; size; bytes = (const char *)bytes + count, size -= (size_t)count)
        if ((count = write(fd, bytes, size)) <= 0)
            die("cannot write the snapshot");
}

/* The offset in the file of what is at an address of the program. */
static size_t offset_of(const char *file, uintptr_t address)
{
    const ElfW(Ehdr) *elf = (const void *)file;
    const ElfW(Phdr) *header = (const void *)(file + elf->e_phoff);
    for (unsigned i = 0; i < elf->e_phnum; i++)
        if (header[i].p_type == PT_LOAD && address - header[i].p_vaddr < header[i].p_filesz)
            return address - header[i].p_vaddr + header[i].p_offset;
    die("a snapshot has no place in the program");
}

/* Where the huge page lies that has what commands write to, 0 for none: a part of the data has to be one. */
static uint64_t huge_page(struct snapshot_part data)
{
    uint64_t hot = (uintptr_t)snapshot_hot, end = (uintptr_t)memory_hot_end(), at = (end - 1) & -(uint64_t)HUGE_PAGE;
    return hot < end && data.address <= at && at <= hot && at + HUGE_PAGE <= data.address + data.size ? at : 0;
}

static void keep_tls(void)
{
    size_t size;
    const char *tls = snapshot_tls(&size);
    snapshot_state.tls = malloc(size + 1);      /* in the arena */
    if (!snapshot_state.tls)
        die("out of memory");
    memcpy(snapshot_state.tls, tls, size);
    snapshot_state.tls_size = size;
}

void snapshot_write(const char *path)
{
    struct stat status;
    int program = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (snapshot_place.file_size || program < 0 || fstat(program, &status))
        die("a snapshot can be made of a program without one only");
    struct snapshot_part data = snapshot_data();
    bool spread = layout_is_spread();
    layout_end();
    find_foreign(data);
    keep_tls();
    struct snapshot_state *state = &snapshot_state;
    state->making = false;
    state->taken = true;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), end = ((uintptr_t)memory_end() + page - 1) & -page;
    unsigned found = inspect(data.address, data.address + data.size, is_relocated);
    found += inspect((uintptr_t)ARENA, end, never);
    if (found || state->unfit) {
        errno = 0;
        die(state->unfit ? state->unfit : "a snapshot would name addresses of this process");
    }
    memset(&foreign, 0, sizeof foreign);

    size_t size = (size_t)status.st_size, padded = (size + page - 1) & -page, arena = end - (uintptr_t)ARENA;
    size_t whole = padded + data.size + arena;
    char *file = mmap(NULL, whole - arena, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (file == MAP_FAILED || pread(program, file, size, 0) != (ssize_t)size)
        die("cannot read the program");
    data.offset = padded;
    struct snapshot_place place = {
        .magic = SNAPSHOT_MAGIC, .file_size = whole, .page_size = page, .spread = spread, .huge = huge_page(data),
        .data = data, .key_count = state->key_count,
        .arena = { .address = (uintptr_t)ARENA, .size = arena, .offset = padded + data.size },
    };
    memcpy(place.keys, state->keys, sizeof place.keys);
    memcpy(file + offset_of(file, (uintptr_t)&snapshot_place), &place, sizeof place);
    memcpy(file + padded, (void *)data.address, data.size);
    /* In large pieces: of a file that was written in small pieces the kernel's cache is in small pieces, too, and each start
     * maps it by them. */
    int out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    if (out < 0)
        die(path);
    put(out, file, whole - arena);
    put(out, ARENA, arena);
    if (close(out))
        die(path);
}
