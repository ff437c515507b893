"""An event as it is told, with names that a reader expects, and what it says as the type that a reader chooses.

The contracts themselves are no part of this package: who has `placet-events` installed hands over its catalogue, and
who has not writes down the fields that he needs. Either way a field that is missing or of another type is told, and one
that nobody asked for is none of his business.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol, TypeVar

import msgspec

from placet.client.documents import CloudEvent
from placet.errors import Unreadable

T = TypeVar("T")
TypeOf = type[T]
"""An event has a field called `type`, which would be meant below."""


class Catalogue(Protocol):
    """What makes an event's own type of its data: `placet.events.contracts.CATALOG`."""

    def decode(self, type_name: str, data: bytes) -> Any: ...


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A CloudEvent with its position in the audit log. `project` is `platform` where it belongs to none."""

    position: int = msgspec.field(name="sequence")
    id: str
    type: str
    producer: str = msgspec.field(name="source")
    subject: str
    time: datetime
    project: str = msgspec.field(name="partitionkey")
    operation: str = msgspec.field(name="correlationid")
    cause: str | None = msgspec.field(name="causationid", default=None)
    """The id of the event that it was a reaction to."""
    actor: str = msgspec.field(name="authid")
    """`person:` with an opaque id, or `service:` with its name."""
    data: dict[str, Any]

    @classmethod
    def of(cls, event: CloudEvent) -> Event:
        """Raises Unreadable."""
        try:
            return msgspec.convert(event, cls)
        except msgspec.ValidationError as error:
            raise Unreadable(f"what came is no event of a platform: {error}") from error

    @property
    def kind(self) -> str:
        """Without the version: `deployer.model.started`."""
        return self.type.removeprefix("placet.").rpartition(".v")[0]

    @property
    def version(self) -> int:
        number = self.type.rpartition(".v")[2]
        return int(number) if number.isdecimal() else 1

    def read(self, as_: TypeOf[T]) -> T:
        """What it says as a dataclass, a `TypedDict` or a struct of yours. Raises Unreadable where a field of it is
        missing or of another type."""
        try:
            return msgspec.convert(self.data, as_)
        except msgspec.ValidationError as error:
            raise Unreadable(
                f"{self.type} at position {self.position} is no {as_.__name__}: {error}",
                fix="what it says is in docs/reference/events.md, and at /asyncapi.json",
            ) from error

    def typed(self, catalogue: Catalogue) -> Any:
        """What it says as the type of its contract, in its newest version. Raises Unreadable."""
        return catalogue.decode(self.type, msgspec.json.encode(self.data))
