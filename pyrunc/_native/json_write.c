/* json_write.c: writes a value as JSON, for formats/json_text.py. */
#include "json.h"

static int put_unit(struct writer *writer, unsigned unit)
{
    char text[8];
    return put(writer, text, (size_t)PyOS_snprintf(text, sizeof text, "\\u%04x", unit));
}

static int put_character(struct writer *writer, Py_UCS4 code)
{
    static const char meant[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    const char *found = code && code < 128 ? strchr(meant, (int)code) : NULL;
    if (found) {
        const char pair[2] = { '\\', letters[found - meant] };
        return put(writer, pair, 2);
    }
    if (code >= ' ' && code < 127) {
        char letter = (char)code;
        return put(writer, &letter, 1);
    }
    if (code < 0x10000)
        return put_unit(writer, code);
    code -= 0x10000;
    return put_unit(writer, 0xd800 + (code >> 10)) || put_unit(writer, 0xdc00 + (code & 0x3ff)) ? -1 : 0;
}

int put_string(struct writer *writer, PyObject *string)
{
    Py_ssize_t length = PyUnicode_GetLength(string), size, done = 0;
    const char *text = PyUnicode_AsUTF8AndSize(string, &size);
    if (length < 0 || put(writer, "\"", 1))
        return -1;
    if (!text)                          /* lone surrogates */
        PyErr_Clear();
    while (text && size == length && done < length) {
        Py_ssize_t from = done;
        while (done < length && text[done] >= ' ' && text[done] < 127 && text[done] != '"' && text[done] != '\\')
            done++;
        if (put(writer, text + from, (size_t)(done - from)))
            return -1;
        if (done < length && put_character(writer, (unsigned char)text[done++]))
            return -1;
    }
    for (; done < length; done++) {
        Py_UCS4 code = PyUnicode_ReadChar(string, done);
        if (code == (Py_UCS4)-1 || put_character(writer, code))
            return -1;
    }
    return put(writer, "\"", 1);
}

/* What a number's own type writes: subclasses, such as enumerations, may print as something else. */
static int put_number(struct writer *writer, PyObject *number, PyTypeObject *type)
{
    PyObject *method = PyObject_GetAttrString((PyObject *)type, "__repr__");
    PyObject *text = method ? PyObject_CallFunctionObjArgs(method, number, NULL) : NULL;
    Py_ssize_t size = 0;
    const char *letters = text ? PyUnicode_AsUTF8AndSize(text, &size) : NULL;
    int failed = !letters || put(writer, letters, (size_t)size);
    if (!failed && type == &PyFloat_Type && strpbrk(letters, "ni")) {       /* nan, inf */
        PyErr_Format(PyExc_ValueError, "no JSON for %R", number);
        failed = 1;
    }
    Py_XDECREF(method);
    Py_XDECREF(text);
    return failed ? -1 : 0;
}

static int put_value(struct writer *writer, PyObject *value);

static int put_object(struct writer *writer, PyObject *members)
{
    PyObject *key, *value;
    Py_ssize_t at = 0;
    for (bool first = true; PyDict_Next(members, &at, &key, &value); first = false) {
        if (!PyUnicode_Check(key)) {
            PyErr_Format(PyExc_TypeError, "no JSON for the key %R", key);
            return -1;
        }
        if (put(writer, first ? "{" : ",", 1) || put_string(writer, key) || put(writer, ":", 1) ||
            put_value(writer, value))
            return -1;
    }
    return put(writer, PyDict_Size(members) ? "}" : "{}", PyDict_Size(members) ? 1 : 2);
}

static int put_array(struct writer *writer, PyObject *items)
{
    Py_ssize_t count = PySequence_Size(items);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PySequence_GetItem(items, i);
        int failed = !item || put(writer, i ? "," : "[", 1) || put_value(writer, item);
        Py_XDECREF(item);
        if (failed)
            return -1;
    }
    return count < 0 ? -1 : put(writer, count ? "]" : "[]", count ? 1 : 2);
}

static int put_value(struct writer *writer, PyObject *value)
{
    if (value == Py_None)
        return put(writer, "null", 4);
    if (value == Py_True)
        return put(writer, "true", 4);
    if (value == Py_False)
        return put(writer, "false", 5);
    if (PyUnicode_Check(value))
        return put_string(writer, value);
    if (PyLong_Check(value))
        return put_number(writer, value, &PyLong_Type);
    if (PyFloat_Check(value))
        return put_number(writer, value, &PyFloat_Type);
    if (!PyDict_Check(value) && !PyList_Check(value) && !PyTuple_Check(value)) {
        PyErr_Format(PyExc_TypeError, "no JSON for %R", value);
        return -1;
    }
    if (Py_EnterRecursiveCall(" while JSON is written"))
        return -1;
    int result = PyDict_Check(value) ? put_object(writer, value) : put_array(writer, value);
    Py_LeaveRecursiveCall();
    return result;
}

/* write(value) -> str: ASCII, without blanks. TypeError or ValueError for what JSON has no words for. */
PyObject *write_text(PyObject *self, PyObject *value)
{
    struct writer writer = { 0 };
    PyObject *text = put_value(&writer, value) ? NULL : PyUnicode_FromStringAndSize(writer.text, (Py_ssize_t)writer.used);
    PyMem_Free(writer.text);
    return text;
}
