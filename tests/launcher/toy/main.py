"""pyrunc.cli.main of the toy launcher: main(["name", ...]) calls the function of that name below."""
from __future__ import annotations

import _signal
import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

NUMBERS = [(0.5,), (-0.5,), (0.0,), (-0.0,), (2.5,), (-3.5,), (1e300,), (-1e-310,), (4503599627370495.5,),
           (float("inf"),), (float("nan"),), (0.49999999999999994,), (1.0, 2.0), (-7.25, 0.5), (1e308, 1e308),
           (0.0, -1.0)]
HELD_AT_START = sorted(sys.modules)


def main(argv: list[str]) -> int:
    """Docstrings are left out of frozen code."""
    if "--version" in argv:
        print(f"start: {getattr(sys, '_pyrunc_start')}")  # noqa: B009
        return 0
    return int(globals()[argv[0]](*argv[1:]) or 0)


def modules() -> None:
    print(*HELD_AT_START)


def held_after_ordinary_work() -> None:
    """What hot modules do: import what is built in or frozen, ask sys for what it has, convert UTF-8, print."""
    import errno
    from sys import byteorder

    from pyrunc import __version__
    print("ü".encode().decode(), hasattr(sys, "__nonsense"), errno.ENOENT, byteorder, __version__, f"{1.5:8.2f}")
    print(*sorted(sys.modules))


def echo(*words: str) -> None:
    posix.write(1, b"\0".join(word.encode(errors="surrogateescape") for word in words))


def environment() -> None:
    posix.write(1, b"\n".join(sorted(name + b"=" + value for name, value in posix.environ.items())))


def imports() -> None:
    """Relative, circular, failing and repeated imports do what they do elsewhere."""
    from .inner.deep import DEPTH
    package = sys.modules[f"{__package__}.inner"]
    directory = str(package.__file__).removesuffix("/__init__.py")
    deep = sys.modules[f"{__package__}.inner.deep"]
    print(DEPTH, package.DEPTH, package.deep is deep, package.__path__ == [directory],
          package.__name__ == package.__package__ == getattr(package.__spec__, "name", ""))
    from . import square
    print(square.radius(), sys.modules[f"{__package__}.circle"].__package__ == __package__)
    for _ in range(2):
        try:
            from . import failing
        except LookupError as error:
            print(error, failing if "failing" in locals() else f"{__package__}.failing" in sys.modules)
    try:
        __import__(f"{__package__}.nowhere")
    except ImportError as error:
        print(error.name == f"{__package__}.nowhere", type(error).__name__)


def status(code: str) -> int:
    return int(code)


def whole() -> None:
    """Modules from files, codecs, sys.stdin and open appear when they are asked for."""
    import json
    import os
    words = {"in": sys.stdin.read(), "idna": "bücher".encode("idna").decode(), "os": os.getpid() == posix.getpid()}
    print(json.dumps(words))


def opened(path: str) -> None:
    with open(path) as file:
        print(file.read(), end="")


def of_sys() -> None:
    print(sys.argv[-1], sys.path[0].rpartition("/")[2], hasattr(sys, "nonsense"), getattr(sys, "nonsense", "none"))


def of_process() -> None:
    """What another process must not have handed on."""
    import threading
    import time
    asked = (_signal.SIGHUP, _signal.SIGINT, _signal.SIGPIPE)
    handlers = [_signal.getsignal(number) == _signal.SIG_IGN for number in asked]
    print(threading.get_ident() == threading.main_thread().ident, threading.get_native_id() == posix.getpid(), handlers,
          time.tzname, time.timezone, sys.argv[1:], sys.orig_argv[1:], sorted(posix.environ), flush=True)
    thread = threading.Thread(target=print, args=("from a thread",))
    thread.start()
    thread.join()


def hashed() -> None:
    print(hash("a word"))


