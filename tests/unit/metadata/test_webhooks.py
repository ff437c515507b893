"""What becomes of a webhook and its messages, without a database or a network."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from placet.errors import Conflict, Refused, Unknown
from placet.events.contracts.metadata import (
    WebhookAdded,
    WebhookDisabled,
    WebhookEnabled,
    WebhookRemoved,
    WebhookRotated,
)
from placet.events.testing import given
from placet.metadata.webhooks import (
    DELAYS,
    JITTER,
    SPAN,
    WEBHOOK,
    Add,
    Again,
    Answer,
    Disable,
    Enable,
    Failures,
    Over,
    Remove,
    Rotate,
    after,
    headers,
    secret_of,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ADDED = WebhookAdded(webhook="w")
DISABLED = WebhookDisabled(webhook="w", why="gone", position=7)


# what happens to it


def test_it_is_disabled_and_enabled_once() -> None:
    given(WEBHOOK).when(Add(webhook="w")).then(ADDED)
    given(WEBHOOK, ADDED).when(Disable(webhook="w", why="gone", position=7)).then(DISABLED)
    given(WEBHOOK, ADDED, DISABLED).when(Disable(webhook="w", why="failing", position=7)).then_nothing()
    enabled = WebhookEnabled(webhook="w", position=9)
    given(WEBHOOK, ADDED, DISABLED).when(Enable(webhook="w", position=9)).then(enabled)
    given(WEBHOOK, ADDED).when(Enable(webhook="w", position=9)).then_nothing()
    given(WEBHOOK, ADDED, DISABLED, enabled).when(Rotate(webhook="w")).then(WebhookRotated(webhook="w"))


def test_one_that_is_gone_or_never_was_is_unknown() -> None:
    removed = WebhookRemoved(webhook="w")
    given(WEBHOOK, ADDED).when(Remove(webhook="w")).then(removed)
    for command in (Remove(webhook="w"), Rotate(webhook="w"), Enable(webhook="w", position=1)):
        given(WEBHOOK, ADDED, removed).when(command).then_refused(saying="no webhook", kind=Unknown)
        given(WEBHOOK).when(command).then_refused(saying="no webhook", kind=Unknown)
    given(WEBHOOK, ADDED).when(Add(webhook="w")).then_refused(saying="already", kind=Conflict)


# what becomes of an answer


def failed(*answers: Answer, pause: timedelta | None = None) -> tuple[list[Again | Over], datetime]:
    """What followed on each, each sent when it was to be, or after `pause`."""
    now, failures, seen = NOW, None, list[Again | Over]()
    for answer in answers:
        follows = after(answer, failures, now=now, webhook="w")
        seen.append(follows)
        if isinstance(follows, Over):
            break
        now, failures = follows.at if pause is None else now + pause, follows.failures
    return seen, now


def test_one_that_fails_is_asked_ten_times_within_days_and_then_it_is_over() -> None:
    seen, now = failed(*[Answer(status=500)] * 20)
    assert [type(each) for each in seen] == [Again] * 9 + [Over]
    assert SPAN <= now - NOW <= SPAN * (1 + JITTER)
    assert timedelta(days=3) < SPAN
    [*_, last] = seen
    assert last == Over(why="failing", failures=Failures(count=10, since=NOW))


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 401, 404, 413, 429, 500, 502, 503, 504, None])
def test_whatever_is_no_2xx_is_tried_again_after_the_first_delay(status: int | None) -> None:
    [follows], _ = failed(Answer(status=status, trouble="nothing answers there"))
    assert isinstance(follows, Again)
    assert DELAYS[0] <= follows.at - NOW <= DELAYS[0] * (1 + JITTER)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_has_taken_it(status: int) -> None:
    assert Answer(status=status).is_taken


def test_gone_is_gone_at_once() -> None:
    assert failed(Answer(status=410, retry_after="5"))[0] == [
        Over(why="gone", failures=Failures(count=1, since=NOW))
    ]


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        (" 7 ", 7),
        ("0", 1),
        ("999999999999999", 86400),
        (format_datetime(NOW + timedelta(hours=2), usegmt=True), 7200),
        (format_datetime(NOW - timedelta(hours=2), usegmt=True), 1),
        ("Thu, 01 Jan 2026 00:01:00 -0000", 60),
    ],
)
def test_who_has_too_much_to_do_is_left_alone_for_as_long_as_it_asks(
    status: int, header: str, seconds: int
) -> None:
    [follows], _ = failed(Answer(status=status, retry_after=header))
    assert follows == Again(at=NOW + timedelta(seconds=seconds), failures=Failures(count=0, since=NOW))


@for_all(st.text(max_size=40))
def test_a_retry_after_that_says_nothing_is_as_none(header: str) -> None:
    [follows], _ = failed(Answer(status=503, retry_after=header))
    assert isinstance(follows, Again)
    assert timedelta(0) < follows.at - NOW <= timedelta(days=1)


def test_an_answer_that_fails_is_not_left_alone_for_what_it_asks() -> None:
    [follows], _ = failed(Answer(status=500, retry_after="86400"))
    assert isinstance(follows, Again)
    assert follows.at - NOW < timedelta(minutes=1)


def test_who_asks_to_be_left_alone_for_days_is_given_up() -> None:
    seen, now = failed(*[Answer(status=429, retry_after="3600")] * 100)
    assert isinstance(seen[-1], Over)
    assert SPAN <= now - NOW < SPAN + timedelta(hours=2)


def test_a_platform_that_was_away_for_days_does_not_give_up_for_it() -> None:
    seen, _ = failed(*[Answer(status=500)] * 3, pause=timedelta(days=30))
    assert [type(each) for each in seen] == [Again] * 3


# how it is signed


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """Its own example: the values of the specification's test vectors."""
    said = headers(
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        at=datetime.fromtimestamp(1614265330, UTC),
        body=b'{"test": 2432232314}',
    )
    assert said == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@for_all(st.lists(st.binary(min_size=24, max_size=64), min_size=1, max_size=2), st.binary(max_size=200))
def test_each_secret_signs(keys: list[bytes], body: bytes) -> None:
    said = headers([secret_of(each) for each in keys], id="event", at=NOW, body=body)
    signed = f"event.{said['webhook-timestamp']}.".encode() + body
    expected = [
        "v1," + base64.b64encode(hmac.new(each, signed, hashlib.sha256).digest()).decode() for each in keys
    ]
    assert said["webhook-signature"].split(" ") == expected


def test_a_secret_is_long_enough() -> None:
    with pytest.raises(Refused):
        secret_of(b"x" * 23)
