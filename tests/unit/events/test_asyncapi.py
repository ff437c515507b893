"""The bus's own description: right by AsyncAPI's rules, and true of what is really sent.

`asyncapi-3.0.0.json` is the AsyncAPI initiative's JSON Schema of version 3.0.0 (Apache-2.0), with its keys sorted
and its whitespace removed.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator, ValidationError
from placet.errors import Refused
from placet.events.asyncapi import document
from placet.events.bus import routing_key
from placet.events.catalog import contract_of
from placet.events.codec import Codec
from placet.events.contracts import CATALOG
from placet.events.contracts.builder import BuildFailed
from placet.events.envelope import Actor
from placet.events.http import http_app

ASYNCAPI = Draft7Validator(json.loads(Path(__file__).with_name("asyncapi-3.0.0.json").read_text()))
DOCUMENT = document(CATALOG)


def names(event: type) -> str:
    return contract_of(event).type


def sealed(event: Any) -> dict[str, Any]:
    """The event as it is sent."""
    raw = (
        Codec(CATALOG)
        .seal(
            event,
            id="01931b5a-7c1e-7d3a-9f00-3b1c5f6a7d21",
            time=datetime(2026, 1, 1, tzinfo=UTC),
            subject="release/churn/3",
            partitionkey="churn",
            correlationid="01931b5a-7c1e-7d3a-9f00-000000000001",
            actor=Actor.service("builder"),
        )
        .raw
    )
    sent: dict[str, Any] = json.loads(raw)
    return sent


def payload_schema(event: type) -> Draft7Validator:
    contract = contract_of(event)
    message = DOCUMENT["components"]["messages"][f"{contract.producer}.{contract.name}"]
    return Draft7Validator({**message["payload"], "components": DOCUMENT["components"]})


def test_it_is_an_asyncapi_document() -> None:
    ASYNCAPI.validate(DOCUMENT)


def test_a_document_that_is_none_is_told() -> None:
    with pytest.raises(ValidationError):
        ASYNCAPI.validate(DOCUMENT | {"operations": {"say": {"action": "shout"}}})


def test_every_event_has_the_channel_of_its_routing_key() -> None:
    addresses = {channel["address"] for channel in DOCUMENT["channels"].values()}
    assert addresses == {routing_key(names(event), "{project}") for event in CATALOG.types}


def test_every_reference_leads_somewhere() -> None:
    def references(node: object) -> set[str]:
        match node:
            case {"$ref": str(reference)}:
                return {reference}
            case dict():
                return set().union(*map(references, node.values()))
            case list():
                return set().union(*map(references, node))
        return set()

    for reference in references(DOCUMENT):
        found: Any = DOCUMENT
        for word in reference.removeprefix("#/").split("/"):
            found = found[word]


@pytest.mark.parametrize("event", CATALOG.types, ids=names)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_what_is_sent_is_what_is_described(event: type, data: st.DataObject) -> None:
    try:
        sent = sealed(data.draw(st.from_type(event)))
    except Refused:
        assume(False)  # a number that JSON cannot carry
    payload_schema(event).validate(sent)


@pytest.mark.parametrize(
    "wrong",
    [{"source": "certifier"}, {"type": "placet.builder.image.built.v1"}, {"data": {"project": "churn"}}],
)
def test_what_another_event_would_be_is_not(wrong: dict[str, Any]) -> None:
    failed = BuildFailed(project="churn", release=3, source="sha256:00", why="no wheel", fix=None)
    with pytest.raises(ValidationError):
        payload_schema(BuildFailed).validate(sealed(failed) | wrong)


async def test_every_service_answers_it() -> None:
    app = http_app("placet nothing", [], version="1")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://placet") as client:
        answer = await client.get("/asyncapi.json")
    assert answer.json() == json.loads(json.dumps(DOCUMENT))
