"""What the indexer needs to know about its surroundings."""

from __future__ import annotations

from pydantic import Field

from placet.events import ServiceSettings


class IndexerSettings(ServiceSettings):
    registry: str = Field(
        description="the OCI registry: http(s)://host:port, or a folder for an image layout"
    )
