/* frozen.h: the frozen modules: what freeze.py writes, and the short way to import them; and codecs before the start is
 * complete. */
#ifndef PYRUNC_FROZEN_H
#define PYRUNC_FROZEN_H

#include <stdbool.h>

/* For a module with which many others come: a marshalled dict of their code by name, its own included. */
struct frozen_group { const char *name; const unsigned char *codes; int size; };
struct frozen_source { const char *path; long long size, mtime; /* bytes, ns */ };

extern const struct _frozen frozen_modules[];           /* pyrunc's, then the standard library's, then zeros */
extern const struct frozen_group frozen_groups[];
extern const int frozen_own;                            /* how many are pyrunc's */
extern struct _inittab built_in_modules[];              /* the extension modules that are linked into the launcher */
extern const struct frozen_source frozen_sources[];     /* to be compared with the files; empty once installed */

/* What a snapshot has (dotted names), and what Python needs around one (interpreter_snapshot.c). -1 with an exception. */
extern const char *const snapshot_modules[];
void take_hash_secret(void);                            /* before Python starts: from the standard input, if it is there */
void place_objects(void);                               /* before Python starts: each is a block of malloc's */
int import_for_snapshot(void);
int revive(void);                                               /* at once, in a process that started from one */
int complete_revived(const char *library, int argc, char **argv);       /* when its start is completed */

/* From here on, importing pyrunc's frozen modules does without importlib. -1 with an exception. */
int import_frozen_quickly(const char *library);
void set_frozen_library(const char *library);           /* of a snapshot */

/* Makes error handlers of codecs available before the start is complete, which complete() does when a codec is wanted. */
int prepare_codecs(int (*complete)(void));

#endif
