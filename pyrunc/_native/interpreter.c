/* interpreter.c: Python inside the launcher.
 *
 * Isolated: no environment variable, no site module, no working directory, no locale decides what is imported. Modules
 * come from this program (built-in and frozen ones), else from the three directories below, in this order.
 *
 * Where it is known to work (QUICK_START), CPython is started only as far as its core, which takes half as long:
 * built-in and frozen modules can be imported, but there are no codecs, no import from files and no sys.stdin. That is
 * all that create, start, state, kill and delete need. The first import of anything else, or a look at what is missing
 * from sys, completes the start; nobody notices but the clock. It never happens in a forked child, so what becomes a
 * container imports nothing from files, whatever goes wrong. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "launcher.h"
#include "frozen.h"
#include "snapshot.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOWHERE "/proc/pyrunc"          /* proc(5) makes no such directory, and nobody can make one there */

static const char *library_path;
static const char *start_kind = START;          /* what --version says of it */

_Noreturn static void die_of(PyStatus status)
{
    errno = 0;
    dprintf(STDERR_FILENO, "pyrunc: cannot start Python: %s: %s\n", status.func ? status.func : "",
            status.err_msg ? status.err_msg : "");
    _exit(1);
}

static void check(PyStatus status)
{
    if (PyStatus_Exception(status))
        die_of(status);
}

static void add_path(PyConfig *config, const char *path)
{
    wchar_t *wide = Py_DecodeLocale(path, NULL);
    if (!wide)
        die("out of memory");
    check(PyWideStringList_Append(&config->module_search_paths, wide));
    PyMem_RawFree(wide);
}

static PyConfig config;         /* kept for complete() */

static void start(int argc, char **argv)
{
    PyPreConfig preconfig;

    PyPreConfig_InitIsolatedConfig(&preconfig);
    preconfig.utf8_mode = 1;            /* paths and arguments are bytes to us, whatever the locale */
    preconfig.configure_locale = 0;
    preconfig.coerce_c_locale = 0;      /* it would put LC_CTYPE into the environment */
    check(Py_PreInitialize(&preconfig));

    PyConfig_InitIsolatedConfig(&config);
    config.parse_argv = 0;
    config.site_import = 0;
    config.write_bytecode = 0;
    config.install_signal_handlers = 0;
    config.pathconfig_warnings = 0;
    config.module_search_paths_set = 1;
    add_path(&config, library_path);
    add_path(&config, STDLIB);
    add_path(&config, DYNLOAD);
    /* All that CPython would otherwise search the disk for. Around the executable it looks for a pyvenv.cfg, from 3.14
     * on whatever is set here, and would read its library's place there: so be it where no file can be. */
    struct { wchar_t **field; const char *value; } const paths[] = {
        { &config.prefix, PYTHON_PREFIX }, { &config.base_prefix, PYTHON_PREFIX },
        { &config.exec_prefix, PYTHON_PREFIX }, { &config.base_exec_prefix, PYTHON_PREFIX },
        { &config.executable, NOWHERE "/bin/python" }, { &config.base_executable, INTERPRETER },
        { &config.stdlib_dir, STDLIB }, { &config.home, PYTHON_PREFIX }, { &config.program_name, "pyrunc" },
    };
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        check(PyConfig_SetBytesString(&config, paths[i].field, paths[i].value));
    check(PyConfig_SetBytesArgv(&config, argc, argv));
#ifdef QUICK_START
    config._init_main = 0;
#endif
    check(Py_InitializeFromConfig(&config));
}

/* Frozen packages take the directory where their modules that are not frozen, and data files, lie from _stdlib_dir. That
 * is right for pyrunc's own; encodings, which CPython's start has imported, gets its own. The rest is for who asks. */
