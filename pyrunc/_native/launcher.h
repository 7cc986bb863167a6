/* launcher.h: the parts of the `pyrunc` program. launcher.c prepares the process and decides, sealed_image.c keeps the
 * program's own file out of containers' reach, and interpreter.c (or interpreter_exec.c, where no libpython can be
 * linked) runs pyrunc.cli.main. build_launcher.py compiles them and defines:
 *
 *   PYTHON_NAME      "python3.11"                        STDLIB, DYNLOAD  the interpreter's library directories
 *   PYTHON_PREFIX    sys.base_prefix                     INTERPRETER      its executable
 *   EMBEDDED_PYTHON  when libpython is linked, and then  EXT_SUFFIX       of extension modules
 *   QUICK_START      when only CPython's core is started START            what --version says of the start
 *   SNAPSHOT         when it can be made of the program  */
#ifndef PYRUNC_LAUNCHER_H
#define PYRUNC_LAUNCHER_H

#include <stdbool.h>
#include <stdint.h>

/* Prints "pyrunc: <what>: <strerror>" (errno 0: no strerror) and exits with status 1. */
_Noreturn void die(const char *what);

/* Whether /proc/self/exe is an image made by sealed_image_open. */
bool image_is_sealed(void);

/* Opens the program at an absolute path so that it can be executed, but never be written through whoever executes it:
 * a descriptor in a read-only overlayfs of its directory that is mounted nowhere, or a sealed copy in memory.
 * beside is any other directory, outside the program's own. -1 with errno when neither can be made. */
int sealed_image_open(const char *path, const char *beside);

/* Whether this process may take such an image for its own program without a second start: it has to have
 * CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN, and the image to be of the very file that runs. argv: of main. */
bool can_seal_in_place(int image, char **argv);

/* Maps the program from the image instead, and makes that /proc/self/exe. What the loader has written to is copied up to
 * the address replaced, from where on all is mapped from the image already. When it fails, the process can still
 * execute the image. */
bool seal_in_place(int image, char **argv, uintptr_t replaced);

/* Gives Python's memory, and malloc's, to huge pages, before either is used (and does place_arenas). */
void place_heap(void);

/* Where Python's memory is asked for by malloc. */
void place_arenas(void);

/* Starts Python, imports what commands need, and writes that down as a program at path (snapshot.h). layout: where what
 * lies in it, or NULL. */
_Noreturn void make_snapshot(const char *path, const char *layout);

/* Runs pyrunc.cli.main.main(argv[1..]) and exits with what it returns; never comes back.
 * library: the directory that holds the package. seal: whether the interpreter still is to be sealed. */
_Noreturn void run_python(const char *library, int argc, char **argv, bool seal);

/* Goes on from the snapshot as run_python does, with the program taken from the image. Comes back when that cannot be
 * done, with nothing left but to execute the image. */
void run_python_sealed(const char *library, int argc, char **argv, int image);

/* The zygote's socket for a shim's `start` by the program at that path; false where none is used. */
enum { ZYGOTE_NAME = 96 };
bool zygote_name(const char *program, char **argv, char name[ZYGOTE_NAME]);

/* Has it done by the zygote, if that is there, and exits with its status; otherwise comes back. */
void zygote_start(const char *name, char **argv);

#endif
