"""Keys on disk and in sets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from placet.errors import Refused, Unreadable
from placet.trust import KeySet, SigningKey, key_id, own_key


def test_a_saved_key_is_loaded_back_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    key = SigningKey.generate()
    path = tmp_path / "key.pem"
    key.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    loaded = SigningKey.load(path)
    assert loaded.kid == key.kid
    assert loaded.public.verifies(key.sign(b"message"), b"message")


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    SigningKey.generate().save(path)
    path.chmod(0o640)
    with pytest.raises(Refused, match="chmod 600"):
        SigningKey.load(path)


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    SigningKey.generate().save(path)
    before = path.read_bytes()
    with pytest.raises(Refused, match="exists already"):
        SigningKey.generate().save(path)
    assert path.read_bytes() == before


def test_a_key_is_made_once_and_then_kept(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "key.pem"
    assert SigningKey.load_or_create(path).kid == SigningKey.load_or_create(path).kid


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(
        generate_private_key(SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    path.chmod(0o600)
    with pytest.raises(Refused, match="not an Ed25519 key"):
        SigningKey.load(path)


def test_what_is_no_key_at_all_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text("not a key")
    path.chmod(0o600)
    with pytest.raises(Refused, match="no unencrypted PEM"):
        SigningKey.load(path)
    with pytest.raises(Refused, match="cannot be read"):
        SigningKey.load(tmp_path / "missing.pem")


def test_a_representation_never_shows_the_key() -> None:
    key = SigningKey.generate()
    secret = key.cryptography_key.private_bytes_raw()
    assert secret.hex() not in repr(key)
    assert repr(key) == f"SigningKey({key.kid})"


def test_a_key_set_is_read_back_as_it_was_written() -> None:
    keys = KeySet([SigningKey.generate().public, SigningKey.generate().public])
    assert list(KeySet.from_json(keys.to_json())) == list(keys)


@pytest.mark.parametrize(
    "change",
    [
        lambda entry: {**entry, "kid": key_id(b"another")},
        lambda entry: {**entry, "x": entry["x"][:-2]},
        lambda entry: {**entry, "x": "not base64url!"},
        lambda entry: {**entry, "d": "private"},
        lambda entry: {"kid": entry["kid"]},
    ],
    ids=["another id", "too short", "not base64url", "an unknown field", "no key"],
)
def test_a_key_set_that_is_not_plainly_right_is_unreadable(change: object) -> None:
    entries = json.loads(KeySet([SigningKey.generate().public]).to_json())
    assert callable(change)
    with pytest.raises(Unreadable):
        KeySet.from_json(json.dumps([change(entries[0])]))


def test_the_public_half_lies_beside_an_own_key_for_whoever_verifies(tmp_path: Path) -> None:
    key = own_key(tmp_path / "keys" / "tokens.pem")
    published = KeySet.load(tmp_path / "keys" / "tokens.json")
    assert list(published) == [key.public]
    assert own_key(tmp_path / "keys" / "tokens.pem").kid == key.kid


def test_a_published_set_follows_the_key_that_was_put_in_its_place(tmp_path: Path) -> None:
    own_key(tmp_path / "tokens.pem")
    (tmp_path / "tokens.pem").unlink()
    renewed = own_key(tmp_path / "tokens.pem")
    assert list(KeySet.load(tmp_path / "tokens.json")) == [renewed.public]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tokens.json", "tokens.pem"]


def test_a_key_set_that_is_not_there_is_asked_for_by_name(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"tokens\.json cannot be read"):
        KeySet.load(tmp_path / "tokens.json")


def test_a_derived_key_is_one_purposes_and_always_the_same(tmp_path: Path) -> None:
    key = SigningKey.generate()
    key.save(tmp_path / "key.pem")
    again = SigningKey.load(tmp_path / "key.pem")

    assert key.derived("one").kid == again.derived("one").kid
    assert len({key.kid, key.derived("one").kid, key.derived("two").kid}) == 3
