"""What the registry says of an image, read back from it and not from whoever pushed it."""

from __future__ import annotations

from placet.events.catalog import event


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


@event("indexer", "image.unknown")
class ImageUnknown:
    """An image was announced that the registry does not have, or that is not what it was announced as."""

    project: str
    release: int
    image: str
    repository: str
    why: str