static int set_up_sys(void)
{
    PyObject *own = PyUnicode_DecodeFSDefault(library_path), *path = NULL;
    PyObject *program = PyUnicode_DecodeFSDefault(INTERPRETER), *kind = PyUnicode_FromString(start_kind);
    PyObject *encodings = PyDict_GetItemString(PyImport_GetModuleDict(), "encodings");      /* NULL in a core start */
    int failed = !own || PySys_SetObject("_stdlib_dir", own) || !program || PySys_SetObject("executable", program) ||
                 !kind || PySys_SetObject("_pyrunc_start", kind);
    if (!failed && encodings)
        failed = !(path = Py_BuildValue("[s]", STDLIB "/encodings")) ||
                 PyObject_SetAttrString(encodings, "__path__", path);
    Py_XDECREF(own);
    Py_XDECREF(path);
    Py_XDECREF(program);
    Py_XDECREF(kind);
    return failed ? -1 : 0;
}

#ifdef QUICK_START
/* ---- the rest of CPython's start, when something asks for it ---- */

enum { NOBODY = -1 };
static pid_t owner;             /* the process that may complete the start; 0 when it is complete */
static int revived_count;       /* arguments of a process that started from a snapshot */
static char **revived_words;
static PyObject *launcher;      /* the module object below: a finder, and a loader of extension modules */

#if PY_VERSION_HEX < 0x030d0000
/* CPython 3.11 and 3.12 intern the strings of all their own frozen modules at start: 0.7 ms, 200 pages copied. */
int __real__Py_Deepfreeze_Init(void);
int __wrap__Py_Deepfreeze_Init(void);
int __wrap__Py_Deepfreeze_Init(void) { return 0; }
#else
static void __real__Py_Deepfreeze_Init(void) { }
#endif
extern int _PySignal_Init(int install_signal_handlers);     /* _signal takes for granted that this was called */

static int complete(void)
{
    if (!owner)
        return 0;
    if (owner != getpid()) {
        PyErr_SetString(PyExc_ImportError, "a process that becomes a container imports nothing");
        return -1;
    }
    owner = 0;
    __real__Py_Deepfreeze_Init();
    PyObject *names = PyImport_GetModuleDict(), *sys = PyDict_GetItemString(names, "sys");
    if (PyDict_DelItemString(PyModule_GetDict(sys), "__getattr__"))
        return -1;
#if PY_VERSION_HEX < 0x030e0000
    PyStatus status = _Py_InitializeMain();
#else
    config._init_main = 1;              /* a second time, it goes on where it stopped */
    PyStatus status = Py_InitializeFromConfig(&config);
#endif
    if (PyStatus_Exception(status)) {
        PyErr_SetString(PyExc_RuntimeError, status.err_msg);
        return -1;
    }
    PyGC_Enable();
    if (revived_words && complete_revived(library_path, revived_count, revived_words))
        return -1;
    return set_up_sys();
}

/* A ModuleSpec for the extension module in a directory, or NULL; without an exception when there is no such file. */
static PyObject *extension(PyObject *importlib, PyObject *name, const char *directory, const char *suffix)
{
    char path[PATH_MAX];
    const char *word = PyUnicode_AsUTF8(name);
    if (!word || snprintf(path, sizeof path, "%s/%s%s", directory, word, suffix) >= (int)sizeof path)
        return NULL;
    char *part = path + strlen(directory) + 1;
    for (char *end = part + strlen(word); part < end; part++)
        if (*part == '.')
            *part = '/';
    if (access(path, R_OK))
        return NULL;
    PyObject *spec = PyObject_CallMethod(importlib, "ModuleSpec", "OO", name, launcher);
    PyObject *origin = spec ? PyUnicode_DecodeFSDefault(path) : NULL;
    if (spec && (!origin || PyObject_SetAttrString(spec, "origin", origin)))
        Py_CLEAR(spec);
    Py_XDECREF(origin);
    return spec;
}

/* The ModuleSpec of what needs no complete start, or NULL: a built-in module of a package, which CPython 3.11 does not
 * look for, or an extension module. */
