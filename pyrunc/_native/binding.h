/* binding.h: C data and functions as Python sees them, without cffi: what binding.c does for the tables and wrappers that
 * bind.py makes of native.h. */
#ifndef PYRUNC_BINDING_H
#define PYRUNC_BINDING_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sort { VOID, SIGNED, UNSIGNED, CHAR, POINTER, STRUCT };

/* A type of C. */
struct kind {
    const char *name;
    size_t size;
    enum sort sort;
    const struct field *fields;         /* of a struct; the last has no name */
    const struct kind *to;              /* of a pointer */
};

enum { ALONE = -1, OPEN = -2 };         /* a member that is no array; an array without an end */
struct field {
    const char *name;
    size_t offset;
    const struct kind *kind;
    Py_ssize_t count;                   /* of the array */
};

struct constant { const char *name; long long value; };

/* Made by bind.py. */
extern const struct kind *const bound_kinds[];          /* by name, for ffi.new; the last is NULL */
extern const struct constant bound_constants[];
extern PyMethodDef bound_functions[];

/* ---- for the wrappers: false, or NULL, with an exception ---- */
bool bound_count(const char *function, Py_ssize_t count, Py_ssize_t wanted);
bool bound_signed(PyObject *object, size_t size, long long *value);
bool bound_unsigned(PyObject *object, size_t size, unsigned long long *value);
/* The address of data of a kind; of bytes, too, where the function only reads letters. */
bool bound_pointer(PyObject *object, const struct kind *kind, bool constant, void **value);
PyObject *bound_data(const struct kind *kind, void *at);

/* Around a call: other threads of Python may run, and errno is what ffi.errno tells. */
PyThreadState *bound_enter(void);
void bound_leave(PyThreadState *thread);

#endif
