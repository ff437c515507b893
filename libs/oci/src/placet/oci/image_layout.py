"""A registry in a folder: one OCI image layout per repository, below one root.

    <root>/<repository>/oci-layout, index.json, blobs/sha256/<hex>
    <root>/.partial/    files being written      <root>/.locks/    one lock file per repository

Any number of processes may read and write at once. A file appears under its final name only when it is
complete and on disk (write aside, fsync, rename, fsync the folder), so a crash leaves at most a file in
`.partial`, which the next process to write sweeps away. `index.json` changes under the repository's
lock; readers need none. Blobs are shared between repositories by hard links, where the file system has
them. What it does not do: collect blobs nobody refers to, or guard against whoever can write to the
folder — beyond noticing, on every read, bytes that do not have their digest.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeVar

from placet.errors import PlacetError, Refused, TooLarge, Unavailable, Unknown, Unreadable
from placet.oci.content import (
    MANIFEST_LIMIT,
    OCI_INDEX,
    OCTET_STREAM,
    READ_LIMIT,
    Descriptor,
    Manifest,
    checked_digest,
    checked_reference,
    checked_repository,
    encode_json,
    is_digest,
    sha256_digest,
)
from placet.oci.files import PIECE, copy_into, in_thread, new_file, publish, sweep, sync_folder, written_aside
from placet.oci.referrers import is_referrers_tag, of_type, referrers_tag, with_referrer, without_referrer

T = TypeVar("T")

_log = logging.getLogger(__name__)

_REF_NAME = "org.opencontainers.image.ref.name"
_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_OWN_NAMES = frozenset({"blobs", "index.json", "oci-layout"})


class ImageLayout:
    """A `Registry` on disk. The root is made when something is first put."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._swept = False

    @property
    def address(self) -> str:
        return str(self._root)

    async def blob_exists(self, repository: str, digest: str) -> bool:
        return await self._in_thread(lambda: _is_used(self._blob(repository, digest)))

    async def stream_blob(self, repository: str, digest: str) -> AsyncGenerator[bytes, None]:
        file = await self._in_thread(lambda: self._open(repository, digest))
        try:
            seen = hashlib.sha256()
            while piece := await self._in_thread(lambda: file.read(PIECE)):
                seen.update(piece)
                yield piece
            _check(seen.hexdigest(), digest, repository)
        finally:
            file.close()

    async def read_blob(self, repository: str, digest: str, *, limit: int = READ_LIMIT) -> bytes:
        return await self._in_thread(lambda: self._read(repository, digest, limit))

    async def save_blob(self, repository: str, digest: str, into: Path) -> None:
        def save() -> None:
            with self._open(repository, digest) as source, written_aside(into) as target:
                _check(copy_into(source, target), digest, repository)

        await self._in_thread(save)

    async def put_blob(
        self,
        repository: str,
        content: bytes | Path,
        *,
        digest: str | None = None,
        media_type: str = OCTET_STREAM,
    ) -> Descriptor:
        checked_repository(repository)
        if digest is not None:
            checked_digest(digest)
        kept = await self._in_thread(lambda: self._put(repository, content, digest))
        return replace(kept, media_type=media_type)

    async def mount_blob(self, repository: str, digest: str, *, source: str) -> bool:
        there, here = self._blob(source, digest), self._blob(repository, digest)

        def mount() -> bool:
            if _is_used(here):
                return True
            if not there.is_file():
                return False
            self._prepare(repository)
            try:
                os.link(there, here)
            except FileExistsError:
                return True
            except OSError as error:
                if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
                    raise
                return False
            sync_folder(here.parent)
            return _is_used(here)

        return await self._in_thread(mount)

    async def manifest(self, repository: str, reference: str) -> Manifest:
        return await self._in_thread(lambda: self._manifest(repository, reference))

    async def resolve(self, repository: str, reference: str) -> str | None:
        checked_reference(reference)
        entry = await self._in_thread(lambda: self._index(repository).find(reference))
        return None if entry is None else entry.digest

    async def has_manifest(self, repository: str, digest: str) -> bool:
        checked_digest(digest)

        def look() -> bool:
            if not self._root.is_dir():
                _log.error("the registry's folder %s is not there", self._root)
                raise Unavailable("the registry's folder is not there", fix="mount it again")
            listed = self._index(repository).find(digest) is not None
            return listed and self._blob(repository, digest).is_file()

        return await self._in_thread(look)

    async def put_manifest(self, repository: str, manifest: Manifest, *, tag: str | None = None) -> str:
        checked_repository(repository)
        if tag is not None and is_digest(checked_reference(tag)):
            raise Refused(f"{tag!r} is a digest and cannot be a tag")

        def put() -> str:
            self._check_blobs(repository, manifest)
            with self._changing(repository) as index:
                self._check_blobs(repository, manifest)  # again: `sweep` holds the same lock
                self._keep(repository, index, manifest, tag)
                if manifest.subject is not None:
                    listing = referrers_tag(manifest.subject.digest)
                    changed = with_referrer(self._listed(repository, index, listing), manifest.referrer)
                    if changed is not None:
                        self._replace_listing(repository, index, listing, changed)
            return manifest.digest

        return await self._in_thread(put)

    async def delete_manifest(self, repository: str, digest: str) -> None:
        checked_digest(digest)

        def delete() -> None:
            with self._changing(repository) as index:
                if index.find(digest) is None:
                    raise Unknown(f"{repository} has no manifest {digest}")
                gone = self._read_manifest(repository, digest)
                if gone.subject is not None:
                    listing = referrers_tag(gone.subject.digest)
                    changed = without_referrer(self._listed(repository, index, listing), digest)
                    if changed is not None:
                        self._replace_listing(repository, index, listing, changed)
                index.remove(digest)
            self._blob(repository, digest).unlink(missing_ok=True)

        await self._in_thread(delete)

    async def sweep(self, repository: str, *, before: datetime) -> int:
        def sweep_blobs() -> int:
            if not (self._folder(repository) / "index.json").is_file():
                return 0
            with self._changing(repository) as index:
                named = self._named(repository, index)
                return sum(
                    _remove_unless_used(path, before.timestamp())
                    for path in (self._folder(repository) / "blobs" / "sha256").iterdir()
                    if f"sha256:{path.name}" not in named
                )

        return await self._in_thread(sweep_blobs)

    async def tags(self, repository: str) -> tuple[str, ...]:
        index = await self._in_thread(lambda: self._index(repository))
        return tuple(sorted(tag for tag in index.tags if not is_referrers_tag(tag)))

    async def entries(self, repository: str) -> tuple[tuple[str | None, str], ...]:
        index = await self._in_thread(lambda: self._index(repository))
        return tuple(
            (tag, entry.digest) for tag, entry in index.entries if tag is None or not is_referrers_tag(tag)
        )

    async def repositories(self) -> tuple[str, ...]:
        def walk() -> tuple[str, ...]:
            found = []
            for folder, names, files in os.walk(self._root):
                names[:] = [name for name in names if name not in _OWN_NAMES and not name.startswith(".")]
                repository = Path(folder).relative_to(self._root).as_posix()
                if "index.json" in files and self._index(repository).entries:
                    found.append(repository)
            return tuple(sorted(found))

        return await self._in_thread(walk)

    async def referrers(
        self, repository: str, digest: str, *, artifact_type: str | None = None
    ) -> tuple[Descriptor, ...]:
        def read() -> tuple[Descriptor, ...]:
            listing = self._listed(repository, self._index(repository), referrers_tag(checked_digest(digest)))
            return of_type(listing.manifests if listing else (), artifact_type)

        return await self._in_thread(read)

    async def close(self) -> None:
        """Nothing is held open between calls."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    # -- below: on a worker thread ------------------------------------------------------------------

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            return await in_thread(work)
        except PlacetError:
            raise
        except OSError as error:
            # Where it lies is for the log: what is raised is told to whoever sends something.
            _log.error("the registry's folder %s does not work: %s", self._root, error)
            raise Unavailable(
                f"the registry's folder does not work: {error.strerror}",
                fix="an operator makes room on its disk, or gives the folder's owner write permission",
            ) from error

    def _folder(self, repository: str) -> Path:
        parts = checked_repository(repository).split("/")
        if not _OWN_NAMES.isdisjoint(parts):
            raise Refused(f"{repository!r} holds a name that an image layout uses itself")
        return self._root.joinpath(*parts)

    def _blob(self, repository: str, digest: str) -> Path:
        return self._folder(repository) / "blobs" / "sha256" / checked_digest(digest).removeprefix("sha256:")

    def _open(self, repository: str, digest: str) -> IO[bytes]:
        try:
            return self._blob(repository, digest).open("rb")
        except FileNotFoundError:
            raise Unknown(f"{repository} has no blob {digest}") from None

    def _read(self, repository: str, digest: str, limit: int) -> bytes:
        with self._open(repository, digest) as file:
            content = file.read(limit + 1)
        if len(content) > limit:
            raise TooLarge(f"blob {digest} in {repository} is over the limit of {limit} bytes")
        _check(hashlib.sha256(content).hexdigest(), digest, repository)
        return content

    def _put(self, repository: str, content: bytes | Path, expected: str | None) -> Descriptor:
        if isinstance(content, bytes):
            digest, size = sha256_digest(content), len(content)
            if expected not in (None, digest):
                raise _mismatch(digest, str(expected), repository)
            path = self._blob(repository, digest)
            if not _has_size(path, size):
                self._prepare(repository)
                with self._partial() as target:
                    target.write(content)
                    publish(target, path)
            return Descriptor(media_type=OCTET_STREAM, digest=digest, size=size)
        self._prepare(repository)
        with content.open("rb") as source, self._partial() as target:
            digest = f"sha256:{copy_into(source, target)}"
            if expected not in (None, digest):
                raise _mismatch(digest, str(expected), repository)
            size = target.tell()
            path = self._blob(repository, digest)
            if not _has_size(path, size):
                publish(target, path)
        return Descriptor(media_type=OCTET_STREAM, digest=digest, size=size)

    def _manifest(self, repository: str, reference: str) -> Manifest:
        checked_reference(reference)
        entry = self._index(repository).find(reference)
        if entry is None:
            raise Unknown(f"{repository} has no manifest {reference}")
        return self._read_manifest(repository, entry.digest)

    def _read_manifest(self, repository: str, digest: str) -> Manifest:
        return Manifest.parse(self._read(repository, digest, MANIFEST_LIMIT))

    def _prepare(self, repository: str) -> None:
        folder = self._folder(repository)
        if (folder / "oci-layout").is_file():
            return
        (folder / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
        with self._partial() as file:
            file.write(_LAYOUT)
            publish(file, folder / "oci-layout")

    # -- the index --------------------------------------------------------------------------------

    def _index(self, repository: str) -> _Index:
        try:
            return _Index.parse((self._folder(repository) / "index.json").read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return _Index([])

    @contextmanager
    def _changing(self, repository: str) -> Iterator[_Index]:
        """The index under the repository's lock, written back unless the body raises."""
        self._prepare(repository)
        locks = self._root / ".locks"
        locks.mkdir(exist_ok=True)
        with (locks / repository.replace("/", "+")).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            index = self._index(repository)
            yield index
            with self._partial() as file:
                file.write(index.encode())
                publish(file, self._folder(repository) / "index.json")

    def _check_blobs(self, repository: str, manifest: Manifest) -> None:
        for needed in (*manifest.blobs, *manifest.manifests):
            if not self._blob(repository, needed.digest).is_file():
                raise Refused(
                    f"manifest {manifest.digest} needs {needed.digest}, which {repository} does not have",
                    fix="put the blobs first",
                )

    def _named(self, repository: str, index: _Index) -> set[str]:
        """Every digest that is listed, or that something listed is made of. One that cannot be read raises."""
        named: set[str] = set()
        left = [entry.digest for _, entry in index.entries]
        while left:
            digest = left.pop()
            if digest not in named:
                named.add(digest)
                manifest = self._read_manifest(repository, digest)
                named.update(blob.digest for blob in manifest.blobs)
                left += [
                    each.digest
                    for each in manifest.manifests
                    if self._blob(repository, each.digest).is_file()
                ]
        return named

    def _keep(self, repository: str, index: _Index, manifest: Manifest, tag: str | None) -> None:
        self._put(repository, manifest.body, None)
        index.add(manifest.referrer, tag)

    def _listed(self, repository: str, index: _Index, listing: str) -> Manifest | None:
        entry = index.find(listing)
        return None if entry is None else self._read_manifest(repository, entry.digest)

    def _replace_listing(self, repository: str, index: _Index, listing: str, changed: Manifest) -> None:
        before = index.find(listing)
        self._keep(repository, index, changed, listing)
        if before is not None and before.digest != changed.digest:
            index.remove(before.digest)
            self._blob(repository, before.digest).unlink(missing_ok=True)

    @contextmanager
    def _partial(self) -> Iterator[IO[bytes]]:
        """A file to write aside. Its lock tells sweepers of other processes that somebody is at work."""
        folder = self._root / ".partial"
        folder.mkdir(parents=True, exist_ok=True)
        if not self._swept:
            self._swept = True
            sweep(folder)
        with new_file(folder, locked=True) as file:
            yield file


