/* trace_lines.c: the lines of a trace file, for engine/trace.py. */
#include "json.h"

struct ran {
    long long begun, ended;     /* ns; ended 0: of a step that its process did not survive */
    Py_ssize_t index;           /* in the plan */
};

static int earlier(const void *one, const void *two)
{
    const struct ran *a = one, *b = two;
    if (a->begun != b->begun)
        return a->begun < b->begun ? -1 : 1;
    if (a->ended != b->ended)
        return a->ended < b->ended ? -1 : 1;
    return (a->index > b->index) - (a->index < b->index);
}

/* What lines() is given; the text of the current second is kept, as most steps are in one. */
struct trace {
    PyObject *steps, *names, *stamp, *tail, *error, *day;
    long long offset, second;
    int own, child;
    Py_ssize_t failed, child_step;
};

static int put_number_of(struct writer *writer, const char *form, long long one, long long two)
{
    char text[48];
    return put(writer, text, (size_t)PyOS_snprintf(text, sizeof text, form, one, two));
}

static int put_plain(struct writer *writer, PyObject *string, Py_ssize_t without)
{
    Py_ssize_t size;
    const char *text = PyUnicode_AsUTF8AndSize(string, &size);
    return text ? put(writer, text, (size_t)(size - without)) : -1;
}

static int put_time(struct writer *writer, struct trace *trace, long long now)
{
    if (!trace->day || now < trace->second || now >= trace->second + 1000000000) {
        trace->second = now - now % 1000000000;
        Py_XDECREF(trace->day);
        trace->day = PyObject_CallFunction(trace->stamp, "L", trace->second);
        if (!trace->day)
            return -1;
    }
    return put(writer, "{\"time\":\"", 9) || put_plain(writer, trace->day, 1) ||
           put_number_of(writer, ".%06lldZ\",\"duration\":", (now - trace->second) / 1000, 0) ? -1 : 0;
}

static int put_ran(struct writer *writer, struct trace *trace, const struct ran *ran)
{
    static const char *const members[] = { ",\"id\":", NULL, ",\"spec\":", ",\"where\":", ",\"what\":" };
    PyObject *step = PyList_GetItem(trace->steps, ran->index), *name = PyList_GetItem(trace->names, ran->index);
    PyObject *zone = step ? PyTuple_GetItem(step, 1) : NULL;
    if (!zone || !name || put_time(writer, trace, ran->begun + trace->offset))
        return -1;
    int parents = PyUnicode_CompareWithASCIIString(zone, "parent") == 0;
    long long tenths = (ran->ended - ran->begun + 50) / 100;
    if (ran->ended ? put_number_of(writer, "%lld.%lld", tenths / 10, tenths % 10) : put(writer, "null", 4))
        return -1;
    if (put_number_of(writer, ",\"pid\":%lld,\"outcome\":", parents ? trace->own : trace->child, 0))
        return -1;
    if (ran->index == trace->failed ? put_string(writer, trace->error)
        : ran->ended || trace->child_step > ran->index ? put(writer, "\"ok\"", 4) : put(writer, "\"unfinished\"", 12))
        return -1;
    if (put(writer, ",\"side\":", 8) || put(writer, parents ? "\"parent\"" : "\"child\"", parents ? 8 : 7) ||
        put(writer, ",\"zone\":", 8) || put_string(writer, zone))
        return -1;
    for (int i = 0; i < 5; i++)                         /* id, (zone,) spec, where, what; the name is behind the id */
        if (members[i] && (put(writer, members[i], strlen(members[i])) || put_string(writer, PyTuple_GetItem(step, i)) ||
                           (!i && (put(writer, ",\"step\":", 8) || put_string(writer, name)))))
            return -1;
    return put(writer, ",", 1) || put_plain(writer, trace->tail, 0) || put(writer, "\n", 1) ? -1 : 0;
}

/* All steps that ran, as they began, into ran, which has room; their number, or -1. */
static Py_ssize_t gather(struct ran *ran, PyObject *parents, PyObject *childs, const Py_buffer *times)
{
    Py_ssize_t found = 0, count = PyList_Size(parents);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *pair = PyList_GetItem(parents, i);
        struct ran one = { 0, 0, i };
        if (!PyArg_ParseTuple(pair, "LL", &one.begun, &one.ended))
            return -1;
        if (one.begun)
            ran[found++] = one;
    }
    for (Py_ssize_t i = 0; i < PyList_Size(childs); i++) {
        Py_ssize_t index = PyLong_AsSsize_t(PyList_GetItem(childs, i));
        struct ran one = { 0, 0, index };
        if (index < 0 || (index + 1) * 16 > times->len) {
            PyErr_SetString(PyExc_IndexError, "a step without a time");
            return -1;
        }
        memcpy(&one, (const char *)times->buf + 16 * index, 16);
        if (one.begun)
            ran[found++] = one;
    }
    return found;
}

/* lines(steps, names, parents, childs, times, stamp, offset, own, child, failed, error, child_step, now, tail) -> bytes
 *
 * A line of JSON for each step that ran. steps: (id, zone, spec, where, what) of each; names: of their classes; parents:
 * (begin, end) of each by the parent's clock; childs: the steps whose times are in `times`, two numbers each, which
 * other processes write; stamp(ns): a second's text; failed: -1, or the step, which is there in any case. */
PyObject *trace_lines(PyObject *self, PyObject *args)
{
    struct trace trace = { 0 };
    struct writer writer = { 0 };
    PyObject *parents, *childs, *text = NULL;
    Py_buffer times;
    long long now;
    if (!PyArg_ParseTuple(args, "O!O!O!O!y*OLiinUnLU", &PyList_Type, &trace.steps, &PyList_Type, &trace.names, &PyList_Type,
                          &parents, &PyList_Type, &childs, &times, &trace.stamp, &trace.offset, &trace.own, &trace.child,
                          &trace.failed, &trace.error, &trace.child_step, &now, &trace.tail))
        return NULL;
    struct ran *ran = PyMem_Malloc((size_t)(PyList_Size(parents) + PyList_Size(childs) + 1) * sizeof *ran);
    Py_ssize_t found = ran ? gather(ran, parents, childs, &times) : -1;
    bool there = trace.failed < 0;
    for (Py_ssize_t i = 0; i < found; i++)
        there = there || ran[i].index == trace.failed;
    if (found >= 0 && !there)
        ran[found++] = (struct ran){ now, now, trace.failed };
    bool failed = found < 0;
    if (!failed)
        qsort(ran, (size_t)found, sizeof *ran, earlier);
    for (Py_ssize_t i = 0; i < found && !failed; i++)
        failed = put_ran(&writer, &trace, &ran[i]) != 0;
    if (!failed)
        text = PyBytes_FromStringAndSize(writer.text, (Py_ssize_t)writer.used);
    else if (!PyErr_Occurred())
        PyErr_NoMemory();
    PyBuffer_Release(&times);
    Py_XDECREF(trace.day);
    PyMem_Free(ran);
    PyMem_Free(writer.text);
    return text;
}
