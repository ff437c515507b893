"""What differs between the files of two sources, which are read as archives and never unpacked.

Whoever deploys says what is in them, so what is read, kept and compared for a page is bounded; what is more than that
is told of by its path and size alone.
"""

from __future__ import annotations

import asyncio
import difflib
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from placet.client import Client
from placet.projects.archive import Limits, ReadFile, read_files

_LIMITS = Limits(max_archive=64 << 20, max_unpacked=256 << 20)
_FILES = 500
"""That changed and are shown; how many more there are is told."""
_READ = 100
"""Files of each source whose lines are compared."""
_TEXT = 64 << 10
"""Bytes of such a file."""
_WHOLE = 1 << 20
"""Bytes of all of them in one source."""
_LINES = 400
"""Of what is shown of one file."""
_STEPS = 5_000_000
"""Of comparing two files line by line: about a second."""


@dataclass(frozen=True, kw_only=True)
class ChangedFile:
    """`before` and `after` are its sizes, None where there is no such file. `lines` are a unified diff's, or None of
    what is no text or too much to be compared by lines; `more` is how many of those are left out."""

    path: str
    before: int | None
    after: int | None
    lines: tuple[str, ...] | None = None
    more: int = 0


@dataclass(frozen=True, kw_only=True)
class ChangedFiles:
    """By path; `more` is how many changed beside them."""

    files: tuple[ChangedFile, ...]
    more: int = 0


async def changed_files(ask: Client, before: str, after: str) -> ChangedFiles:
    """Of the sources that two images were made from. Raises as fetching them does, and TooLarge and Refused for what is
    not compared on a page."""
    with tempfile.TemporaryDirectory(prefix="placet-sources-") as made:
        pair = Path(made) / "before", Path(made) / "after"
        for image, archive in zip((before, after), pair, strict=True):
            await ask.download_source(image, archive, most=_LIMITS.max_archive)
        return await asyncio.to_thread(between, *pair)


def between(before: Path, after: Path) -> ChangedFiles:
    """Of two archives. Raises Refused and TooLarge, as reading one does."""
    then, now = _without_content(before), _without_content(after)
    paths = [path for path in sorted({*then, *now}) if _digest(then, path) != _digest(now, path)]
    read = _to_read(paths, then, now)
    texts = _texts(before, read), _texts(after, read)
    return ChangedFiles(
        files=tuple(_changed(path, then.get(path), now.get(path), *texts) for path in paths[:_FILES]),
        more=max(0, len(paths) - _FILES),
    )


def _without_content(archive: Path) -> dict[str, ReadFile]:
    return {each.path: each for each in read_files(archive, _LIMITS)}


def _digest(files: Mapping[str, ReadFile], path: str) -> str | None:
    return None if (file := files.get(path)) is None else file.digest


def _to_read(
    paths: Sequence[str], then: Mapping[str, ReadFile], now: Mapping[str, ReadFile]
) -> frozenset[str]:
    """The first of what changed for which there is room."""
    read: set[str] = set()
    room = _WHOLE
    for path in paths:
        size = max(files[path].size for files in (then, now) if path in files)
        if size <= min(_TEXT, room) and len(read) < _READ:
            read.add(path)
            room -= size
    return frozenset(read)


def _texts(archive: Path, paths: frozenset[str]) -> dict[str, str]:
    found = {}
    for file in read_files(archive, _LIMITS, keeping=paths, keep=_TEXT):
        if file.content is None or b"\0" in file.content:
            continue
        try:
            found[file.path] = file.content.decode()
        except UnicodeDecodeError:
            continue
    return found


def _changed(
    path: str,
    before: ReadFile | None,
    after: ReadFile | None,
    texts_before: Mapping[str, str],
    texts_after: Mapping[str, str],
) -> ChangedFile:
    one = "" if before is None else texts_before.get(path)
    other = "" if after is None else texts_after.get(path)
    lines = None if one is None or other is None else _lines(one, other)
    return ChangedFile(
        path=path,
        before=None if before is None else before.size,
        after=None if after is None else after.size,
        lines=None if lines is None else lines[:_LINES],
        more=0 if lines is None else max(0, len(lines) - _LINES),
    )


def _lines(before: str, after: str) -> tuple[str, ...] | None:
    end_differs = before.endswith("\n") != after.endswith("\n")
    pair = _of_text(before, end_differs), _of_text(after, end_differs)
    if _steps(*pair) > _STEPS:
        return None
    # Without the names, which are the same.
    return tuple(difflib.unified_diff(*pair, lineterm=""))[2:]


def _of_text(text: str, end_differs: bool) -> list[str]:
    """Its lines, with what would not be seen of how they end."""
    *lines, last = text.split("\n")
    found = [f"{line[:-1]}␍" if line.endswith("\r") else line for line in lines]
    if last:
        found.append(f"{last} (without a new line at its end)" if end_differs else last)
    return found


def _steps(before: Sequence[str], after: Sequence[str]) -> int:
    """At most so many it takes to compare them: difflib looks at each pair of equal lines again for each stretch that
    it finds, and somebody may have made files of which there are many of both."""
    often = Counter(after)
    pairs = sum(often[line] for line in before)
    return (len(before) + pairs) * (1 + min(len(before), len(after)))
