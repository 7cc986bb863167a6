/* binding.c: pyrunc._native._native, with `lib`, the functions and constants of native.h, and `ffi`, which makes C data.
 *
 * It is as much of cffi's interface as pyrunc uses. cffi's own module lies in a file: to load it took a millisecond of
 * each command that makes a process, and a snapshot of the program (docs/start.md) cannot have it. */
#include "binding.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* An array of count items, or a reference to one item, or to an unknown number of them (ALONE). */
struct data {
    PyObject_HEAD
    const struct kind *kind;
    char *at;
    Py_ssize_t count;
    char *own;                  /* to be freed */
    PyObject *owner;            /* or kept, because it is in this */
};

static PyTypeObject *data_type;
static _Thread_local int last_errno;

PyThreadState *bound_enter(void)
{
    PyThreadState *thread = PyEval_SaveThread();
    errno = last_errno;
    return thread;
}

void bound_leave(PyThreadState *thread)
{
    last_errno = errno;
    PyEval_RestoreThread(thread);
}

bool bound_count(const char *function, Py_ssize_t count, Py_ssize_t wanted)
{
    if (count != wanted)
        PyErr_Format(PyExc_TypeError, "%s takes %zd arguments, not %zd", function, wanted, count);
    return count == wanted;
}

static bool too_large(PyObject *object, size_t size)
{
    PyErr_Format(PyExc_OverflowError, "%R is no integer of %zu bytes", object, size);
    return false;
}

bool bound_signed(PyObject *object, size_t size, long long *value)
{
    PyObject *number = PyNumber_Index(object);
    int overflow = 0;
    *value = number ? PyLong_AsLongLongAndOverflow(number, &overflow) : -1;
    Py_XDECREF(number);
    if (!number || (*value == -1 && PyErr_Occurred()))
        return false;
    long long most = (long long)(UINT64_MAX >> (65 - 8 * size));
    return !overflow && *value <= most && *value >= -most - 1 ? true : too_large(object, size);
}

bool bound_unsigned(PyObject *object, size_t size, unsigned long long *value)
{
    PyObject *number = PyNumber_Index(object);
    *value = number ? PyLong_AsUnsignedLongLong(number) : 0;
    Py_XDECREF(number);
    if (!number)
        return false;
    if (PyErr_Occurred()) {
        PyErr_Clear();                  /* negative, or too large */
        return too_large(object, size);
    }
    return size == 8 || *value >> (8 * size) == 0 ? true : too_large(object, size);
}

static PyObject *new_data(const struct kind *kind, void *at, Py_ssize_t count, PyObject *owner)
{
    struct data *data = PyObject_New(struct data, data_type);
    if (!data)
        return NULL;
    data->kind = kind;
    data->at = at;
    data->count = count;
    data->own = NULL;
    data->owner = Py_XNewRef(owner);
    return (PyObject *)data;
}

PyObject *bound_data(const struct kind *kind, void *at)
{
    return new_data(kind, at, ALONE, NULL);
}

static bool is_data(PyObject *object)
{
    return Py_TYPE(object) == data_type;
}

bool bound_pointer(PyObject *object, const struct kind *kind, bool constant, void **value)
{
    bool letters = kind->sort == VOID || kind->size == 1;
    if (is_data(object)) {
        const struct data *data = (struct data *)object;
        *value = data->at;
        if (data->kind == kind || data->kind->sort == VOID || kind->sort == VOID || (letters && data->kind->size == 1))
            return true;
    } else if (constant && letters && PyBytes_Check(object)) {
        *value = PyBytes_AsString(object);
        return *value != NULL;
    }
    PyErr_Format(PyExc_TypeError, "%R is no address of %s", object, kind->name);
    return false;
}

/* ---- items and members ---- */

