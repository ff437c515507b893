"""Rotated and compromised keys: what the certifier says of them, and what becomes of what they signed."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from placet.certifier.domain import Asked
from placet.certifier.keys import KEYS, Tell
from placet.certifier.ports import Judgement
from placet.errors import Refused, Unavailable
from placet.events.codec import timestamp
from placet.events.contracts.certifier import (
    CertificateIssued,
    CertificateRevoked,
    KeyCompromised,
    KeyRotated,
)
from placet.events.testing import ManualClock, changed
from placet.oci import ImageLayout
from placet.trust import KeyHistory, KeySet, OwnKeys, SigningKey, certificates, dsse
from placet.trust.key_files import KeyFiles

from tests.unit.certifier.test_certifier_handlers import (
    Certifier,
    a_notary,
    an_image,
    certifier,
)
from tests.unit.gateway.roads import SOURCE, asked, indexed

__all__ = ["certifier"]

HOUR = timedelta(hours=1)
FIRST, NEXT = SigningKey.generate(), SigningKey.generate()
ALONE = KeyHistory.of(KeySet([FIRST.public]))


def rotated(at: datetime) -> KeyHistory:
    return ALONE.rotated(NEXT.public, at=at, why="staff")


def told(*histories: KeyHistory) -> list[KeyRotated | KeyCompromised]:
    """What is said as the history becomes one after the other."""
    said: list[KeyRotated | KeyCompromised] = []
    for history in histories:
        said += KEYS.decide(Tell(history=history.keys), KEYS.fold(said))
    return said


def test_each_key_is_told_of_once_with_the_one_whose_place_it_takes() -> None:
    at = ManualClock().now()
    first, following = told(ALONE, ALONE, rotated(at), rotated(at))
    assert isinstance(first, KeyRotated)
    assert (first.key, first.since, first.before, first.why) == (FIRST.kid, None, None, None)
    assert isinstance(following, KeyRotated)
    assert (following.key, following.since) == (NEXT.kid, timestamp(at))
    assert (following.before, following.why) == (FIRST.kid, "staff")
    assert following.public == rotated(at).keys[1].x


def test_a_history_that_is_heard_of_late_is_told_as_if_it_had_been_heard_of_in_time() -> None:
    at = ManualClock().now()
    leaked = rotated(at).compromised(FIRST.kid, at=at + HOUR)
    following = changed(told(rotated(at))[-1], why="compromised")
    assert told(leaked) == [
        *told(ALONE),
        following,
        KeyCompromised(key=FIRST.kid, since=timestamp(at + HOUR)),
    ]


def test_a_compromise_is_told_again_only_if_it_is_sooner_and_never_taken_back() -> None:
    at = ManualClock().now()
    later, sooner = (rotated(at).compromised(FIRST.kid, at=at + each) for each in (2 * HOUR, HOUR))
    said = told(rotated(at), later, later, sooner, later, rotated(at))
    assert said[2:] == [
        KeyCompromised(key=FIRST.kid, since=timestamp(at + 2 * HOUR)),
        KeyCompromised(key=FIRST.kid, since=timestamp(at + HOUR)),
    ]


async def issued(certifier: Certifier, key: str | None, release: int = 1) -> None:
    certifier.notary.key = key
    await certifier.alone.hear(asked(release=release))
    await certifier.alone.work_off()
    await certifier.alone.hear(indexed(release=release))


async def looked(certifier: Certifier, history: KeyHistory) -> list[object]:
    """What the certifier says as it sees this history."""
    before = len(await certifier.alone.said())
    certifier.keys.known = history
    await certifier.alone.periodically("keys")
    return (await certifier.alone.said())[before:]


async def test_a_rotation_is_told_and_takes_nothing_off_its_route(certifier: Certifier) -> None:
    await issued(certifier, FIRST.kid)
    history = rotated(certifier.alone.clock.now())
    assert [type(each) for each in await looked(certifier, history)] == [KeyRotated, KeyRotated]
    assert await looked(certifier, history) == []


async def test_a_certificate_says_which_key_signed_it(certifier: Certifier) -> None:
    await issued(certifier, NEXT.kid)
    assert [each.key for each in await certifier.alone.said() if isinstance(each, CertificateIssued)] == [
        NEXT.kid
    ]


async def test_what_a_compromised_key_signed_is_revoked_when_its_moment_comes_and_nothing_else(
    certifier: Certifier,
) -> None:
    await issued(certifier, FIRST.kid, 1)
    await issued(certifier, NEXT.kid, 2)
    now = certifier.alone.clock.now()
    leaked = rotated(now).compromised(FIRST.kid, at=now + HOUR)
    assert not [each for each in await looked(certifier, leaked) if isinstance(each, CertificateRevoked)]
    certifier.alone.clock.pass_(HOUR)
    [revoked] = await looked(certifier, leaked)
    assert isinstance(revoked, CertificateRevoked)
    assert (revoked.release, revoked.revoked_by) == (1, "certifier")
    assert revoked.ground.rule == "certificate.key"
    assert f"the key {FIRST.kid}, which signed it, was compromised" in revoked.ground.why
    assert await looked(certifier, leaked) == []


@pytest.mark.parametrize("restored", ["without the next key", "without the compromise", "with a later one"])
async def test_an_older_copy_of_the_history_is_complained_of(certifier: Certifier, restored: str) -> None:
    """Deployers read the file, and would trust a leaked key again."""
    now = certifier.alone.clock.now()
    leaked = rotated(now).compromised(FIRST.kid, at=now)
    await looked(certifier, leaked)
    assert await looked(certifier, leaked) == []
    older = {
        "without the next key": ALONE,
        "without the compromise": rotated(now),
        "with a later one": rotated(now).compromised(FIRST.kid, at=now + HOUR),
    }[restored]
    with pytest.raises(Unavailable, match="the key history says less of"):
        await looked(certifier, older)


async def test_a_certificate_of_which_nobody_wrote_down_who_signed_it_is_the_first_keys(
    certifier: Certifier,
) -> None:
    await issued(certifier, None)
    now = certifier.alone.clock.now()
    [*_, revoked] = await looked(certifier, rotated(now).compromised(FIRST.kid, at=now))
    assert isinstance(revoked, CertificateRevoked)


async def test_the_notary_signs_with_the_key_that_is_active_and_dates_it_so(tmp_path: Path) -> None:
    clock, registry = ManualClock(), ImageLayout(tmp_path / "registry")
    keys = OwnKeys(tmp_path / "certificates.pem", clock.now)
    keys.begin()
    image, heard = await an_image(registry), clock.now()
    clock.pass_(timedelta(minutes=1))
    following = keys.rotate(at=clock.now(), why="scheduled")
    clock.pass_(timedelta(seconds=1))
    signed = await a_notary(registry, KeyFiles(keys)).sign(
        Asked(project="churn", release=1, command="deploy", source=SOURCE, image=None),
        indexed(image=image),
        Judgement(policies=(), verdicts=()),
        certificate="certificate:1",
        at=heard,
    )
    assert signed.key == following.kid
    layer = (await registry.manifest("models/churn", signed.envelope)).layers[0]
    envelope = dsse.read(await registry.read_blob("models/churn", layer.digest))
    verify = partial(certificates.verify, envelope, image=image, source=SOURCE, now=clock.now())
    assert verify(keys.history()).not_before == following.from_
    with pytest.raises(Refused, match="by no key we know"):
        verify(ALONE)


@pytest.mark.parametrize("left", [None, "not a history"])
async def test_a_history_that_is_damaged_or_gone_is_waited_for(tmp_path: Path, left: str | None) -> None:
    """An error that ends the service, or refuses a release, would be the answer to somebody's slip."""
    keys = OwnKeys(tmp_path / "certificates.pem", ManualClock().now)
    keys.begin()
    files, whole = KeyFiles(keys), keys.history().to_json()
    replaced(keys.published, left)
    for read in (files.history, files.active):
        with pytest.raises(Unavailable, match="nothing is signed"):
            await read()
    replaced(keys.published, whole)
    assert (await files.active()).key.kid == (await files.history()).keys[0].kid


def replaced(file: Path, text: str | None) -> None:
    file.unlink(missing_ok=True)
    if text is not None:
        file.write_text(text)
