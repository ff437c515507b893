"""Ed25519 keys: made, kept as PEM files that only their owner reads, and named by what they are.

A key's id is the first 16 hex digits of the sha256 of its raw public key, so that nobody can give two keys
one name by writing a file. Key sets are public and plain: `[{"kid": …, "x": <base64url of the raw key>}]`.
What this module does not do: keep a history of keys (`history.py` does), or say which key is for what; certificates
and tokens are signed with separate keys because their owners pass separate ones in.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from placet.errors import Refused, Unreadable


def public_text(key: VerifyingKey) -> str:
    """The raw public key in base64url, as files have it."""
    return base64.urlsafe_b64encode(key.raw).rstrip(b"=").decode()


def key_id(raw_public_key: bytes) -> str:
    """The name of a public key, from its 32 raw bytes."""
    return hashlib.sha256(raw_public_key).hexdigest()[:16]


class VerifyingKey:
    """A public key."""

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key
        self.raw = key.public_bytes_raw()
        self.kid = key_id(self.raw)

    @classmethod
    def from_raw(cls, raw: bytes) -> VerifyingKey:
        if len(raw) != 32:
            raise Unreadable(f"an Ed25519 public key has 32 bytes, this one {len(raw)}")
        return cls(Ed25519PublicKey.from_public_bytes(raw))

    @property
    def cryptography_key(self) -> Ed25519PublicKey:
        return self._key

    def verifies(self, signature: bytes, message: bytes) -> bool:
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VerifyingKey) and other.raw == self.raw

    def __hash__(self) -> int:
        return hash(self.raw)

    def __repr__(self) -> str:
        return f"VerifyingKey({self.kid})"


class SigningKey:
    """A private key. Its representation never shows it."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = VerifyingKey(key.public_key())
        self.kid = self.public.kid

    @classmethod
    def generate(cls) -> SigningKey:
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: Path) -> SigningKey:
        """From a PKCS #8 PEM file that nobody but its owner can read."""
        try:
            pem = path.read_bytes()
            mode = path.stat().st_mode
        except OSError as error:
            raise Refused(
                f"the signing key {path} cannot be read: {error.strerror}",
                fix="name the file of the key, which its user can read",
            ) from error
        if mode & 0o077:
            raise Refused(f"the signing key {path} can be read by others", fix=f"chmod 600 {path}")
        try:
            key = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError) as error:
            raise Refused(
                f"{path} holds no unencrypted PEM private key",
                fix="name the file of the key, or put it back from a copy",
            ) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise Refused(
                f"the key in {path} is not an Ed25519 key", fix="create one with `SigningKey.generate`"
            )
        return cls(key)

    def save(self, path: Path) -> None:
        """Write the key to a new file of mode 0600; a key that is there already is never replaced."""
        pem = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        try:
            # Opened with the mode instead of changed afterwards: others cannot read it for a moment.
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            raise Refused(f"{path} exists already; a signing key is never overwritten") from error
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())

    @classmethod
    def load_or_create(cls, path: Path) -> SigningKey:
        """The key at `path`, made there on the first start."""
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            cls.generate().save(path)
        return cls.load(path)

    def derived(self, purpose: str) -> SigningKey:
        """A key for this purpose alone, always the same. Who has it learns nothing of ours, nor of another's."""
        # RFC 5869
        seed = HKDF(SHA256(), 32, salt=None, info=purpose.encode()).derive(self._key.private_bytes_raw())
        return SigningKey(Ed25519PrivateKey.from_private_bytes(seed))

    @property
    def cryptography_key(self) -> Ed25519PrivateKey:
        return self._key

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)

    def __repr__(self) -> str:
        return f"SigningKey({self.kid})"


class _PublicKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kid: str
    x: str


class KeySet:
    """Public keys by id."""

    def __init__(self, keys: Iterable[VerifyingKey] = ()) -> None:
        self._keys: Mapping[str, VerifyingKey] = {key.kid: key for key in keys}

    @classmethod
    def from_json(cls, text: str | bytes) -> KeySet:
        """Read `[{"kid", "x"}]`; a `kid` that is not its key's own id is refused."""
        try:
            entries = msgspec.json.decode(text, type=list[_PublicKey])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Unreadable(f"this is not a set of public keys: {error}") from error
        return cls(verifying_key(entry.kid, entry.x) for entry in entries)

    @classmethod
    def load(cls, path: Path) -> KeySet:
        """The set in a file that its owner published. Raises Refused where there is none."""
        try:
            return cls.from_json(path.read_bytes())
        except OSError as error:
            raise Refused(
                f"the public keys {path} cannot be read: {error.strerror}",
                fix="who signs writes them beside its key at its first start; hand that file over",
            ) from error

    def to_json(self) -> str:
        entries: list[dict[str, Any]] = [{"kid": key.kid, "x": public_text(key)} for key in self]
        return msgspec.json.encode(entries).decode()

    def get(self, kid: str) -> VerifyingKey | None:
        return self._keys.get(kid)

    def __iter__(self) -> Any:
        return iter(self._keys.values())

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, kid: object) -> bool:
        return kid in self._keys


def own_key(path: Path) -> SigningKey:
    """The key that whoever calls signs with, made at `path` on the first start.

    Its public half lies beside it, `tokens.json` for `tokens.pem`: the file to hand to those who verify.
    """
    key = SigningKey.load_or_create(path)
    published = path.with_suffix(".json")
    text = KeySet([key.public]).to_json()
    if not published.exists() or published.read_text(encoding="ascii") != text:
        write_whole(published, text)
    return key


def write_whole(file: Path, text: str) -> None:
    """Whoever reads it sees all of it, or what was there before."""
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    unfinished.write_text(text, encoding="ascii")
    unfinished.replace(file)


def verifying_key(kid: str, x: str) -> VerifyingKey:
    """The public key in base64url, if `kid` is its own id."""
    try:
        raw = base64.b64decode(x + "=" * (-len(x) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise Unreadable(f"the key {kid!r} is not base64url") from error
    key = VerifyingKey.from_raw(raw)
    if key.kid != kid:
        raise Unreadable(f"the key called {kid!r} has the id {key.kid}")
    return key
