"""Writes the C file that binds native.h to Python (binding.h): its types and constants, and a wrapper of each function.

What is read is the part between the CDEF marks: structs, enums and functions, in the plain style in which they are
written there. Anything else is an error here, or one of the compiler's.
"""
from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

#: C types that are numbers: whether they have a sign. "char" is a letter, and void nothing.
NUMBERS = {"int": True, "unsigned": False, "long": True, "unsigned long": False, "unsigned short": False,
           "unsigned char": False, "int32_t": True, "int64_t": True, "uint32_t": False, "uint64_t": False,
           "size_t": False}
HEAD = """/* Made by bind.py of native.h. */
#include "binding.h"
#include "system.h"
#include <linux/sched.h>
"""


def symbol(kind: str) -> str:
    """The C name of a type's table entry."""
    return "kind_" + kind.replace("*", "pointer").replace(" ", "_")


def members(body: str) -> Iterator[tuple[str, str, str]]:
    """(type, name, what stands in the brackets or None as "-") of the members of a struct."""
    for declaration in filter(None, map(str.strip, body.split(";"))):
        found = re.fullmatch(r"((?:unsigned )?\w+) (.*)", declaration)
        if not found:
            raise SystemExit(f"bind: no members: {declaration}")
        for name in found[2].split(","):
            part = re.fullmatch(r"\s*(\*?)(\w+)(?:\[(\w*)\])?", name)
            if not part:
                raise SystemExit(f"bind: no member: {name}")
            yield found[1] + (" *" if part[1] else ""), part[2], "-" if part[3] is None else part[3]


def table(name: str, fields: Sequence[tuple[str, str, str]], offset: str, size: str, shown: str) -> str:
    """A struct's fields and kind. offset: how its member's offset is written, with %s for the member."""
    special = {"-": "ALONE", "": "OPEN"}
    rows = [f'    {{ "{member}", {offset % member}, &{symbol(kind)}, {special.get(count, count)} }},\n'
            for kind, member, count in fields]
    return (f"static const struct field fields_{name}[] = {{\n{''.join(rows)}    {{ 0 }}\n}};\n"
            f'static const struct kind {symbol(shown)} = {{ "{shown}", {size}, STRUCT, fields_{name}, NULL }};\n')


def structs(text: str) -> Iterator[tuple[str, str]]:
    """(type, its table) of each struct; one within another comes first, by a name of its own."""
    for found in re.finditer(r"(typedef )?struct (\w+)? ?\{((?:[^{}]|\{[^{}]*\})*)\} ?(\w*);", text):
        shown = found[4] if found[1] else f"struct {found[2]}"
        name, body = shown.replace(" ", "_"), found[3]
        for inner in re.finditer(r"struct \{([^{}]*)\} (\w+)\[\];", body):
            kind = f"{name}_{inner[2]}"
            yield kind, table(kind, list(members(inner[1])),
                              f"offsetof({shown}, {inner[2]}[0].%s) - offsetof({shown}, {inner[2]})",
                              f"sizeof((({shown} *)0)->{inner[2]}[0])", kind)
            body = body.replace(inner[0], f"{kind} {inner[2]}[];")
        yield shown, table(name, list(members(body)), f"offsetof({shown}, %s)", f"sizeof({shown})", shown)


def parameters(text: str) -> Iterator[tuple[str, str, bool]]:
    """(type, name, whether it is constant) of each parameter; of a pointer the type ends in *."""
    for one in [] if text.strip() == "void" else text.split(","):
        plain = " ".join(re.sub(r"\bconst\b", " ", one).replace("*", " * ").split())
        plain = re.sub(r"^(.*) (\w+)\[\]$", r"\1 * \2", plain)
        found = re.fullmatch(r"(.*) (\w+)", plain)
        if not found:
            raise SystemExit(f"bind: no parameter: {one}")
        yield found[1].replace("* *", "**"), found[2], one.strip().startswith("const ")


