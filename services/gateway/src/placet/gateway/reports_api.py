"""The gateway's REST for metadata: what others report of a model, in the forms that their tools write."""

from __future__ import annotations

import zlib
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse

from placet.errors import Conflict, Refused, TooLarge, Unknown, Unreadable
from placet.events.described import answers, errors
from placet.events.json_route import JsonRoute
from placet.events.known_fields import known_parameters
from placet.gateway import answers as shapes
from placet.gateway.access import ERRORS, Access, Caller
from placet.gateway.api import DIGEST, After, Limit
from placet.gateway.cloud_events import BATCH, MAX_EVENTS, ONE_OF_BOTH, PLAIN, SINGLE, TYPES, read_events
from placet.gateway.domain import must_have
from placet.gateway.exceptions_api import Project
from placet.gateway.reported import ReportQueries
from placet.gateway.reporting import REPORTERS, Reporting
from placet.gateway.reports import About, Kind, schema_of

OF_PROJECT = "/models/{project}/metadata"
MAX_BODY = 1024 * 1024
_IN_HEADER = "ce-"
OfRelease = Annotated[int | None, Query(ge=1, le=2**31 - 1)]


def reports_router(*, access: Access, reporting: Reporting, reported: ReportQueries) -> APIRouter:
    api = APIRouter(
        prefix="/v1",
        route_class=JsonRoute,
        tags=["metadata"],
        responses=ERRORS,
        dependencies=[Depends(known_parameters)],
    )
    caller = Depends(access.caller)

    @api.post(
        OF_PROJECT,
        status_code=201,
        openapi_extra=_body_schema(),
        responses=answers(shapes.Reports, status=201)
        | answers(shapes.Reports, status=200)
        | errors(Unknown, Conflict, Refused, TooLarge),
    )
    async def post_metadata(
        request: Request,
        project: Project,
        who: Caller = caller,
        release: OfRelease = None,
        source: Annotated[str | None, Query(pattern=DIGEST)] = None,
    ) -> JSONResponse:
        """Report what happened to a model on its way or in use: a CloudEvent, a run event of OpenLineage, or a list.

        The project need not be there yet. All of a list is taken or nothing, and what is wrong is told by its place.
        The same sent again is the same report, and 200 if all are; with other content, 409.
        """
        must_have(who.roles, REPORTERS, "reporting what happened to a model")
        if release is not None and source is not None:
            raise Refused("a release and a source are named", fix=ONE_OF_BOTH)
        form = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        sent = read_events(await _body(request), form, _attributes(request))
        about = About(release=release, source=source)
        told, is_new = await reporting.report(project, sent, about, who.person)
        return JSONResponse({"reports": told}, 201 if is_new else 200)

    @api.get(OF_PROJECT, responses=answers(shapes.ReportsPage), response_model=None)
    async def get_metadata(
        project: Project,
        who: Caller = caller,
        kind: Annotated[Kind | None, Query()] = None,
        release: OfRelease = None,
        after: After = None,
        limit: Limit = 100,
    ) -> dict[str, Any]:
        """What was reported of a project, heard last first; `next` is what to give as `after` for the page after."""
        page, following = await reported.page(project, kind=kind, release=release, after=after, limit=limit)
        return {"reports": page, "next": following}

    @api.get("/metadata/schemas/{kind}", responses=answers(dict[str, Any]), response_model=None)
    async def get_metadata_schema(kind: Kind, who: Caller = caller) -> dict[str, Any]:
        """The JSON Schema of the `data` of a CloudEvent that reports this."""
        return schema_of(kind)

    return api


def _attributes(request: Request) -> dict[str, str]:
    """Those of a CloudEvent in binary mode, of which the body is the data."""
    headers = request.headers
    if "ce-specversion" not in headers:
        return {}
    return {
        name.removeprefix(_IN_HEADER): _unquoted(name, value)
        for name, value in headers.items()
        if name.startswith(_IN_HEADER)
    }


def _unquoted(name: str, value: str) -> str:
    """Two ids that are no text would else become the same one."""
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError as error:
        raise Unreadable(
            f"the header {name} is no text in UTF-8 once its percent signs are read", fix="write % as %25"
        ) from error


async def _body(request: Request) -> bytes:
    """Of a body that is packed, as OpenLineage's client can do, no more is unpacked than is read."""
    packing = request.headers.get("content-encoding", "identity").lower()
    if packing not in ("identity", "gzip"):
        raise Unreadable(
            f"a body packed by {packing[:40]!r} is not read here", fix="send it plain, or by gzip"
        )
    unpacking = zlib.decompressobj(wbits=31) if packing == "gzip" else None
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += unpacking.decompress(chunk, MAX_BODY + 1) if unpacking else chunk
            if len(body) > MAX_BODY:
                raise TooLarge(
                    f"what is sent at once is at most {MAX_BODY} bytes", fix="send it in several requests"
                )
            if unpacking is not None and unpacking.unused_data:
                # It would be kept, whatever comes, and none of it read.
                raise Unreadable(
                    "the packed body goes on after its end", fix="pack all that is sent at once, once"
                )
    except zlib.error as error:
        raise Unreadable("the body is not packed by gzip, as its header says") from error
    if unpacking is not None and not unpacking.eof:
        raise Unreadable("the packed body ends too early", fix="send it again")
    return bytes(body)


def _body_schema() -> dict[str, Any]:
    """For OpenAPI: the envelope, and what each of our own types has in `data`."""
    event = {
        "type": "object",
        "required": ["specversion", "id", "source", "type", "data"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {"type": "string"},
            "source": {"type": "string"},
            "type": {"type": "string", "examples": [*TYPES, "io.openlineage.run.v2"]},
            "time": {"type": "string", "format": "date-time"},
            "placetrelease": {"type": "integer"},
            "placetsource": {"type": "string", "pattern": DIGEST},
            "data": {
                "type": "object",
                "description": "by its type as GET /v1/metadata/schemas/{kind} says, or OpenLineage's run event",
            },
        },
    }
    many = {"type": "array", "items": event, "minItems": 1, "maxItems": MAX_EVENTS}
    any_of_them = {
        "anyOf": [{"type": "object"}, {"type": "array", "items": {"type": "object"}, "maxItems": MAX_EVENTS}],
        "description": "OpenLineage's run events, or CloudEvents",
    }
    content = {SINGLE: event, BATCH: many, PLAIN: any_of_them}
    forms = {form: {"schema": schema} for form, schema in content.items()}
    return {"requestBody": {"required": True, "content": forms}}
