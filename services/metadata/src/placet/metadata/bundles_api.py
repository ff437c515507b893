"""Evidence of a project in one archive: `/v1/audit/bundle`."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import FileResponse

from placet.errors import Refused, TooLarge, Unknown
from placet.events import Clock
from placet.events.described import errors, file
from placet.events.json_route import JsonRoute
from placet.events.known_fields import known_parameters
from placet.events.shares import Shares
from placet.metadata.access import AUDITORS, ERRORS, Reader, must_have, must_read
from placet.metadata.bundles import Bundling, Wanted
from placet.metadata.moments import Moment
from placet.metadata.queries import Queries
from placet.trust.tokens import Token

MAX_SIZE = 2**53


def router(*, reader: Reader, bundling: Bundling, queries: Queries, clock: Clock) -> APIRouter:
    api = APIRouter(
        prefix="/v1/audit",
        route_class=JsonRoute,
        tags=["audit"],
        responses=ERRORS,
        dependencies=[Depends(reader), Depends(known_parameters)],
    )

    caller = Depends(reader)
    shares = Shares(
        1, what="archive of evidence is made for you, or sent to you", fix="wait for its end, and ask again"
    )

    async def place(who: Token = caller) -> AsyncIterator[Path]:
        """Where an archive lies until it is sent: each person has one, and it is gone however that ends."""
        with shares.taken_by(who.person), tempfile.TemporaryDirectory(prefix="placet-bundle-") as folder:
            yield Path(folder, "bundle.zip")

    its_place = Depends(place)

    @api.get(
        "/bundle",
        response_class=FileResponse,
        responses=file("application/zip") | errors(Unknown, TooLarge, Refused),
    )
    async def get_bundle(
        project: Annotated[str, Query(pattern=r"^[a-z][a-z0-9-]{1,38}[a-z0-9]$")],
        at: Moment = None,
        size: Annotated[
            int | None, Query(ge=1, le=MAX_SIZE, description="of the checkpoint; none: the newest")
        ] = None,
        people: Annotated[bool, Query(description="with what was recorded about people")] = False,
        who: Token = caller,
        file: Path = its_place,
    ) -> FileResponse:
        """Everything that shows what was decided about a project up to a moment, as a zip: `placet.verifier` checks it,
        with nothing but Python. The same project, moment and checkpoint give the same bytes. Of a moment to come
        nothing is known: it goes up to now then. What is private to others, such as how an image was built that this
        project took over, is left out, and README.txt says how much that is.

        503 with Retry-After while your last one is made or sent, or two others are made; 413 where there is more of a
        project than an archive takes.
        """
        hidden = await queries.hidden_from(who)
        must_read(project, hidden)
        if people:
            must_have(who, AUDITORS, "what was recorded about people")
        now = clock.now()
        is_past = at is not None and at < now
        wanted = Wanted(
            project=project,
            at=at if at is not None and is_past else now,
            asked=is_past,
            people=people,
            size=size,
            hidden=hidden,
        )
        made = await bundling.bundle(wanted, file)
        return FileResponse(file, media_type="application/zip", filename=made.name)

    return api
