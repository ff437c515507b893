"""Exceptions from rules: who asked, who granted, until when; and asking, granting and ending them."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from starlette.responses import Response

from placet.errors import PlacetError, Unreadable
from placet.events.problems import problem_of
from placet.gateway.console.governing import PATH, may_grant, may_withdraw
from placet.gateway.console.policies import admitting_exceptions
from placet.gateway.console.visits import Visit
from placet.gateway.domain import MAKERS

STATES = ("requested", "granted", "withdrawn", "expired")
_PAGE = 50
_FIELDS = ("project", "rule", "until", "reason", "source")


async def listed(visit: Visit) -> Response:
    return await _page(visit, {"project": visit.said("project") or "", "rule": visit.said("rule") or ""})


async def request(visit: Visit) -> Response:
    """What was filled in stays where it is refused."""
    try:
        asked = await visit.ask.request_exception(
            visit.wanted("project"),
            rule=visit.wanted("rule"),
            until=end_of(visit.wanted("until")),
            reason=visit.wanted("reason"),
            source=visit.given("source") or None,
        )
    except PlacetError as error:
        return await _page(visit, {each: visit.given(each) for each in _FIELDS}, error)
    said = f"You asked for an exception from {asked.rule} for {asked.project}. Somebody else has to grant it."
    return visit.go_saying(f"{PATH}/exceptions", said)


async def decide(visit: Visit) -> Response:
    project, id = visit.place("project"), visit.place("id")
    if visit.wanted("act") == "grant":
        done = await visit.ask.grant_exception(project, id)
        return visit.go_saying(
            f"{PATH}/exceptions", f"{done.rule} may be broken by {project} until {done.until}."
        )
    done = await visit.ask.withdraw_exception(project, id)
    return visit.go_saying(
        f"{PATH}/exceptions", f"The exception from {done.rule} for {project} is withdrawn."
    )


async def _page(visit: Visit, filled: dict[str, str], error: PlacetError | None = None) -> Response:
    state = visit.said("state")
    project = visit.said("project")
    page = await visit.ask.exceptions_page(
        project, state=state if state in STATES else None, after=visit.said("after"), limit=_PAGE
    )
    return visit.page(
        "exceptions.html",
        200 if error is None else problem_of(error)[0],
        tab="exceptions",
        exceptions=[
            (each, may_grant(visit.me, each), may_withdraw(visit.me, each)) for each in page.exceptions
        ],
        next=page.next,
        state=state,
        states=STATES,
        project=project or "",
        filled=filled,
        error=error,
        rules=await admitting_exceptions(visit),
        may_ask=not MAKERS.isdisjoint(visit.me.roles),
    )


def end_of(day: str) -> datetime:
    """The last moment of a day in UTC, which is told as of that day. Raises Unreadable."""
    try:
        begins = datetime.combine(datetime.strptime(day, "%Y-%m-%d").date(), time(), UTC)  # noqa: DTZ007 - a day
        return begins + timedelta(days=1) - timedelta(milliseconds=1)
    except (ValueError, OverflowError) as error:
        raise Unreadable(f"{day[:40]!r} is no day", fix="give one such as 2027-01-31") from error
