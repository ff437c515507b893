"""A service's HTTP face: its routers, `/livez`, `/readyz`, `/metrics`, and the bus described at `/asyncapi.json`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from fastapi import APIRouter, FastAPI, Response
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from starlette.types import ASGIApp, Receive, Scope, Send

from placet.errors import Unavailable
from placet.events import asyncapi
from placet.events import services_answers as shapes
from placet.events.contracts import CATALOG
from placet.events.described import answers, describe, text
from placet.events.json_route import JsonRoute
from placet.events.metrics import MEDIA_TYPE, Exposition, measured
from placet.events.parked import count_parked
from placet.events.problems import answered, speak_problems
from placet.events.service import ServiceRunner
from placet.events.services_api import services_router


def http_app(
    title: str, runners: Sequence[ServiceRunner], *, version: str, routers: Iterable[APIRouter] = ()
) -> Face:
    """The app of the services that run in this process: one of them, or all when embedded."""
    # With what its pages are made of: they must be seen where nothing reaches the internet, too.
    app = FastAPIOffline(
        title=title,
        version=version,
        docs_url="/docs",
        redoc_url=None,
        static_url="/docs/static",
        # Its own would trace what machines ask by the second; `placet.events.traces` traces mounted apps, too.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    describe(app)
    speak_problems(app)
    admits = any(runner.service.admits is not None for runner in runners)
    every = (
        *(router for runner in runners for router in runner.service.routers()),
        *((services_router(runners),) if admits else ()),
        _bus(),
        _health(runners),
        *routers,
    )
    # What is asked most comes first. A router that is included is looked through twice for each request, these once.
    for router in every:
        app.router.routes.extend(router.routes)
    return Face(app, {path: app for runner in runners for path, app in runner.service.mounts.items()})


class Face:
    """What is mounted, by the path that all of theirs begin with, and FastAPI's `rest` of it."""

    def __init__(self, rest: FastAPI, mounted: Mapping[str, ASGIApp]) -> None:
        self.rest = rest
        self._mounted = mounted
        self._measured = measured(self._answer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._measured(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            for begin, mounted in self._mounted.items():
                if scope["path"].startswith(begin + "/"):
                    scope["mounted"] = f"{begin}/{{path}}"
                    await answered(mounted, scope, receive, send)
                    return
        await self.rest(scope, receive, send)


def _health(runners: Sequence[ServiceRunner]) -> APIRouter:
    router = APIRouter(route_class=JsonRoute, tags=["health"])
    exposition = Exposition(runners)

    @router.get("/livez", responses=answers(shapes.Alive), response_model=None)
    async def livez() -> dict[str, str]:
        """The process runs. A part of it that fails for good ends the process."""
        return {"status": "alive"}

    @router.get("/readyz", responses=answers(shapes.Readiness) | answers(shapes.Readiness, status=503))
    async def readyz() -> JSONResponse:
        """The service does its work: its database answers, it leads and hears and says, or it could. If not, says why;
        else how far it lags. `hampered` says what is away beside that (a container engine, a registry), and what it
        could not do for that: what does not take it is answered all the same."""
        services = {runner.service.name: await _state(runner) for runner in runners}
        ready = all(state["ready"] for state in services.values())
        return JSONResponse({"ready": ready, "services": services}, 200 if ready else 503)

    @router.get("/metrics", response_model=None, response_class=Response, responses=text(MEDIA_TYPE))
    async def metrics() -> Response:
        """For Prometheus: what this process counted, and how its services stand."""
        return Response(await exposition.text(), media_type=MEDIA_TYPE)

    return router


def _bus() -> APIRouter:
    router = APIRouter(route_class=JsonRoute, tags=["events"])

    @router.get("/asyncapi.json")
    async def bus() -> dict[str, Any]:
        """Every event on the bus: its routing key and its schema."""
        return _described()

    return router


@cache
def _described() -> dict[str, Any]:
    return asyncapi.document(CATALOG)


async def _state(runner: ServiceRunner) -> dict[str, Any]:
    try:
        head = await runner.service.wiring.store.head()
        projections = await runner.projections()
        parked = await count_parked(runner.service.wiring.store)
    except Unavailable as error:
        return {"ready": False, "why": str(error)}
    why = runner.impediment
    return {
        "ready": runner.is_started and why is None,
        **({"why": why} if why else {}),
        **({"hampered": dict(runner.hampered)} if runner.hampered else {}),
        "leads": runner.is_leading,
        "head": head.position,
        "outbox": runner.outbox_backlog,
        "inbox": runner.inbox_pending,
        "parked": parked,
        "behind": runner.inbox_lag,
        "jobs": runner.jobs_running,
        "projections": {
            each.name: {
                "version": each.version,
                "position": each.position,
                "lag": each.lag,
                "beatAge": each.beat_age,
                **(
                    {
                        "building": {
                            "version": each.building.version,
                            "position": each.building.position,
                            "lag": each.building.lag,
                        }
                    }
                    if each.building
                    else {}
                ),
            }
            for each in projections
        },
    }
