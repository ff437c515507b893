"""What the audit log needs to know about its surroundings."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from placet.events import ServiceSettings


class MetadataSettings(ServiceSettings):
    token_keys: Path = Field(description="file with the public keys of tokens: JSON list of {kid, x}")
