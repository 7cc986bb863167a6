/* json_read.c: reads a JSON text strictly (config/load.py says how), and tells no more than that it is unsound:
 * config/diagnosis.py finds out what is wrong and where. */
#include "json.h"

struct reader {
    const char *at, *end;       /* *end is NUL, so that one byte of lookahead needs no test */
    int depth;                  /* how many arrays and objects may still be opened */
    Py_ssize_t members;         /* how many an object may have */
};

static PyObject *unsound(void)
{
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "unsound JSON");
    return NULL;
}

static char next(struct reader *reader)
{
    while (*reader->at == ' ' || *reader->at == '\n' || *reader->at == '\t' || *reader->at == '\r')
        reader->at++;
    return *reader->at;
}

static long hexadecimal(const char *at)
{
    long value = 0;
    for (int i = 0; i < 4; i++) {
        char letter = at[i], low = letter | 32;
        if (letter >= '0' && letter <= '9')
            value = value << 4 | (letter - '0');
        else if (low >= 'a' && low <= 'f')
            value = value << 4 | (low - 'a' + 10);
        else
            return -1;
    }
    return value;
}

/* The character of the escape whose backslash is at *at, which moves behind it; -1 for none that may stand there. */
static long escape(const char **at)
{
    static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    const char *found = (*at)[1] ? strchr(letters, (*at)[1]) : NULL;
    if (found) {
        *at += 2;
        return meant[found - letters];
    }
    long code = (*at)[1] == 'u' ? hexadecimal(*at + 2) : -1, low = 0;
    *at += 6;
    if (code >= 0xd800 && code < 0xdc00) {
        if ((*at)[0] != '\\' || (*at)[1] != 'u' || (low = hexadecimal(*at + 2)) < 0xdc00 || low >= 0xe000)
            return -1;
        *at += 6;
        return 0x10000 + ((code - 0xd800) << 10 | (low - 0xdc00));
    }
    return code > 0 && !(code >= 0xdc00 && code < 0xe000) ? code : -1;
}

static char *put_utf8(char *out, long code)
{
    if (code < 0x80) {
        *out++ = (char)code;
    } else if (code < 0x800) {
        *out++ = (char)(0xc0 | code >> 6);
        *out++ = (char)(0x80 | (code & 63));
    } else {
        if (code < 0x10000) {
            *out++ = (char)(0xe0 | code >> 12);
        } else {
            *out++ = (char)(0xf0 | code >> 18);
            *out++ = (char)(0x80 | (code >> 12 & 63));
        }
        *out++ = (char)(0x80 | (code >> 6 & 63));
        *out++ = (char)(0x80 | (code & 63));
    }
    return out;
}

/* With escapes: no text is longer than it is written. */
static PyObject *escaped(struct reader *reader, const char *close)
{
    char *text = PyMem_Malloc((size_t)(close - reader->at) + 1), *out = text;
    if (!text)
        return PyErr_NoMemory();
    while (reader->at < close) {
        if (*reader->at != '\\') {
            *out++ = *reader->at++;
            continue;
        }
        long code = escape(&reader->at);
        if (code < 0 || reader->at > close) {
            PyMem_Free(text);
            return unsound();
        }
        out = put_utf8(out, code);
    }
    PyObject *value = PyUnicode_DecodeUTF8(text, out - text, NULL);
    PyMem_Free(text);
    reader->at = close + 1;
    return value;
}

static PyObject *read_string(struct reader *reader)     /* at its quote */
{
    const char *at = ++reader->at;
    bool plain = true;
    for (; *at != '"'; at++) {
        if ((unsigned char)*at < ' ')
            return unsound();
        if (*at == '\\') {
            plain = false;
            if ((unsigned char)*++at < ' ')
                return unsound();
        }
    }
    if (!plain)
        return escaped(reader, at);
    PyObject *value = PyUnicode_DecodeUTF8(reader->at, at - reader->at, NULL);
    reader->at = at + 1;
    return value;
}

static bool digits(const char **at)
{
    const char *first = *at;
    while (**at >= '0' && **at <= '9')
        (*at)++;
    return *at > first;
}

