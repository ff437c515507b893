"""What the indexer needs from outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from placet.indexer.domain import Found, Missing


class Images(Protocol):
    async def look_up(self, repository: str, image: str) -> Found | Missing:
        """What the registry has under this digest. Raises Unavailable while it is away."""


@dataclass(frozen=True, kw_only=True)
class Ports:
    images: Images
