/* interpreter_snapshot.c: what Python needs around a snapshot (snapshot.h): before it is made, what shall be in it, and
 * after a start from it, what is another in each process.
 *
 * Of CPython's own state that is the thread, the environment, what is done at which signal, and later, when the start is
 * completed, the time zone, the arguments, and where the modules lie. Its hash secret is the snapshot's. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#if PY_VERSION_HEX >= 0x030e0000
#define Py_BUILD_CORE 1
#include <internal/pycore_tstate.h>
extern void _Py_InitializeRecursionLimits(PyThreadState *thread);
#endif

#include "frozen.h"

#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

extern char **environ;

enum { MOST_STACK = 64 << 20 };

/* As launcher.c has set them; any other was inherited. */
static bool is_ignored(int number)
{
    return number == SIGPIPE || number == SIGXFSZ;
}

/* Imports what commands need. -1 with an exception when one of the modules cannot be had without a file. */
int import_for_snapshot(void)
{
    for (int number = 1; number < NSIG; number++)
        if (number != SIGKILL && number != SIGSTOP)
            signal(number, is_ignored(number) ? SIG_IGN : SIG_DFL);     /* (the C library keeps two, EINVAL) */
    for (const char *const *name = snapshot_modules; *name; name++) {
        PyObject *module = PyImport_ImportModule(*name);
        if (!module)
            return -1;
        Py_DECREF(module);
    }
    /* What is here stays: no later search for garbage shall write to it. */
    PyGC_Collect();
    PyObject *gc = PyImport_ImportModule("gc"), *done = gc ? PyObject_CallMethod(gc, "freeze", NULL) : NULL;
    Py_XDECREF(gc);
    Py_XDECREF(done);
    /* Frames that have ended leave the addresses of C's behind. */
    PyThreadState *thread = PyThreadState_Get();
    if (thread->datastack_top)
        memset(thread->datastack_top, 0, (size_t)((char *)thread->datastack_limit - (char *)thread->datastack_top));
#if PY_VERSION_HEX >= 0x030e0000
    /* The ends and limits of this stack: by number, since later releases have added some. */
    uintptr_t here = (uintptr_t)&thread, *words = (uintptr_t *)thread;
    for (size_t i = 0; i < sizeof(_PyThreadStateImpl) / sizeof *words; i++)
        if (words[i] - (here - MOST_STACK) < 2 * (uintptr_t)MOST_STACK)
            words[i] = 0;
#endif
    return done ? 0 : -1;
}

static int fill_environment(void)
{
    PyObject *posix = PyImport_ImportModule("posix");
    PyObject *variables = posix ? PyObject_GetAttrString(posix, "environ") : NULL;
    int failed = !variables;
    if (!failed)
        PyDict_Clear(variables);
    for (char **variable = environ; !failed && *variable; variable++) {
        const char *equals = strchr(*variable, '=');
        PyObject *name = equals ? PyBytes_FromStringAndSize(*variable, equals - *variable) : NULL;
        PyObject *value = equals ? PyBytes_FromString(equals + 1) : NULL;
        failed = equals && (!name || !value || !PyDict_SetDefault(variables, name, value));     /* the first counts */
        Py_XDECREF(name);
        Py_XDECREF(value);
    }
    Py_XDECREF(posix);
    Py_XDECREF(variables);
    return failed ? -1 : 0;
}

/* _signal has noted, when it was imported, what is done at each signal. */
static int note_signals(void)
{
    PyObject *module = PyDict_GetItemString(PyImport_GetModuleDict(), "_signal");
    int failed = 0;
    for (int number = 1; module && !failed && number < NSIG; number++) {
        struct sigaction action;
        if (sigaction(number, NULL, &action) || (action.sa_handler == SIG_IGN) == is_ignored(number))
            continue;
        PyObject *kind = PyObject_GetAttrString(module, action.sa_handler == SIG_IGN ? "SIG_IGN" : "SIG_DFL");
        PyObject *before = kind ? PyObject_CallMethod(module, "signal", "iO", number, kind) : NULL;
        failed = !before;
        Py_XDECREF(kind);
        Py_XDECREF(before);
    }
    return failed ? -1 : 0;
}

int revive(void)
{
    PyThreadState *thread = PyThreadState_Get();
    thread->native_thread_id = (unsigned long)syscall(SYS_gettid);
#if PY_VERSION_HEX >= 0x030e0000
    _Py_InitializeRecursionLimits(thread);
#endif
    return fill_environment() || note_signals() ? -1 : 0;
}

static PyObject *list_of(int count, char **words)
{
    PyObject *list = PyList_New(0);
    for (int i = 0; list && i < count; i++) {
        PyObject *word = PyUnicode_DecodeFSDefault(words[i]);
        if (!word || PyList_Append(list, word))
            Py_CLEAR(list);
        Py_XDECREF(word);
    }
    return list;
}

/* Of one module that the snapshot has: the directory that the snapshot knows is nowhere. */
static int place_module(const char *name, bool package, PyObject *module, const char *library)
{
    char path[256], *letter = path;
    for (; *name && letter < path + sizeof path - 1; name++)
        *letter++ = *name == '.' ? '/' : *name;
    *letter = 0;
    PyObject *file = PyUnicode_FromFormat("%s/%s%s", library, path, package ? "/__init__.py" : ".py");
    int failed = !file || PyObject_SetAttrString(module, "__file__", file);
    if (!failed && package) {
        PyObject *places = Py_BuildValue("[N]", PyUnicode_FromFormat("%s/%s", library, path));
        PyObject *spec = PyObject_GetAttrString(module, "__spec__");
        failed = !places || !spec || PyObject_SetAttrString(module, "__path__", places) ||
                 PyObject_SetAttrString(spec, "submodule_search_locations", places);
        Py_XDECREF(places);
        Py_XDECREF(spec);
    }
    Py_XDECREF(file);
    return failed ? -1 : 0;
}

int complete_revived(const char *library, int argc, char **argv)
{
    PyObject *names = PyImport_GetModuleDict(), *path = PySys_GetObject("path");
    PyObject *own = PyUnicode_DecodeFSDefault(library), *words = list_of(argc, argv);
    int failed = !own || !path || !words || PyObject_SetItem(path, PyLong_FromLong(0), own) ||
                 PySys_SetObject("argv", words) || PySys_SetObject("orig_argv", words);
    for (const struct _frozen *entry = PyImport_FrozenModules; !failed && entry->name; entry++) {
        PyObject *module = strncmp(entry->name, "pyrunc", 6) ? NULL : PyDict_GetItemString(names, entry->name);
        failed = module && place_module(entry->name, entry->is_package, module, library);
    }
    PyObject *time = PyDict_GetItemString(names, "time");
    PyObject *set = failed || !time ? NULL : PyObject_CallMethod(time, "tzset", NULL);
    failed |= time && !set;
    Py_XDECREF(own);
    Py_XDECREF(words);
    Py_XDECREF(set);
    return failed ? -1 : 0;
}