static PyObject *simple(PyObject *importlib, PyObject *name)
{
    static const char *const suffixes[] = { EXT_SUFFIX, ".abi3.so" };
    for (struct _inittab *module = built_in_modules; module->name; module++)
        if (PyUnicode_CompareWithASCIIString(name, module->name) == 0) {
            PyObject *importer = PyObject_GetAttrString(importlib, "BuiltinImporter");
            PyObject *spec = importer ? PyObject_CallMethod(importer, "find_spec", "O", name) : NULL;
            Py_XDECREF(importer);
            return spec;
        }
    PyObject *spec = NULL;
    if (owner == NOBODY)
        return NULL;                    /* what lies in a file cannot be in a snapshot */
    for (int i = 0; i < 2 && !spec && !PyErr_Occurred(); i++)
        spec = extension(importlib, name, library_path, suffixes[i]);
    return spec || PyErr_Occurred() ? spec : extension(importlib, name, DYNLOAD, EXT_SUFFIX);
}

/* What the finders that come after this one in sys.meta_path find: CPython 3.14 looks at a copy of the list, made before
 * the start was completed. */
static PyObject *find_further(PyObject *name, PyObject *path, PyObject *target)
{
    PyObject *finders = PySys_GetObject("meta_path"), *spec = NULL;     /* (borrowed) */
    bool after = false;
    for (Py_ssize_t i = 0; finders && i < PyList_GET_SIZE(finders) && !(spec && spec != Py_None); i++) {
        PyObject *finder = PyList_GET_ITEM(finders, i);
        Py_XDECREF(spec);
        spec = after ? PyObject_CallMethod(finder, "find_spec", "OOO", name, path, target) : Py_NewRef(Py_None);
        if (!spec)
            return NULL;
        after |= finder == launcher;
    }
    return spec ? spec : Py_NewRef(Py_None);
}

/* The path of the package that a module is to be found in: that of encodings is another once the start is complete. */
static PyObject *path_now(PyObject *name, PyObject *path)
{
    Py_ssize_t dot = PyUnicode_FindChar(name, '.', 0, PyUnicode_GET_LENGTH(name), -1);
    PyObject *outer = dot > 0 ? PyUnicode_Substring(name, 0, dot) : NULL;
    PyObject *package = outer ? PyImport_GetModule(outer) : NULL;
    PyObject *found = package ? PyObject_GetAttrString(package, "__path__") : Py_NewRef(path);
    Py_XDECREF(outer);
    Py_XDECREF(package);
    return found;
}

/* sys.meta_path[-1].find_spec(name, path, target): for anything that is not simple, complete the start, which appends the
 * finder of files to sys.meta_path. */
static PyObject *find_spec(PyObject *self, PyObject *args)
{
    PyObject *name, *path = Py_None, *target = Py_None, *spec = NULL;
    if (!PyArg_ParseTuple(args, "U|OO", &name, &path, &target))
        return NULL;
    if (!owner)
        Py_RETURN_NONE;
    PyObject *importlib = PyImport_ImportModule("_frozen_importlib");
    if (importlib)
        spec = simple(importlib, name);
    Py_XDECREF(importlib);
    if (!spec && !PyErr_Occurred() && owner == NOBODY)
        return PyErr_Format(PyExc_ImportError, "%U lies in a file, and so cannot be in a snapshot", name);
    if (spec || PyErr_Occurred() || complete())
        return spec;
    path = path_now(name, path);
    spec = path ? find_further(name, path, target) : NULL;
    Py_XDECREF(path);
    return spec;
}

static PyObject *of_imp(const char *function, PyObject *argument)
{
    PyObject *imp = PyImport_ImportModule("_imp");
    PyObject *result = imp ? PyObject_CallMethod(imp, function, "O", argument) : NULL;
    Py_XDECREF(imp);
    return result;
}

static PyObject *create_module(PyObject *self, PyObject *spec)
{
    return of_imp("create_dynamic", spec);
}

static PyObject *exec_module(PyObject *self, PyObject *module)
{
    return of_imp("exec_dynamic", module);
}

