"""Builds the `pyrunc` program: launcher.c and its neighbours, the frozen modules, and libpython.

setup.py calls build(). In a checkout, `make build` runs it as a program:

    python pyrunc/_native/build_launcher.py OUT [WORK] [--kind KIND]

Four kinds of program, the first that can be made (times: to start and run nothing, /bin/true 0.6, ms):

    snapshot a static one, and in it its memory as it is when all is imported     (docs/start.md)
    static   libpythonX.Y.a inside the program, and the native module with it        2.4
    shared   libpythonX.Y.so                                                         5.4
    exec     no libpython to link: the program executes the interpreter -I -S        7.0

Of a static one, only CPython's core is started where that is known to work (QUICK). Which start it has become is said
here and by `pyrunc --version`.
"""
from __future__ import annotations

import argparse
import os
import runpy
import shlex
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
TREE = HERE.parent.parent

if TYPE_CHECKING:
    from collections.abc import Sequence

COMPILE = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-missing-field-initializers",
           "-fstack-protector-strong", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2"]
#: The minor numbers of CPython 3 whose core can be started alone (interpreter.c; tests/launcher).
QUICK = (11, 12, 13, 14)
#: What a snapshot is made and taken by, and the functions that it comes before.
SNAPSHOT = ("snapshot.c", "snapshot_memory.c", "snapshot_layout.c", "snapshot_write.c", "interpreter_snapshot.c")
WRAPPED = ("malloc", "calloc", "realloc", "free", "aligned_alloc", "pthread_key_create", "pthread_key_delete",
           "pthread_setspecific", "_Py_HashRandomization_Init")
#: From 3.14 on, numbers below 2^30 are kept for the next when they are given up. An address in a snapshot's arena is a
#: larger one: so be one in the program, or memory is taken more or less often by where an object lies.
HIGH = ["-Wl,-Ttext-segment=0x40000000"] if sys.version_info >= (3, 14) else []
#: So often a program may find something that looks like an address in what it writes down.
WRITES = 5
#: Everything is bound before main: nothing is looked up once a container's root is the root.
LINK = ["-Wl,-O1,--hash-style=gnu,--as-needed,--strip-debug", "-Wl,-z,relro,-z,now"]


def variable(name: str) -> str:
    """What the build interpreter was configured with; "" for nothing."""
    return str(sysconfig.get_config_var(name) or "")


def compiler() -> list[str]:
    """$CC, or the compiler that CPython was built with, without its flags, or cc."""
    return shlex.split(os.environ.get("CC", "")) or (variable("CC").split() or ["cc"])[:1]


