"""What the indexer needs from outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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


class Reads(Protocol):
    """Selects on the indexer's own tables."""

    async def rows(self, query: Select[Any]) -> Sequence[Row[Any]]: ...


@dataclass(frozen=True, kw_only=True)
class Ports:
    images: Images
