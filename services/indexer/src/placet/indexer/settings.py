"""What the indexer needs to know about its surroundings."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from placet.identity import ProviderSettings


class IndexerSettings(ProviderSettings):
    registry: str = Field(
        description="the OCI registry: http(s)://host:port, or a folder for an image layout"
    )
    look_seconds: float = Field(
        default=300.0, gt=0, description="how often the registry is compared with what was said of it"
    )
    announce_seconds: float = Field(
        default=600.0,
        ge=0,
        description="how long an image may lie in a model's repository before its announcement is missed",
    )
    collect_days: int | None = Field(
        default=None,
        ge=1,
        le=36500,
        description="how long what nothing needs stays in the registry, in days: once a day what is older is collected;"
        " without it that is only done on demand",
    )
    token_keys: Path | None = Field(
        default=None,
        description="file with the public keys that tokens are signed with, as a JSON list of {kid, x}; without one"
        " nobody may ask for garbage to be collected, or how the indexer stands",
    )
    notification_token: str | None = Field(
        default=None,
        min_length=16,
        description="the token with which the registry may call /v1/registry/notifications; without one nobody may",
    )
