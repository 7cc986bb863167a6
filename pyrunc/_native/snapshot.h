/* snapshot.h: a start from memory that was written down when the program was built (docs/start.md).
 *
 * The launcher, run once with --make-snapshot, starts Python, imports what commands need, and writes itself down: its
 * program, and behind that its own data and all that it has allocated. A later start maps these instead of making them.
 * snapshot.c does both, snapshot_memory.c has the allocator, and snapshot_write.c the writer with its checks. */
#ifndef PYRUNC_SNAPSHOT_H
#define PYRUNC_SNAPSHOT_H

#include <patchlevel.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where all that is allocated for the snapshot lies: far from all that the kernel places, on every 64-bit machine. */
#define ARENA ((char *)0x1000000000)
enum { ARENA_ROOM = 1 << 30, MOST_KEYS = 4, MOST_WORDS = 64, MOST_KEPT = 1024 };
/* But what commands write to, some 900 KiB, lies in the program's own data. With CPython's that has to fill a huge page:
 * up to 3.12 there is code among it, a megabyte. */
enum { HUGE_PAGE = 2 << 20, HOT_ROOM = PY_VERSION_HEX < 0x030d0000 ? 960 << 10 : 1280 << 10 };
extern char snapshot_hot[HOT_ROOM];

/* A part of memory and of the program's file. */
struct snapshot_part { uint64_t address, size, offset; };

/* In the program, read-only; all zero in one without a snapshot. (It is defined where it is not used: the compiler must
 * not know that.) */
struct snapshot_place {
    char magic[16];
    uint64_t file_size, page_size;
    uint64_t spread;                    /* each block has a page of its own (snapshot_layout.c) */
    uint64_t huge;                      /* where one huge page has what commands write to; 0 for none */
    struct snapshot_part data, arena;
    uint64_t key_count;
    pthread_key_t keys[MOST_KEYS];      /* the numbers of pthread_key_create */
};
extern const struct snapshot_place snapshot_place;
#define SNAPSHOT_MAGIC "pyrunc snapshot"

/* What is another in each process, noted while the snapshot was made. */
struct snapshot_state {
    bool making;                                /* malloc takes from the arena */
    bool taken;                                 /* this process has started from the snapshot */
    const char *unfit;                          /* why no snapshot can be made */
    unsigned key_count, word_count;
    pthread_key_t keys[MOST_KEYS];
    const void *values[MOST_KEYS];              /* the thread's own value of each key */
    uintptr_t *words[MOST_WORDS];               /* where pthread_self() is written */
    char *tls;                                  /* a copy of the program's thread-local variables */
    size_t tls_size;
};
extern struct snapshot_state snapshot_state;

/* Begins the making: from here on malloc takes from the arena. layout: a file that says where each block is to lie, or
 * SPREAD, or NULL (snapshot_layout.c). */
void snapshot_begin(const char *layout);
#define SPREAD "--spread"

/* Blocks that commands write to lie together, those of the same commands in the same zone: the first ones. Then come those
 * that they only read, and the last is for the rest. */
enum { HOT = 11, REST = 13, ZONES };
/* What is before each block: its size, the list of free ones that it goes to, and how many were taken before it. */
struct snapshot_block { uint64_t size; uint32_t list, number; };
/* Reads a layout: the room of each zone but the last goes to room, in bytes. Dies with a message. */
void layout_begin(const char *layout, uint64_t room[REST]);
unsigned layout_zone(uint32_t number);
bool layout_is_spread(void);
void layout_end(void);
/* Lets the kernel map the blocks of a spread program one by one, as they are touched. */
void layout_split(void);
/* Tells who asks (TOUCHED) which blocks this process has written to or read, when the program is spread. One that has not started
 * from its snapshot has none: it dies with a message, as a child it tells nothing. */
void layout_tell(bool child);
/* Ends the allocator's work: the used end of the arena. */
char *memory_end(void);
/* The end of what commands are known to write to, snapshot_hot for nothing. */
char *memory_hot_end(void);
/* Whether commands are known not to write to a block. */
bool memory_is_cold(const void *block);
void memory_begin(const uint64_t room[REST]);

/* Writes this process down as a program at path: everything must be as a later start shall find it, but for what
 * snapshot_take makes anew. The process may only end after that. Dies with a message. */
void snapshot_write(const char *path);

/* Goes on from the snapshot of this program, if it fits: then whatever was in the program's data is what it was when
 * snapshot_write was called. Otherwise nothing has changed, and snapshot_refusal() says why, or is NULL without one.
 * at_once: for a command that writes to most of what commands write to. program: a descriptor of its file. */
bool snapshot_take(int program, bool at_once);
const char *snapshot_refusal(void);

/* Gives back what this process has written into the arena: nothing of it is needed any more. */
void snapshot_forget(void);

/* The program's own thread-local variables, of this thread. */
char *snapshot_tls(size_t *size);
/* Calls each for what the loader writes into the program. */
void snapshot_relocated(void (*each)(void *with, char *at, size_t size), void *with);
/* The writable data of the program that is not read-only since its start (RELRO), in whole pages. */
struct snapshot_part snapshot_data(void);

#endif