static PyObject *read_number(struct reader *reader)
{
    const char *first = reader->at, *at = first + (*first == '-'), *whole = at;
    if (!digits(&at) || (*whole == '0' && at > whole + 1))
        return unsound();
    const char *integer_end = at;
    if (*at == '.' && (at++, !digits(&at)))
        return unsound();
    if (*at == 'e' || *at == 'E') {
        at++;
        at += *at == '+' || *at == '-';
        if (!digits(&at))
            return unsound();
    }
    reader->at = at;
    if (at == integer_end && at - whole <= 18) {
        long long value = 0;
        for (; whole < at; whole++)
            value = value * 10 + (*whole - '0');
        return PyLong_FromLongLong(*first == '-' ? -value : value);
    }
    char *text = PyMem_Malloc((size_t)(at - first) + 1);
    if (!text)
        return PyErr_NoMemory();
    memcpy(text, first, (size_t)(at - first));
    text[at - first] = 0;
    PyObject *value = NULL;
    if (at == integer_end) {
        value = PyLong_FromString(text, NULL, 10);
    } else {
        double number = PyOS_string_to_double(text, NULL, NULL);
        if (!PyErr_Occurred())
            value = PyFloat_FromDouble(number);
    }
    PyMem_Free(text);
    return value;
}

static PyObject *read_value(struct reader *reader);

static PyObject *read_array(struct reader *reader)
{
    PyObject *list = PyList_New(0);
    reader->at++;
    if (!list || next(reader) == ']') {
        reader->at++;
        return list;
    }
    for (;;) {
        PyObject *value = read_value(reader);
        int failed = !value || PyList_Append(list, value);
        Py_XDECREF(value);
        char after = failed ? 0 : next(reader);
        if (after != ',' && after != ']') {
            Py_DECREF(list);
            return unsound();
        }
        reader->at++;
        if (after == ']')
            return list;
    }
}

static PyObject *read_object(struct reader *reader)
{
    PyObject *members = PyDict_New();
    reader->at++;
    if (!members || next(reader) == '}') {
        reader->at++;
        return members;
    }
    for (Py_ssize_t count = 1;; count++) {
        PyObject *key = next(reader) == '"' && count <= reader->members ? read_string(reader) : NULL, *value = NULL;
        if (key && next(reader) == ':') {
            reader->at++;
            value = read_value(reader);
        }
        /* A name that is there already is none to choose from: the object does not grow. */
        int failed = !value || PyDict_SetItem(members, key, value) || PyDict_Size(members) != count;
        Py_XDECREF(key);
        Py_XDECREF(value);
        char after = failed ? 0 : next(reader);
        if (after != ',' && after != '}') {
            Py_DECREF(members);
            return unsound();
        }
        reader->at++;
        if (after == '}')
            return members;
    }
}

static PyObject *read_word(struct reader *reader)
{
    PyObject *const values[] = { Py_True, Py_False, Py_None };
    static const char *const words[] = { "true", "false", "null" };
    for (int i = 0; i < 3; i++) {
        size_t length = strlen(words[i]);
        if (!strncmp(reader->at, words[i], length)) {
            reader->at += length;
            return Py_NewRef(values[i]);
        }
    }
    return unsound();
}

static PyObject *read_value(struct reader *reader)
{
    char first = next(reader);
    if (first == '"')
        return read_string(reader);
    if (first == '-' || (first >= '0' && first <= '9'))
        return read_number(reader);
    if (first != '{' && first != '[')
        return read_word(reader);
    if (!reader->depth--)
        return unsound();
    PyObject *value = first == '{' ? read_object(reader) : read_array(reader);
    reader->depth++;
    return value;
}

/* read(text: bytes, depth, members) -> value; ValueError when the text is not sound. */
PyObject *read_text(PyObject *self, PyObject *args)
{
    struct reader reader = { 0 };
    PyObject *text;
    char *first;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "Sin", &text, &reader.depth, &reader.members) ||
        PyBytes_AsStringAndSize(text, &first, &size))
        return NULL;
    reader.at = first;
    reader.end = first + size;
    PyObject *value = read_value(&reader);
    if (value) {
        next(&reader);
        if (reader.at != reader.end)        /* (a NUL ends nothing but the text) */
            Py_CLEAR(value);
    }
    return value ? value : unsound();
}
