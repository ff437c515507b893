"""Exceptions from rules, as who asks, who grants and who deploys sees them."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Placet
from tests.unit.client.fake_platform import SCIENTIST, FakePlatform

RULE = "model.pickle-by-exception"
ASK = ("exception", "request", "wine", "--rule", RULE, "--reason", "skops in spring")


@pytest.fixture
def pickled(project: Path) -> Path:
    """A project that only this rule refuses, if there was a model in its file."""
    (project / "model.skops").unlink()
    (project / "model.joblib").write_bytes(pickle.dumps({"a": 1}))
    manifest = project / "placet.yaml"
    manifest.write_text(manifest.read_text().replace("model.skops", "model.joblib"))
    return project


def excepted(platform: FakePlatform, **changes: object) -> None:
    """A granted exception that the platform has."""
    somebody = {"person": "person:1", "name": None}
    platform.exceptions.append(
        {
            "exception": f"exception:{len(platform.exceptions) + 1}",
            "project": "wine",
            "rule": RULE,
            "source": None,
            "until": "2027-01-01T00:00:00.000Z",
            "state": "granted",
            "requestedBy": somebody,
            "requestedAt": "2026-11-01T00:00:00.000Z",
            "grantedBy": somebody,
            **changes,
        }
    )


def test_one_asks_and_is_told_who_goes_on(placet: Placet, platform: FakePlatform) -> None:
    ended = placet(*ASK, "--until", "2027-01-31")
    assert (ended.status, ended.out) == (0, "exception:1\n")
    assert "placet exception grant wine exception:1" in ended.err
    [asked] = platform.exceptions
    assert (asked["rule"], asked["reason"], asked["source"]) == (RULE, "skops in spring", None)
    assert asked["until"] == "2027-01-31T00:00:00+00:00"
    assert placet(*ASK, "--until", "2027-01-31", "--json").document["state"] == "requested"


def test_the_same_with_another_reason_is_no_success(placet: Placet, platform: FakePlatform) -> None:
    assert placet(*ASK, "--until", "2027-01-31").status == 0
    ended = placet(*ASK, "--until", "2027-01-31", "--reason", "said otherwise")
    assert (ended.status, ended.out) == (1, "")
    assert "with another reason, which stays" in ended.err
    assert "withdraw it" in ended.err
    assert [each["reason"] for each in platform.exceptions] == ["skops in spring"]


def test_so_many_days_end_when_a_day_begins(placet: Placet, platform: FakePlatform) -> None:
    """So that asking again is asking for the same, and no more than is allowed."""
    before = datetime.now(UTC).date()  # noqa: TID251 - the command has a person's clock
    assert placet(*ASK, "--days", "30", "--source", f"sha256:{'5' * 64}").status == 0
    [asked] = platform.exceptions
    until = datetime.fromisoformat(asked["until"])
    assert until == datetime(until.year, until.month, until.day, tzinfo=UTC)
    assert date(until.year, until.month, until.day) - before in (timedelta(days=30), timedelta(days=31))
    assert asked["source"] == f"sha256:{'5' * 64}"


@pytest.mark.parametrize(
    "more",
    [
        (),
        ("--days", "30", "--until", "2027-01-31"),
        ("--days", "0"),
        ("--until", "31.1.2027"),
        ("--days", "30", "--source", "sha256:5"),
        ("--days", "30", "--reason", "…"),
    ],
    ids=["no end", "two ends", "no day", "no date", "no digest", "no reason"],
)
def test_what_cannot_be_meant_is_wrong_usage(
    placet: Placet, platform: FakePlatform, more: tuple[str, ...]
) -> None:
    assert placet(*ASK, *more).status == 2
    assert platform.exceptions == []


def test_the_list_tells_all_of_them(placet: Placet, platform: FakePlatform) -> None:
    for _ in range(3):
        excepted(platform)
    excepted(platform, state="requested", grantedBy=None, reason="a\nb", source=f"sha256:{'5' * 64}")
    excepted(platform, project="churn")
    listed = placet("exception", "list", "wine").out.splitlines()
    assert [line.split()[0] for line in listed] == [
        "EXCEPTION",
        *(f"exception:{number}" for number in (4, 3, 2, 1)),
    ]
    assert listed[1].endswith(f"sha256:{'5' * 64}  person:1  -           a b")
    document = placet("exception", "list", "wine", "--json").document
    assert [each["state"] for each in document["exceptions"]] == ["requested", *["granted"] * 3]
    assert "nobody has asked" in placet("exception", "list", "digits").err
    everything = placet("exception", "list").out.splitlines()
    assert [line.split()[:2] for line in everything[:2]] == [
        ["EXCEPTION", "PROJECT"],
        ["exception:5", "churn"],
    ]
    assert len(everything) == 6


def test_another_grants_and_withdraws(
    placet: Placet, platform: FakePlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    placet(*ASK, "--days", "30")
    granted = placet("exception", "grant", "wine", "exception:1")
    assert granted.out.startswith(f"wine is excepted from {RULE} until ")
    assert placet("exception", "grant", "wine", "exception:1", "--json").document["state"] == "granted"
    gone = placet("exception", "withdraw", "wine", "exception:1")
    assert gone.out.startswith("exception:1 is withdrawn")
    assert "leaves its route" in gone.err
    monkeypatch.setenv("PLACET_TOKEN", SCIENTIST)
    mine = placet("exception", "grant", "wine", "exception:1")
    assert mine.status == 1
    assert "takes two people" in mine.err
    assert "see `placet exception list wine`" in placet("exception", "grant", "wine", "x").err


def test_a_refusal_says_how_to_ask_for_an_exception_of_the_project_that_is_meant(
    placet: Placet, platform: FakePlatform, pickled: Path
) -> None:
    ask = f"`placet exception request %s --rule {RULE} --days 30 --reason …`"
    checked = placet("check", str(pickled))
    assert checked.status == 1
    assert ask % "wine" in checked.err
    assert "`placet deploy` asks it" in checked.err
    refused = placet("deploy", str(pickled), "--project", "port", "--json")
    assert (refused.status, refused.document["state"]) == (1, "refused")
    assert [each["rule"] for each in refused.document["refusals"]] == [RULE]
    assert ask % "port" in refused.document["refusals"][0]["fix"]
    assert platform.commands == []


def test_a_refusal_names_the_exception_that_waits_to_be_granted(
    placet: Placet, platform: FakePlatform, pickled: Path
) -> None:
    for changes in (
        {"state": "withdrawn"},
        {"source": f"sha256:{'5' * 64}"},
        {"rule": "model.pickle-names-listed"},
        {"project": "churn"},
    ):
        excepted(platform, **{"state": "requested", **changes})
    assert "placet exception grant" not in placet("deploy", str(pickled)).err
    excepted(platform, state="requested")
    refused = placet("deploy", str(pickled))
    assert refused.status == 1
    assert "an exception from model.pickle-by-exception was asked for" in refused.err
    assert "placet exception grant wine exception:5\n" in refused.err


def test_what_is_excepted_is_sent_and_the_rule_still_did_not_pass(
    placet: Placet, platform: FakePlatform, pickled: Path
) -> None:
    source = placet("check", str(pickled), "--json").document["source"]
    excepted(platform, state="withdrawn")
    excepted(platform, state="requested")
    excepted(platform, source=f"sha256:{'5' * 64}")
    excepted(platform, rule="model.pickle-names-listed")
    excepted(platform, project="churn")
    assert json.loads(placet("deploy", str(pickled), "--json").out)["state"] == "refused"
    excepted(platform, source=source)
    ended = placet("deploy", str(pickled))
    assert ended.status == 0
    assert "rules pass, 1 excepted" in ended.err
    assert source in platform.sources