def converted(kind: str, number: int, constant: bool) -> tuple[str, str, str]:
    """(declaration, condition, argument) of a parameter."""
    if kind.endswith("*"):
        return (f"void *a{number}", f"bound_pointer(args[{number}], &{symbol(kind[:-1].strip().replace('**', ' *'))}, "
                                    f"{str(constant).lower()}, &a{number})", f"a{number}")
    sign = "" if NUMBERS[kind] else "un"
    width = "long long" if NUMBERS[kind] else "unsigned long long"
    return (f"{width} a{number}", f"bound_{sign}signed(args[{number}], sizeof({kind}), &a{number})",
            f"({kind})a{number}")


def wrapper(result: str, name: str, given: str) -> str:
    """The function of a function."""
    parts = [converted(kind, number, constant) for number, (kind, _, constant) in enumerate(parameters(given))]
    result = " ".join(result.replace("*", " * ").split())
    call = f"{name}({', '.join(argument for _, _, argument in parts)})"
    if result == "void":
        before, taken, back = "", call, "Py_NewRef(Py_None)"
    elif result.endswith("*"):
        before, taken = f"    {result}result;\n", f"result = {call}"
        back = f"bound_data(&{symbol(result[:-1].strip())}, result)"
    else:
        before, taken = f"    {result} result;\n", f"result = {call}"
        back = "PyLong_FromLongLong(result)" if NUMBERS[result] else "PyLong_FromUnsignedLongLong(result)"
    declarations = "".join(f"    {declaration};\n" for declaration, _, _ in parts)
    conditions = "".join(f" ||\n        !{condition}" for _, condition, _ in parts)
    return (f"static PyObject *py_{name}(PyObject *self, PyObject *const *args, Py_ssize_t count)\n{{\n"
            f'{declarations}{before}    if (!bound_count("{name}", count, {len(parts)}){conditions})\n'
            "        return NULL;\n    PyThreadState *thread = bound_enter();\n"
            f"    {taken};\n    bound_leave(thread);\n    return {back};\n}}\n")


def bind(declared: str, constants: str) -> str:
    """The C file. declared: the part of native.h, without comments; constants: more names, of the kernel's headers."""
    enums = re.findall(r"enum \{(.*?)\}", declared, re.S)
    names = [name for body in enums for name in re.findall(r"\b([A-Z]\w+)", body)] + constants.split()
    functions = re.findall(r"^([\w ]+?[ *]+)(pr_\w+)\(([^;]*?)\);", declared, re.M | re.S)
    kinds = {"char": 'static const struct kind kind_char = { "char", 1, CHAR, NULL, NULL };\n',
             "void": 'static const struct kind kind_void = { "void", 0, VOID, NULL, NULL };\n'}
    for kind, sign in NUMBERS.items():
        sort = "SIGNED" if sign else "UNSIGNED"
        kinds[kind] = f'static const struct kind {symbol(kind)} = {{ "{kind}", sizeof({kind}), {sort}, NULL, NULL }};\n'
    kinds["char *"] = 'static const struct kind kind_char_pointer = ' \
                      '{ "char *", sizeof(char *), POINTER, NULL, &kind_char };\n'
    kinds |= structs(declared)
    return "".join([
        HEAD, *kinds.values(), "const struct kind *const bound_kinds[] = {\n",
        *(f"    &{symbol(kind)},\n" for kind in kinds), "    NULL\n};\n",
        "const struct constant bound_constants[] = {\n",
        *(f'    {{ "{name}", (long long)({name}) }},\n' for name in names), "    { 0 }\n};\n",
        *(wrapper(*function) for function in functions), "PyMethodDef bound_functions[] = {\n",
        *(f'    {{ "{name}", (PyCFunction)(void (*)(void))py_{name}, METH_FASTCALL, NULL }},\n'
          for _, name, _ in functions), "    { 0 }\n};\n"])
