"""What differs between the files of two sources, which are read as archives and never unpacked."""

from __future__ import annotations

import asyncio
import difflib
import hashlib
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from placet.client import Client, Image
from placet.errors import TooLarge, Unreadable

MOST_BYTES = 64 << 20
"""Of an archive that is fetched for a page."""
_MOST_MEMBERS = 10_000
_TEXT = 64 << 10
"""Of a file whose lines are compared."""
_LINES = 400
"""Of what is shown of one file."""
_PIECE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A file in a source. `text` is None of what is none, or is too long to be read line by line."""

    digest: str
    size: int
    text: str | None = None


@dataclass(frozen=True, kw_only=True)
class ChangedFile:
    """`before` and `after` are its sizes, None where there is no such file; `lines` are a unified diff's, where both
    are text, and `more` is how many of those are left out."""

    path: str
    before: int | None
    after: int | None
    lines: tuple[str, ...] = ()
    more: int = 0


async def changed_files(ask: Client, before: Image, after: Image) -> tuple[ChangedFile, ...]:
    """By path. Raises as fetching them does, and TooLarge and Unreadable for what is not compared on a page."""
    with tempfile.TemporaryDirectory(prefix="placet-sources-") as made:
        folder = Path(made)
        read = []
        for name, image in (("before", before), ("after", after)):
            await ask.download_source(image.image, folder / name, most=MOST_BYTES)
            read.append(await asyncio.to_thread(files_in, folder / name))
        return await asyncio.to_thread(lambda: tuple(differences(*read)))


def files_in(archive: Path) -> dict[str, Kept]:
    """By path. Raises Unreadable, and TooLarge for more than anybody would look at."""
    found: dict[str, Kept] = {}
    size = 0
    try:
        with tarfile.open(archive) as tar:
            for count, member in enumerate(tar):
                size += member.size
                # Of a packed archive the length says nothing of what is in it.
                if count > _MOST_MEMBERS or size > 4 * MOST_BYTES:
                    raise TooLarge("there is too much in it to be compared on a page")
                if not member.isfile():
                    continue
                found[member.name.removeprefix("./")] = _kept(tar, member)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise Unreadable(f"its archive cannot be read: {error}") from error
    return found


def _kept(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Kept:
    content, digest, head = tar.extractfile(member), hashlib.sha256(), b""
    while content is not None and (piece := content.read(_PIECE)):
        digest.update(piece)
        if len(head) <= _TEXT:
            head += piece
    text = None
    if len(head) == member.size <= _TEXT and b"\0" not in head:
        try:
            text = head.decode()
        except UnicodeDecodeError:
            text = None
    return Kept(digest=digest.hexdigest(), size=member.size, text=text)


def differences(before: Mapping[str, Kept], after: Mapping[str, Kept]) -> Iterator[ChangedFile]:
    """What is not the same in both, by path."""
    for path in sorted(before.keys() | after.keys()):
        one, other = before.get(path), after.get(path)
        if one is not None and other is not None and one.digest == other.digest:
            continue
        lines: list[str] = []
        if one is not None and other is not None and one.text is not None and other.text is not None:
            pair = one.text.splitlines(), other.text.splitlines()
            lines = list(difflib.unified_diff(*pair, lineterm=""))[
                2:
            ]  # without the names, which are the same
        yield ChangedFile(
            path=path,
            before=None if one is None else one.size,
            after=None if other is None else other.size,
            lines=tuple(lines[:_LINES]),
            more=max(0, len(lines) - _LINES),
        )
