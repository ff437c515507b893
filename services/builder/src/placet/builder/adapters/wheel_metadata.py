"""What wheels declare of themselves, without the wheels: their METADATA, of which an index may keep a copy beside each
(PEP 658), and which else is read out of the wheel's own end, where an index answers for a range of it.

An index that does neither, or not without a password, tells nothing: its packages are left out.
"""

from __future__ import annotations

import asyncio
import io
import os
import zipfile
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import requests

MOST_BYTES = 1024**2
AT_ONCE = 16
_PIECE = 64 * 1024
_SECONDS = 10.0
_PLAIN = {"Accept-Encoding": "identity"}


async def metadata_of(wheels: Mapping[str, str]) -> dict[str, bytes]:
    """`wheels` are addresses or paths. What is longer than `MOST_BYTES` is cut there, as the builder reads it."""
    loop = asyncio.get_running_loop()
    threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="wheel-metadata")
    try:
        with requests.Session() as session:
            # As uv, which is asked for the wheels themselves; requests knows another variable.
            session.verify = os.environ.get("SSL_CERT_FILE") or True
            looked = [loop.run_in_executor(threads, _look, session, place) for place in wheels.values()]
            found = dict(zip(wheels, await asyncio.gather(*looked), strict=True))
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
    return {name: metadata for name, metadata in found.items() if metadata is not None}


def _look(session: requests.Session, place: str) -> bytes | None:
    address = urldefrag(place).url
    with suppress(
        OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, zlib.error
    ):
        if address.startswith(("http://", "https://")):
            beside = _beside(session, f"{address}.metadata")
            if beside is not None:
                return beside
            with io.BufferedReader(_Remote(session, address), _PIECE) as remote:
                return _inside(remote)
        path = Path(unquote(urlsplit(address).path) if address.startswith("file:") else address)
        with path.open("rb") as local:
            return _inside(local)
    return None


def _beside(session: requests.Session, address: str) -> bytes | None:
    with closing(session.get(address, headers=_PLAIN, timeout=_SECONDS, stream=True)) as answer:
        return _read(answer, MOST_BYTES) if answer.status_code == requests.codes.ok else None


def _read(answer: requests.Response, most: int) -> bytes:
    """The beginning of its body. Raises OSError where the transfer breaks, which `raw` tells in words of its own."""
    read = bytearray()
    for piece in answer.iter_content(_PIECE):
        read += piece
        if len(read) >= most:
            break
    return bytes(read[:most])


def _inside(wheel: io.BufferedIOBase) -> bytes | None:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.count("/") == 1 and name.endswith(".dist-info/METADATA"):
                with archive.open(name) as opened:
                    return opened.read(MOST_BYTES)
    return None


class _Remote(io.RawIOBase):
    """A file at an address, of which only the ranges that are read are fetched."""

    def __init__(self, session: requests.Session, address: str) -> None:
        self._session = session
        self._address = address
        self._place = 0
        with closing(self._get("bytes=-1")) as answer:
            self._size = int(answer.headers["Content-Range"].rpartition("/")[2])

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        return self._place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # what a BufferedReader hands over
        end = min(self._place + len(buffer), self._size)
        if self._place >= end:
            return 0
        with closing(self._get(f"bytes={self._place}-{end - 1}")) as answer:
            read = _read(answer, end - self._place)
        buffer[: len(read)] = read
        self._place += len(read)
        return len(read)

    def _get(self, wanted: str) -> requests.Response:
        answer = self._session.get(
            self._address, headers={**_PLAIN, "Range": wanted}, timeout=_SECONDS, stream=True
        )
        if answer.status_code != requests.codes.partial_content or "Content-Range" not in answer.headers:
            answer.close()
            raise OSError(f"it answers {answer.status_code} for a range")
        return answer
