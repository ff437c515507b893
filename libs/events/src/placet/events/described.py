"""What the OpenAPI document says of a call beside what FastAPI reads off its types: every error that it answers, and
what its answer holds.

A router says the errors that all of its calls have, a route its own. FastAPI says 422 of every value that is none,
which is 400 here: `describe` puts that right. Nothing here looks at an answer when it is sent: tests hold them against
it.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from placet.errors import PlacetError
from placet.events.problems import MEDIA_TYPE, status_and_title

Responses = dict[int | str, dict[str, Any]]
"""As FastAPI takes them."""

_RETRY_AFTER = {
    "description": "seconds until it is worth asking again",
    "required": True,
    "schema": {"type": "integer", "minimum": 1},
}
_BEARER = {
    "description": "how to say who asks",
    "required": True,
    "schema": {"type": "string", "const": "Bearer"},
}
_HEADERS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": _BEARER},
    429: {"Retry-After": _RETRY_AFTER},
    503: {"Retry-After": _RETRY_AFTER},
}
_TOKEN = {"type": "http", "scheme": "bearer", "description": "`placet token create` makes one."}
"""Each service checks it by itself. Said here alone, since what FastAPI declares it looks at with each request, too."""
_OF_FASTAPI = ("HTTPValidationError", "ValidationError")


class Reason(BaseModel):
    """Of several why something was refused."""

    rule: str | None
    why: str
    fix: str | None


class Problem(BaseModel):
    """What went wrong, in the form of RFC 9457."""

    type: str = Field(
        json_schema_extra={"const": "about:blank"}, description="all of them: the status says what is wrong"
    )
    title: str
    status: int
    detail: str = Field(description="what went wrong, with the name of the thing")
    rule: str = Field(default="", description="the rule that said no, where one did")
    fix: str = Field(default="", description="the next step, where one is known")
    refusals: list[Reason] = Field(default=[], description="of an error that gathers several, each of them")


def errors(*kinds: type[PlacetError]) -> Responses:
    """What a call answers where it raises one of `kinds`."""
    return {status: _answer(status, title) for status, title in map(status_and_title, kinds)}


def answers(model: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Responses:
    """What a call answers where all is well: `model` is a type, and is not looked at when it does. `headers` are with
    what each says."""
    told = {
        name: {"description": what, "required": True, "schema": {"type": "string"}}
        for name, what in (headers or {}).items()
    }
    return {status: {"model": model, **({"headers": told} if told else {})}}


def file(media_type: str, *, status: int = 200, headers: dict[str, str] | None = None) -> Responses:
    """The same of bytes, or of a stream of events: what has no schema has none here."""
    [(_, answer)] = answers(None, status=status, headers=headers).items()
    del answer["model"]
    return {status: {**answer, "content": {media_type: {}}}}


def text(media_type: str, *, status: int = 200, headers: dict[str, str] | None = None) -> Responses:
    """The same of lines for people, or for other programs."""
    [(_, answer)] = answers(None, status=status, headers=headers).items()
    del answer["model"]
    return {status: {**answer, "content": {media_type: {"schema": {"type": "string"}}}}}


def all_of(*told: Responses) -> Responses:
    """What each of them says, of one status together: an answer has one type or another as it is asked for."""
    together: Responses = {}
    for responses in told:
        for status, answer in responses.items():
            known = together.setdefault(status, {})
            together[status] = {
                **known,
                **answer,
                "content": {**known.get("content", {}), **answer.get("content", {})},
            }
    return together


def describe(app: FastAPI) -> None:
    """Have `app` put right what FastAPI says by itself."""
    of_fastapi = app.openapi

    def openapi() -> dict[str, Any]:
        document = of_fastapi()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        if Problem.__name__ not in schemas:  # else it was put right before, and kept
            _settle(document, schemas)
        return document

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's own way


def _settle(document: dict[str, Any], schemas: dict[str, Any]) -> None:
    for path, item in document["paths"].items():
        for method, call in item.items():
            _settle_call(method, call["responses"])
            if path.startswith("/v1/"):
                call["security"] = [{"token": []}]
    document["components"]["securitySchemes"] = {"token": _TOKEN}
    for name in _OF_FASTAPI:
        schemas.pop(name, None)
    schemas |= models_json_schema([(Problem, "validation")], ref_template="#/components/schemas/{model}")[1][
        "$defs"
    ]


def _settle_call(method: str, responses: dict[str, Any]) -> None:
    refused = responses.get("422", {}).get("content", {}).get("application/json", {}).get("schema", {})
    if refused.get("$ref", "").endswith(_OF_FASTAPI[0]):
        del responses["422"]
    if method == "head":
        for response in responses.values():
            response.pop("content", None)


def _answer(status: int, title: str) -> dict[str, Any]:
    of_status = {"properties": {"status": {"const": status}}}
    schema = {"allOf": [{"$ref": "#/components/schemas/Problem"}, of_status]}
    answer: dict[str, Any] = {"description": title, "content": {MEDIA_TYPE: {"schema": schema}}}
    if status in _HEADERS:
        answer["headers"] = _HEADERS[status]
    return answer
