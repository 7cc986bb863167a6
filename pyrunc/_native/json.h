/* json.h: what the parts of pyrunc.formats._jsontext have in common. */
#ifndef JSON_H
#define JSON_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define HIDDEN __attribute__((visibility("hidden")))

/* A text that grows. What writes to it returns -1 with an exception. */
struct writer {
    char *text;
    size_t used, room;
};

static inline int put(struct writer *writer, const char *text, size_t size)
{
    if (size > writer->room - writer->used) {
        size_t room = 2 * writer->room + size + 256;
        char *more = PyMem_Realloc(writer->text, room);
        if (!more) {
            PyErr_NoMemory();
            return -1;
        }
        writer->text = more;
        writer->room = room;
    }
    memcpy(writer->text + writer->used, text, size);
    writer->used += size;
    return 0;
}

/* As JSON has it, with its quotes. */
HIDDEN int put_string(struct writer *writer, PyObject *string);

/* The functions of the module. */
HIDDEN PyObject *read_text(PyObject *self, PyObject *args);
HIDDEN PyObject *write_text(PyObject *self, PyObject *value);
HIDDEN PyObject *trace_lines(PyObject *self, PyObject *args);

#endif
