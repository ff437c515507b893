"""Every event type there is: declared once, versioned, with its JSON Schema and its upcasters.

A contract is a class with `@event`, which makes a frozen record of it. An older version is never edited: its
payload is lifted by a pure function from JSON object to JSON object, one version at a time, when it is read. The
catalogue holds no connection and knows no service; `placet.events.contracts.CATALOG` is the platform's own.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar, dataclass_transform

import msgspec

from placet.errors import Unreadable

T = TypeVar("T")
Json = dict[str, Any]
Upcaster = Callable[[Json], Json]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Contract:
    """What `@event` says of a type, which then reads `placet.<producer>.<noun>.<verb>.v<n>`."""

    producer: str
    name: str
    version: int
    upcasters: tuple[Upcaster, ...]

    @property
    def type(self) -> str:
        return self.type_of(self.version)

    def type_of(self, version: int) -> str:
        return f"placet.{self.producer}.{self.name}.v{version}"


@dataclass_transform(frozen_default=True, kw_only_default=True)
def event(
    producer: str, name: str, *, version: int = 1, upcasters: tuple[Upcaster, ...] = ()
) -> Callable[[type[T]], type[T]]:
    """Declare an event of `producer`. `upcasters[i]` lifts a payload of version i+1 to version i+2.

    The class becomes a msgspec struct: a replay makes millions of them, and a struct of plain values costs half of a
    dataclass to decode and is nothing that the garbage collector has to walk over. A class of a shape that several
    producers say (`shapes.Denial`) is one already.
    """
    if len(name.split(".")) != 2:
        raise ValueError(
            f"{producer} {name}: an event's name is <noun>.<verb>, since routing keys count words"
        )
    if len(upcasters) != version - 1:
        raise ValueError(f"{producer}.{name} v{version} needs {version - 1} upcasters, has {len(upcasters)}")

    def declare(cls: type[T]) -> type[T]:
        made: type[Any] = cls if issubclass(cls, msgspec.Struct) else _struct(cls)
        made.__contract__ = Contract(producer=producer, name=name, version=version, upcasters=upcasters)
        return made

    return declare


def _struct(cls: type) -> type[Any]:
    body = {key: value for key, value in vars(cls).items() if key not in ("__dict__", "__weakref__")}
    # In the order of the canonical bytes, where the decoder finds each field at the first look.
    body["__annotations__"] = dict(sorted(body.get("__annotations__", {}).items()))
    return types.new_class(
        cls.__name__,
        (msgspec.Struct,),
        {"frozen": True, "kw_only": True, "gc": False},
        lambda namespace: namespace.update(body),
    )


def contract_of(payload: object) -> Contract:
    """The contract of an event type or payload. Raises TypeError for anything that is no declared event."""
    contract = getattr(payload, "__contract__", None)
    if not isinstance(contract, Contract):
        raise TypeError(f"{payload!r} is no event: declare it with @event in placet.events.contracts")
    return contract


class Catalog:
    """The event types of some modules, by type name."""

    def __init__(self, event_types: Iterable[type]) -> None:
        self._by_type: dict[str, tuple[type, int]] = {}
        self._types: list[type] = []
        self._decoders: dict[str, msgspec.json.Decoder[Any]] = {}
        self._plain: dict[type, bool] = {}
        for cls in event_types:
            contract = contract_of(cls)
            for version in range(1, contract.version + 1):
                name = contract.type_of(version)
                if name in self._by_type:
                    raise ValueError(f"{name} is declared twice")
                self._by_type[name] = (cls, version)
            self._types.append(cls)
            self._decoders[contract.type] = msgspec.json.Decoder(cls)
            self._plain[cls] = _is_plain(cls)

    @classmethod
    def of(cls, *modules: types.ModuleType) -> Catalog:
        """Every event declared in `modules` (not those they merely import)."""
        return cls(
            value
            for module in modules
            for value in vars(module).values()
            if isinstance(value, type)
            and value.__module__ == module.__name__
            and hasattr(value, "__contract__")
        )

    @property
    def types(self) -> tuple[type, ...]:
        return tuple(self._types)

    @property
    def names(self) -> Collection[str]:
        """The names of all types that can be read here, of each version."""
        return self._by_type.keys()

    def knows(self, type_name: str) -> bool:
        """Whether events of this type can be read here."""
        return type_name in self._by_type

    def said_by(self, producer: str) -> tuple[type, ...]:
        return tuple(cls for cls in self._types if contract_of(cls).producer == producer)

    def is_plain(self, cls: type) -> bool:
        """Whether a payload holds neither floats nor free-form objects, which canonical JSON must look at closely."""
        return self._plain[cls]

    def decode(self, type_name: str, data: bytes | msgspec.Raw) -> Any:
        """The payload as its newest version. Raises Unreadable when it breaks its own contract."""
        decoder = self._decoders.get(type_name)
        try:
            if decoder is not None:
                return decoder.decode(data)
            cls, version = self._class_and_version(type_name)
            payload = msgspec.json.decode(data, type=dict[str, Any])
            return msgspec.convert(self._lifted(type_name, cls, version, payload), cls)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise _broken(type_name, error) from error

    def _lifted(self, type_name: str, cls: type, version: int, payload: Json) -> Json:
        try:
            for upcaster in contract_of(cls).upcasters[version - 1 :]:
                payload = upcaster(payload)
        except Exception as error:
            # Whatever it raises: an upcaster may take for granted what its version's contract says.
            raise _broken(type_name, error) from error
        return payload

    def _class_and_version(self, type_name: str) -> tuple[type, int]:
        try:
            return self._by_type[type_name]
        except KeyError:
            raise Unreadable(
                f"no event type {type_name!r} is known here",
                fix="upgrade this service before the one that says it, then replay what was parked",
            ) from None

    def schema(self, cls: type) -> Mapping[str, Any]:
        """The JSON Schema (2020-12) of the newest version's data."""
        contract = contract_of(cls)
        (root,), components = msgspec.json.schema_components([cls], ref_template="#/$defs/{name}")
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": schema_id(contract.type),
            "title": contract.type,
            **root,
            "$defs": components,
        }


def _broken(type_name: str, error: Exception) -> Unreadable:
    return Unreadable(f"a {type_name} whose data breaks its contract: {error!r}")


def schema_id(type_name: str) -> str:
    """The `dataschema` of a type: a name, not an address, since a log outlives every host."""
    return f"urn:placet:schema:{type_name}"


def _is_plain(hint: Any) -> bool:
    if isinstance(hint, type) and (issubclass(hint, msgspec.Struct) or dataclasses.is_dataclass(hint)):
        return all(_is_plain(each) for each in typing.get_type_hints(hint).values())
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType, tuple, list):
        return all(_is_plain(each) for each in typing.get_args(hint) if each is not Ellipsis)
    if origin is typing.Literal:
        return True
    return hint in (str, int, bool, type(None))
