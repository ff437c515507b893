"""What the indexer needs from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Row, Select

from placet.indexer.domain import Found, Missing


@dataclass(frozen=True, kw_only=True)
class Listed:
    """An image that the registry lists, by a tag or, where the registry can, without one."""

    image: str
    tag: str | None = None


class Images(Protocol):
    """Each method raises Unavailable while the registry is away: then nothing is known, and nothing said."""

    async def look_up(self, repository: str, image: str) -> Found | Missing:
        """What the registry has under this digest."""

    async def is_there(self, repository: str, image: str) -> bool:
        """Whether the manifest is there. False is the registry's own definite word."""

    async def repositories(self) -> Sequence[str] | None:
        """The repositories of models; none where this registry gives no list of them."""

    async def listed(self, repository: str) -> Sequence[Listed]:
        """The images that can be listed. What is no image, such as a certificate, is left out."""

    async def is_image(self, repository: str, digest: str) -> bool:
        """Whether an image is there under this digest, and not something else or nothing."""


@dataclass(frozen=True, kw_only=True)
class Weighed:
    """What an image takes. `blobs` are sizes in bytes by digest, also of what speaks of it; `beside` those artifacts'
    types."""

    blobs: Mapping[str, int]
    beside: frozenset[str]


class Storage(Protocol):
    """Each method raises Unavailable while the registry is away, and Refused where it does not allow removals."""

    async def weigh(self, repository: str, image: str, *, alone: bool = False) -> Weighed | None:
        """None if it is not there. `alone` leaves out what speaks of it, which takes long to find."""

    async def remove(self, repository: str, image: str) -> None:
        """Remove an image after what speaks of it. What is gone already is no error."""

    async def remove_source(self, source: str) -> None: ...

    async def sweep(self, repository: str, before: datetime) -> int:
        """Remove what no manifest names and nobody put since then, where the registry does not do it by itself; how
        many bytes that frees."""


class Reads(Protocol):
    """Selects on the indexer's own tables."""

    async def rows(self, query: Select[Any]) -> Sequence[Row[Any]]: ...


@dataclass(frozen=True, kw_only=True)
class Ports:
    images: Images
    storage: Storage
