"""Teams and roles on projects: what may be changed, and what that says. No clock, no database."""

from __future__ import annotations

import pytest
from placet.errors import Conflict, Forbidden, Refused, Unknown
from placet.events.contracts.gateway import (
    ProjectOpened,
    ProjectRestricted,
    RoleGranted,
    RoleRevoked,
    TeamChanged,
    TeamDisbanded,
)
from placet.events.contracts.shapes import ProjectRole
from placet.gateway.teams import (
    MOST_GRANTS,
    MOST_MEMBERS,
    SHARING,
    TEAMS,
    ChangeTeam,
    DisbandTeam,
    Grant,
    Open,
    Restrict,
    Revoke,
    SharingCommand,
    SharingHappened,
    TeamCommand,
    TeamHappened,
)
from placet.identity.sharing import Standing

ADA, BOB, ROOT = (f"person:00000000-0000-7000-8000-00000000000{each}" for each in "123")


def of_team(before: list[TeamHappened], command: TeamCommand) -> list[TeamHappened]:
    return list(TEAMS.decide(command, TEAMS.fold(before)))


def changed(added: tuple[str, ...], removed: tuple[str, ...] = ()) -> TeamChanged:
    return TeamChanged(team="fraud", added=added, removed=removed, changed_by=ROOT)


def test_a_team_is_made_once_changed_by_what_differs_and_disbanded() -> None:
    make = ChangeTeam(team="fraud", add=(ADA,), makes=True, by=ROOT)
    assert of_team([], ChangeTeam(team="fraud", makes=True, by=ROOT)) == [changed(())]
    assert of_team([], make) == [changed((ADA,))]
    assert of_team([changed((ADA,))], make) == []
    assert of_team([changed((ADA,))], ChangeTeam(team="fraud", add=(BOB,), only=True, by=ROOT)) == [
        changed((BOB,), (ADA,))
    ]
    assert of_team([changed((ADA,))], ChangeTeam(team="fraud", remove=(ADA, BOB), by=ROOT)) == [
        changed((), (ADA,))
    ]
    gone = TeamDisbanded(team="fraud", disbanded_by=ROOT)
    assert of_team([changed((ADA,))], DisbandTeam(team="fraud", holds=[], by=ROOT)) == [gone]
    assert TEAMS.fold([changed((ADA,)), gone, changed(())]).members == frozenset()


def test_a_team_that_holds_a_role_stays_and_one_that_is_none_is_not_disbanded() -> None:
    with pytest.raises(Conflict, match="has a role on churn"):
        of_team([changed(())], DisbandTeam(team="fraud", holds=["churn"], by=ROOT))
    with pytest.raises(Unknown, match="no team 'fraud'"):
        of_team([], DisbandTeam(team="fraud", holds=[], by=ROOT))


def test_a_team_that_is_none_is_made_by_nobody_who_would_change_it() -> None:
    gone: list[TeamHappened] = [changed((ADA,)), TeamDisbanded(team="fraud", disbanded_by=ROOT)]
    for command in (
        ChangeTeam(team="fraud", add=(BOB,), by=ROOT),
        ChangeTeam(team="fraud", remove=(ADA,), by=ROOT),
    ):
        with pytest.raises(Unknown, match="no team 'fraud'"):
            of_team(gone, command)


def test_a_team_has_as_many_members_as_an_event_has_room_for() -> None:
    many = tuple(f"person:{number:036d}" for number in range(MOST_MEMBERS + 1))
    with pytest.raises(Refused, match=f"{MOST_MEMBERS} at most"):
        of_team([], ChangeTeam(team="fraud", add=many, makes=True, by=ROOT))


def granted(to: str, role: ProjectRole = "owner") -> RoleGranted:
    return RoleGranted(project="churn", to=to, role=role, granted_by=ROOT)


def shared(before: list[SharingHappened], command: SharingCommand) -> list[SharingHappened]:
    return list(SHARING.decide(command, SHARING.fold(before)))


def grant(to: str, role: ProjectRole) -> Grant:
    return Grant(project="churn", to=to, role=role, by=ROOT)