def start_of(kind: str) -> str:
    """How a program of this kind starts, and what that costs: a line for people."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if kind == "snapshot":
        return "snapshot"
    if kind == "static":
        return "quick" if sys.version_info.minor in QUICK else \
            f"whole, 3 ms longer: the start of the core alone is not known to work with CPython {version}"
    return {"shared": "whole, 3 ms longer: no static libpython could be linked",
            "exec": "of the interpreter, 5 ms longer: no libpython could be linked"}[kind]


def run(command: Sequence[str | Path]) -> None:
    """Run a program; CalledProcessError when it fails."""
    words = [str(word) for word in command]
    if "-v" in sys.argv[1:]:
        print(shlex.join(words))
    subprocess.run(words, check=True, cwd=TREE)


def objects(sources: Sequence[str | Path], flags: Sequence[str], work: Path) -> list[Path]:
    """Compile what is newer than its object, or has a header that is, or flags that may be others."""
    headers = max(header.stat().st_mtime for header in [*HERE.glob("*.h"), Path(__file__)])
    made, commands = [], []
    for source in map(Path, sources):
        out, path = work / f"{source.stem}.o", TREE / source
        if not out.exists() or out.stat().st_mtime < max(path.stat().st_mtime, headers):
            commands.append([*compiler(), *COMPILE, *flags, "-c", os.path.relpath(path, TREE), "-o", out])
        made.append(out)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(run, commands))
    return made


def definitions(kind: str) -> list[str]:
    """The paths that are compiled in, and how it starts (launcher.h)."""
    base = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    texts = {
        "PYTHON_NAME": f"python{sys.version_info.major}.{sys.version_info.minor}", "PYTHON_PREFIX": sys.base_prefix,
        "STDLIB": sysconfig.get_path("stdlib"), "DYNLOAD": variable("DESTSHARED"), "INTERPRETER": str(base),
        "EXT_SUFFIX": variable("EXT_SUFFIX"), "START": start_of(kind),
    }
    quick = ["-DQUICK_START", "-DSNAPSHOT"] if texts["START"] == "quick" else []
    return quick + [f'-D{name}="{text}"' for name, text in texts.items()]


def native_objects(flags: Sequence[str], work: Path) -> tuple[str, list[Path]]:
    """Compile pyrunc._native._native to be linked into the launcher: its dotted name and its objects."""
    module = runpy.run_path(str(HERE / "build.py"))["extension"](work)
    directory = work / module.name
    directory.mkdir(exist_ok=True)
    return module.name, objects(module.sources, [*flags, *module.extra_compile_args], directory)


#: What comes before any Python.
MAIN = [HERE / f"{name}.c" for name in ("launcher", "zygote_client", "sealed_image")]
#: What else is linked into the launcher: an extension module by its dotted name.
INSIDE = "pyrunc.formats._jsontext"
INSIDE_SOURCES = [HERE / name for name in runpy.run_path(str(HERE / "build.py"))["JSON"]]


def write_frozen(work: Path, extensions: Sequence[str], how: Sequence[str]) -> Path:
    """Let freeze.py write the C file of the frozen modules. how: its options."""
    source = work / "frozen_modules.c"
    run([sys.executable, "-I", "-X", "no_debug_ranges", HERE / "freeze.py", source,
         *how, *extensions])
    return source


#: What a module that the program lacks is instead. hashlib takes these two from it and from nowhere else, and complains
#: when it cannot; all other functions it finds in OpenSSL's module as well.
ABSENT = """
PyMODINIT_FUNC PyInit_%(name)s(void)
{
    PyErr_SetString(PyExc_ImportError, "%(name)s is not in this program");
    return NULL;
}
"""
ABSENT_BLAKE2 = """
static PyObject *absent(PyObject *self, PyObject *args, PyObject *keywords)
{
    PyErr_SetString(PyExc_ValueError, "this hash function is not in this program");
    return NULL;
}
PyMODINIT_FUNC PyInit__blake2(void)
{
    static PyMethodDef functions[] = {
        { "blake2b", (PyCFunction)(void (*)(void))absent, METH_VARARGS | METH_KEYWORDS, NULL },
        { "blake2s", (PyCFunction)(void (*)(void))absent, METH_VARARGS | METH_KEYWORDS, NULL }, { 0 } };
    static struct PyModuleDef definition = { PyModuleDef_HEAD_INIT, .m_name = "_blake2", .m_methods = functions };
    return PyModule_Create(&definition);
}
"""


def write_absent(work: Path, archive: Path) -> Path:
    """A C file with modules to take the place of those in libpython.a that call what cannot be linked.

    From CPython 3.13 on the hash functions are in archives of their own, which Debian does not ship. What the program
    has under a name is not taken from libpython.a, nor is the object that it lies in there.
    """
    made: dict[str, str] = {}
    called: dict[str, set[str]] = {}
    listing = subprocess.run(["nm", "-A", archive], check=True, capture_output=True, text=True,
                             env={**os.environ, "LC_ALL": "C"}).stdout
    for line in listing.splitlines():               # libpython.a:sha2module.o:0000000000000b80 T PyInit__sha2
        where, kind, name = line.rsplit(None, 2)
        member = where.split(":")[1]
        if kind == "U":
            called.setdefault(member, set()).add(name)
        else:
            made[name] = member
    lacking = {member for member, names in called.items() if any("Hacl_" in name for name in names - made.keys())}
    modules = sorted(name.removeprefix("PyInit_") for name, member in made.items()
                     if name.startswith("PyInit_") and member in lacking)
    source = work / "absent_modules.c"
    source.write_text("#include <Python.h>\n" + "".join(
        ABSENT_BLAKE2 if name == "_blake2" else ABSENT % {"name": name} for name in modules))
    return source


#: Of libpython.a, up to CPython 3.12: code as objects, most of a megabyte that no command writes to.
COLD = "deepfreeze.o"
PAGE, HUGE_PAGE = 4 << 10, 2 << 20
#: What parts of a program may have to be aligned to, by the linker's view of a processor.
ALIGNED = 64 << 10


def take_cold(archive: Path, work: Path) -> list[Path]:
    """The object of libpython.a to be linked first, so that what commands write to is not on both sides of it."""
    try:
        listing = subprocess.run(["ar", "t", archive], check=True, capture_output=True, text=True).stdout
        if COLD in listing.split():
            run(["ar", "x", archive, f"--output={work}", COLD])
            return [work / COLD]
    except (OSError, subprocess.CalledProcessError) as fault:
        print(f"launcher: linked in the order of libpython.a: {fault}", file=sys.stderr)
    return []


def distance(data: int, hot: int, hot_end: int, end: int) -> int:
    """How much further on a program has to lie for a huge page to have the most of its data and all of what is hot: the
    one in which what is hot ends (snapshot_write.c). ValueError where there is no such page."""
    found: dict[int, int] = {}
    for further in range(0, HUGE_PAGE, ALIGNED):
        page = (hot_end + further - 1) // HUGE_PAGE * HUGE_PAGE - further
        if data <= page <= hot and page + HUGE_PAGE <= end:
            found[page - data] = further
    if not found:
        raise ValueError("the program's data does not fill one")
    return found[min(found)]


def place_hot(program: Path, link: Sequence[str | Path]) -> None:
    """Link a program again, where one huge page has what commands write to. It is slower without."""
    placed = program.with_name(f"{program.name}-placed")
    try:
        listing = subprocess.run(["nm", "-S", program], check=True, capture_output=True, text=True).stdout
        symbols = {words[-1]: [int(word, 16) for word in words[:-2]] for words in map(str.split, listing.splitlines())}
        begin, data, hot, end = (symbols[name] for name in ("__ehdr_start", "__data_start", "snapshot_hot", "_end"))
        further = distance(-(-data[0] // PAGE) * PAGE, hot[0], sum(hot), end[0])
        run([*link, f"-Wl,-Ttext-segment={begin[0] + further:#x}", "-o", placed])
        placed.replace(program)
    except (OSError, KeyError, ValueError, subprocess.CalledProcessError) as fault:
        print(f"launcher: without a huge page: {fault}", file=sys.stderr)


def build_static(out: Path, work: Path, how: Sequence[str]) -> None:
    """Link libpython.a; extension modules find the interpreter's functions in the program itself."""
    archive = Path(variable("LIBPL")) / variable("LIBRARY")
    if not variable("LIBRARY").endswith(".a") or not archive.exists():
        raise FileNotFoundError(archive)
    flags = ["-fno-pie", "-DEMBEDDED_PYTHON", f"-I{sysconfig.get_path('include')}", f"-I{HERE}"]
    name, native = native_objects(flags, work)
    own = objects([*MAIN, HERE / "interpreter.c", HERE / "heap.c", HERE / "libm.c",
                   HERE / "frozen_import.c", HERE / "interpreter_codecs.c", *INSIDE_SOURCES,
                   write_frozen(work, [name, INSIDE], how)],
                  [*flags, *definitions("static")], work)
    wrap = ["-Wl,--wrap=_Py_Deepfreeze_Init"] if sys.version_info[:2] <= (3, 12) else []
    if start_of("static") == "quick":
        own = [*take_cold(archive, work), *objects([HERE / name for name in SNAPSHOT], flags, work), *own]
        wrap += [*(f"-Wl,--wrap={name}" for name in WRAPPED), *HIGH]
    words = [word for key in ("LIBS", "SYSLIBS", "MODLIBS") for word in variable(key).split()]
    libraries = [word for word in words if word.startswith("-") or Path(word).is_file()]
    if libraries != words:              # some lie only where CPython was built
        own += objects([write_absent(work, archive)], flags, work)
    inside = [f"-l:lib{word[2:]}.a" if word in ("-lz", "-lexpat") else word for word in libraries]
    # (-lc first: what is in both comes from there, not from libm, which is loaded when it is called only: libm.c)
    command: list[str | Path] = [*compiler(), "-no-pie", "-Wl,--export-dynamic", *LINK, *wrap, *own, *native, archive,
                                 "-lc"]
    try:
        run([*command, *inside, "-o", out])             # one shared library less is 0.1 ms less
    except subprocess.CalledProcessError:
        inside = libraries
        run([*command, *inside, "-o", out])
    if start_of("static") == "quick":
        place_hot(out, [*command, *inside])


