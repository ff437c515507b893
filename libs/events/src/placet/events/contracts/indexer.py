"""What the registry says of an image, read back from it and not from whoever pushed it."""

from __future__ import annotations

from placet.events.catalog import event
from placet.events.contracts.shapes import Denial


@event("indexer", "image.indexed")
class ImageIndexed:
    """`image_source` to `builder` are the image's own labels, empty where it has none; `size` is in bytes."""

    project: str
    release: int
    source: str
    image: str
    repository: str
    image_source: str
    image_project: str
    format: str
    lock: str
    base: str
    python: str
    builder: str
    size: int
    layers: int


@event("indexer", "image.vanished")
class ImageVanished:
    """What was announced, or indexed before, is not in the registry, or is not what it was announced as.

    Said once; if it comes back, it is indexed again. `release` is the one that it was announced for last.
    """

    project: str
    release: int
    image: str
    repository: str
    why: str


@event("indexer", "image.unknown")
class ImageUnknown:
    """A model's repository holds an image that nobody announced: nothing here built, judged or starts it.

    `project` is whose repository it lies in, or `platform`; `tag` is one that it was found by.
    """

    project: str
    image: str
    repository: str
    tag: str | None


@event("indexer", "tag.moved")
class TagMoved:
    """A tag in a model's repository names another image than it did. Nothing here is started by its tag."""

    project: str
    repository: str
    tag: str
    before: str
    image: str


@event("indexer", "image.collected")
class ImageCollected:
    """An image that nothing needs was removed from the registry as garbage, with what spoke of it.

    It was never certified or started. If it comes back, it is indexed again.
    """

    project: str
    release: int
    image: str
    repository: str
    why: str


@event("indexer", "source.collected")
class SourceCollected:
    """A source that no image was kept of was removed from the registry as garbage. It can be uploaded again."""

    project: str
    source: str
    why: str


@event("indexer", "access.denied")
class AccessDenied(Denial, frozen=True, kw_only=True, gc=False):
    """So many requests were answered with 401 or 403 by the indexer itself, as `gateway.access.denied` tells of the
    gateway's."""
