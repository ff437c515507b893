"""Each release is told of by its number: when it was live, how that ended, and what took its place."""

from __future__ import annotations

from typing import Any

from placet.events.contracts import deployer
from placet.events.testing import changed

from tests.unit.gateway.harness import Gateway, asked, live
from tests.unit.gateway.roads import (
    CERTIFICATE,
    IMAGE,
    SOURCE,
    certified,
    cleared,
    failed,
    indexed,
    refused,
    reserved,
    started,
)
from tests.unit.gateway.test_canaries import SECOND, canary
from tests.unit.gateway.test_gateway_api import is_problem
from tests.unit.gateway.test_going_back import ANOTHER, roll_back, two_releases

BY_ITSELF = "nothing-that-was-asked-for"
THIRD = "certificate:00000000-0000-7000-8000-00000000000f"


async def told(gateway: Gateway, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await gateway.read(f"/v1/models/churn/releases{query}"))["releases"]
    return found


async def in_brief(gateway: Gateway) -> list[tuple[Any, ...]]:
    names = ("release", "state", "served", "image", "ended")
    return [tuple(each[name] for name in names) for each in await told(gateway)]


async def goes_back(gateway: Gateway) -> None:
    """To release 1, as release 3."""
    begun = (await roll_back(gateway)).json()
    third = changed(certified(release=3, certificate=THIRD), image=IMAGE)
    serves = changed(started(release=3, request=3), certificate=THIRD)
    await gateway.hear_all(
        (cleared(release=3), reserved(release=3), indexed(release=3), third, serves), begun["operation"]
    )


async def test_releases_of_the_same_image_are_each_told_of(gateway: Gateway) -> None:
    await two_releases(gateway)
    await goes_back(gateway)
    assert await in_brief(gateway) == [
        (3, "live", "now", IMAGE, None),
        (2, "replaced", "before", ANOTHER, "replaced"),
        (1, "replaced", "before", IMAGE, "replaced"),
    ]
    third, second, first = await told(gateway)
    assert (third["command"], third["backTo"], third["certificate"]) == ("deploy", 1, THIRD)
    assert (first["source"], first["certificate"], first["format"]) == (SOURCE, CERTIFICATE, "sklearn")
    assert first["replacedBy"] == {
        "release": 2, "operation": second["operation"], "command": "deploy", "backTo": None,
    }  # fmt: skip
    assert second["replacedBy"]["backTo"] == 1
    assert first["liveAt"] < first["endedAt"] == second["liveAt"] < second["endedAt"] == third["liveAt"]
    assert first["askedAt"] < first["liveAt"]
    assert third["endedAt"] is None
    assert third["certificateState"] == "valid"


async def test_they_are_paged_by_their_numbers(gateway: Gateway) -> None:
    await two_releases(gateway)
    await goes_back(gateway)
    page = await gateway.read("/v1/models/churn/releases?limit=2")
    assert ([each["release"] for each in page["releases"]], page["next"]) == ([3, 2], 2)
    page = await gateway.read("/v1/models/churn/releases?limit=2&after=2")
    assert ([each["release"] for each in page["releases"]], page["next"]) == ([1], None)


async def test_what_never_served_is_as_far_as_it_came(gateway: Gateway) -> None:
    await live(gateway)
    await gateway.hear(changed(refused("submit"), release=2), await asked(gateway))
    await asked(gateway)
    assert await in_brief(gateway) == [
        (3, "requested", "never", None, None),
        (2, "refused", "never", None, None),
        (1, "live", "now", IMAGE, None),
    ]


async def test_how_it_ended_is_said_until_it_is_started_again(gateway: Gateway) -> None:
    await live(gateway)
    quarantined = deployer.ModelQuarantined(
        project="churn", release=1, certificate=CERTIFICATE, why="it was revoked"
    )
    ends = (
        (deployer.ModelStopped(project="churn", release=1), "stopped", None),
        (quarantined, "quarantined", "it was revoked"),
        (failed(request=9), "failed", "the answer differs"),
        (deployer.ModelDeleted(project="churn"), "deleted", None),
    )
    for event, ended, why in ends:
        await gateway.hear(started(request=9), BY_ITSELF)
        [serves] = await told(gateway)
        assert (serves["state"], serves["ended"], serves["why"]) == ("live", None, None)
        await gateway.hear(event, BY_ITSELF)
        [rests] = await told(gateway)
        assert (rests["state"], rests["served"], rests["ended"], rests["why"]) == (
            ended, "before", ended, why,
        )  # fmt: skip


async def test_what_is_mended_has_been_live_since_it_first_was(gateway: Gateway) -> None:
    await live(gateway)
    [before] = await told(gateway)
    await gateway.hear(deployer.ModelDiverged(project="churn", release=1, why="it ended"), BY_ITSELF)
    await gateway.hear(started(), BY_ITSELF)
    assert await told(gateway) == [before]


async def test_a_failed_start_of_another_release_ends_nothing(gateway: Gateway) -> None:
    await live(gateway)
    await gateway.hear(failed(release=2, request=2), await asked(gateway))
    assert [each["state"] for each in await told(gateway)] == ["failed", "live"]


async def test_a_canary_is_one_until_it_is_promoted_or_ended(gateway: Gateway) -> None:
    await live(gateway)
    operation = await asked(gateway)
    await gateway.hear_all((cleared(release=2), reserved(release=2), canary()), operation)
    assert await in_brief(gateway) == [
        (2, "canary", "canary", IMAGE, None),
        (1, "live", "now", IMAGE, None),
    ]
    aborted = deployer.CanaryAborted(project="churn", release=2, why="it failed", fix=None)
    await gateway.hear(aborted, BY_ITSELF)
    ended, serves = await told(gateway)
    assert (ended["state"], ended["why"], ended["liveAt"]) == ("aborted", "it failed", None)
    assert ended["triedAt"] <= ended["endedAt"]
    assert serves["state"] == "live"
    await gateway.hear(canary(), BY_ITSELF)
    await gateway.hear(changed(started(release=2, request=2), certificate=SECOND), BY_ITSELF)
    assert [each["state"] for each in await told(gateway)] == ["live", "replaced"]


async def test_one_of_them_is_told_by_its_number(gateway: Gateway) -> None:
    await two_releases(gateway)
    assert await gateway.read("/v1/models/churn/releases/1") == (await told(gateway))[1]
    async with gateway.http() as http:
        problem = is_problem(await http.get("/v1/models/churn/releases/9"), 404, "has no release 9")
        assert "placet releases churn" in problem["fix"]
        is_problem(await http.get("/v1/models/nothing/releases"), 404, "no project")
        is_problem(await http.get("/v1/models/nothing/releases/1"), 404, "no project")
        for wrong in ("0", "x", str(2**31)):
            assert (await http.get(f"/v1/models/churn/releases/{wrong}")).status_code == 400
            assert (await http.get(f"/v1/models/churn/releases?after={wrong}")).status_code == 400
