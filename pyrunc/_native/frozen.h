/* frozen.h: the frozen modules: what freeze.py writes, and the short way to import them. */
#ifndef PYRUNC_FROZEN_H
#define PYRUNC_FROZEN_H

/* For a module with which many others come: a marshalled dict of their code by name, its own included. */
struct frozen_group { const char *name; const unsigned char *codes; int size; };
struct frozen_source { const char *path; long long size, mtime; /* bytes, ns */ };

extern const struct _frozen frozen_modules[];           /* pyrunc's, then the standard library's, then zeros */
extern const struct frozen_group frozen_groups[];
extern const int frozen_own;                            /* how many are pyrunc's */
extern struct _inittab built_in_modules[];              /* the extension modules that are linked into the launcher */
extern const struct frozen_source frozen_sources[];     /* to be compared with the files; empty once installed */

/* From here on, importing pyrunc's frozen modules does without importlib. -1 with an exception. */
int import_frozen_quickly(const char *library);

#endif