def revoke(to: str, *, is_admin: bool = False) -> Revoke:
    return Revoke(project="churn", to=to, by=ROOT, is_admin=is_admin)


RESTRICTED = ProjectRestricted(project="churn", restricted_by=ROOT)


def test_a_role_is_granted_replaced_and_revoked_once() -> None:
    owned: list[SharingHappened] = [granted(ADA)]
    assert shared([], grant(ADA, "owner")) == owned
    assert shared(owned, grant(ADA, "owner")) == []
    assert shared(owned, grant("team:fraud", "viewer")) == [granted("team:fraud", "viewer")]
    both = [*owned, granted("team:fraud", "viewer")]
    assert shared(both, grant("team:fraud", "deployer")) == [granted("team:fraud", "deployer")]
    taken = RoleRevoked(project="churn", to="team:fraud", role="viewer", revoked_by=ROOT)
    assert shared(both, revoke("team:fraud")) == [taken]
    assert shared([*both, taken], revoke("team:fraud")) == []


def test_a_project_with_roles_has_an_owner() -> None:
    owned: list[SharingHappened] = [granted(ADA)]
    with pytest.raises(Conflict, match="the first one is an owner's"):
        shared([], grant(ADA, "deployer"))
    for command in (grant(ADA, "viewer"), revoke(ADA)):
        with pytest.raises(Conflict, match="would have no owner"):
            shared(owned, command)
    with pytest.raises(Conflict, match="would have no owner"):
        shared([*owned, granted(BOB, "viewer")], revoke(ADA, is_admin=True))
    assert shared(owned, revoke(ADA, is_admin=True)) == [
        RoleRevoked(project="churn", to=ADA, role="owner", revoked_by=ROOT)
    ]


def test_a_private_project_keeps_somebody_who_lets_others_in() -> None:
    with pytest.raises(Conflict, match="no owner"):
        shared([], Restrict(project="churn", by=ROOT))
    owned: list[SharingHappened] = [granted(ADA)]
    assert shared(owned, Restrict(project="churn", by=ROOT)) == [RESTRICTED]
    private = [*owned, RESTRICTED]
    assert shared(private, Restrict(project="churn", by=ROOT)) == []
    with pytest.raises(Conflict, match="open it first"):
        shared(private, revoke(ADA, is_admin=True))
    assert shared(private, Open(project="churn", by=ROOT)) == [ProjectOpened(project="churn", opened_by=ROOT)]
    assert shared(owned, Open(project="churn", by=ROOT)) == []


def test_so_many_have_a_role_and_more_are_a_team() -> None:
    full = [granted(f"person:{number:036d}") for number in range(MOST_GRANTS)]
    with pytest.raises(Refused, match="make a team"):
        shared([*full], grant(ADA, "viewer"))
    assert shared([*full], grant(full[0].to, "viewer")) == [granted(full[0].to, "viewer")]


NONE, SHARED, PRIVATE = (False, False), (True, False), (True, True)


@pytest.mark.parametrize(
    ("role", "is_shared", "is_private", "may"),
    [
        (None, *NONE, {"viewer", "deployer"}),
        (None, *SHARED, {"viewer"}),
        (None, *PRIVATE, set()),
        ("viewer", *SHARED, {"viewer"}),
        ("viewer", *PRIVATE, {"viewer"}),
        ("deployer", *PRIVATE, {"viewer", "deployer"}),
        ("owner", *PRIVATE, {"viewer", "deployer", "owner"}),
    ],
)
def test_a_role_allows_what_those_below_it_do(
    role: ProjectRole | None, is_shared: bool, is_private: bool, may: set[str]
) -> None:
    standing = Standing(project="churn", role=role, is_shared=is_shared, is_private=is_private)
    needed: tuple[ProjectRole, ...] = ("viewer", "deployer", "owner")
    assert {each for each in needed if standing.may(each, {"scientist"})} == may
    assert all(standing.may(each, {"admin"}) for each in needed)
    assert standing.may("viewer", {"auditor"})
    assert standing.may("deployer", {"operator"}) == ("deployer" in may)
    for each in set(needed) - may:
        with pytest.raises(Forbidden, match=each if is_shared else "nobody has a role"):
            standing.must(each, {"scientist"})
