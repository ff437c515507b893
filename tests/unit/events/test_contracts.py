"""What was once shipped can be read for ever, and no event names a person."""

from __future__ import annotations

import json
import re
import typing
from collections.abc import Iterator
from inspect import cleandoc
from typing import Any

import jsonschema
import msgspec
import pytest
from placet.events.bus import routing_key
from placet.events.catalog import contract_of
from placet.events.codec import MAX_EVENT_BYTES, Codec
from placet.events.contracts import CATALOG

from tests.unit.events.golden_payloads import (
    GOLDEN,
    event_bytes,
    event_file,
    example,
    schema_bytes,
    schema_file,
)

ANEW = "give it a new version with an upcaster, then run python -m tests.unit.events.golden_payloads"
VERSIONS = [
    contract_of(cls).type_of(version)
    for cls in CATALOG.types
    for version in range(1, contract_of(cls).version + 1)
]
PERSONAL = re.compile(
    r"(^|_)(name|mail|email|owner|author|user|login|phone|address|contact|comment|text)(_|$)"
)
"""What would hold a person's data. Who a person is, the gateway's own tables know."""


@pytest.mark.parametrize("cls", CATALOG.types, ids=lambda cls: contract_of(cls).type)
def test_a_contract_changes_only_with_its_version(cls: type) -> None:
    name = contract_of(cls).type
    assert event_file(name).exists(), f"{name} is new: run python -m tests.unit.events.golden_payloads"
    assert event_file(name).read_bytes() == event_bytes(cls), (
        f"{name} is written otherwise than before: {ANEW}"
    )
    shipped = schema_file(name).read_bytes()
    assert as_written(shipped) == as_written(schema_bytes(cls)), f"{name} means something else: {ANEW}"


def as_written(schema: bytes) -> Any:
    """From Python 3.13 on, docstrings come without the indentation of their source."""

    def described(part: dict[str, Any]) -> dict[str, Any]:
        what = part.get("description")
        return {**part, "description": cleandoc(what)} if isinstance(what, str) else part

    return json.loads(schema, object_hook=described)


@pytest.mark.parametrize("type_name", VERSIONS)
def test_every_version_ever_shipped_is_read_as_the_newest(type_name: str) -> None:
    raw = event_file(type_name).read_bytes()
    read = Codec(CATALOG).read(raw)

    assert contract_of(type(read.data)).type_of(1)[:-1] == type_name.rstrip("0123456789")
    assert (read.type, read.raw) == (type_name, raw)


def test_nothing_that_was_shipped_was_forgotten() -> None:
    files = {file.name.removesuffix(".json").removesuffix(".schema") for file in GOLDEN.glob("*.json")}
    assert files == set(VERSIONS)


@pytest.mark.parametrize("cls", CATALOG.types, ids=lambda cls: contract_of(cls).type)
def test_a_schema_says_what_is_written(cls: type) -> None:
    schema = CATALOG.schema(cls)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(json.loads(event_bytes(cls))["data"])


@pytest.mark.parametrize("cls", CATALOG.types, ids=lambda cls: contract_of(cls).type)
def test_no_field_is_for_a_persons_data(cls: type) -> None:
    assert [name for name in _fields(cls) if PERSONAL.search(name)] == []


def test_the_search_for_personal_data_finds_some() -> None:
    found = ["owner", "owner_mail", "user_name", "author", "reviewer_email"]
    allowed = ["project", "person", "names_digest", "username_salt", "format"]
    assert [bool(PERSONAL.search(name)) for name in found] == [True] * len(found)
    assert [bool(PERSONAL.search(name)) for name in allowed] == [False] * len(allowed)


@pytest.mark.parametrize("cls", CATALOG.types, ids=lambda cls: contract_of(cls).type)
def test_every_event_has_a_routing_key_of_four_words_that_begins_with_its_producer(cls: type) -> None:
    contract = contract_of(cls)
    words = routing_key(contract.type, "churn").split(".")
    assert [words[0], *words[1:3], words[3]] == [contract.producer, *contract.name.split("."), "churn"]
    assert cls.__module__.rpartition(".")[2] == contract.producer


@pytest.mark.parametrize("cls", CATALOG.types, ids=lambda cls: contract_of(cls).type)
def test_an_example_comes_back_whole_and_leaves_room(cls: type) -> None:
    assert len(event_bytes(cls)) < MAX_EVENT_BYTES / 8
    assert example(cls) == Codec(CATALOG).read(event_bytes(cls)).data


def _fields(hint: Any) -> Iterator[str]:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        for field in msgspec.structs.fields(hint):
            yield field.name
            yield from _fields(field.type)
    for inner in typing.get_args(hint):
        yield from _fields(inner)
