"""config.md: the version, the names of the container, annotations."""
from __future__ import annotations

from ...errors import ConfigError
from ..where import quoted
from .linux import namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..types import Config

#: The major version of the runtime-spec that is implemented.
MAJOR = "1"
#: HOST_NAME_MAX of sethostname(2) and setdomainname(2), bytes.
LONGEST_NAME = 64
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
DIGITS = "0123456789"


def version(config: Config) -> Iterator[ConfigError]:
    """ociVersion is a Semantic Version, of a major version that this runtime implements."""
    text = config["ociVersion"]
    core, plus, build = text.partition("+")
    core, minus, release = core.partition("-")
    numbers = core.split(".")
    if (len(numbers) != 3 or not all(map(_numeric, numbers))
            or (minus and not all(_word(part) and (not _digits(part) or _numeric(part)) for part in release.split(".")))
            or (plus and not all(map(_word, build.split("."))))):
        yield ConfigError(f"{quoted(text)} is not a Semantic Version such as 1.3.0", "ociVersion")
    elif numbers[0] != MAJOR:
        yield ConfigError(f"version {quoted(text)} is not supported, only {MAJOR}.x.y", "ociVersion")


def _digits(text: str) -> bool:
    return bool(text) and not text.strip(DIGITS)


def _numeric(text: str) -> bool:
    return _digits(text) and (text[0] != "0" or text == "0")


def _word(text: str) -> bool:
    return bool(text) and not text.strip(DIGITS + LETTERS + "-")


def names(config: Config) -> Iterator[ConfigError]:
    """hostname and domainname belong to the container's own uts namespace."""
    for key, name in (("hostname", config.get("hostname", "")), ("domainname", config.get("domainname", ""))):
        if name and namespace(config, "uts") is None:
            yield ConfigError(f"unable to set {key} without a private UTS namespace", key)
        if len(name.encode()) > LONGEST_NAME:
            yield ConfigError(f"longer than {LONGEST_NAME} bytes", key)


def annotation_names(config: Config) -> Iterator[ConfigError]:
    """Keys are not empty."""
    if "" in config.get("annotations", {}):
        yield ConfigError("the name of an annotation is empty", "annotations")