static PyObject *get(const struct kind *kind, char *at, PyObject *owner)
{
    unsigned long long bits = 0;
    void *pointer;
    switch (kind->sort) {
    case SIGNED:
    case UNSIGNED:
        memcpy(&bits, at, kind->size);          /* (the processor's lowest byte is the first) */
        if (kind->sort == UNSIGNED)
            return PyLong_FromUnsignedLongLong(bits);
        unsigned shift = 64 - 8 * (unsigned)kind->size;
        return PyLong_FromLongLong((long long)(bits << shift) >> shift);
    case CHAR:
        return PyBytes_FromStringAndSize(at, 1);
    case POINTER:
        memcpy(&pointer, at, sizeof pointer);
        return new_data(kind->to, pointer, ALONE, owner);
    default:
        return new_data(kind, at, ALONE, owner);
    }
}

static int set_members(const struct kind *kind, char *at, PyObject *members);

static int set(const struct kind *kind, char *at, PyObject *value)
{
    long long number;
    unsigned long long unsigned_number;
    void *pointer;
    switch (kind->sort) {
    case SIGNED:
        if (!bound_signed(value, kind->size, &number))
            return -1;
        memcpy(at, &number, kind->size);
        return 0;
    case UNSIGNED:
        if (!bound_unsigned(value, kind->size, &unsigned_number))
            return -1;
        memcpy(at, &unsigned_number, kind->size);
        return 0;
    case CHAR:
        if (!PyBytes_Check(value) || PyBytes_Size(value) != 1) {
            PyErr_Format(PyExc_TypeError, "%R is no byte", value);
            return -1;
        }
        *at = *PyBytes_AsString(value);
        return 0;
    case POINTER:
        if (!bound_pointer(value, kind->to, false, &pointer))
            return -1;
        memcpy(at, &pointer, sizeof pointer);
        return 0;
    default:
        return set_members(kind, at, value);
    }
}

static const struct field *find(const struct kind *kind, PyObject *name)
{
    for (const struct field *field = kind->fields; field && field->name; field++)
        if (PyUnicode_CompareWithASCIIString(name, field->name) == 0)
            return field;
    return NULL;
}

/* Letters into an array of them, with a NUL behind them if there is room. */
static int set_letters(char *at, Py_ssize_t room, PyObject *value)
{
    Py_ssize_t size;
    char *letters;
    if (PyBytes_AsStringAndSize(value, &letters, &size))
        return -1;
    if (size > room) {
        PyErr_Format(PyExc_IndexError, "%zd bytes where %zd have room", size, room);
        return -1;
    }
    memcpy(at, letters, (size_t)size);
    if (size < room)
        at[size] = 0;
    return 0;
}

static int set_member(const struct field *field, char *at, PyObject *value)
{
    if (field->count == ALONE)
        return set(field->kind, at + field->offset, value);
    if (field->kind->sort == CHAR && field->count >= 0)
        return set_letters(at + field->offset, field->count, value);
    PyErr_Format(PyExc_TypeError, "%s is an array", field->name);
    return -1;
}

static int set_members(const struct kind *kind, char *at, PyObject *members)
{
    PyObject *name, *value;
    Py_ssize_t position = 0;
    if (!PyDict_Check(members)) {
        PyErr_Format(PyExc_TypeError, "the members of %s are a dict, not %R", kind->name, members);
        return -1;
    }
    while (PyDict_Next(members, &position, &name, &value)) {
        const struct field *field = find(kind, name);
        if (!field) {
            PyErr_Format(PyExc_AttributeError, "%s has no %R", kind->name, name);
            return -1;
        }
        if (set_member(field, at, value))
            return -1;
    }
    return 0;
}

/* ---- the type of data ---- */

static bool in_reach(const struct data *data, Py_ssize_t index)
{
    if (!data->at || !data->kind->size || index < 0 || (data->count >= 0 && index >= data->count)) {
        PyErr_Format(PyExc_IndexError, "%s[%zd]", data->kind->name, index);
        return false;
    }
    return true;
}

