"""Certificates as the registry holds them, and the tokens that models are asked with."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from placet.deployer.adapters.model_tokens import ModelTokens
from placet.deployer.adapters.registry_certificates import RegistryCertificates, read_history, read_keys
from placet.errors import Refused, Unauthenticated, Unavailable, Unreadable
from placet.events.testing import CountingIds, ManualClock
from placet.oci import ArtifactFile, ImageLayout, Manifest, push_artifact
from placet.oci.content import EMPTY
from placet.trust import Certificate, KeyHistory, KeySet, SigningKey, certificates, tokens

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
SOURCE = f"sha256:{'5' * 64}"


@pytest.fixture
def registry(tmp_path: Path) -> ImageLayout:
    return ImageLayout(tmp_path / "registry")


@pytest.fixture
def key() -> SigningKey:
    return SigningKey.generate()


@pytest.fixture
def keys(tmp_path: Path, key: SigningKey) -> Path:
    path = tmp_path / "keys.json"
    path.write_text(KeySet([key.public]).to_json())
    return path


async def certified(registry: ImageLayout, key: SigningKey) -> tuple[str, str]:
    """An image's digest, and that of the certificate beside it."""
    empty = await registry.put_blob("models/churn", b"{}", media_type=EMPTY.media_type)
    image = await registry.put_manifest("models/churn", Manifest.image(config=empty, layers=()))
    certificate = Certificate(
        certificate="certificate:1",
        project="churn",
        release=1,
        repository="models/churn",
        image=image,
        source=SOURCE,
        not_before=NOON - timedelta(days=1),
        not_after=NOON + timedelta(days=1),
        policies=(),
        verdicts=(),
    )
    envelope = certificates.issue(certificate, key)
    beside = await push_artifact(
        registry,
        "models/churn",
        artifact_type="application/vnd.placet.certificate.v1",
        files=(ArtifactFile(content=envelope.to_json()),),
        subject=image,
    )
    return image, beside.digest


NEXT = SigningKey.generate()


def history(key: SigningKey) -> KeyHistory:
    return KeyHistory.of(KeySet([key.public]))


def written(folder: Path, keys: KeyHistory) -> Path:
    path = folder / "history.json"
    path.write_text(keys.to_json())
    return path


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.json"
    path.write_text('{"keys": [{"kid": "0"}]}')
    return path


