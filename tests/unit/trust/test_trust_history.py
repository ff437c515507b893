"""Which key counts for what, and the files of whoever signs."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from placet.errors import Refused, Unreadable
from placet.trust import ActiveKey, KeyHistory, KeySet, OwnKeys, SigningKey, certificates, own_key
from placet.trust.history import Key
from placet.trust.keys import public_text

from tests.unit.trust.test_trust_certificates import CERTIFICATE

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
FIRST, SECOND, THIRD = (SigningKey.generate() for _ in range(3))
ALONE = KeyHistory([Key(kid=FIRST.kid, x=public_text(FIRST.public))])
ROTATED = ALONE.rotated(SECOND.public, at=NOON, why="scheduled")


class Hands:
    """A clock whose hands a test moves."""

    def __init__(self) -> None:
        self.at = NOON

    def now(self) -> datetime:
        return self.at


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def own(tmp_path: Path, hands: Hands) -> OwnKeys:
    keys = OwnKeys(tmp_path / "certificates.pem", hands.now)
    keys.begin()
    return keys


def signers(key: SigningKey, history: KeyHistory, *, dated: datetime, now: datetime) -> tuple[str, ...]:
    said = msgspec.structs.replace(CERTIFICATE, not_before=dated, not_after=dated + 90 * 24 * HOUR)
    return certificates.signers(certificates.issue(said, key), history, now=now)


def test_what_a_key_signed_while_it_was_active_counts_on_after_it_was_rotated_out() -> None:
    assert signers(FIRST, ROTATED, dated=NOON - HOUR, now=NOON + 1000 * HOUR) == (FIRST.kid,)
    assert signers(SECOND, ROTATED, dated=NOON, now=NOON) == (SECOND.kid,)


@pytest.mark.parametrize("late", [timedelta(), HOUR])
def test_what_a_key_signed_after_it_was_rotated_out_is_refused(late: timedelta) -> None:
    with pytest.raises(Refused, match=f"the key {FIRST.kid} was rotated out at 2026-11-23T12:00:00"):
        signers(FIRST, ROTATED, dated=NOON + late, now=NOON + 2 * HOUR)


def test_what_a_key_signed_before_it_was_in_use_is_refused() -> None:
    with pytest.raises(Refused, match=f"the key {SECOND.kid} is in use since 2026-11-23T12:00:00"):
        signers(SECOND, ROTATED, dated=NOON - HOUR, now=NOON)


def test_nothing_that_a_compromised_key_signed_counts_from_then_on_however_it_is_dated() -> None:
    leaked = ROTATED.compromised(FIRST.kid, at=NOON + HOUR)
    before = NOON + HOUR - timedelta(seconds=1)
    assert signers(FIRST, leaked, dated=NOON - HOUR, now=before) == (FIRST.kid,)
    with pytest.raises(Refused, match="was compromised, and nothing that it signed counts since"):
        signers(FIRST, leaked, dated=NOON - HOUR, now=NOON + HOUR)
    assert signers(SECOND, leaked, dated=NOON, now=NOON + HOUR) == (SECOND.kid,)


def test_a_key_that_signs_is_rotated_out_before_it_is_distrusted() -> None:
    for history, kid in ((ALONE, FIRST.kid), (ROTATED, SECOND.kid)):
        with pytest.raises(Refused, match=f"certificates are signed with the key {kid}"):
            history.compromised(kid, at=NOON + HOUR)
    with pytest.raises(Refused, match=r"are signed with the key .* until 2026-11-23T12:00:00"):
        ROTATED.compromised(FIRST.kid, at=NOON - HOUR)
    with pytest.raises(Refused, match="there is no key unknown"):
        ROTATED.compromised("unknown", at=NOON + HOUR)


def test_distrust_comes_sooner_and_never_later() -> None:
    leaked = ROTATED.compromised(FIRST.kid, at=NOON + 2 * HOUR)
    assert leaked.compromised(FIRST.kid, at=NOON + 3 * HOUR).keys[0].compromised == NOON + 2 * HOUR
    assert leaked.compromised(FIRST.kid, at=NOON + HOUR).keys[0].compromised == NOON + HOUR
    assert leaked.keys[0].why == "compromised"


def test_one_key_is_active_at_any_moment() -> None:
    thrice = ROTATED.rotated(THIRD.public, at=NOON + HOUR, why="staff")
    moments = (NOON - HOUR, NOON, NOON + HOUR - timedelta(seconds=1), NOON + HOUR)
    assert [thrice.active(each).kid for each in moments] == [
        each.kid for each in (FIRST, SECOND, SECOND, THIRD)
    ]
    assert [each.why for each in thrice] == ["scheduled", "staff", None]
    with pytest.raises(Refused, match="only after that"):
        ROTATED.rotated(THIRD.public, at=NOON, why="lost")


def test_before_one_that_is_to_come_another_can_sign_until_it_does() -> None:
    between = ROTATED.rotated(THIRD.public, at=NOON - HOUR, why="staff")
    assert [(each.kid, each.from_, each.until, each.why) for each in between] == [
        (FIRST.kid, None, NOON - HOUR, "staff"),
        (THIRD.kid, NOON - HOUR, NOON, "scheduled"),
        (SECOND.kid, NOON, None, None),
    ]


def test_one_that_is_distrusted_for_later_and_goes_sooner_stays_distrusted() -> None:
    leaked = ROTATED.compromised(FIRST.kid, at=NOON + HOUR)
    between = leaked.rotated(THIRD.public, at=NOON - HOUR, why="staff")
    assert [each.why for each in between] == ["compromised", "staff", None]
    assert between.compromised(FIRST.kid, at=NOON - HOUR).keys[0].compromised == NOON - HOUR


def test_a_history_is_read_back_as_it_was_written() -> None:
    leaked = ROTATED.compromised(FIRST.kid, at=NOON)
    assert KeyHistory.from_json(leaked.to_json()).keys == leaked.keys


def test_a_plain_set_of_keys_is_a_history_in_which_nothing_ended() -> None:
    history = KeyHistory.from_json(KeySet([FIRST.public]).to_json())
    assert signers(FIRST, history, dated=NOON, now=NOON) == (FIRST.kid,)
    with pytest.raises(Refused, match="by no key we know"):
        signers(SECOND, history, dated=NOON, now=NOON)


@pytest.mark.parametrize(
    "change",
    [
        lambda keys: {"keys": [*keys, keys[0]]},
        lambda keys: {"keys": [{**keys[0], "kid": "0" * 16}]},
        lambda keys: {"keys": [{**keys[0], "until": "2026-11-23T12:00:00"}]},
        lambda keys: {"keys": [{**keys[0], "why": "a whim"}]},
        lambda keys: {"keys": [{**keys[0], "d": "private"}]},
        lambda keys: {"keys": keys, "more": 1},
        lambda keys: "keys",
    ],
    ids=["twice", "another id", "no zone", "no reason", "an unknown field", "an unknown key", "no history"],
)
def test_a_history_that_is_not_plainly_right_is_unreadable(change: Callable[[Any], Any]) -> None:
    with pytest.raises(Unreadable):
        KeyHistory.from_json(json.dumps(change(json.loads(ROTATED.to_json())["keys"])))


# the files of whoever signs


def test_a_first_start_makes_a_key_and_a_history_and_a_second_one_changes_neither(
    own: OwnKeys, hands: Hands
) -> None:
    before = own.published.read_bytes()
    key = own.active().key
    OwnKeys(own.published.with_suffix(".pem"), hands.now).begin()
    assert own.published.read_bytes() == before
    assert [each.kid for each in own.history()] == [key.kid]


def test_a_set_that_was_published_before_there_was_a_history_goes_on(tmp_path: Path, hands: Hands) -> None:
    key = own_key(tmp_path / "certificates.pem")
    keys = OwnKeys(tmp_path / "certificates.pem", hands.now)
    keys.begin()
    assert keys.active().key.kid == key.kid


def test_the_next_key_is_known_before_it_signs_and_nothing_is_started_anew(
    own: OwnKeys, hands: Hands
) -> None:
    first = own.active().key
    following = own.rotate(at=NOON + HOUR, why="scheduled")
    assert KeyHistory.from_json(own.published.read_bytes()).get(following.kid) is not None
    assert own.active().key.kid == first.kid
    hands.at = NOON + HOUR
    assert own.active().key.kid == following.kid


def test_what_is_signed_around_a_rotation_counts_whatever_the_clocks_of_others_said(
    own: OwnKeys, hands: Hands
) -> None:
    own.rotate(at=NOON + timedelta(milliseconds=1), why="scheduled")
    before = own.active()
    hands.at = NOON + timedelta(seconds=1)
    after = own.active()
    assert before.key.kid != after.key.kid
    for active, heard in ((before, NOON + HOUR), (after, NOON - HOUR)):
        dated = active.dated(heard)
        assert signers(active.key, own.history(), dated=dated, now=NOON + HOUR) == (active.key.kid,)


def test_what_is_dated_in_the_time_of_a_key_stays_as_it_is_to_the_second() -> None:
    active = ActiveKey(key=FIRST, since=NOON, until=NOON + HOUR)
    assert active.dated(NOON + timedelta(minutes=1, microseconds=5)) == NOON + timedelta(minutes=1)


def test_a_rotation_is_not_dated_back(own: OwnKeys) -> None:
    following = own.rotate(at=NOON - HOUR, why="lost")
    assert following.from_ == NOON


def test_the_next_private_half_is_its_owners_alone_and_the_old_one_can_go(
    own: OwnKeys, hands: Hands, tmp_path: Path
) -> None:
    following = own.rotate(at=NOON, why="staff")
    private = tmp_path / f"certificates.{following.kid}.pem"
    assert private.stat().st_mode & 0o777 == 0o600
    (tmp_path / "certificates.pem").unlink()
    again = OwnKeys(tmp_path / "certificates.pem", hands.now)
    again.begin()
    assert again.active().key.kid == following.kid
    assert not (tmp_path / "certificates.pem").exists()


def test_a_key_that_was_put_in_the_place_of_the_first_is_the_next(
    own: OwnKeys, hands: Hands, tmp_path: Path
) -> None:
    old = own.active().key
    (tmp_path / "certificates.pem").unlink()
    THIRD.save(tmp_path / "certificates.pem")
    hands.at = NOON + HOUR
    again = OwnKeys(tmp_path / "certificates.pem", hands.now)
    again.begin()
    assert [(each.kid, each.until) for each in again.history()] == [(old.kid, hands.at), (THIRD.kid, None)]
    assert again.active().key.kid == THIRD.kid


def test_without_the_private_half_of_the_active_key_nothing_is_signed_with_another(
    own: OwnKeys, hands: Hands, tmp_path: Path
) -> None:
    following = own.rotate(at=NOON, why="scheduled")
    (tmp_path / f"certificates.{following.kid}.pem").unlink()
    with pytest.raises(
        Refused, match=f"the key {following.kid} is active, and its private half is neither in"
    ):
        OwnKeys(tmp_path / "certificates.pem", hands.now).begin()


def test_a_leaked_key_is_rotated_out_and_then_distrusted_at_once(own: OwnKeys) -> None:
    leaked = own.active().key
    with pytest.raises(Refused, match="are signed with the key"):
        own.compromise(leaked.kid, at=NOON)
    own.rotate(at=NOON, why="staff")
    assert own.compromise(leaked.kid, at=NOON).compromised == NOON
    assert [each.why for each in own.history()] == ["compromised", None]


def test_a_key_that_leaks_before_a_rotation_that_is_planned_goes_at_once(own: OwnKeys) -> None:
    leaked = own.active().key
    planned = own.rotate(at=NOON + 24 * HOUR, why="scheduled")
    own.rotate(at=NOON, why="staff")
    assert own.compromise(leaked.kid, at=NOON).compromised == NOON
    assert own.active().key.kid not in (leaked.kid, planned.kid)
    assert [each.kid for each in own.history()] == [leaked.kid, own.active().key.kid, planned.kid]


@pytest.mark.parametrize("left", [None, '{"keys": []}'])
def test_a_history_that_is_gone_is_asked_for_by_name(own: OwnKeys, left: str | None) -> None:
    own.published.unlink()
    if left is not None:
        own.published.write_text(left)
    with pytest.raises(Refused, match=r"certificates\.json is not there"):
        own.active()
    with pytest.raises(Refused, match=r"certificates\.json is not there"):
        own.rotate(at=NOON, why="scheduled")
