"""A page in headless Chromium: a screenshot, as rows of pixels, and what the browser complains about."""
from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
import zlib
from pathlib import Path

Pixel = tuple[int, int, int]


def program() -> str:
    """Chromium's path. FileNotFoundError without it: make test installs it."""
    path = shutil.which("chromium")
    if path is None:
        raise FileNotFoundError("chromium is not installed")
    return path


def screenshot(page: Path | str, width: int, height: int, dark: bool = False, after: int = 0,
               kept: Path | None = None) -> list[list[Pixel]]:
    """What a window of this size shows of a file or an address, row by row, red, green and blue of each pixel.

    after   milliseconds of the page's own clock
    kept    where the picture is left
    """
    with tempfile.TemporaryDirectory(prefix="pyrunc-browser-") as place:
        picture = Path(place, "picture.png")
        subprocess.run([program(), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                        f"--user-data-dir={place}/profile", f"--window-size={width},{height}",
                        f"--blink-settings=preferredColorScheme={0 if dark else 1}",
                        *([f"--virtual-time-budget={after}"] if after else []),
                        f"--screenshot={picture}", page if isinstance(page, str) else page.as_uri()],
                       check=True, timeout=100, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if kept is not None:
            shutil.copyfile(picture, kept)
        return pixels(picture.read_bytes())


def document(address: str, after: int) -> str:
    """The page at an address as its script has made it, after so many milliseconds of its own clock."""
    with tempfile.TemporaryDirectory(prefix="pyrunc-browser-") as place:
        done = subprocess.run([program(), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom",
                               f"--user-data-dir={place}/profile", f"--virtual-time-budget={after}", address],
                              check=True, timeout=100, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return done.stdout


def pixels(png: bytes) -> list[list[Pixel]]:
    """The pixels of a PNG with 8 bits a channel and no interlacing (RFC 2083)."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    at, data, header = 8, b"", b""
    while at < len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        body = png[at + 8:at + 8 + length]
        if kind == b"IHDR":
            header = body
        elif kind == b"IDAT":
            data += body
        at += 12 + length
    width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", header)
    assert depth == 8 and colour in (2, 6) and not interlace
    size = 3 if colour == 2 else 4
    raw, rows, above = zlib.decompress(data), [], bytes(width * size)
    for y in range(height):
        begin = y * (width * size + 1)
        above = _unfiltered(raw[begin], raw[begin + 1:begin + 1 + width * size], above, size)
        rows.append([(above[x], above[x + 1], above[x + 2]) for x in range(0, width * size, size)])
    return rows


def _unfiltered(kind: int, line: bytes, above: bytes, size: int) -> bytes:
    out = bytearray(line)
    for x, value in enumerate(line):
        left, up = out[x - size] if x >= size else 0, above[x]
        corner = above[x - size] if x >= size else 0
        if kind == 1:
            value += left
        elif kind == 2:
            value += up
        elif kind == 3:
            value += (left + up) // 2
        elif kind == 4:
            guess = left + up - corner
            value += min((left, up, corner), key=lambda one: abs(guess - one))
        out[x] = value & 255
    return bytes(out)
