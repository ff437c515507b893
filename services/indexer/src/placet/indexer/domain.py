"""An image is indexed once for each release, as what the registry says it is. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from placet.events.contracts.indexer import ImageIndexed, ImageUnknown
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
    """An image was announced for a release; `seen` is what the registry says of it."""

    project: str
    release: int
    source: str
    image: str
    repository: str
    seen: Found | Missing


Happened = ImageIndexed | ImageUnknown


def decide(command: Index, indexed: frozenset[str]) -> Sequence[Happened]:
    if command.image in indexed:
        return []
    match command.seen:
        case Missing(why=why):
            return [
                ImageUnknown(
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


def evolve(indexed: frozenset[str], event: Happened) -> frozenset[str]:
    return indexed | {event.image}


IMAGE: Decider[Index, frozenset[str], Happened] = Decider(initial=frozenset(), decide=decide, evolve=evolve)
