"""The gateway's REST for advisories: send a snapshot, see which there are and what became of them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, StreamingResponse

from placet.errors import Refused, TooLarge, Unknown
from placet.events.described import answers, errors, file
from placet.events.json_route import JsonRoute
from placet.events.known_fields import known_parameters
from placet.gateway import answers as shapes
from placet.gateway.access import ERRORS, Access, Caller
from placet.gateway.advising import SENDERS, Advisories
from placet.gateway.api import After, Digest, Limit, digest_of
from placet.gateway.bodies import receive_whole
from placet.gateway.domain import must_have
from placet.projects.full_disk import told_when_full
from placet.rules.advisories import MAX_SNAPSHOT_BYTES

ZIP = "application/zip"
_FILE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {ZIP: {"schema": {"type": "string", "format": "binary"}}},
    }
}


def advisories_router(*, access: Access, advisories: Advisories) -> APIRouter:
    api = APIRouter(
        prefix="/v1/advisories",
        route_class=JsonRoute,
        tags=["advisories"],
        responses=ERRORS,
        dependencies=[Depends(known_parameters)],
    )
    caller = Depends(access.caller)

    @api.put(
        "/{digest}",
        status_code=202,
        openapi_extra=_FILE,
        responses=answers(shapes.Snapshot, status=202, headers={"Location": "the snapshot"})
        | errors(Refused, TooLarge),
    )
    async def put_advisories(digest: Digest, request: Request, who: Caller = caller) -> JSONResponse:
        """Ask that packages be matched with these advisories: a zip in OSV's form, under the sha256 of its bytes.

        What becomes of it is told by its `state`: from submitted to in-use or rejected. The same bytes again change
        nothing, and are answered with what became of them.
        """
        must_have(who.roles, SENDERS, "publishing advisories")
        wanted = digest_of(digest)
        known = await advisories.submitted(wanted)
        if known is None:
            with told_when_full(), tempfile.TemporaryDirectory(prefix="placet-advisories-") as folder:
                file = Path(folder) / "snapshot.zip"
                size = await receive_whole(request, file, wanted, MAX_SNAPSHOT_BYTES, _too_large())
                known = await advisories.submit(wanted, file, size, who.person)
        return JSONResponse(known, 202, headers={"Location": f"/v1/advisories/{wanted}"})

    @api.get("", responses=answers(shapes.Snapshots), response_model=None)
    async def get_advisories(who: Caller = caller, after: After = None, limit: Limit = 100) -> dict[str, Any]:
        """Every snapshot, the newest submission first; `next` is what to give as `after` for the page that follows.

        `state` is submitted, in-use, replaced or rejected.
        """
        page = await advisories.page(after=after, limit=limit)
        return {"advisories": page, "next": page[-1]["digest"] if len(page) == limit else None}

    @api.get("/{digest}", responses=answers(shapes.Snapshot) | errors(Unknown), response_model=None)
    async def get_snapshot(digest: Digest, who: Caller = caller) -> dict[str, Any]:
        return await advisories.snapshot(digest_of(digest))

    @api.get("/{digest}/file", response_class=StreamingResponse, responses=file(ZIP) | errors(Unknown))
    async def get_snapshot_file(digest: Digest, who: Caller = caller) -> StreamingResponse:
        """The file with this digest, to the byte."""
        known = await advisories.snapshot(digest_of(digest))
        headers = {"X-Content-Type-Options": "nosniff", "Content-Length": str(known["size"])}
        return StreamingResponse(advisories.file(known["digest"]), media_type=ZIP, headers=headers)

    return api


def _too_large() -> TooLarge:
    return TooLarge(
        f"a snapshot of advisories is at most {MAX_SNAPSHOT_BYTES} bytes",
        fix="send the advisories of one ecosystem, PyPI",
    )