/* sys.__getattr__(name): what sys has only when complete. */
static PyObject *missing_from_sys(PyObject *self, PyObject *name)
{
    const char *word = PyUnicode_AsUTF8(name);
    bool special = word && !strncmp(word, "__", 2);     /* `from sys import x` asks whether sys has a __path__ */
    if (!word || (!special && complete()))
        return NULL;
    PyObject *value = special ? NULL : PySys_GetObject(word);
    if (!value)
        return PyErr_Format(PyExc_AttributeError, "module 'sys' has no attribute '%s'", word);
    return Py_NewRef(value);
}

static PyObject *open_file(PyObject *self, PyObject *args, PyObject *keywords)
{
    if (complete())
        return NULL;
    PyObject *function = PyDict_GetItemString(PyEval_GetBuiltins(), "open");
    return PyObject_Call(function, args, keywords);
}

static PyMethodDef functions[] = {
    { "find_spec", find_spec, METH_VARARGS, NULL },
    { "create_module", create_module, METH_O, NULL },
    { "exec_module", exec_module, METH_O, NULL },
    { "__getattr__", missing_from_sys, METH_O, NULL },
    { "open", (PyCFunction)(void (*)(void))open_file, METH_VARARGS | METH_KEYWORDS, NULL },
    { 0 }
};
static struct PyModuleDef definition = { PyModuleDef_HEAD_INIT, .m_name = "pyrunc_launcher", .m_size = -1,
                                         .m_methods = functions };

/* Makes up for what the core alone lacks: plain sys.stdout, built-in open, the finder, and a working _signal. */
static int bridge(void)
{
    owner = getpid();
    launcher = PyModule_Create(&definition);
    PyObject *finders = PySys_GetObject("meta_path"), *out = PyFile_NewStdPrinter(STDOUT_FILENO);
    if (!launcher || !finders || !out || PyList_Append(finders, launcher) || PySys_SetObject("stdout", out))
        return -1;
    /* Half of what _cffi_backend is linked to is never called; none of it is once the container's root is the root. */
    PyObject *flags = PyObject_CallFunction(PySys_GetObject("setdlopenflags"), "i", RTLD_LAZY);
    Py_XDECREF(flags);
    PyObject *methods = PyModule_GetDict(launcher);
    /* A quadratic algorithm reads decimal numbers; from 3.12 on the limit is set when the start is completed. */
    PyObject *limit = PyObject_CallFunction(PySys_GetObject("set_int_max_str_digits"), "i", 4300);
    Py_XDECREF(limit);
    return !flags || !limit || PySys_SetObject("__getattr__", PyDict_GetItemString(methods, "__getattr__")) ||
           PyDict_SetItemString(PyEval_GetBuiltins(), "open", PyDict_GetItemString(methods, "open")) ||
           _PySignal_Init(0) || prepare_codecs(complete) || import_frozen_quickly(library_path) ? -1 : 0;
}
#else
static int bridge(void) { return 0; }
#endif

/* In a checkout that is being worked on, sources that changed since they were frozen win: then none is used frozen. */
static bool frozen_is_current(void)
{
    for (const struct frozen_source *source = frozen_sources; source->path; source++) {
        struct stat now;
        if (stat(source->path, &now) || now.st_size != source->size ||
            now.st_mtim.tv_sec * 1000000000LL + now.st_mtim.tv_nsec != source->mtime)
            return false;
    }
    return true;
}

static int flush(const char *name)
{
    PyObject *stream = PySys_GetObject(name), *result = NULL;
    if (stream && stream != Py_None && !(result = PyObject_CallMethod(stream, "flush", NULL))) {
        PyErr_Clear();
        return 1;
    }
    Py_XDECREF(result);
    return 0;
}

/* Starts Python anew, as far as commands need it. */
static int begin(int argc, char **argv)
{
    if (PyImport_ExtendInittab(built_in_modules))
        die("out of memory");
    start(argc, argv);
    PyGC_Disable();     /* a command is too short for its garbage to matter */
    return set_up_sys() || bridge() ? -1 : 0;
}

