"""The keys that certificates were ever signed with, as anybody may read and check with them."""

from __future__ import annotations

from datetime import datetime

from placet.events.contracts.certifier import KeyCompromised, KeyRotated
from placet.trust import KeyHistory, KeySet, SigningKey

from tests.unit.gateway.harness import Gateway

FIRST, NEXT, LAST = (SigningKey.generate() for _ in range(3))
NOON, EVENING = "2026-11-23T12:00:00.000Z", "2026-11-23T18:00:00.000Z"


def rotated(key: SigningKey, since: str | None = None, before: SigningKey | None = None) -> KeyRotated:
    return KeyRotated(
        key=key.kid,
        public=KeyHistory.of(KeySet([key.public])).keys[0].x,
        since=since,
        before=None if before is None else before.kid,
        why=None if before is None else "staff",
    )


async def told(gateway: Gateway) -> KeyHistory:
    async with gateway.http() as http:
        answer = await http.get("/v1/keys")
    assert answer.status_code == 200
    return KeyHistory.from_json(answer.content)


async def test_before_the_certifier_was_heard_there_is_no_key(gateway: Gateway) -> None:
    assert (await told(gateway)).keys == ()


async def test_the_answer_is_the_history_that_certificates_are_checked_with(gateway: Gateway) -> None:
    for event in (
        rotated(FIRST),
        rotated(NEXT, NOON, FIRST),
        rotated(LAST, EVENING, NEXT),
        KeyCompromised(key=NEXT.kid, since=EVENING),
    ):
        await gateway.hear(event, "platform")
    first, following, last = (await told(gateway)).keys
    noon, evening = datetime.fromisoformat(NOON), datetime.fromisoformat(EVENING)
    assert (first.kid, first.from_, first.until, first.why) == (FIRST.kid, None, noon, "staff")
    assert (following.from_, following.until, following.why) == (noon, evening, "compromised")
    assert following.compromised == evening
    assert (last.kid, last.from_, last.until, last.why, last.compromised) == (LAST.kid, evening, *[None] * 3)


async def test_a_key_that_came_in_between_stands_where_it_signs(gateway: Gateway) -> None:
    between = rotated(LAST, NOON, FIRST)
    for event in (rotated(FIRST), rotated(NEXT, EVENING, FIRST), between, between):
        await gateway.hear(event, "platform")
    noon, evening = datetime.fromisoformat(NOON), datetime.fromisoformat(EVENING)
    assert [(each.kid, each.from_, each.until, each.why) for each in (await told(gateway)).keys] == [
        (FIRST.kid, None, noon, "staff"),
        (LAST.kid, noon, evening, "staff"),
        (NEXT.kid, evening, None, None),
    ]
