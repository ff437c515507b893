"""A source as a browser sends it: the files of a folder as form data, or a zip or tar. Written down as it comes.

Nothing is kept in memory but the piece that just came, and what is on disk is bounded: the folder that the caller
made, and removes. What was sent is not judged here, only that it can be written down without harm.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from anyio import open_file, to_thread
from multipart import (
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
    parse_options_header,
)

from placet.errors import TooLarge, Unreadable
from placet.projects import IncomingFolder, Limits, only_folder, project_name
from placet.projects.incoming import Write

FORM = "multipart/form-data"
FILE, ARCHIVE = "file", "archive"
"""What the parts of a form are called: each `file` has its path in the folder as its file name."""
NAMELESS = "upload"


@dataclass(frozen=True, kw_only=True)
class Uploaded:
    """A folder with a project's files, or the archive that is to be unpacked to it: not here, it may be hostile."""

    folder: Path
    archive: Path | None = None


async def receive(
    body: AsyncIterator[bytes], content_type: str, into: Path, limits: Limits, *, name: str | None = None
) -> Uploaded:
    """Write down what is sent, in a folder that is there and empty.

    A folder that is sent with its name keeps it, and one without is called `name`: what a trial is called after.
    Raises Refused, TooLarge, Unreadable.
    """
    kind, options = parse_options_header(content_type)
    folder, archive = into / "files" / project_name(name or NAMELESS), into / "sent"
    folder.parent.mkdir()
    if kind == FORM:
        await _receive_form(body, options.get("boundary", ""), folder, archive, limits)
    else:
        await _receive_archive(body, archive, limits)
    if archive.exists():
        return Uploaded(folder=folder, archive=archive)
    return Uploaded(folder=only_folder(folder))


async def _receive_archive(body: AsyncIterator[bytes], archive: Path, limits: Limits) -> None:
    size = 0
    async with await open_file(archive, "wb") as file:
        async for chunk in body:
            size += len(chunk)
            _check_size(size, limits)
            await file.write(chunk)
    if not size:
        raise Unreadable("nothing was sent", fix=f"send a zip or tar, or {FORM} with a part for each file")


async def _receive_form(
    body: AsyncIterator[bytes], boundary: str, folder: Path, archive: Path, limits: Limits
) -> None:
    with _Form(boundary, folder, archive, limits) as form:
        async for chunk in body:
            # On a thread: there are files to open and to write.
            await to_thread.run_sync(form.take, chunk)
        form.finish()


class _Form:
    """The parts of one form, each written to its file as it comes."""

    def __init__(self, boundary: str, folder: Path, archive: Path, limits: Limits) -> None:
        self._files = IncomingFolder(folder, limits)
        self._archive = archive
        self._limits = limits
        self._open = ExitStack()
        self._write: Write | None = None
        self._count = 0
        try:
            self._parser = PushMultipartParser(boundary, max_segment_count=limits.max_entries, strict=True)
        except MultipartError as error:
            raise _unreadable(error) from error

    def __enter__(self) -> _Form:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def take(self, chunk: bytes) -> None:
        if not chunk:
            return
        try:
            for event in self._parser.parse(chunk):
                if isinstance(event, MultipartSegment):
                    self._begin(event)
                elif event is None:
                    self._open.close()
                elif self._write is not None:
                    self._write(event)
        except ParserLimitReached as error:
            raise TooLarge(f"the form is too large: {error}", fix="send the folder as a zip") from error
        except MultipartError as error:
            raise _unreadable(error) from error

    def finish(self) -> None:
        try:
            self._parser.close()
        except MultipartError as error:
            raise _unreadable(error) from error
        if not self._count:
            raise Unreadable("the form holds no file", fix=f"send each file as a part called {FILE!r}")

    def _begin(self, part: MultipartSegment) -> None:
        self._count += 1
        if not part.filename:
            raise Unreadable(
                f"the form's part {part.name!r:.120} is no file", fix="send files only, with their paths"
            )
        if self._archive.exists() or (part.name == ARCHIVE and self._count > 1):
            raise Unreadable("a form holds files, or one archive", fix="send one or the other")
        if part.name == ARCHIVE:
            self._write = self._open.enter_context(_archive(self._archive, self._limits))
        elif part.name == FILE:
            self._write = self._open.enter_context(self._files.file(part.filename))
        else:
            raise Unreadable(
                f"the form has a part {part.name!r:.120}",
                fix=f"call each file's {FILE!r}, or one {ARCHIVE!r}",
            )


@contextmanager
def _archive(path: Path, limits: Limits) -> Iterator[Write]:
    size = 0
    with path.open("wb") as out:

        def write(piece: bytes) -> None:
            nonlocal size
            size += len(piece)
            _check_size(size, limits)
            out.write(piece)

        yield write


def _check_size(size: int, limits: Limits) -> None:
    if size > limits.max_archive:
        raise TooLarge(
            f"an archive is at most {limits.max_archive} bytes",
            fix="leave out what is not needed to serve the model",
        )


def _unreadable(error: MultipartError) -> Unreadable:
    return Unreadable(f"this is no form: {error}", fix=f"send it as {FORM}, as browsers do")
