"""What the audit log needs to know about its surroundings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from placet.identity import ProviderSettings
from placet.metadata.reach import Reach


def _reach(text: str) -> str:
    Reach.of(text)  # raises ValueError, which names the entry
    return text


class MetadataSettings(ProviderSettings):
    token_keys: Path = Field(description="file with the public keys of tokens: JSON list of {kid, x}")
    signing_key: Path = Field(
        description="file with the Ed25519 key that signs checkpoints; made if it is not there, with a .json beside it "
        "for those who verify, and a .last with what was signed last"
    )
    registry: str | None = Field(
        default=None,
        description="the OCI registry that evidence is fetched from for bundles: http(s)://host:port, or a folder "
        "for an image layout; none: bundles cannot be had",
    )
    log_origin: str | None = Field(
        default=None,
        description="the name under which others know this log, for good: a domain and a path of yours; "
        "without it placet.local/ and the id of the first key",
    )
    witnesses: Path | None = Field(
        default=None,
        description="file that names who cosigns checkpoints, in C2SP's tlog-policy form: witness NAME VKEY URL",
    )
    checkpoint_folder: Path | None = Field(
        default=None, description="folder on storage that is written once, which checkpoints are written to"
    )
    checkpoint_folder_seconds: int = Field(
        default=60, ge=1, le=86400, description="how often at most a checkpoint is written to that folder"
    )
    webhook_hosts: Annotated[str, AfterValidator(_reach)] = Field(
        default="",
        description="where webhooks may lead besides the internet: names, addresses and networks, with commas between "
        "them; there plain HTTP and any port are taken",
    )
