"""Evidence of a project in one archive: `/v1/audit/bundle`."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Query
from fastapi.responses import FileResponse
from pydantic import AfterValidator, AwareDatetime
from starlette.background import BackgroundTask

from placet.events import Clock
from placet.events.known_fields import known_parameters
from placet.metadata.access import AUDITORS, Reader, must_have
from placet.metadata.bundles import Bundling, Wanted
from placet.metadata.moments import in_utc
from placet.trust.tokens import Token

MAX_SIZE = 2**53


def router(*, reader: Reader, bundling: Bundling, clock: Clock) -> APIRouter:
    api = APIRouter(
        prefix="/v1/audit", tags=["audit"], dependencies=[Depends(reader), Depends(known_parameters)]
    )

    caller = Depends(reader)

    @api.get("/bundle", response_class=FileResponse)
    async def get_bundle(
        project: Annotated[str, Query(pattern=r"^[a-z][a-z0-9-]{1,38}[a-z0-9]$")],
        at: Annotated[AwareDatetime | None, AfterValidator(in_utc), Query()] = None,
        size: Annotated[
            int | None, Query(ge=1, le=MAX_SIZE, description="of the checkpoint; none: the newest")
        ] = None,
        people: Annotated[bool, Query(description="with what was recorded about people")] = False,
        token: Token = caller,
    ) -> FileResponse:
        """Everything that shows what was decided about a project up to a moment, as a zip: `placet.verifier` checks it,
        with nothing but Python. The same project, moment and checkpoint give the same bytes. Of a moment to come
        nothing is known: it goes up to now then."""
        if people:
            must_have(token, AUDITORS, "what was recorded about people")
        handle, name = tempfile.mkstemp(prefix="placet-bundle-", suffix=".zip")
        os.close(handle)
        file = Path(name)
        try:
            now = clock.now()
            is_past = at is not None and at < now
            wanted = Wanted(
                project=project,
                at=at if at is not None and is_past else now,
                asked=is_past,
                people=people,
                size=size,
            )
            made = await bundling.bundle(wanted, file)
        except BaseException:
            await to_thread.run_sync(file.unlink)
            raise
        return FileResponse(
            file, media_type="application/zip", filename=made.name, background=BackgroundTask(file.unlink)
        )

    return api