def mathematics(*names: str) -> None:
    """Each function of some numbers, to the last bit."""
    import math
    for name in names:
        for numbers in NUMBERS:
            try:
                print(name, *numbers, float(getattr(math, name)(*numbers)).hex(), (numbers[0] // 1).hex(),
                      round(numbers[0]))
            except (TypeError, ValueError, OverflowError) as error:
                print(name, *numbers, type(error).__name__)
    print(*(number % 2 for numbers in NUMBERS for number in numbers), complex(names[0] == "acos", 2) ** 1.5,
          int("1234560123456", 7))


def cloned() -> None:
    """In a process that has been cloned for a container, mathematics ends it."""
    from pyrunc._native import ffi, lib
    pid = lib.pr_clone3(0, -1, ffi.NULL, 0)
    if not pid:
        import time
        time.sleep(0.001)
        print("slept", flush=True)
        print(time.monotonic() ** 0.5 > 0, flush=True)
        posix._exit(0)
    print(posix.waitstatus_to_exitcode(posix.waitpid(pid, 0)[1]))


def start() -> None:
    print(getattr(sys, "_pyrunc_start"))  # noqa: B009


def interpreter() -> None:
    print(sys.executable)


def hashes() -> None:
    import hashlib
    import random
    for name in ("sha256", "md5", "sha1", "sha512"):
        print(hashlib.new(name, b"abc").hexdigest()[:16], end=" ")
    print(random.Random("a word").random())


def undecodable() -> None:
    """Text that is none: each attempt tells its outcome; only a codec that the core lacks completes the start."""
    attempts: dict[str, Callable[[], object]] = {
        "decode": lambda: b"\xff\xfe{".decode(), "encode": lambda: chr(0xDCFF).encode(),
        "escape": lambda: ascii(b"\xff".decode(errors="surrogateescape")),
        "escape back": lambda: chr(0xDCFF).encode(errors="surrogateescape"),
        "replace": lambda: ascii(b"\xff".decode("utf-8", "replace")),
        "ascii": lambda: "ü".encode("ascii", "backslashreplace"),
        "pass": lambda: chr(0xDCFF).encode(errors="surrogatepass"),
        "digits": lambda: int("9" * 5000), "no handler": lambda: b"\xff".decode(errors="nonsense"),
    }
    for name, attempt in attempts.items():
        try:
            print(name, attempt())
        except (ValueError, LookupError) as error:
            print(name, type(error).__name__)
    print(*sorted({"encodings", "codecs"} & set(sys.modules)))
    print("bücher".encode("idna"), "ü".encode("iso8859-2"), b"\xfc".decode("cp1252") == "ü")
    try:
        b"x".decode("nonsense")
    except LookupError as error:
        print(error)


def extension() -> None:
    """Extension modules, built in or from a file, do not count as more than ordinary."""
    import _json

    from pyrunc._native import lib
    native = sys.modules["pyrunc._native._native"].__spec__
    print(lib.PR_SET_DUMPABLE, _json.encode_basestring("x"), native and native.origin)
    print(*sorted(sys.modules))


def handled() -> None:
    got: list[int] = []
    _signal.signal(_signal.SIGUSR1, lambda number, frame: got.append(number))
    posix.kill(posix.getpid(), _signal.SIGUSR1)
    print(got == [_signal.SIGUSR1], _signal.getsignal(_signal.SIGPIPE) == _signal.SIG_IGN)


def dispositions() -> None:
    with open("/proc/self/status") as file:
        print(*(line.split()[1] for line in file if line.startswith(("SigIgn", "SigBlk"))))


def forked() -> int:
    """What becomes a container does not start to import files; what had done so before may."""
    pid = posix.fork()
    if pid == 0:
        code = 9
        try:
            import json
            json.dumps("imported")
            code = 1
        except ImportError:
            code = 3
        finally:
            posix._exit(code)
    return posix.waitstatus_to_exitcode(posix.waitpid(pid, 0)[1])


def failed() -> None:
    raise RuntimeError("as planned")


def where() -> None:
    """In a snapshot no module knows where it lies, until the start is completed."""
    assert sys.path
    print(main.__code__.co_filename, sys.modules[__name__].__file__, main.__doc__)


def descriptors(report: str) -> None:
    posix.write(int(report), " ".join(posix.readlink(f"/proc/self/fd/{fd}") for fd in range(3)).encode())


def dumpable() -> None:
    from pyrunc._native import lib
    print(lib.pr_prctl(3, 0, 0, 0, 0))      # PR_GET_DUMPABLE


def huge_pages() -> None:
    with open("/proc/self/smaps_rollup") as file:
        print(*(line.split()[1] for line in file if line.startswith("AnonHugePages:")))
