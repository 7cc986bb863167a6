"""bundle.md and glossary.md: where config.json is, and how it is written."""
from __future__ import annotations

import json
from pathlib import Path

from ..harness.trial import Trial
from ..model import case, each

FORMAT, JSON = "bundle.md#container-format", "glossary.md#json"


@each(FORMAT, {name: ("config.json is in the root of the bundle, and has this name", name)
               for name in ("Config.json", "config.json.txt", "rootfs/config.json", "..")})
def config_elsewhere(t: Trial, name: str) -> None:
    """A bundle without a config.json in its root is an error, whatever there is elsewhere"""
    bundle = t.bundle()
    (bundle / "config.json").rename((t.place / "config.json") if name == ".." else (bundle / name))
    t.refused(bundle)


@case(FORMAT, "the artifacts are in one directory, which is no part of the bundle")
def bundle_in_another_directory(t: Trial) -> None:
    """The folder of a bundle may have any name and be reached by a link, and other files may be in it"""
    bundle = t.bundle(process={"args": ["sh", "-c", "echo ran"]})
    (bundle / "another-file").write_text("{")
    moved = bundle.rename(t.place / "a name with: blanks, *")
    link = t.place / "link"
    link.symlink_to(moved)
    for place in (moved, link):
        made = t.create(place).start()
        t.equal((made.wait(), made.output), (0, "ran\n"), f"exit code and output with the bundle {place.name}")


def rewritten(t: Trial, data: bytes) -> Path:
    bundle = t.bundle()
    (bundle / "config.json").write_bytes(data)
    return bundle


@each(JSON, {name: ("config.json is UTF-8", name) for name in ("latin-1", "utf-16", "utf-32")})
def encoding_that_is_another(t: Trial, encoding: str) -> None:
    """A config.json in another encoding than UTF-8 is an error"""
    text = json.dumps(t.config(annotations={"key": "\xe9"}), ensure_ascii=False)
    t.refused(rewritten(t, text.encode(encoding)))


@case(JSON, "config.json is UTF-8")
def encoding_is_utf_8(t: Trial) -> None:
    """What is beyond ASCII in config.json comes to the program as it is"""
    word = "\xe9\u20ac\U0001f980"
    config = t.config(process={"args": ["sh", "-c", 'printf %s "$WORD"'], "env": [f"WORD={word}", "PATH=/bin"]})
    made = t.create(rewritten(t, json.dumps(config, ensure_ascii=False).encode())).start()
    made.wait()
    t.equal(made.output, word, "what the program was given")


@each(JSON, {name: ("no name stands twice in an object", before, after) for name, before, after in (
    ("root", '"ociVersion":', '"hostname": "one", "hostname": "two", "ociVersion":'),
    ("process", '"cwd": "/"', '"cwd": "/", "cwd": "/"'),
    ("escaped", '"cwd": "/"', '"cwd": "/", "\\u0063wd": "/tmp"'))})
def name_that_stands_twice(t: Trial, before: str, after: str) -> None:
    """An object in which a name stands twice is an error"""
    text = json.dumps(t.config())
    assert before in text
    t.refused(rewritten(t, text.replace(before, after, 1).encode()))