static PyObject *item(PyObject *self, Py_ssize_t index)
{
    struct data *data = (struct data *)self;
    return in_reach(data, index) ? get(data->kind, data->at + (size_t)index * data->kind->size, self) : NULL;
}

static int set_item(PyObject *self, Py_ssize_t index, PyObject *value)
{
    struct data *data = (struct data *)self;
    if (!value || !in_reach(data, index))
        return -1;
    return set(data->kind, data->at + (size_t)index * data->kind->size, value);
}

static Py_ssize_t length(PyObject *self)
{
    Py_ssize_t count = ((struct data *)self)->count;
    if (count < 0)
        PyErr_SetString(PyExc_TypeError, "it is not known how many they are");
    return count < 0 ? -1 : count;
}

static PyObject *get_attribute(PyObject *self, PyObject *name)
{
    struct data *data = (struct data *)self;
    const struct field *field = data->at ? find(data->kind, name) : NULL;
    if (!field)
        return PyObject_GenericGetAttr(self, name);
    char *at = data->at + field->offset;
    return field->count == ALONE ? get(field->kind, at, self)
                                 : new_data(field->kind, at, field->count == OPEN ? ALONE : field->count, self);
}

static int set_attribute(PyObject *self, PyObject *name, PyObject *value)
{
    struct data *data = (struct data *)self;
    const struct field *field = data->at && value ? find(data->kind, name) : NULL;
    if (!field) {
        PyErr_Format(PyExc_AttributeError, "%s has no %R", data->kind->name, name);
        return -1;
    }
    return set_member(field, data->at, value);
}

static PyObject *compare(PyObject *self, PyObject *other, int how)
{
    if (!is_data(other) || (how != Py_EQ && how != Py_NE))
        return Py_NewRef(Py_NotImplemented);
    bool same = ((struct data *)self)->at == ((struct data *)other)->at;
    return PyBool_FromLong(same == (how == Py_EQ));
}

static Py_hash_t hash(PyObject *self)
{
    return (Py_hash_t)((uintptr_t)((struct data *)self)->at >> 4);
}

static int is_true(PyObject *self)
{
    return ((struct data *)self)->at != NULL;
}

static PyObject *show(PyObject *self)
{
    struct data *data = (struct data *)self;
    return PyUnicode_FromFormat("<%s at %p>", data->kind->name, (void *)data->at);
}

