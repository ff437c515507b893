"""What the builder needs to know about its surroundings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from placet.events import ServiceSettings


def _base(image: str) -> str:
    if image != "none" and "@sha256:" not in image:
        raise ValueError("must be none, or [registry/]repository@sha256:…: a base is named by its digest")
    return image


class BuilderSettings(ServiceSettings):
    registry: str = Field(
        description="the OCI registry: http(s)://host:port, or a folder for an image layout"
    )
    base_image: Annotated[str, AfterValidator(_base)] = Field(
        default="none",
        description="what images start from: repository@sha256:… in the registry, or none (process runtime only)",
    )
    data_dir: Path = Field(description="folder for cached layers and build logs")
    token_keys: Path = Field(description="file with the public keys of tokens: JSON list of {kid, x}")
    builds_at_once: int = Field(default=2, ge=1, le=64, description="builds that run side by side")
