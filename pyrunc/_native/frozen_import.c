/* frozen_import.c: pyrunc's frozen modules by the short way.
 *
 * importlib, which is written in Python, takes 10 us to find a frozen module and to prepare it for its code to run, and
 * create imports 80. CPython calls importlib by the name _find_and_load; what it finds under that name from here on does
 * the same in 3 us for pyrunc's own modules, and leaves all others to importlib. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <marshal.h>

#include "frozen.h"

static PyObject *importlib_load, *module_spec, *frozen_importer;
static PyObject *codes;         /* of modules that came with others and have not been imported yet, by name */
static const char *library_path;

static const struct _frozen *own(PyObject *name)
{
    for (const struct _frozen *entry = PyImport_FrozenModules; entry->name; entry++)
        if (!PyUnicode_CompareWithASCIIString(name, entry->name))
            return strncmp(entry->name, "pyrunc", 6) ? NULL : entry;
    return NULL;
}

/* Sets a global of a module, taking the reference; value is NULL when making it has failed. */
static int set(PyObject *globals, const char *name, PyObject *value)
{
    int result = value ? PyDict_SetItemString(globals, name, value) : -1;
    Py_XDECREF(value);
    return result;
}

/* A new reference to a module's code. */
static PyObject *code_of(PyObject *name, const struct _frozen *entry)
{
    for (const struct frozen_group *group = frozen_groups; group->name; group++)
        if (!strcmp(group->name, entry->name)) {
            PyObject *more = PyMarshal_ReadObjectFromString((const char *)group->codes, group->size);
            int failed = !more || PyDict_Update(codes, more);
            Py_XDECREF(more);
            if (failed)
                return NULL;
            break;
        }
    PyObject *code = PyDict_GetItemWithError(codes, name);
    if (code || PyErr_Occurred())
        return Py_XNewRef(code);
    return PyMarshal_ReadObjectFromString((const char *)entry->code, entry->size);
}

/* Gives a new module what importlib would, and runs its code. */
static int fill(PyObject *module, PyObject *name, PyObject *package, const struct _frozen *entry)
{
    char words[256], *byte = words;
    for (const char *letter = entry->name; byte < words + sizeof words - 1 && *letter; letter++)
        *byte++ = *letter == '.' ? '/' : *letter;
    *byte = 0;

    PyObject *globals = PyModule_GetDict(module);
    PyObject *spec = PyObject_CallFunctionObjArgs(module_spec, name, frozen_importer, NULL);
    int failed = set(globals, "__builtins__", Py_XNewRef(PyEval_GetBuiltins())) ||
                 set(globals, "__spec__", Py_XNewRef(spec)) || set(globals, "__package__", Py_NewRef(package)) ||
                 set(globals, "__file__", PyUnicode_FromFormat("%s/%s%s", library_path, words,
                                                               entry->is_package ? "/__init__.py" : ".py"));
    if (!failed && entry->is_package) {
        PyObject *path = Py_BuildValue("[N]", PyUnicode_FromFormat("%s/%s", library_path, words));
        failed = !path || PyObject_SetAttrString(spec, "submodule_search_locations", path) ||
                 set(globals, "__path__", Py_NewRef(path));
        Py_XDECREF(path);
    }
    PyObject *code = failed ? NULL : code_of(name, entry);
    PyObject *done = code ? PyEval_EvalCode(code, globals, globals) : NULL;
    Py_XDECREF(spec);
    Py_XDECREF(code);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

static PyObject *load(PyObject *name, const struct _frozen *entry)
{
    Py_ssize_t length = PyUnicode_GET_LENGTH(name), dot = PyUnicode_FindChar(name, '.', 0, length, -1);
    PyObject *outer = dot > 0 ? PyUnicode_Substring(name, 0, dot) : NULL, *parent = NULL, *module = NULL;
    if (outer) {
        parent = PyImport_GetModule(outer);
        if (!parent && !PyErr_Occurred())
            parent = load(outer, own(outer));           /* freeze.py has seen to it that it is there */
        if (!parent || (module = PyImport_GetModule(name)) || PyErr_Occurred())
            goto out;                                   /* the package has imported it, or has failed */
    }
    module = Py_XNewRef(PyImport_AddModuleObject(name));
    if (module && fill(module, name, entry->is_package || !outer ? name : outer, entry)) {
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        PyDict_DelItem(PyImport_GetModuleDict(), name);
        PyErr_Restore(type, value, traceback);
        Py_CLEAR(module);
    }
    if (module && parent) {
        PyObject *last = PyUnicode_Substring(name, dot + 1, length);
        if (!last || PyObject_SetAttr(parent, last, module))
            Py_CLEAR(module);
        Py_XDECREF(last);
    }
out:
    Py_XDECREF(outer);
    Py_XDECREF(parent);
    return module;
}

static PyObject *find_and_load(PyObject *self, PyObject *const *arguments, Py_ssize_t count)
{
    const struct _frozen *entry = own(arguments[0]);
    return entry ? load(arguments[0], entry) : PyObject_Vectorcall(importlib_load, arguments, (size_t)count, NULL);
}

void set_frozen_library(const char *library)
{
    library_path = library;
}

int import_frozen_quickly(const char *library)
{
    static PyMethodDef method = { "_find_and_load", (PyCFunction)(void (*)(void))find_and_load, METH_FASTCALL, NULL };
    PyObject *importlib = PyImport_ImportModule("_frozen_importlib"), *function = PyCFunction_New(&method, NULL);
    library_path = library;
    int failed = !importlib || !function || !(codes = PyDict_New()) ||
                 !(importlib_load = PyObject_GetAttrString(importlib, "_find_and_load")) ||
                 !(module_spec = PyObject_GetAttrString(importlib, "ModuleSpec")) ||
                 !(frozen_importer = PyObject_GetAttrString(importlib, "FrozenImporter")) ||
                 PyObject_SetAttrString(importlib, "_find_and_load", function);
    Py_XDECREF(importlib);
    Py_XDECREF(function);
    return failed ? -1 : 0;
}
