"""What the certifier needs to know about its surroundings."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from placet.identity import ProviderSettings


class CertifierSettings(ProviderSettings):
    registry: str = Field(
        description="the OCI registry: http(s)://host:port, or a folder for an image layout"
    )
    signing_key: Path = Field(
        description="file with the Ed25519 key that signs certificates; made if it is not there, "
        "with a .json beside it for those who verify"
    )
    token_keys: Path | None = Field(
        default=None,
        description="file with the public keys that tokens are signed with, as a JSON list of {kid, x}; without one"
        " nobody may ask how the certifier stands, or have it try again what is parked",
    )
    certificate_days: int = Field(
        default=90, ge=1, le=3650, description="how long a certificate holds, in days"
    )
    trial_days: int = Field(
        default=7, ge=1, le=90, description="how long the certificate of a trial holds, in days"
    )
    certificate_reminder_days: int = Field(
        default=30,
        ge=1,
        le=3650,
        description="how long before its end it is said of a certificate that a model serves on, in days; "
        "never before a third of its time is left",
    )
    dockerfiles: Literal["deny", "allow"] = Field(
        default="deny",
        description="whether projects may have their images built from Dockerfiles of their own, whose steps run code",
    )
