/* json.c: pyrunc.formats._jsontext, the reader and writer of JSON for config/load.py and formats/json_text.py.
 *
 * CPython's own, the module _json, is a file to be opened, mapped and bound at each start, which takes half a
 * millisecond. This one is linked into the launcher. */
#include "json.h"

static PyMethodDef functions[] = {
    { "read", read_text, METH_VARARGS, NULL },
    { "write", write_text, METH_O, NULL },
    { "lines", trace_lines, METH_VARARGS, NULL },
    { 0 }
};

PyMODINIT_FUNC PyInit__jsontext(void)
{
    static struct PyModuleDef definition = { PyModuleDef_HEAD_INIT, .m_name = "pyrunc.formats._jsontext", .m_size = -1,
                                             .m_methods = functions };
    return PyModule_Create(&definition);
}
