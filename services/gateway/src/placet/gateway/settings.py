"""What the gateway needs to know about its surroundings."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from placet.events import ServiceSettings


class GatewaySettings(ServiceSettings):
    registry: str = Field(
        description="the OCI registry: http(s)://host:port, or a folder for an image layout"
    )
    token_key: Path = Field(
        description="file with the Ed25519 key that signs tokens; made if it is not there, "
        "with a .json beside it for those who verify"
    )
    admin_token_file: Path = Field(
        description="where the first admin token is written, once, readable by this user only"
    )
    stall_seconds: float = Field(
        default=900.0, gt=0, description="silence after which an operation counts as stalled"
    )
    max_source_bytes: int = Field(
        default=1024**3, gt=0, description="largest source archive, in bytes as sent"
    )
    model_silence_seconds: float = Field(
        default=300.0, gt=0, description="how long a model may say nothing before its caller is told so"
    )
    model_requests: int = Field(
        default=256, gt=0, description="requests under way to one model, before more are told to come back"
    )
    models_requests: int = Field(
        default=1024,
        gt=0,
        description="requests under way to all models, before more are told to come back; at most a quarter of the"
        " descriptors that the gateway may open",
    )
