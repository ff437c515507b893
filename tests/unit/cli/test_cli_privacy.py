"""What is held about people, and how they are forgotten, as the command tells it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.cli.conftest import Placet
from tests.unit.client.fake_platform import FakePlatform

ADA, BOB = (f"person:00000000-0000-7000-8000-00000000000{number}" for number in (1, 2))


def held(person: str, name: str, **more: Any) -> dict[str, Any]:
    return {
        "person": person,
        "name": name,
        "state": "known",
        "tokens": [
            {"id": "t1", "roles": ["scientist"], "issuedAt": "2027", "expires": "2028", "revoked": False}
        ],
        "words": 2,
        "answers": [{"assessment": "assessment:1", "project": "wine", "answeredAt": "2027"}],
        "namedBy": [{"source": "sha256:ab", "as": "owner"}],
        "acts": {"approvals": 0, "sources": 3},
        "given": [
            {"of": "exception:1", "givenAt": "2027", "words": "known\nfor years"},
            {"of": "exception:2", "givenAt": "2027", "words": "tried it"},
        ],
        **more,
    }


@pytest.fixture
def people(platform: FakePlatform) -> dict[str, dict[str, Any]]:
    platform.people = {ADA: held(ADA, "ada@example.org"), BOB: held(BOB, "bob", scrubbed=True)}
    return platform.people


def test_everybody_is_listed_over_all_pages(placet: Placet, people: Any) -> None:
    ended = placet("privacy", "list", "--json")
    assert [(each["person"], each["name"]) for each in ended.document["people"]] == [
        (ADA, "ada@example.org"),
        (BOB, "bob"),
    ]
    assert "ada@example.org" in placet("privacy", "list").out


@pytest.mark.parametrize("who", [ADA, "Ada@example.org"], ids=["by id", "by name"])
def test_what_is_held_is_shown_with_all_words(placet: Placet, people: Any, who: str) -> None:
    told = placet("privacy", "show", who, "--json").document
    assert (told["person"], told["words"], told["namedBy"][0]["as"]) == (ADA, 2, "owner")
    assert [each["words"] for each in told["given"]] == ["known\nfor years", "tried it"]
    out = placet("privacy", "show", who).out
    for said in ("t1", "known for years", "tried it", "sha256:ab", "assessment:1", "sources"):
        assert said in out
    assert "approvals" not in out, "what they never did is left out"


def test_nothing_is_erased_before_somebody_says_so(placet: Placet, people: Any) -> None:
    ended = placet("privacy", "erase", ADA)
    assert (ended.status, people[ADA]["state"]) == (0, "known")
    assert "2 reasons and summaries; revokes 1 token; removes 1 set of answers" in ended.err
    assert f"nothing was erased; `placet privacy erase {ADA} --yes` does it" in ended.err


def test_erasing_waits_until_all_is_done_and_names_the_pseudonym(placet: Placet, people: Any) -> None:
    ended = placet("privacy", "erase", "ada@example.org", "--yes")
    assert ended.status == 0
    assert f"{ADA} is erased, and told of as erased person 3f2a" in ended.out
    assert "`placet audit verify` proves that it holds" in ended.err
    assert placet("privacy", "erase", ADA, "--yes", "--json").document["state"] == "erased"


def test_what_stayed_is_told_with_what_to_do(placet: Placet, people: Any) -> None:
    people[BOB].update(artifactsKept=2, scrubbed=False)
    err = placet("privacy", "erase", BOB, "--yes").err
    assert "2 artifacts stayed" in err
    assert "VACUUM FULL" in err


def test_a_name_that_nobody_has_is_told_with_where_names_are(placet: Placet, people: Any) -> None:
    ended = placet("privacy", "show", "eve")
    assert (ended.status, "`placet privacy list` names everybody" in ended.err) == (1, True)
    assert placet("privacy", "show", ADA[:-1] + "9").status == 1
    for cut in (ADA[:-1], "person:ada"):
        ended = placet("privacy", "erase", cut, "--yes")
        assert (ended.status, f"'{cut}' is no id of a person" in ended.err) == (1, True)
        assert "`placet privacy list` names everybody" in ended.err


def test_what_is_due_is_told_and_nothing_removed(placet: Placet, platform: FakePlatform) -> None:
    ended = placet("privacy", "retention")
    assert ended.out.splitlines()[1].split() == ["words", "reasons", "30", "9", "2", "1", "-"]
    assert "the audit log is never cut" in ended.err
    [words] = placet("privacy", "retention", "--json").document["classes"]
    assert (words["due"], words["kept"]) == (2, 1)


def test_a_project_is_held_with_its_first_reason_until_it_is_released(
    placet: Placet, platform: FakePlatform
) -> None:
    assert "wine is held since 2027" in placet("privacy", "hold", "wine", "--reason", "case 12").out
    assert "first reason stays: case 12" in placet("privacy", "hold", "wine", "--reason", "another").err
    assert placet("privacy", "retention").out.splitlines()[-1].split() == [
        "wine",
        "2027",
        "Bob",
        "case",
        "12",
    ]
    assert placet("privacy", "release", "wine", "--json").document == {"project": "wine", "held": False}
    assert platform.held_projects == {}
    assert placet("privacy", "hold", "wine").status == 2
    for nothing in ("", " ", "…"):
        ended = placet("privacy", "hold", "wine", "--reason", nothing)
        assert (ended.status, "says nothing" in ended.err) == (2, True)
