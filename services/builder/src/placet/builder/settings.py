"""What the builder needs to know about its surroundings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from placet.identity import ProviderSettings

GIB = 1024**3


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much one build may take: seconds, and bytes. `memory_bytes` is for each of the programs it runs."""

    seconds: float = 1800.0
    memory_bytes: int = 4 * GIB
    packages_bytes: int = 8 * GIB
    image_bytes: int = 8 * GIB


DEFAULT_LIMITS = Limits()

LOCK_SECONDS = 600.0
"""What PyPI lets its clients trust its pages for."""


def _base(image: str) -> str:
    if image != "none" and "@sha256:" not in image:
        raise ValueError("must be none, or [registry/]repository@sha256:…: a base is named by its digest")
    return image


def _index(place: str | None) -> str | None:
    if place is not None and not place.startswith(("http://", "https://", "file:///", "/")):
        raise ValueError("must be http(s)://host/simple, or the absolute path of a folder of wheels")
    return place


def _host(host: str | None) -> str | None:
    if host is not None and not host.startswith(("unix:///", "tcp://", "http://", "https://")):
        raise ValueError("must be unix:///path of a socket, or tcp://host:port")
    return host


class BuilderSettings(ProviderSettings):
    registry: str = Field(
        description="the OCI registry: http(s)://host:port, or a folder for an image layout"
    )
    base_image: Annotated[str, AfterValidator(_base)] = Field(
        default="none",
        description="what images start from: repository@sha256:… in the registry, or none (process runtime only)",
    )
    # Programs that are run elsewhere are told of files in it.
    data_dir: Annotated[Path, AfterValidator(Path.absolute)] = Field(
        description="folder for cached layers and build logs"
    )
    token_keys: Path = Field(description="file with the public keys of tokens: JSON list of {kid, x}")
    package_index: Annotated[str | None, AfterValidator(_index)] = Field(
        default=None,
        description="the only place packages come from: http(s)://…/simple, or a folder of wheels; "
        "the default is uv's own settings (UV_*, uv.toml)",
    )
    docker_host: Annotated[str | None, AfterValidator(_host)] = Field(
        default=None,
        description="the Docker Engine that builds projects with a Dockerfile: unix:///var/run/docker.sock, or"
        " tcp://host:port; without one they are refused",
    )
    docker_cert_path: Path | None = Field(
        default=None,
        description="folder with ca.pem, who signs for an engine at tcp://, and with cert.pem and key.pem, what the"
        " builder shows it: it is asked by TLS then",
    )
    docker_network: str = Field(
        default="none",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$",
        description="what the steps of a Dockerfile can reach: none, or the engine's network of that name",
    )
    lock_seconds: float = Field(
        default=LOCK_SECONDS,
        ge=0,
        description="how long the versions that were chosen for a list of requirements are chosen again, in seconds; "
        "0 asks the index for each image",
    )
    builds_at_once: int = Field(default=2, ge=1, le=64, description="builds that run side by side")
    build_seconds: float = Field(
        default=DEFAULT_LIMITS.seconds, gt=0, description="how long one build may take, in seconds"
    )
    build_memory_bytes: int = Field(
        default=DEFAULT_LIMITS.memory_bytes,
        ge=256 * 1024**2,
        description="memory of each program that a build runs (uv, Python's compiler), in bytes; Linux only",
    )
    packages_bytes: int = Field(
        default=DEFAULT_LIMITS.packages_bytes,
        gt=0,
        description="what the packages of one image may unpack to, in bytes",
    )
    image_bytes: int = Field(
        default=DEFAULT_LIMITS.image_bytes,
        gt=0,
        description="what the layers that a build makes may come to, compressed, in bytes",
    )
    build_log_days: int = Field(
        default=90, ge=1, le=36500, description="how long the log of a build is kept, in days"
    )

    @property
    def limits(self) -> Limits:
        return Limits(
            seconds=self.build_seconds,
            memory_bytes=self.build_memory_bytes,
            packages_bytes=self.packages_bytes,
            image_bytes=self.image_bytes,
        )