#ifdef SNAPSHOT
/* Once it is taken: all that was known before is forgotten by then, but for what is on the stack. */
static void revive_snapshot(const char *library, int argc, char **argv)
{
    library_path = library;
    set_frozen_library(library);
    owner = getpid();
    revived_count = argc;
    revived_words = argv;
    PyObject *kind = PyUnicode_FromString("snapshot");
    if (!kind || PySys_SetObject("_pyrunc_start", kind) || revive()) {
        PyErr_Print();
        _exit(1);
    }
}

/* Why no snapshot was taken, or NULL. */
static const char *why_anew(void)
{
    static char text[96];
    if (!snapshot_refusal())
        return snapshot_place.file_size ? NULL : "built without a snapshot";
    snprintf(text, sizeof text, "the snapshot does not fit: %s", snapshot_refusal());
    return text;
}

_Noreturn void make_snapshot(const char *path, const char *layout)
{
    static char name[] = "pyrunc", *words[] = { name, NULL };
    clearenv();                         /* nothing of who makes it shall be in it */
    take_hash_secret();
    snapshot_begin(layout);
    library_path = NOWHERE "/lib";
    PyImport_FrozenModules = frozen_modules;
    place_arenas();
    place_objects();
    if (begin(1, words) || (owner = NOBODY, import_for_snapshot())) {
        PyErr_Print();
        _exit(1);
    }
    start_kind = "snapshot";
    library_path = NULL;
    set_frozen_library(NULL);
    snapshot_write(path);
    _exit(0);
}
#else
static const char *why_anew(void) { return NULL; }
#endif

/* For --version: why the start is not the quickest. */
static void tell_start(bool current)
{
    static char text[192];
    const char *why = current ? why_anew() : "a source has changed since it was built";
    if (why) {
        snprintf(text, sizeof text, "%s, %d ms longer: %s", START, current ? 2 : 40, why);
        start_kind = text;
    }
}

static _Noreturn void run_main(int failed, int argc, char **argv)
{
    PyObject *module = NULL, *words = NULL, *status = NULL;
    if (!failed && (module = PyImport_ImportModule("pyrunc.cli.main")) && (words = PyList_New(argc - 1))) {
        for (int i = 1; i < argc; i++) {
            PyObject *word = PyUnicode_DecodeFSDefault(argv[i]);
            if (!word)
                break;
            PyList_SET_ITEM(words, i - 1, word);
        }
        if (!PyErr_Occurred())
            status = PyObject_CallMethod(module, "main", "O", words);
    }
    int code = status ? (int)PyLong_AsLong(status) : 1;
    if (PyErr_Occurred()) {             /* main reports every failure itself, so this is a broken installation */
        PyErr_Print();
        code = 1;
    }
    if ((flush("stdout") | flush("stderr")) && !code)
        code = 1;
#ifdef SNAPSHOT
    layout_tell(false);
#endif
    _exit(code);                        /* no finalisation: the kernel is quicker, and there is nothing to save */
}

void run_python_sealed(const char *library, int argc, char **argv, int image)
{
#ifdef SNAPSHOT
    if (!frozen_is_current() || !snapshot_take(image, true) || !seal_in_place(image, argv, snapshot_place.data.address))
        return;
    close(image);
    revive_snapshot(library, argc, argv);
    run_main(0, argc, argv);
#endif
}

_Noreturn void run_python(const char *library, int argc, char **argv, bool seal)
{
    bool current = frozen_is_current();
    int failed = 0;
#ifdef SNAPSHOT
    int program = current ? open("/proc/self/exe", O_RDONLY | O_CLOEXEC) : -1;
    bool taken = current && snapshot_take(program, seal);
    if (program >= 0)
        close(program);
    if (taken)
        revive_snapshot(library, argc, argv);
#else
    bool taken = false;
#endif
    if (!taken) {
        library_path = library;
        PyImport_FrozenModules = current ? frozen_modules : frozen_modules + frozen_own;
        tell_start(current);
        place_heap();
        failed = begin(argc, argv);
    }
    run_main(failed, argc, argv);
}
