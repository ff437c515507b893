"""What is said of the registry: each image when it comes and when it is gone, and each tag when it moves. Pure.

What was said before decides whether there is anything to say: looking again at the same says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import assert_never

from placet.events.contracts.indexer import (
    ImageCollected,
    ImageIndexed,
    ImageUnknown,
    ImageVanished,
    SourceCollected,
    TagMoved,
)
from placet.events.decider import Decider

LABEL = "io.placet."


@dataclass(frozen=True, kw_only=True)
class Found:
    """What the registry has under a digest. `size` is the sum of the compressed layers in bytes."""

    labels: Mapping[str, str] = field(default_factory=dict)
    size: int
    layers: int


@dataclass(frozen=True, kw_only=True)
class Missing:
    why: str


@dataclass(frozen=True, kw_only=True)
class Index:
    """An image was announced for a release, now or before; `seen` is what the registry says of it now."""

    project: str
    release: int
    source: str
    image: str
    repository: str
    seen: Found | Missing


@dataclass(frozen=True, kw_only=True)
class Collect:
    """An image was removed as garbage."""

    project: str
    release: int
    image: str
    repository: str
    why: str


Command = Index | Collect
Happened = ImageIndexed | ImageVanished | ImageCollected

Told = Mapping[str, bool]
"""By image: whether the last that was said of it is that it is there."""


def decide(command: Command, told: Told) -> Sequence[Happened]:
    match command:
        case Index():
            return _index(command, told)
        case Collect():
            return _collect(command) if told.get(command.image) else []
    assert_never(command)


def _collect(command: Collect) -> Sequence[Happened]:
    return [
        ImageCollected(
            project=command.project,
            release=command.release,
            image=command.image,
            repository=command.repository,
            why=command.why,
        )
    ]


def _index(command: Index, told: Told) -> Sequence[Happened]:
    if told.get(command.image) is isinstance(command.seen, Found):
        return []
    match command.seen:
        case Missing(why=why):
            return [
                ImageVanished(
                    project=command.project,
                    release=command.release,
                    image=command.image,
                    repository=command.repository,
                    why=why,
                )
            ]
        case Found(labels=labels, size=size, layers=layers):
            return [
                ImageIndexed(
                    project=command.project,
                    release=command.release,
                    source=command.source,
                    image=command.image,
                    repository=command.repository,
                    image_source=labels.get(f"{LABEL}source", ""),
                    image_project=labels.get(f"{LABEL}project", ""),
                    format=labels.get(f"{LABEL}format", ""),
                    lock=labels.get(f"{LABEL}lock", ""),
                    base=labels.get(f"{LABEL}base", ""),
                    python=labels.get(f"{LABEL}python", ""),
                    builder=labels.get(f"{LABEL}builder", ""),
                    size=size,
                    layers=layers,
                )
            ]
    assert_never(command.seen)


def evolve(told: Told, event: Happened) -> Told:
    return MappingProxyType({**told, event.image: isinstance(event, ImageIndexed)})


IMAGE: Decider[Command, Told, Happened] = Decider(initial=MappingProxyType({}), decide=decide, evolve=evolve)


def image_stream(project: str, release: int) -> str:
    return f"image/{project}/{release}"


# Images that nobody announced.


@dataclass(frozen=True, kw_only=True)
class Meet:
    """Somebody pushed an image here. `known_for` is since when it was seen and not announced; its announcement may
    still be under way, so it gets `patience`."""

    project: str
    image: str
    repository: str
    tag: str | None
    known_for: timedelta
    patience: timedelta


def decide_stranger(command: Meet, is_told: bool) -> Sequence[ImageUnknown]:
    if is_told or command.known_for < command.patience:
        return []
    return [
        ImageUnknown(
            project=command.project, image=command.image, repository=command.repository, tag=command.tag
        )
    ]


STRANGER: Decider[Meet, bool, ImageUnknown] = Decider(
    initial=False, decide=decide_stranger, evolve=lambda _, event: True
)


def stranger_stream(repository: str, image: str) -> str:
    return f"stranger/{repository}@{image}"


# Tags.


@dataclass(frozen=True, kw_only=True)
class Point:
    """A tag names `image` now; `before` is what it named when it was looked at last."""

    project: str
    repository: str
    tag: str
    before: str
    image: str


def decide_tag(command: Point, told: str | None) -> Sequence[TagMoved]:
    if command.image == (told or command.before):
        return []
    return [
        TagMoved(
            project=command.project,
            repository=command.repository,
            tag=command.tag,
            before=told or command.before,
            image=command.image,
        )
    ]


TAG: Decider[Point, str | None, TagMoved] = Decider(
    initial=None, decide=decide_tag, evolve=lambda _, event: event.image
)


def tag_stream(repository: str, tag: str) -> str:
    return f"tag/{repository}:{tag}"


# Sources.


@dataclass(frozen=True, kw_only=True)
class CollectSource:
    """A source was removed as garbage."""

    project: str
    source: str
    why: str


def decide_source(command: CollectSource, _: None) -> Sequence[SourceCollected]:
    return [SourceCollected(project=command.project, source=command.source, why=command.why)]


SOURCE: Decider[CollectSource, None, SourceCollected] = Decider(
    initial=None, decide=decide_source, evolve=lambda _, event: None
)


def source_stream(source: str) -> str:
    return f"source/{source}"