static void deallocate(PyObject *self)
{
    struct data *data = (struct data *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyMem_Free(data->own);
    Py_XDECREF(data->owner);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyType_Slot slots[] = {
    { Py_tp_getattro, get_attribute }, { Py_tp_setattro, set_attribute }, { Py_tp_richcompare, compare },
    { Py_tp_hash, hash }, { Py_tp_repr, show }, { Py_tp_dealloc, deallocate }, { Py_sq_item, item },
    { Py_sq_ass_item, set_item }, { Py_sq_length, length }, { Py_nb_bool, is_true }, { 0 }
};
static PyType_Spec specification = {
    "pyrunc._native._native.CData", sizeof(struct data), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots
};

/* ---- ffi ---- */

/* Of "int", or of the first word of "int *", "int[2]", "int[]": the rest. */
static const struct kind *kind_of(const char *text, const char **rest)
{
    const struct kind *found = NULL;
    size_t longest = 0;
    for (const struct kind *const *kind = bound_kinds; *kind; kind++) {
        size_t size = strlen((*kind)->name);
        if (size > longest && !strncmp(text, (*kind)->name, size) && (!text[size] || strchr(" [", text[size]))) {
            found = *kind;
            longest = size;
        }
    }
    *rest = text + longest + (found && text[longest] == ' ');
    if (!found)
        PyErr_Format(PyExc_TypeError, "no C type: %s", text);
    return found;
}

/* How many items something of the type has by what it begins with. -1 with an exception. */
static Py_ssize_t count_of(const char *rest, const struct kind *kind, PyObject *value)
{
    if (!strcmp(rest, "*"))
        return 1;
    if (rest[0] == '[' && rest[1] != ']')
        return (Py_ssize_t)strtoul(rest + 1, NULL, 10);
    if (strcmp(rest, "[]") || !value) {
        PyErr_Format(PyExc_TypeError, "%s%s: how many?", kind->name, rest);
        return -1;
    }
    if (PyLong_Check(value))
        return PyLong_AsSsize_t(value);
    return PyBytes_Check(value) ? PyBytes_Size(value) + 1 : PySequence_Size(value);
}

static int begin_with(struct data *data, const char *rest, PyObject *value)
{
    if (!strcmp(rest, "*"))
        return set(data->kind, data->at, value);
    if (PyLong_Check(value))
        return 0;
    if (data->kind->sort == CHAR)
        return set_letters(data->at, data->count, value);
    Py_ssize_t count = PySequence_Size(value);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *one = PySequence_GetItem(value, i);
        int failed = !one || set_item((PyObject *)data, i, one);
        Py_XDECREF(one);
        if (failed)
            return -1;
    }
    return count < 0 ? -1 : 0;
}

/* new(type, value) -> data of its own: "int *" one, 0 or the value; "int[]" so many as the value says or has. */
static PyObject *make(PyObject *self, PyObject *args)
{
    const char *text, *rest;
    PyObject *value = NULL;
    if (!PyArg_ParseTuple(args, "s|O", &text, &value))
        return NULL;
    const struct kind *kind = kind_of(text, &rest);
    Py_ssize_t count = kind ? count_of(rest, kind, value) : -1;
    if (count < 0) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "fewer than none");
        return NULL;
    }
    struct data *data = (struct data *)new_data(kind, NULL, strcmp(rest, "*") ? count : ALONE, NULL);
    if (data && !(data->at = data->own = PyMem_Calloc((size_t)count + 1, kind->size)))
        PyErr_NoMemory();
    if (data && (!data->at || (value && begin_with(data, rest, value))))
        Py_CLEAR(data);
    return (PyObject *)data;
}

/* cast("uintptr_t", data) -> int */
static PyObject *address(PyObject *self, PyObject *args)
{
    const char *text;
    PyObject *data;
    if (!PyArg_ParseTuple(args, "sO!", &text, data_type, &data))
        return NULL;
    if (strcmp(text, "uintptr_t"))
        return PyErr_Format(PyExc_TypeError, "no cast to %s", text);
    return PyLong_FromVoidPtr(((struct data *)data)->at);
}

static PyObject *copied(PyObject *args, bool to_nul)
{
    struct data *data;
    Py_ssize_t size = -1;
    if (!PyArg_ParseTuple(args, "O!|n", data_type, &data, &size))
        return NULL;
    Py_ssize_t most = data->count < 0 ? size : data->count * (Py_ssize_t)data->kind->size;
    if (size < 0 || (data->count >= 0 && size > most))
        size = most;
    if (!data->at || (size < 0 && !to_nul)) {
        PyErr_SetString(PyExc_ValueError, "it is not known how much");
        return NULL;
    }
    if (to_nul)
        size = (Py_ssize_t)(size < 0 ? strlen(data->at) : strnlen(data->at, (size_t)size));
    return PyBytes_FromStringAndSize(data->at, size);
}

/* string(data, limit) -> bytes up to a NUL */
static PyObject *string(PyObject *self, PyObject *args)
{
    return copied(args, true);
}

/* buffer(data, size) -> bytes, a copy */
static PyObject *buffer(PyObject *self, PyObject *args)
{
    return copied(args, false);
}

/* from_buffer(bytes or the like) -> data that is the very memory */
static PyObject *from_buffer(PyObject *self, PyObject *object)
{
    const char *rest;
    Py_buffer memory;
    PyObject *view = PyMemoryView_FromObject(object);
    if (!view || PyObject_GetBuffer(view, &memory, PyBUF_SIMPLE)) {
        Py_XDECREF(view);
        return NULL;
    }
    PyObject *data = new_data(kind_of("char", &rest), memory.buf, memory.len, view);
    PyBuffer_Release(&memory);          /* the view holds it */
    Py_DECREF(view);
    return data;
}

