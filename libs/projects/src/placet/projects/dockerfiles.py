"""What does a Dockerfile start from, and what would it fetch? Read as text; nothing of it is run.

It is read as strictly as the classic builder of a Docker Engine reads it, or more so: what could be read in two ways is
refused, and what stands behind a variable is not pinned, whatever it turns out to be. What programs fetch that it
runs (`RUN pip install …`) cannot be seen here: that is for the network which those programs get.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec

from placet.errors import Refused

DOCKERFILE = "Dockerfile"
"""Where one lies as a rule; it is used only if placet.yaml names it."""
NOTHING = "scratch"
MAX_DOCKERFILE_BYTES = 64 * 1024

_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
_ESCAPE = re.compile(r"#\s*escape\s*=\s*(\S+)", re.IGNORECASE)
_CONTINUED = re.compile(r"\\[ \t]*$")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|git@|.*\.git(?:#|$)|.*\$")
_WORDS = re.compile(r'"(?:\\.|[^"\\])*"|[^\s"]+')


class Dockerfile(msgspec.Struct, frozen=True, kw_only=True):
    """`base` is the image that the last stage starts from, through those before it; `scratch` if from none.

    `images` are all that it takes anything from. `loose` is what may be something else tomorrow: an image
    without a digest, an address that ADD fetches.
    """

    base: str
    images: tuple[str, ...]
    loose: tuple[str, ...]


def read_dockerfile(content: bytes) -> Dockerfile:
    """Raises `Refused` for what is no Dockerfile, or can be read in two ways."""
    if len(content) > MAX_DOCKERFILE_BYTES:
        raise Refused(f"it has {len(content)} bytes; the limit is {MAX_DOCKERFILE_BYTES}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refused("it is not written in UTF-8", fix="save it as UTF-8") from error
    stages: list[str] = []
    names: dict[str, str] = {}
    images: set[str] = set()
    loose: set[str] = set()
    for keyword, words in _instructions(text):
        match keyword:
            case "FROM":
                image, name = _started_from(words)
                base = names.get(image.lower(), image)
                stages.append(base)
                names |= {str(len(stages) - 1): base} | ({name.lower(): base} if name else {})
                images.add(base)
            case "COPY":
                images.update(
                    _copied_from(words) - names.keys() - {str(number) for number in range(len(stages))}
                )
            case "ADD":
                loose.update(f"ADD {word}" for word in words[:-1] if _ADDRESS.match(word.strip('[,"')))
    if not stages:
        raise Refused("it has no FROM", fix="begin it with FROM image@sha256:…")
    images.discard(NOTHING)
    return Dockerfile(
        base=stages[-1],
        images=tuple(sorted(images)),
        loose=tuple(sorted(loose | {image for image in images if "$" in image or not _DIGEST.search(image)})),
    )


def _instructions(text: str) -> Iterator[tuple[str, Sequence[str]]]:
    """Each with its words; of one that waits for another build (ONBUILD), that other one."""
    for line in _lines(text):
        words = _WORDS.findall(line)
        while words and words[0].upper() == "ONBUILD":
            words = words[1:]
        if words:
            yield words[0].upper(), words[1:]


def _lines(text: str) -> Iterator[str]:
    """The logical lines. Comments go, also those between the lines of one instruction."""
    begun = ""
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.rstrip("\r")
        if line.lstrip().startswith("#"):
            escape = _ESCAPE.match(line.lstrip())
            if escape is not None and escape[1] != "\\":
                raise Refused(f"line {number} names another escape character", fix="write it with \\")
            continue
        if re.search(r"\\\\[ \t]*$", line):
            raise Refused(f"line {number} ends with two backslashes, which engines read in two ways")
        if _CONTINUED.search(line):
            begun += _CONTINUED.sub("", line)
            continue
        if (begun + line).strip():
            yield begun + line
        begun = ""
    if begun.strip():
        yield begun


def _started_from(words: Sequence[str]) -> tuple[str, str]:
    """The image of a FROM, and the name of the stage it begins."""
    said = [word for word in words if not word.startswith("--")]
    if len(said) not in (1, 3) or (len(said) == 3 and said[1].upper() != "AS"):
        raise Refused(
            f"FROM {' '.join(words)[:200]} cannot be read", fix="write it as FROM image@sha256:… AS name"
        )
    return said[0], said[2] if len(said) == 3 else ""


def _copied_from(words: Sequence[str]) -> set[str]:
    """Other images, or stages, that a COPY takes files from. Names of stages are alike in small letters."""
    named = {word.partition("=")[2].strip('"') for word in words if word.startswith("--from=")}
    return {name.lower() if "@" not in name else name for name in named}
