/* interpreter_codecs.c: what a core start of CPython 3.13 or later lacks of codecs.
 *
 * Up to 3.12 the registry of codecs and of error handlers is made when it is first looked at. Later ones make it while
 * the start is completed, and take for granted that it is there: bytes that are no UTF-8 would be a segmentation fault. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "frozen.h"

#if PY_VERSION_HEX >= 0x030d0000
extern PyStatus _PyCodec_InitRegistry(PyInterpreterState *interpreter);
extern PyObject *_PyCodec_Lookup(const char *name);

static int (*complete_start)(void);

/* The only search function until the start is complete, which makes the registry anew. */
static PyObject *search(PyObject *self, PyObject *name)
{
    const char *word = PyUnicode_AsUTF8(name);
    return !word || complete_start() ? NULL : _PyCodec_Lookup(word);
}

int prepare_codecs(int (*complete)(void))
{
    static PyMethodDef method = { "search", search, METH_O, NULL };
    PyObject *modules = PyImport_GetModuleDict(), *none = PyModule_New("encodings");
    PyObject *function = PyCFunction_New(&method, NULL);
    complete_start = complete;
    /* The registry wants that package imported, whose search function would be the first. */
    int failed = !none || !function || PyDict_SetItemString(modules, "encodings", none) ||
                 PyStatus_Exception(_PyCodec_InitRegistry(PyInterpreterState_Get())) ||
                 PyDict_DelItemString(modules, "encodings") || PyCodec_Register(function);
    Py_XDECREF(none);
    Py_XDECREF(function);
    return failed ? -1 : 0;
}
#else
int prepare_codecs(int (*complete)(void)) { (void)complete; return 0; }
#endif
