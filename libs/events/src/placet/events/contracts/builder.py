"""Which image a source is."""

from __future__ import annotations

from placet.events.catalog import event
from placet.events.contracts.shapes import Denial


@event("builder", "build.accepted")
class BuildAccepted:
    """The builder answers for this release from here on: a crash resumes it."""

    project: str
    release: int
    source: str
    image: str | None


@event("builder", "image.built")
class ImageBuilt:
    """`size` is the sum of the compressed layers in bytes; `base` is a digest or `none`.

    `bom` and `provenance` are the digests of two artifacts in `repository` that refer to the image: what is in it
    (CycloneDX) and how it was made (SLSA).
    """

    project: str
    release: int
    source: str
    image: str
    repository: str
    size: int
    lock: str
    base: str
    python: str
    bom: str | None = None
    provenance: str | None = None


@event("builder", "image.reused")
class ImageReused:
    """The source's image was already known: nothing was built."""

    project: str
    release: int
    source: str
    image: str
    repository: str


@event("builder", "build.failed")
class BuildFailed:
    project: str
    release: int
    source: str
    why: str
    fix: str | None


@event("builder", "access.denied")
class AccessDenied(Denial, frozen=True, kw_only=True, gc=False):
    """So many requests were answered with 401 or 403 by the builder itself, as `gateway.access.denied` tells of the
    gateway's."""
