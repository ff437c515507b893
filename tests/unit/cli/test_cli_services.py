"""`placet services`: how they stand, what is parked and why, and the way back."""

from __future__ import annotations

from typing import Any

import pytest
from placet.cli import arguments
from placet.client import SERVICES

from tests.unit.cli.conftest import Placet
from tests.unit.client.fake_platform import SCIENTIST, FakePlatform


def parked(number: int, **other: Any) -> dict[str, Any]:
    return {
        "id": f"gateway.e.{number}",
        "producer": "gateway",
        "epoch": "e",
        "position": number,
        "event": f"event-{number}",
        "type": "placet.gateway.deploy.requested.v1",
        "project": "churn",
        "routingKey": "gateway.deploy.requested.churn",
        "reason": "the disk is full",
        "attempts": 12,
        "receivedAt": "2026-01-01T00:00:00.000Z",
        "parkedAt": "2026-01-01T00:01:00.000Z",
        "stray": False,
        **other,
    }


STRAY = parked(
    0, id="stray.1", position=None, epoch=None, event=None, type=None, project=None, attempts=0, stray=True
)


def test_services_are_listed_with_what_is_in_the_way(placet: Placet, platform: FakePlatform) -> None:
    platform.parked = {"certifier": [parked(1), parked(2)]}
    platform.services = {
        "deployer": {
            "hampered": [{"what": "reconcile", "why": "the engine does not answer"}],
            "hears": [{"producer": "certifier", "position": 1, "behind": 2, "waiting": 3, "attempts": 0}],
            "outbox": {"position": 9, "waiting": 4, "since": "2026-01-01T00:00:00.000Z"},
        },
        "builder": {"ready": False, "why": "RabbitMQ hung up", "outbox": None, "parked": None},
    }
    listed = placet("services", "list")
    rows = {line.split()[0]: line.split() for line in listed.out.splitlines()[1:]}
    assert list(rows) == ["gateway", "certifier", "builder", "indexer", "deployer", "metadata"]
    assert rows["gateway"] == ["gateway", "ready", "0", "0", "0", "0", "-"]
    assert rows["certifier"][-2:] == ["2", "-"]
    assert rows["deployer"][:6] == ["deployer", "ready", "5", "4", "0", "0"]
    assert "reconcile: the engine does not answer" in listed.out
    assert "not ready" in " ".join(rows["builder"])
    assert "2 messages parked" in listed.err
    told = placet("services", "list", "--json").document["services"]
    assert [each["service"] for each in told] == list(rows)
    assert told[4]["outbox"] == {"position": 9, "waiting": 4, "since": "2026-01-01T00:00:00.000Z"}


def test_what_is_parked_is_told_with_the_reason(placet: Placet, platform: FakePlatform) -> None:
    platform.parked = {"certifier": [parked(1)], "gateway": [STRAY]}
    listed = placet("services", "parked")
    assert listed.status == 0
    assert [line.split()[:2] for line in listed.out.splitlines()[1:]] == [
        ["gateway", "stray.1"], ["certifier", "gateway.e.1"],
    ]  # fmt: skip
    assert "the disk is full" in listed.out
    assert "placet services retry" in listed.err
    only = placet("services", "parked", "certifier", "--json").document
    assert only == {"parked": [{"service": "certifier", **parked(1)}]}
    assert "nothing is parked" in placet("services", "parked", "builder").err


def test_of_strays_alone_nobody_is_told_to_retry_them(placet: Placet, platform: FakePlatform) -> None:
    platform.parked = {"gateway": [STRAY]}
    assert "retry" not in placet("services", "parked").err


def test_one_is_handed_back_or_all(placet: Placet, platform: FakePlatform) -> None:
    platform.parked = {"certifier": [parked(1), parked(2), parked(3)]}
    one = placet("services", "retry", "certifier", "gateway.e.1")
    assert (one.status, one.out) == (0, "1 message handed back to certifier\n")
    again = placet("services", "retry", "certifier", "gateway.e.1")
    assert (again.status, "waits already" in again.out) == (0, True)
    assert placet("services", "retry", "certifier", "--all", "--json").document == {
        "service": "certifier", "message": None, "retried": 2,
    }  # fmt: skip


@pytest.mark.parametrize("more", [(), ("gateway.e.1", "--all")])
def test_which_is_to_be_handed_back_has_to_be_said(
    placet: Placet, platform: FakePlatform, more: tuple[str, ...]
) -> None:
    platform.parked = {"certifier": [parked(1)]}
    ended = placet("services", "retry", "certifier", *more)
    assert (ended.status, "--all" in ended.err) == (2, True)
    assert platform.parked == {"certifier": [parked(1)]}


def test_what_may_be_typed_is_what_there_is() -> None:
    assert arguments.SERVICES == SERVICES


def test_a_service_that_nobody_has_is_named(placet: Placet) -> None:
    ended = placet("services", "parked", "certifer")
    assert (ended.status, "is `certifier` meant?" in ended.err) == (2, True)


def test_who_may_not_see_it_is_told_so(
    placet: Placet, platform: FakePlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACET_TOKEN", SCIENTIST)
    assert placet("services", "list").status == 0
    assert placet("services", "parked", "certifier").status == 1
    assert placet("services", "retry", "certifier", "--all").status == 1


def test_what_one_that_is_away_has_parked_is_said_not_to_be_known(
    placet: Placet, platform: FakePlatform
) -> None:
    platform.silent, platform.parked = {"indexer"}, {"certifier": [parked(1)]}
    listed = placet("services", "parked")
    assert listed.status == 3
    assert "indexer does not answer: it did not answer within 3 s" in listed.err
