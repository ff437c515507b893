"""Teams and roles on projects, said on the command line."""

from __future__ import annotations

import pytest

from tests.unit.cli.conftest import Placet
from tests.unit.client.fake_platform import FakePlatform


def test_a_team_is_made_changed_and_disbanded(placet: Placet, platform: FakePlatform) -> None:
    assert placet("team", "set", "fraud").out == "of team fraud are nobody\n"
    placet("team", "set", "fraud", "--member", "ada", "--member", "grace")
    assert placet("team", "set", "fraud").out == "of team fraud are ada, grace\n"
    assert placet("team", "drop", "fraud", "ada").out == "of team fraud is grace\n"
    assert placet("team", "add", "fraud", "ada", "--json").document["members"] == [
        {"person": "person:grace", "name": "grace"},
        {"person": "person:ada", "name": "ada"},
    ]
    gone = placet("team", "drop", "fraud", "bob")
    assert (gone.status, "nobody called 'bob' is of team fraud" in gone.err) == (1, True)
    assert placet("team", "drop", "fraud", "person:ada").status == 0
    assert placet("team", "disband", "fraud").out == "there is no team fraud any more\n"
    assert platform.people_of_teams == {}


def test_a_role_is_granted_shown_and_revoked(placet: Placet, platform: FakePlatform) -> None:
    assert "nobody has a role on churn" in placet("project", "members", "churn").out
    assert placet("project", "grant", "churn", "ada", "owner").out == "ada has the role owner on churn\n"
    placet("project", "grant", "churn", "team:fraud", "deployer")
    assert placet("project", "restrict", "churn").out == "churn is private\n"
    shown = placet("project", "members", "churn")
    assert [line.split() for line in shown.out.splitlines()[1:]] == [
        ["ada", "owner", "2026-01-01T00:00:00.000Z", "ada"],
        ["team:fraud", "deployer", "2026-01-01T00:00:00.000Z", "ada"],
    ]
    assert "churn is private: nobody else reads it" in shown.err
    assert placet("project", "members", "churn", "--json").document["private"] is True
    assert placet("project", "open", "churn", "--json").document == {"project": "churn", "private": False}
    assert placet("project", "revoke", "churn", "ada", "--json").document == {
        "project": "churn",
        "to": "person:ada",
        "revoked": True,
    }
    assert placet("project", "revoke", "churn", "team:fraud").status == 0
    assert platform.roles_on == {"churn": {}}
    mistyped = placet("project", "revoke", "churn", "adda")
    assert (mistyped.status, "nobody called 'adda' has a role on churn" in mistyped.err) == (1, True)


@pytest.mark.parametrize(
    "typed", [("project", "grant", "churn", "ada", "king"), ("project", "grant", "churn")]
)
def test_what_is_no_role_is_wrong_usage(
    placet: Placet, platform: FakePlatform, typed: tuple[str, ...]
) -> None:
    assert placet(*typed).status == 2
    assert platform.requests == []
