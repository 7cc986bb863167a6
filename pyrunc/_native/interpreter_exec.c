/* interpreter_exec.c: in place of interpreter.c where no libpython can be linked: execute the interpreter instead.
 *
 * -I: no variable, no working directory; -S: no site module; -B: no bytecode is written. */
#define _GNU_SOURCE
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

static const char PROGRAM[] =
    "import sys; sys.path.insert(0, sys.argv.pop(1)); sys._pyrunc_start = '" START "'; "
    "from pyrunc.__main__ import start; import posix; code = start(); "
    "sys.stdout.flush(); sys.stderr.flush(); posix._exit(code)";

/* Whatever -I says, CPython 3.11 looks at PYTHONEXECUTABLE and __PYVENV_LAUNCHER__ to find its library. */
static void drop_variables(void)
{
    char **kept = environ;
    for (char **variable = environ; *variable; variable++)
        if (strncmp(*variable, "PYTHON", 6) && strncmp(*variable, "__PYVENV", 8))
            *kept++ = *variable;
    *kept = NULL;
}

_Noreturn void run_python(const char *library, int argc, char **argv, bool seal)
{
    const char *const options[] = { INTERPRETER, "-I", "-S", "-B", "-X", "utf8", "-c", PROGRAM, library };
    enum { OPTIONS = sizeof options / sizeof *options };
    const char **words = calloc(OPTIONS + (size_t)argc, sizeof *words);

    if (!words)
        die("out of memory");
    drop_variables();
    for (int i = 0; i < OPTIONS; i++)
        words[i] = options[i];
    for (int i = 1; i < argc; i++)      /* with the NULL at the end, which calloc made */
        words[OPTIONS + i - 1] = argv[i];
    if (seal) {                         /* here the program that a container could reach is the interpreter itself */
        int image = sealed_image_open(INTERPRETER, STDLIB);
        if (image >= 0)
            execveat(image, "", (char **)words, environ, AT_EMPTY_PATH);
        die("cannot start from a sealed image of " INTERPRETER " (CVE-2019-5736)");
    }
    execve(INTERPRETER, (char **)words, environ);
    die(INTERPRETER);
}

void run_python_sealed(const char *library, int argc, char **argv, int image) { }