def write_snapshot(program: Path, out: Path, layout: str | Path, secret: bytes) -> None:
    """Let a program write itself down.

    It refuses where a word of its memory names an address of its stack, its heap or a library. A word that is none can
    look like one, half of a former one for instance; the next process has its addresses elsewhere.
    """
    for _ in range(WRITES):
        out.unlink(missing_ok=True)
        done = subprocess.run([program, "--make-snapshot", out, layout], env={}, cwd="/", input=secret,
                              stderr=subprocess.PIPE, check=False)
        if not done.returncode:
            return
    sys.stderr.write(done.stderr.decode(errors="replace"))
    done.check_returncode()


def build_snapshot(out: Path, work: Path, how: Sequence[str]) -> None:
    """Let a static one write itself down, with nothing of this process's surroundings, and try what has come of it.

    Twice: the first tells, by being used, how the memory of the second is to be laid out.
    """
    if start_of("static") != "quick":
        raise FileNotFoundError("a snapshot is made of a quick start only")
    plain, spread, layout = work / "plain", work / "spread", work / "layout"
    build_static(plain, work, how)
    secret = os.urandom(24)             # of CPython's hashes: with another, it would allocate in another order
    try:
        write_snapshot(plain, spread, "--spread", secret)
        layout.write_bytes(runpy.run_path(str(HERE / "lay_out.py"))["layout"](spread))
    finally:
        spread.unlink(missing_ok=True)
    write_snapshot(plain, out, layout, secret)
    tried = runpy.run_path(str(HERE / "try_snapshot.py"))
    try:
        if not tried["try_snapshot"](out, plain):
            print("launcher: no container can be made here, so the snapshot was tried without", file=sys.stderr)
    except (tried["Differs"], subprocess.TimeoutExpired) as fault:
        raise FileNotFoundError(f"the snapshot is not as good as the program: {fault}") from fault


