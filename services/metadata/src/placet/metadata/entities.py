"""What is known of one thing, each fact with the position in the audit log of the event that said it.

Pure, and the same for everything that the log speaks of, so that two states can be compared field by field. What the
facts are is said in `history.py` and the modules beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Literal, NamedTuple

import msgspec

Kind = Literal[
    "advisories",
    "approval",
    "assessment",
    "certificate",
    "evaluation",
    "exception",
    "image",
    "incident",
    "key",
    "monitoring",
    "policy",
    "project",
    "questionnaire",
    "release",
    "review",
    "run",
    "token",
]


class Said(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An event of the log as far as a fold looks at it. `by` is who caused it, `time` the event's own."""

    position: int
    time: str
    by: str
    project: str
    data: Any


class Fact(msgspec.Struct, frozen=True, gc=False):
    """A state has millions, and none leads back to itself: the collector, which looks for that, has no work with them.
    Half of the time of a fold was its."""

    value: Any
    position: int


class Key(NamedTuple):
    """What an entity is known by, in the order in which states are told: kind by kind, and release by release."""

    kind: Kind
    project: str
    release: int
    id: str


class Entity(msgspec.Struct, gc=False):
    """One thing and what was said of it. `project` and `release` are none of what belongs to no project, or to all of
    its releases."""

    kind: Kind
    id: str
    project: str | None
    release: int | None
    facts: dict[str, Fact] = {}

    @property
    def key(self) -> Key:
        return Key(self.kind, self.project or "", self.release or 0, self.id)

    def say(self, position: int, **facts: Any) -> None:
        """What is said again as it was keeps the position where it was said first."""
        for name, value in facts.items():
            known = self.facts.get(name)
            if known is None or known.value != value:
                self.facts[name] = Fact(value, position)

    def get(self, name: str) -> Any:
        """None where nobody said anything of it."""
        known = self.facts.get(name)
        return None if known is None else known.value

    def position(self, *names: str) -> int:
        """Where the last of these was said; of none, where anything was said first."""
        said = [self.facts[name].position for name in names if name in self.facts]
        return max(said) if said else min((each.position for each in self.facts.values()), default=0)


class State:
    """All that the log has said up to somewhere. A fold goes on in it; nobody else changes it."""

    def __init__(self) -> None:
        self._entities: dict[Kind, dict[str, Entity]] = {}
        self._known: dict[Any, Any] = {}
        self.position = 0
        """Of the last event that was looked at."""
        self.events = 0
        """That were."""

    def of(self, kind: Kind, id: str, *, project: str | None = None, release: int | None = None) -> Entity:
        """The entity, which begins where it is not known yet."""
        entities = self._entities.setdefault(kind, {})
        found = entities.get(id)
        if found is None:
            found = entities[id] = Entity(kind, id, project, release)
        elif found.project is None and project is not None:
            # It was spoken of before the event that says whose it is: producers do not wait for one another.
            found.project, found.release = project, release
        return found

    def find(self, kind: Kind, id: str) -> Entity | None:
        return self._entities.get(kind, {}).get(id)

    def all(self, kind: Kind) -> Iterator[Entity]:
        return iter(self._entities.get(kind, {}).values())

    def in_order(self, *, project: str | None = None, release: int | None = None) -> list[Entity]:
        """By kind, project, release and id, so that two states are told in one order."""
        entities = (each for kind in self._entities.values() for each in kind.values())
        wanted = (
            each for each in entities if project in (None, each.project) and release in (None, each.release)
        )
        return sorted(wanted, key=lambda each: each.key)

    def once(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        """The same values, each the object that is there already: verdicts say the same of thousands of releases."""
        return tuple(self._known.setdefault(each, each) for each in values)


def plain(value: Any) -> Any:
    """As JSON has it; the fields of what events carry in the form that all of REST has."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, msgspec.Struct):
        return {shown: plain(getattr(value, name)) for name, shown in _fields(type(value))}
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    return [plain(each) for each in value]


@cache
def _fields(of: type[msgspec.Struct]) -> tuple[tuple[str, str], ...]:
    return tuple((name, camel(name)) for name in of.__struct_fields__)


def camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(each.capitalize() for each in others)