class TestCertificates:
    async def verify(self, registry: ImageLayout, keys: Path, key: SigningKey, **other: Any) -> None:
        image, envelope = await certified(registry, key)
        said = {"image": image, "source": SOURCE, "certificate": "certificate:1", "now": NOON, **other}
        await RegistryCertificates(registry, keys).verify(
            repository="models/churn", envelope=envelope, **said
        )

    async def test_one_that_holds_is_accepted(
        self, registry: ImageLayout, keys: Path, key: SigningKey
    ) -> None:
        await self.verify(registry, keys, key)

    @pytest.mark.parametrize(
        "other",
        [
            {"image": f"sha256:{'7' * 64}"},
            {"source": f"sha256:{'7' * 64}"},
            {"certificate": "certificate:2"},
            {"now": NOON + timedelta(days=2)},
            {"now": NOON - timedelta(days=2)},
        ],
    )
    async def test_one_for_something_else_or_another_time_is_refused(
        self, registry: ImageLayout, keys: Path, key: SigningKey, other: dict[str, Any]
    ) -> None:
        with pytest.raises(Refused):
            await self.verify(registry, keys, key, **other)

    async def test_one_signed_by_somebody_else_is_refused(self, registry: ImageLayout, keys: Path) -> None:
        with pytest.raises(Refused, match="by no key we know"):
            await self.verify(registry, keys, SigningKey.generate())

    @pytest.mark.parametrize("counted", [timedelta(seconds=1), timedelta()])
    async def test_a_key_that_was_rotated_out_certifies_nothing_from_then_on(
        self, registry: ImageLayout, tmp_path: Path, key: SigningKey, counted: timedelta
    ) -> None:
        until = NOON - timedelta(days=1) + counted
        keys = written(tmp_path, history(key).rotated(NEXT.public, at=until, why="scheduled"))
        if counted:
            await self.verify(registry, keys, key)
            return
        with pytest.raises(Refused, match=f"the key {key.kid} was rotated out at"):
            await self.verify(registry, keys, key)

    async def test_a_compromised_key_certifies_nothing_and_is_told_from_its_moment_on(
        self, registry: ImageLayout, tmp_path: Path, key: SigningKey
    ) -> None:
        later = NOON + timedelta(hours=1)
        rotated = history(key).rotated(NEXT.public, at=NOON, why="scheduled")
        keys = written(tmp_path, rotated.compromised(key.kid, at=later))
        await self.verify(registry, keys, key)
        trusted = RegistryCertificates(registry, keys)
        assert await trusted.compromised(NOON) == {}
        assert await trusted.compromised(later) == {key.kid: later}
        with pytest.raises(Refused, match="was compromised"):
            await self.verify(registry, keys, key, now=later)

    async def test_a_history_that_is_not_plainly_right_certifies_nothing(
        self, registry: ImageLayout, broken: Path, key: SigningKey
    ) -> None:
        with pytest.raises(Unreadable, match="no history of public keys"):
            await self.verify(registry, broken, key)

    async def test_without_keys_nothing_can_be_said(
        self, registry: ImageLayout, tmp_path: Path, key: SigningKey
    ) -> None:
        with pytest.raises(Unavailable, match="cannot be read"):
            await self.verify(registry, tmp_path / "none.json", key)


HERE, THERE = "http://127.0.0.1:1111", "http://127.0.0.1:2222"


class TestModelTokens:
    def test_models_take_the_probes_token_and_nobody_else_does(self, keys: Path, tmp_path: Path) -> None:
        clock = ManualClock()
        mine = ModelTokens(platform_keys=keys, own_key=tmp_path / "probe.pem", clock=clock, ids=CountingIds())
        token = mine.probe(HERE)

        assert tokens.verify(token, KeySet.from_json(mine.keys(HERE)), now=clock.now()).roles == {"operator"}
        with pytest.raises(Unauthenticated):
            tokens.verify(token, KeySet.from_json(keys.read_text()), now=clock.now())

    def test_what_runs_still_takes_the_next_deployers_token(self, keys: Path, tmp_path: Path) -> None:
        clock, own = ManualClock(), tmp_path / "probe.pem"
        before = ModelTokens(platform_keys=keys, own_key=own, clock=clock, ids=CountingIds())
        after = ModelTokens(platform_keys=keys, own_key=own, clock=clock, ids=CountingIds())

        tokens.verify(after.probe(HERE), KeySet.from_json(before.keys(HERE)), now=clock.now())

    def test_what_one_model_is_shown_opens_no_other(self, keys: Path, tmp_path: Path) -> None:
        clock = ManualClock()
        mine = ModelTokens(platform_keys=keys, own_key=tmp_path / "probe.pem", clock=clock, ids=CountingIds())
        shown = mine.probe(HERE)

        with pytest.raises(Unauthenticated, match="by no key we know"):
            tokens.verify(shown, KeySet.from_json(mine.keys(THERE)), now=clock.now())


@pytest.mark.parametrize(
    ("read", "setting"), [(read_history, "PLACET_CERTIFIER_KEYS"), (read_keys, "PLACET_TOKEN_KEYS")]
)
def test_key_files_that_are_not_there_are_told_with_their_setting(
    read: Callable[[Path], object], setting: str, tmp_path: Path
) -> None:
    with pytest.raises(Unavailable, match=rf"nobody.json cannot be read: .*; see that {setting} "):
        read(tmp_path / "nobody.json")
