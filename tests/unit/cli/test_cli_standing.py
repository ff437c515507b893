"""`placet status --platform`: one screen that says what is wrong, and what to do."""

from __future__ import annotations

from typing import Any

import pytest
from placet.cli.verbs.standing import of_service
from placet.client import ServiceState

from tests.unit.cli.conftest import Placet
from tests.unit.client.fake_platform import SCIENTIST, FakePlatform


def model(project: str, state: str, **said: Any) -> dict[str, Any]:
    return {"project": project, "state": state, "release": 1, **said}


def troubles(told: Any) -> list[tuple[str, str]]:
    return [(each["about"], each["what"]) for each in told.document["troubles"]]


def test_where_all_is_well_it_says_so(placet: Placet, platform: FakePlatform) -> None:
    platform.models = {"churn": model("churn", "live"), "wine": model("wine", "stopped")}
    told = placet("status", "--platform")
    assert told.status == 0
    assert "all is well: 6 services at work" in told.out
    assert placet("status", "--platform", "--json").document["well"] is True


def test_what_is_wrong_with_services_is_told_with_what_to_do(placet: Placet, platform: FakePlatform) -> None:
    platform.services = {
        "builder": {"ready": False, "why": "the broker hung up"},
        "deployer": {"hampered": [{"what": "reconcile", "why": "the engine does not answer"}]},
        "indexer": {
            "projections": [{"name": "images", "version": 1, "position": 1, "lag": 9, "beatAge": 300.0}]
        },
        "certifier": {"parked": 2},
    }
    told = placet("status", "--platform", "--json")
    assert told.status == 1
    assert troubles(told) == [
        ("certifier", "2 messages parked"),
        ("builder", "it does not do its work: the broker hung up"),
        ("indexer", "its read model images has said nothing for 300 s and is 9 events behind"),
        ("deployer", "reconcile: the engine does not answer"),
    ]
    assert "`placet services parked certifier`" in told.document["troubles"][0]["fix"]
    assert all(each["fix"] for each in told.document["troubles"])


def test_a_service_that_tells_nothing_is_among_them(placet: Placet, platform: FakePlatform) -> None:
    platform.strangers = {"metadata"}
    told = placet("status", "--platform")
    assert told.status == 1
    assert "metadata: nothing is known of it: it does not take this token" in told.err
    assert "start it again" in told.err


def test_one_that_is_slow_is_not_called_away() -> None:
    late = ServiceState(service="builder", answers=False, slow=True, why="it did not answer within 3 s")
    [told] = of_service(late)
    assert told.what == "it did not answer within 3 s"
    assert "how busy" in told.fix


def test_models_that_do_not_serve_are_named_and_many_counted(placet: Placet, platform: FakePlatform) -> None:
    platform.models = {
        "churn": model("churn", "quarantined", detail="psi is above 0.2"),
        **{f"lost-{number}": model(f"lost-{number}", "failed") for number in range(7)},
        "wine": model("wine", "live", lapsing=True, certifiedUntil="2026-12-01T00:00:00.000Z"),
    }
    told = placet("status", "--platform", "--json")
    found = troubles(told)
    assert found[0] == ("churn", "quarantined: psi is above 0.2")
    assert found[1:6] == [(f"lost-{number}", "failed") for number in range(5)]
    assert found[6] == ("models", "more are failed")
    assert found[7][0] == "wine"
    assert "2026-12-01" in found[7][1]
    assert told.document["troubles"][7]["fix"].startswith("`placet certificate renew wine`")


def test_no_room_and_webhooks_that_are_off_are_told(placet: Placet, platform: FakePlatform) -> None:
    hook = {"webhook": "hook:1", "url": "https://there", "position": 1, "head": 9}
    platform.used_up = ("memoryBytes",)
    platform.webhooks = [{**hook, "state": "disabled", "why": "gone"}, {**hook, "state": "enabled"}]
    found = troubles(placet("status", "--platform", "--json"))
    assert found == [
        ("room", "there is no memory left for models, so deploys wait"),
        ("webhook hook:1", "https://there is disabled, gone"),
    ]


def test_who_may_not_see_webhooks_is_told_of_the_rest(
    placet: Placet, platform: FakePlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACET_TOKEN", SCIENTIST)
    platform.webhooks = [{"webhook": "hook:1", "url": "u", "state": "disabled", "position": 1, "head": 1}]
    assert placet("status", "--platform").status == 0


@pytest.mark.parametrize("typed", [(), ("churn", "--platform"), ("--platform", "--follow")])
def test_one_thing_is_asked_for(placet: Placet, typed: tuple[str, ...]) -> None:
    told = placet("status", *typed)
    assert told.status == 2
    assert "--platform" in told.err