/* sizeof(type) */
static PyObject *size_of(PyObject *self, PyObject *text)
{
    const char *rest, *name = PyUnicode_AsUTF8AndSize(text, NULL);
    const struct kind *kind = name ? kind_of(name, &rest) : NULL;
    return kind ? PyLong_FromSize_t(kind->size) : NULL;
}

/* fields(type) -> {member: (offset, how many it is; None if it is no array)} */
static PyObject *fields_of(PyObject *self, PyObject *text)
{
    const char *rest, *name = PyUnicode_AsUTF8AndSize(text, NULL);
    const struct kind *kind = name ? kind_of(name, &rest) : NULL;
    PyObject *members = kind ? PyDict_New() : NULL;
    for (const struct field *field = kind ? kind->fields : NULL; members && field && field->name; field++) {
        PyObject *count = field->count == ALONE ? Py_NewRef(Py_None) : PyLong_FromSsize_t(field->count);
        PyObject *told = count ? Py_BuildValue("nN", (Py_ssize_t)field->offset, count) : NULL;
        if (!told || PyDict_SetItemString(members, field->name, told))
            Py_CLEAR(members);
        Py_XDECREF(told);
    }
    return members;
}

/* ffi.errno, of this thread's last call. */
static PyObject *changing(PyObject *self, PyObject *name)
{
    if (PyUnicode_CompareWithASCIIString(name, "errno"))
        return PyErr_Format(PyExc_AttributeError, "ffi has no %R", name);
    return PyLong_FromLong(last_errno);
}

static PyMethodDef ffi_functions[] = {
    { "new", make, METH_VARARGS, NULL }, { "cast", address, METH_VARARGS, NULL },
    { "string", string, METH_VARARGS, NULL }, { "buffer", buffer, METH_VARARGS, NULL },
    { "from_buffer", from_buffer, METH_O, NULL }, { "sizeof", size_of, METH_O, NULL },
    { "fields", fields_of, METH_O, NULL }, { "__getattr__", changing, METH_O, NULL }, { 0 }
};

/* ---- the module ---- */

static int add(PyObject *module, const char *name, PyObject *value)
{
    int result = value ? PyModule_AddObjectRef(module, name, value) : -1;
    Py_XDECREF(value);
    return result;
}

static PyObject *made_lib(void)
{
    PyObject *lib = PyModule_New("pyrunc._native._native.lib");
    int failed = !lib || PyModule_AddFunctions(lib, bound_functions);
    for (const struct constant *constant = bound_constants; !failed && constant->name; constant++)
        failed = add(lib, constant->name, PyLong_FromLongLong(constant->value));
    if (failed)
        Py_CLEAR(lib);
    return lib;
}

static PyObject *made_ffi(void)
{
    static const struct kind nothing = { .name = "void", .sort = VOID };
    PyObject *ffi = PyModule_New("pyrunc._native._native.ffi");
    if (!ffi || PyModule_AddFunctions(ffi, ffi_functions) || add(ffi, "NULL", bound_data(&nothing, NULL)) ||
        add(ffi, "CData", Py_NewRef((PyObject *)data_type)))
        Py_CLEAR(ffi);
    return ffi;
}

PyMODINIT_FUNC PyInit__native(void)
{
    static struct PyModuleDef definition = { PyModuleDef_HEAD_INIT, .m_name = "pyrunc._native._native", .m_size = -1 };
    PyObject *module = PyModule_Create(&definition);
    data_type = (PyTypeObject *)PyType_FromSpec(&specification);
    if (!module || !data_type || add(module, "lib", made_lib()) || add(module, "ffi", made_ffi()))
        Py_CLEAR(module);
    return module;
}
