"""Who may do what with a project, and who is of a team: shown to all who may read it, changed by owners and admins."""

from __future__ import annotations

from starlette.responses import Response

from placet.errors import PlacetError, Unauthenticated, Unreadable
from placet.events.problems import problem_of
from placet.gateway.console.operating import room_again
from placet.gateway.console.visits import Visit

ROLES = {
    "owner": "gives and takes roles, and all below",
    "deployer": "deploys, scales, stops, asks for exceptions, and all below",
    "viewer": "reads it while it is private",
}


async def members(visit: Visit) -> Response:
    return await _page(visit)


async def _page(visit: Visit, error: PlacetError | None = None) -> Response:
    """With what was filled in, where it was refused."""
    project = visit.place("project")
    model, shared = await visit.ask.model(project), await visit.ask.members(project)
    is_granting = error is not None and visit.given("act") == "grant"
    return visit.page(
        "model_members.html",
        200 if error is None else problem_of(error)[0],
        tab="members",
        model=model,
        shared=shared,
        roles=ROLES,
        error=error,
        filled={each: visit.given(each) for each in ("to", "role")} if is_granting else {},
    )


async def change(visit: Visit) -> Response:
    """Give or take a role, make the project private or open it; what was filled in stays where it is refused."""
    try:
        done = await _changed(visit)
    except Unauthenticated:
        raise
    except PlacetError as error:
        return await _page(visit, error)
    return visit.go_saying(f"/console/models/{visit.place('project')}/members", done)


async def _changed(visit: Visit) -> str:
    project = visit.place("project")
    match visit.wanted("act"):
        case "grant":
            to, role = visit.wanted("to"), visit.wanted("role")
            await visit.ask.grant(project, to, role)
            return f"{to} has the role {role} on {project} now."
        case "revoke":
            await visit.ask.revoke_role(project, visit.wanted("to"))
            return f"{visit.given('name') or visit.given('to')} has no role on {project} any more."
        case "restrict":
            await visit.ask.restrict(project)
            return f"{project} is private now."
        case "open":
            await visit.ask.open(project)
            return f"{project} is private no more."
    raise Unreadable("nothing was asked for that is done here", fix="use the buttons of the page")


async def change_team(visit: Visit) -> Response:
    """Put somebody into a team, which is made where there is none, take somebody out, or disband it."""
    try:
        done = await _changed_team(visit)
    except Unauthenticated:
        raise
    except PlacetError as error:
        return await room_again(visit, "people", error)
    return visit.go_saying("/console/platform/room", done)


async def _changed_team(visit: Visit) -> str:
    act = visit.wanted("act")
    team = visit.wanted("joined" if act == "join" else "team")
    match act:
        case "join":
            person = visit.given("person")
            await visit.ask.set_team(team)
            if not person:
                return f"There is a team {team} now."
            await visit.ask.join_team(team, person)
            return f"{person} is of team {team} now."
        case "drop":
            await visit.ask.part_team(team, visit.wanted("person"))
            return f"{visit.given('name') or visit.given('person')} is of team {team} no more."
        case "disband":
            await visit.ask.disband_team(team)
            return f"There is no team {team} any more."
    raise Unreadable("nothing was asked for that is done here", fix="use the buttons of the page")
