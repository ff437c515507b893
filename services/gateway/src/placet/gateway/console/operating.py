"""What room there is and who holds it, what the registry keeps, and how long what people gave is."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from placet.client import Amounts, Capacity, Garbage, Quota, Team
from placet.errors import PlacetError, Unauthenticated, Unreadable
from placet.events.problems import problem_of
from placet.gateway.console import session
from placet.gateway.console.visits import Visit

PATH = "/console/platform"
_QUOTAS = 200
_KEPT = 100
"""Of what the registry keeps so many are shown; how many there are is told."""
_CPU, _MEMORY = 1000, 1 << 30


async def room(visit: Visit) -> Response:
    return await room_again(visit)


async def room_again(visit: Visit, refused: str = "", error: PlacetError | None = None) -> Response:
    """What models may have here, and what teams and projects may hold of it; with what was filled into the form that
    was `refused`, of a quota, of a team's projects or of its people."""
    capacity: Capacity | None = None
    quotas: tuple[Quota, ...] = ()
    teams: tuple[Team, ...] = ()
    failed = None
    try:
        quotas = await visit.ask.quotas()
        teams = await visit.ask.teams()
        capacity = await visit.ask.capacity()
    except PlacetError as unseen:
        failed = unseen
    filled = {each: visit.given(each) for each in visit.form if each != session.PROOF}
    if visit.given("act") in ("remove", "leave", "drop", "disband"):  # of a button
        refused = ""
    return visit.page(
        "platform_room.html",
        200 if error is None else problem_of(error)[0],
        tab="room",
        capacity=capacity,
        quotas=quotas[:_QUOTAS],
        more=max(0, len(quotas) - _QUOTAS),
        teams=teams[:_QUOTAS],
        more_teams=max(0, len(teams) - _QUOTAS),
        failed=failed,
        kinds=_kinds,
        error=error,
        filled=filled if refused == "quota" else {},
        into=filled if refused == "team" else {},
        joining=filled if refused == "people" else {},
    )


def _kinds(quota: Quota) -> list[tuple[str, str, str, bool]]:
    """Of each kind that is bounded: its name, what is held, what may be, and whether that is more."""
    shown = (
        ("CPU", "cpu_millis", _CPU, "cores"),
        ("memory", "memory_bytes", _MEMORY, "GiB"),
        ("GPUs", "gpus", 1, ""),
        ("models", "models", 1, ""),
    )
    return [
        (name, f"{(held or 0) / unit:g}", f"{limit / unit:g} {of}".strip(), (held or 0) > limit)
        for name, field, unit, of in shown
        for limit, held in [(_of(quota.limits, field), _of(quota.live, field))]
        if limit is not None
    ]


def _of(amounts: Amounts, field: str) -> int | None:
    value: int | None = getattr(amounts, field)
    return value


async def change_quota(visit: Visit) -> Response:
    """Set one in place of what was said before, or remove it; what was filled in stays where it is refused."""
    try:
        await _change_quota(visit)
    except Unauthenticated:
        raise
    except PlacetError as error:
        return await room_again(visit, "quota", error)
    return visit.go(f"{PATH}/room")


async def _change_quota(visit: Visit) -> None:
    scope, name = visit.wanted("scope"), visit.wanted("of")
    if scope not in ("team", "project"):
        raise Unreadable(f"a quota is of a team or a project, not of a {scope}", fix="choose one of the two")
    whose: dict[str, Any] = {scope: name}
    if visit.given("act") == "remove":
        await visit.ask.remove_quota(**whose)
    else:
        await visit.ask.set_quota(
            **whose,
            cpu_millis=_amount(visit, "cpu", _CPU),
            memory_bytes=_amount(visit, "memory", _MEMORY),
            gpus=visit.number("gpus"),
            models=visit.number("models"),
        )


def _amount(visit: Visit, name: str, unit: int) -> int | None:
    """A number of units, such as cores, in its smallest part. Raises Unreadable."""
    if not (said := visit.given(name)):
        return None
    try:
        number = float(said)
    except ValueError as error:
        raise Unreadable(f"{name}: {said!r} is no number", fix="give one such as 1.5") from error
    if not 0 <= number < 1e9:  # which no number that is none is, either
        raise Unreadable(f"{name}: {said!r} is no amount", fix="give one such as 1.5")
    return round(number * unit)


async def change_team(visit: Visit) -> Response:
    """Have a project be of a team, or of none; what was filled in stays where it is refused."""
    try:
        said = await _change_team(visit)
    except Unauthenticated:
        raise
    except PlacetError as error:
        return await room_again(visit, "team", error)
    return visit.go_saying(f"{PATH}/room", said)


async def _change_team(visit: Visit) -> str:
    """What was done, in words."""
    project = visit.wanted("project")
    if visit.given("act") == "leave":
        await visit.ask.assign(project, team=None)
        return f"{project} is of no team now."
    team = visit.wanted("team")
    await visit.ask.assign(project, team=team)
    return f"{project} is of team {team} now."


async def registry(visit: Visit) -> Response:
    """What of it nothing needs, and what is kept and why."""
    garbage: Garbage | None = None
    failed = None
    try:
        garbage = await visit.ask.garbage(older_than=_days(visit.said("olderThan")))
    except PlacetError as error:
        failed = error
    return visit.page(
        "platform_registry.html",
        tab="registry",
        garbage=garbage,
        older_than=visit.said("olderThan") or "",
        most=_KEPT,
        failed=failed,
    )


async def collect(visit: Visit) -> Response:
    """Remove what nothing needs; what comes of it is told at once."""
    older_than = visit.given("olderThan")
    collected = await visit.ask.collect_garbage(older_than=_days(older_than))
    return visit.page("platform_collected.html", tab="registry", collected=collected, most=_KEPT)


def _days(said: str | None) -> int | None:
    if not said:
        return None
    if not (said.isascii() and said.isdigit()) or len(said) > 6:
        raise Unreadable(f"{said!r} is no number of days", fix="give one such as 30")
    return int(said)


async def retention(visit: Visit) -> Response:
    """How long what people gave is kept, and of which projects nothing is removed."""
    kept, failed = None, None
    try:
        kept = await visit.ask.retention()
    except PlacetError as error:
        failed = error
    return visit.page("platform_retention.html", tab="retention", kept=kept, failed=failed)


async def change_hold(visit: Visit) -> Response:
    project = visit.wanted("project")
    if visit.given("act") == "release":
        await visit.ask.release_hold(project)
    else:
        await visit.ask.hold(project, reason=visit.wanted("reason"))
    return visit.go(f"{PATH}/retention")
