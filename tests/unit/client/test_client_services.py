"""How services stand, asked of each of them: those that are away are told as such, and nobody waits for them long."""

from __future__ import annotations

import pytest
from placet.client import SERVICES, Client, Connection
from placet.errors import Forbidden, Unauthenticated

from tests.unit.cli.test_cli_services import parked
from tests.unit.client.fake_platform import SCIENTIST, FakePlatform


async def test_one_that_is_silent_is_away_and_the_others_are_told(
    client: Client, platform: FakePlatform
) -> None:
    platform.silent = {"indexer"}
    found = {each.service: each for each in await client.services(within=5)}
    assert tuple(found) == SERVICES
    assert not found["indexer"].answers
    assert found["indexer"].why == "it did not answer within 5 s"
    assert found["indexer"].parked is None
    others = [found[each] for each in SERVICES if each != "indexer"]
    assert all(each.answers and each.ready for each in others)
    assert found["builder"].hears[0].producer == "gateway"
    assert found["builder"].outbox is not None
    assert (found["builder"].outbox.position, found["builder"].lag) == (12, 0)


async def test_who_says_that_it_is_away_is_not_asked_again(client: Client, platform: FakePlatform) -> None:
    platform.away_for = 2
    found = await client.services(within=60)
    assert sum(not each.answers for each in found) == 2
    assert len([path for _, path in platform.requests if path.startswith("/v1/services/")]) == len(SERVICES)


async def test_one_whose_database_is_away_answers_and_is_not_ready(
    client: Client, platform: FakePlatform
) -> None:
    platform.services = {"gateway": {"ready": False, "why": "the database is away", "parked": None}}
    first = (await client.services(within=60))[0]
    assert (first.answers, first.ready, first.why) == (True, False, "the database is away")


async def test_nobody_is_told_to_be_away_where_the_token_does_not_hold(platform: FakePlatform) -> None:
    async with Client(Connection(url=platform.url, token="expired"), patience=0) as nobody:
        with pytest.raises(Unauthenticated):
            await nobody.services()


async def test_one_that_does_not_take_the_token_is_told_of(client: Client, platform: FakePlatform) -> None:
    """Such as one that was not told of the provider: who asks is known all the same, and not signed out for it."""
    platform.strangers = {"certifier"}
    (found,) = [each for each in await client.services(within=60) if not each.answers]
    assert found.service == "certifier"
    assert found.why is not None
    assert "does not take this token" in found.why


async def test_what_is_parked_comes_whole_and_goes_back(client: Client, platform: FakePlatform) -> None:
    platform.parked = {"certifier": [parked(100 + number) for number in range(150)]}
    listed = await client.parked("certifier")
    assert [each.position for each in listed] == list(range(100, 250))
    assert listed[0].reason == "the disk is full"
    page = await client.parked_page("certifier", limit=2)
    assert (len(page.parked), page.next) == (2, "gateway.e.101")
    assert await client.retry_parked("certifier", "gateway.e.100") == 1
    assert await client.retry_parked("certifier", "gateway.e.100") == 0
    assert await client.retry_parked("certifier") == 149
    assert (await client.service("certifier")).parked == 0


async def test_who_may_not_is_told_so(platform: FakePlatform) -> None:
    async with Client(Connection(url=platform.url, token=SCIENTIST), patience=0) as scientist:
        assert len(await scientist.services(within=60)) == len(SERVICES)
        with pytest.raises(Forbidden):
            await scientist.parked("certifier")
        with pytest.raises(Forbidden):
            await scientist.tokens()


async def test_tokens_are_listed_page_by_page(client: Client, platform: FakePlatform) -> None:
    platform.tokens = {f"t{number}": {"as": "ada", "roles": ["auditor"]} for number in range(3)}
    platform.revoked_tokens = ["t1"]
    found = await client.tokens()
    assert [(each.id, each.revoked) for each in found] == [("t2", False), ("t1", True), ("t0", False)]
    assert (await client.tokens_page(limit=1)).next == "t2"
