"""Approvals, as who deploys and who approves sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from placet.rules import offered_files

from tests.unit.cli.conftest import Placet
from tests.unit.client.fake_platform import FakePlatform

BINDING, OTHER = f"sha256:{'b' * 64}", f"sha256:{'c' * 64}"


def waits(platform: FakePlatform, release: int = 1, **changes: Any) -> None:
    platform.awaited.append(
        {
            "release": release,
            "state": "awaiting",
            "operation": "01900000-0000-7000-8000-000000000000",
            "binding": BINDING,
            "source": f"sha256:{'5' * 64}",
            "image": f"sha256:{'1' * 64}",
            "inputs": f"sha256:{'a' * 64}",
            "policies": [{"id": "four-eyes", "version": 1, "digest": f"sha256:{'e' * 64}"}],
            "awaiting": [
                {"rule": "approval.four-eyes", "why": "2 are needed, and 1 have", "fix": "approve it"}
            ],
            "since": "2026-11-26T00:00:00.000Z",
            "until": "2026-12-10T00:00:00.000Z",
            "askedBy": {"person": "person:1", "name": "ada"},
            "approvals": [],
            **changes,
        }
    )


def approved(**changes: Any) -> dict[str, Any]:
    return {
        "approval": "approval:0",
        "project": "wine",
        "release": 1,
        "binding": BINDING,
        "roles": ["compliance"],
        "givenBy": {"person": "person:3", "name": "grace"},
        "givenAt": "2026-11-26T12:00:00.000Z",
        "reason": "tried it",
        "binds": True,
        **changes,
    }


def test_a_deploy_that_waits_for_people_says_who_can_do_what(
    placet: Placet, platform: FakePlatform, project: Path
) -> None:
    platform.outcome = "awaiting"
    ended = placet("deploy", str(project))
    assert ended.status == 4
    assert "waits for people" in ended.err
    assert "high risk needs two people" in ended.err
    assert "fix: `placet approve wine`" in ended.err
    assert "placet status 01900000-0000-7000-8000-000000000000 --follow" in ended.err


def test_what_is_approved_is_shown_and_is_what_was_shown(placet: Placet, platform: FakePlatform) -> None:
    waits(platform, approvals=[approved(), approved(binds=False, reason=None)])
    ended = placet("approve", "wine", "--reason", "tried it, too")
    assert (ended.status, ended.out) == (0, "approval:1\n")
    assert platform.approved == [{"release": 1, "binding": BINDING, "roles": [], "reason": "tried it, too"}]
    for said in (
        "wine, release 1",
        "ada",
        "four-eyes 1",
        BINDING,
        "2026-12-10",
        "grace, compliance: tried it",
        "counts no more",
        "2 are needed, and 1 have",
        "--follow",
    ):
        assert said in ended.err
    assert placet("approve", "wine", "--json").document["approval"] == "approval:2"


def test_looking_approves_nothing(placet: Placet, platform: FakePlatform) -> None:
    waits(platform)
    ended = placet("approve", "wine", "--look", "--json")
    assert (ended.status, ended.document["binding"]) == (0, BINDING)
    assert platform.approved == []


def test_what_was_looked_at_before_and_is_something_else_now_is_not_approved(
    placet: Placet, platform: FakePlatform
) -> None:
    waits(platform)
    ended = placet("approve", "wine", "--binding", OTHER)
    assert ended.status == 1
    assert "something else by now" in ended.err
    assert "approval.binding" in ended.err


def test_one_of_the_roles_of_a_token_is_enough(placet: Placet, platform: FakePlatform) -> None:
    waits(platform)
    assert placet("approve", "wine", "--as-role", "compliance").status == 0
    assert platform.approved[0]["roles"] == ["compliance"]
    assert placet("approve", "wine", "--as-role", "king").status == 2


@pytest.mark.parametrize(
    ("releases", "more", "said"),
    [
        ((), (), "nothing of wine waits for approval"),
        ((1,), ("--release", "2"), "nothing of release 2 of wine waits for approval"),
        ((2, 1), (), "releases 2, 1 of wine wait for approval"),
    ],
)
def test_what_is_to_be_approved_has_to_be_clear(
    placet: Placet, platform: FakePlatform, releases: tuple[int, ...], more: tuple[str, ...], said: str
) -> None:
    for release in releases:
        waits(platform, release)
    ended = placet("approve", "wine", *more)
    assert ended.status == 1
    assert said in ended.err
    assert platform.approved == []


def test_of_several_one_is_named(placet: Placet, platform: FakePlatform) -> None:
    waits(platform, 2)
    waits(platform, 1, binding=OTHER)
    assert placet("approve", "wine", "--release", "1").status == 0
    assert (platform.approved[0]["release"], platform.approved[0]["binding"]) == (1, OTHER)


@pytest.mark.parametrize("name", sorted(Path(file).stem for file in offered_files()))
def test_a_policy_that_is_only_offered_is_published_by_its_name(
    name: str, placet: Placet, platform: FakePlatform, tmp_path: Path
) -> None:
    ended = placet("policy", "test", name, "--strict")
    assert ended.status == 0
    assert f"{name} 1" in ended.out
    (tmp_path / "none.yaml").unlink(missing_ok=True)
    assert placet("policy", "test", str(tmp_path / "none.yaml")).status == 1


def test_the_glass_is_broken_for_a_reason_and_a_second_person_is_asked_for(
    placet: Placet, platform: FakePlatform
) -> None:
    waits(platform)
    assert placet("approve", "wine", "--break-glass").status == 2
    ended = placet("approve", "wine", "--break-glass", "--reason", "it burns")
    assert ended.status == 0
    assert platform.approved[0]["breakGlass"] is True
    assert "second person" in ended.err
    assert "a review of that is owed" in ended.err
    assert "you are the second" not in ended.err


def for_a_day(**changes: Any) -> dict[str, Any]:
    return approved(breakGlass=True, roles=["operator"], **changes)


def test_who_breaks_the_glass_second_is_told_what_that_does(placet: Placet, platform: FakePlatform) -> None:
    waits(platform, approvals=[for_a_day()])
    ended = placet("approve", "wine", "--break-glass", "--reason", "it burns")
    assert "you are the second person to say so: release 1 of wine is served for a day at most" in ended.err
    assert "once a second person" not in ended.err
    assert "placet status 01900000-0000-7000-8000-000000000000 --follow" in ended.err


@pytest.mark.parametrize(
    "before",
    [
        approved(),
        for_a_day(binding=OTHER, binds=False),
        for_a_day(givenBy={"person": "person:2", "name": "bob"}),
    ],
    ids=["approved as usual", "of what it was before", "by the same person"],
)
def test_only_somebody_else_who_broke_the_glass_for_exactly_this_is_a_first_person(
    placet: Placet, platform: FakePlatform, before: dict[str, Any]
) -> None:
    waits(platform, approvals=[before])
    ended = placet("approve", "wine", "--break-glass", "--reason", "it burns")
    assert "once a second person has said so as well" in ended.err


def test_a_review_that_is_owed_is_shown_until_it_is_done(placet: Placet, platform: FakePlatform) -> None:
    platform.review = {"certificate": "certificate:1", "release": 1, "state": "owed", "owedAt": "2026-11-27"}
    ended = placet("certificate", "show", "certificate:1")
    assert "owed since 2026-11-27: the glass was broken for it" in ended.out
    assert placet("approve", "wine", "--review", "certificate:1").status == 2
    done = placet("approve", "wine", "--review", "certificate:1", "--reason", "it was right")
    assert (done.status, platform.found) == (0, ["it was right"])


def test_a_review_is_of_a_certificate_of_that_very_project(placet: Placet, platform: FakePlatform) -> None:
    ended = placet("approve", "iris", "--review", "certificate:1", "--reason", "it was right")
    assert (ended.status, platform.found) == (1, [])
    assert "certificate:1 is of wine, not of iris" in ended.err
    assert "`placet status iris`" in ended.err
