"""Keys are rotated where they lie, and looked at from anywhere."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from placet.events.clocks import SystemClock
from placet.trust import KeyHistory, OwnKeys

from tests.unit.cli.conftest import Placet
from tests.unit.client.fake_platform import FakePlatform


@pytest.fixture
def own(tmp_path: Path) -> OwnKeys:
    keys = OwnKeys(tmp_path / "certificates.pem", SystemClock().now)
    keys.begin()
    return keys


@pytest.fixture
def file(own: OwnKeys) -> str:
    return str(own.published.with_suffix(".pem"))


def test_the_next_key_is_made_beside_the_old_one_and_told_before_it_signs(
    placet: Placet, own: OwnKeys, file: str
) -> None:
    before = own.active().key.kid
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)  # noqa: TID251 (as a person types it)
    rotated = placet("key", "rotate", file, "--at", at.isoformat(), "--why", "staff", "--json")
    assert rotated.status == 0, rotated.err
    following = own.history().keys[-1]
    assert (rotated.document["kid"], following.from_) == (following.kid, at)
    assert "certificates.json" in rotated.err
    assert own.active().key.kid == before
    assert own.history().keys[0].why == "staff"


def test_a_leaked_key_is_rotated_out_and_distrusted(placet: Placet, own: OwnKeys, file: str) -> None:
    leaked = own.active().key.kid
    refused = placet("key", "distrust", file, leaked)
    assert refused.status == 1
    assert "placet key rotate" in refused.err
    assert placet("key", "rotate", file).status == 0
    told = placet("key", "distrust", file, leaked)
    assert told.status == 0, told.err
    assert f"nothing counts that the key {leaked} signed" in told.out
    assert own.history().keys[0].why == "compromised"


def test_a_leaked_key_goes_before_the_day_that_was_planned(placet: Placet, own: OwnKeys, file: str) -> None:
    leaked = own.active().key.kid
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)  # noqa: TID251 (as a person types it)
    assert placet("key", "rotate", file, "--at", at.isoformat()).status == 0
    rotated = placet("key", "rotate", file, "--why", "staff")
    assert rotated.status == 0, rotated.err
    assert f"until {at:%Y-%m-%dT%H:%M:%S}.000Z, when the next one does as it was to" in rotated.out
    assert placet("key", "distrust", file, leaked).status == 0


def test_a_moment_that_has_passed_is_no_moment_to_rotate_at(placet: Placet, own: OwnKeys, file: str) -> None:
    before = own.published.read_bytes()
    mistyped = placet("key", "rotate", file, "--at", "2020-01-31T12:00:00Z")
    assert mistyped.status == 2
    assert "has passed" in mistyped.err
    assert own.published.read_bytes() == before


def test_what_is_not_there_or_no_reason_is_told(placet: Placet, tmp_path: Path, file: str) -> None:
    missing = placet("key", "rotate", str(tmp_path / "none.pem"))
    assert missing.status == 1
    assert "none.json is not there" in missing.err
    assert placet("key", "rotate", file, "--why", "whim").status == 2
    unknown = placet("key", "distrust", file, "0" * 16)
    assert "there is no key 0000000000000000" in unknown.err


def test_the_list_is_a_history_to_check_certificates_with(
    placet: Placet, platform: FakePlatform, own: OwnKeys
) -> None:
    own.rotate(at=SystemClock().now(), why="scheduled")
    platform.public_keys = json.loads(own.published.read_bytes())["keys"]
    listed = placet("key", "list")
    assert listed.status == 0
    assert all(each.kid in listed.out for each in own.history())
    printed = json.dumps(placet("key", "list", "--json").document)
    assert KeyHistory.from_json(printed).keys == own.history().keys
