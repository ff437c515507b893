"""The console's addresses, each with the page that answers there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from fastapi import APIRouter
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from placet.errors import PlacetError, Unauthenticated, Unknown
from placet.events import Clock
from placet.events.problems import problem_of
from placet.gateway.console import (
    assessing,
    auditing,
    certificates,
    deploying,
    excepting,
    governing,
    model_pages,
    models,
    operating,
    policies,
    services,
    session,
    sharing,
    signing_in,
    tokens,
    verifying,
    webhooks,
)
from placet.gateway.console.asking import Platform
from placet.gateway.console.pass_through import METHODS, PassThrough
from placet.gateway.console.signing_in import SigningIn
from placet.gateway.console.views import Views
from placet.gateway.console.visits import Door, Page, read_form


def entrance() -> APIRouter:
    """What leads to the console from outside of it: the platform's own address, and where its first page was."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    @router.get("/console")
    async def enter() -> Response:
        return RedirectResponse(session.HOME, 303)

    @router.get("/upload")
    async def upload() -> Response:
        return RedirectResponse(f"{session.PATH}/deploy", 303)

    return router


def unset() -> ASGIApp:
    """In the console's place where nobody said where the REST API is."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise Unknown(
            "there is no console here",
            fix="set PLACET_API_URL of the gateway to the address of the whole platform",
        )

    return app


def as_called(url: str, app: ASGIApp) -> ASGIApp:
    """`app`, which is told that a request came by HTTPS also where an edge ended TLS: by the edge's word, or where the
    request is for the platform's own address, `url`.

    No edge need be trusted for that. It says what cookies are called and which way leads back, to who asked, so that
    who says it wrongly keeps nobody out but themselves.
    """
    known = urlsplit(url)

    async def called(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["scheme"] == "http":
            headers = Headers(scope=scope)
            said = headers.get("x-forwarded-proto", "").strip().lower() == "https"
            if said or (known.scheme == "https" and headers.get("host") == known.netloc):
                scope = {**scope, "scheme": "https"}
        await app(scope, receive, send)

    return called


class Console:
    """`app` is mounted at `/console`. `url` is where people find the REST API of all services, `asks` where the console
    itself does, if that is another address."""

    def __init__(
        self,
        url: str,
        clock: Clock,
        provider: SigningIn | None = None,
        *,
        asks: str | None = None,
        authority: Path | None = None,
    ) -> None:
        self._platform = Platform(asks or url, authority)
        self._provider = provider
        self._views = Views(clock)
        self._door = Door(self._platform, self._views)
        pages: list[tuple[str, list[str], Page]] = [
            ("/models", ["GET"], models.overview),
            ("/models/{project}", ["GET"], model_pages.overview),
            ("/models/{project}/try", ["GET"], model_pages.attempt),
            ("/models/{project}/sample", ["GET"], model_pages.sample),
            ("/models/{project}/releases", ["GET"], model_pages.releases),
            ("/models/{project}/comparison", ["GET"], model_pages.comparison),
            ("/models/{project}/logs", ["GET"], model_pages.logs),
            ("/models/{project}/lineage", ["GET"], model_pages.lineage),
            ("/models/{project}/timeline", ["GET"], model_pages.timeline),
            ("/models/{project}/commands", ["POST"], model_pages.command),
            ("/models/{project}/members", ["GET"], sharing.members),
            ("/models/{project}/members", ["POST"], sharing.change),
            ("/models/{project}/approvals", ["GET"], governing.approvals),
            ("/models/{project}/approvals", ["POST"], governing.approve),
            ("/governance", ["GET"], governing.waiting),
            ("/governance/exceptions", ["GET"], excepting.listed),
            ("/governance/exceptions", ["POST"], excepting.request),
            ("/governance/exceptions/{project}/{id}", ["POST"], excepting.decide),
            ("/governance/policies", ["GET"], policies.listed),
            ("/governance/policies", ["POST"], policies.publish),
            ("/governance/policies/effect", ["POST"], policies.effect),
            ("/governance/policies/{policy}", ["GET"], policies.shown),
            ("/governance/assessments", ["GET"], assessing.listed),
            ("/governance/assessments/answer", ["GET"], assessing.form),
            ("/governance/assessments/answer", ["POST"], assessing.answer),
            ("/certificates/{id}", ["GET"], certificates.shown),
            ("/certificates/{id}/envelope", ["GET"], certificates.envelope),
            ("/certificates/{id}/revoke", ["POST"], certificates.revoke),
            ("/certificates/{id}/review", ["POST"], certificates.review),
            ("/audit", ["GET"], auditing.log),
            ("/audit/why", ["GET"], auditing.why),
            ("/audit/then", ["GET"], auditing.then),
            ("/audit/verification", ["GET"], verifying.shown),
            ("/audit/verification", ["POST"], verifying.verify),
            ("/platform", ["GET"], services.listed),
            ("/platform/services/{service}", ["GET"], services.shown),
            ("/platform/services/{service}", ["POST"], services.retry),
            ("/platform/room", ["GET"], operating.room),
            ("/platform/room", ["POST"], operating.change_quota),
            ("/platform/teams", ["POST"], operating.change_team),
            ("/platform/teams/people", ["POST"], sharing.change_team),
            ("/platform/registry", ["GET"], operating.registry),
            ("/platform/registry", ["POST"], operating.collect),
            ("/platform/webhooks", ["GET"], webhooks.listed),
            ("/platform/webhooks", ["POST"], webhooks.add),
            ("/platform/webhooks/{webhook}", ["POST"], webhooks.change),
            ("/platform/tokens", ["GET"], tokens.listed),
            ("/platform/tokens", ["POST"], tokens.make),
            ("/platform/tokens/{token}/revoke", ["POST"], tokens.revoke),
            ("/platform/retention", ["GET"], operating.retention),
            ("/platform/retention", ["POST"], operating.change_hold),
            ("/deploy", ["GET"], deploying.form),
            ("/deploy", ["POST"], deploying.begin),
            ("/operations/{operation}", ["GET"], deploying.pipeline),
        ]
        scripts = PassThrough(self._platform, clock, provider)
        self.app: ASGIApp = as_called(url, self._app(pages, scripts, provider))

    def _app(
        self, pages: Sequence[tuple[str, list[str], Page]], scripts: PassThrough, provider: SigningIn | None
    ) -> ASGIApp:
        return Starlette(
            routes=[
                Route("/console/", self._home),
                Route("/console/sign-in", self._sign_in_form),
                Route("/console/sign-in", self._sign_in, methods=["POST"]),
                Route("/console/sign-out", self._sign_out, methods=["POST"]),
                *([] if provider is None else self._routes_of(provider)),
                Route("/console/static/{name}", self._static),
                Route(
                    "/console/api/{path:path}",
                    scripts.__call__,
                    methods=METHODS,
                ),
                *(
                    Route(f"/console{path}", self._door.open(page), methods=methods)
                    for path, methods, page in pages
                ),
            ],
            exception_handlers={HTTPException: self._not_here},
        )

    async def start(self) -> None:
        await self._platform.start()

    async def close(self) -> None:
        await self._platform.close()

    async def _home(self, _: Request) -> Response:
        return RedirectResponse(session.HOME, 303)

    async def _static(self, request: Request) -> Response:
        found = self._views.static(request.path_params["name"], request.url.query or None)
        return found or self._door.problem(Unknown("there is nothing at this address"))

    async def _sign_in_form(self, request: Request) -> Response:
        ended = "ended" in request.query_params
        why = Unauthenticated("you were signed out: your token holds no more") if ended else None
        is_out = self._provider is not None and "out" in request.query_params
        leave = await self._provider.way_out() if self._provider is not None and is_out else None
        return self._sign_in_page(request.query_params.get("next"), why, leave=leave is not None)

    def _sign_in_page(
        self, back: str | None, why: PlacetError | None, status: int = 200, *, leave: bool = False
    ) -> Response:
        """With the way out of the provider, where somebody may `leave` it."""
        back = session.way_back(back)
        return self._views.page(
            "sign_in.html",
            status,
            back=back,
            error=why,
            provider=None if self._provider is None else self._provider.host,
            begin=f"{signing_in.BEGIN}?{urlencode({'next': back})}",
            leave=signing_in.LEAVE if leave else None,
            me=None,
            here="",
        )

    def _routes_of(self, provider: SigningIn) -> list[Route]:
        async def begin(request: Request) -> Response:
            back = session.way_back(request.query_params.get("next"))
            try:
                return await provider.begin(request, back)
            except PlacetError as error:
                return self._sign_in_page(back, error, problem_of(error)[0])

        async def finish(request: Request) -> Response:
            try:
                attempt = provider.attempt(request)
            except PlacetError as error:
                return self._sign_in_page(None, error, problem_of(error)[0])
            try:
                token = await provider.token(request, attempt)
                async with self._platform.as_whom(token) as ask:
                    await ask.me()
                answer: Response = RedirectResponse(session.way_back(attempt.back), 303)
                session.remember(request, answer, token)
            except PlacetError as error:
                answer = self._sign_in_page(attempt.back, error, problem_of(error)[0])
            provider.forget(request, answer, attempt)  # whatever came of it: no answer is good twice
            return answer

        async def leave(request: Request) -> Response:
            return RedirectResponse(await provider.way_out() or f"{session.PATH}/sign-in", 303)

        return [
            Route(signing_in.BEGIN, begin),
            Route(signing_in.CALLBACK, finish),
            Route(signing_in.LEAVE, leave),
        ]

    async def _sign_in(self, request: Request) -> Response:
        back: str | None = None
        try:
            session.must_come_from_here(request)
            form = await read_form(request)
            back = form.get("next", [None])[-1]
            token = form.get("token", [""])[-1].strip()
            async with self._platform.as_whom(token or None) as ask:
                await ask.me()
            answer = RedirectResponse(session.way_back(back), 303)
            session.remember(request, answer, token)
        except PlacetError as error:
            return self._sign_in_page(back, error, 401)
        return answer

    async def _sign_out(self, request: Request) -> Response:
        try:
            session.must_come_from_here(request)
            form = await read_form(request)
            session.must_be_proven(session.token_of(request) or "", form.get(session.PROOF, [None])[-1])
        except PlacetError as error:
            return self._door.problem(error)
        is_theirs = self._provider is not None and self._provider.is_theirs(session.token_of(request))
        answer = RedirectResponse(f"{session.PATH}/sign-in{'?out=1' if is_theirs else ''}", 303)
        session.forget(request, answer)
        return answer

    async def _not_here(self, _: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for no other
        answer = self._door.problem(Unknown("there is nothing at this address", fix="go to the models"))
        answer.status_code = error.status_code
        return answer
