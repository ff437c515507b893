"""One request to the console: who is signed in, what was sent, and what is answered."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from placet.client import Client, Me
from placet.errors import Forbidden, PlacetError, TooLarge, Unauthenticated, Unreadable
from placet.events.problems import problem_of
from placet.gateway.console import session
from placet.gateway.console.admission import may_see
from placet.gateway.console.asking import Platform
from placet.gateway.console.views import Views

FORM_BYTES = 1 << 20
_WRITTEN = {
    "reason": "Why",
    "found": "What you found",
    "checkpoint": "The checkpoint that you kept",
    "keys": "The keys",
}
"""Fields in which somebody wrote something of their own, which is lost nowhere."""
_UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, kw_only=True)
class Visit:
    """`ask` is the platform, as `me`, and `platform` as nobody; `form` what was sent, each field as often as it was."""

    request: Request
    views: Views
    ask: Client
    platform: Platform
    me: Me
    token: str
    form: dict[str, list[str]]

    def page(self, template: str, status: int = 200, **known: Any) -> Response:
        """One that can only say for which roles it is, as what it `failed` with, is a refusal to whoever asks by its
        status too."""
        if status == 200 and isinstance(known.get("failed"), Forbidden):
            status = 403
        return self.views.page(template, status, **self._known(), **known)

    def work(self, template: str, parts: Callable[[Client], AsyncIterator[Markup]], **known: Any) -> Response:
        """A page for what takes its time, sent as it comes about: what `parts` say stands where the template has
        `{{ work }}`. Such work is done for few at once, and one after the other for each of them; what goes wrong is
        said in the page."""
        return self.views.working(template, self._done(parts), **self._known(), **known)

    async def _done(self, parts: Callable[[Client], AsyncIterator[Markup]]) -> AsyncIterator[Markup]:
        try:
            async with self.platform.working(self.me.person), self.platform.as_whom(self.token) as ask:
                async for part in parts(ask):
                    yield part
        except PlacetError as error:
            yield self.views.fragment("failed.html", error=error)
        except Exception:
            yield self.views.fragment("failed.html", error=PlacetError("something went wrong here"))
            raise

    def _known(self) -> dict[str, Any]:
        return {
            "me": self.me,
            "here": self.request.url.path,
            "search": dict(self.request.query_params),
            "proof": session.proof_of(self.token),
            "told_so": self._told(),
            "admits": self.may,
        }

    def may(self, path: str) -> bool:
        """Whether a page is for one of their roles: where not, it is not offered."""
        return may_see(self.me.roles, path)

    def go(self, path: str) -> Response:
        """To another page of the console, by GET."""
        return RedirectResponse(path, 303)

    def go_saying(self, path: str, what: str, **asked: str) -> Response:
        """To another page, which says first what was done."""
        said = {"said": what, "seal": session.seal_of(self.token, what)}
        return self.go(f"{path}?{urlencode({**asked, **said})}")

    def _told(self) -> str | None:
        """What was done, if it was."""
        what, seal = self.said("said"), self.said("seal")
        if what is None or seal is None:
            return None
        return (
            what if hmac.compare_digest(session.seal_of(self.token, what).encode(), seal.encode()) else None
        )

    def said(self, name: str) -> str | None:
        """Of the address's query."""
        return self.request.query_params.get(name) or None

    def given(self, name: str) -> str:
        """A field of the form, without spaces around it; none: empty."""
        return self.form.get(name, [""])[-1].strip()

    def wanted(self, name: str) -> str:
        """A field that has to be there. Raises Unreadable."""
        if not (value := self.given(name)):
            raise Unreadable(f"{name} is missing", fix="fill it in and send it again")
        return value

    def number(self, name: str) -> int | None:
        """A whole number of the form, or none. Raises Unreadable."""
        if not (value := self.given(name)):
            return None
        if not (value.isascii() and value.isdigit()) or len(value) > 18:
            raise Unreadable(f"{name} is no whole number", fix="give one such as 3")
        return int(value)

    def place(self, name: str) -> str:
        """A part of the address's path."""
        return str(self.request.path_params[name])


Page = Callable[[Visit], Awaitable[Response]]
Handler = Callable[[Request], Awaitable[Response]]


class Door:
    """Lets in who is signed in, and answers every error as a page."""

    def __init__(self, platform: Platform, views: Views) -> None:
        self._platform = platform
        self._views = views

    def open(self, page: Page) -> Handler:
        """What answers requests by `page`."""

        async def answer(request: Request) -> Response:
            token = session.token_of(request)
            if token is None:
                return self.to_sign_in(request)
            try:
                form: dict[str, list[str]] = {}
                if request.method in _UNSAFE:
                    session.must_come_from_here(request)
                    form = await read_form(request)
                    session.must_be_proven(token, form.get(session.PROOF, [None])[-1])
                async with self._platform.as_whom(token) as ask:
                    me = await ask.me()
                    visit = Visit(
                        request=request,
                        views=self._views,
                        ask=ask,
                        platform=self._platform,
                        me=me,
                        token=token,
                        form=form,
                    )
                    try:
                        return await page(visit)
                    except Unauthenticated:
                        raise
                    except PlacetError as error:
                        return self._failed(visit, error)
            except Unauthenticated as error:
                answered = self.to_sign_in(request, error)
                session.forget(request, answered)
                return answered
            except PlacetError as error:
                return self.problem(error)

        return answer

    def to_sign_in(self, request: Request, why: PlacetError | None = None) -> Response:
        if request.method == "GET":
            path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        else:  # to the page that the form was on
            path = session.page_of(request.headers.get("referer", ""))
        back = f"?next={quote(path, safe='')}" if path else ""
        if why is not None:
            back += ("&" if back else "?") + "ended=1"
        return RedirectResponse(f"{session.PATH}/sign-in{back}", 303)

    def problem(self, error: PlacetError) -> Response:
        """For who is not let in as far as a page of theirs."""
        status, _, headers = problem_of(error)
        page = self._views.page("problem.html", status, error=error, me=None, here="", written={}, back="")
        return self._with(page, headers)

    def _failed(self, visit: Visit, error: PlacetError) -> Response:
        status, _, headers = problem_of(error)
        came = visit.request.headers.get("referer", "") if visit.request.method in _UNSAFE else ""
        sent = [(name, value) for name, values in visit.form.items() for value in values]
        written = {name: value for name, value in sent if name in _WRITTEN and value.strip()}
        kept = [(name, value) for name, value in sent if name not in (*written, session.PROOF)]
        return self._with(
            visit.page(
                "problem.html",
                status,
                error=error,
                written=written,
                kept=kept,
                labels=_WRITTEN,
                back=session.page_before(came),
            ),
            headers,
        )

    def _with(self, answer: Response, headers: dict[str, str]) -> Response:
        if "Retry-After" in headers:
            answer.headers["Retry-After"] = headers["Retry-After"]
        return answer


async def read_form(request: Request) -> dict[str, list[str]]:
    """What a form without files sends. Raises TooLarge and Unreadable."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Unreadable("this is no form", fix="send it from the console's own page")
    whole = b""
    async for chunk in request.stream():
        whole += chunk
        if len(whole) > FORM_BYTES:
            raise TooLarge(f"a form has no more than {FORM_BYTES >> 20} MiB", fix="shorten what you wrote")
    try:
        return parse_qs(
            whole.decode(), keep_blank_values=True, strict_parsing=bool(whole), max_num_fields=5000
        )
    except ValueError as error:
        raise Unreadable("this form cannot be read", fix="send it from the console's own page") from error