def build_shared(out: Path, work: Path, how: Sequence[str]) -> None:
    """Link libpython.so."""
    flags = ["-fPIE", "-DEMBEDDED_PYTHON", f"-I{sysconfig.get_path('include')}", f"-I{HERE}"]
    name, native = native_objects(flags, work)
    own = objects([*MAIN, HERE / "interpreter.c", HERE / "heap.c",
                   *INSIDE_SOURCES, write_frozen(work, [name, INSIDE], how)],
                  [*flags, *definitions("shared")], work)
    directory = variable("LIBDIR")
    search = [f"-L{directory}", f"-Wl,-rpath,{directory}"] if not directory.startswith("/usr/lib") else []
    run([*compiler(), "-pie", "-Wl,--export-dynamic", *LINK, "-o", out, *own, *native, *search,
         f"-lpython{variable('LDVERSION')}"])


def build_exec(out: Path, work: Path, how: Sequence[str]) -> None:
    """Link no Python at all."""
    own = objects([*MAIN, HERE / "interpreter_exec.c"],
                  ["-fPIE", f"-I{HERE}", *definitions("exec")], work)
    run([*compiler(), "-pie", *LINK, "-o", out, *own])


KINDS = {"snapshot": build_snapshot, "static": build_static, "shared": build_shared, "exec": build_exec}


def build(out: Path, work: Path, checked: bool = False, kinds: Sequence[str] = tuple(KINDS), commit: str = "") -> str:
    """Build the launcher and return which kind it became.

    work      directory for what is made on the way; may be kept to make the next build quicker
    checked   for a checkout: changed sources win over frozen ones
    commit    what --version tells of where it comes from; "": the name of the release
    """
    how = [*(["--checked"] if checked else []), *([f"--commit={commit}"] if commit else [])]
    out.parent.mkdir(parents=True, exist_ok=True)
    for kind in kinds:
        directory = work / ("static" if kind == "snapshot" else kind)      # (of the same objects)
        directory.mkdir(parents=True, exist_ok=True)
        fresh = directory / "launcher"
        try:
            KINDS[kind](fresh.absolute(), directory.absolute(), how)
        except (FileNotFoundError, subprocess.CalledProcessError) as fault:
            print(f"launcher: not {kind}: {fault}", file=sys.stderr)
            continue
        staged = out.with_name(f".{out.name}.new")      # a running launcher cannot be written over, only replaced
        staged.write_bytes(fresh.read_bytes())
        staged.chmod(0o755)
        staged.replace(out)
        return kind
    raise SystemExit("launcher: no kind could be built")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("work", type=Path, nargs="?", default=Path("build/launcher"))
    parser.add_argument("--kind", choices=KINDS, help="build this kind and no other")
    parser.add_argument("-v", action="store_true", help="show the compiler's command lines")
    options = parser.parse_args()
    kinds = [options.kind] if options.kind else list(KINDS)
    made = build(options.out, options.work, checked=True, kinds=kinds)
    print(f"launcher: {made} (start: {start_of(made)})")
