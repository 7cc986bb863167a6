/* interpreter_snapshot.c: what Python needs around a snapshot (snapshot.h): before it is made, what shall be in it, and
 * after a start from it, what is another in each process.
 *
 * Of CPython's own state that is the thread, the environment, what is done at which signal, and later, when the start is
 * completed, the time zone, the arguments, and where the modules lie. Its hash secret is the snapshot's. */
#define PY_SSIZE_T_CLEAN
#define Py_BUILD_CORE 1
#include <Python.h>
#include <internal/pycore_interp.h>
#if PY_VERSION_HEX >= 0x030d0000
#include <internal/pycore_pyhash.h>
#endif
#if PY_VERSION_HEX >= 0x030e0000
#include <internal/pycore_tstate.h>
extern void _Py_InitializeRecursionLimits(PyThreadState *thread);
#endif

#include "frozen.h"
#include "snapshot.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

extern char **environ;

enum { MOST_STACK = 64 << 20 };

/* ---- so that a second snapshot is made in the same way as the first (snapshot_layout.c) ---- */

static struct { bool is_given; _Py_HashSecret_t bytes; } secret;

void take_hash_secret(void)
{
    secret.is_given = read(STDIN_FILENO, &secret.bytes, sizeof secret.bytes) == sizeof secret.bytes;
}

PyStatus __real__Py_HashRandomization_Init(const PyConfig *config);
PyStatus __wrap__Py_HashRandomization_Init(const PyConfig *config);
PyStatus __wrap__Py_HashRandomization_Init(const PyConfig *config)
{
    PyStatus status = __real__Py_HashRandomization_Init(config);
    if (secret.is_given)
        _Py_HashSecret = secret.bytes;
    memset(&secret, 0, sizeof secret);
    return status;
}

static void *take(void *context, size_t size) { return malloc(size ? size : 1); }
static void *take_zeros(void *context, size_t count, size_t size) { return calloc(count ? count : 1, size ? size : 1); }
static void *take_more(void *context, void *block, size_t size) { return realloc(block, size ? size : 1); }
static void give_back(void *context, void *block) { free(block); }

/* It stays so in what starts from the snapshot, too. CPython's own allocator of small objects would begin a page for each
 * size. */
void place_objects(void)
{
    PyMemAllocatorEx own = { NULL, take, take_zeros, take_more, give_back };
    PyMem_SetAllocator(PYMEM_DOMAIN_MEM, &own);
    PyMem_SetAllocator(PYMEM_DOMAIN_OBJ, &own);
}

/* Where an attribute was found in a type is remembered in a table, by the address of its name. What takes the place of
 * another entry gives up that one's name, which is a write to an object that no command needs. */
static void forget_cold_names(void)
{
#if PY_VERSION_HEX < 0x030c0000
    struct type_cache *cache = &PyInterpreterState_Get()->type_cache;
#else
    struct type_cache *cache = &PyInterpreterState_Get()->types.type_cache;
#endif
    for (size_t i = 0; i < 1 << MCACHE_SIZE_EXP; i++) {
        struct type_cache_entry *entry = &cache->hashtable[i];
        if (memory_is_cold(entry->name)) {
            Py_DECREF(entry->name);
            *entry = (struct type_cache_entry){ .name = Py_NewRef(Py_None) };
        }
    }
}

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
    PyObject *warm = NULL, *done = NULL;
    for (const char *const *name = snapshot_modules; *name; name++) {
        PyObject *module = PyImport_ImportModule(*name);
        if (!module)
            return -1;
        if (!warm && !(warm = PyObject_GetAttrString(module, "warm")))
            PyErr_Clear();
        Py_DECREF(module);
    }
    if (warm && !(done = PyObject_CallNoArgs(warm)))
        return -1;
    Py_XDECREF(warm);
    Py_CLEAR(done);
    /* What is here stays: no later search for garbage shall write to it. */
    PyObject *gc = PyImport_ImportModule("gc");
    PyObject *found = gc ? PyObject_CallMethod(gc, "collect", NULL) : NULL;
    Py_XDECREF(found);
    done = found ? PyObject_CallMethod(gc, "freeze", NULL) : NULL;
    Py_XDECREF(gc);
    Py_XDECREF(done);
    forget_cold_names();
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