class _Index:
    """The entries of an `index.json`: one per tag, or one without a tag for a manifest that has none."""

    def __init__(self, entries: list[tuple[str | None, Descriptor]]) -> None:
        self.entries = entries

    @classmethod
    def parse(cls, body: bytes) -> _Index:
        try:
            documents = json.loads(body)["manifests"]
        except (ValueError, KeyError, TypeError) as error:
            raise Unreadable(f"an image layout whose index.json is no index: {error}") from error
        entries = [Descriptor.parse(document) for document in documents]
        return cls([(entry.annotations.get(_REF_NAME), entry) for entry in entries])

    def encode(self) -> bytes:
        # What a referrer says about itself belongs in the listing of its subject; here it would be weight.
        listed: list[dict[str, Any]] = [
            replace(entry, annotations={_REF_NAME: tag} if tag else {}).document()
            for tag, entry in sorted(self.entries, key=lambda pair: (pair[0] or "", pair[1].digest))
        ]
        return encode_json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed})

    @property
    def tags(self) -> list[str]:
        return [tag for tag, _ in self.entries if tag is not None]

    def find(self, reference: str) -> Descriptor | None:
        wanted_digest = is_digest(reference)
        for tag, entry in self.entries:
            if (entry.digest if wanted_digest else tag) == reference:
                return entry
        return None

    def add(self, entry: Descriptor, tag: str | None) -> None:
        if tag is None:
            if self.find(entry.digest) is None:
                self.entries.append((None, entry))
            return
        untagged = [before for name, before in self.entries if name == tag and before.digest != entry.digest]
        self.entries[:] = [
            (name, kept)
            for name, kept in self.entries
            if name != tag and not (name is None and kept.digest == entry.digest)
        ]
        self.entries.append((tag, entry))
        for before in untagged:  # a manifest outlives the tag that moved away from it
            self.add(before, None)

    def remove(self, digest: str) -> None:
        self.entries[:] = [(tag, entry) for tag, entry in self.entries if entry.digest != digest]


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size and _is_used(path)
    except FileNotFoundError:
        return False


def _is_used(path: Path) -> bool:
    """Whether a blob is there. Whoever asks is about to name it in a manifest, so its time of last use is now."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    except OSError:  # not ours, or mounted to read only: who may not write here names nothing here
        return path.is_file()
    return True


def _remove_unless_used(path: Path, before: float) -> int:
    status = path.stat()
    if status.st_mtime >= before:
        return 0
    path.unlink()
    return status.st_size if status.st_nlink == 1 else 0  # else another repository has it, too


def _check(hexadecimal: str, digest: str, repository: str) -> None:
    if f"sha256:{hexadecimal}" != digest:
        raise _mismatch(f"sha256:{hexadecimal}", digest, repository)


def _mismatch(found: str, expected: str, repository: str) -> Refused:
    return Refused(
        f"content for {repository} should be {expected} and is {found}", fix="send or build it again"
    )
