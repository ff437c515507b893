"""What placet needs from a registry, whichever it is.

A registry keeps blobs and manifests by digest, in repositories, with tags that move. Everything read is
checked against its digest before anybody sees the end of it. What a registry does not promise: that a tag
still says tomorrow what it says today, or that blobs nobody refers to stay.

Errors of every operation: `Unknown` (not there), `Unavailable` (away, overloaded or broken: try again),
`Refused` (denied, or bytes that do not have their digest), `TooLarge`, `Unreadable` (not a manifest).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from placet.oci.content import OCTET_STREAM, READ_LIMIT, Descriptor, Manifest


class Registry(Protocol):
    """Blobs, manifests and tags. Close it, or use it as an asynchronous context manager."""

    @property
    def address(self) -> str:
        """Which registry this is, for people and as a key; holds no password."""

    async def blob_exists(self, repository: str, digest: str) -> bool: ...

    def stream_blob(self, repository: str, digest: str) -> AsyncGenerator[bytes, None]:
        """The blob in pieces. The last step raises `Refused` if the whole did not have the digest."""

    async def read_blob(self, repository: str, digest: str, *, limit: int = READ_LIMIT) -> bytes:
        """The whole blob, checked; `TooLarge` above `limit` bytes."""

    async def save_blob(self, repository: str, digest: str, into: Path) -> None:
        """The whole blob as the file `into`, which appears only once it is complete and checked."""

    async def put_blob(
        self,
        repository: str,
        content: bytes | Path,
        *,
        digest: str | None = None,
        media_type: str = OCTET_STREAM,
    ) -> Descriptor:
        """Keep bytes or a file. `digest` is what the caller expects; other bytes are `Refused`."""

    async def mount_blob(self, repository: str, digest: str, *, source: str) -> bool:
        """Take a blob over from another repository without sending it; False: send it after all."""

    async def manifest(self, repository: str, reference: str) -> Manifest:
        """The manifest a digest or tag stands for."""

    async def resolve(self, repository: str, reference: str) -> str | None:
        """The digest a tag or digest stands for, or None if there is no such manifest."""

    async def has_manifest(self, repository: str, digest: str) -> bool:
        """Whether it is there, in the registry's own words: a 404 of anybody else, or a folder that is not mounted,
        raises `Unavailable` and is no answer."""

    async def put_manifest(self, repository: str, manifest: Manifest, *, tag: str | None = None) -> str:
        """Keep a manifest, whose blobs are there already, and point `tag` at it. Returns its digest."""

    async def delete_manifest(self, repository: str, digest: str) -> None:
        """Forget a manifest and the tags that point at it; its blobs may stay."""

    async def sweep(self, repository: str, *, before: datetime) -> int:
        """Remove blobs that no manifest names and nobody put or looked for since then; the bytes that this frees.

        A registry over the network collects them by itself, in its own time: that is 0.
        """

    async def tags(self, repository: str) -> tuple[str, ...]:
        """All tags, sorted; none for a repository that does not exist."""

    async def entries(self, repository: str) -> tuple[tuple[str | None, str], ...]:
        """Tags with the digests they stand for; a folder also lists what has no tag, and a network cannot.

        Without the listings of referrers, whose own manifests may be among what has no tag.
        """

    async def repositories(self) -> tuple[str, ...]:
        """All repositories, sorted; some registries also name those that have become empty."""

    async def referrers(
        self, repository: str, digest: str, *, artifact_type: str | None = None
    ) -> tuple[Descriptor, ...]:
        """The manifests whose subject is `digest`, with artifact type and annotations."""

    async def close(self) -> None: ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
