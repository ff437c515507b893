"""Files that appear whole or not at all, whatever crashes meanwhile."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

PIECE = 1024 * 1024
"""How much of a file is in memory at once, in bytes."""


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """As asyncio.to_thread, but a cancelled task ends only when its thread has, so that nothing is written any more
    into a folder that whoever cancelled it removes."""
    running = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


@contextmanager
def written_aside(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes its name only when it is complete and on disk; nothing is left if the body raises."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with new_file(path.parent) as file:
        yield file
        publish(file, path)


@contextmanager
def new_file(folder: Path, *, locked: bool = False) -> Iterator[IO[bytes]]:
    while True:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".partial-", delete=False) as file:
            if locked:
                fcntl.flock(file, fcntl.LOCK_EX)
                if not os.fstat(file.fileno()).st_nlink:
                    continue  # swept between its creation and its lock
            try:
                yield file.file
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(file.name)
            return


def publish(file: IO[bytes], path: Path) -> None:
    file.flush()
    os.fchmod(file.fileno(), 0o644)
    os.fsync(file.fileno())
    os.replace(file.name, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def new_folder(parent: Path) -> Iterator[Path]:
    """A folder to work in, gone at the end; its lock tells `sweep` that somebody is at work."""
    while True:
        path = Path(tempfile.mkdtemp(dir=parent))
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue  # swept before it could be locked
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if not path.is_dir():
                continue  # swept between its creation and its lock
            yield path
            return
        finally:
            shutil.rmtree(path, ignore_errors=True)
            os.close(descriptor)


def sweep(folder: Path) -> None:
    """Remove what crashed processes left: files and folders nobody holds the lock of."""
    for left in folder.iterdir():
        with suppress(OSError), _lock_of_nobody(left):
            if left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink()


@contextmanager
def _lock_of_nobody(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def copy_into(source: IO[bytes], target: IO[bytes]) -> str:
    """Copy and return the hexadecimal sha256 of what went over."""
    seen = hashlib.sha256()
    while piece := source.read(PIECE):
        seen.update(piece)
        target.write(piece)
    return seen.hexdigest()


def digest_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
