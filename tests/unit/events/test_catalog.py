"""Contracts have versions; what was written in an old one is read as the newest."""

from __future__ import annotations

import json
import re
import types
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from placet.errors import Unreadable
from placet.events.catalog import Catalog, contract_of, event
from placet.events.codec import Codec

from tests.unit.events.test_codec import FreeSaid, PlainSaid, free, plain, said, seal


def name_to_names(payload: dict[str, Any]) -> dict[str, Any]:
    return {"names": [payload["name"]]}


def names_with_size(payload: dict[str, Any]) -> dict[str, Any]:
    return {**payload, "size": len(payload["names"])}


@event("tester", "thing.listed", version=3, upcasters=(name_to_names, names_with_size))
class ThingListed:
    names: tuple[str, ...]
    size: int


CATALOG = Catalog([ThingListed])


@pytest.mark.parametrize(
    ("type_name", "stored"),
    [
        ("placet.tester.thing.listed.v1", {"name": "a"}),
        ("placet.tester.thing.listed.v2", {"names": ["a"]}),
        ("placet.tester.thing.listed.v3", {"names": ["a"], "size": 1}),
    ],
)
def test_every_version_is_read_as_the_newest(type_name: str, stored: dict[str, Any]) -> None:
    assert CATALOG.decode(type_name, json.dumps(stored).encode()) == ThingListed(names=("a",), size=1)


def test_reading_an_old_version_leaves_its_bytes_as_they_are() -> None:
    newest = seal(said("a")).raw
    old = b'"data":{"name":"a"},'
    raw = re.sub(rb'"data":{.*?},(?="datacontenttype")', old, newest).replace(b"plain.said", b"thing.listed")
    assert old in raw
    read = Codec(CATALOG).read(raw)

    assert read.data == ThingListed(names=("a",), size=1)
    assert (read.type, read.raw) == ("placet.tester.thing.listed.v1", raw)


@pytest.mark.parametrize(
    ("type_name", "stored"),
    [
        ("placet.tester.thing.listed.v1", b'{"nome":"a"}'),
        ("placet.tester.thing.listed.v1", b"[]"),
        ("placet.tester.thing.listed.v1", b"{"),
        ("placet.tester.thing.listed.v2", b'{"names":1}'),
        ("placet.tester.thing.listed.v2", b'{"names":[1]}'),
        ("placet.tester.thing.listed.v3", b'{"names":["a"]}'),
    ],
)
def test_an_old_version_that_breaks_its_contract_is_unreadable(type_name: str, stored: bytes) -> None:
    with pytest.raises(Unreadable, match="breaks its contract"):
        CATALOG.decode(type_name, stored)


@pytest.mark.parametrize("error", [ValueError("a"), AttributeError("b"), ArithmeticError(), Exception("c")])
def test_whatever_an_upcaster_raises_its_event_is_unreadable(error: Exception) -> None:
    def raises(_: dict[str, Any]) -> dict[str, Any]:
        raise error

    @event("tester", "thing.raised", version=2, upcasters=(raises,))
    class ThingRaised:
        name: str

    with pytest.raises(Unreadable, match="breaks its contract") as raised:
        Catalog([ThingRaised]).decode("placet.tester.thing.raised.v1", b'{"name":"a"}')
    assert raised.value.__cause__ is error


@pytest.mark.parametrize(
    "type_name", ["placet.tester.thing.listed.v4", "placet.tester.thing.listed.v0", "nothing"]
)
def test_a_version_that_is_not_known_here_says_what_to_do(type_name: str) -> None:
    with pytest.raises(Unreadable, match="upgrade this service"):
        CATALOG.decode(type_name, b"{}")


def test_a_type_is_declared_once() -> None:
    @event("tester", "thing.listed")
    class Again:
        name: str

    with pytest.raises(ValueError, match=r"placet\.tester\.thing\.listed\.v1 is declared twice"):
        Catalog([ThingListed, Again])


def test_every_step_between_versions_has_its_upcaster() -> None:
    with pytest.raises(ValueError, match="v3 needs 2 upcasters, has 1"):
        event("tester", "thing.listed", version=3, upcasters=(name_to_names,))


@pytest.mark.parametrize("name", ["listed", "thing.was.listed"])
def test_a_name_is_noun_and_verb(name: str) -> None:
    with pytest.raises(ValueError, match="routing keys count words"):
        event("tester", name)


def test_a_payload_that_is_no_event_is_told() -> None:
    with pytest.raises(TypeError, match="declare it with @event"):
        contract_of("text")
    with pytest.raises(TypeError, match="declare it with @event"):
        Catalog([str])


def test_a_module_declares_its_own_events_and_not_those_it_imports() -> None:
    module = types.ModuleType("things")
    for each in (ThingListed, PlainSaid):
        setattr(module, each.__name__, each)
    module.__name__ = PlainSaid.__module__

    assert Catalog.of(module).types == (PlainSaid,)
    assert CATALOG.said_by("tester") == (ThingListed,)
    assert CATALOG.said_by("builder") == ()


def test_payloads_with_floats_or_free_objects_are_looked_at_closely() -> None:
    catalog = Catalog([ThingListed, PlainSaid, FreeSaid])
    assert [catalog.is_plain(each) for each in catalog.types] == [True, True, False]


@given(plain | free)
def test_what_is_sealed_is_valid_by_its_own_schema(data: Any) -> None:
    schema = Catalog([PlainSaid, FreeSaid]).schema(type(data))
    jsonschema.Draft202012Validator.check_schema(schema)

    jsonschema.Draft202012Validator(schema).validate(json.loads(seal(data).raw)["data"])


@pytest.mark.parametrize("change", [{"number": "0"}, {"flag": 1}, {"parts": [{"zeta": "a"}]}, {"text": None}])
def test_what_breaks_a_contract_is_invalid_by_its_schema(change: dict[str, Any]) -> None:
    schema = Catalog([PlainSaid]).schema(PlainSaid)
    data = {**json.loads(seal(said("a")).raw)["data"], **change}

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate(data)
