"""Webhooks against the log: in order, at least once, exact to the position, and nobody waits for another."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st
from placet.errors import Conflict, Refused, Unavailable, Unknown
from placet.events.contracts.metadata import (
    WebhookAdded,
    WebhookDisabled,
    WebhookEnabled,
    WebhookRemoved,
    WebhookRotated,
)
from placet.metadata import subscribing
from placet.metadata.delivering import Delivering
from placet.metadata.webhooks import DELAYS, SPAN, Answer, headers

from tests.support.eventually import eventually
from tests.unit.events.harness import FatefulStore
from tests.unit.metadata.hooks import PERSON, URL, Hooks
from tests.unit.metadata.logs import a_log

AWAY = Answer(status=500)


@pytest.fixture
async def hooks(tmp_path: Path) -> AsyncIterator[Hooks]:
    async with a_log(tmp_path) as log:
        yield Hooks(log)


# sending


async def test_each_event_is_told_once_in_order_with_its_position(hooks: Hooks) -> None:
    await hooks.happen("churn", "other")
    webhook = await hooks.add(after=0)
    async with hooks.sending():
        await hooks.is_told(1, 2)
        await hooks.happen("churn")
        await hooks.is_told(1, 2, 3)
        await hooks.becomes(webhook, position=3, state="enabled")
    shown = (await hooks.log.read("/v1/events"))["events"]
    assert [each.event for each in hooks.receivers.heard] == shown
    assert {each.url for each in hooks.receivers.heard} == {URL}


async def test_the_message_is_signed_and_its_id_is_the_event_s(hooks: Hooks) -> None:
    added = await hooks.subscribing.add(subscribing.Wanted(url=URL, after=0), PERSON)
    await hooks.happen("churn")
    async with hooks.sending():
        await hooks.is_told(1)
    [message] = hooks.receivers.heard
    signed = headers(
        [added["secret"]],
        id=message.event["id"],
        at=hooks.log.alone.clock.now(),
        body=message.body,
    )
    assert dict(message.headers) == {"content-type": "application/cloudevents+json", **signed}


async def test_without_a_position_it_begins_with_what_happens_next(hooks: Hooks) -> None:
    await hooks.happen("churn")
    await hooks.add()
    await hooks.happen("churn")
    async with hooks.sending():
        # Its own arrival is an event of this service, which its own log hears by the bus: not here.
        await hooks.is_told(2)


async def test_only_what_was_asked_for_is_told(hooks: Hooks) -> None:
    await hooks.add("https://a.example/", project="churn", after=0)
    await hooks.add("https://b.example/", type="placet.builder.*", after=0)
    await hooks.happen("churn", "other", "churn")
    async with hooks.log.indexing(), hooks.sending():
        await hooks.is_told(1, 3)
    assert {each.url for each in hooks.receivers.heard} == {"https://a.example/"}


async def test_what_nobody_asked_for_is_passed_without_writing_it_down_each_time(hooks: Hooks) -> None:
    webhook = await hooks.add(project="rare", after=0)
    await hooks.happen("churn", "churn")
    async with hooks.log.indexing(), hooks.sending():
        await hooks.happen("rare")
        await hooks.is_told(3)
        await hooks.becomes(webhook, position=3)
        await hooks.happen("churn", "churn", "churn")
        other = await hooks.add(after=6)
        await hooks.happen("churn")
        await hooks.becomes(other, position=7)
        await hooks.becomes(webhook, position=7)


async def test_one_that_hangs_keeps_no_other_waiting(hooks: Hooks) -> None:
    await hooks.add("https://hangs.example/", after=0)
    await hooks.add("https://fails.example/", after=0)
    await hooks.add(after=0)
    hooks.receivers.of_url = {"https://hangs.example/": None, "https://fails.example/": AWAY}
    await hooks.happen("churn", "churn", "churn")
    async with hooks.sending():
        await eventually(
            lambda: [each.position for each in hooks.receivers.heard if each.url == URL] == [1, 2, 3]
        )


async def test_one_that_is_added_while_others_are_sent_to_begins_at_once(hooks: Hooks) -> None:
    await hooks.happen("churn")
    async with hooks.sending():
        await hooks.add(after=0)
        await hooks.is_told(1)


# failing


async def test_what_is_not_taken_is_sent_again_and_what_follows_waits(hooks: Hooks) -> None:
    webhook = await hooks.add(after=0)
    hooks.receivers.script = deque([AWAY, AWAY])
    await hooks.happen("churn", "churn")
    async with hooks.sending():
        told = await hooks.becomes(webhook, failures=1)
        assert (told["state"], told["position"]) == ("failing", 0)
        assert told["lastAnswer"] == {
            "at": "2026-01-01T00:00:00.000Z",
            "position": 1,
            "status": 500,
            "trouble": "it answers 500",
        }
        assert "2026-01-01T00:00:05" <= told["nextAttempt"] < "2026-01-01T00:00:06"
        hooks.later(timedelta(seconds=6))
        await hooks.becomes(webhook, failures=2)
        hooks.later(timedelta(minutes=6))
        await hooks.is_told(1, 1, 1, 2)
        told = await hooks.becomes(webhook, position=2)
    assert (told["state"], told["failures"], told["failingSince"], told["nextAttempt"]) == (
        *("enabled", 0, None, None),
    )
    first, second, third, _ = hooks.receivers.heard
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == third.headers["webhook-id"]
    assert first.headers["webhook-timestamp"] < second.headers["webhook-timestamp"]


async def test_it_waits_for_its_time(hooks: Hooks) -> None:
    webhook = await hooks.add(after=0)
    hooks.receivers.script = deque([AWAY])
    await hooks.happen("churn")
    async with hooks.sending():
        await hooks.becomes(webhook, failures=1)
        for _ in range(4):
            hooks.later(timedelta(seconds=1))
            await hooks.subscribing.one(webhook)
        assert hooks.receivers.positions == [1]
        hooks.later(timedelta(seconds=2))
        await hooks.is_told(1, 1)


async def test_who_fails_for_days_is_disabled_and_goes_on_where_it_was_once_it_is_enabled(
    hooks: Hooks,
) -> None:
    webhook = await hooks.add(after=0)
    hooks.receivers.script = deque([AWAY] * (len(DELAYS) + 1))
    await hooks.happen("churn", "churn")
    began = hooks.log.alone.clock.now()
    async with hooks.sending():
        for count, delay in enumerate(DELAYS, start=1):
            await hooks.becomes(webhook, failures=count)
            hooks.later(delay * 1.1)
        told = await hooks.becomes(webhook, state="disabled")
        assert hooks.log.alone.clock.now() - began >= SPAN
        assert (told["why"], told["position"], told["nextAttempt"]) == ("failing", 0, None)
        hooks.later(timedelta(days=30))
        await hooks.happen("churn")
        assert hooks.receivers.positions == [1] * 10
        await hooks.subscribing.enable(webhook, None, PERSON)
        await hooks.is_told(*[1] * 10, 1, 2, 3)
    assert await hooks.log.alone.said() == [
        WebhookAdded(webhook=webhook),
        WebhookDisabled(webhook=webhook, why="failing", position=0),
        WebhookEnabled(webhook=webhook, position=0),
    ]


async def test_who_is_gone_is_asked_no_more(hooks: Hooks) -> None:
    webhook = await hooks.add(after=0)
    hooks.receivers.script = deque([Answer(status=204), Answer(status=410)])
    await hooks.happen("churn", "churn", "churn")
    async with hooks.sending():
        told = await hooks.becomes(webhook, state="disabled")
        assert (told["why"], told["position"]) == ("gone", 1)
        await hooks.subscribing.enable(webhook, 2, PERSON)  # past what it would not have
        await hooks.is_told(1, 2, 3)
    assert WebhookDisabled(webhook=webhook, why="gone", position=1) in await hooks.log.alone.said()


async def test_who_asks_to_wait_is_left_alone_for_so_long(hooks: Hooks) -> None:
    webhook = await hooks.add(after=0)
    hooks.receivers.script = deque([Answer(status=429, retry_after="3600")])
    await hooks.happen("churn")
    async with hooks.sending():
        told = await hooks.becomes(webhook, nextAttempt="2026-01-01T01:00:00.000Z")
        assert (told["failures"], told["state"]) == (0, "failing")
        hooks.later(timedelta(hours=1))
        await hooks.is_told(1, 1)


# people


async def test_enabling_one_that_waits_asks_it_at_once(hooks: Hooks) -> None:
    webhook = await hooks.add(after=0)
    hooks.receivers.script = deque([Answer(status=503, retry_after="86400")])
    await hooks.happen("churn")
    async with hooks.sending():
        await hooks.becomes(webhook, state="failing")
        await hooks.subscribing.enable(webhook, None, PERSON)
        await hooks.is_told(1, 1)


async def test_enabling_one_that_sends_meanwhile_sets_it_nowhere(hooks: Hooks) -> None:
    webhook = await hooks.add(after=0)
    await hooks.happen(*["churn"] * 5)
    async with hooks.sending():
        while (await hooks.subscribing.enable(webhook, None, PERSON))["position"] < 5:
            pass
    assert hooks.receivers.positions == [1, 2, 3, 4, 5]


async def test_one_that_is_set_back_has_it_all_again(hooks: Hooks) -> None:
    webhook = await hooks.add(after=0)
    await hooks.happen("churn", "churn")
    async with hooks.sending():
        await hooks.becomes(webhook, position=2)
        await hooks.subscribing.enable(webhook, 0, PERSON)
        await hooks.is_told(1, 2, 1, 2)


async def test_one_that_is_removed_gets_nothing_more(hooks: Hooks) -> None:
    webhook = await hooks.add(after=0)
    hooks.receivers.script = deque([AWAY])
    await hooks.happen("churn", "churn")
    async with hooks.sending():
        await hooks.becomes(webhook, failures=1)
        await hooks.subscribing.remove(webhook, PERSON)
        with pytest.raises(Unknown):
            await hooks.subscribing.one(webhook)
        other = await hooks.add("https://other.example/", after=1)
        hooks.later(timedelta(days=1))
        await hooks.becomes(other, position=2)
    assert hooks.receivers.positions == [1, 2]
    assert await hooks.log.alone.said() == [
        WebhookAdded(webhook=webhook),
        WebhookRemoved(webhook=webhook),
        WebhookAdded(webhook=other),
    ]
    with pytest.raises(Unknown):
        await hooks.subscribing.remove(webhook, PERSON)


async def test_after_a_rotation_both_secrets_sign_for_a_day(hooks: Hooks) -> None:
    first = await hooks.subscribing.add(subscribing.Wanted(url=URL, after=0), PERSON)
    webhook = first["webhook"]
    second = await hooks.subscribing.rotate(webhook, PERSON)
    assert second["oldSecretUntil"] == "2026-01-02T00:00:00.000Z"
    assert first["secret"] != second["secret"]
    async with hooks.sending():
        await hooks.happen("churn")
        await hooks.is_told(1)
        hooks.later(timedelta(days=1))
        await hooks.happen("churn")
        await hooks.is_told(1, 2)
    both, alone = hooks.receivers.heard
    for message, secrets in ((both, [second["secret"], first["secret"]]), (alone, [second["secret"]])):
        at = hooks.log.alone.clock.now() - (timedelta(days=1) if message is both else timedelta())
        expected = headers(secrets, id=message.event["id"], at=at, body=message.body)
        assert message.headers["webhook-signature"] == expected["webhook-signature"]
    assert WebhookRotated(webhook=webhook) in await hooks.log.alone.said()


async def test_neither_address_nor_secret_are_in_an_event(hooks: Hooks) -> None:
    webhook = await hooks.add("https://hooks.example.org/T0/hidden-path", after=0)
    secret = (await hooks.subscribing.rotate(webhook, PERSON))["secret"]
    hooks.receivers.script = deque([Answer(status=410)])
    await hooks.happen("churn")
    async with hooks.sending():
        await hooks.becomes(webhook, state="disabled")
    await hooks.subscribing.remove(webhook, PERSON)
    raws = b"".join(each.event.raw for each in await hooks.log.alone.recorded())
    assert b"webhook.removed" in raws
    for hidden in (b"hidden-path", b"hooks.example.org", secret.encode(), b"whsec_"):
        assert hidden not in raws


async def test_the_same_to_the_same_address_is_a_conflict(hooks: Hooks) -> None:
    webhook = await hooks.add(project="churn")
    with pytest.raises(Conflict, match=webhook):
        await hooks.add(project="churn")
    await hooks.add()  # everything is something else


async def test_there_is_an_end_to_how_many_there_are(hooks: Hooks) -> None:
    hooks.most = 2
    for number in range(2):
        await hooks.add(f"https://hooks.example.org/{number}")
    with pytest.raises(Refused, match="there are 2 webhooks"):
        await hooks.add("https://hooks.example.org/3")


async def test_where_a_webhook_may_not_lead_none_is_added(hooks: Hooks) -> None:
    hooks.receivers.forbidden = frozenset({URL})
    with pytest.raises(Refused):
        await hooks.add()
    assert await hooks.subscribing.all() == []
    assert await hooks.log.alone.said() == []


async def test_a_message_to_try_it_out_moves_nothing(hooks: Hooks) -> None:
    webhook = await hooks.add(after=0)
    hooks.receivers.script = deque([Answer(trouble="nothing answers there")])
    before = await hooks.row(webhook)
    failed = await hooks.subscribing.try_out(webhook)
    assert (failed["taken"], failed["trouble"]) == (False, "nothing answers there")
    tried = await hooks.subscribing.try_out(webhook)
    assert (tried["taken"], tried["status"]) == (True, 204)
    event = hooks.receivers.heard[-1].event
    assert (event["type"], event["id"], event["data"]) == (
        *("placet.webhook.test", tried["id"], {"webhook": webhook}),
    )
    assert await hooks.row(webhook) == before


# killed, and two at once


async def test_one_that_was_killed_goes_on_with_what_was_not_written_down(hooks: Hooks) -> None:
    webhook = await hooks.add(after=0)
    hooks.receivers.script = deque([Answer(status=204), None])
    await hooks.happen("churn", "churn", "churn")
    async with hooks.sending():
        await hooks.is_told(1, 2)
    async with hooks.sending():
        await hooks.is_told(1, 2, 2, 3)
        await hooks.becomes(webhook, position=3)


async def test_one_that_fails_is_not_asked_sooner_after_a_restart(hooks: Hooks) -> None:
    webhook = await hooks.add(after=0)
    hooks.receivers.script = deque([AWAY])
    await hooks.happen("churn")
    async with hooks.sending():
        await hooks.becomes(webhook, failures=1)
    async with hooks.sending():
        other = await hooks.add("https://other.example/", after=0)
        await hooks.becomes(other, position=1)
        assert [each.url for each in hooks.receivers.heard] == [URL, "https://other.example/"]
        hooks.later(timedelta(seconds=6))
        await hooks.becomes(webhook, position=1)


@for_all(
    kills=st.lists(st.integers(0, 6), max_size=5),
    fates=st.lists(st.sampled_from(["taken", "fails", "hangs", "unheard"]), max_size=12),
    count=st.integers(1, 6),
)
@settings(max_examples=25, deadline=None)
async def test_whatever_is_killed_or_fails_each_is_taken_in_order_and_nothing_is_left_out(
    tmp_path_factory: pytest.TempPathFactory, kills: list[int], fates: list[str], count: int
) -> None:
    """An answer that was not heard is one that was taken, and then the process died before it wrote that down."""
    async with a_log(tmp_path_factory.mktemp("log")) as log:
        hooks = Hooks(log)
        webhook = await hooks.add(after=0)
        taken: list[int] = []
        script = deque(fates)

        class Receivers:
            async def judge(self, url: str) -> None: ...

            async def send(self, url: str, body: bytes, headers: object) -> Answer:
                fate = script.popleft() if script else "taken"
                if fate in ("taken", "unheard"):
                    taken.append(int(json.loads(body)["sequence"]))
                if fate in ("hangs", "unheard"):
                    await asyncio.Event().wait()
                return Answer(status=500 if fate == "fails" else 204)

        await hooks.happen(*["churn"] * count)
        wiring = log.alone.wiring
        for steps in kills:
            running = asyncio.create_task(Delivering(wiring, Receivers(), hooks.follow, hooks.changed).run())
            for _ in range(steps):
                hooks.later(timedelta(days=2))
                told = await hooks.subscribing.one(webhook)
                if told["state"] == "disabled":
                    await hooks.subscribing.enable(webhook, None, PERSON)
            running.cancel()  # as kill -9 does it to what is in memory
            await asyncio.gather(running, return_exceptions=True)
        running = asyncio.create_task(Delivering(wiring, Receivers(), hooks.follow, hooks.changed).run())
        script.clear()
        hooks.later(timedelta(days=2))
        await hooks.becomes(webhook, position=count)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert list(dict.fromkeys(taken)) == list(range(1, count + 1))
    assert taken == sorted(taken)


async def test_one_who_leads_no_longer_sets_nobody_back(hooks: Hooks) -> None:
    """It was stopped while it waited for an answer, and wakes when another one is ahead."""
    webhook = await hooks.add(after=0)
    await hooks.happen("churn", "churn")
    late = asyncio.Event()

    class Slow:
        async def judge(self, url: str) -> None: ...

        async def send(self, url: str, body: bytes, headers: object) -> Answer:
            await late.wait()
            return Answer(status=500)

    old = asyncio.create_task(Delivering(hooks.log.alone.wiring, Slow(), hooks.follow, hooks.changed).run())
    async with hooks.sending():
        await hooks.becomes(webhook, position=2)
        late.set()
        await hooks.happen("churn")
        await hooks.becomes(webhook, position=3)
    told = await hooks.subscribing.one(webhook)
    assert (told["state"], told["failures"]) == ("enabled", 0)
    old.cancel()
    await asyncio.gather(old, return_exceptions=True)


async def test_while_the_database_is_away_that_is_said_and_nothing_is_left_out(hooks: Hooks) -> None:
    webhook = await hooks.add(after=0)
    await hooks.happen("churn")
    wiring = hooks.log.alone.wiring
    away = replace(wiring, store=FatefulStore(wiring.store, ["lost"]))
    with pytest.raises(Unavailable):
        await Delivering(away, hooks.receivers, hooks.follow, hooks.changed).run()
    async with hooks.sending():
        await hooks.is_told(1, 1)
        await hooks.becomes(webhook, position=1)
