"""What travels on the bus, as an AsyncAPI 3.0 document: one channel for each event type of a catalogue.

It tells an outside subscriber what to bind to and what comes; it is made from the contracts, so it cannot say
something else than they do. Who hears what is not in here: the library knows no service. Notes between
services (heads and requests to send again) are not events, and are left out.
"""

from __future__ import annotations

import inspect
from typing import Any

import msgspec

from placet.events.bus import EXCHANGE, STREAM, routing_key
from placet.events.catalog import Catalog, contract_of, schema_id
from placet.events.codec import MAX_EVENT_BYTES

CONTENT_TYPE = "application/cloudevents+json"

_INTRODUCTION = f"""\
Every event of the platform, as it travels over RabbitMQ: one durable topic exchange `{EXCHANGE}`, routing key
`<producer>.<noun>.<verb>.<project>`, and as the body a CloudEvent 1.0 in structured mode, of at most
{MAX_EVENT_BYTES} bytes.

Outside subscribers bind a queue of their own to the exchange, or read the stream queue `{STREAM}` from any
offset. A message may come twice; each producer's `sequence` is contiguous within its `epoch`, so whoever has
seen n and gets n + 2 knows that one is missing. The routing keys of notes between the services have two or
three words and are nobody else's business."""

_ATTRIBUTES: dict[str, tuple[dict[str, Any], str]] = {
    "specversion": ({"type": "string", "const": "1.0"}, "CloudEvents 1.0"),
    "id": ({"type": "string", "format": "uuid"}, "a UUIDv7; the same event always has the same"),
    "source": ({"type": "string"}, "the producer"),
    "type": ({"type": "string"}, "placet.<producer>.<noun>.<verb>.v<version>"),
    "subject": ({"type": "string"}, "the stream in the producer's store, such as release/churn/3"),
    "time": ({"type": "string", "format": "date-time"}, "when it was said: RFC 3339, UTC, milliseconds"),
    "datacontenttype": ({"type": "string", "const": "application/json"}, "what data is"),
    "dataschema": ({"type": "string", "format": "uri"}, "the name of data's JSON Schema; no address"),
    "partitionkey": ({"type": "string"}, "the project, or `platform` for what belongs to none"),
    "correlationid": ({"type": "string"}, "the operation that it belongs to"),
    "causationid": ({"type": "string"}, "the event that it was a reaction to, if it was one"),
    "authid": ({"type": "string"}, "who caused it: person:<opaque id> or service:<name>"),
    "authtype": ({"type": "string", "enum": ["user", "service"]}, "which of the two"),
    "traceparent": ({"type": "string"}, "W3C trace context"),
}
_OPTIONAL = ("causationid", "traceparent")


def document(catalog: Catalog) -> dict[str, Any]:
    """The AsyncAPI 3.0 document of `catalog`, as plain JSON objects in a fixed order."""
    types = catalog.types
    roots, found = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    shapes = {name: _undented(schema) for name, schema in found.items()}
    data = {
        _key(cls): shapes.pop(root["$ref"].rpartition("/")[2]) for cls, root in zip(types, roots, strict=True)
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "placet: events",
            "version": "1",
            "description": _INTRODUCTION,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": {_key(cls): _channel(cls) for cls in types},
        "operations": {f"say.{_key(cls)}": _operation(cls) for cls in types},
        "components": {
            "schemas": {"CloudEvent": _envelope(), **dict(sorted(shapes.items())), **data},
            "messages": {_key(cls): _message(cls) for cls in types},
            "messageTraits": {"placed": {"headers": _headers()}},
            "parameters": {
                "project": {"description": "The project, or `platform` for an event that belongs to none."}
            },
        },
    }


def _undented(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with its description as people read it: Pythons differ in the indent that docstrings keep."""
    if "description" not in schema:
        return schema
    return {**schema, "description": inspect.cleandoc(schema["description"])}


def _key(cls: type) -> str:
    contract = contract_of(cls)
    return f"{contract.producer}.{contract.name}"


def _channel(cls: type) -> dict[str, Any]:
    return {
        "address": routing_key(contract_of(cls).type, "{project}"),
        "title": _key(cls),
        "parameters": {"project": {"$ref": "#/components/parameters/project"}},
        "messages": {_key(cls): {"$ref": f"#/components/messages/{_key(cls)}"}},
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": {"name": EXCHANGE, "type": "topic", "durable": True, "autoDelete": False},
                "bindingVersion": "0.3.0",
            }
        },
    }


def _operation(cls: type) -> dict[str, Any]:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{_key(cls)}"},
        "summary": f"Said by {contract_of(cls).producer}, and by nobody else.",
        "messages": [{"$ref": f"#/channels/{_key(cls)}/messages/{_key(cls)}"}],
    }


def _message(cls: type) -> dict[str, Any]:
    contract = contract_of(cls)
    message = {
        "name": contract.type,
        "title": _key(cls),
        "contentType": CONTENT_TYPE,
        "correlationId": {"location": "$message.payload#/correlationid"},
        "traits": [{"$ref": "#/components/messageTraits/placed"}],
        "payload": {
            "allOf": [
                {"$ref": "#/components/schemas/CloudEvent"},
                {
                    "type": "object",
                    "properties": {
                        "type": {"const": contract.type},
                        "source": {"const": contract.producer},
                        "dataschema": {"const": schema_id(contract.type)},
                        "data": {"$ref": f"#/components/schemas/{_key(cls)}"},
                    },
                },
            ]
        },
        "bindings": {"amqp": {"messageType": "event", "bindingVersion": "0.3.0"}},
    }
    said = cls.__doc__ if cls.__doc__ and not cls.__doc__.startswith(f"{cls.__name__}(") else None
    return message | ({"summary": inspect.cleandoc(said)} if said else {})


def _envelope() -> dict[str, Any]:
    attributes = {name: {**schema, "description": says} for name, (schema, says) in _ATTRIBUTES.items()}
    return {
        "type": "object",
        "description": "A CloudEvent 1.0 in structured mode, written as canonical JSON (RFC 8785).",
        "properties": {**attributes, "data": {"description": "what happened"}},
        "required": [name for name in (*attributes, "data") if name not in _OPTIONAL],
    }


def _headers() -> dict[str, Any]:
    return {
        "type": "object",
        "description": "The event's place in its producer's log, which its bytes cannot hold.",
        "properties": {
            "id": {"type": "string", "description": "the event's id again"},
            "epoch": {
                "type": "string",
                "description": "of the producer's store; a restored one begins another",
            },
            "sequence": {"type": "integer", "minimum": 1, "description": "the position, without gaps"},
            "traceparent": {
                "type": "string",
                "description": "the event's W3C trace context, where it has one",
            },
        },
        "required": ["id", "epoch", "sequence"],
    }
