"""Streams that break in the middle go on where they were."""

from __future__ import annotations

from pathlib import Path

import pytest
from placet.client import Client
from placet.errors import Unknown

from tests.unit.client.fake_platform import FakePlatform, event
from tests.unit.client.test_client_calls import archive


async def test_a_broken_operation_stream_goes_on_after_the_last_event_seen(
    client: Client, platform: FakePlatform, tmp_path: Path
) -> None:
    file, digest = archive(tmp_path / "source.tar")
    await client.upload(file, digest)
    operation = await client.command("deploy", digest=digest)
    platform.break_after = 4
    assert operation.operation is not None

    states = [seen.state async for seen in client.follow(operation.operation)]

    assert states == [
        "requested", "requested", "cleared", "reserved", "built", "indexed", "certified", "live",
    ]  # fmt: skip
    assert platform.resumed_from == ["4"]


async def test_a_stream_outlasts_a_platform_that_is_away_for_a_moment(
    client: Client, platform: FakePlatform, tmp_path: Path
) -> None:
    file, digest = archive(tmp_path / "source.tar")
    await client.upload(file, digest)
    operation = await client.command("deploy", digest=digest)
    platform.away_for = 3
    assert operation.operation is not None
    assert (await client.finish(operation.operation)).state == "live"


async def test_an_operation_that_does_not_exist_is_not_waited_for(client: Client) -> None:
    with pytest.raises(Unknown, match="no operation x"):
        await client.finish("x")


async def test_followed_events_come_once_each_over_a_break(client: Client, platform: FakePlatform) -> None:
    platform.events = [event(number) for number in range(1, 6)]
    platform.break_after = 3
    seen = []
    async for found in client.events(after=1, follow=True):
        seen.append(found["sequence"])
        if found["sequence"] == 5:
            break
    assert seen == [2, 3, 4, 5]


async def test_who_read_too_slowly_is_told_none_twice_and_none_is_left_out(
    client: Client, platform: FakePlatform
) -> None:
    platform.events = [event(number) for number in range(1, 6)]
    platform.cut_after = 3
    seen = []
    async for found in client.events(follow=True):
        seen.append(found["sequence"])
        if found["sequence"] == 5:
            break
    assert seen == [1, 2, 3, 4, 5]
    assert platform.resumed_from == ["3"]


async def test_a_line_separator_inside_an_event_ends_no_line(client: Client, platform: FakePlatform) -> None:
    platform.events = [event(1)]
    async for found in client.events(follow=True):
        assert found["data"] == {"note": "one\u2028two"}
        break
