"""What image is this source? One answer for each release: reused, built, or failed. Pure.

Whether an image of the source is known, and making one, happen outside; here it is decided once and only
once what came of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import assert_never

from placet.events.contracts.builder import BuildAccepted, BuildFailed, ImageBuilt, ImageReused
from placet.events.decider import Decider


@dataclass(frozen=True, kw_only=True)
class Accept:
    """Answer for this release. `image` is set when a known image was asked for instead of whatever fits."""

    project: str
    release: int
    source: str
    image: str | None


@dataclass(frozen=True, kw_only=True)
class Reuse:
    project: str
    release: int
    source: str
    image: str
    repository: str


@dataclass(frozen=True, kw_only=True)
class Finish:
    """A build ended; `outcome` is the event that says how: with its own image, with another build's, or with none."""

    outcome: ImageBuilt | ImageReused | BuildFailed


Command = Accept | Reuse | Finish
Happened = BuildAccepted | ImageReused | ImageBuilt | BuildFailed


@dataclass(frozen=True, kw_only=True)
class New:
    """Nothing was asked for this release yet."""


@dataclass(frozen=True, kw_only=True)
class Building:
    source: str


@dataclass(frozen=True, kw_only=True)
class Answered:
    """It is known what image this is, or that there is none."""


State = New | Building | Answered


def decide(command: Command, state: State) -> Sequence[Happened]:
    match command, state:
        case Accept(), New():
            return [
                BuildAccepted(
                    project=command.project,
                    release=command.release,
                    source=command.source,
                    image=command.image,
                )
            ]
        case Reuse(), New():
            return [
                ImageReused(
                    project=command.project,
                    release=command.release,
                    source=command.source,
                    image=command.image,
                    repository=command.repository,
                )
            ]
        case Finish(outcome=outcome), Building():
            return [outcome]
        case _:
            return []  # asked again, or answered already: the first answer stands


def evolve(state: State, event: Happened) -> State:
    match event:
        case BuildAccepted():
            return Building(source=event.source)
        case ImageReused() | ImageBuilt() | BuildFailed():
            return Answered()
    assert_never(event)


RELEASE: Decider[Command, State, Happened] = Decider(initial=New(), decide=decide, evolve=evolve)


def is_under_way(history: Iterable[Happened]) -> bool:
    """Whether an answer is still to come."""
    return isinstance(RELEASE.fold(history), Building)


def stream(project: str, release: int) -> str:
    return f"release/{project}/{release}"
