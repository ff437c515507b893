"""Artifacts: anything that is no image, kept in a registry with a type and, if wanted, a subject.

Sources, evidence, SBOMs and certificates are artifacts. These functions need nothing of a registry but
the port, so they work on every one of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from placet.errors import TooLarge
from placet.oci.content import EMPTY, NOTHING, OCTET_STREAM, Descriptor, Manifest
from placet.oci.registry import Registry
from placet.oci.together import together

TITLE = "org.opencontainers.image.title"


@dataclass(frozen=True, kw_only=True)
class ArtifactFile:
    """One file of an artifact. `digest` is what the caller expects of the content, if it knows."""

    content: bytes | Path
    media_type: str = OCTET_STREAM
    name: str | None = None
    digest: str | None = None


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A fetched artifact: its manifest and the bytes of its files, in the order of the layers."""

    manifest: Manifest
    contents: tuple[bytes, ...] = field(repr=False)


async def push_artifact(
    registry: Registry,
    repository: str,
    *,
    artifact_type: str,
    files: Sequence[ArtifactFile] = (),
    subject: str | None = None,
    annotations: Mapping[str, str] = NOTHING,
    tag: str | None = None,
) -> Manifest:
    """Keep files as one artifact. `subject` is the digest of the manifest it says something about.

    The same files, type, subject and annotations make the same digest, so pushing again changes nothing.
    """
    about = None if subject is None else (await registry.manifest(repository, subject)).descriptor
    empty, *layers = await together(
        registry.put_blob(repository, b"{}", media_type=EMPTY.media_type),
        *(_put(registry, repository, file) for file in files),
    )
    manifest = Manifest.image(
        config=empty,
        layers=layers or (EMPTY,),
        artifact_type=artifact_type,
        subject=about,
        annotations=annotations,
    )
    await registry.put_manifest(repository, manifest, tag=tag)
    return manifest


async def fetch_artifact(registry: Registry, repository: str, reference: str, *, limit: int) -> Artifact:
    """An artifact with all its files in memory: `TooLarge` if they are more than `limit` bytes together.

    For bigger ones read `registry.manifest` and save each layer with `save_blob`.
    """
    manifest = await registry.manifest(repository, reference)
    layers = [layer for layer in manifest.layers if layer.media_type != EMPTY.media_type]
    total = sum(layer.size for layer in layers)
    if total > limit:
        raise TooLarge(f"artifact {manifest.digest} holds {total} bytes; the limit is {limit}")
    contents = await together(
        *(registry.read_blob(repository, layer.digest, limit=layer.size) for layer in layers)
    )
    return Artifact(manifest=manifest, contents=tuple(contents))


async def _put(registry: Registry, repository: str, file: ArtifactFile) -> Descriptor:
    kept = await registry.put_blob(repository, file.content, digest=file.digest, media_type=file.media_type)
    if file.name is None:
        return kept
    return Descriptor(
        media_type=kept.media_type, digest=kept.digest, size=kept.size, annotations={TITLE: file.name}
    )
