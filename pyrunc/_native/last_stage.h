/* last_stage.h: the packed data of the last stage's operations, and what its C files share.
 *
 * pyrunc/kernel/last_stage.py packs these structs. They lie in the blob at multiples of 8, in native byte order; strings are
 * NUL-terminated. Before anything else happens last_check.c proves that every operation stays inside the blob. */
#ifndef PYRUNC_LAST_STAGE_H
#define PYRUNC_LAST_STAGE_H
#include "system.h"

#include <limits.h>
#include <linux/filter.h>

/* OP_EXEC: then argc + envc strings. */
struct packed_exec {
    uint32_t argc, envc;
};

/* OP_HOOK: then path, argc + envc strings, and input_len bytes for its stdin. timeout_ms 0: no limit. */
struct packed_hook {
    uint32_t timeout_ms, argc, envc, input_len;
};

/* OP_VERIFY: what must be true. Ids are real, effective and saved; groups (group_count of them, ascending) are all
 * there are. Effective, permitted and inheritable must be exactly these; bounding and ambient at most these (the
 * caller may have had less). no_new_privs and seccomp (mode 2) 0 mean "need not be". */
enum { VERIFY_IDS = 1, VERIFY_GROUPS = 2, VERIFY_CAPABILITIES = 4 };
struct packed_verify {
    uint32_t what, uid, gid, no_new_privs, seccomp, group_count;
    uint64_t effective, permitted, inheritable, bounding, ambient;
    uint32_t groups[];
};

struct span {
    char *from, *to;
};
enum { SPANS = 128 };                   /* more than four times as many as a runtime has libraries */

enum { ROOM_FOR_GROUPS = NGROUPS_MAX * sizeof(uint32_t) };

struct stage {
    page_t *page;
    const op_t *ops;
    unsigned n;
    const char *blob;
    char **lists;                       /* room for argv and envp of hooks and exec, taken from the front */
    uint32_t *groups;                   /* room for what getgroups tells: ROOM_FOR_GROUPS bytes; free but for that time */
    int lean;                           /* the interpreter's memory has been given back */
    int filtered;                       /* a seccomp filter has been loaded */
    int listener;                       /* its notify descriptor, or -1 */
    int cwd_is_safe;                    /* we are in the configured directory, and it is below the root */
    uint64_t secret;                    /* lets their calls pass the filter, where that would refuse them; or 0 */
    unsigned span_count;                /* what OP_CLONE or OP_LET_GO lets go of */
    struct span spans[SPANS];
    char found[PATH_MAX];               /* what OP_FIND_EXECUTABLE found */
};

/* ---- last_stage.c: failing. What the parent will know is complete in the page before the process ends, and before
 * a hint is looked for. error 0: the text says it all ---- */
struct line begin_text(struct stage *stage);
struct line begin_hint(const struct line *text);                /* a second string, after the NUL of the text */
void record_failure(struct stage *stage, int error);
void __attribute__((noreturn)) give_up(struct stage *stage, int error, const struct line *text, const char *hint);
void __attribute__((noreturn)) fail(struct stage *stage, const char *what);     /* with errno */
void must(struct stage *stage, long result, const char *what);                  /* fails when the result is negative */

/* ---- last_memory.c ---- */
void *keep(struct stage *stage, const void *bytes, size_t len);                 /* a copy; bytes NULL: zeros */
void tell_layout(void);                                                         /* while a snapshot is tried (lay_out.py) */
void forget_interpreter(void);                                                  /* all memory of Python's, malloc's too */
int is_c_library(const char *path);

/* ---- operations, by subject; each returns when it succeeded ---- */
void close_unnamed(struct stage *stage);                                        /* last_fds.c */
int tells_of_exec(const struct stage *stage, int fd);
void pivot_root(struct stage *stage, int root);                                 /* last_root.c */
void move_root(struct stage *stage, int root);
void change_root(struct stage *stage, int root);
int end_by_signals(void);                                                       /* last_signals.c: 0, or -1 with errno */
void run_hook(struct stage *stage, const op_t *op);                             /* last_programs.c */
void look_up(struct stage *stage, const op_t *op);

/* ---- last_tail.c, without the C library ---- */
void close_from(struct stage *stage, int first);
void wait_start(struct stage *stage, int fifo);
void let_go(struct stage *stage, const op_t *op);               /* returns if the C library stays */
void __attribute__((noreturn)) clone_inside(struct stage *stage, const op_t *op);
void __attribute__((noreturn)) execute(struct stage *stage, const op_t *op);
/* Takes count strings from *text into the next free list, which ends with NULL. */
char **next_list(struct stage *stage, const char **text, uint32_t count);

/* ---- last_libraries.c ---- */
/* For clone_inside and let_go. keep_c: the C library is not let go of, but of its file: what is mapped is a copy. */
void note_libraries(struct stage *stage, int keep_c);

/* ---- last_door.c ---- */
/* The program with a door in front, in memory of its own; *count is of its instructions, before and after. */
const struct sock_filter *with_door(struct stage *stage, const struct sock_filter *program, size_t *count);

/* ---- text.c: one line of text in a buffer that may be too small ---- */
struct line {
    char *at, *end;             /* *at is always the NUL; end is one past the buffer */
};
struct line line_in(char *buffer, size_t size);
void say(struct line *line, const char *text);                  /* control characters become spaces */
void say_quoted(struct line *line, const char *text);           /* "text", as Go's %q does it */
void say_number(struct line *line, uint64_t number, unsigned base);

/* ---- last_check.c ---- */
/* Whether all operations are well-formed: the number of string pointers that its lists need, or -1 with the index
 * of the faulty one and what is wrong with it. Has no effects: this is what the fuzzer feeds. */
int64_t last_check(const op_t *ops, unsigned n, const char *blob, size_t blob_len, unsigned *index, const char **fault);
/* A descriptor that an operation uses, of at most two: which is 0 or 1. -1 for none. */
int op_fd(const op_t *op, int which);

/* ---- last_ids.c: each returns 0, or -1 with errno ---- */
int drop_bounding(uint64_t keep);
int set_capabilities(uint64_t effective, uint64_t permitted, uint64_t inheritable);
int set_ambient(uint64_t raise);
int own_stdio(uint32_t uid);
/* 0, or -1 with errno and what differs. filtered: our own seccomp filter is in force, ask only what is usual. */
int verify(const struct packed_verify *wanted, uint32_t groups[NGROUPS_MAX], int filtered, struct line *text);

/* ---- last_exec.c, last_explain.c ---- */
/* args[0] looked up as exec(3p) and Go's exec.LookPath do it. 0 and the path in found, or -1, errno (0 when the
 * text says it all), text `exec: "name"...` and a hint. */
int find_executable(const char *name, const char *path, char found[PATH_MAX], struct line *text, struct line *hint);
void explain_access(const char *file, struct line *hint);
/* Why execve(file) failed with this errno: what the kernel does not tell. One clause, or nothing. */
void explain_exec(const char *file, int error, struct line *hint);

#endif
