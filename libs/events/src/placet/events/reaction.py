"""What a service does with what it hears: which messages it wants, what must stay in order, who handles them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from placet.events.catalog import contract_of
from placet.events.envelope import Event
from placet.events.outcome import DONE, Outcome
from placet.events.unit_of_work import UnitOfWork
from placet.events.wiring import Wiring

Data = TypeVar("Data")
Ports = TypeVar("Ports")


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard(Generic[Data]):
    """An event of some producer with its place in that producer's log."""

    event: Event[Data]
    epoch: str
    position: int

    @property
    def data(self) -> Data:
        return self.event.data


class Reaction(Protocol):
    """What a service does with what it hears."""

    batch: int
    """How many messages of one lane may be handled as one unit."""

    def wants(self, routing_key: str) -> bool: ...

    def lane(self, producer: str, routing_key: str) -> str:
        """What must stay in order among itself."""

    async def __call__(self, heard: Sequence[Heard[Any]], work: UnitOfWork) -> Outcome: ...

    def read(self, wiring: Wiring, raw: bytes) -> Event[Any]: ...


Handler = Callable[[Heard[Any], UnitOfWork], Awaitable[Outcome | None]]


class ByType:
    """Each event type has its handler; projects are the lanes."""

    batch = 1

    def __init__(self, handlers: Mapping[type, Handler]) -> None:
        self._handlers = dict(handlers)
        contracts = [contract_of(cls) for cls in handlers]
        self._prefixes = frozenset(f"{contract.producer}.{contract.name}." for contract in contracts)

    @classmethod
    def with_ports(
        cls,
        handlers: Mapping[type, Callable[[Heard[Any], UnitOfWork, Ports], Awaitable[Outcome | None]]],
        ports: Ports,
    ) -> ByType:
        """Handlers that take a service's ports after the message and the unit of work."""

        def bound(handler: Callable[[Heard[Any], UnitOfWork, Ports], Awaitable[Outcome | None]]) -> Handler:
            return lambda heard, work: handler(heard, work, ports)

        return cls({event: bound(handler) for event, handler in handlers.items()})

    def wants(self, routing_key: str) -> bool:
        return routing_key[: routing_key.rfind(".") + 1] in self._prefixes

    def lane(self, producer: str, routing_key: str) -> str:
        return routing_key.rpartition(".")[2]

    def read(self, wiring: Wiring, raw: bytes) -> Event[Any]:
        return wiring.codec.read(raw)

    async def __call__(self, heard: Sequence[Heard[Any]], work: UnitOfWork) -> Outcome:
        (message,) = heard
        handler = self._handlers.get(type(message.data))
        if handler is None:
            return DONE
        return await handler(message, work) or DONE


class Everything:
    """One handler for all events, many at once, whatever their type; producers are the lanes."""

    batch = 100

    def __init__(
        self, handler: Callable[[Sequence[Heard[Any]], UnitOfWork], Awaitable[Outcome | None]]
    ) -> None:
        self._handler = handler

    def wants(self, routing_key: str) -> bool:
        return True

    def lane(self, producer: str, routing_key: str) -> str:
        return producer

    def read(self, wiring: Wiring, raw: bytes) -> Event[Any]:
        return wiring.codec.read_envelope(raw)

    async def __call__(self, heard: Sequence[Heard[Any]], work: UnitOfWork) -> Outcome:
        return await self._handler(heard, work) or DONE
